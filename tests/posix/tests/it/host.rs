//! The oracle: the host's own file systems keep every promise.

use crate::{filled, judge, program};
use e2e::{User, Work, combinations, native, need};

fn users() -> Vec<User> {
    let mut users: Vec<User> = combinations().into_iter().map(|(_, user)| user).collect();
    users.dedup();
    users.truncate(2);
    users
}

#[test]
fn the_hosts_temporary_folder_keeps_every_promise() {
    for user in users() {
        let work = Work::new(user);
        let line = format!("{} {}", program(&work), work.folder("work"));
        judge("host", &format!("{user:?}"), &native(user).run(&line));
    }
}

#[test]
fn the_hosts_memory_keeps_every_promise_and_so_do_its_mounts() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: mounts of the host (the tests are not run by root)");
        return;
    }
    need("unshare", "util-linux");
    let work = Work::new(User::Root);
    let (mnt, from) = (work.folder("mnt"), filled(&work, "from"));
    let line = format!(
        "mount -t tmpfs none {mnt} && cd {mnt} && mkdir work other ro && mount -t tmpfs none other && \
         mount -t tmpfs none ro && cp -a {from}/. ro && mount -o remount,ro ro && \
         {} {mnt}/work --read-only {mnt}/ro --other {mnt}/other",
        program(&work)
    );
    judge("host", "memory", &native(User::Root).command(&["unshare", "-m", "sh", "-c", &line]));
}
