//! Times of files in a view whose clock is its own.

use e2e::{View, Work, combinations, need};

/// Sets the clock a hundred million seconds ahead; `s` prints what the clock was ahead of a file by.
const AHEAD: &str = "
mount -t ummisctime none t && mount -t umfusemem none m && echo 100000000 > t/offset || exit 1
s() { for f in \"$@\"; do a=$(date +%s) b=$(stat -c %Y $f); test $((a - b)) -ge 0 -a $((a - b)) -lt 60 && echo $f new || echo $f $b; done; }
";

fn run(combination: (e2e::Engine, e2e::User), script: &str) -> String {
    let work = Work::new(combination.1);
    for folder in ["t", "m", "store", "over"] {
        work.folder(folder);
    }
    let script = work.write("script.sh", script);
    let view = View::of(combination).folder(work.path());
    let view = view.preload("ummisc").preload("umfuse").preload("viewfs");
    view.run(&format!("sh {script}")).success().to_owned()
}

#[test]
fn what_is_written_has_the_time_of_date_and_what_was_there_keeps_its_own() {
    for combination in combinations() {
        let script = format!(
            "touch -d @1000000000 old\n{AHEAD}\n\
             touch touched; echo x > written; mkdir made; ln -s x link; echo x > m/in; mkdir m/dir\n\
             mount -t viewfs -o cow store over; echo x > over/copied\n\
             s old touched written made link m/in m/dir over/copied\n\
             touch old; s old; touch -d @1500000000 m/in written; stat -c '%n %Y' m/in written\n\
             cp -p m/in kept; cp -p touched m/kept; stat -c '%n %Y' kept; s m/kept\n\
             test m/kept -nt touched -o m/kept -ot touched && echo differ\n\
             umount t; stat -c '%n %Y' m/in; test $(stat -c %Y touched) -lt $(($(date +%s) + 60)) && echo back"
        );
        let expect = "old 1000000000\ntouched new\nwritten new\nmade new\nlink new\nm/in new\nm/dir new\n\
                      over/copied new\nold new\nm/in 1500000000\nwritten 1500000000\nkept 1500000000\n\
                      m/kept new\nm/in 1500000000\nback\n";
        assert_eq!(run(combination, &script), expect, "{combination:?}");
    }
}

#[test]
fn make_and_find_see_an_order_that_date_confirms() {
    need("make", "make");
    for combination in combinations() {
        for clock in ["100000000 > t/offset", "-100000000 > t/offset", "500 > t/frequency"] {
            let script = format!(
                "printf 'out: in\\n\\tcp in out; echo built\\n' > Makefile; cp Makefile m-file\n\
                 mount -t ummisctime none t && mount -t umfusemem none m && echo {clock}\n\
                 cp Makefile m; cd m; echo 1 > in; make -s 2>/dev/null; make -s 2>/dev/null; echo 2 > in; make -s 2>/dev/null; cat out\n\
                 cd ..; echo 1 > in; make -s 2>/dev/null; make -s 2>/dev/null; find in out -newer Makefile | sort | tr '\\n' ' '"
            );
            let output = run(combination, &script);
            let expect = if clock.starts_with('-') {
                // A clock that was set back: the Makefile is of the future, and make says so.
                "built\nbuilt\n2\nbuilt\n"
            } else {
                "built\nbuilt\n2\nbuilt\nin out "
            };
            assert_eq!(output, expect, "{combination:?} {clock}");
        }
    }
}

/// Attributes of open files, in both forms of the call, and times that are set through a descriptor.
const DESCRIPTORS: &str = r#"
import os, time
def near(a, b): return abs(a - b) < 30
for name in ["f", "m/f"]:
    f = open(name, "w+")
    f.write("x"); f.flush()
    stat = os.fstat(f.fileno())
    print(name, near(stat.st_mtime, time.time()), near(stat.st_ctime, time.time()), near(os.stat(name).st_atime, time.time()))
    os.utime(f.fileno(), (5, 7))
    print(os.stat(name).st_mtime, os.fstat(f.fileno()).st_atime)
    os.utime(name, ns=(10**18, 1234567890 * 10**9 + 3))
    print(os.stat(name).st_mtime_ns)
    now = time.time_ns()
    os.utime(name, ns=(now, now))
    print(os.stat(name).st_mtime_ns - now)
    os.utime(name)
    print(near(os.stat(name).st_mtime, time.time()))
os.symlink("nowhere", "l")
os.utime("l", ns=(4, 9), follow_symlinks=False)
print(os.lstat("l").st_mtime_ns)
try: os.utime("nothing", (1, 1))
except FileNotFoundError: print("absent")
"#;

#[test]
fn times_are_set_and_shown_through_descriptors() {
    need("python3", "python3");
    for combination in combinations() {
        let script =
            format!("{AHEAD}\ncat > p.py <<'END'\n{DESCRIPTORS}\nEND\n/usr/bin/python3 p.py");
        let each = "True True True\n7.0 5.0\n1234567890000000003\n0\nTrue\n";
        let expect = format!("f {each}m/f {each}9\nabsent\n");
        assert_eq!(run(combination, &script), expect, "{combination:?}");
    }
}

#[test]
fn a_clock_over_a_clock_begins_where_that_one_is() {
    for combination in combinations() {
        let script = format!(
            "{AHEAD}\nmkdir t2; a=$(date +%s)\n\
             umview sh -c 'mount -t ummisctime none t2; date +%s; cat t2/offset t2/frequency; echo 5000 > t2/offset; \
                           date +%s; touch inner; stat -c %Y inner' > out\n\
             {{ read b; read o; read f; read c; read d; }} < out\n\
             near() {{ test $(($2 - $1)) -ge 0 -a $(($2 - $1)) -lt 60 && echo near || echo $1 $2; }}\n\
             near $a $b; echo $o $f; near $((b + 5000)) $c; near $c $d; s inner"
        );
        // What the inner clock gave a time is for the outer one a file as any other.
        assert_eq!(
            run(combination, &script),
            "near\n0 1\nnear\nnear\ninner new\n",
            "{combination:?}"
        );
    }
}
