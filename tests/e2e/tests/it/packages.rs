//! Example 1 of the founding slides: a user without rights installs packages in a view, and the host has none.

use crate::software::over_the_host;
use e2e::{Engine, User, Work, combinations, native, need};
use std::time::Duration;

/// What must be byte for byte as it was: names, metadata and contents.
const DIGEST: &str = "dpkg -l | sha256sum
    for d in /etc /usr/bin /usr/share/doc /var/lib/dpkg; do
        find $d -printf '%p %y %m %U %G %s %T@ %C@ %l %n\\n' | sort | sha256sum
        find $d -type f -print0 | sort -z | xargs -0 cat | sha256sum
    done";

/// Fetching from the packages' registry takes its time.
const LIMIT: Duration = Duration::from_secs(240);

fn installs(engine: Engine) {
    need("apt-get", "apt");
    if !combinations().contains(&(engine, User::Nobody)) {
        return;
    }
    let work = Work::new(User::Nobody);
    let host = native(User::Root);
    let before = host.run(DIGEST);
    let view = over_the_host((engine, User::Nobody), &work).limit(LIMIT);
    let line = "export DEBIAN_FRONTEND=noninteractive
        apt-get install -y hello sl >log 2>&1 || { cat log; exit 100; }
        hello; ls /usr/games/sl; dpkg -l hello sl | grep -c ^ii; id -u";
    let output = view.run(line);
    assert_ne!(
        output.code,
        Some(100),
        "apt-get install failed: is the packages' registry of /etc/apt within reach?\n{}",
        output.stdout
    );
    assert_eq!(output.success(), "Hello, world!\n/usr/games/sl\n2\n0\n");
    let after = host.run(DIGEST);
    assert_eq!(before.success(), after.success(), "the host was changed");
    // The store has them from now on, for the next view.
    assert_eq!(view.run("hello").success(), "Hello, world!\n");
}

#[test]
fn example_1_install_packages_by_notification() {
    installs(Engine::Notify);
}

#[test]
fn example_1_install_packages_by_ptrace() {
    installs(Engine::Trace);
}
