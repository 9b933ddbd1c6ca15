//! `.viewos/format`: the version of the store and which of two forms each thing takes here.

use crate::Error;
use crate::dir::Dir;
use crate::path::PRIVATE_DIR;
use abi::Errno;
use abi::fs::{FileKind, XattrFlags};
use rustix::fs::OFlags;

/// The file that names version and forms.
pub(crate) const FORMAT_PATH: &[u8] = b".viewos/format";
/// The file that the writer locks.
pub(crate) const LOCK_PATH: &[u8] = b".viewos/lock";
/// The log of metadata and intents.
pub(crate) const LOG_PATH: &[u8] = b".viewos/log";
/// Where files are made before they get their name.
pub(crate) const TMP_PATH: &[u8] = b".viewos/tmp";
/// A whiteout of which the others are more names: no inode for each, as overlayfs does it.
pub(crate) const WHITEOUT_PATH: &[u8] = b".viewos/whiteout";
/// One more name for each copied-up file that has other lower names.
pub(crate) const LINKS_PATH: &[u8] = b".viewos/links";
/// Snapshots, one directory each.
pub(crate) const SNAPSHOTS_PATH: &[u8] = b".viewos/snapshots";

/// The xattr that tells whether a file system takes user xattrs.
const PROBE_XATTR: &[u8] = b"user.viewos.probe";

/// How a removed name is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// The character device 0:0, as overlayfs does.
    Device,
    /// An empty file `.wh.NAME`, as aufs and OCI layers do.
    Marker,
}

/// The forms a store uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How a removed name is marked; and a directory that hides the lower one: by the xattr
    /// `user.overlay.opaque`, or by the file `.wh..wh..opq` without xattrs.
    pub whiteout: WhiteoutForm,
    /// Whether metadata is in xattrs, or else in the log.
    pub xattrs: bool,
}

impl Form {
    /// What a tree without a format file is taken for: an upper directory of overlayfs.
    pub(crate) const FOREIGN: Self = Self { whiteout: WhiteoutForm::Device, xattrs: true };

    fn to_text(self) -> String {
        let whiteout = match self.whiteout {
            WhiteoutForm::Device => "device",
            WhiteoutForm::Marker => "marker",
        };
        let xattrs = if self.xattrs { "yes" } else { "no" };
        format!("viewos-cow-store 1\nwhiteout {whiteout}\nxattrs {xattrs}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "viewos-cow-store 1" {
            return None;
        }
        let whiteout = match lines.next()? {
            "whiteout device" => WhiteoutForm::Device,
            "whiteout marker" => WhiteoutForm::Marker,
            _ => return None,
        };
        let xattrs = match lines.next()? {
            "xattrs yes" => true,
            "xattrs no" => false,
            _ => return None,
        };
        lines.next().is_none().then_some(Self { whiteout, xattrs })
    }

    /// Reads the format file; `None` if there is none.
    ///
    /// # Errors
    /// - [`Error::Host`] if it cannot be read.
    /// - [`Error::Format`] if it says what this build does not know.
    pub(crate) fn read(dir: &dyn Dir) -> Result<Option<Self>, Error> {
        match crate::store::read_whole(dir, FORMAT_PATH) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(bytes.get(..256).unwrap_or(&bytes)).into_owned();
                Self::parse(&text).map(Some).ok_or(Error::Format { text })
            }
            Err(Error::Host { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Finds out by trying what the file system of `dir` can do, and writes the format file. `wanted` asks
    /// for the poorer forms where the better would work.
    ///
    /// # Errors
    /// - [`Error::Host`] if the private directory cannot be written.
    pub(crate) fn establish(dir: &dyn Dir, wanted: Option<Self>) -> Result<Self, Error> {
        let host = |call, path: &[u8]| {
            let path = path.to_vec();
            move |errno| Error::Host { call, path, errno }
        };
        let probe = b".viewos/tmp/probe";
        let fresh = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let fd = dir.open(probe, fresh, 0o600).map_err(host("open", probe))?;
        let can_xattr = dir.set_xattr(probe, PROBE_XATTR, b"1", XattrFlags::empty()).is_ok();
        dir.unlink(probe).map_err(host("unlink", probe))?;
        drop(fd);
        let can_device = dir.mknod(probe, FileKind::CharDevice, 0).is_ok();
        if can_device {
            dir.unlink(probe).map_err(host("unlink", probe))?;
        }
        let wanted = wanted.unwrap_or(Self::FOREIGN);
        let form = Self {
            whiteout: if can_device { wanted.whiteout } else { WhiteoutForm::Marker },
            xattrs: can_xattr && wanted.xattrs,
        };
        let fd = dir.open(probe, fresh, 0o600).map_err(host("open", probe))?;
        dir.append(&fd, form.to_text().as_bytes()).map_err(host("write", probe))?;
        dir.rename(probe, FORMAT_PATH, crate::dir::Move::Replace)
            .map_err(host("rename", FORMAT_PATH))?;
        Ok(form)
    }
}

/// Makes the directories of [`PRIVATE_DIR`] that are missing.
///
/// # Errors
/// - [`Error::Host`] if one cannot be made.
pub(crate) fn make_private_dirs(dir: &dyn Dir) -> Result<(), Error> {
    for path in [PRIVATE_DIR, TMP_PATH, LINKS_PATH, SNAPSHOTS_PATH] {
        match dir.mkdir(path, 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::Host { call: "mkdir", path: path.to_vec(), errno }),
        }
    }
    Ok(())
}

/// Refuses file systems like vfat, on which a name of the view could be another's. Directories that were made to
/// find out go again.
///
/// # Errors
/// - [`Error::CaseFolding`].
pub(crate) fn check_case(dir: &dyn Dir) -> Result<(), Error> {
    if dir.stat(&PRIVATE_DIR.to_ascii_uppercase()).is_err() {
        return Ok(());
    }
    if dir.stat(FORMAT_PATH).is_err() {
        for path in [SNAPSHOTS_PATH, LINKS_PATH, TMP_PATH, PRIVATE_DIR] {
            if let Err(errno) = dir.rmdir(path) {
                tracing::debug!(target: "cow_store", "left behind: {errno}");
            }
        }
    }
    Err(Error::CaseFolding)
}

#[cfg(test)]
mod tests {
    use super::{Form, WhiteoutForm};

    #[test]
    fn text_round_trips_and_unknown_text_is_refused() {
        for whiteout in [WhiteoutForm::Device, WhiteoutForm::Marker] {
            for xattrs in [true, false] {
                let form = Form { whiteout, xattrs };
                assert_eq!(Form::parse(&form.to_text()), Some(form));
            }
        }
        for bad in [
            "",
            "viewos-cow-store 2\nwhiteout device\nxattrs yes\n",
            "viewos-cow-store 1\nwhiteout tape\nxattrs yes\n",
            "viewos-cow-store 1\nwhiteout device\n",
            "viewos-cow-store 1\nwhiteout device\nxattrs yes\nmore\n",
        ] {
            assert_eq!(Form::parse(bad), None, "{bad:?}");
        }
    }
}
