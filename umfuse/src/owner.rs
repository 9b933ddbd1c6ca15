//! The layer that shows other owners and fewer permissions.

use crate::layer::{Hook, Layered};
use abi::fs::{Attr, FileKind, FileSystem, SetAttr};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use std::sync::Arc;

/// A file system whose files show the owner and lack the permissions that the options say.
pub type OwnerLayer = Layered<Owner>;

/// `uid=`, `gid=`, `umask=`, `fmask=`, `dmask=`: the hook of [`OwnerLayer`].
///
/// What is stored is not touched: new files belong to their maker, and chmod stores what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Everything shows this owner.
    pub uid: Option<u32>,
    /// Everything shows this group.
    pub gid: Option<u32>,
    /// Permissions that no file shows.
    pub file_mask: u16,
    /// Permissions that no directory shows.
    pub directory_mask: u16,
}

impl Owner {
    /// Takes the options that the driver left; `fmask` and `dmask` count more than `umask`.
    ///
    /// # Errors
    /// - `EINVAL` if a value is no number of its kind.
    pub fn take(options: &mut Options) -> core::result::Result<Self, MountError> {
        let umask = mask(options, "umask")?;
        Ok(Self {
            uid: id(options, "uid")?,
            gid: id(options, "gid")?,
            file_mask: mask(options, "fmask")?.or(umask).unwrap_or(0),
            directory_mask: mask(options, "dmask")?.or(umask).unwrap_or(0),
        })
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn id(options: &mut Options, key: &str) -> core::result::Result<Option<u32>, MountError> {
    let Some(number) = options.take_number(key)? else { return Ok(None) };
    u32::try_from(number).map(Some).map_err(|_| {
        MountError::new(Errno::EINVAL, format!("option {key}={number}: must be a 32-bit number"))
    })
}

/// Octal with or without a leading 0, as umask(1) prints it.
fn mask(options: &mut Options, key: &str) -> core::result::Result<Option<u16>, MountError> {
    let Some(text) = options.take_value(key) else { return Ok(None) };
    match u16::from_str_radix(&text, 8) {
        Ok(bits) if bits <= 0o7777 => Ok(Some(bits)),
        _ => Err(MountError::new(
            Errno::EINVAL,
            format!("option {key}={text}: must be octal permission bits"),
        )),
    }
}

impl Layered<Owner> {
    /// Shows `inner` as `owner` says.
    pub fn with_owner(inner: Arc<dyn FileSystem>, owner: Owner) -> Self {
        Self::new(inner, owner)
    }
}

impl Hook for Owner {
    fn show(&self, mut attr: Attr) -> Attr {
        attr.uid = self.uid.unwrap_or(attr.uid);
        attr.gid = self.gid.unwrap_or(attr.gid);
        match attr.kind {
            FileKind::Directory => attr.perm &= !self.directory_mask,
            // The permissions of a symbolic link mean nothing and are always shown in full.
            FileKind::Symlink => {}
            _ => attr.perm &= !self.file_mask,
        }
        attr
    }

    fn admit(&self, mut changes: SetAttr) -> Result<SetAttr> {
        for (wish, shown) in [(&mut changes.uid, self.uid), (&mut changes.gid, self.gid)] {
            let Some(shown) = shown else { continue };
            // To what it is already: done. To something else: it would still show the same.
            if wish.take().is_some_and(|wish| wish != shown) {
                return Err(Errno::EPERM);
            }
        }
        Ok(changes)
    }
}
