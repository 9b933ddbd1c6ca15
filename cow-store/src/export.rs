//! A store as a tar archive.

use crate::error::Error;
use crate::path::{MARKER_OPAQUE, join, marker_of, split};
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::{Entry, State};
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::FileKind;
use rustix::fs::OFlags;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// What the archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// The files of the store, to be unpacked anywhere; removals are left out.
    Plain,
    /// A layer of an OCI image: removals are `.wh.NAME` files, hiding directories hold `.wh..wh..opq`.
    Oci,
}

/// What an archive holds and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Entries written.
    pub entries: u64,
    /// Paths with no place in the archive: sockets, and lower files of which only attributes are here.
    pub left: Vec<Vec<u8>>,
}

impl Store {
    /// Writes the store as a tar archive, with the owners and modes of the view, and xattrs as PAX records
    /// `SCHILY.xattr.NAME`.
    ///
    /// # Errors
    /// - [`Error::Host`] if a file cannot be read or the archive not written.
    pub fn export_tar<W: Write>(&self, writer: W, flavor: Flavor) -> Result<Exported, Error> {
        let mut builder = Builder::new(writer);
        let mut exported = Exported::default();
        let mut linked: HashMap<u64, Vec<u8>> = HashMap::new();
        for (path, state) in self.paths() {
            let written = match state {
                State::Whiteout if flavor == Flavor::Oci => {
                    let (parent, name) = split(&path).unwrap_or((b"", &path));
                    write_empty(&mut builder, &join(parent, &marker_of(name)))?;
                    true
                }
                State::Entry(entry) => {
                    let first = linked.get(&entry.ino).cloned();
                    if first.is_none() && entry.names > 1 && !entry.is_directory() {
                        linked.insert(entry.ino, path.clone());
                    }
                    self.export_entry(&mut builder, &path, &entry, first.as_deref(), flavor)?
                }
                State::Shadow(_) => {
                    exported.left.push(path);
                    continue;
                }
                _ => continue,
            };
            if written {
                exported.entries = exported.entries.saturating_add(1);
            } else {
                exported.left.push(path);
            }
        }
        builder.finish().map_err(failed(b""))?;
        Ok(exported)
    }

    fn export_entry<W: Write>(
        &self,
        builder: &mut Builder<W>,
        path: &[u8],
        entry: &Entry,
        first: Option<&[u8]>,
        flavor: Flavor,
    ) -> Result<bool, Error> {
        let stat = self.stat(path, true)?;
        let mut header = header_of(&stat);
        let name = Path::new(OsStr::from_bytes(path));
        if let Some(first) = first {
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            let first = Path::new(OsStr::from_bytes(first));
            builder.append_link(&mut header, name, first).map_err(failed(path))?;
            return Ok(true);
        }
        let kind = match stat.kind() {
            FileKind::Socket => return Ok(false),
            FileKind::Regular => EntryType::Regular,
            FileKind::Directory => EntryType::Directory,
            FileKind::Symlink => EntryType::Symlink,
            FileKind::Fifo => EntryType::Fifo,
            FileKind::CharDevice => EntryType::Char,
            FileKind::BlockDevice => EntryType::Block,
        };
        header.set_entry_type(kind);
        self.export_xattrs(builder, path)?;
        match kind {
            EntryType::Regular => {
                header.set_size(stat.size_bytes);
                let file = self.open_upper(path, OFlags::RDONLY)?;
                // A file that shrinks while it is read must not shift what follows it.
                let exact = file.reader().chain(std::io::repeat(0)).take(stat.size_bytes);
                builder.append_data(&mut header, name, exact).map_err(failed(path))?;
            }
            EntryType::Symlink => {
                let target = self.readlink(path)?;
                let target = Path::new(OsStr::from_bytes(&target));
                builder.append_link(&mut header, name, target).map_err(failed(path))?;
            }
            _ => {
                if matches!(kind, EntryType::Char | EntryType::Block) {
                    let DevNum { major, minor } = DevNum::from_raw(stat.rdev);
                    header.set_device_major(major).map_err(failed(path))?;
                    header.set_device_minor(minor).map_err(failed(path))?;
                }
                builder.append_data(&mut header, name, std::io::empty()).map_err(failed(path))?;
            }
        }
        if flavor == Flavor::Oci && entry.is_directory() && entry.opaque {
            write_empty(builder, &join(path, MARKER_OPAQUE))?;
        }
        Ok(true)
    }

    fn export_xattrs<W: Write>(&self, builder: &mut Builder<W>, path: &[u8]) -> Result<(), Error> {
        let mut records = Vec::new();
        for name in self.xattr_names(path)? {
            let value = self.xattr(path, &name)?;
            // A PAX key is text.
            if let Ok(name) = String::from_utf8(name) {
                records.push((format!("SCHILY.xattr.{name}"), value));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        builder.append_pax_extensions(records).map_err(failed(path))
    }
}

fn header_of(stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(stat.permissions());
    header.set_uid(stat.uid.into());
    header.set_gid(stat.gid.into());
    header.set_mtime(u64::try_from(stat.mtime.seconds).unwrap_or_default());
    header.set_size(0);
    header
}

fn write_empty<W: Write>(builder: &mut Builder<W>, path: &[u8]) -> Result<(), Error> {
    let mut header = header_of(&Stat::default());
    header.set_entry_type(EntryType::Regular);
    let name = Path::new(OsStr::from_bytes(path));
    builder.append_data(&mut header, name, std::io::empty()).map_err(failed(path))
}

fn failed(path: &[u8]) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_vec();
    move |e| Error::Host { call: "archive", path, errno: Errno::from(e) }
}
