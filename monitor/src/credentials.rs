//! Virtual user and group ids: what viewsu, set-id programs and the id calls move.

/// The ids of a process, as credentials(7) and capabilities(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ruid: u32,
    pub(crate) euid: u32,
    pub(crate) suid: u32,
    pub(crate) fsuid: u32,
    pub(crate) rgid: u32,
    pub(crate) egid: u32,
    pub(crate) sgid: u32,
    pub(crate) fsgid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    /// Permitted capabilities outlive the last uid 0 (`PR_SET_KEEPCAPS`), until the next exec.
    pub(crate) keeps_capabilities: bool,
}

/// `CAP_SETUID`
const CAP_SETUID: u64 = 1 << 7;
/// `CAP_SETGID`
const CAP_SETGID: u64 = 1 << 6;
/// `CAP_DAC_OVERRIDE`
pub(crate) const CAP_DAC_OVERRIDE: u64 = 1 << 1;
/// `CAP_DAC_READ_SEARCH`
pub(crate) const CAP_DAC_READ_SEARCH: u64 = 1 << 2;
/// `CAP_FOWNER`
pub(crate) const CAP_FOWNER: u64 = 1 << 3;
/// `CAP_FSETID`
pub(crate) const CAP_FSETID: u64 = 1 << 4;
/// `CAP_MKNOD`
pub(crate) const CAP_MKNOD: u64 = 1 << 27;
/// `CAP_CHOWN`
pub(crate) const CAP_CHOWN: u64 = 1;
/// Every capability of Linux 6.18.
pub(crate) const CAPS_ALL: u64 = (1 << 41) - 1;
/// The capabilities of file access, that follow fsuid (`CAP_FS_MASK`).
const CAPS_FS: u64 = 0b1_1111 | 1 << 9 | 1 << 27;

impl Credentials {
    /// What the host's kernel says of a process.
    pub(crate) fn of_host(tid: i32) -> Option<Self> {
        let status = crate::hostview::status(tid)?;
        let line = |key: &str| -> Option<&str> {
            status.lines().find_map(|l| l.strip_prefix(key)).map(str::trim)
        };
        let numbers = |key: &str| -> Option<Vec<u32>> {
            line(key)?.split_whitespace().map(|n| n.parse().ok()).collect()
        };
        let hex = |key: &str| u64::from_str_radix(line(key).unwrap_or("0"), 16).unwrap_or(0);
        let uids = numbers("Uid:")?;
        let gids = numbers("Gid:")?;
        let ([ruid, euid, suid, fsuid], [rgid, egid, sgid, fsgid]) =
            (uids.try_into().ok()?, gids.try_into().ok()?);
        Some(Self {
            ruid,
            euid,
            suid,
            fsuid,
            rgid,
            egid,
            sgid,
            fsgid,
            groups: numbers("Groups:")?,
            permitted: hex("CapPrm:"),
            effective: hex("CapEff:"),
            inheritable: hex("CapInh:"),
            keeps_capabilities: false,
        })
    }

    /// All ids of one user, as after a login.
    pub(crate) fn of_user(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        let caps = if uid == 0 { CAPS_ALL } else { 0 };
        Self {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups,
            permitted: caps,
            effective: caps,
            inheritable: 0,
            keeps_capabilities: false,
        }
    }

    pub(crate) fn has(&self, capability: u64) -> bool {
        self.effective & capability != 0
    }

    pub(crate) fn is_in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    pub(crate) fn may_set_uid(&self) -> bool {
        self.has(CAP_SETUID)
    }

    pub(crate) fn may_set_gid(&self) -> bool {
        self.has(CAP_SETGID)
    }

    /// What the kernel does to capabilities when uids change (capabilities(7), "Effect of user ID changes").
    pub(crate) fn after_uid_change(&mut self, old: &Self) {
        let had_root = [old.ruid, old.euid, old.suid].contains(&0);
        let has_root = [self.ruid, self.euid, self.suid].contains(&0);
        if had_root && !has_root {
            self.effective = 0;
            if !self.keeps_capabilities {
                self.permitted = 0;
            }
        }
        if old.euid == 0 && self.euid != 0 {
            self.effective = 0;
        }
        if old.euid != 0 && self.euid == 0 {
            self.effective = self.permitted;
        }
        if old.fsuid == 0 && self.fsuid != 0 {
            self.effective &= !CAPS_FS;
        }
        if old.fsuid != 0 && self.fsuid == 0 {
            self.effective |= self.permitted & CAPS_FS;
        }
    }

    /// The credentials after exec of a file with these ids and set-id bits.
    pub(crate) fn after_exec(&self, set_uid: Option<u32>, set_gid: Option<u32>) -> Self {
        let mut new = self.clone();
        new.keeps_capabilities = false;
        if let Some(uid) = set_uid {
            new.euid = uid;
        }
        if let Some(gid) = set_gid {
            new.egid = gid;
        }
        new.suid = new.euid;
        new.fsuid = new.euid;
        new.sgid = new.egid;
        new.fsgid = new.egid;
        if new.euid == 0 || new.ruid == 0 {
            new.permitted = CAPS_ALL;
            new.effective = if new.euid == 0 { CAPS_ALL } else { 0 };
        } else {
            new.permitted = 0;
            new.effective = 0;
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPS_ALL, Credentials};

    #[test]
    fn capabilities_outlive_uid_0_only_where_they_are_kept() {
        let root = Credentials::of_user(0, 0, Vec::new());
        let to_user = |from: &Credentials| {
            let mut new = from.clone();
            (new.ruid, new.euid, new.suid, new.fsuid) = (6, 6, 6, 6);
            new.after_uid_change(from);
            new
        };
        assert_eq!(to_user(&root).permitted, 0);
        let keeper = Credentials { keeps_capabilities: true, ..root };
        let user = to_user(&keeper);
        assert_eq!((user.permitted, user.effective), (CAPS_ALL, 0));
        let after = user.after_exec(None, None);
        assert_eq!((after.permitted, after.keeps_capabilities), (0, false));
    }
}
