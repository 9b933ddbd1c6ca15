//! `umview`: starts a view, or inside a view a nested one.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::Composition::standard().umview()
}
