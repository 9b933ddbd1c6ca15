//! The on-disk copy-on-write layer: a plain tree plus documented metadata (`docs/formats/cow-store.md`).
//!
//! A [`Store`] holds what a view changed: copied-up and new files at their place in the tree, whiteouts for
//! removed names, marks for directories that hide the lower one, attributes that the user may not really
//! set. It knows no lower tree: the caller (viewfs) says what lies below and decides; the store makes each
//! change whole or not at all, and answers what it has.
//!
//! Data path: [`Store::lookup`] answers from the names in memory, without a system call;
//! [`Store::open_upper`] gives the host's own descriptor; [`Store::copy_up`] and the other changes make the
//! file complete below `.viewos/tmp` and then give it its name in one step, or write an intent to the log
//! first where one step is not enough.
//!
//! Key types: [`Store`], [`State`] (what the store says about a name), [`Override`] (attributes in the
//! view), [`Origin`] (the lower file of a copy), [`dir::Dir`] (the file operations, so that tests can stop
//! after any of them).
//!
//! Lock order: the writer, then the names in memory; the names are never locked over a system call.
//!
//! Deliberately absent: knowledge of the lower tree and of options (viewfs has both), permission checks,
//! links followed, paths that leave the directory.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod at_once;
mod attributes;
mod commit;
mod copy_up;
mod create;
mod diff;
pub mod dir;
mod error;
mod export;
mod format;
mod import;
mod load;
mod log;
mod origin;
mod override_stat;
pub mod path;
mod place;
mod remove;
mod rename;
mod snapshot;
mod stat;
mod store;
mod tree;
mod verify;
mod watch;
mod xattr;

pub use attributes::Change;
pub use commit::{Commit, Owners};
pub use copy_up::Lower;
pub use create::New;
pub use diff::{Difference, Differs, digest};
pub use error::Error;
pub use export::{Exported, Flavor};
pub use format::{Form, WhiteoutForm};
pub use origin::Origin;
pub use override_stat::Override;
pub use rustix::fs::OFlags;
pub use stat::Stat;
pub use store::{Access, Store};
pub use tree::{Entry, State};
pub use verify::{Problem, Verified};
pub use watch::Watcher;
