//! The forms of `umview`: scripts, mounts before the command, login shells, questions.

use e2e::{View, Work, combinations, need};

#[test]
fn a_start_script_runs_in_the_view_before_the_command() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let script = work.write("start", "um_add_service viewfs\nexport A=1\n");
        let view = View::of(combination).folder(work.path()).option("-f").option(&script);
        assert_eq!(
            view.run("um_ls_service | cut -d: -f1; echo $A").success(),
            "viewfs\n1\n",
            "{combination:?}"
        );
    }
}

#[test]
fn a_failing_line_of_a_start_script_is_told_by_number() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let script =
            work.write("start", "um_add_service viewfs\n\nmount -t viewfs /nosuch /nowhere\n");
        let view = View::of(combination).folder(work.path()).option("-f").option(&script);
        let output = view.run("echo not reached");
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(125), ""),
            "{combination:?}: {output:?}"
        );
        assert!(
            output.stderr.contains(&format!("{script}: line 3: ")),
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn the_users_own_script_reports_and_goes_on() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let script = work.write(".viewosrc", "false\nexport A=1\n");
        let output = View::of(combination).folder(work.path()).run("echo $A");
        assert_eq!(output.success(), "1\n", "{combination:?}");
        assert_eq!(
            output.stderr,
            format!("umview: {script}: line 1: `false' ended with status 1\n")
        );
    }
}

#[test]
fn mounts_are_made_in_order_before_the_command() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (a, b) = (work.folder("a"), work.folder("b"));
        work.folder("source");
        work.write("source/file", "text\n");
        let view = View::of(combination)
            .option(&format!("--mount=viewfs:{}:{a}", work.name("source")))
            .option(&format!("--mount=viewfs:{a}:{b}"));
        assert_eq!(
            view.run(&format!("cat {b}/file; um_ls_service | cut -d: -f1")).success(),
            "text\nviewfs\n"
        );
        let view = View::of(combination).option(&format!("--mount=viewfs:/nosuch:{a}"));
        let output = view.run("echo not reached");
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(125), ""),
            "{combination:?}: {output:?}"
        );
        assert!(
            output.stderr.contains("umview: mount: /nosuch on "),
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn as_a_login_shell_umview_starts_the_users_shell_as_one() {
    need("bash", "bash");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let umview = e2e::programs().join("umview");
        // A shell starts umview under the name that login(1) gives.
        let line = format!(
            "exec bash -c 'exec -a -umview {} -c \"echo \\$0; {}/vuname -V\"'",
            umview.display(),
            e2e::programs().display()
        );
        let output = e2e::native(combination.1).folder(work.path()).run(&line);
        if combination.1 == e2e::User::Root {
            assert_eq!(output.success(), "-bash\n0\n", "{output:?}");
        } else {
            // The account has no shell that runs: it says so.
            assert_ne!(output.code, Some(0), "{output:?}");
        }
    }
}

#[test]
fn a_line_for_the_shell_and_no_line_at_all() {
    for combination in combinations() {
        let view = View::of(combination);
        let output = view.clone().option("-c").option("echo $0 $((1+1)); exit 4").command(&[]);
        assert_eq!((output.stdout.as_str(), output.code), ("/bin/sh 2\n", Some(4)), "{output:?}");
        // Without a command $SHELL reads its input.
        let output = view.stdin("echo from the input\n").command(&[]);
        assert_eq!(output.success(), "from the input\n", "{combination:?}");
    }
}

#[test]
fn a_question_has_the_exact_form_and_all_else_is_a_command() {
    for combination in combinations() {
        let view = View::of(combination).preload("viewfs");
        let output = view.run("umview stat --json; umview stat | tail -1");
        let (json, last) = output.success().trim_end().rsplit_once('\n').expect("two answers");
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert!(json["calls"].as_array().is_some_and(|calls| !calls.is_empty()), "{json}");
        assert!(last.ends_with(" notifications"), "{last}");
        let output = view.run("umview tree");
        assert!(output.success().starts_with("view 0 (epoch "), "{output:?}");
        assert!(output.stdout.contains("  services: viewfs\n"), "{output:?}");
        assert_eq!(view.run("umview -- stat -c %F /").success(), "directory\n");
        assert_eq!(view.run("umview stat -c %F /").success(), "directory\n");
    }
}

#[test]
fn explain_says_who_answers() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (source, mnt) = (work.folder("source"), work.folder("mnt"));
        work.write("source/file", "");
        let view = View::of(combination)
            .folder(work.path())
            .option(&format!("--mount=viewfs:{source}:{mnt}"));
        let output =
            view.run("umview explain /etc/passwd; umview explain mnt/file; umview explain /nosuch");
        let expect = format!(
            "/etc/passwd: the host's kernel\n{mnt}/file: the host's kernel\n  on the host: {source}/file\n\
             /nosuch: nobody: it does not exist\n"
        );
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn a_greeting_is_for_terminals() {
    need("script", "bsdutils");
    for combination in combinations() {
        let umview = e2e::programs().join("umview");
        let line = |quiet: &str| {
            format!("script -qec '{} {quiet} -V try echo done' /dev/null", umview.display())
        };
        let native = e2e::native(combination.1);
        let greeted = native.run(&line(""));
        assert!(
            greeted.stdout.starts_with("View-OS ") && greeted.stdout.contains("view try"),
            "{greeted:?}"
        );
        assert_eq!(native.run(&line("-q")).stdout, "done\r\n");
    }
}

#[test]
fn the_name_is_set_and_shown_in_the_prompt() {
    for combination in combinations() {
        let output = View::of(combination)
            .run("viewname; viewname try; viewname; viewname -p; vuname -n; vuname -o");
        let lines: Vec<&str> = output.success().lines().collect();
        assert_eq!((lines[0], lines[1], lines[4]), ("", "try", "GNU/Linux/View-OS"), "{output:?}");
        let host = lines[3].split('.').next().unwrap_or_default();
        assert!(
            lines[2].starts_with(&format!("{host}[")) && lines[2].ends_with(":try]"),
            "{output:?}"
        );
    }
}

#[test]
fn a_shutdown_ends_what_does_not_listen() {
    for combination in combinations() {
        let output = View::of(combination).run("trap '' TERM; umshutdown 0; echo not reached");
        assert_eq!(
            (output.stdout.as_str(), output.signal),
            ("", Some(9)),
            "{combination:?}: {output:?}"
        );
        let output = View::of(combination).run("umshutdown; echo not reached");
        assert_eq!(
            (output.stdout.as_str(), output.signal),
            ("", Some(15)),
            "{combination:?}: {output:?}"
        );
    }
}
