//! `vuname`: uname(1) with the fields of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Vuname;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("vuname", commands::uname(&Vuname::parse()))
}
