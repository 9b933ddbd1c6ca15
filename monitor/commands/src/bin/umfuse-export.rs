//! `umfuse-export`: mounts a driver for the whole host.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::Composition::standard().umfuse_export()
}
