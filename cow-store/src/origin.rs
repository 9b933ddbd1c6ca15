//! Where a copied-up file came from: xattr `user.viewos.origin`.
//!
//! `DEV:INO:NLINK:SIZE:SECONDS.NANOS[:BLAKE3]` of the lower file at copy-up, numbers decimal, the device as
//! the raw `st_dev`, the digest in hexadecimal. It keeps the inode number of the file and tells whether the
//! lower file changed since.

use crate::Error;
use crate::stat::Stat;
use abi::fs::Timestamp;

/// The xattr that holds it.
pub(crate) const ORIGIN_XATTR: &[u8] = b"user.viewos.origin";

/// The longest text that can be valid.
const TEXT_BYTES_MAX: usize = 220;

/// The text of the xattr: bytes that nobody has checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawOrigin<'a>(pub(crate) &'a [u8]);

/// The identity of a lower file at its copy-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Raw `st_dev`.
    pub dev: u64,
    /// `st_ino`
    pub ino: u64,
    /// Its number of names.
    pub nlink: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its last change of data.
    pub mtime: Timestamp,
    /// The digest of its data, where it was asked for.
    pub digest: Option<[u8; 32]>,
}

impl RawOrigin<'_> {
    /// Checks the text; `path` is for the message.
    ///
    /// # Errors
    /// - [`Error::Metadata`] if a field is missing or no number.
    pub(crate) fn check(self, path: &[u8]) -> Result<Origin, Error> {
        self.parse().ok_or_else(|| Error::Metadata {
            path: path.to_vec(),
            key: String::from_utf8_lossy(ORIGIN_XATTR).into_owned(),
            text: String::from_utf8_lossy(self.0.get(..TEXT_BYTES_MAX).unwrap_or(self.0))
                .into_owned(),
        })
    }

    fn parse(self) -> Option<Origin> {
        if self.0.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut fields = std::str::from_utf8(self.0).ok()?.splitn(6, ':');
        let mut number = || fields.next()?.parse::<u64>().ok();
        let (dev, ino, nlink, size_bytes) = (number()?, number()?, number()?, number()?);
        let (seconds, nanos) = fields.next()?.split_once('.')?;
        let nanos = nanos.parse().ok().filter(|&n: &u32| n < 1_000_000_000)?;
        let mtime = Timestamp { seconds: seconds.parse().ok()?, nanos };
        let digest = match fields.next() {
            None => None,
            Some(hex) => Some(*blake3::Hash::from_hex(hex).ok()?.as_bytes()),
        };
        Some(Origin { dev, ino, nlink, size_bytes, mtime, digest })
    }
}

impl Origin {
    /// The identity of the lower file that has `stat`.
    #[must_use]
    pub const fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.dev,
            ino: stat.ino,
            nlink: stat.nlink,
            size_bytes: stat.size_bytes,
            mtime: stat.mtime,
            digest: None,
        }
    }

    /// The text to store.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { dev, ino, nlink, size_bytes, mtime, digest } = self;
        let Timestamp { seconds, nanos } = mtime;
        let mut text = format!("{dev}:{ino}:{nlink}:{size_bytes}:{seconds}.{nanos}");
        if let Some(digest) = digest {
            text.push(':');
            text.push_str(&blake3::Hash::from_bytes(*digest).to_hex());
        }
        text
    }

    /// Whether the lower file that has `stat` now is still the one that was copied up. Device numbers
    /// are not compared: they change when a disk is attached elsewhere.
    #[must_use]
    pub fn is_unchanged(&self, stat: &Stat) -> bool {
        self.ino == stat.ino && self.size_bytes == stat.size_bytes && self.mtime == stat.mtime
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, RawOrigin};
    use abi::fs::Timestamp;

    #[test]
    fn text_round_trips() {
        let mut o = Origin {
            dev: 65024,
            ino: 12,
            nlink: 2,
            size_bytes: 5,
            mtime: Timestamp { seconds: -3, nanos: 999_999_999 },
            digest: None,
        };
        assert_eq!(o.to_text(), "65024:12:2:5:-3.999999999");
        assert_eq!(RawOrigin(o.to_text().as_bytes()).check(b"").unwrap(), o);
        o.digest = Some([7; 32]);
        assert_eq!(RawOrigin(o.to_text().as_bytes()).check(b"").unwrap(), o);
    }

    #[test]
    fn text_that_is_not_valid_is_refused() {
        for bad in
            ["", "1:2:3:4", "1:2:3:4:5", "1:2:3:4:5.1000000000", "1:2:3:4:5.0:xyz", "a:b:c:d:e.f"]
        {
            assert!(RawOrigin(bad.as_bytes()).check(b"").is_err(), "{bad}");
        }
    }
}
