//! The distribution's programs for disks and file systems, on virtual ones: they work as on real ones, for a user
//! without rights too.

use e2e::{Output, View, Work, combinations, need};
use std::time::Duration;

fn need_all(programs: &[(&str, &str)]) {
    for (program, package) in programs {
        need(program, package);
    }
}

/// Runs a script for every engine and user; all must print the same.
fn transcript(script: &str, expect: &str) {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umdev").preload("umfuse").preload("umproc");
        let output: Output = view.folder(work.path()).limit(Duration::from_secs(120)).run(script);
        let found = output.stdout.replace(&work.name(""), "/WORK/");
        assert_eq!(found, expect, "{combination:?}: {}", output.stderr);
        assert_eq!(output.code, Some(0), "{combination:?}: {output:?}");
    }
}

#[test]
fn a_gpt_disk_is_partitioned_formatted_tuned_and_resized() {
    need_all(&[("sgdisk", "gdisk"), ("mkfs.ext4", "e2fsprogs"), ("blkid", "util-linux")]);
    let script = "exec 2>&1
        truncate -s 64M disk; mount -t umdevmbr $PWD/disk /dev/hda
        sgdisk -o -n 1:2048:+20M -c 1:one -n 2:0:+20M /dev/hda | tail -1
        ls /dev/hda*; sgdisk -v /dev/hda | grep -o '^No problems found'
        mkfs.ext4 -q /dev/hda1; echo mkfs.ext4 $?; mkfs.ext3 -q /dev/hda2; echo mkfs.ext3 $?
        blkid -s TYPE /dev/hda1; blkid -p -s TYPE /dev/hda2
        tune2fs -L label -c 5 /dev/hda1 >/dev/null; echo tune2fs $?
        dumpe2fs -h /dev/hda1 2>/dev/null | grep -E 'volume name|Maximum'
        mkdir m; mount -t umfuseext2 -o rw+ /dev/hda1 m; cp /etc/passwd m/kept; umount m
        e2fsck -fp /dev/hda1 >/dev/null; echo e2fsck $?
        for size in 10M 20M; do
            resize2fs /dev/hda1 $size >/dev/null 2>&1; echo resize2fs $?
            e2fsck -fn /dev/hda1 >/dev/null 2>&1; echo e2fsck $?
            dumpe2fs -h /dev/hda1 2>/dev/null | grep '^Block count'
        done
        mount -t umfuseext2 -o ro /dev/hda1 m; cmp /etc/passwd m/kept; echo cmp $?; umount m
        dd if=/dev/hda1 of=copy bs=1M iflag=direct status=none; echo dd $?
        dd if=copy of=/dev/hda2 bs=1M oflag=direct conv=notrunc status=none; echo dd $?
        cmp /dev/hda1 /dev/hda2; echo cmp $?";
    let expect = "The operation has completed successfully.
/dev/hda\n/dev/hda1\n/dev/hda2\nNo problems found\nmkfs.ext4 0\nmkfs.ext3 0
/dev/hda1: TYPE=\"ext4\"\n/dev/hda2: TYPE=\"ext3\"\ntune2fs 0
Filesystem volume name:   label\nMaximum mount count:      5\ne2fsck 0
resize2fs 0\ne2fsck 0\nBlock count:              10240
resize2fs 0\ne2fsck 0\nBlock count:              20480\ncmp 0\ndd 0\ndd 0\ncmp 0\n";
    transcript(script, expect);
}

#[test]
fn an_mbr_disk_is_partitioned_by_sfdisk_and_changed_by_parted() {
    need_all(&[("sfdisk", "fdisk"), ("parted", "parted"), ("mkfs.vfat", "dosfstools")]);
    let script = r"exec 2>&1
        truncate -s 64M disk; mount -t umdevmbr $PWD/disk /dev/hda
        printf 'label: dos\nstart=2048,size=40960,type=83\nstart=43008,size=40960,type=c\n' | sfdisk -q /dev/hda
        sfdisk -d /dev/hda | grep start=; ls /dev/hda*
        mkfs.vfat /dev/hda2 >/dev/null; fsck.vfat -n /dev/hda2 | tail -1; blkid -s TYPE /dev/hda2
        parted -sm /dev/hda unit s print | tail -2
        pt() { parted -s /dev/hda $1 >log 2>&1 || cat log; }
        pt 'rm 2'; ls /dev/hda*
        pt 'mkpart primary ext4 43008s 63487s'; pt 'resizepart 2 84000s'; sfdisk -d /dev/hda | grep start=
        pt 'mklabel gpt mkpart a ext4 1MiB 30MiB mkpart b fat32 30MiB 60MiB'
        parted -sm /dev/hda unit s print | tail -2; ls /dev/hda*; sfdisk -V /dev/hda | grep ^No";
    let expect = "/dev/hda1 : start=        2048, size=       40960, type=83
/dev/hda2 : start=       43008, size=       40960, type=c\n/dev/hda\n/dev/hda1\n/dev/hda2
/dev/hda2: 0 files, 0/10208 clusters\n/dev/hda2: TYPE=\"vfat\"
1:2048s:43007s:40960s:::;\n2:43008s:83967s:40960s:fat16::lba;\n/dev/hda\n/dev/hda1
/dev/hda1 : start=        2048, size=       40960, type=83
/dev/hda2 : start=       43008, size=       40993, type=83
1:2048s:61439s:59392s::a:;\n2:61440s:122879s:61440s::b:msftdata;
/dev/hda\n/dev/hda1\n/dev/hda2\nNo errors detected.\n";
    transcript(script, expect);
}

/// A tree with what copying may lose: names, links, holes, times, attributes, rights.
const TREE: &str = "mkdir src src/d; echo hello >src/a; ln src/a src/d/hard; ln -s a src/sym; mkfifo src/fifo
    truncate -s 5M src/sparse; printf x | dd of=src/sparse bs=1 seek=3000000 conv=notrunc status=none
    setfattr -n user.one -v value src/a; setfattr -n user.two -v 0x00ff src/d
    chmod 640 src/a; chmod 751 src/d; touch -d '2001-02-03 04:05:06.789' src/a; setfacl -m u:1:r src/a
    truncate -s 40M image; mkfs.ext4 -q image; mkdir m; mount -t umfuseext2 -o rw+ image m\n";

#[test]
fn a_tree_is_copied_onto_a_mounted_ext4() {
    need_all(&[("rsync", "rsync"), ("tar", "tar"), ("setfattr", "attr"), ("setfacl", "acl")]);
    let script = "exec 2>&1; umask 022; export TZ=UTC
        cp -a src m/cp; echo cp $?; rsync -aHAX src/ m/rsync/; echo rsync $?
        mkdir m/tar; tar --xattrs --acls -C src -cf - . | tar --xattrs --acls -C m/tar -xpf -; echo tar $?
        for copy in cp rsync tar; do
            rsync -aHAXni --delete src/ m/$copy/; cd m/$copy
            find . -type f -printf '%p %m %s %n\\n' | sort; getfattr -h -d a d --absolute-names | grep user
            getfacl -n a | grep user:1; stat -c %y a; cd ../..
        done
        test $(stat -c %b m/cp/sparse) -lt 100; echo sparse $?
        umount m; e2fsck -fn image >/dev/null 2>&1; echo e2fsck $?";
    let files = "./a 640 6 2\n./d/hard 640 6 2\n./sparse 644 5242880 1\nuser.one=\"value\"
user.two=0sAP8=\nuser:1:r--\n2001-02-03 04:05:06.789000000 +0000\n";
    let expect = format!("cp 0\nrsync 0\ntar 0\n{files}{files}{files}sparse 0\ne2fsck 0\n");
    transcript(&format!("{TREE}{script}"), &expect);
}

#[test]
fn mount_and_umount_of_an_image_by_its_own_type_end_with_0() {
    need_all(&[("mount", "mount"), ("losetup", "mount")]);
    let script = "exec 2>&1
        um_fsalias ext2 umfuseext2; truncate -s 4M image; mkfs.ext2 -q image; mkdir m
        mount -t ext2 image m; echo mount $?; losetup -nO BACK-FILE | grep $PWD
        grep -c \" $PWD/m umfuseext2 rw\" /proc/mounts; umount m; echo umount $?; losetup -nO BACK-FILE | grep $PWD
        mount -t ext2 -o loop,ro image m; echo mount $?; touch m/x 2>/dev/null || echo refused; umount m; echo umount $?
        mount image m; echo mount $?; touch m/x; ls m; umount m; echo umount $?";
    let expect = "mount 0\n/WORK/image\n1\numount 0\nmount 0\nrefused\numount 0
mount 0\nlost+found\nx\numount 0\n";
    transcript(script, expect);
}

#[test]
fn a_qcow2_image_is_partitioned_formatted_and_filled_and_qemu_img_finds_it_clean() {
    need_all(&[("qemu-img", "qemu-utils"), ("sfdisk", "fdisk"), ("mkfs.ext4", "e2fsprogs")]);
    let script = "exec 2>&1
        qemu-img create -q -f qcow2 disk.qcow2 64M; mount -t umdevqcow2 disk.qcow2 /dev/hda
        echo 'start=2048,type=83' | sfdisk -q /dev/hda; ls /dev/hda*; mkfs.ext4 -q /dev/hda1; echo mkfs.ext4 $?
        mkdir m; mount -t umfuseext2 -o rw+ /dev/hda1 m; cp -r /etc/pam.d m/; cp /bin/ls m/; rm -r m/pam.d; umount m
        e2fsck -fn /dev/hda1 >/dev/null 2>&1; echo e2fsck $?; umount /dev/hda; echo umount $?
        qemu-img check -q disk.qcow2; echo check $?
        mount -t umdevqcow2 -o ro disk.qcow2 /dev/hda; mount -t umfuseext2 -o ro /dev/hda1 m; cmp m/ls /bin/ls; echo cmp $?
        umount m; umount /dev/hda; qemu-img snapshot -c one disk.qcow2
        mount -t umdevqcow2 disk.qcow2 /dev/hda 2>&1 | grep -v ERROR | grep .";
    let expect = "/dev/hda\n/dev/hda1\nmkfs.ext4 0\ne2fsck 0\numount 0\ncheck 0\ncmp 0\nmount: /dev/hda: WARNING: source write-protected, mounted read-only.\n";
    transcript(script, expect);
}
