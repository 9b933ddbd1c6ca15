//! Code of ours in the processes decides which names are the host's: programs see no difference, but for the time.

use e2e::{Engine, User, View, Work, combinations, need};

/// Looks at names until the agent is there, changes each of them in the view, and looks again. Every line that
/// begins with `look` was written after the change of the line before.
const CHANGES: &str = r#"
import os, subprocess, sys
top = os.getcwd()

def shown(path):
    try:
        s = os.lstat(path)
        kind = {0o100000: "f", 0o040000: "d", 0o120000: "l"}[s.st_mode & 0o170000]
        if kind == "f":
            fd = os.open(path, os.O_RDONLY)
            text = os.read(fd, 20).decode()
            assert os.fstat(fd).st_size == s.st_size == len(text), path
            os.close(fd)
            return f"{kind} {text!r} {os.access(path, os.R_OK)}"
        if kind == "d":
            return f"{kind} {sorted(os.listdir(path))}"
        return f"{kind} {os.readlink(path)} {os.path.exists(path)}"
    except OSError as e:
        return f"errno {e.errno} {os.access(path, os.R_OK)}"

NAMES = ["a/file", "a/other", "a/b/deep", "a/b", "link/deep", "a/new", "c/file", "way/deep", "a/b/../file"]
def look(what):
    # Often: what is decided inside is decided from the second time on.
    for _ in range(30):
        seen = [shown(n) for n in NAMES] + [shown(os.path.join(top, n)) for n in NAMES]
        fd = os.open("a", os.O_RDONLY | os.O_DIRECTORY)
        seen.append(sorted(os.listdir(fd)))
        os.close(fd)
    assert seen[:len(NAMES)] == seen[len(NAMES):-1], seen
    print(what, *seen[:len(NAMES)], seen[-1], sep="\n  ")

look("as it is")
open("a/file", "w").write("changed"); look("a file was changed")
os.unlink("a/other"); look("a file was removed")
os.mkdir("a/new"); look("a directory was made")
os.rename("a/b", "c/b"); look("a directory was moved")
os.unlink("link"); look("a link was removed")
os.symlink("c/b", "link"); look("another was made")
os.mkdir("a/b"); open("a/b/deep", "w").write("anew"); look("another directory was made")
os.chdir("c"); print(shown("b/deep"), shown("file"), shown("../a/file"))
os.chdir("b"); print(shown("deep"), os.getcwd() == top + "/c/b"); os.chdir(top)
child = os.fork()
if child == 0:
    os.chdir("c/b"); os.unlink("deep"); os._exit(0)
os.waitpid(child, 0); look("a child removed a file")
print(subprocess.run(["cat", "a/file", "c/file"], capture_output=True, text=True).stdout)
"#;

/// The tree that the script changes.
const TREE: &str =
    "mkdir -p t/a/b t/c; cd t; printf one >a/file; printf two >a/other; printf three >a/b/deep
printf four >c/file; ln -s a/b link; ln -s c/b way";

/// The script on the host's own files is what a view must show.
fn expected(work: &Work, user: User) -> String {
    let script = work.write("changes.py", CHANGES);
    let line = format!("rm -rf t; ({TREE}); cd t && python3 {script}; cd ..; rm -rf t");
    e2e::native(user).folder(work.path()).run(&line).success().to_owned()
}

#[test]
fn changes_in_an_overlay_are_seen_at_once() {
    for (engine, user) in combinations() {
        for mode in ["cow", "cow,vstat", "mincow"] {
            let work = Work::new(user);
            let expected = expected(&work, user);
            let line = format!(
                "({TREE}); mkdir store
                 umview -q --su {} --mount=viewfs:$PWD/store:/:{mode} \\
                     sh -c 'cd t && python3 ../changes.py'",
                if engine == Engine::Trace { "--engine trace" } else { "" }
            );
            let output = e2e::native(user).folder(work.path()).run(&line);
            assert_eq!(output.stdout, expected, "{engine:?} {user:?} {mode}: {output:?}");
        }
    }
}

#[test]
fn what_is_mounted_or_entered_later_is_seen() {
    need("mkfs.ext2", "e2fsprogs");
    let line = r#"
        mkdir -p at/sub; echo host >at/sub/name; truncate -s 4M disk; mkfs.ext2 -q disk
        python3 - <<'END'
import os, subprocess
def read(path):
    try: return open(path).read().strip()
    except OSError as e: return e.errno
for _ in range(50): assert read("at/sub/name") == read(os.path.abspath("at/sub/name")) == "host"
subprocess.run("mount -t umfuseext2 -o rw+ disk at && mkdir at/sub && echo image >at/sub/name", shell=True, check=True)
for _ in range(50): assert read("at/sub/name") == read(os.path.abspath("at/sub/name")) == "image"
os.chdir("at/sub")
for _ in range(50): assert (read("name"), read("../../disk2")) == ("image", 2)
subprocess.run(["true"], cwd="/", check=True)
subprocess.run("cd /; exec true", shell=True, check=True)
for _ in range(50): assert read("name") == "image"
os.chdir("../..")
for _ in range(50): assert read("at/sub/name") == "image"
subprocess.run(["umount", "at"], check=True)
for _ in range(50): assert read("at/sub/name") == read(os.path.abspath("at/sub/name")) == "host"
os.chroot("at")
for _ in range(50): assert (read("/sub/name"), read("/at/sub/name")) == ("host", 2)
print("seen")
END"#;
    for combination in combinations() {
        let work = Work::new(combination.1);
        let output = View::of(combination).folder(work.path()).preload("umfuse").run(line);
        assert_eq!(output.stdout, "seen\n", "{combination:?}: {output:?}");
    }
}

/// Bad addresses, signals, threads and small stacks, in a process that has an agent.
const HARD: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void handler(int s) { struct stat st; stat("/usr/bin/env", &st); (void)s; }
static void *looker(void *n) {
    for (int i = 0; i < 4000; i++) {
        struct stat st;
        if (stat("/usr/bin/env", &st) || !S_ISREG(st.st_mode)) abort();
        int fd = open("/usr/bin", O_RDONLY | O_DIRECTORY);
        if (fd < 0 || fstatat(fd, "env", &st, 0) || close(fd)) abort();
    }
    return n;
}
int main(void) {
    struct stat st;
    for (int i = 0; i < 100; i++) if (lstat("/usr/bin/env", &st)) return 1;
    const char *bad[] = { (char *)1, (char *)0x7fffffffe000, NULL, (char *)-1 };
    for (int i = 0; i < 4; i++)
        for (int n = 0; n < 20; n++)
            if (lstat(bad[i], &st) != -1 || errno != EFAULT) return 2;
    char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    char *end = page + 4096 - strlen("/usr/bin/env");
    memcpy(end, "/usr/bin/env", strlen("/usr/bin/env"));
    if (lstat(end, &st) != -1 || errno != EFAULT) return 3;
    memcpy(end - 1, "/usr/bin/env", strlen("/usr/bin/env") + 1);
    if (lstat(end - 1, &st)) return 4;
    if (lstat("/usr/bin/env", (struct stat *)8) != -1 || errno != EFAULT) return 5;
    register long kept asm("r15") = 0x1234567890abcdefL;
    asm volatile("" : "+r"(kept));
    long args[] = { (long)"/usr/bin/env", (long)&st }, rdi = args[0], rsi = args[1];
    if (stat("/usr/bin/env", &st) || kept != 0x1234567890abcdefL || rdi != args[0] || rsi != args[1]) return 6;
    struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &sa, 0);
    signal(SIGSEGV, SIG_IGN);
    ualarm(300, 300);
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, looker, 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = i & 1 ? fork() : vfork();
        if (child == 0) _exit(stat("/usr/bin/env", &st) ? 9 : 0);
        int status;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR) ;
        if (status) return 7;
    }
    puts("hard");
    return 0;
}
"#;

#[test]
fn bad_addresses_signals_and_threads_are_no_danger() {
    need("gcc", "gcc");
    for combination in combinations() {
        let work = Work::new(combination.1);
        work.write("hard.c", HARD);
        let built = e2e::native(combination.1).folder(work.path());
        let built = built.run("gcc -O1 -w -o hard hard.c -lpthread");
        assert_eq!(built.code, Some(0), "{built:?}");
        let view = View::of(combination).folder(work.path()).preload("umfuse");
        let output = view.run("./hard");
        assert_eq!(output.stdout, "hard\n", "{combination:?}: {output:?}");
        let output = view.run("mkdir m s; mount -t viewfs -o cow s / 2>/dev/null; ./hard");
        assert_eq!(output.stdout, "hard\n", "{combination:?}: {output:?}");
    }
}

/// Interceptions of a walk over a tree of 40 directories with 50 files each.
fn interceptions(user: User, options: &str) -> u64 {
    let work = Work::new(user);
    let line = format!(
        "mkdir store; for d in $(seq 40); do mkdir -p t/$d; (cd t/$d; touch $(seq 50)); done
         umview -q --su {options} --mount=viewfs:$PWD/store:/:cow,vstat \\
             sh -c 'find t -size +1 -ls; umview stat' | sed -n 's/.* \\([0-9]*\\) notifications/\\1/p'"
    );
    let output = e2e::native(user).folder(work.path()).run(&line);
    output.success().trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn most_looks_at_the_host_are_not_intercepted() {
    for user in [User::Root, User::Nobody] {
        let (with, without) = (interceptions(user, ""), interceptions(user, "--no-agent"));
        assert!(without > 2_000, "{user:?}: {without}");
        assert!(with < without / 4, "{user:?}: {with} against {without}");
    }
}
