//! Roots of other systems, made and entered by virtual root of a user without rights.

use crate::software::over_the_host;
use e2e::{Engine, User, View, Work, combinations, need};
use std::time::Duration;

/// A whole system is fetched and unpacked.
const LIMIT: Duration = Duration::from_secs(1500);

/// Where the root is made: a name that the host does not have.
const ROOT: &str = "/opt/viewos-e2e-root";

fn view(combination: (Engine, User), work: &Work) -> View {
    over_the_host(combination, work).limit(LIMIT)
}

fn users() -> impl Iterator<Item = (Engine, User)> {
    combinations().into_iter().filter(|(_, user)| user.ids().is_some())
}

/// A shell of another system: programs with the libraries that they name, and nodes of devices.
const SMALL: &str = "set -e
    mkdir -p $R/bin $R/dev $R/etc $R/proc $R/tmp $R/mnt
    cp /bin/busybox $R/bin/busybox
    for name in sh ls cat id stat mount umount mknod head wc; do ln -s busybox $R/bin/$name; done
    for program in /usr/bin/env /usr/bin/md5sum; do
        cp $program $R/bin
        ldd $program | grep -o '/[^ ]*' | while read lib; do
            mkdir -p $R$(dirname $lib); cp $lib $R$lib
        done
    done
    echo 'inside:x:0:0::/:/bin/sh' > $R/etc/passwd
    mknod -m 666 $R/dev/null c 1 3; mknod -m 666 $R/dev/zero c 1 5; mknod -m 600 $R/dev/sda b 8 0
    mkfifo $R/dev/fifo; chown 33:33 $R/tmp; chmod 1777 $R/tmp; cp /usr/bin/id $R/bin/su; chmod 4755 $R/bin/su
";

/// What is asked inside.
const ASK: &str = "/bin/id -un; cat /etc/passwd; env -u A md5sum /etc/passwd | head -c 4; echo
    echo lost > /dev/null; stat -c %s /dev/null; head -c 5 /dev/zero | wc -c
    stat -c '%n %F %t:%T %u %a' /dev/null /dev/sda /dev/fifo /tmp /bin/su
    cat /dev/sda 2>/dev/null || echo refused
    cd /..; ls; echo new > /tmp/new; ls /tmp";

const TOLD: &str = "inside\ninside:x:0:0::/:/bin/sh\n1344\n0\n5\n\
    /dev/null character special file 1:3 0 666\n/dev/sda block special file 8:0 0 600\n\
    /dev/fifo fifo 0:0 0 644\n/tmp directory 0:0 33 1777\n/bin/su regular file 0:0 0 4755\nrefused\n\
    ask\nbin\ndev\netc\nlib\nlib64\nmnt\nproc\ntmp\nnew\n";

#[test]
fn a_small_root_is_made_and_entered_by_chroot_and_by_a_move() {
    need("busybox", "busybox-static");
    for combination in users() {
        let work = Work::new(combination.1);
        let made = view(combination, &work).run(&format!("R={ROOT}\n{SMALL}"));
        assert_eq!(made.code, Some(0), "{combination:?}: {made:#?}");
        work.write("ask", ASK);
        let ask = work.name("ask");
        let line = format!(
            "cp {ask} {ROOT}/ask; chroot {ROOT} /bin/sh /ask; rm {ROOT}/ask {ROOT}/tmp/new"
        );
        let told = view(combination, &work).run(&line);
        assert_eq!(told.success(), TOLD, "chroot, {combination:?}: {told:#?}");
        let line = format!(
            "cp {ask} {ROOT}/ask; exec busybox sh -c 'mount -t viewfs -o move {ROOT} /; cd /; \
             exec /bin/sh /ask'"
        );
        let told = view(combination, &work).run(&line);
        assert_eq!(told.success(), TOLD, "move, {combination:?}: {told:#?}");
        assert!(!std::path::Path::new(ROOT).exists(), "the host has it");
    }
}

#[test]
fn a_distribution_is_bootstrapped_and_entered_and_installs() {
    if std::env::var_os("VIEWOS_EXTENDED").is_none() {
        eprintln!("SKIPPED: debootstrap in a view (VIEWOS_EXTENDED=1 runs it)");
        return;
    }
    need("debootstrap", "debootstrap");
    let Some(combination) = users().find(|(engine, _)| *engine == Engine::Notify) else { return };
    let work = Work::new(combination.1);
    let view = view(combination, &work);
    let made = view.run(&format!(
        "debootstrap --variant=minbase bookworm {ROOT} >log 2>&1 || {{ tail -20 log; exit 1; }}"
    ));
    assert_eq!(made.code, Some(0), "{made:#?}");
    let install = "export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
        apt-get install -y hello >/log 2>&1 || { cat /log; exit 1; }
        hello; dpkg -l hello | grep -c ^ii; dpkg --verify; stat -c '%F %t:%T' /dev/null; id -un";
    let told = "Hello, world!\n1\ncharacter special file 1:3\nroot\n";
    let inside = view.run(&format!("chroot {ROOT} /bin/sh -c \"{install}\""));
    assert_eq!(inside.success(), told, "chroot: {inside:#?}");
    let moved = format!(
        "exec busybox sh -c 'mount -t viewfs -o move {ROOT} /; cd /; exec /bin/sh -c \"hello; dpkg -l hello | grep -c ^ii\"'"
    );
    let moved = view.run(&moved);
    assert_eq!(moved.success(), "Hello, world!\n1\n", "move: {moved:#?}");
    assert!(!std::path::Path::new(ROOT).exists(), "the host has it");
}
