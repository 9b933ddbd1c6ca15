//! `viewmount`: calls mount(2).

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::Viewmount;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("viewmount", commands::mount(&Viewmount::parse()))
}
