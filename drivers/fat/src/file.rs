//! The bytes of regular files: read, write, change of length.

use crate::chain::Chain;
use crate::entry::{ATTR_ARCHIVE, RawEntry};
use crate::error::Error;
use crate::le;
use crate::mounted::Mounted;
use crate::node::Node;
use abi::fs::Ino;
use abi::{Errno, Result};

/// The longest file: the entry holds its length in 32 bits.
const SIZE_MAX: u64 = 0xffff_ffff;

impl Mounted {
    /// Walks the chain of the regular file `ino`, unless it is known.
    pub(crate) fn load_chain(&mut self, ino: Ino) -> Result<()> {
        let node = self.node(ino)?;
        if node.chain.is_none() {
            let start = node.raw.start(self.vol.layout.kind);
            let chain = Chain::load(&self.vol, &mut self.table, start, u32::MAX)?;
            self.node_mut(ino)?.chain = Some(chain);
        }
        Ok(())
    }

    /// Walks the chain and checks that it holds the whole file: nothing is changed in one that does not.
    fn load_whole_chain(&mut self, ino: Ino) -> Result<()> {
        self.load_chain(ino)?;
        let node = self.node(ino)?;
        let size_bytes = node.raw.size_bytes();
        let clusters = node.chain.as_ref().map(Chain::clusters).unwrap_or_default();
        if self.vol.layout.clusters_for(u64::from(size_bytes)) > clusters {
            let start = node.raw.start(self.vol.layout.kind);
            return Err(Error::ShortChain { start, clusters, size_bytes }.into());
        }
        Ok(())
    }

    /// Reads from a file whose chain is known; `None` if it is not.
    pub(crate) fn read(&self, ino: Ino, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        let node = self.node(ino)?;
        let Some(chain) = &node.chain else { return Ok(None) };
        let size = u64::from(node.raw.size_bytes());
        let length = size.saturating_sub(offset).min(le::wide(buf.len()));
        let mut done = 0u64;
        while done < length {
            let at = chain.locate(&self.vol, offset.saturating_add(done));
            let Some((at, bytes)) = at else {
                if done > 0 {
                    break;
                }
                return Err(self.short_chain(node, chain));
            };
            let now = bytes.min(length.saturating_sub(done));
            let end = le::narrow(done.saturating_add(now));
            let part = buf.get_mut(le::narrow(done)..end).unwrap_or_default();
            self.vol.read(part, at)?;
            done = done.saturating_add(now);
        }
        Ok(Some(le::narrow(done)))
    }

    fn short_chain(&self, node: &Node, chain: &Chain) -> Errno {
        let start = node.raw.start(self.vol.layout.kind);
        let (clusters, size_bytes) = (chain.clusters(), node.raw.size_bytes());
        Error::ShortChain { start, clusters, size_bytes }.into()
    }

    /// Whether a read at this moment moves the access time of `raw` (a date; so this is also relatime).
    pub(crate) fn is_access_news(&self, raw: &RawEntry) -> bool {
        let silent = self.vol.read_only || self.vol.options.noatime;
        !silent && raw.accessed() < self.vol.options.dos_now().date
    }

    /// Moves the access date; it is written when the file is closed.
    pub(crate) fn note_access(&mut self, ino: Ino) {
        let today = self.vol.options.dos_now().date;
        if let Some(node) = self.nodes.get_mut(ino) {
            node.raw.set_accessed(today);
            self.nodes.set_dirty(ino, true);
        }
    }

    /// Notes a change of the bytes at this moment.
    fn note_change(&mut self, ino: Ino) {
        let now = self.vol.options.dos_now();
        if let Some(node) = self.nodes.get_mut(ino) {
            node.raw.set_modified(now);
            node.raw.set_attr(node.raw.attr() | ATTR_ARCHIVE);
            self.nodes.set_dirty(ino, true);
        }
    }

    /// Adds at most `want` clusters to a file whose chain is known; returns how many.
    fn extend(&mut self, ino: Ino, want: u32) -> Result<u32> {
        let mut got = 0u32;
        while got < want {
            let node = self.node(ino)?;
            let tail = node.chain.as_ref().and_then(Chain::tail);
            let fresh = node.fresh == Some(self.table.epoch);
            let goal = tail.and_then(|tail| tail.checked_add(1));
            let left = want.saturating_sub(got);
            let Some(run) = self.table.allocate(&self.vol, goal, left)? else { break };
            match tail {
                // The tail itself is not reachable on the device: no need to wait.
                Some(tail) if fresh => self.table.set(&self.vol, tail, run.first)?,
                Some(tail) => self.table.join(tail, run.first),
                None => {}
            }
            let (kind, epoch) = (self.vol.layout.kind, self.table.epoch);
            let node = self.node_mut(ino)?;
            if tail.is_none() {
                node.raw.set_start(kind, run.first);
            }
            node.fresh = Some(epoch);
            node.chain.get_or_insert_default().push(run);
            got = got.saturating_add(run.length);
        }
        Ok(got)
    }

    /// Takes back what [`extend`](Self::extend) added, so that `keep` clusters remain.
    fn retract(&mut self, ino: Ino, keep: u32) -> Result<()> {
        let kind = self.vol.layout.kind;
        let node = self.node_mut(ino)?;
        // The tail that remains may be reachable on the device.
        node.fresh = None;
        let Some(chain) = &mut node.chain else { return Ok(()) };
        let cut = chain.truncate(keep);
        match chain.tail() {
            Some(tail) => self.table.set(&self.vol, tail, kind.last_mark())?,
            None => self.node_mut(ino)?.raw.set_start(kind, 0),
        }
        self.table.free_runs(&self.vol, &cut)
    }

    /// Writes zeroes over the bytes `from .. to` of the file, which have clusters.
    fn zero(&self, ino: Ino, from: u64, to: u64) -> Result<()> {
        let chain = self.node(ino)?.chain.as_ref().ok_or(Errno::EIO)?;
        let mut offset = from;
        while offset < to {
            let (at, bytes) = chain.locate(&self.vol, offset).ok_or(Errno::EIO)?;
            let now = bytes.min(to.saturating_sub(offset));
            self.vol.write_zeroes(at, now)?;
            offset = offset.saturating_add(now);
        }
        Ok(())
    }

    fn put(&self, ino: Ino, buf: &[u8], offset: u64) -> Result<()> {
        let chain = self.node(ino)?.chain.as_ref().ok_or(Errno::EIO)?;
        let (mut rest, mut offset) = (buf, offset);
        while !rest.is_empty() {
            let (at, bytes) = chain.locate(&self.vol, offset).ok_or(Errno::EIO)?;
            let now = le::narrow(bytes).min(rest.len());
            let (part, later) = rest.split_at_checked(now).unwrap_or((rest, &[]));
            self.vol.write(part, at)?;
            offset = offset.saturating_add(le::wide(now));
            rest = later;
        }
        Ok(())
    }

    /// Writes `buf` at `offset`, a gap before it being filled with zeroes. The data is on the device when this
    /// returns; the table and the entry follow with the next writing back.
    pub(crate) fn write(&mut self, ino: Ino, buf: &[u8], offset: u64) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if offset >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        self.load_whole_chain(ino)?;
        let mut end = SIZE_MAX.min(offset.saturating_add(le::wide(buf.len())));
        let node = self.node(ino)?;
        let size = u64::from(node.raw.size_bytes());
        let have = node.chain.as_ref().map(Chain::clusters).unwrap_or_default();
        let want = self.vol.layout.clusters_for(end).saturating_sub(have);
        if want > 0 {
            let got = self.extend(ino, want)?;
            let clusters = u64::from(have.saturating_add(got));
            let room = clusters.saturating_mul(u64::from(self.vol.layout.cluster_bytes));
            if room <= offset {
                self.retract(ino, have)?;
                return Err(Errno::ENOSPC);
            }
            end = end.min(room);
        }
        let length = le::narrow(end.saturating_sub(offset));
        let filled = self.zero(ino, size, offset.max(size));
        let part = buf.get(..length).unwrap_or(buf);
        let written = filled.and_then(|()| self.put(ino, part, offset));
        if let Err(errno) = written {
            self.retract(ino, have)?;
            return Err(errno);
        }
        if end > size {
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            self.node_mut(ino)?.raw.set_size_bytes(end);
        }
        self.note_change(ino);
        Ok(length)
    }

    /// Sets the length: growth reads as zeroes, what is cut off is free at once.
    pub(crate) fn set_length(&mut self, ino: Ino, length: u64) -> Result<()> {
        let Ok(short) = u32::try_from(length) else { return Err(Errno::EFBIG) };
        let size = u64::from(self.node(ino)?.raw.size_bytes());
        if length >= size {
            self.load_whole_chain(ino)?;
        } else {
            self.load_chain(ino)?;
        }
        let node = self.node(ino)?;
        let have = node.chain.as_ref().map(Chain::clusters).unwrap_or_default();
        let need = self.vol.layout.clusters_for(length);
        if length > size {
            let want = need.saturating_sub(have);
            if self.extend(ino, want)? < want {
                self.retract(ino, have)?;
                return Err(Errno::ENOSPC);
            }
            if let Err(errno) = self.zero(ino, size, length) {
                self.retract(ino, have)?;
                return Err(errno);
            }
        }
        if need > have && length <= size {
            return Err(Errno::EUCLEAN);
        }
        self.node_mut(ino)?.raw.set_size_bytes(short);
        self.note_change(ino);
        if have > need {
            self.shorten(ino, need)?;
        }
        Ok(())
    }

    /// Frees the clusters of `ino` behind the first `keep`: entry first, then the end of the chain, then these.
    fn shorten(&mut self, ino: Ino, keep: u32) -> Result<()> {
        let kind = self.vol.layout.kind;
        if keep > 0 {
            // What was added and not yet written must be there before the entry says so.
            self.table.commit(&self.vol, false)?;
        } else {
            self.node_mut(ino)?.raw.set_start(kind, 0);
        }
        self.write_entry(ino)?;
        let Some(chain) = &mut self.node_mut(ino)?.chain else { return Ok(()) };
        let cut = chain.truncate(keep);
        if let Some(tail) = chain.tail() {
            self.table.cut(&self.vol, tail)?;
        }
        self.table.free_runs(&self.vol, &cut)
    }

    /// Frees all clusters of a file without a name that nobody has open.
    pub(crate) fn free_removed(&mut self, ino: Ino) -> Result<()> {
        let kind = self.vol.layout.kind;
        let loaded = self.load_chain(ino);
        let node = self.node_mut(ino)?;
        // A damaged chain is not freed: who knows whose clusters it holds.
        let runs = if loaded.is_ok() { node.take_runs() } else { Vec::new() };
        node.raw.set_start(kind, 0);
        node.raw.set_size_bytes(0);
        self.table.free_runs(&self.vol, &runs)
    }

    /// Ends what an operation on `ino` began: if nobody has the file open, it is written, and forgotten as far as
    /// nothing holds it; without a name, it is freed.
    pub(crate) fn settle(&mut self, ino: Ino) -> Result<()> {
        let Some(node) = self.nodes.get(ino) else { return Ok(()) };
        let mut result = Ok(());
        if node.opens == 0 && !node.is_dir {
            if node.is_removed(ino) {
                result = self.free_removed(ino);
            } else if node.is_dirty {
                result = self.write_back(false);
            }
            let clean = self.nodes.get_mut(ino).filter(|node| !node.is_dirty);
            if let Some(node) = clean {
                node.chain = None;
                node.fresh = None;
            }
        }
        self.retire(ino);
        result
    }
}
