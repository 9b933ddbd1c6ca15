//! Calls and files of ummisc, without processes.

mod calls;
mod files;
mod memory;
mod names;
