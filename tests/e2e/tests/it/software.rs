//! Software that virtual root of a user without rights installs, runs and removes, while the host stays as it was.
//!
//! What takes minutes runs where `VIEWOS_EXTENDED` is set; docs/conformance.md has what it found.

use e2e::{Engine, User, View, Work, combinations, native, need};
use std::time::Duration;

/// What must be as it was: names and metadata of the host's folders, and what is installed.
const DIGEST: &str = "dpkg -l | sha256sum
    for d in /etc /usr /var/lib/dpkg /opt; do
        find $d -printf '%p %y %m %U %G %s %T@ %C@ %l %n\\n' 2>/dev/null | sort | sha256sum
    done";

/// Fetching from the packages' registry takes its time.
const LIMIT: Duration = Duration::from_secs(600);

/// Whether to do what takes minutes; a loud line if not.
fn is_extended(what: &str) -> bool {
    let wanted = std::env::var_os("VIEWOS_EXTENDED").is_some();
    if !wanted {
        eprintln!("SKIPPED: {what} (VIEWOS_EXTENDED=1 runs it)");
    }
    wanted
}

/// Virtual root over all of the host, the changes in a store in `work`.
pub(crate) fn over_the_host(combination: (Engine, User), work: &Work) -> View {
    let store = work.folder("store");
    View::of(combination)
        .option("-q")
        .option("--su")
        .option(&format!("--mount=viewfs:{store}:/:mincow,except=/tmp,vstat"))
        .folder(work.path())
}

/// A view in which nothing but `/tmp` is the host's to change.
struct System {
    work: Work,
    view: View,
}

impl System {
    fn new(engine: Engine) -> Option<Self> {
        need("apt-get", "apt");
        if !combinations().contains(&(engine, User::Nobody)) {
            return None;
        }
        let work = Work::new(User::Nobody);
        let view = over_the_host((engine, User::Nobody), &work).limit(LIMIT);
        Some(Self { work, view })
    }

    /// Runs a script of lines that must all succeed.
    fn run(&self, script: &str) -> String {
        let line = format!("set -e; export DEBIAN_FRONTEND=noninteractive\n{script}");
        let output = self.view.run(&line);
        assert_eq!(output.code, Some(0), "{script}\n{output:#?}");
        output.stdout
    }

    /// apt-get, its words in a log that is shown if it fails.
    fn apt(&self, words: &str) {
        self.run(&format!("apt-get {words} -y >log 2>&1 || {{ cat log; exit 100; }}"));
    }
}

/// Runs a test and compares the host before and after.
fn leaves_the_host_alone(engine: Engine, test: fn(&System)) {
    let Some(system) = System::new(engine) else { return };
    let host = native(User::Root).limit(LIMIT);
    let before = host.run(DIGEST);
    test(&system);
    let after = host.run(DIGEST);
    assert_eq!(before.success(), after.success(), "the host was changed");
    drop(system.work);
}

#[test]
fn a_compiler_is_installed_used_verified_and_removed() {
    leaves_the_host_alone(Engine::Notify, |system| {
        system.apt("install --no-install-recommends tcc");
        // The compiler writes a program and the shell runs it at once.
        let source = system
            .work
            .write("a.c", "int puts(const char *); int main() { puts(\"ran\"); return 7; }\n");
        let ran =
            system.run(&format!("tcc {source} -o a; ./a || echo $?; tcc -run {source} || echo $?"));
        assert_eq!(ran, "ran\n7\nran\n7\n");
        let shown = system.run("update-alternatives --list cc; cc -v 2>&1 | grep -c version");
        assert!(shown.contains("/usr/bin/tcc\n"), "{shown}");
        let switched = system.run(
            "update-alternatives --set cc /usr/bin/tcc >/dev/null; readlink -f /usr/bin/cc; cc -v | cut -d' ' -f1",
        );
        assert_eq!(switched, "/usr/bin/tcc\ntcc\n");
        assert_eq!(system.run("dpkg --verify tcc; dpkg -l tcc | grep -c ^ii"), "1\n");
        system.run("echo changed >> /usr/lib/x86_64-linux-gnu/tcc/include/stdarg.h");
        let found = system.run("dpkg --verify tcc");
        assert!(found.contains("??5??????") && found.contains("stdarg.h"), "{found}");
        system.apt("purge tcc");
        assert_eq!(
            system.run("which tcc || echo gone; ls /usr/bin/tcc 2>/dev/null || echo gone"),
            "gone\ngone\n"
        );
    });
}

#[test]
fn a_package_is_downloaded_unpacked_and_its_set_id_program_obeyed() {
    leaves_the_host_alone(Engine::Notify, |system| {
        system.run("apt-get download sl >log 2>&1 || { cat log; exit 100; }");
        system.run("dpkg -i sl_*.deb >log 2>&1 || { cat log; exit 1; }");
        assert_eq!(
            system.run("dpkg -S /usr/games/sl; dpkg --verify sl; dpkg-query -W -f '${Status}' sl"),
            "sl: /usr/games/sl\ninstall ok installed"
        );
        let set_id = "mkdir /opt/set-id; cp /usr/bin/id /opt/set-id/id
            chown man:games /opt/set-id/id; chmod 6755 /opt/set-id/id; stat -c '%U %G %a' /opt/set-id/id
            viewsu -s /bin/sh -c '/opt/set-id/id -un; /opt/set-id/id -gn; id -un' backup";
        assert_eq!(system.run(set_id), "man games 6755\nman\ngames\nbackup\n");
        assert_eq!(
            system.run("dpkg -r sl >/dev/null 2>&1; dpkg -l sl | grep -c ^ii || true"),
            "0\n"
        );
    });
}

/// Asks a server of the view.
const FETCH: &str = "import sys, time, urllib.request
for _ in range(1000):
    try:
        print(urllib.request.urlopen('http://127.0.0.1:' + sys.argv[1]).read().decode().strip())
        break
    except OSError as error:
        failed = error
else:
    print(failed)
";

#[test]
fn servers_and_libraries_are_installed_and_run() {
    if !is_extended("nginx-light, redis-server, python3-numpy in a view") {
        return;
    }
    leaves_the_host_alone(Engine::Notify, |system| {
        system.apt("install nginx-light redis-server python3-numpy");
        let numbers = system.run("python3 -c 'import numpy; print(numpy.arange(10).sum())'");
        assert_eq!(numbers, "45\n");
        let redis = system.run(
            "redis-server --port 0 --unixsocket $PWD/s --save '' --daemonize yes >/dev/null
            until redis-cli -s $PWD/s ping >/dev/null 2>&1; do :; done
            redis-cli -s $PWD/s set a b; redis-cli -s $PWD/s get a; redis-cli -s $PWD/s shutdown",
        );
        assert_eq!(redis, "OK\nb\n");
        system.work.write("fetch.py", FETCH);
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let port = port.expect("a free port").port();
        let nginx = system.run(&format!(
            "sed -i 's/listen 80 default_server/listen 127.0.0.1:{port} default_server/; /listen \\[::\\]/d' \
                 /etc/nginx/sites-available/default
            echo served >/var/www/html/index.html; nginx; python3 fetch.py {port}; nginx -s quit"
        ));
        assert_eq!(nginx, "served\n");
        system.apt("remove nginx-light nginx nginx-common redis-server");
        let left = system
            .run("dpkg -l nginx redis-server python3-numpy 2>/dev/null | grep ^ii | cut -d' ' -f3");
        assert_eq!(left, "python3-numpy\n");
    });
}

#[test]
fn aptitude_is_installed_and_installs() {
    if !is_extended("aptitude in a view") {
        return;
    }
    leaves_the_host_alone(Engine::Notify, |system| {
        system.apt("install aptitude");
        system.run("aptitude install -y hello >log 2>&1 || { cat log; exit 100; }");
        assert_eq!(system.run("hello; dpkg --verify hello aptitude"), "Hello, world!\n");
    });
}

#[test]
fn the_compilers_of_a_distribution_are_installed_and_build() {
    if !is_extended("g++ and build-essential in a view") {
        return;
    }
    leaves_the_host_alone(Engine::Notify, |system| {
        system.apt("install build-essential gfortran");
        system.work.write("a.f90", "print *, 'fortran'\nend\n");
        system.work.write("a.cc", "#include <iostream>\nint main() { std::cout << \"c++\\n\"; }\n");
        let ran = system.run("gfortran a.f90 -o f; ./f; g++ a.cc -o c; ./c");
        assert_eq!(ran, " fortran\nc++\n");
    });
}
