//! The monitor is killed while an image is written: what was made durable is there, and the volume can be mended.

use e2e::{Engine, User, View, Work, combinations, native, need};
use std::collections::BTreeMap;

/// Writes files without end; says the name and the digest of each that is durable. Some get another name later, some go.
const SCRIPT: &str = "i=0
    while :; do
        i=$((i + 1)); head -c $((i * 997 % 30000 + 1)) /dev/urandom >m/f$i; sync m/f$i || exit 1
        echo \"f$i $(sha256sum <m/f$i | cut -c1-64).\"
        mkdir -p m/d; [ $((i % 3)) != 0 ] || mv m/f$((i - 1)) m/d/g$((i - 1))
        echo x >m/gone; [ $((i % 4)) != 0 ] || { rm m/gone; sync m/d; }
        ln -f m/f$i m/d/h$i; head -c 9000 /dev/zero >m/tmp; mv m/tmp m/new
    done";

/// The process of a view that answers: the front's only child.
fn monitor_of(front: u32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{front}/task/{front}/children"));
    let children = children.expect("the front is there");
    children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("it has a child")
}

/// Kills the monitor after so many files; what was durable by then.
fn kill_after(view: &View, files: usize) -> BTreeMap<String, String> {
    let mut view = view.start(&["sh", "-c", SCRIPT]);
    let mut durable = BTreeMap::new();
    for _ in 0..files {
        let line = view.read_until(".\n");
        let (name, digest) =
            line.trim_end_matches(".\n").split_once(' ').expect("a name and a digest");
        durable.insert(name.to_owned(), digest.to_owned());
    }
    let monitor = nix::unistd::Pid::from_raw(monitor_of(view.pid()));
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGKILL).expect("it is ours");
    // Its processes do not outlive it.
    let output = view.finish();
    assert_ne!(output.code, Some(0), "{output:?}");
    durable
}

struct Case {
    make: &'static str,
    fs_type: &'static str,
    /// Mends the image; its status is 0 or 1.
    mend: &'static str,
    /// Finds nothing wrong.
    check: &'static str,
}

fn round(case: &Case, combination: (Engine, User), files: usize) {
    let work = Work::in_memory(combination.1);
    work.folder("m");
    let plain = native(combination.1).folder(work.path());
    let made = plain.run(&format!("truncate -s 16M image; {} >/dev/null 2>&1", case.make));
    assert_eq!(made.code, Some(0), "{made:?}");
    let mount =
        |mode: &str| format!("{}:{}:{}:{mode}", case.fs_type, work.name("image"), work.name("m"));
    let view = View::of(combination).folder(work.path());
    let durable = kill_after(&view.clone().option("--mount").option(&mount("rw+")), files);
    let mended = plain.run(&format!("exec 2>&1; {}", case.mend));
    assert!(matches!(mended.code, Some(0 | 1)), "{combination:?} {files}: {mended:?}");
    let checked = plain.run(&format!("exec 2>&1; {}", case.check));
    assert_eq!(checked.code, Some(0), "{combination:?} {files}: {checked:?}");
    let list = "cd m; for f in f* d/g*; do echo $f $(sha256sum <$f | cut -c1-64); done";
    let found = view.option("--mount").option(&mount("ro")).run(list);
    for (name, digest) in &durable {
        let moved = name.replace('f', "d/g");
        let has = |name: &str| found.stdout.contains(&format!("{name} {digest}\n"));
        assert!(has(name) || has(&moved), "{combination:?} {files}: {name} is lost: {found:?}");
    }
}

fn rounds(case: &Case, count: usize) {
    for (program, package) in [("e2fsck", "e2fsprogs"), ("fsck.vfat", "dosfstools")] {
        need(program, package);
    }
    for (number, combination) in combinations().into_iter().cycle().take(count).enumerate() {
        round(case, combination, 1 + number * 5 % 17);
    }
}

#[test]
fn an_ext4_volume_needs_no_repair_but_its_log() {
    let mend = "e2fsck -y -E journal_only image";
    let case =
        Case { make: "mkfs.ext4 image", fs_type: "umfuseext2", mend, check: "e2fsck -fn image" };
    rounds(&case, 8);
}

#[test]
fn an_ext2_volume_is_mended_by_preening() {
    let case = Case {
        make: "mkfs.ext2 image",
        fs_type: "umfuseext2",
        mend: "e2fsck -p image",
        check: "e2fsck -fn image",
    };
    rounds(&case, 8);
}

#[test]
fn a_fat_volume_is_mended_by_fsck() {
    let case = Case {
        make: "mkfs.vfat image",
        fs_type: "umfusefat",
        mend: "fsck.vfat -a image",
        check: "fsck.vfat -n image",
    };
    rounds(&case, 8);
}
