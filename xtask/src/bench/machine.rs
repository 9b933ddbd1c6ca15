//! The machine that was measured.

use std::fs;
use std::process::Command;

/// Lines for the page: processor, kernel, memory, versions of the peers.
pub(crate) fn describe() -> Vec<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: u64 = field(&memory, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let mut lines = vec![
        format!("{model}, {cores} cores, {} GiB", (kibibytes + (1 << 19)) >> 20),
        format!("Linux {}", kernel.trim()),
        format!("load average at the start {load}"),
    ];
    for package in ["proot", "fuse2fs", "fuseiso", "git", "gcc", "tar"] {
        let mut query = Command::new("dpkg-query");
        query.args(["-W", "-f", "${Package} ${Version}", package]);
        let output = query.output().ok().filter(|output| output.status.success());
        let found = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        lines.push(found.unwrap_or_else(|| format!("{package}: not a package here")));
    }
    lines
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}
