//! Why something failed, with the numbers; and the one place where it becomes an [`Errno`].

use abi::Errno;
use abi::module::MountError;

/// The result of everything inside this crate.
pub(crate) type Result<T> = core::result::Result<T, Error>;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A structure on the image contradicts the format.
    #[error("corrupt: {0}")]
    Corrupt(#[from] Corrupt),
    /// A checksum does not match.
    #[error("wrong checksum of {0}")]
    Checksum(Summed),
    /// The image needs what this driver does not have.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The device below failed.
    #[error("device: {0}")]
    Io(Errno),
    /// Not a failure but an answer: no such name, no space.
    #[error("{0}")]
    Answer(Errno),
    /// No order of writes serves a change and what the transaction holds: it is committed first.
    #[error("no order of writes")]
    Order,
}

/// What a checksum was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Summed {
    /// The superblock.
    #[error("the superblock")]
    Super,
    /// A group descriptor.
    #[error("the descriptor of group {0}")]
    Descriptor(u32),
    /// A block bitmap.
    #[error("the block bitmap of group {0}")]
    BlockBitmap(u32),
    /// An inode bitmap.
    #[error("the inode bitmap of group {0}")]
    InodeBitmap(u32),
    /// An inode.
    #[error("inode {0}")]
    Inode(u32),
    /// A directory block.
    #[error("the directory block {0}")]
    Directory(u64),
    /// A block of an extent tree.
    #[error("the extent block {0}")]
    Extent(u64),
    /// A block of extended attributes.
    #[error("the attribute block {0}")]
    Xattr(u64),
    /// The journal's superblock.
    #[error("the journal superblock")]
    Journal,
    /// A block of the journal's log.
    #[error("the log block {0}")]
    Log(u32),
}

/// What the image needs and this driver does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// No ext superblock there.
    #[error("not an ext2, ext3 or ext4 image: magic 0x{0:04x} in place of 0xef53")]
    Magic(u16),
    /// A revision of the superblock that is not known.
    #[error("revision {0} of the superblock is not known")]
    Revision(u32),
    /// Bits of `s_feature_incompat` that are not known.
    #[error("incompatible features 0x{0:x} are not supported")]
    Incompat(u32),
    /// The checksum type is not CRC-32C.
    #[error("checksum type {0} is not supported")]
    ChecksumType(u8),
    /// The journal is on another device and needs recovery.
    #[error("the journal is on another device and holds changes; mount with noload to ignore it")]
    ExternalJournal,
    /// Bits of the journal's `s_feature_incompat` that are not known.
    #[error("features 0x{0:x} of the journal are not supported")]
    JournalFeatures(u32),
}

/// Every way an image can contradict the format, with the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
pub enum Corrupt {
    #[error("the superblock's {field} is {value}")]
    Super { field: &'static str, value: u64 },
    #[error("group {group} has its {what} at block {block}")]
    GroupBlock { group: u32, what: &'static str, block: u64 },
    #[error("block {block} is outside the file system")]
    Block { block: u64 },
    #[error("inode number {ino} does not exist")]
    Ino { ino: u64 },
    #[error("inode {ino} has mode 0{mode:o}")]
    Mode { ino: u32, mode: u16 },
    #[error("inode {ino} has an extra size of {size}")]
    ExtraSize { ino: u32, size: u16 },
    #[error("inode {ino} has a size of {size} bytes")]
    Size { ino: u32, size: u64 },
    #[error("inode {ino} is in use by a name but free")]
    FreeInode { ino: u32 },
    #[error("inode {ino} has an extent header {magic:04x}, {entries} of {max}, depth {depth}")]
    ExtentHeader { ino: u32, magic: u16, entries: u16, max: u16, depth: u16 },
    #[error("inode {ino} has an extent tree of depth {found} where {wanted} is due")]
    ExtentDepth { ino: u32, found: u16, wanted: u16 },
    #[error("inode {ino} has extents out of order at file block {block}")]
    ExtentOrder { ino: u32, block: u64 },
    #[error("inode {ino} maps file block {file_block} to {block}, {len} blocks")]
    ExtentRange { ino: u32, file_block: u64, block: u64, len: u32 },
    #[error("directory {ino} has a hole at file block {block}")]
    DirHole { ino: u32, block: u64 },
    #[error("directory {ino} has an entry of {rec_len} bytes at {offset}")]
    DirEntryLength { ino: u32, offset: u64, rec_len: u32 },
    #[error("directory {ino} has a name of {name_len} bytes in {rec_len} at {offset}")]
    DirNameLength { ino: u32, offset: u64, rec_len: u32, name_len: u8 },
    #[error("directory {ino} has a name with a slash or NUL, or an empty one, at {offset}")]
    DirName { ino: u32, offset: u64 },
    #[error("directory {ino} names inode {target} at {offset}")]
    DirTarget { ino: u32, offset: u64, target: u32 },
    #[error("directory {ino} has no entry for itself or its parent")]
    DirDots { ino: u32 },
    #[error("directory {ino} has an index of hash version {version}, {levels} levels")]
    IndexRoot { ino: u32, version: u8, levels: u8 },
    #[error("directory {ino} has an index node with {count} of {limit} entries")]
    IndexNode { ino: u32, count: u16, limit: u16 },
    #[error("directory {ino} has an index that leads to file block {block}")]
    IndexBlock { ino: u32, block: u32 },
    #[error("inode {ino} has a link target of {len} bytes")]
    LinkTarget { ino: u32, len: u64 },
    #[error("inode {ino} has inline data but no room for it")]
    Inline { ino: u32 },
    #[error("block {block} is no attribute block")]
    XattrBlock { block: u64 },
    #[error("inode {ino} has an attribute of {len} bytes at {offset}")]
    XattrEntry { ino: u32, offset: u32, len: u64 },
    #[error("inode {ino} has an ACL that is none")]
    Acl { ino: u32 },
    #[error("the journal's {field} is {value}")]
    Journal { field: &'static str, value: u64 },
    #[error("the list of orphans leads to inode {ino}")]
    Orphan { ino: u32 },
    #[error("group {group} frees {what} that is free")]
    DoubleFree { group: u32, what: &'static str },
}

impl Error {
    /// Shortens a refusal inside this crate.
    pub(crate) const fn answer<T>(errno: Errno) -> Result<T> {
        Err(Self::Answer(errno))
    }

    /// The number for the caller.
    pub(crate) const fn errno(self) -> Errno {
        match self {
            Self::Corrupt(_) => Errno::EUCLEAN,
            Self::Checksum(_) => Errno::EBADMSG,
            Self::Unsupported(_) => Errno::EINVAL,
            Self::Io(_) | Self::Order => Errno::EIO,
            Self::Answer(errno) => errno,
        }
    }

    /// Whether the image or the device is to blame, so that nothing more may be written on this
    /// ground.
    pub(crate) const fn is_doubt(self) -> bool {
        match self {
            Self::Corrupt(_) | Self::Checksum(_) | Self::Io(_) => true,
            Self::Unsupported(_) | Self::Answer(_) | Self::Order => false,
        }
    }
}

impl From<Error> for Errno {
    /// The number for the caller; the detail goes to the log, once, here.
    fn from(error: Error) -> Self {
        if error.is_doubt() {
            tracing::warn!(target: "ext2", "{error}");
        }
        error.errno()
    }
}

impl From<Error> for MountError {
    fn from(error: Error) -> Self {
        Self::new(error.errno(), error.to_string())
    }
}
