//! `umview`: starts a view, or inside a view a nested one.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    commands::finish("umview", commands::umview(&words))
}
