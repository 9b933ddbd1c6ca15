//! What follows a time of one's own: in a view with `ummisctime`, and under the preloaded library of faketime. The
//! table in docs/time.md is what this test finds.

use e2e::{User, View, Work, native, need};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The clock is a thousand days ahead and a hundred times as fast.
const AHEAD_SECONDS: u64 = 86_400_000;

/// What the page has measured beside the view.
const VERSION: &str = "0.9.10";

/// What a line of the table is judged by.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// It prints a time in seconds since 1970, which is ahead.
    Wall,
    /// It prints how fast a clock is.
    Pace,
    /// It prints how fast a clock is that has the processor's time, and no other.
    OwnPace,
    /// It waits for six seconds, which are soon over.
    Wait,
    /// It prints `yes`.
    Word,
}

/// The lines: what, how it is judged, and a command, in which `PROBE` is the folder of the compiled program.
const LINES: &[(&str, By, &str)] = &[
    ("`date`", By::Wall, "date +%s"),
    ("`date`, with an empty environment", By::Wall, "env -i /bin/date +%s"),
    ("a static program's wall clock (glibc)", By::Wall, "PROBE/glibc wall"),
    ("a static program's wall clock (musl)", By::Wall, "PROBE/musl wall"),
    ("clock_gettime by syscall(2)", By::Wall, "PROBE/dynamic wall-call"),
    (
        "Python, `time.time()`",
        By::Wall,
        "/usr/bin/python3 -c 'import time; print(int(time.time()))'",
    ),
    ("Node, `Date.now()`", By::Wall, "node -e 'console.log(Math.floor(Date.now() / 1000))'"),
    ("Perl, `time`", By::Wall, "perl -e 'print time, \"\\n\"'"),
    ("the steady clock runs fast", By::Pace, "PROBE/dynamic steady"),
    ("the same in a static program", By::Pace, "PROBE/musl steady"),
    ("the same by syscall(2)", By::Pace, "PROBE/dynamic steady-call"),
    ("the processor's time stays what it is", By::OwnPace, "PROBE/dynamic cpu"),
    ("`sleep 6`", By::Wait, "sleep 6"),
    ("`timeout 6 sleep 1000`", By::Wait, "timeout 6 sleep 1000; true"),
    (
        "a shell's `read -t 6`",
        By::Wait,
        "mkfifo FILE; bash -c 'exec 3<> FILE; read -t 6 <&3; true'",
    ),
    ("nanosleep in a static program", By::Wait, "PROBE/musl nanosleep"),
    ("nanosleep by syscall(2)", By::Wait, "PROBE/dynamic nanosleep-call"),
    ("poll", By::Wait, "PROBE/dynamic poll"),
    ("select", By::Wait, "PROBE/dynamic select"),
    ("epoll_wait", By::Wait, "PROBE/dynamic epoll"),
    ("pthread_cond_timedwait", By::Wait, "PROBE/dynamic condition"),
    ("alarm", By::Wait, "PROBE/dynamic alarm"),
    ("setitimer", By::Wait, "PROBE/dynamic setitimer"),
    ("timerfd", By::Wait, "PROBE/dynamic timerfd"),
    ("Python, `queue.get(timeout=6)`", By::Wait, PYTHON_QUEUE),
    ("Node, `setTimeout`", By::Wait, "node -e 'setTimeout(() => 0, 6000)'"),
    ("a file that is written has the time of `date`", By::Word, WRITTEN),
    (
        "a file from before keeps its date",
        By::Word,
        "test $(stat -c %Y OLD) = 1000000000 && echo yes",
    ),
    (
        "`touch -d` and `stat` agree",
        By::Word,
        "touch -d @1900000000 FILE && test $(stat -c %Y FILE) = 1900000000 && echo yes",
    ),
    (
        "`touch` and `find -newermt now` agree",
        By::Word,
        "touch FILE; test -n \"$(find FILE -newermt '1 day ago')\" && test -z \"$(find FILE -newermt '1 day')\" && echo yes",
    ),
    ("/proc/uptime runs fast", By::Word, UPTIME),
];

const PYTHON_QUEUE: &str = "/usr/bin/python3 -c '
import queue
try: queue.Queue().get(timeout=6)
except queue.Empty: pass'";

const WRITTEN: &str = "echo x > FILE; a=$(date +%s); b=$(stat -c %Y FILE); \
                       test $((a - b)) -ge 0 && test $((a - b)) -lt 1000 && echo yes";

/// A busy loop of some hundredths of a second is some seconds.
const UPTIME: &str = "read a x < /proc/uptime; PROBE/dynamic cpu > /dev/null; read b x < /proc/uptime; \
                      test $((${b%.*} - ${a%.*})) -ge 3 && echo yes";

fn built() -> Work {
    need("gcc", "gcc");
    need("musl-gcc", "musl-tools");
    let work = Work::new(User::Root);
    let source = work.write("pace.c", include_str!("pace.c"));
    for (compiler, name) in
        [("gcc", "dynamic"), ("gcc -static", "glibc"), ("musl-gcc -static", "musl")]
    {
        let line = format!("{compiler} -O1 -pthread {source} -o {}", work.name(name));
        assert_eq!(native(User::Root).run(&line).code, Some(0), "{line}");
    }
    work
}

/// Whether a line follows; `around` starts it with the time that is to be followed.
fn follows(by: By, around: impl Fn(&str) -> (Duration, e2e::Output)) -> impl Fn(&str) -> bool {
    move |line| {
        let (took, output) = around(line);
        let number = || output.stdout.trim().parse::<f64>().unwrap_or(-1.0);
        match by {
            By::Wall => {
                let host = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let host = host.expect("after 1970").as_secs_f64();
                number() > host + AHEAD_SECONDS as f64 / 2.0
            }
            By::Pace => number() > 50.0,
            By::OwnPace => (0.5..2.0).contains(&number()),
            By::Wait => output.code == Some(0) && took < Duration::from_secs(5),
            By::Word => output.stdout.trim() == "yes",
        }
    }
}

/// A line of the table, twice: in a view, and under faketime.
fn both(programs: &Path, by: By, command: &str) -> [bool; 2] {
    let work = Work::new(User::Nobody);
    let mnt = work.folder("mnt");
    let old = work.write("old", "");
    let aged = native(User::Nobody).run(&format!("touch -d @1000000000 {old}"));
    assert_eq!(aged.code, Some(0), "{aged:?}");
    let command = command
        .replace("PROBE", &programs.to_string_lossy())
        .replace("OLD", &old)
        .replace("FILE", &work.name("file"));
    let script = work.write("line.sh", &format!("{command}\n"));
    // The time of the line alone: what stands before it is not what is looked at.
    let timed = |view: View, before: &str, after: &str| {
        let line = format!("{before} echo begin; read go; {after}sh {script}");
        let mut started = view.folder(work.path()).start(&["sh", "-c", &line]);
        let _ = started.read_until("begin\n");
        let begin = Instant::now();
        started.write("go\n");
        let mut output = started.finish();
        output.stdout = output.stdout.replacen("begin\n", "", 1);
        (begin.elapsed(), output)
    };
    let in_view = |_: &str| {
        let before = format!(
            "mount -t ummisctime none {mnt} && echo {AHEAD_SECONDS} > {mnt}/offset && \
             echo 100 > {mnt}/frequency &&"
        );
        timed(View::new().user(User::Nobody).preload("ummisc").preload("umproc"), &before, "")
    };
    let under_faketime =
        |_: &str| timed(native(User::Nobody), "", "timeout -s KILL 15 faketime -f '+1000d x100' ");
    [follows(by, in_view)(&command), follows(by, under_faketime)(&command)]
}

#[test]
fn the_table_of_the_page_is_what_is_found() {
    for (program, package) in
        [("faketime", "faketime"), ("node", "nodejs"), ("python3", "python3"), ("perl", "perl")]
    {
        need(program, package);
    }
    let programs = built();
    let mut table = String::from("| | umview | faketime |\n|---|---|---|\n");
    let found: Vec<[bool; 2]> = std::thread::scope(|scope| {
        let threads: Vec<_> = LINES
            .iter()
            .map(|&(_, by, command)| {
                let folder = programs.path();
                // Only what waits may run beside others: those that count need the processor.
                (by == By::Wait).then(|| scope.spawn(move || both(folder, by, command)))
            })
            .collect();
        let lines =
            threads.into_iter().zip(LINES).map(|(thread, &(_, by, command))| match thread {
                Some(thread) => thread.join().expect("a line is looked at"),
                None => both(programs.path(), by, command),
            });
        lines.collect()
    });
    for ((what, _, _), [ours, theirs]) in LINES.iter().zip(&found) {
        let word = |follows: &bool| if *follows { "yes" } else { "no" };
        table.push_str(&format!("| {what} | {} | {} |\n", word(ours), word(theirs)));
    }
    assert!(found.iter().all(|[ours, _]| *ours), "all of it follows in a view:\n{table}");
    let version = native(User::Nobody).run("faketime --version");
    if !version.stdout.contains(VERSION) {
        eprintln!("the page is about faketime {VERSION}; this one:\n{table}");
        return;
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/time.md"));
    let page = page.expect("docs/time.md");
    assert!(page.contains(&table), "docs/time.md does not have this table:\n{table}");
}
