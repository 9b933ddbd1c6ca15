//! umproc: the parts of /proc that would tell the host's truth and not the view's.
//!
//! `mounts`, `mountinfo`, `mountstats`, `filesystems`, `partitions` are made from the view's tables; `cwd`, `root`,
//! `exe` and `fd/N` of the view's own processes lead to where the view says, and their `maps` name the view's files.

mod claims;
mod maps;

use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Content, Mount};
use crate::namei::{Names, Place, Step, Walk};
use crate::path;
use crate::tasks::Proc;
use abi::Result;
use abi::fs::FileKind;
use engine::Tid;
use std::sync::{Arc, PoisonError};

/// A name that umproc answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file made from the view's tables.
    File(Table),
    /// A link to this text.
    Link(Vec<u8>),
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Mounts,
    MountInfo,
    MountStats,
    /// The mapped files of a thread.
    Maps(i32),
    Filesystems,
    Partitions,
    /// A name of the system, by its place in `struct new_utsname`.
    Name(usize),
    Uptime,
}

impl Table {
    /// Whether it would be set by writing, which only the module's own files can be.
    pub(crate) fn is_setting(self) -> bool {
        matches!(self, Self::Name(_))
    }
}

impl Entry {
    pub(crate) fn kind(&self) -> FileKind {
        match self {
            Self::File(_) => FileKind::Regular,
            Self::Link(_) => FileKind::Symlink,
        }
    }
}

/// What umproc shows as `name` in directory `dir` of the host's /proc; `None` where the host answers.
pub(crate) fn lookup(walk: &Walk<'_>, dir: &[u8], name: &[u8]) -> Option<Entry> {
    if dir == b"/proc" {
        return match name {
            b"filesystems" => Some(Entry::File(Table::Filesystems)),
            b"partitions" => Some(Entry::File(Table::Partitions)),
            b"uptime" if claims::uptime(walk).is_some() => Some(Entry::File(Table::Uptime)),
            b"self" => Some(Entry::Link(walk.proc.as_ref()?.tgid.to_string().into_bytes())),
            b"thread-self" => {
                let tgid = walk.proc.as_ref()?.tgid;
                Some(Entry::Link(format!("{tgid}/task/{}", walk.tid).into_bytes()))
            }
            _ => None,
        };
    }
    if dir == b"/proc/sys/kernel" {
        let field = claims::field_of(name)?;
        claims::name_of_system(walk, field)?;
        return Some(Entry::File(Table::Name(field)));
    }
    let (proc, tid) = process_of(walk.monitor, dir)?;
    match name {
        b"mounts" => Some(Entry::File(Table::Mounts)),
        b"mountinfo" => Some(Entry::File(Table::MountInfo)),
        b"mountstats" => Some(Entry::File(Table::MountStats)),
        b"maps" => {
            let is_copy = proc.exe.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let has_virtual = is_copy || !walk.monitor.vfiles.is_empty();
            has_virtual.then_some(Entry::File(Table::Maps(tid)))
        }
        b"cwd" => Some(Entry::Link(proc.directories().cwd?.view_path().to_vec())),
        b"root" => Some(Entry::Link(proc.directories().root?.view_path().to_vec())),
        b"exe" => {
            let exe = proc.exe.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
            Some(Entry::Link(exe))
        }
        _ => None,
    }
}

/// The process of the views whose directory under /proc this is, and the thread.
fn process_of(monitor: &Monitor, dir: &[u8]) -> Option<(Arc<Proc>, i32)> {
    let rest = dir.strip_prefix(b"/proc/")?;
    let mut parts = rest.split(|&b| b == b'/');
    let pid = number(parts.next()?)?;
    let tid = match (parts.next(), parts.next()) {
        (None, _) => pid,
        (Some(b"task"), Some(tid)) => number(tid)?,
        _ => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some((monitor.tasks.get(Tid(tid))?, tid))
}

fn number(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Follows one of umproc's own links.
pub(crate) fn follow(walk: &mut Walk<'_>, entry: &Entry) -> Result<Step> {
    match entry {
        Entry::Link(text) if text.first() == Some(&b'/') => {
            // Magic links go to the file, whatever root the process has.
            Ok(Step::To(walk.canonical(text)?))
        }
        Entry::Link(text) => Ok(Step::Through(text.clone())),
        Entry::File(_) => Err(abi::Errno::EINVAL),
    }
}

/// Follows a link of the host's /proc that is magic; `None` if it is an ordinary one.
pub(crate) fn follow_host(walk: &mut Walk<'_>, link: &[u8], names: &Names) -> Result<Option<Step>> {
    if !link.starts_with(b"/proc/") {
        return Ok(None);
    }
    let Some((dir, name)) = path::split(link) else { return Ok(None) };
    let is_fd = dir.ends_with(b"/fd") && number(name).is_some();
    let is_magic = is_fd || matches!(name, b"cwd" | b"root" | b"exe") || dir.ends_with(b"/ns");
    if !is_magic {
        return Ok(None);
    }
    // What the monitor itself holds of a file is no opening of it: lsof and fuser must not find it there.
    let is_own = number(dir.split(|&b| b == b'/').nth(2).unwrap_or_default())
        .is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()));
    if is_fd
        && !is_own
        && let Ok(s) = hostview::stat(link, true)
        && let Some(file) = walk.monitor.vfiles.by_stat(&s)
    {
        return Ok(Some(Step::To(walk.monitor.place_of_file(&file, walk)?)));
    }
    let kind = hostview::stat(link, true)
        .ok()
        .and_then(|s| FileKind::from_mode_bits(s.st_mode))
        .unwrap_or(FileKind::Regular);
    if kind == FileKind::Directory {
        // Names below it are walked, so it has to be a path.
        let text = hostview::readlink(link)?;
        return Ok(Some(Step::To(walk.canonical(&text)?)));
    }
    Ok(Some(Step::To(Place::Host(crate::namei::HostPlace {
        names: names.clone(),
        kind,
        is_magic: true,
    }))))
}

/// The bytes of one of umproc's files.
pub(crate) fn content(monitor: &Monitor, walk: &mut Walk<'_>, which: Table, tgid: i32) -> Vec<u8> {
    match which {
        Table::MountStats => mountstats(walk, tgid),
        Table::Maps(tid) => maps::text(walk, tid),
        Table::Mounts => mounts(walk, tgid),
        Table::MountInfo => mountinfo(walk, tgid),
        Table::Filesystems => filesystems(monitor, walk),
        Table::Partitions => partitions(walk),
        Table::Name(field) => claims::name_of_system(walk, field).unwrap_or_default(),
        Table::Uptime => claims::uptime(walk).unwrap_or_default(),
    }
}

fn visible(walk: &Walk<'_>) -> Vec<Arc<Mount>> {
    let mut all: Vec<Arc<Mount>> = walk
        .mounts
        .all()
        .iter()
        .filter(|m| walk.view.sees(m.view, m.born, walk.epoch) && !m.is_detached() && !m.is_hidden)
        .cloned()
        .collect();
    all.sort_by_key(|m| m.born);
    all
}

/// Blanks, tabs, newlines, backslashes and `#` as octal, as the kernel's `mangle`.
fn mangle(text: &[u8]) -> String {
    let mut out = String::new();
    for &b in text {
        match b {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.push_str(&format!("\\{b:03o}")),
            _ => out.push(char::from(b)),
        }
    }
    out
}

fn mounts(walk: &Walk<'_>, tgid: i32) -> Vec<u8> {
    let mut text = std::fs::read(format!("/proc/{tgid}/mounts")).unwrap_or_default();
    for m in visible(walk) {
        let line = format!(
            "{} {} {} {} 0 0\n",
            mangle(m.source.as_bytes()),
            mangle(&m.target),
            m.fs_type,
            m.options
        );
        text.extend_from_slice(line.as_bytes());
    }
    text
}

fn mountstats(walk: &Walk<'_>, tgid: i32) -> Vec<u8> {
    let mut text = std::fs::read(format!("/proc/{tgid}/mountstats")).unwrap_or_default();
    for m in visible(walk) {
        let (source, target) = (mangle(m.source.as_bytes()), mangle(&m.target));
        let line = format!("device {source} mounted on {target} with fstype {}\n", m.fs_type);
        text.extend_from_slice(line.as_bytes());
    }
    text
}

fn mountinfo(walk: &Walk<'_>, tgid: i32) -> Vec<u8> {
    let mut text = std::fs::read(format!("/proc/{tgid}/mountinfo")).unwrap_or_default();
    for m in visible(walk) {
        let (flags, rest) = m.options.split_once(',').unwrap_or((&m.options, ""));
        let parent = parent_id(&text, &m.target).unwrap_or(1);
        let super_options = if rest.is_empty() { flags } else { m.options.as_str() };
        let line = format!(
            "{} {parent} {}:{} / {} {flags},relatime - {} {} {super_options}\n",
            1_000_000 + m.id,
            m.dev.major,
            m.dev.minor,
            mangle(&m.target),
            m.fs_type,
            mangle(m.source.as_bytes()),
        );
        text.extend_from_slice(line.as_bytes());
    }
    text
}

/// The id of the mount that holds a mount point: the longest prefix, the latest of equals.
fn parent_id(text: &[u8], target: &[u8]) -> Option<u64> {
    let mut best: Option<(usize, u64)> = None;
    for line in text.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let id = fields.next().and_then(|f| std::str::from_utf8(f).ok()?.parse().ok());
        let (Some(id), Some(point)) = (id, fields.nth(3)) else { continue };
        if point != target
            && path::below(target, point).is_some()
            && best.is_none_or(|(length, _)| point.len() >= length)
        {
            best = Some((point.len(), id));
        }
    }
    best.map(|(_, id)| id)
}

fn filesystems(monitor: &Monitor, walk: &Walk<'_>) -> Vec<u8> {
    let mut text = std::fs::read("/proc/filesystems").unwrap_or_default();
    for name in monitor.known_types(&walk.view) {
        text.extend_from_slice(format!("nodev\t{name}\n").as_bytes());
    }
    text
}

fn partitions(walk: &Walk<'_>) -> Vec<u8> {
    let mut text = std::fs::read("/proc/partitions").unwrap_or_default();
    if text.is_empty() {
        text.extend_from_slice(b"major minor  #blocks  name\n\n");
    }
    for m in visible(walk) {
        let Content::Device { device, numbers, .. } = &m.content else { continue };
        if device.kind() != abi::dev::DeviceKind::Block {
            continue;
        }
        for sub in device.subdevices() {
            let full = m.subdevice_path(sub.number);
            let name = full.strip_prefix(b"/dev/").unwrap_or(&full);
            let line = format!(
                "{:4}  {:7} {:10} {}\n",
                numbers.major,
                numbers.minor + sub.number,
                sub.size_bytes / 1024,
                path::text(name)
            );
            text.extend_from_slice(line.as_bytes());
        }
    }
    text
}
