//! viewfs over `/` answers what the kernel answers, and leaves alone what is not its to change.

use e2e::{Engine, User, View, Work, combinations, native, need};

const TREE: &str = include_str!("overlay_tree.sh");
const TABLE: &str = include_str!("overlay_table.py");

/// Names, kinds, modes, owners, times and contents below a folder. FIFOs are left out: what passes through one
/// is no change of the tree, but moves its times.
const DIGEST: &str = "find tree ! -type p -printf '%p %y %m %U %G %s %T@ %l %n\\n' | sort | sha256sum; \
                      find tree -type f -print0 | sort -z | xargs -0 cat | sha256sum";

/// The table's lines of a fresh tree, and digests of the tree before and after.
fn table(view: &View, work: &Work) -> (Vec<String>, bool) {
    let host = native(User::Nobody).folder(work.path());
    let tree = work.name("tree");
    let fresh = format!(
        "chmod -R u+rwX tree store other 2>/dev/null; rm -rf tree store other; mkdir store other; sh make.sh {tree}"
    );
    let _ = host.run(&fresh).success();
    let before = host.run(DIGEST);
    let output = view.run(&format!("/usr/bin/python3 table.py {tree}"));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let after = host.run(DIGEST);
    (output.stdout.lines().map(str::to_owned).collect(), before.success() == after.success())
}

fn prepared() -> Work {
    need("python3", "python3");
    let work = Work::new(User::Nobody);
    work.write("make.sh", TREE);
    work.write("table.py", TABLE);
    work
}

/// The table in a view with `mounts`, whose `STORE` and `OTHER` are empty folders and whose `HERE` is the work's,
/// against the table natively; and whether the tree stayed as it was.
fn compare(engine: Engine, mounts: &[&str]) -> (Vec<(String, String)>, bool) {
    let work = prepared();
    let expected = table(&native(User::Nobody).folder(work.path()), &work).0;
    let limit = std::time::Duration::from_secs(240);
    let mut view = View::of((engine, User::Nobody)).folder(work.path()).limit(limit);
    for mount in mounts {
        view = view.option(&format!("--mount={}", mount.replace("HERE", &work.name(""))));
    }
    let (found, is_same) = table(&view, &work);
    assert_eq!(expected.len(), found.len(), "{mounts:?}");
    let pairs = expected.into_iter().zip(found);
    (pairs.filter(|(e, f)| e != f).collect(), is_same)
}

fn agrees(engine: Engine, mounts: &[&str], keeps_tree: bool) {
    if !combinations().contains(&(engine, User::Nobody)) {
        return;
    }
    let (differs, is_same) = compare(engine, mounts);
    let lines: Vec<String> =
        differs.iter().map(|(e, f)| format!("natively: {e}\nin view:  {f}\n")).collect();
    assert!(lines.is_empty(), "{mounts:?}: {} lines differ:\n{}", lines.len(), lines.join("\n"));
    assert!(is_same || !keeps_tree, "{mounts:?}: the tree below was changed");
}

#[test]
fn the_table_holds_over_cow_by_notification_and_the_tree_below_stays() {
    agrees(Engine::Notify, &["viewfs:HEREstore:/:cow"], true);
}

#[test]
fn the_table_holds_over_cow_by_ptrace_and_the_tree_below_stays() {
    agrees(Engine::Trace, &["viewfs:HEREstore:/:cow"], true);
}

#[test]
fn the_table_holds_over_mincow() {
    agrees(Engine::Notify, &["viewfs:HEREstore:/:mincow"], false);
}

#[test]
fn the_table_holds_over_an_overlay_over_an_overlay_and_the_tree_below_stays() {
    let (outer, inner) = ("viewfs:HEREstore:/:cow", "viewfs:HEREother:/:cow");
    agrees(Engine::Notify, &[outer, inner], true);
}

#[test]
fn the_table_holds_where_the_upper_of_two_overlays_tries_changes_on_the_lower() {
    let outer = "viewfs:HEREstore:/:cow,vstat";
    agrees(Engine::Notify, &[outer, "viewfs:HEREother:HEREtree:mincow,vstat"], true);
}

#[test]
fn mkdir_p_goes_through_a_folder_that_only_root_may_write() {
    for (engine, _) in combinations() {
        let work = Work::new(User::Nobody);
        let store = work.folder("store");
        let view = View::of((engine, User::Nobody))
            .option(&format!("--mount=viewfs:{store}:/:mincow"))
            .folder(work.path());
        let line = "mkdir -p /opt/viewos-e2e/a/b && cd /opt && echo x >viewos-e2e/a/b/c && ls viewos-e2e/a/b";
        assert_eq!(view.run(line).success(), "c\n", "{engine:?}");
        assert!(!std::path::Path::new("/opt/viewos-e2e").exists());
    }
}

#[test]
fn capabilities_may_be_kept_over_a_change_of_user() {
    for combination in combinations() {
        let view = View::of(combination);
        let line = "viewsu -s /bin/sh -c 'setpriv --reuid man --regid man --init-groups id -un'";
        let output = view.run(line);
        assert_eq!(output.success(), "man\n", "{combination:?}: {output:?}");
    }
}
