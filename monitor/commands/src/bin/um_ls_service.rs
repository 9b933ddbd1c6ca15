//! `um_ls_service`: lists the modules of the view.

#![forbid(unsafe_code)]

use clap::Parser;
use commands::cli::UmLsService;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::finish("um_ls_service", commands::list_services(&UmLsService::parse()))
}
