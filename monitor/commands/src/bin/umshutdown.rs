//! `umshutdown`: ends every process of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Umshutdown;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("umshutdown", commands::shutdown(&Umshutdown::parse()))
}
