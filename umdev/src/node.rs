//! The options that every device mount knows: what stat(2) says of the special file.

use abi::Errno;
use abi::dev::DevNum;
use abi::module::MountError;
use abi::options::Options;
use std::collections::BTreeSet;

/// `mode=`, `uid=`, `gid=`, `major=`, `minor=`, `ro`: what the monitor shows of the special file.
///
/// The monitor reads them from a copy of the mount's options before it calls the module, which
/// takes them too; so they need no place in the contracts. The partitions have the same, with their
/// number added to the minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// Permission bits, `0660` if not given.
    pub mode: u32,
    /// Owner, else whoever mounts.
    pub uid: Option<u32>,
    /// Group, else that of whoever mounts.
    pub gid: Option<u32>,
    /// Major number, else one of [`DevNumbers`].
    pub major: Option<u32>,
    /// Minor number of the whole, else one of [`DevNumbers`].
    pub minor: Option<u32>,
    /// `ro` was among the options.
    pub read_only: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { mode: 0o660, uid: None, gid: None, major: None, minor: None, read_only: false }
    }
}

/// The most that a major number of Linux holds.
const MAJOR_MAX: u32 = 0xfff;
/// The most that a minor number of Linux holds.
const MINOR_MAX: u32 = 0xf_ffff;

impl NodeOptions {
    /// Takes what it knows from `options` and leaves the rest.
    ///
    /// # Errors
    /// - `EINVAL` naming the first value that is not a number or out of range.
    pub fn take(options: &mut Options) -> Result<Self, MountError> {
        let default = Self::default();
        let read_only = options.take_flag("ro");
        options.take_flag("rw");
        Ok(Self {
            mode: take_mode(options)?.unwrap_or(default.mode),
            uid: take_u32(options, "uid", u32::MAX)?,
            gid: take_u32(options, "gid", u32::MAX)?,
            major: take_u32(options, "major", MAJOR_MAX)?,
            minor: take_u32(options, "minor", MINOR_MAX)?,
            read_only,
        })
    }
}

fn refused(key: &str, value: &str, why: &str) -> MountError {
    MountError::new(Errno::EINVAL, format!("option {key}={value}: {why}"))
}

/// A mode is octal with or without a leading 0, as in mount(8).
fn take_mode(options: &mut Options) -> Result<Option<u32>, MountError> {
    let Some(text) = options.take_value("mode") else { return Ok(None) };
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(Some(mode)),
        _ => Err(refused("mode", &text, "not an octal mode up to 7777")),
    }
}

fn take_u32(options: &mut Options, key: &str, max: u32) -> Result<Option<u32>, MountError> {
    let Some(number) = options.take_number(key)? else { return Ok(None) };
    match u32::try_from(number) {
        Ok(small) if small <= max => Ok(Some(small)),
        _ => Err(refused(key, &number.to_string(), &format!("above {max}"))),
    }
}

/// Major numbers for local use (devices.txt of the kernel: 240 to 254).
const LOCAL_MAJORS: core::ops::RangeInclusive<u32> = 240..=254;
/// Minor numbers of one disk: the whole and 255 partitions.
const MINORS_PER_DISK: u32 = 256;

/// Hands out device numbers to special files of one view.
#[derive(Debug, Default)]
pub struct DevNumbers {
    taken: BTreeSet<DevNum>,
}

impl DevNumbers {
    /// The number for a mount: as asked, else the lowest free one from 240:0 on in steps of 256.
    /// Numbers that were asked for may be used twice, as special files of one device may.
    ///
    /// # Errors
    /// - `ENOSPC` if all 61,440 are taken.
    pub fn allocate(&mut self, node: &NodeOptions) -> Result<DevNum, Errno> {
        let majors = node.major.map_or(LOCAL_MAJORS, |major| major..=major);
        if let Some(minor) = node.minor {
            let number = DevNum { major: *majors.start(), minor };
            self.taken.insert(number);
            return Ok(number);
        }
        let step = usize::try_from(MINORS_PER_DISK).map_err(|_| Errno::EINVAL)?;
        let free = majors
            .flat_map(|major| {
                (0..=MINOR_MAX).step_by(step).map(move |minor| DevNum { major, minor })
            })
            .find(|number| !self.is_taken(*number))
            .ok_or(Errno::ENOSPC)?;
        self.taken.insert(free);
        Ok(free)
    }

    /// Whether a device begins within the 256 numbers from `first` on.
    fn is_taken(&self, first: DevNum) -> bool {
        let last = DevNum { minor: first.minor.saturating_add(MINORS_PER_DISK - 1), ..first };
        self.taken.range(first..=last).next().is_some()
    }

    /// Gives a number back.
    pub fn free(&mut self, number: DevNum) {
        self.taken.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::{DevNumbers, NodeOptions};
    use abi::Errno;
    use abi::dev::DevNum;
    use abi::options::Options;

    fn take(text: &str) -> Result<NodeOptions, String> {
        NodeOptions::take(&mut Options::parse(text)).map_err(|e| e.message)
    }

    #[test]
    fn a_mode_is_octal_and_the_rest_stays() {
        let mut options = Options::parse("mode=644,uid=0x10,gid=20,major=8,minor=16,ro,size=1M");
        let node = NodeOptions::take(&mut options).unwrap();
        let expected = NodeOptions {
            mode: 0o644,
            uid: Some(16),
            gid: Some(20),
            major: Some(8),
            minor: Some(16),
            read_only: true,
        };
        assert_eq!(node, expected);
        assert_eq!(options.remaining(), ["size=1M"]);
        assert_eq!(take("rw"), Ok(NodeOptions::default()));
    }

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(take("mode=8").unwrap_err(), "option mode=8: not an octal mode up to 7777");
        assert_eq!(
            take("mode=17777").unwrap_err(),
            "option mode=17777: not an octal mode up to 7777"
        );
        assert_eq!(take("major=4096").unwrap_err(), "option major=4096: above 4095");
        assert_eq!(take("minor=1048576").unwrap_err(), "option minor=1048576: above 1048575");
        assert_eq!(take("uid=4294967296").unwrap_err(), "option uid=4294967296: above 4294967295");
        assert_eq!(take("gid=me").unwrap_err(), "option gid=me: not a number");
    }

    #[test]
    fn numbers_leave_room_for_partitions_and_come_back() {
        let mut numbers = DevNumbers::default();
        let any = NodeOptions::default();
        let first = numbers.allocate(&any).unwrap();
        assert_eq!(first, DevNum { major: 240, minor: 0 });
        assert_eq!(numbers.allocate(&any).unwrap(), DevNum { major: 240, minor: 256 });
        numbers.free(first);
        assert_eq!(numbers.allocate(&any).unwrap(), first);
        let asked = NodeOptions { major: Some(240), minor: Some(513), ..any };
        assert_eq!(numbers.allocate(&asked).unwrap(), DevNum { major: 240, minor: 513 });
        assert_eq!(numbers.allocate(&any).unwrap(), DevNum { major: 240, minor: 768 });
    }

    #[test]
    fn a_full_major_is_enospc() {
        let mut numbers = DevNumbers::default();
        let one = NodeOptions { major: Some(250), ..NodeOptions::default() };
        for _ in 0..4096 {
            numbers.allocate(&one).unwrap();
        }
        assert_eq!(numbers.allocate(&one), Err(Errno::ENOSPC));
    }
}
