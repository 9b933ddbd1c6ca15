//! One call of a file system, as layers and logs see it.

use abi::fs::{
    Cookie, FallocateMode, FileKind, Handle, Ino, Name, OpenFlags, RenameFlags, SeekTo, SetAttr,
    XattrFlags,
};

/// A method of [`FileSystem`](abi::fs::FileSystem) with its arguments; of data only the length.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of the methods and of their arguments")]
pub enum Call<'a> {
    Statfs,
    Sync,
    Latency,
    IsReadOnly,
    Lookup { parent: Ino, name: Name<'a> },
    Forget { ino: Ino, count: u64 },
    Getattr { ino: Ino },
    Readlink { ino: Ino },
    Open { ino: Ino, flags: OpenFlags },
    Release { handle: Handle },
    Read { handle: Handle, length: usize, offset: u64 },
    Readdir { handle: Handle, cookie: Cookie },
    Lseek { handle: Handle, offset: u64, to: SeekTo },
    Getxattr { ino: Ino, name: &'a [u8] },
    Listxattr { ino: Ino },
    Setattr { ino: Ino, changes: &'a SetAttr },
    Create { parent: Ino, name: Name<'a>, perm: u16, flags: OpenFlags },
    Tmpfile { parent: Ino, perm: u16, flags: OpenFlags },
    Mknod { parent: Ino, name: Name<'a>, kind: FileKind, perm: u16 },
    Mkdir { parent: Ino, name: Name<'a>, perm: u16 },
    Symlink { parent: Ino, name: Name<'a>, target: &'a [u8] },
    Link { ino: Ino, parent: Ino, name: Name<'a> },
    Unlink { parent: Ino, name: Name<'a> },
    Rmdir { parent: Ino, name: Name<'a> },
    Rename { parent: Ino, name: Name<'a>, new_parent: Ino, new_name: Name<'a>, flags: RenameFlags },
    Write { handle: Handle, length: usize, offset: u64 },
    Fsync { handle: Handle, data_only: bool },
    Fallocate { handle: Handle, mode: FallocateMode, offset: u64, length: u64 },
    Setxattr { ino: Ino, name: &'a [u8], length: usize, flags: XattrFlags },
    Removexattr { ino: Ino, name: &'a [u8] },
}

impl Call<'_> {
    /// Whether it changes the file system: what a read-only mount refuses with `EROFS`.
    #[must_use]
    pub const fn is_mutation(&self) -> bool {
        match self {
            Self::Open { flags, .. } => {
                flags.intersects(OpenFlags::WRITE.union(OpenFlags::TRUNCATE))
            }
            Self::Statfs
            | Self::Sync
            | Self::Latency
            | Self::IsReadOnly
            | Self::Lookup { .. }
            | Self::Forget { .. }
            | Self::Getattr { .. }
            | Self::Readlink { .. }
            | Self::Release { .. }
            | Self::Read { .. }
            | Self::Readdir { .. }
            | Self::Lseek { .. }
            | Self::Getxattr { .. }
            | Self::Listxattr { .. }
            | Self::Fsync { .. } => false,
            Self::Setattr { .. }
            | Self::Create { .. }
            | Self::Tmpfile { .. }
            | Self::Mknod { .. }
            | Self::Mkdir { .. }
            | Self::Symlink { .. }
            | Self::Link { .. }
            | Self::Unlink { .. }
            | Self::Rmdir { .. }
            | Self::Rename { .. }
            | Self::Write { .. }
            | Self::Fallocate { .. }
            | Self::Setxattr { .. }
            | Self::Removexattr { .. } => true,
        }
    }
}
