//! A directory entry: one record, or the run of records of a file with many sections.

use crate::directory::RecordWalk;
use crate::error::{Corrupt, Error};
use crate::extent::{self, Section};
use crate::name;
use crate::record::{DirectoryRecord, RawDirectoryRecord, RecordFlags};
use crate::rock::RockRidge;
use crate::volume::Volume;
use abi::fs::{FileKind, Ino};

/// The most sections of one file: 8 TiB, which is what block numbers of 32 bits reach.
const SECTIONS_MAX: usize = 2048;
/// Set in inode numbers that several records share; byte positions never reach it.
pub(crate) const SHARED_BIT: u64 = 1 << 62;

/// What one name stands for.
pub(crate) struct Entry {
    raw: RawDirectoryRecord,
    /// Where the data lies, in order; one element for everything but large files.
    pub(crate) sections: Vec<Section>,
    /// The system use area of the first record.
    pub(crate) rock: RockRidge,
}

impl Entry {
    /// The next entry that is not the directory itself or its parent.
    ///
    /// # Errors
    /// - those of [`RecordWalk::next`] and [`RockRidge::read`].
    /// - [`Corrupt::Sections`] if a file with many sections has no last one.
    pub(crate) fn next(volume: &Volume, walk: &mut RecordWalk<'_>) -> Result<Option<Self>, Error> {
        while let Some(raw) = walk.next()? {
            if !raw.record().is_dot() {
                return Self::begin(volume, walk, raw).map(Some);
            }
        }
        Ok(None)
    }

    /// The entry that begins with `raw`, from which `walk` goes on.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    pub(crate) fn begin(
        volume: &Volume,
        walk: &mut RecordWalk<'_>,
        raw: RawDirectoryRecord,
    ) -> Result<Self, Error> {
        let record = raw.record();
        let rock = RockRidge::read(volume, &record)?;
        let mut sections = vec![Section::of_record(volume, &record)];
        let mut more = record.flags.contains(RecordFlags::MORE_SECTIONS);
        while more {
            let next = walk.next()?.filter(|next| next.record().name == record.name);
            let (Some(next), true) = (next, sections.len() < SECTIONS_MAX) else {
                let (position, count) = (record.position, sections.len());
                return Err(Corrupt::Sections { position, count }.into());
            };
            let next = next.record();
            sections.push(Section::of_record(volume, &next));
            more = next.flags.contains(RecordFlags::MORE_SECTIONS);
        }
        Ok(Self { raw, sections, rock })
    }

    /// The first record.
    pub(crate) fn record(&self) -> DirectoryRecord<'_> {
        self.raw.record()
    }

    /// The name in the view, `None` if it is not shown.
    pub(crate) fn shown_name(&self, volume: &Volume) -> Option<Vec<u8>> {
        name::shown(volume, &self.record(), &self.rock)
    }

    /// If it stands for a directory: the byte where that begins.
    pub(crate) fn directory_start(&self, volume: &Volume) -> Option<u64> {
        let record = self.record();
        let own = record.flags.contains(RecordFlags::DIRECTORY).then_some(record.data_block);
        self.rock.child_block.or(own).map(|block| volume.block_start(block))
    }

    /// The file type. A record that only `PX` calls a directory has no directory and is a regular file.
    pub(crate) fn kind(&self, volume: &Volume) -> FileKind {
        if self.directory_start(volume).is_some() {
            return FileKind::Directory;
        }
        match self.rock.posix.and_then(|p| FileKind::from_mode_bits(p.mode)) {
            None | Some(FileKind::Directory) => FileKind::Regular,
            Some(kind) => kind,
        }
    }

    /// The inode number: the position of the record, of a directory's own record, or what hard links share.
    pub(crate) fn ino(&self, volume: &Volume) -> Ino {
        let own = self.directory_start(volume).unwrap_or(self.raw.position);
        Ino(self.shared_number(volume).unwrap_or(own))
    }

    /// Names of one inode have one extent, or where there is no data one serial number, and the same attributes.
    /// The extent alone is not enough: writers store equal files once.
    fn shared_number(&self, volume: &Volume) -> Option<u64> {
        let posix = self.rock.posix.filter(|p| p.links > 1)?;
        let kind = self.kind(volume);
        let size_bytes = extent::total_bytes(&self.sections);
        let start = match kind {
            FileKind::Directory => return None,
            FileKind::Regular if size_bytes > 0 => self.sections.first()?.start,
            _ if posix.serial != 0 => 0,
            _ => return None,
        };
        let attributes = [posix.mode, posix.links, posix.uid, posix.gid, posix.serial];
        let fields = [start, size_bytes].into_iter().chain(attributes.map(u64::from));
        let hash = fnv1a(fields.flat_map(u64::to_le_bytes));
        Some((hash & SHARED_BIT.wrapping_sub(1)) | SHARED_BIT)
    }
}

/// The hash of Fowler, Noll and Vo in its 64-bit form `1a`: the same in every build, as inode numbers must be.
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
