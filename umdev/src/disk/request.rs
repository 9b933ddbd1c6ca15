//! Numbers of ioctl(2) requests on block devices (linux/fs.h, linux/blkpg.h, linux/blkzoned.h,
//! linux/hdreg.h).

/// File system block size of the file: `int *`. Answered by the kernel's VFS.
pub const FIGETBSZ: u32 = 0x0002;
/// Geometry of a hard disk: `struct hd_geometry *`.
pub const HDIO_GETGEO: u32 = 0x0301;
/// Mark read-only or writable: `const int *`.
pub const BLKROSET: u32 = 0x125d;
/// Whether read-only: `int *`.
pub const BLKROGET: u32 = 0x125e;
/// Read the partition table again.
pub const BLKRRPART: u32 = 0x125f;
/// Length in 512-byte sectors: `unsigned long *`.
pub const BLKGETSIZE: u32 = 0x1260;
/// Flush and forget cached blocks.
pub const BLKFLSBUF: u32 = 0x1261;
/// Set the readahead in 512-byte sectors: by value.
pub const BLKRASET: u32 = 0x1262;
/// Readahead in 512-byte sectors: `long *`.
pub const BLKRAGET: u32 = 0x1263;
/// As [`BLKRASET`].
pub const BLKFRASET: u32 = 0x1264;
/// As [`BLKRAGET`].
pub const BLKFRAGET: u32 = 0x1265;
/// Most sectors of one transfer: `unsigned short *`.
pub const BLKSECTGET: u32 = 0x1267;
/// Logical sector in bytes: `int *`.
pub const BLKSSZGET: u32 = 0x1268;
/// Add, delete, resize a partition: `struct blkpg_ioctl_arg *`.
pub const BLKPG: u32 = 0x1269;
/// Discard a range: `const uint64_t [2]`, start and length in bytes.
pub const BLKDISCARD: u32 = 0x1277;
/// Smallest good transfer in bytes: `unsigned int *`.
pub const BLKIOMIN: u32 = 0x1278;
/// Best transfer in bytes, 0 if unknown: `unsigned int *`.
pub const BLKIOOPT: u32 = 0x1279;
/// How far sector 0 is off the physical sector, in bytes: `int *`.
pub const BLKALIGNOFF: u32 = 0x127a;
/// Physical sector in bytes: `unsigned int *`.
pub const BLKPBSZGET: u32 = 0x127b;
/// Whether discarded blocks read as zeroes; the kernel always says 0: `unsigned int *`.
pub const BLKDISCARDZEROES: u32 = 0x127c;
/// Discard a range beyond recovery: `const uint64_t [2]`.
pub const BLKSECDISCARD: u32 = 0x127d;
/// Whether it turns: `unsigned short *`.
pub const BLKROTATIONAL: u32 = 0x127e;
/// Make a range zero: `const uint64_t [2]`.
pub const BLKZEROOUT: u32 = 0x127f;
/// Soft block size in bytes: `int *`.
pub const BLKBSZGET: u32 = 0x8008_1270;
/// Set the soft block size: `const int *`.
pub const BLKBSZSET: u32 = 0x4008_1271;
/// Length in bytes: `uint64_t *`.
pub const BLKGETSIZE64: u32 = 0x8008_1272;
/// A number that no other disk of this system ever has: `uint64_t *`.
pub const BLKGETDISKSEQ: u32 = 0x8008_1280;
/// Zone size in 512-byte sectors, 0 for disks without zones: `uint32_t *`.
pub const BLKGETZONESZ: u32 = 0x8004_1284;
/// Number of zones, 0 for disks without: `uint32_t *`.
pub const BLKGETNRZONES: u32 = 0x8004_1285;

/// Whether the kernel answers `EBADF` to `request` on a descriptor that is not open for writing.
///
/// The caller of `Device::ioctl` knows the descriptor and checks this. For [`BLKDISCARD`] the
/// kernel checks the address (`EFAULT`) before, for the others after.
#[must_use]
pub fn needs_write_access(request: u32) -> bool {
    matches!(request, BLKDISCARD | BLKSECDISCARD | BLKZEROOUT)
}
