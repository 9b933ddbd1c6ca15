//! Ordinary command lines print and end in a view as they do without one.

use e2e::{Engine, User, View, Work, native, need};
use std::path::Path;
use std::sync::OnceLock;

/// What every line finds in its folder: made anew for each, with times that do not change.
const TREE: &str = r#"
mkdir -p a/b empty src
printf 'the first line\nthe second\n\nlast' >a/one.txt
seq 1 500 >a/b/numbers.txt
printf 'c 3\na 1\nb 2\na 1\n' >table
head -c 100000 /dev/zero | tr '\0' 'x' >big
ln -s a/one.txt link; ln -s nowhere dangling; ln -s a folder-link; ln table hard
printf '#!/bin/sh\necho "script $0 $*"\n' >script; chmod 755 script
printf '#include <stdio.h>\nint main(int c, char **v) { printf("%%d %%s\\n", c, v[1]); return c; }\n' >src/main.c
printf 'int add(int a, int b) { return a + b; }\n' >src/add.c
printf 'all: one two\n\t@cat one two\none:\n\t@echo 1 >one\ntwo:\n\t@echo 2 >two\n' >src/Makefile
find . -exec touch -h -d '2020-02-02 02:02:02' {} +
"#;

/// Command lines and the Debian package that a line needs.
const LINES: [(&str, &str); 54] = [
    ("ls -lR --time-style=full-iso | grep -v '^total'", "coreutils"),
    ("ls -aF; ls -d */; ls -i table hard | cut -d' ' -f2", "coreutils"),
    ("find . -type f -size -2k | sort", "findutils"),
    ("find . -name '*.txt' -printf '%p %s %m %n %y %l\\n' | sort", "findutils"),
    ("find -L . -name one.txt -exec head -1 {} \\; | sort", "findutils"),
    ("tar cf - --sort=name --exclude=big . | tar tvf - --full-time", "tar"),
    ("tar czf x.tgz a && mkdir o && tar xzf x.tgz -C o && diff -r a o/a && echo same", "tar"),
    (
        "cp -a . ../copy && diff -r --no-dereference . ../copy; find ../copy ! -type d -printf '%p %s %n %t %l\\n' | sort; rm -r ../copy",
        "coreutils",
    ),
    ("grep -rn the . | sort; grep -c line a/one.txt; grep -q nosuch table; echo $?", "grep"),
    (
        "/usr/bin/python3 -c 'import os; print(sorted((r, sorted(d), sorted(f)) for r, d, f in os.walk(\".\")))'",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import shutil, pathlib; shutil.copytree(\"a\", \"c\"); print(sorted(map(str, pathlib.Path(\"c\").rglob(\"*\"))))'",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import mmap; f = open(\"table\", \"r+b\"); m = mmap.mmap(f.fileno(), 0); m[0:1] = b\"Z\"; m.flush(); print(open(\"table\").read())'",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import sqlite3; d = sqlite3.connect(\"db\"); d.execute(\"create table t(a)\"); d.executemany(\"insert into t values(?)\", [(i,) for i in range(100)]); d.commit(); print(d.execute(\"select sum(a) from t\").fetchone())'; ls db*",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import subprocess, threading; r = []; t = [threading.Thread(target=lambda i=i: r.append(subprocess.check_output([\"echo\", str(i)]))) for i in range(5)]; [x.start() for x in t]; [x.join() for x in t]; print(sorted(r))'",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"sock\"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect(\"sock\"); c.send(b\"hi\"); print(s.accept()[0].recv(9))'; stat -c %F sock",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import os; os.mkdir(\"d\"); f = os.open(\"d\", os.O_RDONLY); g = os.open(\"x\", os.O_CREAT|os.O_RDWR, dir_fd=f); os.write(g, b\"abc\"); print(os.stat(\"x\", dir_fd=f).st_size, os.listdir(f), os.pread(g, 2, 1)); os.rename(\"x\", \"y\", src_dir_fd=f, dst_dir_fd=f); print(os.listdir(\"d\"))'",
        "python3",
    ),
    (
        "perl -e 'opendir D, \".\"; print join(\",\", sort readdir D), \"\\n\"; print -s \"big\", \" \", (stat \"table\")[3], \"\\n\"'",
        "perl",
    ),
    (
        "perl -ne 'print if /the/ .. /second/' a/one.txt; perl -pi -e 's/a/A/' table; cat table",
        "perl",
    ),
    (
        "git init -q . && git add -A && git -c user.name=u -c user.email=e@x commit -qm one && git status --short && echo x >>table && git status --short && git log --format=%s%an && git diff --stat",
        "git",
    ),
    ("gcc -O1 -o prog src/main.c src/add.c && ./prog arg; echo $?", "gcc"),
    ("make -s -j2 -C src all && ls src", "make"),
    ("./script x 'y z'; sh script; (PATH=.:$PATH; script q)", "dash"),
    ("bash -c 'for i in 1 2 3; do (echo $i; exit $i) | cat; echo ${PIPESTATUS[0]}; done'", "bash"),
    (
        "bash -c 'for i in 3 1 2; do { read -t 0.$i < <(:); echo $i >out$i; } & done; wait; cat out?'",
        "bash",
    ),
    (
        "bash -c 'diff <(sort table) <(sort -u table); cat <<<here; coproc cat; echo co >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x'",
        "bash",
    ),
    (
        "bash -c 'shopt -s globstar; echo **/*.txt; set -o pipefail; false | true; echo $?; trap \"echo bye\" EXIT; kill -USR1 $$' ; echo $?",
        "bash",
    ),
    (
        "sort table; sort -u table; sort -k2n table; sort -S 1M -R --random-source=big a/b/numbers.txt | sort -n | tail -1",
        "coreutils",
    ),
    (
        "find . -type f -print0 | sort -z | xargs -0 -n 2 -P 2 wc -c | grep -v total | sort",
        "findutils",
    ),
    (
        "awk '{ s[$1] += $2 } END { for (k in s) print k, s[k] | \"sort\" }' table; awk 'BEGIN { while ((getline l < \"a/one.txt\") > 0) n++; print n }'",
        "mawk",
    ),
    ("sed -i.bak 's/^a/X/;/b/d' table; cat table table.bak; sed -n '$=' a/b/numbers.txt", "sed"),
    (
        "f=$(mktemp ./x.XXXX) && [ -f $f ] && echo made; d=$(mktemp -d) && [ -d $d ] && rmdir $d && echo gone",
        "coreutils",
    ),
    (
        "ln table h2 && stat -c %h table && ln -s table s2 && readlink s2 dangling && ln table h2; echo $?; ls -l dangling | cut -d' ' -f9-",
        "coreutils",
    ),
    (
        "readlink -f link folder-link/b dangling; realpath link a/../a/b; readlink -e dangling; echo $?",
        "coreutils",
    ),
    ("df -P . | wc -l; df -i . >/dev/null; echo $?", "coreutils"),
    (
        "stat -c '%n %s %b %f %F %h %u %a %Y %B' *; stat -L -c '%n %s' link; stat nosuch; echo $?",
        "coreutils",
    ),
    (
        "touch -d '2001-01-01 01:01:01.123456789' table && stat -c '%y' table hard; touch -r link new; stat -c %Y new; touch -c no; ls no",
        "coreutils",
    ),
    (
        "install -D -m 640 table deep/er/file && stat -c '%a %s' deep/er/file && install -d -m 711 x/y && stat -c %a x/y",
        "coreutils",
    ),
    (
        "dd if=big of=out bs=1000 count=7 skip=3 seek=2 conv=notrunc 2>&1 | head -2; stat -c %s out; dd if=out bs=1 count=3 skip=2500 2>/dev/null",
        "coreutils",
    ),
    ("cmp table hard && echo equal; cmp table a/one.txt; cmp -s big table; echo $?", "diffutils"),
    (
        "cp -r a c && echo more >>c/one.txt && rm c/b/numbers.txt && touch c/new && diff -r a c; echo $?",
        "diffutils",
    ),
    (
        "if command -v rsync >/dev/null; then rsync -a a/ r/ && diff -r a r && echo synced; else echo no rsync; fi",
        "coreutils",
    ),
    (
        "node -e 'const fs = require(\"fs\"); fs.writeFileSync(\"n\", \"x\".repeat(10)); console.log(fs.statSync(\"n\").size, fs.readdirSync(\".\").sort().join()); fs.promises.readFile(\"table\", \"utf8\").then(t => console.log(t.length))'",
        "nodejs",
    ),
    (
        "mkdir -p p/q/r && mkdir p; echo $?; rmdir p; echo $?; rmdir -p p/q/r; ls; rm -r a; rm nosuch; echo $?; rm -f nosuch; echo $?",
        "coreutils",
    ),
    (
        "mv a moved && mv table moved/b/ && ls -R moved && mv -n big moved/one.txt; ls big; mv moved moved/b 2>/dev/null; echo $?",
        "coreutils",
    ),
    (
        "head -2 a/one.txt; tail -1 a/one.txt; tail -c 5 big; wc table; tr a-z A-Z <table; cut -d' ' -f2 table; uniq -c table; tac table; paste table table; split -l 100 a/b/numbers.txt s. && ls s.*",
        "coreutils",
    ),
    (
        "umask 027; touch m; mkdir n; stat -c %a m n; chmod u+s,o= script; stat -c %a script; chmod 000 table; stat -c %a table; chmod -R a+rX a; stat -c %a a/b",
        "coreutils",
    ),
    (
        "truncate -s 5000 big && stat -c %s big; truncate -s 1M sparse && du -k sparse | cut -f1; fallocate -l 8192 f && stat -c %s f; du -b big",
        "util-linux",
    ),
    (
        "gzip -k big && gzip -t big.gz && gunzip -c big.gz | cmp - big && echo ok; sha256sum table a/one.txt >sums && sha256sum -c sums; md5sum <table",
        "gzip",
    ),
    (
        "exec 9>lock; flock -n 9 && echo locked; flock -n lock true; echo $?; flock -u 9; flock -n lock echo again",
        "util-linux",
    ),
    (
        "mkfifo f; cat f & echo through >f; wait; echo to-fd >&1; { echo e >&2; } 2>&1; exec 3<>rw; echo abc >&3; cat rw; exec 3>&-; cat </dev/null; echo x >/dev/null; head -c 3 /dev/zero | od -c",
        "coreutils",
    ),
    (
        "pwd; pwd -P; /bin/pwd; cd a/b; pwd; cd ../..; cd folder-link; pwd; pwd -P; cd ..; pwd; readlink /proc/self/cwd",
        "coreutils",
    ),
    (
        "sh -c 'kill -9 $$'; echo $?; timeout 0.1 cat /dev/zero >/dev/null; echo $?; nice true; echo $?; (ulimit -n 64; ulimit -n); env -i A=1 env; printenv HOME | wc -l",
        "coreutils",
    ),
    (
        "cat nosuch; echo $?; ls nosuch/x; echo $?; cat a; echo $?; cat table/x; echo $?; cd table; echo $?; ./table; echo $?; ./nosuch; echo $?; : >empty; echo $?",
        "coreutils",
    ),
    (
        "readlink /proc/self/exe; ls -l /proc/self/fd/0 >/dev/null; echo $?; cat /proc/self/comm; test -e /proc/self/maps; echo $?; echo $(cat /proc/$$/comm); ls /proc/$$/task | wc -l; test /etc -ef /etc/../etc; echo $?",
        "coreutils",
    ),
];

/// A folder that is made once for each test and copied for each line.
fn template(user: User, work: &Work) {
    let _ = native(user).folder(Path::new(&work.folder("template"))).run(TREE).success();
}

/// Runs one line in a fresh folder. What it printed, with the folder's name left out, and the status.
fn result_of(view: &View, line: &str, prefix: &str, work: &Work, user: User) -> Result {
    let (template, folder) = (work.name("template"), work.name("w"));
    let store = work.name("store");
    let fresh = format!(
        "rm -rf {store}; mkdir {store}; chmod -R u+rwX {folder} 2>/dev/null; rm -rf {folder}; cp -a {template} {folder}"
    );
    let _ = native(user).folder(work.path()).run(&fresh).success();
    let output = view.run(&format!("cd {prefix}{folder} || exit 99\n{line}"));
    let text = output.stdout.replace(&format!("{prefix}{folder}"), "W").replace(&folder, "W");
    (text, output.code.or(output.signal.map(|signal| signal + 128)))
}

/// Standard output and status.
type Result = (String, Option<i32>);

/// What the lines do without a view, found once for each user.
fn expected(user: User) -> &'static [Result] {
    static OF: [OnceLock<Vec<Result>>; 2] = [OnceLock::new(), OnceLock::new()];
    OF[usize::from(user == User::Nobody)].get_or_init(|| {
        let work = Work::new(user);
        template(user, &work);
        let native = native(user).folder(work.path());
        LINES.iter().map(|(line, _)| result_of(&native, line, "", &work, user)).collect()
    })
}

/// Runs every line natively and in `view`, and fails with all that differ.
fn all_lines_agree(user: User, view: &View, prefix: &str) {
    let work = Work::new(user);
    template(user, &work);
    // A view that keeps its changes has a store of its own for each line.
    let view = view.clone().folder(work.path()).replace("STORE", &work.name("store"));
    let mut wrong = String::new();
    for ((line, package), expect) in LINES.iter().zip(expected(user)) {
        let program = line.split_whitespace().next().unwrap_or_default();
        if *package != "coreutils" && program.bytes().all(|b| b.is_ascii_lowercase()) {
            need_program(program, package);
        }
        let found = result_of(&view, line, prefix, &work, user);
        if found != *expect {
            wrong.push_str(&format!("\n{line}\n  natively: {expect:?}\n  in view:  {found:?}\n"));
        }
    }
    let count = wrong.matches("in view: ").count();
    assert!(wrong.is_empty(), "{count} of {} lines differ:\n{wrong}", LINES.len());
}

/// Shell words are no programs.
fn need_program(program: &str, package: &str) {
    let is_word = ["exec", "if", "for", "umask"].contains(&program);
    if !is_word && !Path::new("/bin").join(program).is_dir() {
        need(program, package);
    }
}

fn is_there(engine: Engine, user: User) -> bool {
    e2e::combinations().contains(&(engine, user))
}

/// One test for each way, so that they run side by side.
macro_rules! ways {
    ($($name:ident: $engine:ident, $user:ident, $options:expr, $prefix:expr;)*) => {$(
        #[test]
        fn $name() {
            if is_there(Engine::$engine, User::$user) {
                let view = View::new().engine(Engine::$engine).user(User::$user);
                let view = $options.iter().fold(view, |view, option: &&str| view.option(option));
                all_lines_agree(User::$user, &view, $prefix);
            }
        }
    )*};
}

ways! {
    empty_view_by_notification_of_root: Notify, Root, [], "";
    empty_view_by_ptrace_of_nobody: Trace, Nobody, [], "";
    loaded_view_by_notification_of_nobody: Notify, Nobody, ["-punreal"], "";
    unreal_by_notification_of_root: Notify, Root, ["-punreal"], "/unreal";
    unreal_by_notification_of_nobody: Notify, Nobody, ["-punreal"], "/unreal";
    unreal_by_ptrace_of_root: Trace, Root, ["-punreal"], "/unreal";
    unreal_by_ptrace_of_nobody: Trace, Nobody, ["-punreal"], "/unreal";
    cow_over_all_by_notification_of_root: Notify, Root, ["--mount=viewfs:STORE:/:cow"], "";
    cow_over_all_by_ptrace_of_nobody: Trace, Nobody, ["--mount=viewfs:STORE:/:cow"], "";
    mincow_over_all_by_notification_of_nobody: Notify, Nobody, ["--mount=viewfs:STORE:/:mincow"], "";
}
