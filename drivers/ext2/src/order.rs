//! The order of direct writes: what a volume without a log keeps, so that `e2fsck -p` can mend it after a cut.
//!
//! And what a user who forgets e2fsck may go on writing to: nothing in use is called free.
//!
//! What e2fsck mends by itself: a name of an inode that is not in use is cleared, counts and bitmaps are corrected.
//! What it does not: an inode in use without a name, a directory with two. So, with a flush between:
//!
//! | step | written |
//! |---|---|
//! | 0 | data; blocks that are new and that nothing leads to yet; bitmaps with what is taken, and nothing given back |
//! | 1 | inodes that are in use before and after |
//! | 2 | directories, but not those that lost a name; of indexes, first the nodes, then the blocks that were split |
//! | 3 | inodes taken back, children before their directories |
//! | 4 | directories that lost a name |
//! | 5 | new inodes, directories before their children |
//! | 6 | bitmaps, descriptors, the superblock |
//!
//! A block of inodes may be written in several steps, each time with only those of its inodes changed whose turn it
//! is. [`Order`] remembers of the open transaction what the steps need, and finds changes that no order of writes
//! serves together: these are given a transaction of their own ([`Error::Order`]). So is a rename into a directory
//! that was just made, and one that replaces a file by one that was just made: then the new file is durable first, and
//! the name leads to the old contents or to all of the new.
//!
//! A file that a rename replaced would have no name between steps 2 and 3: it is given one, `#` and its number, in the
//! block where the new one is, and loses it in step 4.
//!
//! What remains: there may be no room for that name; a directory that moves between two blocks has two names or none;
//! an index that is made or split shows names twice; with checksums, a group may have inodes in what its descriptor
//! calls unused. There e2fsck asks, and `-y` mends.
//!
//! A change that is taken back leaves its marks: they only make the order stricter.

use crate::error::{Error, Result};
use crate::inode::{Inode, InodeFlags};
use crate::le::{put_u32, u16_at, u32_at, us};
use crate::seal::Kind;
use crate::tx::Dirty;
use crate::volume::Volume;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// `i_links_count`
const LINKS: usize = 26;
/// `i_flags`
const FLAGS: usize = 32;
/// A chain of directories that is longer is taken for this long.
const DEPTH_MAX: usize = 4096;

/// What the open transaction did to names and inodes.
#[derive(Default)]
pub(crate) struct Order {
    /// New inodes, and the directory of each.
    births: HashMap<u32, u32>,
    /// Inodes taken back, and the directory of each.
    deaths: HashMap<u32, u32>,
    /// Directory blocks that got a name of an inode that is durable.
    gains: HashSet<u64>,
    /// Directory blocks that lost such a name.
    losses: HashSet<u64>,
    /// Directory blocks where a rename put a name in the place of these inodes'.
    replaced: HashMap<u64, Vec<u32>>,
    /// Blocks of an index of which a part went to a block of its own.
    splits: HashSet<u64>,
}

impl Order {
    /// Whether an inode was taken back: its number is not handed out before that is durable.
    pub(crate) fn is_dead(&self, ino: u32) -> bool {
        self.deaths.contains_key(&ino)
    }

    /// Whether inodes are held back.
    pub(crate) fn has_dead(&self) -> bool {
        !self.deaths.is_empty()
    }

    pub(crate) fn bury(&mut self, ino: u32) {
        self.deaths.entry(ino).or_insert(0);
    }
}

/// How many directories of the map are above an inode.
fn depth(parents: &HashMap<u32, u32>, ino: u32) -> usize {
    let above = std::iter::successors(parents.get(&ino), |parent| parents.get(parent));
    above.take(DEPTH_MAX).count()
}

impl Volume {
    fn has_order(&self) -> bool {
        self.journal.is_none()
    }

    /// Says that an inode is new and in which directory its name is.
    pub(crate) fn mark_born(&mut self, ino: u32, parent: u32) {
        if self.has_order() {
            self.tx.order.births.insert(ino, parent);
        }
    }

    /// Says that `block` of directory `dir` is about to lose a name of `inode`.
    ///
    /// # Errors
    /// - `Order` if the block got a name that another lost.
    pub(crate) fn mark_loss(&mut self, dir: &Inode, block: u64, inode: &Inode) -> Result<()> {
        if self.lose(block, inode)? && (inode.links <= 1 || inode.is_dir()) {
            self.tx.order.deaths.insert(inode.ino, dir.ino);
        }
        Ok(())
    }

    /// Notes that `block` loses a name of `inode`; whether that is of importance.
    fn lose(&mut self, block: u64, inode: &Inode) -> Result<bool> {
        let order = &mut self.tx.order;
        if self.journal.is_some() || order.births.contains_key(&inode.ino) {
            return Ok(false);
        }
        if order.gains.contains(&block) {
            return Err(Error::Order);
        }
        order.losses.insert(block);
        Ok(true)
    }

    /// Says that a name of `inode` is in `block` of directory `dir`, in the place of one of `replaces`.
    ///
    /// # Errors
    /// - `Order` if the block lost a name, the directory is new, or a new inode replaces a durable one.
    pub(crate) fn mark_gain(
        &mut self,
        dir: &Inode,
        block: u64,
        inode: &Inode,
        replaces: Option<&Inode>,
    ) -> Result<()> {
        let order = &mut self.tx.order;
        if self.journal.is_some() {
            return Ok(());
        }
        if order.births.contains_key(&inode.ino) {
            if replaces.is_some_and(|old| !order.births.contains_key(&old.ino)) {
                return Err(Error::Order);
            }
            order.births.insert(inode.ino, dir.ino);
            return Ok(());
        }
        if order.losses.contains(&block) || order.births.contains_key(&dir.ino) {
            return Err(Error::Order);
        }
        order.gains.insert(block);
        if let Some(old) = replaces.filter(|old| old.links <= 1 || old.is_dir()) {
            order.replaced.entry(block).or_default().push(old.ino);
        }
        Ok(())
    }

    /// As [`mark_gain`](Self::mark_gain), for a name that is looked up.
    ///
    /// # Errors
    /// - `Order`
    pub(crate) fn mark_gain_of(&mut self, dir: &Inode, name: &[u8], inode: &Inode) -> Result<()> {
        if !self.has_order() {
            return Ok(());
        }
        match self.find(dir, name)? {
            Some(found) => self.mark_gain(dir, found.block, inode, None),
            None => Ok(()),
        }
    }

    /// Says that a name went from one block to another.
    ///
    /// # Errors
    /// - `Order` if the block got a name that another lost.
    pub(crate) fn mark_left(&mut self, block: u64, inode: &Inode) -> Result<()> {
        self.lose(block, inode).map(drop)
    }

    /// Says that a part of `block` goes to a new block, to which a node of the index leads.
    pub(crate) fn mark_split(&mut self, block: u64) {
        if self.has_order() {
            self.tx.order.splits.insert(block);
        }
    }

    /// Writes the transaction to its places.
    pub(crate) fn commit_in_place(&mut self) -> Result<()> {
        let order = core::mem::take(&mut self.tx.order);
        self.flush()?;
        self.write_blocks(self.claims()?)?;
        self.write_stage(|_, dirty| is_content(dirty) && dirty.is_fresh)?;
        self.flush()?;
        let mut inodes = self.inode_blocks()?;
        inodes.show_live();
        self.write_inodes(&mut inodes)?;
        let replaced = self.with_replaced(&order);
        let is_lost = |block, dirty: &Dirty| {
            is_content(dirty) && !dirty.is_fresh && order.losses.contains(&block)
        };
        let is_kept = |block: u64, dirty: &Dirty| {
            is_content(dirty) && !dirty.is_fresh && !order.losses.contains(&block)
        };
        let is_split = |block: u64| order.splits.contains(&block);
        self.write_stage_as(|block, dirty| is_kept(block, dirty) && !is_split(block), &replaced)?;
        self.write_stage_as(|block, dirty| is_kept(block, dirty) && is_split(block), &replaced)?;
        for dead in by_depth(&order.deaths).into_values().rev() {
            self.show(&mut inodes, &dead)?;
            self.write_inodes(&mut inodes)?;
        }
        inodes.show_dead();
        self.write_inodes(&mut inodes)?;
        self.write_stage(|block, dirty| is_lost(block, dirty) || replaced.contains_key(&block))?;
        for born in by_depth(&order.births).into_values() {
            self.show(&mut inodes, &born)?;
            self.write_inodes(&mut inodes)?;
        }
        inodes.show_all();
        self.write_inodes(&mut inodes)?;
        self.write_stage(|_, dirty| !is_content(dirty) && dirty.kind != Kind::Inodes)?;
        for (block, dirty) in self.tx.dirty.drain() {
            self.cache.insert(block, dirty.bytes);
        }
        Ok(())
    }

    /// Bitmaps that say of everything that is taken or was that it is. With checksums in descriptors these would have
    /// to follow; there a cut makes the driver refuse a bitmap rather than trust it.
    fn claims(&self) -> Result<Vec<(u64, Arc<Vec<u8>>)>> {
        let mut claims = Vec::new();
        if self.sb.has_group_csum() {
            return Ok(claims);
        }
        for (&block, dirty) in &self.tx.dirty {
            if !matches!(dirty.kind, Kind::BlockBitmap(_) | Kind::InodeBitmap(_)) {
                continue;
            }
            let mut bits = vec![0; self.sb.block_bytes()];
            self.device.read_at(&mut bits, self.sb.byte_of(block)).map_err(Error::Io)?;
            let before = bits.clone();
            for (bits, taken) in bits.iter_mut().zip(dirty.bytes.iter()) {
                *bits |= taken;
            }
            if bits != before {
                claims.push((block, Arc::new(bits)));
            }
        }
        Ok(claims)
    }

    /// The blocks where files were replaced, with names for these.
    fn with_replaced(&self, order: &Order) -> HashMap<u64, Arc<Vec<u8>>> {
        let mut blocks = HashMap::new();
        for (&block, numbers) in &order.replaced {
            let Some(dirty) = self.tx.dirty.get(&block).filter(|dirty| is_content(dirty)) else {
                continue;
            };
            let mut bytes = dirty.bytes.to_vec();
            for &ino in numbers {
                self.insert_stray(&mut bytes, ino);
            }
            self.seal(block, dirty.kind, &mut bytes);
            blocks.insert(block, Arc::new(bytes));
        }
        blocks
    }

    /// Writes the blocks that belong to a step, and makes them durable.
    fn write_stage(&self, belongs: impl Fn(u64, &Dirty) -> bool) -> Result<()> {
        self.write_stage_as(belongs, &HashMap::new())
    }

    /// As [`write_stage`](Self::write_stage), with other bytes for some blocks.
    fn write_stage_as(
        &self,
        belongs: impl Fn(u64, &Dirty) -> bool,
        others: &HashMap<u64, Arc<Vec<u8>>>,
    ) -> Result<()> {
        let all = self.tx.dirty.iter().filter(|(block, dirty)| belongs(**block, dirty));
        let bytes_of = |block, dirty: &Dirty| Arc::clone(others.get(block).unwrap_or(&dirty.bytes));
        let blocks: Vec<_> = all.map(|(block, dirty)| (*block, bytes_of(block, dirty))).collect();
        if blocks.is_empty() {
            return Ok(());
        }
        self.write_blocks(blocks)?;
        self.flush()
    }

    /// The blocks of inodes as the device has them, and as they are to be.
    fn inode_blocks(&self) -> Result<Inodes> {
        let mut blocks = BTreeMap::new();
        for (&block, dirty) in self.tx.dirty.iter().filter(|(_, dirty)| dirty.kind == Kind::Inodes)
        {
            let mut shown = vec![0; self.sb.block_bytes()];
            if !dirty.is_fresh {
                self.device.read_at(&mut shown, self.sb.byte_of(block)).map_err(Error::Io)?;
            }
            let wanted = Arc::clone(&dirty.bytes);
            blocks.insert(block, Block { shown, wanted, is_changed: dirty.is_fresh });
        }
        let hides_index = !self.sb.has_metadata_csum();
        Ok(Inodes { blocks, size: us(self.sb.inode_size), hides_index })
    }

    fn show(&self, inodes: &mut Inodes, numbers: &[u32]) -> Result<()> {
        for &ino in numbers {
            let place = self.inode_place(ino)?;
            inodes.show(place.block, place.offset);
        }
        Ok(())
    }

    fn write_inodes(&self, inodes: &mut Inodes) -> Result<()> {
        let blocks = inodes.take_changed();
        if blocks.is_empty() {
            return Ok(());
        }
        self.write_blocks(blocks)?;
        self.flush()
    }
}

/// Whether a block holds names, or says where contents are.
fn is_content(dirty: &Dirty) -> bool {
    match dirty.kind {
        Kind::Dir(_) | Kind::Extent(_) | Kind::Xattr | Kind::Plain => true,
        Kind::BlockBitmap(_)
        | Kind::InodeBitmap(_)
        | Kind::Descs(_)
        | Kind::Super
        | Kind::Inodes => false,
    }
}

/// Inodes by the number of directories above them that are in the map as well.
fn by_depth(parents: &HashMap<u32, u32>) -> BTreeMap<usize, Vec<u32>> {
    let mut levels: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for &ino in parents.keys() {
        levels.entry(depth(parents, ino)).or_default().push(ino);
    }
    levels
}

struct Block {
    shown: Vec<u8>,
    wanted: Arc<Vec<u8>>,
    is_changed: bool,
}

/// Blocks of inodes, of which some inodes show their new state already.
struct Inodes {
    blocks: BTreeMap<u64, Block>,
    size: usize,
    /// A directory in use is said to have an index only when all else is written: before, it is read name by name.
    hides_index: bool,
}

impl Inodes {
    fn show(&mut self, block: u64, at: usize) {
        let (size, hides) = (self.size, self.hides_index);
        if let Some(block) = self.blocks.get_mut(&block) {
            block.show(at, size, hides);
        }
    }

    /// Shows the inodes for whose use, before and after, `is_due` is true.
    fn show_where(&mut self, is_due: impl Fn(bool, bool) -> bool) {
        let (size, hides) = (self.size, self.hides_index);
        for block in self.blocks.values_mut() {
            for at in (0..block.wanted.len()).step_by(size.max(1)) {
                let links = at.saturating_add(LINKS);
                let (was, is) =
                    (u16_at(&block.shown, links) != 0, u16_at(&block.wanted, links) != 0);
                if is_due(was, is) {
                    block.show(at, size, hides);
                }
            }
        }
    }

    fn show_live(&mut self) {
        self.show_where(|was, is| was == is);
    }

    fn show_dead(&mut self) {
        self.show_where(|was, is| was && !is);
    }

    fn show_all(&mut self) {
        self.hides_index = false;
        self.show_where(|_, _| true);
    }

    fn take_changed(&mut self) -> Vec<(u64, Arc<Vec<u8>>)> {
        let mut changed = Vec::new();
        for (&number, block) in &mut self.blocks {
            if core::mem::take(&mut block.is_changed) {
                changed.push((number, Arc::new(block.shown.clone())));
            }
        }
        changed
    }
}

impl Block {
    fn show(&mut self, at: usize, size: usize, hides_index: bool) {
        let end = at.saturating_add(size);
        let (Some(shown), Some(wanted)) = (self.shown.get_mut(at..end), self.wanted.get(at..end))
        else {
            return;
        };
        let is_used = u16_at(shown, LINKS) != 0;
        let was_indexed = u32_at(shown, FLAGS) & InodeFlags::INDEX.bits() != 0;
        let before = shown.to_vec();
        shown.copy_from_slice(wanted);
        if hides_index && is_used && !was_indexed {
            let flags = u32_at(shown, FLAGS) & !InodeFlags::INDEX.bits();
            put_u32(shown, FLAGS, flags);
        }
        self.is_changed |= *shown != before;
    }
}
