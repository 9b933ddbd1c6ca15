//! Profiles: how a view starts, as a TOML file (`docs/profiles.md`).
//!
//! [`text`] makes a [`Profile`] of a file's text, [`find`] knows where files are, [`running`] makes one of the view that
//! runs; a profile becomes part of a [`Start`] here.

mod find;
mod nearest;
mod running;
mod text;

pub(crate) use find::{list, load};
pub(crate) use running::running;

use crate::stage::{Ids, MountLine};
use crate::start::Start;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the files that steer time show, if the profile does not say.
const TIME_DIRECTORY: &str = "/.time";
/// Where those of the names of the system show.
const UNAME_DIRECTORY: &str = "/.uname";

/// A profile. What is not in the file is empty and changes nothing. Plain values before tables, as TOML wants them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parameters: BTreeMap<String, Parameter>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) aliases: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<MountTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<IdsTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<TimeTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uname: Option<UnameTable>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, String>,
}

/// What stands for `${NAME}` in the other values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Parameter {
    pub(crate) help: String,
    /// Without it the parameter must be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MountTable {
    #[serde(rename = "type")]
    pub(crate) fs_type: String,
    #[serde(default = "none")]
    pub(crate) source: String,
    pub(crate) target: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) options: String,
}

fn none() -> String {
    "none".to_owned()
}

/// Who runs the command: a user of the view, or numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdsTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<u32>>,
}

/// The pace of time, and how many seconds the wall clock is ahead.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frequency: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<String>,
}

/// What uname(2) says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UnameTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sysname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nodename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) domainname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<String>,
}

impl UnameTable {
    /// The fields with their names, which are those of the files of ummiscuname.
    pub(crate) fn fields(&mut self) -> [(&'static str, &mut Option<String>); 6] {
        [
            ("sysname", &mut self.sysname),
            ("nodename", &mut self.nodename),
            ("release", &mut self.release),
            ("version", &mut self.version),
            ("machine", &mut self.machine),
            ("domainname", &mut self.domainname),
        ]
    }
}

impl Profile {
    /// As a file.
    ///
    /// # Errors
    /// If a value can't be said in TOML.
    pub(crate) fn to_text(&self) -> Result<String> {
        toml::to_string_pretty(self).context("the profile as TOML")
    }

    /// Puts this before what the command line says: its mounts come first, and a name, a user or a command of the
    /// command line is in place of those here.
    ///
    /// # Errors
    /// If the ids are neither a user nor numbers.
    pub(crate) fn apply(mut self, start: &mut Start) -> Result<()> {
        let mut mounts: Vec<String> = self.mounts.iter().map(|m| m.line().write()).collect();
        let mut settings = Vec::new();
        self.take_powers(&mut mounts, &mut settings);
        mounts.append(&mut start.stage.mounts);
        let mut services = std::mem::take(&mut self.services);
        services.append(&mut start.preload);
        start.preload = services;
        if start.name.is_empty() {
            start.name = self.name;
        }
        let stage = &mut start.stage;
        (stage.mounts, stage.settings) = (mounts, settings);
        stage.aliases = self.aliases.into_iter().collect();
        (stage.root, stage.directory) = (self.root, self.directory);
        stage.environment = self.environment;
        if let Some(ids) = self.ids.filter(|_| stage.su.is_none()) {
            (stage.su, stage.ids) = ids.understood()?;
        }
        if start.command.is_empty() {
            start.command = self.command.into_iter().map(Into::into).collect();
        }
        Ok(())
    }

    /// Time and names of the system are mounts, and files to be written in them.
    fn take_powers(&mut self, mounts: &mut Vec<String>, settings: &mut Vec<(String, String)>) {
        let mut mount = |fs_type: &str, target: &str| {
            let line = MountTable {
                fs_type: fs_type.to_owned(),
                source: none(),
                target: target.to_owned(),
                options: String::new(),
            };
            mounts.push(line.line().write());
        };
        if let Some(time) = self.time.take() {
            let folder = time.directory.unwrap_or_else(|| TIME_DIRECTORY.to_owned());
            mount("ummisctime", &folder);
            // In this order: a new frequency keeps the time that it is, and so makes an offset of its own.
            for (file, value) in [("frequency", time.frequency), ("offset", time.offset)] {
                settings.extend(value.map(|value| (format!("{folder}/{file}"), value.to_string())));
            }
        }
        if let Some(mut uname) = self.uname.take() {
            let folder = uname.directory.clone().unwrap_or_else(|| UNAME_DIRECTORY.to_owned());
            mount("ummiscuname", &folder);
            for (file, value) in uname.fields() {
                settings.extend(value.take().map(|value| (format!("{folder}/{file}"), value)));
            }
        }
    }
}

impl MountTable {
    pub(crate) fn line(&self) -> MountLine {
        MountLine {
            fs_type: self.fs_type.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            options: self.options.clone(),
        }
    }
}

impl IdsTable {
    /// A user, or numbers: a group and further groups that are not there are those of the user with no others.
    fn understood(self) -> Result<(Option<String>, Option<Ids>)> {
        let has_numbers = self.gid.is_some() || self.groups.is_some();
        match (self.user, self.uid) {
            (Some(user), None) if !has_numbers => Ok((Some(user), None)),
            (None, Some(uid)) => {
                let gid = self.gid.unwrap_or(uid);
                let groups = self.groups.unwrap_or_else(|| vec![gid]);
                Ok((None, Some(Ids { uid, gid, groups })))
            }
            _ => anyhow::bail!(
                "[ids] is `user`, or `uid` with `gid` and `groups` if they are others"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
