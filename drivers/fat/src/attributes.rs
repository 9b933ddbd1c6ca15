//! The attributes of files: what the format holds, and what the mount adds.

use crate::entry::ATTR_READ_ONLY;
use crate::mounted::Mounted;
use crate::time::DosTime;
use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino, SetAttr};
use abi::{Errno, Result};

impl Mounted {
    /// The attributes of `ino`.
    pub(crate) fn attr(&mut self, ino: Ino) -> Result<Attr> {
        let node = self.node(ino)?;
        let (raw, is_dir, removed) = (node.raw, node.is_dir, node.is_removed(ino));
        let (mut size, mut nlink) = (u64::from(raw.size_bytes()), 1);
        if removed {
            nlink = 0;
        }
        if is_dir {
            // A directory that can't be read still has attributes.
            (size, nlink) = match self.dir(ino) {
                Ok((_, _, index)) => (index.size_bytes(), index.directories.saturating_add(2)),
                Err(_) => (0, nlink),
            };
        }
        let options = &self.vol.options;
        let offset = options.offset_minutes;
        let mask = if is_dir { options.dmask } else { options.fmask };
        let mut perm = 0o777 & !mask;
        if !is_dir && raw.attr() & ATTR_READ_ONLY != 0 {
            perm &= !0o222;
        }
        let cluster_bytes = u64::from(self.vol.layout.cluster_bytes);
        let allocated = size.div_ceil(cluster_bytes.max(1)).saturating_mul(cluster_bytes);
        let mtime = raw.modified().to_timestamp(offset);
        let accessed = DosTime { date: raw.accessed(), time: 0, centis: 0 };
        Ok(Attr {
            ino,
            kind: if is_dir { FileKind::Directory } else { FileKind::Regular },
            perm,
            nlink,
            uid: options.uid,
            gid: options.gid,
            rdev: DevNum::default(),
            size_bytes: size,
            blocks_512: allocated / 512,
            block_size: self.vol.layout.cluster_bytes,
            atime: accessed.to_timestamp(offset),
            mtime,
            ctime: mtime,
            btime: raw.created().map(|created| created.to_timestamp(offset)),
        })
    }

    /// Changes attributes, as far as the format can hold them.
    pub(crate) fn set_attributes(&mut self, ino: Ino, changes: &SetAttr) -> Result<()> {
        let node = self.node(ino)?;
        let (is_dir, quiet) = (node.is_dir, self.vol.options.quiet);
        if changes.size_bytes.is_some() && is_dir {
            return Err(Errno::EISDIR);
        }
        if changes.size_bytes.is_some_and(|size| size > u64::from(u32::MAX)) {
            return Err(Errno::EFBIG);
        }
        let options = &self.vol.options;
        let foreign = changes.uid.is_some_and(|uid| uid != options.uid)
            || changes.gid.is_some_and(|gid| gid != options.gid)
            || changes.perm.is_some_and(|perm| perm & 0o7000 != 0);
        if foreign && !quiet {
            return Err(Errno::EPERM);
        }
        let mask = options.fmask;
        let accessed = changes.atime.map(|t| options.dos_time(t.resolve()));
        let modified = changes.mtime.map(|t| options.dos_time(t.resolve()));
        if let Some(size) = changes.size_bytes {
            self.set_length(ino, size)?;
        }
        let node = self.node_mut(ino)?;
        let before = node.raw;
        // Of the mode the format holds one bit: whether anybody may write. The rest is the mount's.
        if let (Some(perm), false) = (changes.perm, is_dir) {
            let attr = node.raw.attr() & !ATTR_READ_ONLY;
            let locked = perm & 0o222 & !mask == 0;
            node.raw.set_attr(if locked { attr | ATTR_READ_ONLY } else { attr });
        }
        if let Some(accessed) = accessed {
            node.raw.set_accessed(accessed.date);
        }
        if let Some(modified) = modified {
            node.raw.set_modified(modified);
        }
        if node.raw != before {
            self.nodes.set_dirty(ino, true);
        }
        let is_closed_dir = is_dir && self.node(ino)?.is_dirty;
        if is_closed_dir { self.write_back(false) } else { self.settle(ino) }
    }
}
