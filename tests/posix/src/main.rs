//! `posix-checks DIR [--read-only DIR] [--other DIR] [--lacks WORD,...] [--only SECTION]`: what POSIX and the Linux
//! manual pages promise of files and names, asked of the directory given.
//!
//! - Each promise is a line, `ok NAME` or `not ok NAME: found ..., wanted ...`; the last line is
//!   `N passed, M failed`, and the exit status says whether M is 0.
//! - [`op::Op`] is a system call as a value, so that it can be made by a process with other ids
//!   ([`agent::Agent`]: this program again, which reads calls and writes answers).
//! - [`checks::Checks`] counts; every section works in a folder of its own.
//! - Who is not root leaves out the sections that need other ids; `--lacks` leaves out what a format does not
//!   have (`links`, `symlinks`, `special`, `owners`, `modes`, `times`) and asks that it be refused in order.
//! - `--read-only` names a folder that must refuse changes and holds `file`, `dir` and, unless links are lacking,
//!   `link`; `--other` is the root of another mount, which may be written to.
//!
//! The host's own file systems pass all of it; they are how the promises were checked.
//!
//! Deliberately absent: a view. The program does not know where it runs. Calls go through the C library, as
//! those of other programs do.

#![forbid(unsafe_code)]

mod agent;
mod checks;
mod chmod;
mod chown;
mod faults;
mod link;
mod make;
mod mounts;
mod names;
mod op;
mod open;
mod remove;
mod rename;
mod search;
mod set_id;
mod sticky;
mod symlink;
mod times;
mod truncate;
mod utimens;

use checks::{Checks, Section};
use std::process::ExitCode;

const USAGE: &str = "usage: posix-checks DIR [--read-only DIR] [--other DIR] \
                     [--lacks links,symlinks,special,owners,modes,times] [--only SECTION]";

/// Every section, by name.
const SECTIONS: [(&str, Section); 17] = [
    ("names", names::run),
    ("search", search::run),
    ("chmod", chmod::run),
    ("chown", chown::run),
    ("link", link::run),
    ("make", make::run),
    ("open", open::run),
    ("rename", rename::run),
    ("remove", remove::run),
    ("symlink", symlink::run),
    ("truncate", truncate::run),
    ("utimensat", utimens::run),
    ("times", times::run),
    ("sticky", sticky::run),
    ("set-id", set_id::run),
    ("mounts", mounts::run),
    ("faults", faults::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["--agent", uid, gid, groups] = *words {
        return agent::serve(uid, gid, groups);
    }
    let Some(mut checks) = Checks::from_words(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    for (name, section) in SECTIONS {
        checks.section(name, section);
    }
    if checks.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
