//! What the end-to-end tests stand on: programs run in a view or natively, by whom and how it is wanted.
//!
//! - [`View`]: engine, user, modules; [`View::run`] gives an [`Output`], or fails with what was printed so far when
//!   the deadline is over. [`native`] runs the same without a view.
//! - [`Work`]: a folder for one test that its user owns.
//! - [`Example`]: a crate of `examples/`, compiled where the tree does not know it.
//! - [`combinations`]: every engine that works here with every user that we may be.
//!
//! The tests are in `tests/it`, a module a subject. They need ptrace and seccomp: where a back end does not work its
//! combinations are left out, with a loud line on standard error. The commands are built when they are older than
//! the sources.
//!
//! Deliberately absent: knowledge of how a view works. A test speaks command lines.

#![forbid(unsafe_code)]

mod deadline;
mod example;
mod programs;
mod view;
mod work;

pub use deadline::{Output, Started};
pub use example::Example;
pub use programs::programs;
pub use view::{Engine, User, View, combinations, native, need};
pub use work::Work;
