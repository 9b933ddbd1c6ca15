//! A driver and a module that the tree does not know: `examples/`, and the pages that walk through them.

use e2e::{Example, User, View, Work, combinations, native, need};

/// A folder with a program, links and special files, and the romfs image of it.
fn work(user: User, example: &Example) -> Work {
    need("genromfs", "genromfs");
    let work = Work::new(user);
    for folder in ["mnt", "tree", "tree/sub", "tree/sub/deep"] {
        work.folder(folder);
    }
    work.write("tree/hello", "hello, world\n");
    work.write("tree/sub/deep/file", &"a longer line of text\n".repeat(2000));
    work.write("tree/run", "#!/bin/sh\necho ran $0\n");
    let line = "chmod 755 tree/run && ln -s sub/deep tree/link && ln tree/hello tree/sub/again && \
                mkfifo tree/fifo && : > tree/empty && genromfs -f image -d tree -V label";
    let made = native(user).folder(work.path()).run(line);
    assert_eq!(made.code, Some(0), "{made:?}");
    example.install("umview-romfs", &work.name("umview-romfs"));
    work
}

#[test]
fn a_driver_from_outside_is_compiled_tested_and_mounted() {
    let example = Example::build("romfs");
    example.test();
    for combination in combinations() {
        let work = work(combination.1, &example);
        let view = View::of(combination)
            .folder(work.path())
            .umview(&work.name("umview-romfs"))
            .option("--mount")
            .option(&format!("umfuseromfs:{}:{}:ro", work.name("image"), work.name("mnt")));
        let line = "diff -r -x fifo --no-dereference tree mnt && readlink mnt/link && cat mnt/link/file | wc -l && \
                    mnt/run && stat -c '%A %F' mnt/fifo mnt/empty && test mnt/hello -ef mnt/sub/again && \
                    stat -f -c %T mnt && ! touch mnt/new && umview ls mnt";
        let output = view.run(line);
        let expect = format!(
            "sub/deep\n2000\nran mnt/run\nprw-r--r-- fifo\n-rw-r--r-- regular empty file\nromfs\n{}",
            "empty\nfifo\nhello\nlink\nrun\nsub\n"
        );
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
        // The umview of the tree has no such type, and says what it has.
        let plain = View::of(combination).folder(work.path()).preload("umfuse");
        let refused = plain.run("mount -t umfuseromfs -o ro image mnt");
        assert_ne!(refused.code, Some(0), "{combination:?}: {refused:?}");
        assert!(refused.stderr.contains("no such type"), "{combination:?}: {refused:?}");
    }
}

#[test]
fn the_kernel_finds_the_same_in_a_driver_from_outside() {
    let example = Example::build("romfs");
    let work = work(User::Root, &example);
    example.install("umfuse-export-romfs", &work.name("export"));
    // fusermount3 would do without root; what the driver answers is the same.
    if !nix::unistd::geteuid().is_root() || std::fs::File::open("/dev/fuse").is_err() {
        eprintln!("SKIPPED: a mount by /dev/fuse needs root and that device");
        return;
    }
    let line = "./export -o ro umfuseromfs image mnt & until mountpoint -q mnt; do kill -0 $! || exit 1; done\n\
                diff -r -x fifo --no-dereference tree mnt && mnt/run && ls mnt/sub && wc -l < mnt/link/file\n\
                umount mnt && wait $!";
    let output = native(User::Root).folder(work.path()).run(line);
    assert_eq!(output.success(), "ran mnt/run\nagain\ndeep\n2000\n", "{output:?}");
}

#[test]
fn a_module_from_outside_is_compiled_and_answers_calls() {
    let example = Example::build("label");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (mnt, label) = (work.folder("mnt"), work.write("label", "outside\nmore\n"));
        work.write("mnt/there", "still\n");
        work.write("inner", "inside\n");
        example.install("umview-label", &work.name("umview-label"));
        let host = native(combination.1).run("uname -n -r -m");
        // Mounted over itself by another name, and by a nested view, it is the file that it was before.
        let line = format!(
            "um_add_service umlabel && um_ls_service && mount -t umlabel {label} {mnt} && hostname && \
             cat {mnt}/there && umview sh -c 'mount -t umlabel {inner} {mnt} && uname -n' && uname -n && \
             ! mount -t umlabel -o size=1 {label} {mnt} && ! mount -t umlabel /nothing {mnt} && umount {mnt} && \
             uname -n -r -m",
            inner = work.name("inner")
        );
        let view = View::of(combination).folder(work.path()).umview(&work.name("umview-label"));
        let output = view.run(&line);
        let expect = format!(
            "umlabel: the host name out of a file\noutside\nstill\ninside\noutside\n{}",
            host.success()
        );
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
        assert!(output.stderr.contains("size=1"), "{combination:?}: {output:?}");
    }
}
