//! Renaming. The old entry leaves the device before the new one appears: a crash between the two loses the
//! clusters, which fsck.vfat finds, and never leaves two entries that share them.

use crate::create::Planned;
use crate::entry::{ENTRY_BYTES, RawEntry};
use crate::mounted::Mounted;
use crate::node::Place;
use crate::slots::slots_of;
use abi::fs::{Ino, Name, RenameFlags};
use abi::{Errno, Result};

/// One end of a rename.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) dir: Ino,
    pub(crate) name: Name<'a>,
}

/// A file that takes part.
#[derive(Clone, Copy)]
struct Party {
    dir: Ino,
    slot: u32,
    ino: Ino,
    is_dir: bool,
}

impl Mounted {
    pub(crate) fn rename(&mut self, from: End<'_>, to: End<'_>, flags: RenameFlags) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let no_replace = flags.contains(RenameFlags::NOREPLACE);
        if flags.contains(RenameFlags::WHITEOUT) || (exchange && no_replace) {
            return Err(Errno::EINVAL);
        }
        self.dir(from.dir)?;
        self.dir(to.dir)?;
        let from_slot = self.find(from.dir, from.name)?.ok_or(Errno::ENOENT)?;
        let to_slot = self.find(to.dir, to.name)?;
        if exchange && to_slot.is_none() {
            return Err(Errno::ENOENT);
        }
        let source = self.party(from.dir, from_slot)?;
        let target = match to_slot {
            Some(slot) => Some(self.party(to.dir, slot)?),
            None => None,
        };
        let result = self.rename_parties(source, to, target, flags);
        for party in [Some(source), target].into_iter().flatten() {
            // The error of the rename counts before one of what follows it.
            let settled = self.settle(party.ino);
            if result.is_ok() {
                settled?;
            }
        }
        result
    }

    fn party(&mut self, dir: Ino, slot: u32) -> Result<Party> {
        let ino = self.adopt(dir, slot)?;
        Ok(Party { dir, slot, ino, is_dir: self.node(ino)?.is_dir })
    }

    fn rename_parties(
        &mut self,
        source: Party,
        to: End<'_>,
        target: Option<Party>,
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if source.is_dir && self.is_within(to.dir, source.ino) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target {
            if exchange && target.is_dir && self.is_within(source.dir, target.ino) {
                return Err(Errno::EINVAL);
            }
            if target.ino == source.ino {
                return self.rename_case(source, to, flags);
            }
            if flags.contains(RenameFlags::NOREPLACE) {
                return Err(Errno::EEXIST);
            }
            if !exchange {
                self.check_replaceable(source, target)?;
            }
        }
        // Each entry that moves is written as it is in memory: what it leads to must be on the device.
        self.write_back(false)?;
        match target {
            None => self.move_entry(source, to),
            Some(target) if exchange => self.exchange(source, target),
            Some(target) => self.replace(source, target),
        }
    }

    /// Whether `dir` is `top` or lies below it. Directories in use keep their parents in use.
    fn is_within(&self, dir: Ino, top: Ino) -> bool {
        let mut at = Some(dir);
        while let Some(ino) = at {
            if ino == top {
                return true;
            }
            at = self.nodes.get(ino).and_then(|node| node.place).map(|place| place.dir);
        }
        false
    }

    fn check_replaceable(&mut self, source: Party, target: Party) -> Result<()> {
        match (source.is_dir, target.is_dir) {
            (false, true) => return Err(Errno::EISDIR),
            (true, false) => return Err(Errno::ENOTDIR),
            (false, false) => return Ok(()),
            (true, true) => {}
        }
        let (_, _, index) = self.dir(target.ino)?;
        if index.listed.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY) }
    }

    /// Both names are the same file: at most the case changes.
    fn rename_case(&mut self, source: Party, to: End<'_>, flags: RenameFlags) -> Result<()> {
        let planned = self.plan(to.dir, to.name, Some(source.slot))?;
        let (_, _, index) = self.dir(source.dir)?;
        let is_same = index.listed.get(&source.slot).is_some_and(|l| l.name == planned.shown);
        if is_same {
            let refused = flags.contains(RenameFlags::NOREPLACE);
            return if refused { Err(Errno::EEXIST) } else { Ok(()) };
        }
        self.write_back(false)?;
        self.move_planned(source, to.dir, planned)
    }

    fn move_entry(&mut self, source: Party, to: End<'_>) -> Result<()> {
        let except = (source.dir == to.dir).then_some(source.slot);
        let planned = self.plan(to.dir, to.name, except)?;
        self.move_planned(source, to.dir, planned)
    }

    fn move_planned(&mut self, source: Party, to: Ino, planned: Planned) -> Result<()> {
        let Planned { stored, shown } = planned;
        if source.dir == to {
            let (vol, _, index) = self.dir(to)?;
            let renamed = index.rename_in_place(vol, source.slot, &stored, shown.clone())?;
            if let Some(raw) = renamed {
                self.node_mut(source.ino)?.raw = raw;
                self.touch(to);
                return Ok(());
            }
        }
        let raw = self.node(source.ino)?.raw;
        let (vol, table, index) = self.dir(to)?;
        let first = index.reserve(vol, table, slots_of(&stored))?;
        let (vol, _, index) = self.dir(source.dir)?;
        index.delete(vol, source.slot)?;
        self.move_dots(source, to)?;
        let (vol, _, index) = self.dir(to)?;
        let slot = index.add(vol, first, &stored, raw, shown)?;
        self.take_place(source, to, slot)?;
        self.touch(source.dir);
        self.touch(to);
        Ok(())
    }

    /// The file `party` has its entry in `slot` of `dir` from here on.
    fn take_place(&mut self, party: Party, dir: Ino, slot: u32) -> Result<()> {
        let (vol, _, index) = self.dir(dir)?;
        let (at, _) = index.locate(vol, slot).ok_or(Errno::EUCLEAN)?;
        let raw = index.listed.get(&slot).ok_or(Errno::EUCLEAN)?.raw;
        self.node_mut(party.ino)?.raw = raw;
        self.nodes.place(party.ino, Some(Place { dir, slot, at }));
        Ok(())
    }

    /// Makes `..` of a directory that moves lead to its new parent.
    fn move_dots(&mut self, party: Party, to: Ino) -> Result<()> {
        if !party.is_dir || party.dir == to {
            return Ok(());
        }
        let start = self.start_for_dots(to)?;
        let kind = self.vol.layout.kind;
        let (vol, _, index) = self.dir(party.ino)?;
        let (at, _) = index.locate(vol, 1).ok_or(Errno::EUCLEAN)?;
        let mut dots = RawEntry([0; ENTRY_BYTES]);
        vol.read(&mut dots.0, at)?;
        if &dots.name() != b"..         " {
            return Ok(());
        }
        dots.set_start(kind, start);
        vol.write(&dots.0, at)
    }

    /// Puts the source in the place of the target, under the name that the target has on disk.
    fn replace(&mut self, source: Party, target: Party) -> Result<()> {
        let raw = self.node(source.ino)?.raw.named_as(&self.node(target.ino)?.raw);
        let (vol, _, index) = self.dir(source.dir)?;
        index.delete(vol, source.slot)?;
        self.move_dots(source, target.dir)?;
        let (vol, _, index) = self.dir(target.dir)?;
        index.update(vol, target.slot, raw)?;
        if target.is_dir {
            self.drop_directory(target.ino)?;
        } else {
            self.lose_name(target.ino);
        }
        self.take_place(source, target.dir, target.slot)?;
        self.touch(source.dir);
        self.touch(target.dir);
        Ok(())
    }

    /// Exchanges two files in three writes; the names stay where they are. Between the writes the source, then
    /// the target, has no entry.
    fn exchange(&mut self, source: Party, target: Party) -> Result<()> {
        let (a, b) = (self.node(source.ino)?.raw, self.node(target.ino)?.raw);
        let (vol, _, index) = self.dir(source.dir)?;
        let hidden = index.hide(vol, source.slot)?;
        self.move_dots(source, target.dir)?;
        let (vol, _, index) = self.dir(target.dir)?;
        index.update(vol, target.slot, a.named_as(&b))?;
        self.move_dots(target, source.dir)?;
        let (vol, _, index) = self.dir(source.dir)?;
        index.show(vol, source.slot, hidden, b.named_as(&a))?;
        // Out of the way first, for each place to have one owner at any time.
        self.nodes.place(source.ino, None);
        self.take_place(target, source.dir, source.slot)?;
        self.take_place(source, target.dir, target.slot)?;
        self.touch(source.dir);
        self.touch(target.dir);
        Ok(())
    }
}
