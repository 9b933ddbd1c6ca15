//! Rights by the attributes that the view shows.

use crate::overlay::Overlay;
use abi::{Errno, Result};
use bitflags::bitflags;
use cow_store::Stat;

/// Who asks, by the ids of the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// File-system uid.
    pub uid: u32,
    /// File-system gid.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

bitflags! {
    /// What is asked of access(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Want: u32 {
        /// `X_OK`
        const EXECUTE = 1;
        /// `W_OK`
        const WRITE = 2;
        /// `R_OK`
        const READ = 4;
    }
}

/// Whether `who` has the rights `want` on a file with `stat`: the rule of path_resolution(7), with uid 0
/// having `CAP_DAC_OVERRIDE`.
#[must_use]
pub fn allows(stat: &Stat, want: Want, who: &Credentials) -> bool {
    if who.uid == 0 {
        let executable = stat.is_directory() || stat.mode & 0o111 != 0;
        return executable || !want.contains(Want::EXECUTE);
    }
    let bits = if who.uid == stat.uid {
        stat.mode >> 6
    } else if who.gid == stat.gid || who.groups.contains(&stat.gid) {
        stat.mode >> 3
    } else {
        stat.mode
    };
    Want::from_bits_truncate(bits & 7).contains(want)
}

impl Overlay {
    /// Whether this mount lets `path` be changed at all; with `wok` it seems so of everything.
    ///
    /// # Errors
    /// - `EROFS` if it comes from the source of a merge.
    pub fn may_change(&self, path: &[u8]) -> Result<()> {
        if self.options().wok {
            return Ok(());
        }
        self.actor(cow_store::path::canonical(path)?).map(drop)
    }

    /// Whether `who` may `want` on `path`, by virtual mode and owner. Directories on the way are the
    /// caller's to check, by the same function.
    ///
    /// # Errors
    /// In check order:
    /// - those of [`stat`](Self::stat).
    /// - `EROFS` for writing to what comes from the source of a merge.
    /// - `EACCES` if not.
    pub fn access(&self, path: &[u8], want: Want, who: &Credentials) -> Result<()> {
        let stat = self.stat(path)?;
        if want.contains(Want::WRITE) {
            self.may_change(path)?;
        }
        if allows(&stat, want, who) { Ok(()) } else { Err(Errno::EACCES) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Want, allows};
    use cow_store::Stat;

    #[test]
    fn the_first_class_that_fits_decides() {
        let stat = Stat { mode: 0o100_047, uid: 5, gid: 6, ..Stat::default() };
        let who = |uid, gid, groups: &[u32]| Credentials { uid, gid, groups: groups.to_vec() };
        assert!(!allows(&stat, Want::READ, &who(5, 6, &[])));
        assert!(allows(&stat, Want::READ, &who(1, 6, &[])));
        assert!(allows(&stat, Want::READ, &who(1, 1, &[6])));
        assert!(!allows(&stat, Want::WRITE, &who(1, 1, &[6])));
        assert!(allows(&stat, Want::all(), &who(1, 1, &[])));
        assert!(allows(&stat, Want::READ | Want::WRITE, &who(0, 0, &[])));
    }

    #[test]
    fn root_executes_only_what_someone_may() {
        let root = Credentials::default();
        assert!(!allows(&Stat { mode: 0o100_666, ..Stat::default() }, Want::EXECUTE, &root));
        assert!(allows(&Stat { mode: 0o100_001, ..Stat::default() }, Want::EXECUTE, &root));
        assert!(allows(&Stat { mode: 0o40_000, ..Stat::default() }, Want::EXECUTE, &root));
    }
}
