//! strace and gdb inside a view.

use e2e::{View, combinations, need};

#[test]
fn strace_shows_the_calls_of_a_program_and_of_its_children() {
    need("strace", "strace");
    for combination in combinations() {
        for module in ["viewfs", "unreal"] {
            let view = View::of(combination).preload(module);
            let output = view.run(
                "strace -f -e trace=openat,execve -o /dev/stderr sh -c 'cat /etc/hostname; true'",
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
    for combination in combinations() {
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
