//! Files whose pages the kernel has (`/dev/fuse`), and the same without it: programs see no difference.

use e2e::{Engine, Started, User, View, Work, combinations, need};
use std::time::Duration;

/// Everything that a program does with the bytes of a large file.
const BYTES: &str = r#"
set -e
truncate -s 64M disk; mkfs.ext4 -q disk
mkdir mnt; mount -t umfuseext4 -o rw+ disk mnt
head -c 9000000 /dev/zero | tr '\0' z >mnt/big; cp mnt/big mnt/copy; cmp mnt/big mnt/copy
echo one >mnt/small; echo two >>mnt/small; cat mnt/small
truncate -s 300000 mnt/copy; wc -c <mnt/copy; truncate -s 12 mnt/small; wc -c <mnt/small
fallocate -p -o 4096 -l 8192 mnt/copy; od -A d -c -j 4095 -N 3 mnt/copy | head -1
python3 - <<'END'
import fcntl, mmap, os
f = os.open("mnt/map", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 1 << 20)
m = mmap.mmap(f, 1 << 20)
m[5:10] = b"abcde"
print(os.pread(f, 12, 0))
os.pwrite(f, b"XY", 6)
print(m[4:11])
m[300000:300003] = b"end"
m.close(); os.close(f)
f = os.open("mnt/map", os.O_RDONLY)
print(os.pread(f, 3, 300000), os.readlink(f"/proc/self/fd/{f}").endswith("/mnt/map"))
big = os.open("mnt/big", os.O_RDWR)
print(os.fstat(big).st_size, os.lseek(big, 0, os.SEEK_END))
fcntl.lockf(big, fcntl.LOCK_EX | fcntl.LOCK_NB)
other = os.open("mnt/big", os.O_RDONLY)
os.truncate("mnt/big", 1000)
print(os.fstat(other).st_size, len(os.read(other, 5000)), os.pread(other, 10, 2000))
a = os.open("mnt/big", os.O_WRONLY | os.O_APPEND)
os.write(a, b"tail"); os.fsync(a)
print(os.pread(other, 10, 998), os.fstat(a).st_size)
try: os.write(other, b"x")
except OSError as e: print(e.errno)
os.unlink("mnt/big")
print(os.pread(other, 4, 1000), os.fstat(other).st_nlink)
END
cp mnt/map mnt/map2; cmp mnt/map mnt/map2
umount mnt && echo unmounted
e2fsck -fn disk >/dev/null 2>&1; echo $?
"#;

const SEEN: &str = "one\ntwo\n300000\n12\n0004095   z  \\0  \\0\n\
b'\\x00\\x00\\x00\\x00\\x00abcde\\x00\\x00'\nb'\\x00aXYde\\x00'\nb'end' True\n9000000 9000000\n1000 1000 b''\n\
b'zztail' 1004\n9\nb'tail' 0\nunmounted\n0\n";

/// One way to have the files: the view, or `None` where this machine does not have it.
type Way = fn(View, &Work) -> Option<View>;

const WAYS: [(&str, Way); 3] = [
    ("by /dev/fuse", |view, work| view.with_fuse(work.path())),
    ("without fuse", |view, _| Some(view.option("--no-fuse"))),
    ("without user namespaces", |view, _| Some(view.option("--no-userns"))),
];

/// Runs a line in a view with these modules, by every engine, user and way, which all print `seen`.
fn in_each_way(modules: &[&str], line: &str, seen: &str) {
    for combination in combinations() {
        for (name, way) in WAYS {
            let work = Work::new(combination.1);
            let view = View::of(combination).folder(work.path());
            let view = modules.iter().fold(view, |view, module| view.preload(module));
            let Some(view) = way(view, &work) else { continue };
            let output = view.run(line);
            assert_eq!(output.stdout, seen, "{combination:?} {name}: {output:?}");
        }
    }
}

#[test]
fn programs_see_no_difference() {
    need("mkfs.ext4", "e2fsprogs");
    in_each_way(&["umfuse"], BYTES, SEEN);
}

#[test]
fn a_writer_may_be_followed_by_a_debugger() {
    need("strace", "strace");
    for user in [User::Root, User::Nobody] {
        let work = Work::new(user);
        let view = View::of((Engine::Notify, user)).preload("umfuse").folder(work.path());
        let Some(view) = view.with_fuse(work.path()) else { continue };
        let output = view.run(
            "truncate -s 8M disk; mkfs.ext2 -q disk; mkdir mnt; mount -t umfuseext2 -o rw+ disk mnt; echo x >mnt/f; \
             strace -o trace sh -c 'echo y >>mnt/f; cat mnt/f'; grep -c 'write(1, \"y' trace",
        );
        assert_eq!(output.stdout, "x\ny\n1\n", "{user:?}: {output:?}");
    }
}

#[test]
fn a_mapped_file_keeps_its_mount_and_a_closed_one_does_not() {
    in_each_way(
        &["umfuse"],
        r#"truncate -s 8M disk; mkfs.ext2 -q disk; mkdir mnt; mount -t umfuseext2 -o rw+ disk mnt
python3 - <<'END'
import mmap, os, subprocess
f = os.open("mnt/f", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 500000)
m = mmap.mmap(f, 500000); os.close(f); m[0] = 65
print(subprocess.call(["umount", "mnt"], stderr=subprocess.DEVNULL) != 0)
m.close()
print(subprocess.call(["umount", "mnt"]))
END"#,
        "True\n0\n",
    );
}

#[test]
fn the_space_of_a_removed_file_is_free_at_once() {
    in_each_way(
        &["umfuse"],
        "truncate -s 16M disk; mkfs.ext4 -q disk; mkdir mnt; mount -t umfuseext4 -o rw+ disk mnt; \
         for i in 1 2 3 4 5 6; do head -c 6000000 /dev/zero >mnt/f && rm mnt/f || exit 1; done; echo enough",
        "enough\n",
    );
}

#[test]
fn a_disk_and_the_file_that_it_is_are_one() {
    in_each_way(
        &["umfuse", "umdev"],
        "truncate -s 32M outer; mkfs.ext2 -q outer; mkdir mnt; mount -t umfuseext2 -o rw+ outer mnt; \
         head -c 4194304 /dev/zero >mnt/inner; exec 7<mnt/inner; cat mnt/inner >copy; \
         mount -t umdevmbr mnt/inner /dev/hdz; printf hello | dd of=/dev/hdz bs=512 seek=4 conv=notrunc 2>/dev/null; \
         dd if=mnt/inner bs=512 skip=4 count=1 2>/dev/null | head -c 5; \
         dd bs=512 skip=4 count=1 <&7 2>/dev/null | head -c 5; exec 7<&-; umount /dev/hdz; umount mnt; echo $?",
        "hellohello0\n",
    );
}

/// Monitors with writers, readers and maps under way are killed: nothing waits for their answers for ever, and
/// nothing but the disk is left.
#[test]
fn nothing_outlives_a_killed_monitor() {
    for user in [User::Root, User::Nobody] {
        for round in 0..6 {
            let work = Work::new(user);
            let view = View::of((Engine::Notify, user)).preload("umfuse").folder(work.path());
            let Some(view) = view.with_fuse(work.path()) else { continue };
            let view = view.limit(Duration::from_secs(60));
            let mut started: Started = view.start(&["sh", "-c", BUSY]);
            started.read_until(&"ready ".repeat(1 + round));
            let monitor = keepers_master(work.path().to_string_lossy().as_ref());
            let pid = nix::unistd::Pid::from_raw(monitor);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
            let output = started.finish();
            assert_ne!(output.code, Some(0), "{user:?}: {output:?}");
        }
    }
}

const BUSY: &str = r#"
truncate -s 64M disk; mkfs.ext4 -q disk; mkdir mnt; mount -t umfuseext4 -o rw+ disk mnt
for i in 1 2 3; do
    (while :; do
        head -c 3000000 /dev/zero >mnt/f$i; cat mnt/f$i >/dev/null
        python3 -c "
import mmap
f = open('mnt/f$i', 'r+b')
m = mmap.mmap(f.fileno(), 1 << 20)
for k in range(0, 1 << 20, 4096): m[k] = 7"
        printf 'ready '
    done) &
done
wait"#;

/// The monitor of the one view that works in `folder`: the parent of its keeper.
fn keepers_master(folder: &str) -> i32 {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let words = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    for process in processes {
        let pid = process.file_name().to_string_lossy().into_owned();
        let line = String::from_utf8_lossy(&words(&pid)).replace('\0', " ");
        let Some(master) = line.split("--keep-files-for ").nth(1) else { continue };
        let master = master.trim();
        let works_here = std::fs::read_dir(format!("/proc/{master}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|file| file.starts_with(folder));
        if works_here {
            return master.parse().expect("a process id");
        }
    }
    panic!("no keeper for {folder}");
}
