// What the agent inside the processes and the engine agree on: where things lie in the mapping, and how names are hashed.
//
// The mapping is one file, mapped privately, readable and executable, into each process that has an agent:
//
//     0x0000  the agent's code
//     0x4000  the process' own page: its switch, its view, and the stubs of its patched call sites
//     0x6000  the board, which the monitor writes and all processes see: header, known directories, nodes

/// Bytes of the code, and where the process' own page begins.
pub const CODE_BYTES: usize = 0x4000;
/// Where the board begins.
pub const BOARD: usize = 0x6000;
/// Bytes of the board's header.
pub const HEADER_BYTES: usize = 0x1000;
/// Directories that are known: buckets of [`WAYS`] pairs of words (key, state of the canonical path).
pub const BUCKETS: usize = 8192;
/// Entries of a bucket: one line of the cache.
pub const WAYS: usize = 4;
/// Names that an overlay decides: single words, open addressing.
pub const NODES: usize = 1 << 17;
/// All of it, in bytes.
pub const MAPPING_BYTES: usize = BOARD + HEADER_BYTES + BUCKETS * WAYS * 16 + NODES * 8;

/// Words of the process' own page.
pub const OWN_OFF: usize = 0;
/// A number that is different in each view.
pub const OWN_VIEW: usize = 1;
/// Where the stubs begin in it.
pub const STUBS: usize = 64;
/// Bytes of a stub.
pub const STUB_BYTES: usize = 48;
/// Stubs that have room.
pub const STUBS_MAX: usize = (BOARD - CODE_BYTES - STUBS) / STUB_BYTES;

/// In [`OWN_OFF`]: the agent decides nothing.
pub const OFF_ALL: u64 = 1;
/// In [`OWN_OFF`]: the kernel's working directory is not the view's.
pub const OFF_CWD: u64 = 2;
/// In [`OWN_OFF`]: a descriptor may be that of a virtual file.
pub const OFF_FSTAT: u64 = 4;

/// Words of the board's header.
pub const GENERATION: usize = 0;
/// Not 0: the agents may decide.
pub const ON: usize = 1;
/// The word that lets a call of the agent pass the filters, in the place of a sixth argument.
pub const PASS: usize = 2;
/// What hashes begin with.
pub const SALT: usize = 3;
/// Not 0: no open file is what `fstat` of the kernel says.
pub const NO_DEVICES: usize = 4;
/// Devices on which an open file may be another one than the kernel says; zeroes behind the last.
pub const DEVICES: usize = 8;
/// How many there is room for.
pub const DEVICES_MAX: usize = 16;

/// The hash of a path so far: FNV-1a, 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(pub u64);

impl Path {
    /// Behind these bytes.
    #[must_use]
    pub fn then(self, bytes: &[u8]) -> Self {
        let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }

    /// The key of a name that an overlay decides.
    #[must_use]
    pub fn node(self) -> u64 {
        mixed(self.0)
    }

    /// The key of a directory by its text.
    #[must_use]
    pub fn directory(self, generation: u64, view: u64) -> u64 {
        mixed(mixed(self.0 ^ generation.rotate_left(32)) ^ view)
    }
}

/// The key of a directory by its device and inode numbers.
#[must_use]
pub fn inode_key(salt: u64, dev: u64, ino: u64, generation: u64, view: u64) -> u64 {
    let numbers = mixed(mixed(dev ^ salt).wrapping_add(ino));
    mixed(mixed(numbers ^ generation.rotate_left(32)) ^ !view)
}

/// The key of a lower file that was copied up, among the nodes.
#[must_use]
pub fn file_key(salt: u64, dev: u64, ino: u64) -> u64 {
    mixed(mixed(dev.wrapping_add(salt)) ^ ino)
}

/// Spreads the bits, and never gives 0, which means "free" in the tables.
fn mixed(mut h: u64) -> u64 {
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^= h >> 33;
    if h == 0 { 1 } else { h }
}
