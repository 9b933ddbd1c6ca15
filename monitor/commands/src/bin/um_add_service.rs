//! `um_add_service`: loads modules into the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::UmAddService;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("um_add_service", commands::add_services(&UmAddService::parse()))
}
