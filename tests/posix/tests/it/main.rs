//! The promises of POSIX on the host, and wherever a view can put files.

mod host;
mod kernel;
mod views;

use e2e::{Output, User, View, Work, need, programs};
use std::path::Path;

/// Broken promises that are known, each with its reason: `PLACE: NAME`.
const KNOWN: &str = include_str!("../../known-differences.txt");

/// The program, where every user can run it.
fn program(work: &Work) -> String {
    let to = work.name("posix-checks");
    std::fs::copy(env!("CARGO_BIN_EXE_posix-checks"), &to).expect("room in /tmp");
    to
}

/// Fails unless the promises that were broken are the known ones of this place.
fn judge(place: &str, setting: &str, output: &Output) {
    let last = output.stdout.lines().last().unwrap_or_default();
    assert!(last.ends_with(" failed"), "{place}, {setting}: {output:#?}");
    let broken = |line: &&str| line.starts_with("not ok ");
    let found: Vec<&str> = output.stdout.lines().filter(broken).collect();
    let of_place = |line: &'static str| line.strip_prefix(place)?.strip_prefix(": ");
    let known: Vec<&str> = KNOWN.lines().filter_map(of_place).collect();
    let is_line = |line: &str, name: &str| {
        line.strip_prefix("not ok ").is_some_and(|l| l.starts_with(&format!("{name}: ")))
    };
    let fresh: Vec<&&str> =
        found.iter().filter(|line| !known.iter().any(|name| is_line(line, name))).collect();
    assert!(fresh.is_empty(), "{place}, {setting}: {last}:\n{fresh:#?}\n{}", output.stderr);
    let kept: Vec<&&str> =
        known.iter().filter(|name| !found.iter().any(|line| is_line(line, name))).collect();
    assert!(kept.is_empty(), "{place}, {setting}: strike from the list, as it holds: {kept:#?}");
    eprintln!("{place}, {setting}: {last}");
}

/// A folder with what a read-only mount must hold.
fn filled(work: &Work, folder: &str) -> String {
    let path = work.folder(folder);
    for name in ["file", "spare"] {
        work.write(&format!("{folder}/{name}"), "text");
    }
    work.folder(&format!("{folder}/dir"));
    std::os::unix::fs::symlink("file", format!("{path}/link")).expect("a link in /tmp");
    path
}

/// An image of a file system, made by a tool of the host; `mkfs` has its options, `$I` is the image.
fn image(work: &Work, name: &str, script: &str) -> String {
    let image = work.write(name, "");
    let line = format!("I={image}; truncate -s 64M $I && {script}");
    let made = e2e::native(User::Root).run(&line);
    assert_eq!(made.code, Some(0), "{script}: {made:?}");
    image
}

fn ext(work: &Work, name: &str, fs_type: &str, user: User, options: &str) -> String {
    need("mke2fs", "e2fsprogs");
    let uid = user.uid();
    let script =
        format!("mke2fs -q -F -t {fs_type} -b 4096 -E root_owner={uid}:{uid} {options} $I");
    image(work, name, &script)
}

/// A view in a folder.
fn view(combination: (e2e::Engine, User), work: &Work) -> View {
    View::of(combination).option("-q").folder(work.path())
}

/// Whether a program of the tree is built; the export is one.
fn command(name: &str) -> String {
    let path = programs().join(name);
    assert!(Path::new(&path).exists(), "{} is not built", path.display());
    path.to_string_lossy().into_owned()
}
