//! The orphan file: what the kernel uses in place of the list of orphans when the feature
//! `orphan_file` is on.
//!
//! Each block holds inode numbers, 0 for none, and at its end a magic number and a checksum. What a
//! mount finds there is moved to the list of orphans, which this driver goes on with; it never adds
//! to the file. Source: `Documentation/filesystems/ext4/orphan.rst`.

use crate::csum::crc32c;
use crate::error::{Corrupt, Error, Result, Summed};
use crate::features::{Compat, RoCompat};
use crate::inode::Inode;
use crate::le::{bytes_at, put_u32, u32_at};
use crate::map::Place;
use crate::seal::Kind;
use crate::superblock::field;
use crate::volume::Volume;

/// `EXT4_ORPHAN_BLOCK_MAGIC`
const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of the magic number and the checksum.
const TAIL: usize = 8;

/// The checksum of a block of the orphan file.
fn sum(file: &Inode, block: u64, bytes: &[u8]) -> u32 {
    let entries = bytes_at(bytes, 0, bytes.len().saturating_sub(TAIL));
    crc32c(crc32c(file.seed, &block.to_le_bytes()), entries)
}

impl Volume {
    /// Moves what the orphan file holds to the list of orphans.
    pub(crate) fn empty_orphan_file(&mut self) -> Result<()> {
        let is_used = self.sb.compat.contains(Compat::ORPHAN_FILE)
            && self.sb.ro_compat.contains(RoCompat::ORPHAN_PRESENT);
        if !is_used {
            return Ok(());
        }
        let ino = self.sb.orphan_file_ino;
        let file = match self.inode_any(ino) {
            Err(Error::Answer(_)) => return Err(Corrupt::Orphan { ino }.into()),
            other => other?,
        };
        for file_block in 0..self.sb.block_of(file.size) {
            let Place::Data(block) = self.map(&file, file_block, 1)?.place else {
                return Err(Corrupt::Orphan { ino }.into());
            };
            self.empty_orphan_block(&file, block)?;
        }
        self.change(|volume| {
            let raw = volume.edit_super()?;
            let bits = u32_at(raw, field::RO_COMPAT) & !RoCompat::ORPHAN_PRESENT.bits();
            put_u32(raw, field::RO_COMPAT, bits);
            Ok(())
        })
    }

    fn empty_orphan_block(&mut self, file: &Inode, block: u64) -> Result<()> {
        let bytes = self.block(block, Kind::Plain)?;
        let tail = bytes.len().saturating_sub(TAIL);
        if u32_at(&bytes, tail) != MAGIC {
            return Err(Corrupt::Orphan { ino: file.ino }.into());
        }
        let summed = u32_at(&bytes, tail.saturating_add(4));
        let is_summed = self.sb.has_metadata_csum();
        if is_summed && summed != sum(file, block, &bytes) {
            return Err(Error::Checksum(Summed::Inode(file.ino)));
        }
        let slots: Vec<usize> =
            (0..tail).step_by(4).filter(|&at| u32_at(&bytes, at) != 0).collect();
        for at in slots {
            let ino = u32_at(&bytes, at);
            self.change(|volume| {
                let mut orphan = volume.orphan(ino)?;
                volume.add_orphan(&mut orphan)?;
                volume.store_inode(&orphan)?;
                let bytes = volume.edit(block, Kind::Plain)?;
                put_u32(bytes, at, 0);
                if is_summed {
                    let sum = sum(file, block, bytes);
                    put_u32(bytes, tail.saturating_add(4), sum);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
