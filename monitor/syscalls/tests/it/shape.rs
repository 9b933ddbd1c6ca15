//! Rows agree with the prototypes, and with themselves.

use syscalls::{Empty, FlagsIn, Follow, Group, Handler, Row, Support, markdown, row, rows};

/// The calls whose prototype in `include/linux/syscalls.h` holds a path: name, then for each path
/// its argument and that of its directory, `-` for none. Arguments that are names of something
/// else (file system types, keys, queues, attributes, the text of a symbolic link) do not count,
/// nor does the source of mount(2), which is a path for some types only.
const PATHS: &str = "
open 0-       creat 0-      openat 10     openat2 10    stat 0-       lstat 0-
newfstatat 10 statx 10      access 0-     faccessat 10  faccessat2 10 execve 0-
execveat 10   chdir 0-      readlink 0-   readlinkat 10 mkdir 0-      mkdirat 10
mknod 0-      mknodat 10    rename 0-,1-  renameat 10,32  renameat2 10,32  link 0-,1-
linkat 10,32  symlink 1-    symlinkat 21  unlink 0-     rmdir 0-      unlinkat 10
chmod 0-      fchmodat 10   fchmodat2 10  chown 0-      lchown 0-     fchownat 10
utime 0-      utimes 0-     futimesat 10  utimensat 10  truncate 0-   statfs 0-
setxattr 0-   lsetxattr 0-  setxattrat 10 getxattr 0-   lgetxattr 0-  getxattrat 10
listxattr 0-  llistxattr 0- listxattrat 10  removexattr 0-  lremovexattr 0-  removexattrat 10
file_getattr 10  file_setattr 10  mount 1-  umount2 0-  chroot 0-     pivot_root 0-,1-
fspick 10     move_mount 10,32  open_tree 10  open_tree_attr 10  mount_setattr 10
swapon 0-     swapoff 0-    quotactl 1-   acct 0-       uselib 0-     name_to_handle_at 10
inotify_add_watch 1-  fanotify_mark 43  msocket 0-
";

fn shape(row: &Row) -> String {
    let paths = row.paths.iter().map(|path| {
        let dirfd = path.dirfd.map_or("-".to_owned(), |dirfd| dirfd.to_string());
        format!("{}{dirfd}", path.path)
    });
    paths.collect::<Vec<_>>().join(",")
}

#[test]
fn every_prototype_with_a_path_has_it_in_its_row() {
    let words: Vec<&str> = PATHS.split_whitespace().collect();
    for pair in words.chunks_exact(2) {
        let row = rows().iter().find(|row| row.name == pair[0]).expect(pair[0]);
        assert_eq!(shape(row), pair[1], "{}", row.name);
    }
    let listed = |name| words.iter().step_by(2).any(|listed| *listed == name);
    for row in rows().iter().filter(|row| !row.paths.is_empty()) {
        assert!(listed(row.name), "{} has a path here and none in the prototypes", row.name);
    }
}

#[test]
fn calls_on_paths_are_trapped_once_a_module_is_loaded() {
    let early = Group::Base.set() | Group::Names.set();
    for row in rows().iter().filter(|row| !row.paths.is_empty()) {
        assert!(row.groups().intersects(early), "{}", row.name);
    }
}

#[test]
fn a_call_is_trapped_exactly_if_somebody_answers() {
    for row in rows() {
        let native = row.handler == Handler::Native;
        assert_eq!(row.traps.is_empty(), native, "{}", row.name);
        assert_eq!(row.support == Support::Native, native, "{}", row.name);
        let refused = matches!(row.support, Support::Refused(_));
        assert_eq!(refused, row.handler == Handler::Refused, "{}", row.name);
    }
}

#[test]
fn what_is_less_than_full_says_why() {
    for row in rows() {
        let whole = matches!(row.support, Support::Full | Support::Native);
        assert!(whole || !row.note.is_empty(), "{} has no note", row.name);
        assert!(row.note.is_ascii() && !row.note.contains('|'), "{}", row.name);
    }
}

#[test]
fn arguments_are_among_the_six() {
    for row in rows() {
        let paths = row.paths.iter().flat_map(|path| {
            let flags = match path.flags {
                FlagsIn::None => None,
                FlagsIn::Arg(arg) | FlagsIn::OpenFlags(arg) | FlagsIn::OpenHow(arg) => Some(arg),
            };
            path.dirfd.into_iter().chain(flags).chain([path.path])
        });
        let tests = row.traps.iter().flat_map(|trap| trap.all).map(|test| test.argument());
        assert!(paths.chain(tests).chain(row.fds.iter().copied()).all(|arg| arg < 6));
    }
}

#[test]
fn following_by_flags_needs_flags() {
    for row in rows() {
        for path in row.paths {
            let by_flags = matches!(path.follow, Follow::Unless(_) | Follow::If(_))
                || matches!(path.empty, Empty::If(_));
            assert!(!by_flags || path.flags != FlagsIn::None, "{}", row.name);
        }
    }
}

#[test]
fn links_as_last_component_are_treated_as_the_manual_says() {
    let follow = |name| rows().iter().find(|row| row.name == name).expect(name).paths[0].follow;
    assert_eq!(follow("stat"), Follow::Always);
    assert_eq!(follow("lstat"), Follow::Never);
    assert_eq!(follow("fchownat"), Follow::Unless(0x100));
    assert_eq!(follow("linkat"), Follow::If(0x400));
    assert_eq!(follow("link"), Follow::Never);
    assert_eq!(follow("chmod"), Follow::Always);
    assert_eq!(follow("openat"), Follow::OpenLike);
    assert_eq!(follow("rename"), Follow::Never);
    assert_eq!(follow("umount2"), Follow::Unless(8));
    assert_eq!(follow("inotify_add_watch"), Follow::Unless(0x0200_0000));
}

#[test]
fn the_document_has_a_line_for_each_row() {
    let page = markdown();
    for row in rows() {
        assert!(page.contains(&format!("\n| {} | {} |", row.number, row.name)), "{}", row.name);
    }
    assert!(page.is_ascii());
    assert!(page.contains("| 425 | io_uring_setup | | base | refused: ENOSYS |"));
    assert!(page.contains("| 8 | lseek | | names if 2 is 3 or 2 is 4; read if 2 is 2;"));
    assert_eq!(row(9).map(|row| row.name), Some("mmap"));
}
