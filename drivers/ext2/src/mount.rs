//! From a device to a file system: the superblock, the features, the journal, the options.

use crate::balloc::Zones;
use crate::error::{Corrupt, Error, Result, Unsupported};
use crate::features::{Compat, INCOMPAT_WRITE, Incompat, RO_COMPAT_WRITE};
use crate::fs::Ext2;
use crate::inode::ROOT_INO;
use crate::journal::scan::{Recovered, recover};
use crate::journal::writer::Journal;
use crate::journal::{JournalSuper, LogMap};
use crate::le::{put_u16, put_u32, u16_at};
use crate::superblock::{STATE_CLEAN, STATE_ERRORS, SUPER_BYTES, SUPER_OFFSET, Super, field};
use crate::volume::Volume;
use abi::Errno;
use abi::block::BlockDevice;
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// The type `umfuseext2`: ext2, ext3 and ext4 on any block device.
///
/// Options: `sb=N` takes the superblock at `N` KiB, as in ext4(5), read-only; `noload` ignores the
/// journal, read-only; `noatime` never moves access times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ext2Type;

/// What the options say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choices {
    pub(crate) super_kib: Option<u64>,
    pub(crate) noload: bool,
    pub(crate) noatime: bool,
}

impl FileSystemType for Ext2Type {
    fn name(&self) -> &'static str {
        "umfuseext2"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["umfuseext3", "umfuseext4"]
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn FileSystem>, MountError> {
        let FsSource::Device(device) = source else {
            return Err(MountError::new(Errno::EINVAL, "the source must be an image or a device"));
        };
        let choices = Choices {
            super_kib: options.take_number("sb")?,
            noload: options.take_flag("noload") | options.take_flag("norecovery"),
            noatime: options.take_flag("noatime"),
        };
        let volume = open(device, read_only, choices)?;
        Ok(Arc::new(Ext2::new(volume, choices.noatime)))
    }
}

/// Opens a volume.
fn open(
    device: Arc<dyn BlockDevice>,
    read_only: bool,
    choices: Choices,
) -> core::result::Result<Volume, MountError> {
    let mut volume = Volume::new(Arc::clone(&device), read_super(&*device, choices)?);
    let needs_recovery = volume.sb.incompat.contains(Incompat::RECOVER);
    if !read_only {
        check_write(&volume, choices)?;
        if needs_recovery {
            write_back(&volume)?;
            volume = Volume::new(Arc::clone(&device), read_super(&*device, choices)?);
        }
        check_root(&volume)?;
        begin_writing(&mut volume)?;
        return Ok(volume);
    }
    if needs_recovery && !choices.noload {
        let (js, map) = read_journal(&volume)?;
        let Recovered { overlay, transactions, has_fast_commits, .. } = recover(&volume, js, &map)?;
        if has_fast_commits {
            tracing::warn!(target: "ext2", "the fast commits of the journal are not shown");
        }
        tracing::info!(target: "ext2", "{transactions} transactions of the journal shown, not written");
        volume.overlay = overlay;
        // The superblock and whatever was read of it may have a younger copy in the log.
        let sb = reread_super(&volume, choices)?;
        let overlay = core::mem::take(&mut volume.overlay);
        volume = Volume::new(device, sb);
        volume.overlay = overlay;
    }
    check_root(&volume)?;
    Ok(volume)
}

/// Whether this driver can write what the image is.
///
/// # Errors
/// - `EROFS` with the reason.
fn check_write(volume: &Volume, choices: Choices) -> core::result::Result<(), MountError> {
    let refuse = |message: String| Err(MountError::new(Errno::EROFS, message));
    if volume.device.geometry().read_only {
        return refuse("the device is read-only; mount with ro".to_owned());
    }
    if choices.noload || choices.super_kib.is_some() {
        return refuse("noload and sb= are for reading; mount with ro".to_owned());
    }
    let incompat = volume.sb.incompat.difference(INCOMPAT_WRITE);
    if !incompat.is_empty() {
        return refuse(format!("{} can only be read; mount with ro", names(incompat)));
    }
    let ro_compat = volume.sb.ro_compat.difference(RO_COMPAT_WRITE);
    if !ro_compat.is_empty() {
        return refuse(format!("{} can only be read; mount with ro", names(ro_compat)));
    }
    if volume.sb.compat.contains(Compat::HAS_JOURNAL) && volume.sb.journal_ino == 0 {
        return refuse("the journal is on another device; mount with ro".to_owned());
    }
    Ok(())
}

/// The names of feature bits, the unknown ones as a number.
fn names<F: bitflags::Flags<Bits = u32>>(features: F) -> String {
    let mut unknown = features.bits();
    let mut names: Vec<String> = Vec::new();
    for (name, flag) in features.iter_names() {
        unknown &= !flag.bits();
        names.push(name.to_lowercase());
    }
    if unknown != 0 {
        names.push(format!("0x{unknown:x}"));
    }
    format!("a volume with feature {}", names.join(", "))
}

/// Writes what the log holds to its places and empties the log.
fn write_back(volume: &Volume) -> core::result::Result<(), MountError> {
    let (js, map) = read_journal(volume)?;
    let Recovered { overlay, next_sequence, transactions, has_fast_commits } =
        recover(volume, js, &map)?;
    if has_fast_commits {
        return Err(MountError::new(
            Errno::EROFS,
            "the journal holds fast commits; run e2fsck, or mount with ro to see the state before them",
        ));
    }
    tracing::info!(target: "ext2", "{transactions} transactions of the journal written");
    let mut bytes = vec![0; volume.sb.block_bytes()];
    for (block, copy) in overlay.sorted() {
        volume.read_block(copy.block, &mut bytes)?;
        copy.unescape(&mut bytes);
        volume.device.write_at(&bytes, volume.sb.byte_of(block)).map_err(Error::Io)?;
    }
    volume.flush()?;
    Journal::open(volume, js, map, next_sequence)?;
    Ok(())
}

/// From a volume that can be read to one that can be written.
fn begin_writing(volume: &mut Volume) -> Result<()> {
    volume.zones = Zones::read(volume)?;
    if volume.sb.compat.contains(Compat::HAS_JOURNAL) {
        let (js, map) = read_journal(volume)?;
        if js.start != 0 && volume.sb.incompat.contains(Incompat::RECOVER) {
            return Err(Corrupt::Journal { field: "s_start", value: u64::from(js.start) }.into());
        }
        let sequence = js.sequence;
        volume.journal = Some(Journal::open(volume, js, map, sequence)?);
    }
    let raw = volume.super_bytes()?;
    volume.state_at_mount = u16_at(&raw, field::STATE);
    if volume.state_at_mount & STATE_CLEAN == 0 && volume.journal.is_none() {
        tracing::warn!(target: "ext2", "the volume was not unmounted; running e2fsck is recommended");
    }
    if volume.state_at_mount & STATE_ERRORS != 0 {
        tracing::warn!(target: "ext2", "the volume has errors; running e2fsck is recommended");
    }
    let (free_blocks, free_inodes) = count_free(volume)?;
    volume.seed_generation();
    volume.read_only = false;
    let is_wide = volume.sb.desc_size >= 64;
    volume.write_super_now(|raw| {
        // The kernel brings these up to date at an unmount only: after a crash the descriptors are
        // right.
        put_u32(raw, field::FREE_INODES, free_inodes);
        put_u32(raw, field::FREE_BLOCKS_LO, crate::le::low32(free_blocks));
        if is_wide {
            put_u32(raw, field::FREE_BLOCKS_HI, crate::le::high32(free_blocks));
        }
        let now = crate::le::low32(abi::fs::Timestamp::now().seconds.cast_unsigned());
        put_u32(raw, field::MTIME, now);
        let mounts = u16_at(raw, field::MNT_COUNT).saturating_add(1);
        put_u16(raw, field::MNT_COUNT, mounts);
    })?;
    volume.mark_in_use()?;
    volume.empty_orphan_file()?;
    let orphans = volume.process_orphans()?;
    if orphans > 0 {
        tracing::info!(target: "ext2", "{orphans} orphans freed");
    }
    Ok(())
}

/// Free blocks and inodes by the descriptors.
fn count_free(volume: &Volume) -> Result<(u64, u32)> {
    let (mut blocks, mut inodes) = (0u64, 0u32);
    for group in 0..volume.sb.groups {
        let desc = volume.group(group)?;
        blocks = blocks.saturating_add(u64::from(desc.free_blocks));
        inodes = inodes.saturating_add(desc.free_inodes);
    }
    Ok((blocks.min(volume.sb.blocks_count), inodes.min(volume.sb.inodes_count)))
}

/// The root must be a directory that can be read.
pub(crate) fn check_root(volume: &Volume) -> Result<()> {
    for group in 0..volume.sb.groups.min(1) {
        volume.group(group)?;
    }
    let root = match volume.inode_any(ROOT_INO) {
        Err(Error::Answer(_)) => return Err(Corrupt::FreeInode { ino: ROOT_INO }.into()),
        other => other?,
    };
    if !root.is_dir() {
        let mode = crate::le::low16(root.kind.to_mode_bits());
        return Err(Corrupt::Mode { ino: ROOT_INO, mode }.into());
    }
    Ok(())
}

fn super_at(choices: Choices) -> u64 {
    choices.super_kib.filter(|&kib| kib > 1).map_or(SUPER_OFFSET, |kib| kib.saturating_mul(1024))
}

fn read_super(device: &dyn BlockDevice, choices: Choices) -> Result<Super> {
    let at = super_at(choices);
    let size = device.geometry().size_bytes;
    let mut raw = vec![0; SUPER_BYTES];
    if at.checked_add(1024).is_none_or(|end| end > size) {
        return Err(Error::Unsupported(Unsupported::Magic(0)));
    }
    device.read_at(&mut raw, at).map_err(Error::Io)?;
    Super::parse(&raw, at, size)
}

/// Reads the superblock again, through the overlay.
fn reread_super(volume: &Volume, choices: Choices) -> Result<Super> {
    let at = super_at(choices);
    let mut bytes = vec![0; volume.sb.block_bytes()];
    volume.read_block(volume.sb.block_of(at), &mut bytes)?;
    let raw = crate::le::bytes_at(&bytes, volume.sb.within(at), SUPER_BYTES);
    Super::parse(raw, at, volume.device.geometry().size_bytes)
}

/// Finds the journal and reads its superblock.
pub(crate) fn read_journal(volume: &Volume) -> Result<(JournalSuper, LogMap)> {
    let ino = volume.sb.journal_ino;
    if !volume.sb.compat.contains(Compat::HAS_JOURNAL) || ino == 0 {
        return Err(Error::Unsupported(Unsupported::ExternalJournal));
    }
    let inode = match volume.inode_any(ino) {
        Err(Error::Answer(_)) => return Err(Corrupt::FreeInode { ino }.into()),
        other => other?,
    };
    let map = LogMap::read(volume, &inode)?;
    let mut bytes = vec![0; volume.sb.block_bytes()];
    volume.read_block(map.block(0)?, &mut bytes)?;
    let blocks = volume.sb.block_of(inode.size);
    Ok((JournalSuper::parse(&bytes, volume.sb.block_size(), blocks)?, map))
}
