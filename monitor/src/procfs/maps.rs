//! /proc/PID/maps: what is mapped of a virtual file has the file's name and numbers, not those of what stands for it.

use crate::namei::Walk;
use crate::path;
use crate::statbuf::Info;
use abi::dev::DevNum;
use engine::Tid;
use std::sync::PoisonError;

/// The text for a process of the view.
pub(super) fn text(walk: &mut Walk<'_>, tid: i32) -> Vec<u8> {
    let host = std::fs::read(format!("/proc/{tid}/maps")).unwrap_or_default();
    let program = program(walk, tid);
    let mut text = Vec::with_capacity(host.len());
    for line in host.split_inclusive(|&b| b == b'\n') {
        if line.ends_with(engine::AGENT_MAP.as_bytes()) {
            continue;
        }
        match replaced(walk, line, program.as_ref()) {
            Some(own) => text.extend(own),
            None => text.extend_from_slice(line),
        }
    }
    text
}

/// The program's path in the view, where the kernel runs a copy of it, and its attributes.
fn program(walk: &mut Walk<'_>, tid: i32) -> Option<(Vec<u8>, Info)> {
    let proc = walk.monitor.tasks.get(Tid(tid))?;
    let exe = proc.exe.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    let place = walk.canonical(&exe).ok()?;
    Some((exe, walk.monitor.info_of(&place).ok()?))
}

/// A line of what stands for a virtual file, in the words of the view.
fn replaced(walk: &Walk<'_>, line: &[u8], program: Option<&(Vec<u8>, Info)>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let mut fields = text.split_ascii_whitespace();
    let (range, mode, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let dev = DevNum { major: number(major)?, minor: number(minor)? };
    let ino = fields.next()?.parse().ok().filter(|&ino| ino != 0)?;
    let (view_path, info) = match walk.monitor.vfiles.by_identity((dev.to_raw(), ino)) {
        Some(file) => (file.view_path(), file.info(walk.monitor).ok()?),
        None => {
            let name = text.split_once("/memfd:")?.1.strip_suffix(" (deleted)")?;
            let (exe, info) = program?;
            let is_it = path::split(exe).is_some_and(|(_, last)| last == name.as_bytes());
            is_it.then(|| (exe.clone(), info.clone()))?
        }
    };
    let DevNum { major, minor } = DevNum::from_raw(info.dev);
    let head = format!("{range} {mode} {offset} {major:02x}:{minor:02x} {} ", info.attr.ino.0);
    // The names begin in one column, as the kernel pads them.
    let mut own = format!("{head:<73}").into_bytes();
    own.extend_from_slice(&view_path);
    own.push(b'\n');
    Some(own)
}
