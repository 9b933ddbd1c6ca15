//! `viewname`: prints or sets the name of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Viewname;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("viewname", commands::viewname(&Viewname::parse()))
}
