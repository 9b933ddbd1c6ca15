//! The examples of the founding slides, their command lines kept.

use e2e::{View, Work, combinations, need};

#[test]
fn example_3_mount_a_file_system() {
    need("mke2fs", "e2fsprogs");
    for combination in combinations() {
        let work = Work::new(combination.1);
        work.folder("tree");
        work.write("tree/file", "text\n");
        let line = "mke2fs -q -t ext2 -d tree ext2filesystemimage 2M >/dev/null; um_add_service umfuse; \
                    mount -t umfuseext2 -o ro ext2filesystemimage /mnt; cat /mnt/file; echo x >/mnt/file";
        let output = View::of(combination).folder(work.path()).run(line);
        assert_eq!(output.stdout, "text\n", "{combination:?}: {output:?}");
        assert!(output.stderr.contains("Read-only file system"), "{combination:?}: {output:?}");
    }
}

#[test]
fn example_4_partition_an_image_and_mount_its_partition() {
    need("fdisk", "fdisk");
    need("mkfs.ext2", "e2fsprogs");
    need("dd", "coreutils");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let root = "dd of=diskimage bs=1024 count=0 seek=20480 2>/dev/null
            mount -t umdevmbr $PWD/diskimage /dev/hda
            printf \"n\\np\\n1\\n\\n\\np\\nw\\n\" | fdisk /dev/hda | grep -o ^/dev/hda1
            ls /dev/hda*
            mkfs.ext2 -q /dev/hda1
            um_add_service umfuse
            mount -t umfuseext2 -o rw+ /dev/hda1 /mnt
            echo written >/mnt/new
            ls /mnt; cat /mnt/new
            umount /mnt && e2fsck -fn /dev/hda1 >/dev/null 2>&1; echo $?";
        let line = format!("um_add_service umdev; viewsu -s /bin/sh -c '{root}'");
        let output = View::of(combination).folder(work.path()).run(&line);
        let expect = "/dev/hda1\n/dev/hda\n/dev/hda1\nlost+found\nnew\nwritten\n0\n";
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn example_5_user_mode_chroot() {
    need("busybox", "busybox-static");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let cage = "mkdir -p root/bin && cp /bin/busybox root/bin && ";
        let inside = "ls /; pwd; cd /bin; ls ..; pwd";
        let expect = "bin\n/\nbin\n/bin\n";
        let view = View::of(combination).folder(work.path());
        let line = format!("{cage} chroot root /bin/busybox sh -c '{inside}'");
        assert_eq!(view.clone().preload("viewfs").run(&line).success(), expect, "{combination:?}");
        let line = format!(
            "{cage} um_add_service viewfs && exec busybox sh -c 'mount -t viewfs -o move,permanent $PWD/root /; cd /; {inside}'"
        );
        let output = view.run(&line);
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn example_6_a_ramdisk() {
    need("mkfs.vfat", "dosfstools");
    for combination in combinations() {
        let line = "um_add_service umdev; um_add_service umfuse; um_add_service umproc
            mount -t umdevramdisk -o size=100M none /dev/hdx
            mkfs.vfat /dev/hdx >/dev/null
            mount -t umfusefat -o rw+ /dev/hdx /mnt
            echo text >/mnt/file; cat /mnt/file; ls /mnt
            mount | grep hdx";
        let output = View::of(combination).run(line);
        let (files, mounts) = output.success().split_at("text\nfile\n".len());
        assert_eq!(files, "text\nfile\n", "{combination:?}: {output:?}");
        assert!(
            mounts.contains("none on /dev/hdx type umdevramdisk ("),
            "{combination:?}: {output:?}"
        );
        assert!(
            mounts.contains("/dev/hdx on /mnt type umfusefat ("),
            "{combination:?}: {output:?}"
        );
    }
}
