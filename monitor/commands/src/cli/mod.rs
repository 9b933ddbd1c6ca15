//! The command lines, one file a family: what `--help`, the manual pages and the completions are made from.

mod ids;
mod mounts;
mod services;
mod view;

pub use crate::cli::ids::{Viewsu, Viewsudo};
pub use crate::cli::mounts::{Viewmount, Viewumount};
pub use crate::cli::services::{UmAddService, UmDelService, UmFsalias, UmLsService};
pub use crate::cli::view::{Engine, UmAttach, Umshutdown, Umview, Viewname, Vuname};

use clap::{Command, CommandFactory};

/// Every command, in the order of the manual.
#[must_use]
pub fn all() -> Vec<Command> {
    vec![
        Umview::command(),
        UmAddService::command(),
        UmLsService::command(),
        UmDelService::command(),
        UmFsalias::command(),
        UmAttach::command(),
        Viewsu::command(),
        Viewsudo::command(),
        Viewmount::command(),
        Viewumount::command(),
        Viewname::command(),
        Vuname::command(),
        Umshutdown::command(),
    ]
}

#[cfg(test)]
mod tests;
