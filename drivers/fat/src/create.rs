//! Making files and directories.

use crate::entry::{ATTR_ARCHIVE, ATTR_DIRECTORY, ENTRY_BYTES, RawEntry};
use crate::le;
use crate::mounted::Mounted;
use crate::name;
use crate::node::ROOT;
use crate::short::{self, Stored};
use crate::slots::slots_of;
use crate::time::DosTime;
use abi::fs::{Ino, Name};
use abi::{Errno, Result};

/// How a name will be stored, and how it will show.
pub(crate) struct Planned {
    pub(crate) stored: Stored,
    pub(crate) shown: Vec<u16>,
}

impl Mounted {
    /// Plans the storage of `name` in `dir`, where it does not exist but as the file in slot `except`.
    ///
    /// # Errors
    /// In check order: `EINVAL`, `ENAMETOOLONG`, `ENOSPC` if no short name is left.
    pub(crate) fn plan(
        &mut self,
        dir: Ino,
        name: Name<'_>,
        except: Option<u32>,
    ) -> Result<Planned> {
        let units = name::check_for_storage(name.as_bytes())?;
        let options = self.vol.options.short_names;
        let (_, _, index) = self.dir(dir)?;
        let display = |short, nt_case| {
            let mut raw = RawEntry::make(short, 0, DosTime::default());
            raw.set_nt_case(nt_case);
            short::display(&raw, options)
        };
        let is_taken = |short: &_| index.is_taken(&display(*short, 0), except);
        let stored = short::plan(&units, options, is_taken).ok_or(Errno::ENOSPC)?;
        let shown = match stored.long {
            Some(_) => units,
            None => display(stored.short, stored.nt_case),
        };
        Ok(Planned { stored, shown })
    }

    /// Checks that `name` can be made in `dir` and plans its storage.
    fn plan_new(&mut self, dir: Ino, name: Name<'_>) -> Result<Planned> {
        if self.find(dir, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        self.plan(dir, name, None)
    }

    /// Makes an empty regular file and puts it into use.
    pub(crate) fn make_file(&mut self, dir: Ino, name: Name<'_>) -> Result<Ino> {
        let Planned { stored, shown } = self.plan_new(dir, name)?;
        let raw = RawEntry::make(stored.short, ATTR_ARCHIVE, self.vol.options.dos_now());
        let (vol, table, index) = self.dir(dir)?;
        let first = index.reserve(vol, table, slots_of(&stored))?;
        let slot = index.add(vol, first, &stored, raw, shown)?;
        self.touch(dir);
        self.adopt(dir, slot)
    }

    /// Makes a directory and puts it into use: its cluster, the table, then the entry.
    pub(crate) fn make_dir(&mut self, dir: Ino, name: Name<'_>) -> Result<Ino> {
        let Planned { stored, shown } = self.plan_new(dir, name)?;
        let parent_start = self.start_for_dots(dir)?;
        let now = self.vol.options.dos_now();
        let kind = self.vol.layout.kind;
        let (vol, table, index) = self.dir(dir)?;
        let first = index.reserve(vol, table, slots_of(&stored))?;
        let run = table.allocate(vol, None, 1)?.ok_or(Errno::ENOSPC)?;
        let mut raw = RawEntry::make(stored.short, ATTR_DIRECTORY, now);
        raw.set_start(kind, run.first);
        let mut dot = raw;
        dot.set_name(*b".          ");
        let mut dotdot = raw;
        dotdot.set_name(*b"..         ");
        dotdot.set_start(kind, parent_start);
        let mut bytes = vec![0; le::index(vol.layout.cluster_bytes)];
        let entries = [dot, dotdot];
        for (place, entry) in bytes.as_chunks_mut::<ENTRY_BYTES>().0.iter_mut().zip(entries) {
            *place = entry.0;
        }
        let prepared = vol
            .write(&bytes, vol.layout.cluster_at(run.first))
            .and_then(|()| table.commit(vol, false));
        if let Err(errno) = prepared {
            table.free_runs(vol, &[run])?;
            return Err(errno);
        }
        let slot = index.add(vol, first, &stored, raw, shown)?;
        self.touch(dir);
        self.adopt(dir, slot)
    }

    /// The start cluster of `dir` as `..` below it holds it: 0 for the root, on FAT32 too.
    pub(crate) fn start_for_dots(&self, dir: Ino) -> Result<u32> {
        let start = self.node(dir)?.raw.start(self.vol.layout.kind);
        Ok(if dir == ROOT { 0 } else { start })
    }
}
