//! The profile of the view that runs: started with it, another has the same services and mounts.

use super::{IdsTable, MountTable, Profile, TimeTable, UnameTable};
use crate::ask;
use anyhow::Result;
use monitor::control::Request;
use serde_json::Value;
use std::fs;

/// Asks the monitor. Environment, working directory and changed roots are not in it, nor devices that the monitor
/// offers by itself.
///
/// # Errors
/// Outside a view.
pub(crate) fn running() -> Result<Profile> {
    let here = ask(&Request::Probe)?;
    let tree = ask(&Request::Tree)?;
    let services = ask(&Request::LsService)?;
    let mut profile = of(&here, &tree, &services);
    for mount in std::mem::take(&mut profile.mounts) {
        let read = |file: &str| {
            let text = fs::read_to_string(format!("{}/{file}", mount.target)).ok()?;
            Some(text.trim_end_matches('\n').to_owned())
        };
        match mount.fs_type.as_str() {
            "ummisctime" => profile.time = Some(time(&mount.target, read)),
            "ummiscuname" => profile.uname = Some(names(&mount.target, read)),
            _ => profile.mounts.push(mount),
        }
    }
    Ok(profile)
}

fn time(folder: &str, read: impl Fn(&str) -> Option<String>) -> TimeTable {
    let number = |file| read(file)?.parse().ok();
    let directory = Some(folder.to_owned());
    TimeTable { frequency: number("frequency"), offset: number("offset"), directory }
}

fn names(folder: &str, read: impl Fn(&str) -> Option<String>) -> UnameTable {
    let mut uname = UnameTable { directory: Some(folder.to_owned()), ..UnameTable::default() };
    for (file, field) in uname.fields() {
        *field = read(file);
    }
    uname
}

fn word(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Puts three answers together.
fn of(here: &Value, tree: &Value, services: &Value) -> Profile {
    let mut profile = Profile { name: word(here, "view"), ..Profile::default() };
    let loaded = list(services, "services").iter();
    let loaded = loaded.filter(|s| s.get("loaded").and_then(Value::as_bool) == Some(true));
    profile.services = loaded.map(|service| word(service, "name")).collect();
    for pair in list(services, "aliases") {
        if let Some([alias, fs_type]) = pair.as_array().map(Vec::as_slice) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            profile.aliases.insert(text(alias), text(fs_type));
        }
    }
    profile.mounts = mounts(number(here, "number"), list(tree, "views"));
    profile.ids = here.get("ids").filter(|ids| !ids.is_null()).map(ids);
    profile
}

fn ids(value: &Value) -> IdsTable {
    let id = |value: Option<u64>| value.and_then(|n| u32::try_from(n).ok());
    let groups = list(value, "groups").iter().filter_map(|group| id(group.as_u64())).collect();
    let (uid, gid) = (id(number(value, "uid")), id(number(value, "gid")));
    IdsTable { user: None, uid, gid, groups: Some(groups) }
}

/// What a view sees: its own mounts, and of the views around it what was there when it was made; in the order of
/// their births.
fn mounts(view: Option<u64>, views: &[Value]) -> Vec<MountTable> {
    let mut seen: Vec<(u64, MountTable)> = Vec::new();
    let (mut at, mut before) = (view, u64::MAX);
    while let Some(view) = views.iter().find(|v| number(v, "number") == at && at.is_some()) {
        for mount in list(view, "mounts") {
            let epoch = number(mount, "epoch").unwrap_or(0);
            let fs_type = word(mount, "type");
            // The module mounts it by itself.
            if epoch < before && fs_type != "unreal" {
                let (source, target) = (word(mount, "full_source"), word(mount, "target"));
                let source = if source.is_empty() { super::none() } else { source };
                let options = word(mount, "options");
                let options = options
                    .strip_prefix("rw")
                    .filter(|o| o.is_empty() || o.starts_with(','))
                    .map_or(options.as_str(), |rest| rest.trim_start_matches(','));
                let options = options.to_owned();
                seen.push((epoch, MountTable { fs_type, source, target, options }));
            }
        }
        before = before.min(number(view, "epoch").unwrap_or(0));
        // A view's parent has a smaller number: this ends.
        at = number(view, "parent").filter(|parent| Some(*parent) < at);
    }
    seen.sort_by_key(|(epoch, _)| *epoch);
    seen.into_iter().map(|(_, mount)| mount).collect()
}

#[cfg(test)]
mod tests {
    use super::of;
    use serde_json::json;

    #[test]
    fn a_nested_view_has_what_was_mounted_around_it_before() {
        let mount = |target: &str, epoch: u64, options: &str| {
            json!({ "target": target, "source": "i", "full_source": "/w/i", "type": "umfuseext2",
                    "options": options, "epoch": epoch })
        };
        let tree = json!({ "views": [
            { "number": 0, "parent": null, "epoch": 1,
              "mounts": [mount("/old", 3, "ro,noexec"), mount("/late", 9, "rw")] },
            { "number": 1, "parent": 0, "epoch": 4, "mounts": [mount("/own", 6, "rw,rw+"),
              { "target": "/unreal", "source": "none", "type": "unreal", "options": "rw", "epoch": 5 }] },
            { "number": 2, "parent": 0, "epoch": 5, "mounts": [mount("/sibling", 7, "rw")] },
        ]});
        let services = json!({ "aliases": [["ext2", "umfuseext2"]], "services": [
            { "name": "umfuse", "loaded": true }, { "name": "umdev", "loaded": false }] });
        let here =
            json!({ "view": "in", "number": 1, "ids": { "uid": 0, "gid": 0, "groups": [0, 4] } });
        let text = of(&here, &tree, &services).to_text().unwrap();
        let expect = "name = \"in\"\nservices = [\"umfuse\"]\n\n[aliases]\next2 = \"umfuseext2\"\n\n\
            [[mounts]]\ntype = \"umfuseext2\"\nsource = \"/w/i\"\ntarget = \"/old\"\noptions = \"ro,noexec\"\n\n\
            [[mounts]]\ntype = \"umfuseext2\"\nsource = \"/w/i\"\ntarget = \"/own\"\noptions = \"rw+\"\n\n\
            [ids]\nuid = 0\ngid = 0\ngroups = [\n    0,\n    4,\n]\n";
        assert_eq!(text, expect);
    }
}
