//! The commands of a view: `umview`, which starts one, and the small programs that run inside.
//!
//! `bin/` has a file a command, and no more in it than the way from the command line to the function that does it:
//!
//! - [`cli`]: the command lines; help, manual pages and completions are made from them.
//! - [`Composition`]: what a `umview` carries: the only place that knows every module and driver. A `umview` with
//!   one more driver is a program of its own around it (docs/writing-a-driver.md).
//! - [`start`](run), [`Stage`]: how a view begins, outside and inside.
//! - `trial`: `umview try`, the one command with something to do before a view and after it.
//! - [`ask`]: one request to the monitor, by the virtual system call. Everything else is a client of it, or of
//!   mount(2).
//! - [`finish()`]: how a command ends: the answer on standard output and nothing else, the cause on standard error, a
//!   status that is true.
//!
//! Deliberately absent: any state. What a command knows, the monitor told it.

#![forbid(unsafe_code)]

mod accounts;
pub mod cli;
mod composition;
mod exec;
mod export;
mod finish;
mod inspect;
mod login;
mod mount;
mod mount_options;
mod new_view;
mod profile;
mod request;
mod script;
mod services;
mod stage;
mod start;
mod su;
mod sudo;
mod top;
mod trial;
mod umview;
mod uname;
mod view;

pub use composition::Composition;
pub use finish::{Status, finish};
pub use mount::{mount, umount};
pub use request::{Refused, ask};
pub use services::{add_services, alias, delete_services, list_services};
pub use stage::Stage;
pub use start::{Start, run};
pub use su::su;
pub use sudo::sudo;
pub use uname::uname;
pub use view::{attach, shutdown, viewname};
