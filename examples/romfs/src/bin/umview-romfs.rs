//! A `umview` that has `umfuseromfs` as well.

#![forbid(unsafe_code)]

use std::sync::Arc;

fn main() -> std::process::ExitCode {
    commands::Composition::standard().with_file_system(Arc::new(umfuseromfs::RomfsType)).umview()
}
