//! A tar archive as a store: a layer of an OCI image, or any archive.

use crate::create::New;
use crate::error::Error;
use crate::override_stat::Override;
use crate::path::{MARKER_OPAQUE, MARKER_PREFIX, canonical, components, is_private, join, split};
use crate::place::Made;
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::State;
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{FileKind, Timestamp, XattrFlags};
use rustix::fs::OFlags;
use std::io::Read;
use tar::{Archive, EntryType};

/// One entry of an archive, checked.
struct Item {
    path: Vec<u8>,
    kind: EntryType,
    link: Vec<u8>,
    attributes: Override,
    mtime: Timestamp,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Store {
    /// Takes in the entries of a tar archive, over what the store has: `.wh.NAME` removes a name,
    /// `.wh..wh..opq` makes a directory hide the lower one. How many entries were taken is told.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - [`Error::Archive`] if the archive is damaged, or a path in it leaves the tree.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`.
    ///
    /// What was taken in before an error stays.
    pub fn import_tar<R: Read>(&self, reader: R) -> Result<u64, Error> {
        self.begin(b"")?;
        let mut archive = Archive::new(reader);
        let mut taken = 0_u64;
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let item = Item::of(&mut entry)?;
            if item.path.is_empty() || is_private(&item.path) {
                continue;
            }
            self.import(&item, &mut entry)?;
            taken = taken.saturating_add(1);
        }
        Ok(taken)
    }

    fn import(&self, item: &Item, data: &mut dyn Read) -> Result<(), Error> {
        let (parent, name) = split(&item.path).unwrap_or((b"", &item.path));
        self.import_parents(parent)?;
        if name == MARKER_OPAQUE {
            return self.set_opaque(parent);
        }
        if let Some(hidden) = name.strip_prefix(MARKER_PREFIX).filter(|h| !h.is_empty()) {
            let path = join(parent, hidden);
            self.clear(&path)?;
            return self.whiteout(&path, &Stat::default());
        }
        let existing = self.state(&item.path);
        if item.kind == EntryType::Directory
            && matches!(existing, State::Entry(e) if e.is_directory())
        {
            return self.set_stat(&item.path, &item.change());
        }
        if item.kind == EntryType::Link {
            let target = canonical(&item.link).map_err(|_| outside(&item.link))?;
            if target != item.path {
                self.replaceable(&item.path, existing)?;
                self.link(target, &item.path)?;
            }
            return Ok(());
        }
        let tmp = self.tmp();
        let made = self.unpack(&tmp, item, data).inspect_err(|_| self.discard(&tmp))?;
        let made = self.hide_lower(made, existing).inspect_err(|_| self.discard(&tmp))?;
        self.replaceable(&item.path, existing).inspect_err(|_| self.discard(&tmp))?;
        self.place(&mut self.writer(), &item.path, made)
    }

    /// What is at `path` goes. A whiteout stays: the new file takes its place.
    fn replaceable(&self, path: &[u8], existing: State) -> Result<(), Error> {
        match existing {
            State::Entry(_) => self.clear(path),
            _ => Ok(()),
        }
    }

    /// Directories that the archive does not name: they show the lower ones.
    fn import_parents(&self, parent: &[u8]) -> Result<(), Error> {
        let mut at = Vec::new();
        for name in components(parent) {
            at = join(&at, name);
            let existing = match self.state(&at) {
                State::Entry(e) if e.is_directory() => continue,
                existing @ State::Entry(_) => {
                    self.clear(&at)?;
                    existing
                }
                existing => existing,
            };
            let tmp = self.tmp();
            self.dir().mkdir(&tmp, 0o755).map_err(self.host("mkdir", &tmp))?;
            let made = self.describe(&tmp, &at, None, None);
            let made = made.and_then(|made| self.hide_lower(made, existing));
            let made = made.inspect_err(|_| self.discard(&tmp))?;
            self.place(&mut self.writer(), &at, made)?;
        }
        Ok(())
    }

    /// A directory in place of what was removed or was none does not show the lower one.
    fn hide_lower(&self, made: Made, existing: State) -> Result<Made, Error> {
        let is_new = matches!(existing, State::Whiteout | State::Entry(_));
        if made.inode.real != FileKind::Directory || !is_new {
            return Ok(made);
        }
        self.mark_opaque(&made.tmp)?;
        Ok(Made { opaque: true, ..made })
    }

    fn unpack(&self, tmp: &[u8], item: &Item, data: &mut dyn Read) -> Result<Made, Error> {
        let host = |call| self.host(call, tmp);
        match item.kind {
            EntryType::Directory => self.dir().mkdir(tmp, 0o700).map_err(host("mkdir"))?,
            EntryType::Symlink => {
                self.dir().symlink(&item.link, tmp).map_err(host("symlink"))?;
            }
            EntryType::Fifo => {
                self.dir().mknod(tmp, FileKind::Fifo, 0o600).map_err(host("mknod"))?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::Char | EntryType::Block => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND;
                let fd = self.dir().open(tmp, flags, 0o600).map_err(host("open"))?;
                let mut buf = vec![0; 1 << 16];
                loop {
                    let n = data.read(&mut buf).map_err(damaged)?;
                    if n == 0 {
                        break;
                    }
                    let bytes = buf.get(..n).unwrap_or_default();
                    self.dir().append(&fd, bytes).map_err(host("write"))?;
                }
            }
            other => {
                return Err(Error::Archive { what: format!("an entry of type {other:?}") });
            }
        }
        let mut made = self.describe(tmp, &item.path, Some(item.attributes), None)?;
        for (name, value) in &item.xattrs {
            let Some(stored) = self.stored_xattr(name) else { continue };
            if self.carries_xattrs(made.inode.real) {
                self.dir()
                    .set_xattr(tmp, &stored, value, XattrFlags::empty())
                    .map_err(host("setxattr"))?;
            } else {
                let (path, value) = (item.path.clone(), value.clone());
                made.facts.push(crate::log::Step::Set { path, key: stored, value });
            }
        }
        self.dir().set_times(tmp, Some(item.mtime), Some(item.mtime)).map_err(host("utimensat"))?;
        Ok(made)
    }
}

impl Item {
    fn of<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Self, Error> {
        let raw = entry.path_bytes().into_owned();
        let mut text = raw.as_slice();
        while let Some(rest) = text.strip_prefix(b"./".as_slice()).or(text.strip_prefix(b"/")) {
            text = rest;
        }
        while let Some(rest) = text.strip_suffix(b"/") {
            text = rest;
        }
        let text = if text == b"." { b"".as_slice() } else { text };
        let path = canonical(text).map_err(|_| outside(&raw))?.to_vec();
        let mut xattrs = Vec::new();
        if let Some(records) = entry.pax_extensions().map_err(damaged)? {
            for record in records {
                let record = record.map_err(damaged)?;
                if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                    xattrs.push((name.to_vec(), record.value_bytes().to_vec()));
                }
            }
        }
        let link = entry.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default();
        let header = entry.header();
        let kind = header.entry_type();
        let id = |n: u64| u32::try_from(n).map_err(|_| damaged_text("an id beyond 32 bits"));
        let number = |n: Option<u32>| n.unwrap_or_default();
        let special = match kind {
            EntryType::Char | EntryType::Block => {
                let major = number(header.device_major().map_err(damaged)?) & 0xfff;
                let minor = number(header.device_minor().map_err(damaged)?) & 0xf_ffff;
                let kind = if kind == EntryType::Char {
                    FileKind::CharDevice
                } else {
                    FileKind::BlockDevice
                };
                Some((kind, DevNum { major, minor }))
            }
            _ => None,
        };
        let attributes = Override {
            uid: id(header.uid().map_err(damaged)?)?,
            gid: id(header.gid().map_err(damaged)?)?,
            permissions: header.mode().map_err(damaged)? & 0o7777,
            special,
        };
        let seconds = i64::try_from(header.mtime().map_err(damaged)?).unwrap_or_default();
        let mtime = Timestamp { seconds, nanos: 0 };
        Ok(Self { path, kind, link, attributes, mtime, xattrs })
    }

    fn change(&self) -> crate::attributes::Change {
        let New { permissions, .. } = New { permissions: self.attributes.permissions, owner: None };
        crate::attributes::Change {
            permissions: Some(permissions),
            uid: Some(self.attributes.uid),
            gid: Some(self.attributes.gid),
        }
    }
}

fn damaged(e: std::io::Error) -> Error {
    match e.raw_os_error() {
        Some(number) => {
            Error::Host { call: "read", path: Vec::new(), errno: Errno::from_raw(number) }
        }
        None => Error::Archive { what: e.to_string() },
    }
}

fn damaged_text(what: &str) -> Error {
    Error::Archive { what: what.to_owned() }
}

fn outside(path: &[u8]) -> Error {
    let text = String::from_utf8_lossy(path.get(..200).unwrap_or(path)).into_owned();
    Error::Archive { what: format!("the path {text:?} is not inside the tree") }
}
