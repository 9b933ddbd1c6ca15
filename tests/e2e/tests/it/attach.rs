//! Running processes that are taken into a view.

use e2e::{View, Work, combinations, need};

/// Three threads that wait for a line each and list the folder; the third one's listing is a child's.
const THREADS: &str = r#"
import os, queue, subprocess, sys, threading
asks, answers = [queue.Queue() for _ in range(3)], queue.Queue()
def look(number):
    while True:
        folder = asks[number].get()
        if number == 2:
            names = subprocess.run(["ls", folder], capture_output=True, text=True).stdout.split()
        else:
            names = sorted(os.listdir(folder))
        answers.put("%d %s" % (number, ",".join(names)))
for number in range(3):
    threading.Thread(target=look, args=(number,), daemon=True).start()
kept = open("/etc/hostname")
print("ready", flush=True)
for line in sys.stdin:
    for ask in asks:
        ask.put(line.strip())
        print(answers.get(), flush=True)
    print("main", ",".join(sorted(os.listdir(line.strip()))), len(kept.read()) >= 0, flush=True)
"#;

#[test]
fn a_running_program_with_threads_sees_the_mount_of_the_view_that_takes_it() {
    need("python3", "python3");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (mnt, source) = (work.folder("mnt"), work.folder("source"));
        work.write("source/bin", "");
        work.write("source/etc", "");
        let program = work.write("threads.py", THREADS);
        let mut outside = e2e::native(combination.1).start(&["/usr/bin/python3", &program]);
        let _ = outside.read_until("ready");
        outside.write(&format!("{mnt}\n"));
        let before = outside.read_until("main ");
        assert!(before.contains("0 \n1 \n2 \nmain "), "{combination:?}: {before}");

        let line =
            format!("viewmount -t viewfs {source} {mnt} && um_attach {} && cat", outside.pid());
        let mut view = View::of(combination).preload("viewfs").start(&[
            "sh",
            "-c",
            &format!("{line} && echo end"),
        ]);
        view.write("attached\n");
        let _ = view.read_until("attached");
        outside.write(&format!("{mnt}\n"));
        let after = outside.read_until("main bin");
        let expect = "0 bin,etc\n1 bin,etc\n2 bin,etc\nmain bin,etc True\n";
        let output = outside.finish();
        assert!(after.contains("2 bin,etc\nmain bin"), "{combination:?}: {after}");
        assert!(output.success().ends_with(expect), "{combination:?}: {output:?}");
        assert_eq!(view.finish().success(), "attached\nend\n", "{combination:?}");
    }
}

#[test]
fn a_process_of_another_user_or_of_the_view_itself_is_refused() {
    for combination in combinations() {
        let output = View::of(combination).run("um_attach $$");
        assert_eq!(output.code, Some(1), "{combination:?}: {output:?}");
        assert!(output.stderr.contains("is in a view of this monitor already"), "{output:?}");
        if combination.1 == e2e::User::Nobody {
            let output = View::of(combination).run("um_attach 1");
            assert_eq!(output.code, Some(1), "{combination:?}: {output:?}");
            assert!(output.stderr.contains("can't be traced"), "{output:?}");
        }
    }
}
