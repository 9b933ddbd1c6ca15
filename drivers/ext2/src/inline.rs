//! Inline data: a small file or directory in its inode, the first 60 bytes in `i_block`, the rest
//! as the value of the attribute `system.data`.

use crate::error::{Corrupt, Result};
use crate::inode::Inode;
use crate::volume::Volume;
use crate::xattr::{INDEX_SYSTEM, in_inode};

impl Volume {
    /// All bytes that lie in the inode; those of a file end with the file.
    pub(crate) fn inline_data(&self, inode: &Inode) -> Result<Vec<u8>> {
        let raw = self.inode_bytes(inode.ino)?;
        let mut data = inode.i_block.to_vec();
        let area = in_inode(inode, &raw)?.ok_or(Corrupt::Inline { ino: inode.ino })?;
        for entry in area.entries() {
            let entry = entry?;
            if entry.index == INDEX_SYSTEM && entry.name == b"data" {
                data.extend_from_slice(area.value(&entry)?);
                break;
            }
        }
        Ok(data)
    }
}
