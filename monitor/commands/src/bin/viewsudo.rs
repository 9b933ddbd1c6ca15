//! `viewsudo`: a command as another user of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Viewsudo;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("viewsudo", commands::sudo(&Viewsudo::parse()))
}
