//! Views in views.

use e2e::{View, Work, combinations};

#[test]
fn a_nested_view_sees_old_mounts_and_keeps_its_own() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (a, b, c) = (work.folder("a"), work.folder("b"), work.folder("c"));
        for (folder, name) in [("src1", "one"), ("src2", "two"), ("src3", "three")] {
            work.folder(folder);
            work.write(&format!("{folder}/{name}"), "");
        }
        let mount = |source: &str, target: &str| {
            format!("viewmount -t viewfs {} {target}", work.name(source))
        };
        // The nested view's second look is after a mount of the view around it, which it must not see.
        let inner = format!("{}; ls {a} {b}; echo >{b}-up; read x; ls {c}", mount("src2", &b));
        let line = format!(
            "{}; mkfifo {b}-fifo; umview sh -c '{inner}' <{b}-fifo >{b}-out & exec 9>{b}-fifo; \
             while ! [ -e {b}-up ]; do sleep 0.05; done; ls {b}; {}; ls {c}; echo go >&9; wait; cat {b}-out",
            mount("src1", &a),
            mount("src3", &c),
        );
        let output = View::of(combination).preload("viewfs").folder(work.path()).run(&line);
        assert_eq!(
            output.success(),
            format!("three\n{a}:\none\n\n{b}:\ntwo\n"),
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn modules_and_mounts_of_a_nested_view_are_its_own() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let mnt = work.folder("mnt");
        let line = format!(
            "umview -p umfuse --mount viewfs:/usr:{mnt} sh -c 'ls -d {mnt}/bin; um_ls_service | cut -d: -f1 | sort; \
             viewname'; um_ls_service | cut -d: -f1; ls {mnt}"
        );
        let output = View::of(combination).preload("umdev").run(&line);
        let expect = format!("{mnt}/bin\numdev\numfuse\nviewfs\n\numdev\n");
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn nested_views_have_names_and_numbers() {
    for combination in combinations() {
        let view = View::of(combination).option("-V").option("outer");
        let output = view
            .run("vuname -VN; umview -V inner sh -c 'vuname -VN; umview vuname -V'; vuname -VN");
        assert_eq!(output.success(), "0 outer\n1 inner\n2\n0 outer\n", "{combination:?}");
    }
}

#[test]
fn no_nesting_is_refused_where_the_first_view_said_so() {
    for combination in combinations() {
        let output = View::of(combination).option("-x").run("umview true");
        assert_eq!((output.code, output.stdout.as_str()), (Some(125), ""), "{output:?}");
        assert!(output.stderr.contains("started with -x"), "{output:?}");
    }
}

#[test]
fn a_nested_view_ends_alone() {
    for combination in combinations() {
        // The nested view's processes end by KILL: its shell does not hear TERM.
        let line = "umview sh -c 'trap : TERM; umshutdown 0; echo not reached'; echo $?; viewname -p >/dev/null";
        let output = View::of(combination).run(line);
        assert_eq!(output.success(), "137\n", "{combination:?}: {output:?}");
    }
}
