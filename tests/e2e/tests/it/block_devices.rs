//! Disks of the view where lsblk(8) and its kin look for them, and open files where lsof(8) does.

use e2e::{Engine, User, View, Work, combinations, need};

/// A folder with an image of two partitions, and a view of it.
fn work(combination: (Engine, User)) -> (Work, View) {
    for (program, package) in
        [("lsblk", "util-linux"), ("sfdisk", "fdisk"), ("mkfs.ext4", "e2fsprogs")]
    {
        need(program, package);
    }
    let work = Work::new(combination.1);
    work.folder("mnt");
    let line =
        "truncate -s 64M disk && printf 'label: dos\\n2048,40960,83\\n,,c\\n' | sfdisk -q disk";
    let made = e2e::native(combination.1).folder(work.path()).run(line);
    assert_eq!(made.code, Some(0), "{made:?}");
    let view = View::of(combination).folder(work.path());
    let view = view.preload("umdev").preload("umfuse").preload("umproc");
    (work, view)
}

/// The words of what a command prints, a line a line.
fn words(text: &str) -> Vec<String> {
    let line = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect()
}

#[test]
fn lsblk_shows_disks_and_partitions_as_long_as_they_are_mounted() {
    for combination in combinations() {
        let (work, view) = work(combination);
        let mnt = work.name("mnt");
        let line = format!(
            "set -e; mount -t umdevmbr disk /dev/hda; mount -t umdevramdisk -o ro,size=8M none /dev/ram77\n\
             mkfs.ext4 -q -L label /dev/hda1; mount -t umfuseext2 -o rw+ /dev/hda1 {mnt}\n\
             lsblk -nr -o NAME,SIZE,RO,TYPE,MOUNTPOINT /dev/hda /dev/ram77; lsblk -nr -o NAME | grep -cE 'hda|ram77'\n\
             lsblk -nr -o START,LOG-SEC /dev/hda2; viewsu -c 'lsblk -nr -o FSTYPE,LABEL /dev/hda1'\n\
             umount {mnt}; printf ',20M\\n' | sfdisk -q -N2 /dev/hda; lsblk -nr -o NAME,SIZE /dev/hda\n\
             umount /dev/hda; umount /dev/ram77; lsblk -nr -o NAME | grep -cE 'hda|ram77' || true"
        );
        let output = view.run(&line);
        let expect = [
            "hda 64M 0 disk",
            &format!("hda1 20M 0 part {mnt}"),
            "hda2 43M 0 part",
            "ram77 8M 1 disk",
            "4",
            "43008 512",
            "ext4 label",
            "hda 64M",
            "hda1 20M",
            "hda2 20M",
            "0",
        ];
        assert_eq!(words(output.success()), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn names_in_sys_lead_where_the_kernels_do() {
    for combination in combinations() {
        let (_work, view) = work(combination);
        let line = "set -e; mount -t umdevmbr -o major=240,minor=16 disk /dev/hda; cd /sys/block; readlink hda | grep -c devices/virtual\n\
                    cat hda/size hda/hda2/start hda/hda2/partition hda/queue/logical_block_size ../dev/block/240:17/dev\n\
                    ls /sys/class/block | grep hda; ls /sys/dev/block | grep 240:; ls hda | tr '\\n' ' '; ls hda/holders | wc -l\n\
                    cd /sys/class/block/hda1; pwd -P | sed s,block/,,; cd -P subsystem; pwd\n\
                    test ! -e /sys/block/hdb -a ! -e /sys/block/hda/hda3 && stat -f -c %T /sys/block/hda; ! touch /sys/block/hda/new 2> /dev/null";
        let output = view.run(line);
        let expect = "1\n131072\n43008\n2\n512\n240:17\nhda\nhda1\nhda2\n240:16\n240:17\n240:18\n\
                      alignment_offset capability dev discard_alignment ext_range hda1 hda2 hidden holders queue range \
                      removable ro size slaves subsystem 0\n/sys/devices/virtual/hda/hda1\n/sys/class/block\nsysfs\n";
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn a_nested_view_keeps_its_disks_to_itself() {
    for combination in combinations() {
        let (_work, view) = work(combination);
        let line = "umview sh -c 'mount -t umdevmbr disk /dev/hdn && lsblk -nr -o NAME /dev/hdn'; ls /sys/block | grep -c hdn; \
                    mount -t umdevmbr disk /dev/hdo; umview lsblk -nr -o NAME /dev/hdo";
        let output = view.run(line);
        let expect = "hdn\nhdn1\nhdn2\n0\nhdo\nhdo1\nhdo2\n";
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn tools_find_disks_without_being_told() {
    for (program, package) in [("fdisk", "fdisk"), ("parted", "parted"), ("findmnt", "util-linux")]
    {
        need(program, package);
    }
    for combination in combinations() {
        let (work, view) = work(combination);
        let mnt = work.name("mnt");
        let line = format!(
            "mount -t umdevmbr disk /dev/hda; mkfs.ext4 -q /dev/hda1; mount -t umfuseext2 -o rw+ /dev/hda1 {mnt}\n\
             fdisk -l 2>&- | grep -c '^/dev/hda'; parted -sm /dev/hda print | grep -c ext4; blkid -o value -s TYPE /dev/hda1\n\
             findmnt -nr -o SOURCE,FSTYPE {mnt}; df --output=source,target | grep -E 'hda|{mnt}'; grep -c {mnt} /proc/self/mountstats"
        );
        let output = view.run(&line);
        let expect = [
            "2",
            "1",
            "ext4",
            "/dev/hda1 umfuseext2",
            // The disk itself is mounted, too, and no file system.
            &format!("/dev/hda1 {mnt}"),
            "1",
        ];
        assert_eq!(words(output.success()), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn lsof_and_maps_name_the_files_of_the_view() {
    for (program, package) in [("lsof", "lsof"), ("python3", "python3"), ("ps", "procps")] {
        need(program, package);
    }
    for combination in combinations() {
        let (work, view) = work(combination);
        let mnt = work.name("mnt");
        let line = format!(
            "mount -t umfusemem none {mnt}; cp /bin/sleep {mnt}/nap; echo text > {mnt}/file; exec 5< {mnt}/file\n\
             {mnt}/nap 1000 5<&- & nap=$!; (cd {mnt}; exec sleep 1000 5<&-) & other=$!\n\
             until test $(readlink /proc/$nap/exe) = {mnt}/nap -a $(readlink /proc/$other/exe) != $(readlink /proc/$$/exe); do :; done\n\
             lsof -w -Fn -a -p $nap -d txt | grep ^n; lsof -w -Fn -a -p $other -d cwd | grep ^n\n\
             test \"$(lsof -w -t {mnt}/file)\" = $$ && echo mine\n\
             sed -n 's/.* r-xp .* //p' /proc/$nap/maps | grep -c {mnt}/nap; grep -c memfd /proc/$nap/maps\n\
             python3 -c 'import mmap; f = open(\"{mnt}/file\", \"r+\"); m = mmap.mmap(f.fileno(), 5)\nprint([l.split()[-1] for l in open(\"/proc/self/maps\") if \"rw-s\" in l])'\n\
             ps -o comm= -p $nap,$other; top -b -n1 -p $nap | grep -c nap; kill $nap $other"
        );
        let output = view.run(&line);
        let expect = format!("n{mnt}/nap\nn{mnt}\nmine\n1\n0\n['{mnt}/file']\nnap\nsleep\n1\n");
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}
