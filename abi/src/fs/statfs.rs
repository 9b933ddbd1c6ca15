//! What df(1) shows.

/// The figures of statfs(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// `f_type`: the magic number of the format.
    pub magic: u64,
    /// `f_bsize` and `f_frsize` in bytes.
    pub block_size: u32,
    /// `f_blocks`
    pub blocks: u64,
    /// `f_bfree`
    pub blocks_free: u64,
    /// `f_bavail`
    pub blocks_available: u64,
    /// `f_files`
    pub files: u64,
    /// `f_ffree`
    pub files_free: u64,
    /// `f_namelen` in bytes.
    pub name_bytes_max: u32,
}

impl Default for StatFs {
    /// A file system that counts nothing and has names of usual length.
    fn default() -> Self {
        Self {
            magic: 0,
            block_size: 4096,
            blocks: 0,
            blocks_free: 0,
            blocks_available: 0,
            files: 0,
            files_free: 0,
            name_bytes_max: 255,
        }
    }
}
