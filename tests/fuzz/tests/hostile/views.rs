//! Hostile images mounted in a view by the distribution's own programs: the monitor lives on.
//!
//! Two images of each fixture, spread over engines and users; 20, if `VIEWOS_FUZZ_IMAGES` asks for as many.

use e2e::{Engine, Started, User, View, Work, combinations, need};
use fuzz::{Fixture, Format, Noise, Overlay, fixtures, flip};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// Reads lines of a type, a mode and a mark: mounts `image`, walks it, reads it, changes it, and says the mark.
/// What runs into its time says so.
const SCRIPT: &str = r#"
in_time() { timeout 20 sh -c "$1" >/dev/null 2>&1; [ $? != 124 ] || echo "HANGS: $1"; }
while read -r type mode mark; do
    if mount -t "$type" -o "$mode" image "$PLACE" 2>/dev/null; then
        if [ "$type" = umdevmbr ]; then
            in_time "ls -l $PLACE*; for d in $PLACE*; do dd if=\$d of=\$d bs=4096 count=8 conv=notrunc; done"
            if mount -t umfuseext2 -o rw+ "${PLACE}1" m 2>/dev/null; then in_time 'ls -lR m'; umount -l m; fi
        else
            in_time 'find m -maxdepth 5 -ls | head -400'
            in_time 'find m -maxdepth 5 -type f | head -60 | tr "\\n" "\\0" | xargs -0 head -qc 100000'
            in_time 'cp /etc/passwd m/new; cp m/new m/other; mkdir m/fresh; mv m/other m/fresh/name; ln m/new m/link'
            in_time 'for f in m/*; do mv "$f" m/fresh/; done; ls -la m/fresh; truncate -s 100000 m/fresh/*; rm -rf m/fresh'
        fi
        in_time "umount $PLACE || umount -l $PLACE"
    fi
    echo "$mark"
done
echo alive
"#;

/// What a line of the script is to say.
fn mount_type(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Ext => ("umfuseext2", "rw+"),
        Format::Fat => ("umfusefat", "rw+"),
        Format::Iso => ("umfuseiso9660", "ro"),
        Format::Table | Format::Qcow2 => ("umdevmbr", "rw"),
    }
}

/// Damages the image of the work folder as `number` says and has it used.
fn one(view: &mut Started, work: &Work, fixture: &Fixture, number: u64) {
    let device = Overlay::new(Arc::clone(&fixture.image), true);
    flip(&device, &fixture.places, &mut Noise::new(number));
    fs::write(work.path().join("image"), &*fixture.image).expect("room in /tmp");
    let file = OpenOptions::new().write(true).open(work.path().join("image"));
    let file = file.expect("the image is there");
    for (at, bytes) in device.changes() {
        file.write_all_at(&bytes, at).expect("room in /tmp");
    }
    let (kind, mode) = mount_type(fixture.format);
    let mark = format!("done-{}-{number}.", fixture.name);
    view.write(&format!("{kind} {mode} {mark}\n"));
    let said = view.read_until(&mark);
    assert!(!said.contains("HANGS"), "{}: {said}", fixture.name);
}

fn survive(combination: (Engine, User), fixtures: &[&Fixture], numbers: std::ops::Range<u64>) {
    let work = Work::new(combination.1);
    work.write("image", "");
    work.folder("m");
    let is_disk = fixtures.iter().any(|fixture| fixture.format == Format::Table);
    let place = if is_disk { "PLACE=/dev/hda" } else { "PLACE=m" };
    let limit = Duration::from_secs(1200);
    let view = View::of(combination).preload("umfuse").preload("umdev").folder(work.path());
    let mut view = view.limit(limit).start(&["env", place, "sh", "-c", SCRIPT]);
    for fixture in fixtures {
        for number in numbers.clone() {
            one(&mut view, &work, fixture, number);
        }
    }
    let output = view.finish();
    assert!(output.success().ends_with("alive\n"), "{combination:?}: {output:?}");
}

fn survive_all(format: Format) {
    for program in [("mount", "mount"), ("timeout", "coreutils"), ("find", "findutils")] {
        need(program.0, program.1);
    }
    let count = if fuzz::images_wanted() >= 20 { 20 } else { 2 };
    let all = fixtures(format);
    let combinations = combinations();
    for (index, combination) in combinations.iter().enumerate() {
        let mine: Vec<&Fixture> = all.iter().skip(index).step_by(combinations.len()).collect();
        survive(*combination, &mine, 1000..1000 + count);
    }
}

#[test]
fn a_view_survives_hostile_ext_images() {
    survive_all(Format::Ext);
}

#[test]
fn a_view_survives_hostile_fat_images() {
    survive_all(Format::Fat);
}

#[test]
fn a_view_survives_hostile_iso_images() {
    survive_all(Format::Iso);
}

#[test]
fn a_view_survives_hostile_tables() {
    survive_all(Format::Table);
}
