//! The module `umfuse`: mounts file system drivers.
//!
//! ```text
//! Umfuse::mount -> FileSystemType::mount -> driver
//!                    wrapped in: PanicGuard, OwnerLayer, ReadOnlyLayer, Traced (innermost first)
//! ```
//!
//! - [`Umfuse`] is the module; it is given the types when it is made and knows no driver by itself.
//! - [`MountFlags`] are the options that every type has and the monitor obeys.
//! - [`Layered`] is a file system over a file system with a [`Hook`] around each call; all layers here are that.
//! - [`memfs`] is a complete driver without a device: the model for new ones, and what tests mount.
//! - `export` (a feature): a driver served to the kernel by `/dev/fuse`.
//! - `kernel_files` (the same feature): single files of drivers as files of the kernel, for a monitor.
//!
//! Locks: [`Umfuse`] has one for its list of mounts, never held across a call of a driver; `memfs` has one a mount.
//!
//! Deliberately absent: permission checks, the name walk, open files of processes (the monitor has them), and any
//! knowledge of a format.

#![forbid(unsafe_code)]

mod call;
#[cfg(feature = "export")]
pub mod export;
mod flags;
#[cfg(feature = "export")]
pub mod kernel_files;
mod layer;
pub mod memfs;
mod module;
mod owner;
mod panic_guard;
mod read_only;
mod traced;

pub use call::Call;
pub use flags::{MountFlags, WriteWish};
pub use layer::{Hook, Layered};
pub use module::{Mounted, Umfuse};
pub use owner::{Owner, OwnerLayer};
pub use panic_guard::{PanicGuard, PanicHook};
pub use read_only::{ReadOnly, ReadOnlyLayer, ReadOnlySwitch};
pub use traced::{TraceHook, Traced};
