//! The command lines, one file a family: what `--help`, the manual pages and the completions are made from.

mod ids;
mod mounts;
mod services;
mod top;
mod trial;
mod view;

pub use crate::cli::ids::{Viewsu, Viewsudo};
pub use crate::cli::mounts::{UmfuseExport, Viewmount, Viewumount};
pub use crate::cli::services::{UmAddService, UmDelService, UmFsalias, UmLsService};
pub use crate::cli::top::Top;
pub use crate::cli::trial::Try;
pub use crate::cli::view::{Action, Engine, UmAttach, Umshutdown, Umview, Viewname, Vuname};

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
        UmfuseExport::command(),
    ]
}

/// What has a manual page: every command, and `umview-try` and `umview-top` of their own.
#[must_use]
pub fn pages() -> Vec<Command> {
    let mut pages = all();
    let word = Umview::command().find_subcommand("try").cloned();
    pages.extend(
        word.map(|w| w.name("umview-try").bin_name("umview try").display_name("umview try")),
    );
    pages.push(Top::command());
    // Only of whole commands is there an option that says the version; the pages say it all the same.
    let version = |page: Command| {
        if page.get_version().is_some() {
            return page;
        }
        page.version(env!("CARGO_PKG_VERSION")).disable_version_flag(true)
    };
    pages.into_iter().map(version).collect()
}

#[cfg(test)]
mod tests;
