//! `um_fsalias`: makes a name mean a file system type.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::UmFsalias;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("um_fsalias", commands::alias(&UmFsalias::parse()))
}
