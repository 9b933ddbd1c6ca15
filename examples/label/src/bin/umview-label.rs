//! A `umview` that has `umlabel` as well.

#![forbid(unsafe_code)]

use std::sync::Arc;

fn main() -> std::process::ExitCode {
    commands::Composition::standard().with_module(Arc::new(umlabel::Umlabel)).umview()
}
