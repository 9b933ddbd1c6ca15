//! `viewumount`: calls umount2(2).

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Viewumount;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("viewumount", commands::umount(&Viewumount::parse()))
}
