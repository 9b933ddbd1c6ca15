//! `um_attach`: takes running processes into the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::UmAttach;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("um_attach", commands::attach(&UmAttach::parse()))
}
