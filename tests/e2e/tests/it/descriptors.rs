//! Descriptors of virtual files, and the numbers they get.

use e2e::{View, Work, combinations, need};

#[test]
fn descriptors_of_two_processes_at_a_time_have_the_lowest_free_numbers() {
    need("perl", "perl");
    for combination in combinations() {
        // The first virtual file that a process opens has it trapped for more calls, by the one tracer of the view.
        let one = "perl -e 'open F, \"/proc/filesystems\" or die; print fileno F'";
        let line = format!("for i in $(seq 15); do {one} & {one} & {one} & wait; done");
        let output = View::of(combination).preload("umproc").run(&line);
        assert_eq!(output.success(), "3".repeat(45), "{combination:?}: {output:?}");
    }
}

#[test]
fn a_descriptor_that_is_only_a_path_leads_where_it_should() {
    need("python3", "python3");
    for combination in combinations() {
        let script = "import os; d = os.open('/unreal/etc', os.O_PATH); \
                      print(os.stat('passwd', dir_fd=d).st_ino == os.stat('/etc/passwd').st_ino); \
                      print(os.readlink(f'/proc/self/fd/{d}')); \
                      f = os.open('passwd', os.O_PATH, dir_fd=d); print(os.fstat(f).st_size > 0)";
        let output =
            View::of(combination).preload("unreal").command(&["/usr/bin/python3", "-c", script]);
        assert_eq!(output.success(), "True\n/unreal/etc\nTrue\n", "{combination:?}: {output:?}");
    }
}

#[test]
fn a_signal_before_a_call_that_is_made_anew_does_not_lose_it() {
    need("bash", "bash");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("unreal").folder(work.path());
        // A child's end comes as SIGCHLD while the shell makes files under another name of their folder.
        let line = format!(
            "cd /unreal{}; for i in $(seq 40); do /bin/true & echo $i >out$i; done; wait; cat out* | wc -l",
            work.path().display()
        );
        let output = view.command(&["bash", "-c", &line]);
        assert_eq!((output.success(), output.stderr.as_str()), ("40\n", ""), "{combination:?}");
    }
}
