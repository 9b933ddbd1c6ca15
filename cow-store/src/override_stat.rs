//! The attributes a file has in the view where they are not those it really has.
//!
//! Written as the xattr `user.containers.override_stat` that containers/storage, podman and fuse-overlayfs
//! use: `UID:GID:MODE[:TYPE]`. Ids are decimal, the mode is octal with the set-id and sticky bits and
//! without the type. TYPE is `file`, `dir`, `symlink`, `pipe`, `socket`, `block-MAJOR-MINOR` or
//! `char-MAJOR-MINOR`; absent, the type is the real file's.

use crate::Error;
use crate::stat::Stat;
use abi::dev::DevNum;
use abi::fs::FileKind;

/// The xattr that holds it.
pub(crate) const OVERRIDE_XATTR: &[u8] = b"user.containers.override_stat";

/// What fuse-overlayfs before 1.14 writes: the same without a type, read where the other is not there.
pub(crate) const OVERRIDE_XATTR_OLD: &[u8] = b"user.fuseoverlayfs.override_stat";

/// The longest text that can be valid: two ids, a mode, a type and two device numbers.
const TEXT_BYTES_MAX: usize = 80;

/// The text of the xattr: bytes that nobody has checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawOverride<'a>(pub(crate) &'a [u8]);

/// Checked attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission, set-id and sticky bits.
    pub permissions: u32,
    /// The type, where it is not the real file's, with its device number.
    pub special: Option<(FileKind, DevNum)>,
}

impl RawOverride<'_> {
    /// Checks the text; `path` is for the message.
    ///
    /// # Errors
    /// - [`Error::Metadata`] if a field is missing, no number, too large or unknown.
    pub(crate) fn check(self, path: &[u8]) -> Result<Override, Error> {
        self.parse().ok_or_else(|| Error::Metadata {
            path: path.to_vec(),
            key: String::from_utf8_lossy(OVERRIDE_XATTR).into_owned(),
            text: String::from_utf8_lossy(self.0.get(..TEXT_BYTES_MAX).unwrap_or(self.0))
                .into_owned(),
        })
    }

    fn parse(self) -> Option<Override> {
        if self.0.len() > TEXT_BYTES_MAX {
            return None;
        }
        // Some writers count the terminating NUL of a C string.
        let text = self.0.strip_suffix(b"\0").unwrap_or(self.0);
        let text = std::str::from_utf8(text).ok()?;
        let mut fields = text.splitn(4, ':');
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let special = match fields.next() {
            None | Some("file" | "dir" | "symlink" | "pipe" | "socket") => None,
            Some(other) => Some(device(other)?),
        };
        // Some writers store the type bits of st_mode with it.
        Some(Override { uid, gid, permissions: mode & 0o7777, special })
    }
}

/// `block-8-0`, `char-1-3`.
fn device(text: &str) -> Option<(FileKind, DevNum)> {
    let mut fields = text.splitn(3, '-');
    let kind = match fields.next()? {
        "block" => FileKind::BlockDevice,
        "char" => FileKind::CharDevice,
        _ => return None,
    };
    let major = fields.next()?.parse().ok().filter(|&n: &u32| n < 1 << 12)?;
    let minor = fields.next()?.parse().ok().filter(|&n: &u32| n < 1 << 20)?;
    Some((kind, DevNum { major, minor }))
}

impl Override {
    /// What `stat` says, with nothing changed.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        let special = match stat.kind() {
            kind @ (FileKind::BlockDevice | FileKind::CharDevice) => {
                Some((kind, DevNum::from_raw(stat.rdev)))
            }
            _ => None,
        };
        Self { uid: stat.uid, gid: stat.gid, permissions: stat.permissions(), special }
    }

    /// The text to store for a real file of type `real`.
    #[must_use]
    pub fn to_text(&self, real: FileKind) -> String {
        let Self { uid, gid, permissions, .. } = self;
        let kind = match (self.special, real) {
            (Some((FileKind::BlockDevice, DevNum { major, minor })), _) => {
                format!("block-{major}-{minor}")
            }
            (Some((_, DevNum { major, minor })), _) => format!("char-{major}-{minor}"),
            (None, FileKind::Directory) => "dir".to_owned(),
            (None, FileKind::Symlink) => "symlink".to_owned(),
            (None, FileKind::Fifo) => "pipe".to_owned(),
            (None, FileKind::Socket) => "socket".to_owned(),
            (None, _) => "file".to_owned(),
        };
        format!("{uid}:{gid}:{permissions:04o}:{kind}")
    }

    /// The mode the real file gets: no set-id bit ever reaches the host, and the owner of the store can
    /// always read and write it (and walk it).
    #[must_use]
    pub const fn real_permissions(&self, real: FileKind) -> u32 {
        match real {
            FileKind::Directory => (self.permissions & 0o1777) | 0o700,
            _ => (self.permissions & 0o777) | 0o600,
        }
    }

    /// Whether the real file of the type `real` with `stat` already says all of this.
    #[must_use]
    pub fn is_plain(&self, stat: &Stat) -> bool {
        self.special.is_none()
            && self.uid == stat.uid
            && self.gid == stat.gid
            && self.permissions == stat.permissions()
    }

    /// Puts these attributes over `stat`; the owner only if `with_owner`.
    pub fn apply(&self, stat: &mut Stat, with_owner: bool) {
        if with_owner {
            stat.uid = self.uid;
            stat.gid = self.gid;
        }
        let kind = self.special.map_or_else(|| stat.kind(), |(kind, _)| kind);
        if let Some((_, number)) = self.special {
            stat.rdev = number.to_raw();
            stat.size_bytes = 0;
            stat.blocks_512 = 0;
        }
        stat.mode = kind.to_mode_bits() | self.permissions;
    }
}

#[cfg(test)]
mod tests {
    use super::{Override, RawOverride};
    use abi::dev::DevNum;
    use abi::fs::FileKind;

    fn parse(text: &str) -> Option<Override> {
        RawOverride(text.as_bytes()).check(b"x").ok()
    }

    #[test]
    fn text_round_trips_for_every_type() {
        let null = Some((FileKind::CharDevice, DevNum { major: 1, minor: 3 }));
        let sda = Some((FileKind::BlockDevice, DevNum { major: 8, minor: 0 }));
        for (special, real, text) in [
            (None, FileKind::Regular, "0:7:4755:file"),
            (None, FileKind::Directory, "0:7:4755:dir"),
            (None, FileKind::Symlink, "0:7:4755:symlink"),
            (None, FileKind::Fifo, "0:7:4755:pipe"),
            (None, FileKind::Socket, "0:7:4755:socket"),
            (null, FileKind::Regular, "0:7:4755:char-1-3"),
            (sda, FileKind::Regular, "0:7:4755:block-8-0"),
        ] {
            let o = Override { uid: 0, gid: 7, permissions: 0o4755, special };
            assert_eq!(o.to_text(real), text);
            assert_eq!(parse(text), Some(o));
        }
    }

    #[test]
    fn texts_of_other_writers_are_read() {
        let o = Override { uid: 0, gid: 0, permissions: 0o755, special: None };
        assert_eq!(parse("0:0:0100755"), Some(o));
        assert_eq!(parse("0:0:755"), Some(o));
        assert_eq!(parse("0:0:755\0"), Some(o));
    }

    #[test]
    fn text_that_is_not_valid_is_refused() {
        for bad in [
            "",
            "0",
            "0:0",
            "0:0:8",
            "-1:0:755",
            "4294967296:0:755",
            "0:0:755:door",
            "0:0:755:char-1",
            "0:0:755:char-4096-0",
            "0:0:755:block-0-1048576",
            "0:0:755:char-1-3-4",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&"1".repeat(5000)), None);
    }

    #[test]
    fn set_id_bits_never_reach_the_host() {
        let o = Override { uid: 0, gid: 0, permissions: 0o6111, special: None };
        assert_eq!(o.real_permissions(FileKind::Regular), 0o711);
        assert_eq!(o.real_permissions(FileKind::Directory), 0o711);
        let o = Override { permissions: 0o1000, ..o };
        assert_eq!(o.real_permissions(FileKind::Directory), 0o1700);
    }
}
