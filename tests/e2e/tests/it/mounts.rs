//! The distribution's own mount(8), umount(8), df, findmnt on virtual mounts.

use e2e::{User, View, Work, combinations, need};

/// A folder `tree` with two files, an ext2 image of it, a mount point.
fn work(user: User) -> Work {
    need("mke2fs", "e2fsprogs");
    need("mount", "mount");
    let work = Work::new(user);
    work.folder("mnt");
    work.folder("tree");
    work.folder("tree/sub");
    work.write("tree/hello", "hello, world\n");
    work.write("tree/sub/file", "in a folder\n");
    let made =
        e2e::native(user).folder(work.path()).run("mke2fs -q -t ext2 -d tree -L label image 2M");
    let _ = made.success();
    work
}

fn view(combination: (e2e::Engine, User), work: &Work) -> View {
    View::of(combination).folder(work.path()).preload("umfuse").preload("umproc")
}

#[test]
fn the_distributions_mount_and_umount_work_for_plain_users_and_for_virtual_root() {
    for combination in combinations() {
        for prefix in ["", "viewsudo "] {
            let work = work(combination.1);
            let line = format!(
                "{prefix}mount -t umfuseext2 -o ro image mnt && cat mnt/hello mnt/sub/file && \
                 {prefix}umount mnt && ls mnt | wc -l"
            );
            let output = view(combination, &work).run(&line);
            let expect = "hello, world\nin a folder\n0\n";
            assert_eq!(output.success(), expect, "{combination:?} {prefix}: {output:?}");
        }
    }
}

#[test]
fn a_mount_ends_with_its_view() {
    for combination in combinations() {
        let work = work(combination.1);
        let output = view(combination, &work)
            .run("mount -t umfuseext2 -o ro image mnt && ls mnt | grep -c hello");
        assert_eq!(output.success(), "1\n", "{combination:?}: {output:?}");
        assert_eq!(e2e::native(combination.1).folder(work.path()).run("ls mnt").success(), "");
    }
}

#[test]
fn df_findmnt_and_mount_show_it() {
    need("findmnt", "util-linux");
    for combination in combinations() {
        let work = work(combination.1);
        let (image, mnt) = (work.name("image"), work.name("mnt"));
        let view = view(combination, &work);
        let mounted = format!("mount -t umfuseext2 -o ro {image} {mnt} && ");
        for (line, expect) in [
            (format!("mount | grep {mnt}"), format!("{image} on {mnt} type umfuseext2 (ro")),
            (format!("findmnt -no SOURCE,FSTYPE {mnt}"), format!("{image} umfuseext2")),
            (format!("df --output=source,target {mnt} | tail -1"), format!("{image} {mnt}")),
            (
                format!(
                    "grep -c ' {mnt} umfuseext2 ' /proc/self/mounts /proc/mounts /etc/mtab | tr '\\n' ' '"
                ),
                "/proc/self/mounts:1 /proc/mounts:1 /etc/mtab:1".to_owned(),
            ),
            (format!("stat -f -c %S {mnt}"), "1024".to_owned()),
            (format!("mountpoint {mnt}"), format!("{mnt} is a mountpoint")),
        ] {
            let output = view.run(&format!("{mounted}{line}"));
            let words = output.success().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.starts_with(&expect), "{combination:?} {line}: {output:?}");
        }
    }
}

#[test]
fn a_busy_mount_stays_until_it_is_detached() {
    for combination in combinations() {
        let work = work(combination.1);
        let mnt = work.name("mnt");
        let line = format!(
            "mount -t umfuseext2 -o ro image mnt && exec 9<mnt/hello && viewumount mnt; echo $?; \
             umount {mnt}; echo $?; umount -l {mnt}; echo $?; ls mnt | wc -l; cat <&9"
        );
        let output = view(combination, &work).run(&line);
        let lines: Vec<&str> = output.success().lines().collect();
        assert_eq!(lines, ["1", "32", "0", "0", "hello, world"], "{combination:?}: {output:?}");
        assert!(output.stderr.contains("viewumount: mnt: busy"), "{output:?}");
        assert!(output.stderr.contains("target is busy"), "{output:?}");
    }
}

#[test]
fn a_working_directory_keeps_a_mount_busy() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = "mount -t umfuseext2 -o ro image mnt && cd mnt/sub && pwd && cat file && viewumount ../../mnt; \
                    echo $?; cd ../..; viewumount mnt; echo $?";
        let output = view(combination, &work).run(line);
        let expect = format!("{}\nin a folder\n1\n0\n", work.name("mnt/sub"));
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn refused_mounts_say_why() {
    for combination in combinations() {
        let work = work(combination.1);
        let view = View::of(combination).folder(work.path()).preload("viewfs");
        for (line, cause) in [
            ("viewmount -t umfuseext2 image mnt", "um_add_service umfuse"),
            ("viewmount -t nosuchtype image mnt", "type \"nosuchtype\""),
            (
                "um_add_service umfuse && viewmount -t umfuseext2 nosuch mnt",
                "nosuch does not exist",
            ),
            (
                "um_add_service umfuse && viewmount -t umfuseext2 image nosuch",
                "the target does not exist",
            ),
            (
                "um_add_service umfuse && viewmount -t umfuseext2 tree/hello mnt",
                "umfuseext2 refuses the source",
            ),
            (
                "um_add_service umfuse && viewmount -t umfuseext2 -o nosuch image mnt",
                "an option of \"nosuch\"",
            ),
            ("viewumount mnt", "mnt: not a mount point"),
        ] {
            let output = view.run(line);
            assert_eq!(
                (output.code, output.stdout.as_str()),
                (Some(1), ""),
                "{combination:?} {line}: {output:?}"
            );
            assert!(output.stderr.contains(cause), "{combination:?} {line}: {output:?}");
        }
    }
}

#[test]
fn programs_run_from_a_mount() {
    for combination in combinations() {
        let work = work(combination.1);
        let line = "cp /bin/echo tree/echo && printf '#!/bin/sh\\necho script $0 $1\\n' >tree/script && \
                    chmod +x tree/script && rm image && mke2fs -q -t ext2 -d tree image 2M >/dev/null && \
                    mount -t umfuseext2 -o ro image mnt && mnt/echo a && mnt/script b && (cd mnt && ./script c)";
        let output = view(combination, &work).run(line);
        assert_eq!(
            output.success(),
            "a\nscript mnt/script b\nscript ./script c\n",
            "{combination:?}: {output:?}"
        );
    }
}

/// Names that were the host's alone a moment ago, each asked for just before that changes.
const CHANGING: &str = r#"python3 - <<'END'
import os, subprocess
def there(name, **how):
    try: return os.stat(name, **how).st_size
    except OSError as error: return os.strerror(error.errno)
def text(name, **how):
    with open(os.open(name, os.O_RDONLY, **how)) as file: return file.read()
here = os.getcwd()
print(there('made/link/file'), there(here + '/made/link/file'), there('made/link/sub/file'))
os.mkdir('made')
print(there('made/link/file'), there('made/link/sub/file'))
os.symlink(here + '/mnt', 'made/link')
print(there('made/link/file'), text('made/link/sub/file'))
for name in 'one', 'two': os.mkdir(name); os.mkdir(name + '/at')
fd = os.open('one', os.O_RDONLY)
print(there('at/file', dir_fd=fd), there('at/file', dir_fd=fd))
subprocess.run(['mount', '--bind', 'mnt/sub', 'two/at'], check=True)
other = os.open('two', os.O_RDONLY)
os.dup2(other, fd)
print(text('at/file', dir_fd=fd), there('at', dir_fd=fd, follow_symlinks=False) == there('mnt/sub'))
os.mkdir('three')
os.mkdir('three/at')
fd = os.open('three', os.O_RDONLY)
print(there('at/file', dir_fd=fd))
os.rename('three', 'four')
subprocess.run(['mount', '--bind', 'mnt/sub', 'four/at'], check=True)
print(text('at/file', dir_fd=fd))
subprocess.run(['umount', 'four/at'], check=True)
os.rmdir('four/at')
os.symlink('../mnt/sub', 'four/at')
print(text('at/file', dir_fd=fd), os.readlink('at', dir_fd=fd))
END
umount two/at mnt"#;

#[test]
fn what_was_the_hosts_a_moment_ago_is_the_views_at_once() {
    need("python3", "python3");
    let none = "No such file or directory";
    let seen = format!(
        "{none} {none} {none}\n{none} {none}\n6 below\n\n{none} {none}\nbelow\n True\n{none}\nbelow\n\nbelow\n ../mnt/sub\n"
    );
    for combination in combinations() {
        for option in ["", "cow"] {
            let work = Work::new(combination.1);
            let [store, tree, _] = ["store", "tree", "tree/mnt"].map(|name| work.folder(name));
            let mut view = View::of(combination).preload("umfuse").preload("viewfs");
            if option == "cow" {
                view = view.option(&format!("--mount=viewfs:{store}:/:cow"));
            }
            let view = view.folder(std::path::Path::new(&tree));
            let mount = "mount -t umfusemem none mnt && mkdir mnt/sub && echo above >mnt/file && echo below >mnt/sub/file";
            let output = view.run(&format!("{mount} && {CHANGING}"));
            assert_eq!(output.success(), seen, "{combination:?} {option}: {output:?}");
        }
    }
}

#[test]
fn a_working_directory_shows_the_attributes_that_it_has_now() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").folder(work.path());
        let line = "mkdir mnt; mount -t umfusemem none mnt; mkdir mnt/d; cd mnt/d; chmod 700 .; mkdir x; \
                    stat -c '%a %h' . ../d; touch -d '2001-02-03 04:05:06 UTC' ../d; stat -c %Y . ../d; \
                    cd x; stat -c %h ..; rmdir ../x; stat -c %h . ..; touch y 2>/dev/null || echo none";
        let seen = "700 3\n700 3\n981173106\n981173106\n3\n0\n2\nnone\n";
        assert_eq!(view.run(line).stdout, seen, "{combination:?}");
    }
}
