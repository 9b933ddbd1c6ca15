//! How the first process lives and ends.

use e2e::{View, Work, combinations};

#[test]
fn the_exit_status_is_the_commands() {
    for combination in combinations() {
        for code in [0, 1, 7, 125, 255] {
            let output = View::of(combination).run(&format!("exit {code}"));
            assert_eq!(output.code, Some(code), "{combination:?}");
        }
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_umview() {
    for combination in combinations() {
        for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
            let output = View::of(combination).run(&format!("ulimit -c 0; kill -{name} $$"));
            assert_eq!(output.signal, Some(number), "{combination:?} {name}: {output:?}");
        }
    }
}

#[test]
fn input_and_output_are_pipes_with_nothing_added() {
    for combination in combinations() {
        let view = View::of(combination).stdin("one\ntwo\n");
        let output = view.run("cat; echo three >&2");
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("one\ntwo\n", "three\n"),
            "{combination:?}"
        );
    }
}

#[test]
fn a_mebibyte_goes_through() {
    for combination in combinations() {
        let text = "0123456789abcde\n".repeat(1 << 16);
        let output = View::of(combination).stdin(&text).command(&["cat"]);
        assert!(output.success() == text, "{combination:?}: {} bytes", output.stdout.len());
    }
}

#[test]
fn what_can_not_be_executed_has_the_status_of_shells() {
    for combination in combinations() {
        let view = View::of(combination);
        let missing = view.command(&["no-such-program"]);
        assert_eq!(missing.code, Some(127), "{missing:?}");
        assert!(missing.stderr.contains("no-such-program"), "{missing:?}");
        let no_program = view.command(&["/etc/passwd"]);
        assert_eq!(no_program.code, Some(126), "{no_program:?}");
        let no_option = view.clone().option("--nosuch").run("true");
        assert_eq!((no_option.code, no_option.stdout.as_str()), (Some(125), ""), "{no_option:?}");
        let no_module = view.clone().preload("nosuch").run("true");
        assert_eq!(no_module.code, Some(125), "{no_module:?}");
        assert!(no_module.stderr.contains("no module nosuch"), "{no_module:?}");
    }
}

#[test]
fn a_process_left_behind_runs_on_after_umview_ends() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let fifo = work.name("fifo");
        let view = View::of(combination).folder(work.path());
        // The reader below waits for what the process left behind writes.
        let line = format!("mkfifo {fifo}; (exec <&- >&- 2>&-; echo later >{fifo}) & exit 3");
        assert_eq!(view.run(&line).code, Some(3), "{combination:?}");
        let read = e2e::native(combination.1).run(&format!("cat {fifo}"));
        assert_eq!(read.success(), "later\n", "{combination:?}");
    }
}

#[test]
fn arguments_arrive_as_they_are() {
    for combination in combinations() {
        let words = ["printf", "%s|", "a b", "", "'", "\"", "\\", "--su", "-p"];
        let output = View::of(combination).command(&words);
        assert_eq!(output.success(), "a b||'|\"|\\|--su|-p|", "{combination:?}");
    }
}
