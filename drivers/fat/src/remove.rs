//! Removing names: the entry leaves the device before its clusters are free.

use crate::chain::Chain;
use crate::index::Room;
use crate::mounted::Mounted;
use abi::fs::{Ino, Name};
use abi::{Errno, Result};

impl Mounted {
    /// Removes the name of a regular file; the file lives on while it is open.
    pub(crate) fn unlink(&mut self, dir: Ino, name: Name<'_>) -> Result<()> {
        let slot = self.find(dir, name)?.ok_or(Errno::ENOENT)?;
        let (_, _, index) = self.dir(dir)?;
        if index.listed.get(&slot).is_some_and(|listed| listed.raw.is_directory()) {
            return Err(Errno::EISDIR);
        }
        let ino = self.adopt(dir, slot)?;
        let (vol, _, index) = self.dir(dir)?;
        index.delete(vol, slot)?;
        self.lose_name(ino);
        self.touch(dir);
        self.settle(ino)
    }

    /// Removes an empty directory.
    pub(crate) fn rmdir(&mut self, dir: Ino, name: Name<'_>) -> Result<()> {
        let slot = self.find(dir, name)?.ok_or(Errno::ENOENT)?;
        let (_, _, index) = self.dir(dir)?;
        if index.listed.get(&slot).is_some_and(|listed| !listed.raw.is_directory()) {
            return Err(Errno::ENOTDIR);
        }
        let ino = self.adopt(dir, slot)?;
        let (_, _, inner) = self.dir(ino)?;
        if !inner.listed.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let (vol, _, index) = self.dir(dir)?;
        index.delete(vol, slot)?;
        self.touch(dir);
        self.drop_directory(ino)
    }

    /// Takes the name of a file away, in memory.
    pub(crate) fn lose_name(&mut self, ino: Ino) {
        self.nodes.place(ino, None);
        self.nodes.set_dirty(ino, false);
    }

    /// Frees the empty directory `ino`, whose entry has left the device.
    pub(crate) fn drop_directory(&mut self, ino: Ino) -> Result<()> {
        let kind = self.vol.layout.kind;
        let index = self.dirs.remove(&ino);
        self.lose_name(ino);
        let node = self.node_mut(ino)?;
        let start = node.raw.start(kind);
        node.raw.set_start(kind, 0);
        self.nodes.forget_directory(start);
        let chain = match index.map(|index| index.room) {
            Some(Room::Chain(chain)) => chain,
            Some(Room::Fixed { .. }) | None => Chain::default(),
        };
        self.retire(ino);
        self.table.free_runs(&self.vol, &chain.runs())
    }
}
