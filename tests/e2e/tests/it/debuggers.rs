//! strace and gdb inside a view.

use e2e::{Engine, User, View, Work, combinations, need};

/// A process has one tracer: where calls are intercepted by ptrace alone, ptrace is not there for the view.
fn by_notification() -> impl Iterator<Item = (Engine, User)> {
    combinations().into_iter().filter(|(engine, _)| *engine == Engine::Notify)
}

#[test]
fn strace_shows_the_calls_of_a_program_and_of_its_children() {
    need("strace", "strace");
    for combination in by_notification() {
        for module in ["viewfs", "unreal"] {
            let work = Work::new(combination.1);
            let view = View::of(combination).preload(module).folder(work.path());
            let output = view.run(
                "strace -f -e trace=openat,execve -o trace sh -c 'cat /etc/hostname; true' && cat trace >&2",
            );
            assert_eq!(output.code, Some(0), "{combination:?} {module}: {output:?}");
            assert!(
                output.stderr.contains("openat(AT_FDCWD, \"/etc/hostname\""),
                "{combination:?}: {output:?}"
            );
            assert!(output.stderr.contains("+++ exited with 0 +++"), "{combination:?}: {output:?}");
        }
    }
}

#[test]
fn gdb_stops_a_program_where_it_is_told_to() {
    need("gdb", "gdb");
    for combination in by_notification() {
        let view = View::of(combination).preload("unreal");
        let output = view.run(
            "gdb -q -nx -batch -ex 'set startup-with-shell off' -ex 'catch syscall exit_group' -ex run -ex 'info inferiors' \
             -ex continue --args /bin/echo from-below 2>&1",
        );
        assert!(output.stdout.contains("from-below"), "{combination:?}: {output:?}");
        assert!(
            output.stdout.contains("Catchpoint 1 (call to syscall exit_group)"),
            "{combination:?}: {output:?}"
        );
        assert!(output.stdout.contains("exited normally"), "{combination:?}: {output:?}");
    }
}

#[test]
fn where_ptrace_intercepts_a_debugger_is_refused() {
    need("strace", "strace");
    for combination in combinations().into_iter().filter(|(engine, _)| *engine == Engine::Trace) {
        let output = View::of(combination).preload("unreal").run("strace true");
        assert_ne!(output.code, Some(0), "{combination:?}: {output:?}");
        assert!(output.stderr.contains("Function not implemented"), "{combination:?}: {output:?}");
    }
}

#[test]
fn a_debugger_runs_programs_that_only_the_view_has() {
    need("strace", "strace");
    need("gdb", "gdb");
    for combination in by_notification() {
        let work = Work::new(combination.1);
        let view = View::of(combination).folder(work.path());
        // The program lies in the store of an overlay; the shell holds virtual descriptors when it starts strace.
        let output = view.run(
            "mkdir store && umview -q --mount viewfs:$PWD/store:/:cow,except=/tmp sh -c 'cp /bin/echo /usr/bin/echoed; ls /usr/bin >list; \
             strace -f -o trace sh -c \"/usr/bin/echoed one; /usr/bin/echoed two\"; grep -c exited trace; \
             gdb -q -nx -batch -ex \"set startup-with-shell off\" -ex run --args /usr/bin/echoed three 2>&1'",
        );
        assert!(output.stdout.contains("one\ntwo\n"), "{combination:?}: {output:?}");
        assert!(output.stdout.contains("three\n"), "{combination:?}: {output:?}");
        assert!(output.stdout.contains("exited normally"), "{combination:?}: {output:?}");
    }
}

#[test]
fn a_process_tree_that_was_served_data_is_not_handed_to_a_debugger() {
    need("strace", "strace");
    for combination in by_notification() {
        let work = Work::new(combination.1);
        let view = View::of(combination).option("--no-fuse").preload("umfuse").folder(work.path());
        let output = view.run(
            "mkdir mnt; mount -t umfusemem none mnt; echo x >mnt/f; strace true; echo $?; cat mnt/f",
        );
        assert!(output.stdout.contains("1\nx\n"), "{combination:?}: {output:?}");
        assert!(
            output.stderr.contains("start the debugger from a new"),
            "{combination:?}: {output:?}"
        );
    }
}
