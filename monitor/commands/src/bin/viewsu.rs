//! `viewsu`: a shell as another user of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Viewsu;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("viewsu", commands::su(&Viewsu::parse()))
}
