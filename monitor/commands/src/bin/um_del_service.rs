//! `um_del_service`: unloads modules from the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::UmDelService;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("um_del_service", commands::delete_services(&UmDelService::parse()))
}
