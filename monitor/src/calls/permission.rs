//! Permission as Linux decides it (`generic_permission`), for mounts that enforce it.

use super::Ctx;
use crate::credentials::{
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_MKNOD,
    Credentials,
};
use crate::mounts::Mount;
use crate::tasks::Proc;
use abi::fs::{Attr, Caller, FileKind};
use abi::{Errno, Result};
use std::sync::Arc;

/// Whether `who` has the `R_OK`, `W_OK`, `X_OK` bits of `want` on an inode.
///
/// # Errors
/// - `EACCES` if not.
pub(crate) fn check(who: &Credentials, attr: &Attr, want: i32) -> Result<()> {
    let class = if who.fsuid == attr.uid {
        attr.perm >> 6
    } else if who.is_in_group(attr.gid) {
        attr.perm >> 3
    } else {
        attr.perm
    };
    let granted = i32::from(class & 7);
    if want & !granted == 0 {
        return Ok(());
    }
    let is_directory = attr.kind == FileKind::Directory;
    if who.has(CAP_DAC_OVERRIDE)
        && (want & libc::X_OK == 0 || is_directory || attr.perm & 0o111 != 0)
    {
        return Ok(());
    }
    if who.has(CAP_DAC_READ_SEARCH)
        && (want == libc::R_OK || is_directory && want & libc::W_OK == 0)
    {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// Whether modes and owners of a mount's files bind a process: where `human` was asked for, and where owners are
/// virtual and the ids of the process are, too.
pub(crate) fn binds(mount: &Mount, proc: &Proc) -> bool {
    mount.flags.human || mount.flags.vstat && proc.ids().is_some()
}

impl Ctx<'_> {
    /// The ids that a mount's modes and owners are compared with; `None` where they do not count.
    fn bound(&self, mount: &Mount) -> Option<Arc<Credentials>> {
        binds(mount, self.proc).then(|| self.proc.credentials())
    }

    /// Checks access to an inode of a mount. Without `human` the caller has what the owner of the image has:
    /// all, but for running what no one may run.
    pub(crate) fn may(&self, mount: &Mount, attr: &Attr, want: i32) -> Result<()> {
        if want & libc::W_OK != 0 && is_read_only(mount) && writes_to_mount(attr) {
            return Err(Errno::EROFS);
        }
        if want & libc::X_OK != 0 && mount.flags.no_exec && attr.kind == FileKind::Regular {
            return Err(Errno::EACCES);
        }
        if let Some(who) = self.bound(mount) {
            return check(&who, attr, want);
        }
        if want & libc::X_OK != 0 && attr.kind == FileKind::Regular && attr.perm & 0o111 == 0 {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Checks the sticky bit for the removal of `victim` from `dir`.
    pub(crate) fn may_remove(&self, mount: &Mount, dir: &Attr, victim: &Attr) -> Result<()> {
        self.may(mount, dir, libc::W_OK | libc::X_OK)?;
        if dir.perm & 0o1000 != 0
            && let Some(who) = self.bound(mount)
            && who.fsuid != victim.uid
            && who.fsuid != dir.uid
            && !who.has(CAP_FOWNER)
        {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether the caller counts as the owner of an inode.
    ///
    /// # Errors
    /// - `EPERM` if not.
    pub(crate) fn is_owner(&self, mount: &Mount, attr: &Attr) -> Result<()> {
        let Some(who) = self.bound(mount) else { return Ok(()) };
        if who.fsuid == attr.uid || who.has(CAP_FOWNER) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Whether the caller may give a file away.
    ///
    /// # Errors
    /// - `EPERM` if not.
    pub(crate) fn may_chown(
        &self,
        mount: &Mount,
        attr: &Attr,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<()> {
        let Some(who) = self.bound(mount) else { return Ok(()) };
        if who.has(CAP_CHOWN) {
            return Ok(());
        }
        let keeps_uid = uid.is_none_or(|u| u == attr.uid && who.fsuid == attr.uid);
        let own_group =
            gid.is_none_or(|g| who.fsuid == attr.uid && (g == attr.gid || who.is_in_group(g)));
        if keeps_uid && own_group { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Whether the caller may make a node of a device.
    ///
    /// # Errors
    /// - `EPERM` if not.
    pub(crate) fn may_make_device(&self, mount: &Mount) -> Result<()> {
        match self.bound(mount) {
            Some(who) if !who.has(CAP_MKNOD) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    /// The mode that chmod(2) leaves of `perm`: the set-group-id bit is for members of the file's group
    /// (`setattr_copy`).
    pub(crate) fn settable(&self, mount: &Mount, attr: &Attr, perm: u16) -> u16 {
        match self.bound(mount) {
            Some(who) if !who.is_in_group(attr.gid) && !who.has(CAP_FSETID) => perm & !0o2000,
            _ => perm,
        }
    }

    /// The mode of a new file in `dir`: a set-group-id program of a foreign group is not to be had
    /// (`mode_strip_sgid`).
    pub(crate) fn of_new(&self, mount: &Mount, dir: &Attr, perm: u16) -> u16 {
        let asks = perm & 0o2010 == 0o2010 && dir.perm & 0o2000 != 0;
        if asks { self.settable(mount, dir, perm) } else { perm }
    }

    /// The mode that is left when the caller writes to a file, if it is another (`file_remove_privs`): set-id bits
    /// go, but for who has `CAP_FSETID`.
    pub(crate) fn after_writing(&self, mount: &Mount, attr: &Attr) -> Option<u16> {
        if attr.kind != FileKind::Regular || attr.perm & 0o6000 == 0 {
            return None;
        }
        let who = self.bound(mount)?;
        let keeps_group = attr.perm & 0o010 == 0 && who.is_in_group(attr.gid);
        let left = attr.perm & !(if keeps_group { 0o4000 } else { 0o6000 });
        (left != attr.perm && !who.has(CAP_FSETID)).then_some(left)
    }

    /// Who asks, as drivers see it.
    pub(crate) fn caller(&self) -> Caller {
        let who = self.proc.credentials();
        Caller { uid: who.fsuid, gid: who.fsgid, pid: self.proc.tgid }
    }

    /// The umask of the calling process.
    pub(crate) fn umask(&self) -> u32 {
        let ask = || {
            let status = crate::hostview::status(self.tid())?;
            let line = status.lines().find_map(|l| l.strip_prefix("Umask:"))?;
            u32::from_str_radix(line.trim(), 8).ok()
        };
        self.proc.umask.get(ask).unwrap_or(0o022)
    }
}

/// Whether the mount refuses to be written to.
pub(crate) fn is_read_only(mount: &Mount) -> bool {
    mount.flags.read_only || mount.tree().is_some_and(|fs| fs.is_read_only())
}

/// Special files are written through, not to, the mount.
fn writes_to_mount(attr: &Attr) -> bool {
    matches!(attr.kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::credentials::Credentials;
    use abi::dev::DevNum;
    use abi::fs::{Attr, FileKind, Ino, Timestamp};
    use abi::{Errno, Result};

    fn attr(kind: FileKind, perm: u16, uid: u32, gid: u32) -> Attr {
        Attr {
            ino: Ino(1),
            kind,
            perm,
            nlink: 1,
            uid,
            gid,
            rdev: DevNum::default(),
            size_bytes: 0,
            blocks_512: 0,
            block_size: 4096,
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            btime: None,
        }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let user = Credentials::of_user(1000, 100, vec![27]);
        let file = |perm, uid, gid| attr(FileKind::Regular, perm, uid, gid);
        let cases: [(Attr, i32, Result<()>); 6] = [
            (file(0o400, 1000, 0), libc::R_OK, Ok(())),
            // The owner's class counts even where others may more.
            (file(0o077, 1000, 0), libc::R_OK, Err(Errno::EACCES)),
            (file(0o040, 0, 27), libc::R_OK, Ok(())),
            (file(0o004, 0, 100), libc::R_OK, Err(Errno::EACCES)),
            (file(0o004, 0, 0), libc::R_OK, Ok(())),
            (file(0o006, 0, 0), libc::X_OK, Err(Errno::EACCES)),
        ];
        for (attr, want, expected) in cases {
            assert_eq!(check(&user, &attr, want), expected, "{attr:?} {want}");
        }
    }

    #[test]
    fn root_runs_only_what_somebody_may_run() {
        let root = Credentials::of_user(0, 0, vec![]);
        assert_eq!(
            check(&root, &attr(FileKind::Regular, 0, 5, 5), libc::R_OK | libc::W_OK),
            Ok(())
        );
        let refused = check(&root, &attr(FileKind::Regular, 0o644, 5, 5), libc::X_OK);
        assert_eq!(refused, Err(Errno::EACCES));
        assert_eq!(check(&root, &attr(FileKind::Directory, 0, 5, 5), libc::X_OK), Ok(()));
    }
}
