//! Where profiles are: files of the user's and of the machine's, and those that are built in.

use super::{Profile, text};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The machine's folder.
const MACHINE: &str = "/etc/umview/profiles";

/// Name and text.
const BUILT_IN: [(&str, &str); 4] = [
    ("chroot", include_str!("../../profiles/chroot.toml")),
    ("disk", include_str!("../../profiles/disk.toml")),
    ("image", include_str!("../../profiles/image.toml")),
    ("try", include_str!("../../profiles/try.toml")),
];

/// The folders, in the order in which they are searched.
fn folders() -> Vec<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")));
    user.map(|user| user.join("umview/profiles")).into_iter().chain([MACHINE.into()]).collect()
}

/// The profile of a file, which has a slash or ends in `.toml`, or of a name.
///
/// # Errors
/// If there is none, or as [`text::read`].
pub(crate) fn load(wanted: &str, set: &[String]) -> Result<Profile> {
    let pairs: Vec<(String, String)> =
        set.iter().map(|pair| divided(pair)).collect::<Result<_>>()?;
    let (shown, text) = find(wanted, &folders())?;
    text::read(&shown, &text, &pairs)
}

fn divided(pair: &str) -> Result<(String, String)> {
    let (name, value) =
        pair.split_once('=').with_context(|| format!("--set {pair}: not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn find(wanted: &str, folders: &[PathBuf]) -> Result<(String, String)> {
    if wanted.contains('/') || wanted.ends_with(".toml") {
        return Ok((wanted.to_owned(), contents(Path::new(wanted))?));
    }
    for folder in folders {
        let file = folder.join(format!("{wanted}.toml"));
        if file.exists() {
            return Ok((file.display().to_string(), contents(&file)?));
        }
    }
    match BUILT_IN.iter().find(|(name, _)| *name == wanted) {
        Some((name, text)) => Ok((format!("profile {name}"), (*text).to_owned())),
        None => bail!(
            "no profile {wanted}: umview --list-profiles lists them, and a file needs a slash or .toml"
        ),
    }
}

fn contents(file: &Path) -> Result<String> {
    let shown = || format!("profile {}", file.display());
    let mut text = String::new();
    let limit = u64::try_from(text::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let open = std::fs::File::open(file).with_context(shown)?;
    open.take(limit.saturating_add(1)).read_to_string(&mut text).with_context(shown)?;
    if text.len() > text::TEXT_BYTES_MAX {
        bail!("{}: longer than {limit} bytes", shown());
    }
    Ok(text)
}

/// A line for each profile that a name finds: name, description, and for files where.
pub(crate) fn list() -> String {
    listed(&folders())
}

fn listed(folders: &[PathBuf]) -> String {
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (name, text) in BUILT_IN {
        found.insert(name.to_owned(), ("built in".to_owned(), description(text)));
    }
    for folder in folders.iter().rev() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path();
            let stem = file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            let (Some(name), Some("toml")) = (stem, file.extension().and_then(|e| e.to_str()))
            else {
                continue;
            };
            let text = contents(&file).unwrap_or_default();
            found.insert(name, (file.display().to_string(), description(&text)));
        }
    }
    let lines = found.iter().map(|(name, (place, text))| format!("{name:<12} {text} ({place})\n"));
    lines.collect()
}

/// One that can't be read is in the list all the same: who asks for it hears why.
fn description(text: &str) -> String {
    let table: Option<toml::Table> = toml::from_str(text).ok();
    let found = table.as_ref().and_then(|t| t.get("description")).and_then(toml::Value::as_str);
    let plain = |text: &str| text.replace(char::is_control, " ");
    found.map_or_else(|| "no description".to_owned(), plain)
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN, divided, find, listed};
    use crate::profile::text::read;
    use std::fs;

    #[test]
    fn the_users_profile_comes_before_the_machines_and_that_before_ours() {
        let work = tempfile::tempdir().unwrap();
        let folders = [work.path().join("user"), work.path().join("machine")];
        let (_, text) = find("image", &folders).unwrap();
        assert_eq!(text, BUILT_IN[2].1);
        for (folder, text) in
            folders.iter().zip(["description = 'mine'", "description = 'ours'"]).rev()
        {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("image.toml"), text).unwrap();
            assert_eq!(find("image", &folders).unwrap().1, text);
        }
        fs::write(folders[1].join("notes.txt"), "").unwrap();
        fs::write(folders[1].join("bad.toml"), "= 1").unwrap();
        let list = listed(&folders);
        let lines: Vec<&str> = list.lines().map(|l| l.split_whitespace().next().unwrap()).collect();
        assert_eq!(lines, ["bad", "chroot", "disk", "image", "try"]);
        let own = folders[0].join("image.toml");
        assert!(list.contains(&format!("image        mine ({})\n", own.display())), "{list}");
        let by_file = find(own.to_str().unwrap(), &[]).unwrap();
        assert_eq!(by_file.1, "description = 'mine'");
        // Error: no such name, no such file.
        assert!(find("nothing", &folders).unwrap_err().to_string().contains("--list-profiles"));
        assert!(find("./nothing", &folders).is_err());
    }

    #[test]
    fn what_is_built_in_can_be_read_once_its_parameters_are_set() {
        for (name, text) in BUILT_IN {
            let raw: toml::Table = toml::from_str(text).unwrap();
            let parameters = raw.get("parameters").and_then(|p| p.as_table()).unwrap();
            let set: Vec<_> = parameters.keys().map(|key| (key.clone(), "/x".to_owned())).collect();
            let profile = read(name, text, &set).unwrap();
            assert!(!profile.description.is_empty() && !profile.mounts.is_empty(), "{name}");
            let helps = profile.parameters.values().all(|p| !p.help.is_empty());
            assert!(helps, "{name}");
        }
    }

    #[test]
    fn a_value_may_have_an_equals_sign_and_a_name_needs_one() {
        assert_eq!(divided("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(divided("a").is_err());
    }
}
