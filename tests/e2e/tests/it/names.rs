//! `ummiscuname`: names of the system of a view's own.

use e2e::{View, Work, combinations};

#[test]
fn names_are_set_by_file_and_by_call_and_shown_by_proc() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let mnt = work.folder("mnt");
        let line = format!(
            "before=$(uname -a); mount -t ummiscuname none {mnt} && ls {mnt}\n\
             test \"$before\" = \"$(uname -a)\" && echo same\n\
             echo wonder > {mnt}/nodename; echo 9.9 > {mnt}/release; echo land > {mnt}/domainname\n\
             uname -nr; cat /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/domainname\n\
             hostname alice && uname -n && cat {mnt}/nodename\n\
             umount {mnt} && test \"$before\" = \"$(uname -a)\" && echo back"
        );
        let output = View::of(combination).preload("umproc").preload("ummisc").run(&line);
        assert_eq!(
            output.success(),
            "domainname\nmachine\nnodename\nrelease\nsysname\nversion\nsame\n\
             wonder 9.9\nwonder\n9.9\nland\nalice\nalice\nback\n",
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn long_names_are_refused() {
    let work = Work::new(e2e::User::Root);
    let mnt = work.folder("mnt");
    let line = format!(
        "mount -t ummiscuname none {mnt}; printf %064d 7 > {mnt}/machine; uname -m | wc -c\n\
         printf %065d 7 > {mnt}/machine || echo refused; hostname $(printf %065d 7) || echo refused"
    );
    let output = View::new().preload("ummisc").run(&line);
    assert_eq!(output.success(), "65\nrefused\nrefused\n", "{output:?}");
}
