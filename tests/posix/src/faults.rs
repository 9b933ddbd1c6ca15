//! Addresses that are no memory: EFAULT. Safe Rust has no such address, so Python makes the calls.

use crate::checks::{Checks, Unprepared};
use std::process::Command;

const SCRIPT: &str = include_str!("faults.py");

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let output = Command::new("python3").args(["-c", SCRIPT, &d]).output();
    let lines = match &output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        failed => {
            t.same(
                "python3 makes the calls (apt-get install python3)",
                format!("{failed:?}"),
                String::new(),
            );
            return Ok(());
        }
    };
    for line in lines.lines() {
        let (call, errno) = line.rsplit_once(' ').unwrap_or((line, ""));
        t.same(&format!("{call}: EFAULT"), errno, "EFAULT");
    }
    t.same("calls made", lines.lines().count(), 31);
    Ok(())
}
