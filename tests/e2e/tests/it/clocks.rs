//! `ummisctime`: time of a view's own.

use e2e::{Engine, User, View, Work, combinations, native, need};

/// Prints, for each way to wait ten seconds, whether that is what the clock of the view says.
const WAITS: &str = r#"
import os, queue, select, signal, socket, subprocess, threading, time
def span(name, wait, want=10):
    begin = time.monotonic()
    wait()
    took = time.monotonic() - begin
    # A busy machine makes every wait longer: a real tenth of a second is ten here.
    print(name, "ok" if want * 0.99 <= took < want + 400 else took)
readable, writable = os.pipe()
poll = select.poll()
poll.register(readable, select.POLLIN)
epoll = select.epoll()
epoll.register(readable, select.EPOLLIN)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
udp.settimeout(10)
def receive():
    try: udp.recv(1)
    except TimeoutError: pass
def empty():
    try: queue.Queue().get(timeout=10)
    except queue.Empty: pass
def join():
    thread = threading.Thread(target=lambda: time.sleep(10))
    thread.start()
    thread.join()
def alarm():
    signal.alarm(10)
    signal.pause()
def timer():
    signal.setitimer(signal.ITIMER_REAL, 10)
    signal.pause()
def interrupted():
    signal.setitimer(signal.ITIMER_REAL, 5)
    time.sleep(10)
def signal_wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.sigtimedwait([signal.SIGUSR1], 10)
signal.signal(signal.SIGALRM, lambda *_: None)
span("sleep", lambda: time.sleep(10))
span("poll", lambda: poll.poll(10000))
span("select", lambda: select.select([readable], [], [], 10))
span("epoll", lambda: epoll.poll(10))
span("event", lambda: threading.Event().wait(10))
span("queue", empty)
span("join", join)
span("recv", receive)
span("alarm", alarm)
span("setitimer", timer)
span("interrupted", interrupted)
span("sigtimedwait", signal_wait)
span("sleep(1)", lambda: subprocess.run(["sleep", "10"]))
span("timeout(1)", lambda: subprocess.run(["timeout", "10", "sleep", "10000"]))
signal.setitimer(signal.ITIMER_REAL, 1000, 50)
value, interval = signal.getitimer(signal.ITIMER_REAL)
print("getitimer", "ok" if 500 < value <= 1000 and abs(interval - 50) < 0.01 else (value, interval))
print("remains", "ok" if 500 < signal.alarm(0) <= 1000 else "bad")
print("getres", "ok" if 0.9e-7 < time.clock_getres(time.CLOCK_MONOTONIC) < 1.1e-7 else "bad")
"#;

#[test]
fn every_wait_follows_the_frequency() {
    need("python3", "python3");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (mnt, program) = (work.folder("mnt"), work.write("waits.py", WAITS));
        let line = format!(
            "mount -t ummisctime none {mnt} && echo 100 > {mnt}/frequency && python3 {program}"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        let lines: Vec<&str> = output.success().lines().collect();
        assert_eq!(lines.len(), 17, "{combination:?}: {output:?}");
        assert!(lines.iter().all(|l| l.ends_with(" ok")), "{combination:?}: {output:?}");
    }
}

#[test]
fn every_call_that_takes_a_time_takes_the_views() {
    need("gcc", "gcc");
    let built = Work::new(User::Root);
    let source = built.write("waits.c", include_str!("waits.c"));
    let program = built.name("waits");
    let compiled = native(User::Root).run(&format!("gcc -O1 {source} -o {program}"));
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let mnt = work.folder("mnt");
        let line = format!(
            "mount -t ummisctime none {mnt} && echo 100 > {mnt}/frequency && \
             echo 777777 > {mnt}/offset && {program}"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        let bad: Vec<&str> = output.success().lines().filter(|l| !l.ends_with(" ok")).collect();
        assert_eq!(bad, ["done"], "{combination:?}: {output:?}");
    }
}

#[test]
fn an_offset_moves_the_wall_clock_and_umount_gives_the_hosts_back() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let mnt = work.folder("mnt");
        let line = format!(
            "mount -t ummisctime none {mnt} && cat {mnt}/frequency {mnt}/offset\n\
             a=$(date +%s); echo 1000000 > {mnt}/offset; b=$(date +%s); cat {mnt}/offset\n\
             test $((b - a)) -ge 1000000 && test $((b - a)) -lt 1000030 && echo moved\n\
             umount {mnt} && c=$(date +%s) && test $((c - a)) -lt 60 && echo back"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        assert_eq!(output.success(), "1\n0\n1000000\nmoved\nback\n", "{combination:?}: {output:?}");
    }
}

#[test]
fn bad_settings_are_refused_and_change_nothing() {
    let work = Work::new(User::Root);
    let mnt = work.folder("mnt");
    let line = format!(
        "mount -t ummisctime none {mnt}\n\
         for bad in fast 0 -1 1e9; do echo $bad > {mnt}/frequency; done\n\
         echo soon > {mnt}/offset; echo x > {mnt}/other; rm {mnt}/base\n\
         cat {mnt}/frequency {mnt}/offset; ls {mnt}"
    );
    let output = View::new().preload("ummisc").run(&line);
    assert_eq!(output.success(), "1\n0\nbase\nfrequency\noffset\n");
    assert_eq!(output.stderr.matches("rror").count(), 5, "{output:?}");
}

/// Says the time for each line that it reads.
const TICKER: &str = r#"
import sys, time
print("ready", flush=True)
for line in sys.stdin:
    print("%.9f %.9f" % (time.time(), time.monotonic()), flush=True)
"#;

#[test]
fn a_process_that_ran_before_and_one_that_is_attached_follow_as_well() {
    need("python3", "python3");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (mnt, program) = (work.folder("mnt"), work.write("ticker.py", TICKER));
        let mut outside = native(combination.1).start(&["/usr/bin/python3", &program]);
        let _ = outside.read_until("ready");
        let line = format!(
            "mkfifo {mnt}-fifo; python3 {program} < {mnt}-fifo > {mnt}-out & exec 9> {mnt}-fifo; echo >&9\n\
             while ! grep -q '[.]' {mnt}-out; do sleep 0.05; done\n\
             mount -t ummisctime none {mnt} && um_attach {} && echo 1000000 > {mnt}/offset\n\
             echo 1000 > {mnt}/frequency; echo >&9; echo mounted; cat; exec 9>&-; wait; cat {mnt}-out",
            outside.pid()
        );
        let mut view = View::of(combination).preload("ummisc").start(&["sh", "-c", &line]);
        let printed = view.read_until("mounted\n");
        outside.write("\n");
        let host = std::time::SystemTime::now();
        let host = host.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let output = outside.finish();
        let text = output.success().lines().last().unwrap_or_default().to_owned();
        let shown: f64 = text.split(' ').next().and_then(|w| w.parse().ok()).unwrap_or(0.0);
        assert!(shown > host + 900_000.0, "{combination:?}: {text} at {host} after {printed}");
        let inside = view.finish();
        let ticks: Vec<f64> =
            inside.success().lines().filter_map(|l| l.split_once(' ')?.0.parse().ok()).collect();
        let &[before, after] = ticks.as_slice() else { panic!("{combination:?}: {inside:?}") };
        assert!(after > before + 900_000.0, "{combination:?}: {inside:?}");
    }
}

/// A static program has no loader that finds the vDSO for it; clocks read in any way agree.
const AGREE: &str = r#"
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static double seconds(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }
int main(void) {
    int bad = 0;
    for (int clock = 0; clock < 12; clock++) {
        struct timespec before, call, after;
        /* CPU time; clocks that need a hardware clock; none. */
        if (clock == 2 || clock == 3 || clock == 8 || clock == 9 || clock == 10) continue;
        if (syscall(SYS_clock_gettime, clock, &before) || clock_gettime(clock, &call)
            || syscall(SYS_clock_gettime, clock, &after)) { bad++; printf("clock %d fails\n", clock); continue; }
        /* Coarse clocks may lag by ten real milliseconds, which are one second here. */
        if (seconds(call) < seconds(before) - 1 || seconds(call) > seconds(after) + 1) {
            bad++;
            printf("clock %d: %f %f %f\n", clock, seconds(before), seconds(call), seconds(after));
        }
    }
    struct timespec last = {0}, now, cpu, real;
    for (int i = 0; i < 200000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (seconds(now) < seconds(last)) bad++;
        last = now;
    }
    struct timeval tv;
    gettimeofday(&tv, 0);
    clock_gettime(CLOCK_REALTIME, &real);
    if (seconds(real) - tv.tv_sec - tv.tv_usec / 1e6 > 100) bad++;
    if (seconds(real) - time(0) > 100) bad++;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    if (seconds(cpu) > 60) { bad++; puts("CPU time is virtual"); }
    if (clock_gettime(99, &now) == 0) bad++;
    printf("bad %d\n", bad);
    return 0;
}
"#;

#[test]
fn clocks_agree_whether_read_by_call_or_in_the_process() {
    need("gcc", "gcc");
    need("musl-gcc", "musl-tools");
    let work = Work::new(User::Root);
    let source = work.write("agree.c", AGREE);
    for (compiler, name) in
        [("gcc", "dynamic"), ("gcc -static", "static"), ("musl-gcc -static", "musl")]
    {
        let line = format!("{compiler} -O1 {source} -o {}", work.name(name));
        let built = native(User::Root).run(&line);
        assert_eq!(built.code, Some(0), "{built:?}");
    }
    for combination in combinations() {
        let work_of_user = Work::new(combination.1);
        let mnt = work_of_user.folder("mnt");
        let programs = ["dynamic", "static", "musl"].map(|n| work.name(n)).join("; ");
        let line = format!(
            "mount -t ummisctime none {mnt} && echo 50 > {mnt}/frequency; \
             echo 5000000 > {mnt}/offset; {programs}; umount {mnt}; {programs}"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        assert_eq!(output.success(), "bad 0\n".repeat(6), "{combination:?}: {output:?}");
    }
}

/// Six threads that read the steady clock until the input ends, and how often it went back.
const SPIN: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int over;
static long back;
static void *look(void *unused) {
    struct timespec now, last = {0};
    struct timeval tv;
    while (!over) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
            __sync_fetch_and_add(&back, 1);
        last = now;
        gettimeofday(&tv, 0);
        time(0);
    }
    return unused;
}
int main(void) {
    pthread_t threads[6];
    char byte;
    for (int i = 0; i < 6; i++) pthread_create(&threads[i], 0, look, 0);
    while (read(0, &byte, 1) == 1) {}
    over = 1;
    for (int i = 0; i < 6; i++) pthread_join(threads[i], 0);
    printf("back %ld\n", back);
    return 0;
}
"#;

#[test]
fn no_thread_sees_the_steady_clock_go_back_when_its_pace_changes() {
    need("gcc", "gcc");
    let built = Work::new(User::Root);
    let source = built.write("spin.c", SPIN);
    let program = built.name("spin");
    let compiled = native(User::Root).run(&format!("gcc -O1 -pthread {source} -o {program}"));
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let mnt = work.folder("mnt");
        let line = format!(
            "mkfifo {mnt}-fifo; for i in 1 2 3; do\n\
             {program} < {mnt}-fifo & exec 9> {mnt}-fifo; mount -t ummisctime none {mnt}\n\
             for f in 2 7 100 1 50 3; do echo $f > {mnt}/frequency; done\n\
             exec 9>&-; wait $!; umount {mnt}; done"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        assert_eq!(output.success(), "back 0\n".repeat(3), "{combination:?}: {output:?}");
    }
}

#[test]
fn root_of_the_view_sets_its_clock_and_not_the_hosts() {
    let work = Work::new(User::Nobody);
    let mnt = work.folder("mnt");
    let line = format!(
        "mount -t ummisctime none {mnt} && date -u -s '2001-02-03 04:05:06' +%F && date -u +%F; \
         umount {mnt}; test $(date +%Y) -gt 2020 && echo host"
    );
    for engine in [Engine::Notify, Engine::Trace] {
        let view = View::of((engine, User::Nobody)).preload("ummisc");
        assert_eq!(view.run(&line).success(), "2001-02-03\n2001-02-03\nhost\n", "{engine:?}");
    }
}

#[test]
fn the_youngest_time_wins_and_a_nested_view_keeps_its_own() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (outer, inner) = (work.folder("outer"), work.folder("inner"));
        let line = format!(
            "mount -t ummisctime none {outer} && echo 1000000000 > {outer}/offset && a=$(date +%s)\n\
             umview sh -c 'date +%s; mount -t ummisctime none {inner} && echo 5000000000 > {inner}/offset; date +%s' > {outer}-out\n\
             c=$(date +%s); {{ read x; read y; }} < {outer}-out\n\
             test $((x - a)) -lt 60 && test $((y - a)) -gt 3999999000 && test $((c - a)) -lt 60 && echo right"
        );
        let output = View::of(combination).preload("ummisc").run(&line);
        assert_eq!(output.success(), "right\n", "{combination:?}: {output:?}");
    }
}

/// Example 8 of the paper, with a clock that prints: two started together, one in a view whose time is twice as fast.
const CLOCK: &str = r#"
import sys, time
begin, last = time.monotonic(), 0
while last < 40:
    time.sleep(0.05)
    last += 1
print("%.3f" % (time.monotonic() - begin))
"#;

#[test]
fn a_clock_in_the_view_runs_at_its_own_pace() {
    need("python3", "python3");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (mnt, program) = (work.folder("mnt"), work.write("clock.py", CLOCK));
        let line = format!(
            "um_add_service ummisc && mount -t ummisctime none {mnt} && echo 20 > {mnt}/frequency && \
             python3 {program}"
        );
        let begin = std::time::Instant::now();
        let output = View::of(combination).run(&line);
        let real = begin.elapsed().as_secs_f64();
        let shown: f64 = output.success().trim().parse().expect("a number");
        assert!(shown >= 2.0, "{combination:?}: forty naps of 0.05 took {shown}");
        assert!(shown > real, "{combination:?}: {shown} in the view, {real} outside");
    }
}
