//! viewfs with layers that are virtual themselves, and the order of mounts.

use e2e::{Engine, User, View, Work, combinations, native, need};

/// A folder with a tree, an image of it, an image with room, mount points and a store.
fn work(user: User) -> Work {
    need("mke2fs", "e2fsprogs");
    let work = Work::new(user);
    for name in ["mnt", "up", "store", "tree", "tree/sub"] {
        work.folder(name);
    }
    work.write("tree/hello", "hello, world\n");
    work.write("tree/sub/one", "one\n");
    work.write("tree/sub/two", "two\n");
    let make = "mke2fs -q -t ext4 -d tree low.img 4M && mke2fs -q -t ext4 up.img 8M";
    let _ = native(user).folder(work.path()).run(make).success();
    work
}

fn view(combination: (Engine, User), work: &Work) -> View {
    View::of(combination).folder(work.path()).preload("umfuse").preload("viewfs").preload("umproc")
}

const LOW: &str = "mount -t umfuseext2 -o ro low.img mnt";
const UP: &str = "mount -t umfuseext2 -o rw+ up.img up";

/// A few changes of every kind below `mnt`, and what is seen of them.
const CHANGE: &str = "cd mnt && echo more >>hello && rm sub/one && mkdir new && echo n >new/n && mv sub away && \
     ln new/n hard && ln -s hello soft && chmod 640 hello && cat hello soft && ls away && \
     stat -c '%n %a %h' hello new/n && cd ..";
const CHANGED: &str = "hello, world\nmore\nhello, world\nmore\ntwo\nhello 640 1\nnew/n 644 2\n";

#[test]
fn an_image_that_is_read_only_is_written_to_in_a_store_of_the_host() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = format!("{LOW} && mount -t viewfs -o cow store mnt && {CHANGE}");
        assert_eq!(view(combination, &work).run(&line).success(), CHANGED, "{combination:?}");
        // What is in the store is there in the next view.
        let line =
            format!("{LOW} && mount -t viewfs -o cow store mnt && cat mnt/hello && ls mnt/away");
        let again = view(combination, &work).run(&line);
        assert_eq!(again.success(), "hello, world\nmore\ntwo\n", "{combination:?}");
        let host = native(combination.1).folder(work.path()).run("cat store/new/n store/hello");
        assert_eq!(host.success(), "n\nhello, world\nmore\n");
    }
}

#[test]
fn a_store_lies_on_an_image_and_other_tools_read_it_there() {
    for combination in combinations() {
        for lower in [":", LOW] {
            let work = work(combination.1);
            let host = native(combination.1).folder(work.path());
            if lower == ":" {
                let _ = host.run("cp -r tree/. mnt").success();
            }
            let line = format!("{UP} && {lower} && mount -t viewfs -o cow up mnt && {CHANGE}");
            let view = view(combination, &work);
            assert_eq!(view.run(&line).success(), CHANGED, "{combination:?} {lower}");
            let check = host.run("e2fsck -fn up.img >check 2>&1 || { cat check; exit 1; }");
            let _ = check.success();
            let look = "debugfs -R 'stat sub' up.img 2>/dev/null | grep -c 'character special'; \
                        debugfs -R 'cat hello' up.img 2>/dev/null; \
                        debugfs -R 'ea_list away' up.img 2>/dev/null | grep -o 'overlay.opaque'";
            assert_eq!(host.run(look).success(), "1\nhello, world\nmore\noverlay.opaque\n");
            let line = format!(
                "{UP} && {lower} && mount -t viewfs -o cow up mnt && cat mnt/soft mnt/hard"
            );
            assert_eq!(view.run(&line).success(), "hello, world\nmore\nn\n", "{combination:?}");
            assert_eq!(host.run("cat tree/hello").success(), "hello, world\n");
        }
    }
}

#[test]
fn a_store_on_an_image_has_one_writer_and_a_read_only_one_is_refused() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = format!("{UP} && mount -t viewfs -o cow up mnt; mount -t viewfs -o cow up tree");
        let output = view(combination, &work).run(&line);
        assert!(output.stderr.contains("another mount"), "{combination:?}: {output:?}");
        let line = "mount -t umfuseext2 -o ro up.img up && mount -t viewfs -o cow up mnt";
        let output = view(combination, &work).run(line);
        assert!(output.stderr.contains("read-only mount"), "{combination:?}: {output:?}");
    }
}

#[test]
fn a_store_on_vfat_is_refused_with_the_cause() {
    need("mkfs.vfat", "dosfstools");
    for combination in combinations() {
        let work = work(combination.1);
        let host = native(combination.1).folder(work.path());
        let _ = host.run("truncate -s 4M fat.img && mkfs.vfat fat.img").success();
        let line =
            "mount -t umfusefat -o rw+ fat.img up && { mount -t viewfs -o cow up mnt; ls -A up; }";
        let output = view(combination, &work).run(line);
        assert!(output.stderr.contains("between a and A"), "{combination:?}: {output:?}");
        assert_eq!(output.stdout, "", "nothing is left behind");
    }
}

#[test]
fn a_compact_disc_is_written_to_in_a_store_on_a_ramdisk() {
    need("xorriso", "xorriso");
    for combination in combinations() {
        let work = work(combination.1);
        let host = native(combination.1).folder(work.path());
        let iso = "xorriso -outdev low.iso -map tree / -commit >iso.log 2>&1 || cat iso.log";
        assert_eq!(host.run(iso).success(), "");
        let line = format!(
            "mount -t umdevramdisk -o size=8M none /dev/hdx && mke2fs -q -t ext2 /dev/hdx && \
             mount -t umfuseext2 -o rw+ /dev/hdx up && mount -t umfuseiso9660 low.iso mnt && \
             mount -t viewfs -o cow,vstat up mnt && {CHANGE}"
        );
        let output = view(combination, &work).preload("umdev").run(&line);
        assert_eq!(output.success(), CHANGED, "{combination:?}: {output:?}");
    }
}

#[test]
fn move_and_merge_take_virtual_sources_and_targets() {
    for combination in combinations() {
        let work = work(combination.1);
        let view = view(combination, &work);
        for (line, expected) in [
            ("mount -t viewfs mnt/sub store && cat store/one && umount mnt", "one\n"),
            (
                "mount -t viewfs -o bind tree/sub mnt/sub && cat mnt/sub/two; ls mnt/sub",
                "two\none\ntwo\n",
            ),
            (
                "echo x >store/hello && mount -t viewfs -o merge mnt store && cat store/hello",
                "hello, world\n",
            ),
            ("mount --bind tree/hello mnt/sub/one && cat mnt/sub/one", "hello, world\n"),
            ("mount --bind tree/hello mnt/sub", ""),
            (
                "mount -t viewfs -o merge store mnt && touch mnt/new; ls mnt",
                "hello\nlost+found\nsub\n",
            ),
            (
                "echo x >store/over && mount -t viewfs -o merge mnt store && touch store/new && ls store && \
                 ls store/sub && touch store/sub/no",
                "hello\nlost+found\nnew\nover\nsub\none\ntwo\n",
            ),
        ] {
            let output = view.run(&format!("{LOW} && {line}"));
            assert_eq!(output.stdout, expected, "{combination:?} {line}: {output:?}");
            let _ = native(combination.1).folder(work.path()).run("rm -rf store/*").success();
        }
    }
}

#[test]
fn what_is_merged_into_an_image_is_made_in_the_image() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = format!(
            "{UP} && mount -t viewfs -o merge tree up && echo made >up/made && ls up && umount up && ls -l up | \
             grep -c made && stat -c %U up/made"
        );
        let output = view(combination, &work).run(&line);
        let user = if combination.1.ids().is_some() { "nobody" } else { "root" };
        let expected = format!("hello\nlost+found\nmade\nsub\n1\n{user}\n");
        assert_eq!(output.success(), expected, "{combination:?}: {output:?}");
    }
}

#[test]
fn an_image_below_the_mount_point_is_part_of_what_an_overlay_is_laid_over() {
    for combination in combinations() {
        let work = work(combination.1);
        let (here, store) = (work.name(""), work.name("store"));
        let line = format!(
            "mount -t umfuseext2 -o rw+ up.img up && mount -t viewfs -o cow {store} {here} && ls -A up && \
             echo in >up/in && ls up && umount up; mount -t viewfs -o renew up.img up; ls up; umount {here}"
        );
        let output = view(combination, &work).run(&line);
        // What was written went to the store; what is renewed shows the image itself.
        assert_eq!(output.stdout, "lost+found\nin\nlost+found\nlost+found\n", "{output:?}");
        assert!(output.stderr.contains("busy"), "{combination:?}: {output:?}");
        let host = native(combination.1).folder(work.path()).run("cat store/up/in");
        assert_eq!(host.success(), "in\n");
    }
}

#[test]
fn mounts_of_later_birth_stay_on_an_overlay_and_go_first() {
    for combination in combinations() {
        let work = work(combination.1);
        let here = work.name("");
        let line = format!(
            "mount -t viewfs -o cow store {here} && {UP} && {LOW} && echo x >up/x && ls up mnt && umount {here}; \
             umount up && umount mnt && cd / && umount {here} && ls {here}/up"
        );
        let output = view(combination, &work).run(&line);
        let expected = "mnt:\nhello\nlost+found\nsub\n\nup:\nlost+found\nx\n";
        assert_eq!(output.stdout, expected, "{combination:?}: {output:?}");
        assert!(output.stderr.contains("busy"), "{combination:?}: {output:?}");
    }
}

#[test]
fn overlays_nest_and_each_keeps_its_own() {
    for combination in combinations() {
        let work = work(combination.1);
        let (tree, other) = (work.name("tree"), work.folder("other"));
        let line = format!(
            "mount -t viewfs -o cow store tree && echo 1 >tree/f && rm tree/hello && \
             mount -t viewfs -o cow,except={tree}/sub {other} tree && echo 2 >tree/f && echo s >tree/sub/s && \
             ls tree && cat tree/f && umount tree && cat tree/f && ls tree/sub && umount tree && ls tree"
        );
        let output = view(combination, &work).run(&line);
        let expected = "f\nsub\n2\n1\none\ns\ntwo\nhello\nsub\n";
        assert_eq!(output.success(), expected, "{combination:?}: {output:?}");
        let host = native(combination.1).folder(work.path());
        assert_eq!(host.run("cat store/f other/f store/sub/s").success(), "1\n2\ns\n");
    }
}

#[test]
fn an_overlay_over_a_moved_directory_leaves_both_names_of_it_alone() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = "mount -t viewfs tree mnt && mount -t viewfs -o cow store mnt && echo y >mnt/y && \
                    rm mnt/hello && ls mnt && umount mnt && ls mnt tree && umount mnt && ls mnt";
        let output = view(combination, &work).run(line);
        let expected = "sub\ny\nmnt:\nhello\nsub\n\ntree:\nhello\nsub\n";
        assert_eq!(output.success(), expected, "{combination:?}: {output:?}");
    }
}

#[test]
fn a_changed_root_inside_an_overlay_sees_the_overlay() {
    for combination in combinations() {
        let work = work(combination.1);
        let script = work.write(
            "inside.py",
            "import os, sys\nos.chroot(sys.argv[1])\nos.chdir('/')\nopen('/made', 'w').write('in')\n\
             os.rename('/hello', '/sub/hello')\nprint(sorted(os.listdir('/')), os.listdir('/sub') != [])\n\
             print(os.path.realpath('/../made'), open('/sub/../made').read())\n",
        );
        let line = format!(
            "mount -t viewfs -o cow store / && mount -t viewfs -o cow {} tree && /usr/bin/python3 {script} {} && \
             cat tree/made",
            work.folder("other"),
            work.name("tree")
        );
        let output = view(combination, &work).run(&line);
        let expected = "['made', 'sub'] True\n/made in\nin";
        assert_eq!(output.success(), expected, "{combination:?}: {output:?}");
        assert!(!work.path().join("tree/made").exists());
    }
}

#[test]
fn a_permanent_overlay_cannot_be_unmounted() {
    for combination in combinations() {
        let work = work(combination.1);
        for mode in ["bind", "cow", "merge,wok"] {
            let line = format!(
                "mount -t viewfs -o {mode},permanent store mnt && {{ umount mnt || umount -l mnt; }}; findmnt -n mnt"
            );
            let output = view(combination, &work).run(&line);
            assert_eq!(output.code, Some(0), "{combination:?} {mode}: {output:?}");
            assert!(output.stderr.contains("unmount"), "{combination:?} {mode}: {output:?}");
        }
    }
}

#[test]
fn renewal_brings_an_older_mount_to_the_top() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = "mount -t viewfs tree mnt && mount -t viewfs tree/sub mnt && ls mnt && \
                    mount -t viewfs -o renew tree mnt && ls mnt && umount mnt && ls mnt && umount mnt && ls mnt; \
                    mount -t viewfs -o renew tree mnt";
        let output = view(combination, &work).run(line);
        assert_eq!(output.stdout, "one\ntwo\nhello\nsub\none\ntwo\n", "{output:?}");
        assert!(output.stderr.contains("nothing is mounted"), "{combination:?}: {output:?}");
    }
}

#[test]
fn with_wok_everything_looks_writable_and_is_not() {
    let looks = "test -w mnt/hello; echo $?; stat -c %a mnt/hello; echo x >>mnt/hello; umount mnt";
    for combination in combinations() {
        let work = work(combination.1);
        let _ = native(combination.1).folder(work.path()).run("chmod 444 tree/hello").success();
        for (mode, expected) in [("merge", "1\n444\n"), ("merge,wok", "0\n666\n")] {
            let output = view(combination, &work)
                .run(&format!("mount -t viewfs -o {mode} tree mnt && {{ {looks}; }}"));
            assert_eq!(output.stdout, expected, "{combination:?} {mode}: {output:?}");
            assert!(output.stderr.contains("Read-only file system"), "{mode}: {output:?}");
        }
    }
}

#[test]
fn an_image_in_an_overlay_is_mounted_and_written_in_the_store() {
    for combination in combinations() {
        let work = work(combination.1);
        let here = work.name("");
        let host = native(combination.1).folder(work.path());
        let before = host.run("sha256sum up.img");
        let line = format!(
            "mount -t viewfs -o cow store {here} && {UP} && echo x >up/x && umount up && {UP} && ls up"
        );
        let output = view(combination, &work).run(&line);
        assert_eq!(output.success(), "lost+found\nx\n", "{combination:?}: {output:?}");
        let after = host.run("sha256sum up.img");
        assert_eq!(before.success(), after.success(), "{combination:?}: the image was changed");
    }
}

/// What a store on an image does with programs that are written, sockets and files without names; the same on the image
/// itself, `up`, which has the latter.
const FILES: &str = r#"python3 - <<'END'
import os, shutil, socket, subprocess
def tried(what):
    try: return what() is None or 'done'
    except OSError as error: return error.strerror
for folder in 'mnt', 'up':
    program = os.path.abspath(folder) + '/program'
    shutil.copy('/bin/sleep', program)
    fd = os.open(program, os.O_RDWR)
    print('written:', tried(lambda: subprocess.run([program, '0'])))
    reader = os.open(program, os.O_RDONLY)
    os.close(fd)
    print('read:', tried(lambda: subprocess.run([program, '0'])))
    child = subprocess.Popen([program, '60'])
    print('running:', tried(lambda: os.open(program, os.O_WRONLY)), tried(lambda: os.truncate(program, 0)))
    child.kill()
    child.wait()
    print('ended:', tried(lambda: os.open(program, os.O_WRONLY)))
    ends = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    ends[0].bind(folder + '/socket')
    ends[0].listen()
    ends[1].connect(os.path.abspath(folder) + '/socket')
    ends[1].send(b'through')
    print(ends[0].accept()[0].recv(9), oct(os.lstat(folder + '/socket').st_mode), tried(lambda: ends[1].bind(folder + '/socket')))
    os.unlink(folder + '/socket')
    print(tried(lambda: socket.socket(socket.AF_UNIX).connect(folder + '/socket')))
    print('nameless:', tried(lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR)))
END
"#;

#[test]
fn programs_and_sockets_in_a_store_on_an_image_are_what_they_are_on_the_image() {
    need("python3", "python3");
    let seen = |nameless: &str| {
        format!(
            "written: Text file busy\nread: done\nrunning: Text file busy Text file busy\nended: done\n\
             b'through' 0o140755 Address already in use\nNo such file or directory\nnameless: {nameless}\n"
        )
    };
    for combination in combinations() {
        let work = work(combination.1);
        let line = format!(
            "{UP} && mkdir up/store && mount -t viewfs -o cow up/store mnt && umask 022 && {FILES}"
        );
        let output = view(combination, &work).run(&line);
        let expected = seen("Operation not supported") + &seen("done");
        assert_eq!(output.success(), expected, "{combination:?}: {output:?}");
    }
}
