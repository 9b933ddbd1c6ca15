//! Users and groups, as the view's own /etc/passwd and /etc/group have them.

use anyhow::{Context, Result, bail};
use monitor::control::Request;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::{CString, OsString};
use std::path::PathBuf;

/// An entry of passwd(5) with the groups of group(5).
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The first group among them, as initgroups(3) has it.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: PathBuf,
    /// Never empty: an empty field of passwd(5) means /bin/sh.
    pub(crate) shell: OsString,
}

impl Account {
    /// The user of a name.
    ///
    /// # Errors
    /// If the view has no such user.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = User::from_name(name).with_context(|| format!("look for user {name}"))?;
        let user = found.with_context(|| {
            format!("no user {name} in the view's /etc/passwd; getent passwd lists them")
        })?;
        Self::of(user)
    }

    /// The user of a name, or of a number after `#`, which need not be in /etc/passwd.
    ///
    /// # Errors
    /// If the view has no such user, or the number is none.
    pub(crate) fn wanted(text: &str) -> Result<Self> {
        let Some(number) = text.strip_prefix('#') else { return Self::named(text) };
        let uid = number.parse().with_context(|| format!("{text} is not # and a number"))?;
        Self::numbered(uid)
    }

    /// The user with a number.
    ///
    /// # Errors
    /// If /etc/passwd can't be read.
    pub(crate) fn numbered(uid: u32) -> Result<Self> {
        match User::from_uid(Uid::from_raw(uid)).with_context(|| format!("look for user {uid}"))? {
            Some(user) => Self::of(user),
            None => Ok(Self {
                name: uid.to_string(),
                uid,
                gid: uid,
                groups: vec![uid],
                home: "/".into(),
                shell: "/bin/sh".into(),
            }),
        }
    }

    fn of(user: User) -> Result<Self> {
        let name = CString::new(user.name.clone()).context("a user's name holds a NUL byte")?;
        let groups = getgrouplist(&name, user.gid)
            .with_context(|| format!("look for the groups of {}", user.name))?;
        let shell = user.shell.into_os_string();
        Ok(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
            home: user.dir,
            shell: if shell.is_empty() { "/bin/sh".into() } else { shell },
        })
    }

    /// Puts another group first.
    pub(crate) fn with_group(mut self, gid: u32) -> Self {
        self.gid = gid;
        if !self.groups.contains(&gid) {
            self.groups.insert(0, gid);
        }
        self
    }

    /// What makes the caller this user.
    pub(crate) fn request(&self) -> Request {
        Request::Su { uid: self.uid, gid: self.gid, groups: self.groups.clone() }
    }
}

/// The group of a name, or of a number after `#`.
///
/// # Errors
/// If the view has no such group.
pub(crate) fn group(text: &str) -> Result<u32> {
    if let Some(number) = text.strip_prefix('#') {
        return number.parse().with_context(|| format!("{text} is not # and a number"));
    }
    match Group::from_name(text).with_context(|| format!("look for group {text}"))? {
        Some(group) => Ok(group.gid.as_raw()),
        None => bail!("no group {text} in the view's /etc/group; getent group lists them"),
    }
}
