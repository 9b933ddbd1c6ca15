//! `umfuse-export-romfs [-o OPTIONS] umfuseromfs IMAGE DIR`: the same driver before the kernel's eyes.

#![forbid(unsafe_code)]

use std::sync::Arc;

fn main() -> std::process::ExitCode {
    let driver = Arc::new(umfuseromfs::RomfsType);
    commands::Composition::standard().with_file_system(driver).umfuse_export()
}
