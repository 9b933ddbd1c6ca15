//! Other users of the view.

use e2e::{View, Work, combinations};

#[test]
fn viewsu_is_root_and_its_files_are_of_who_started_the_view() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).folder(work.path());
        let output = view.run("viewsu -c 'id; echo $HOME $SHELL; touch made; stat -c %u made'");
        // Owners are virtual where viewfs keeps them (vstat), and nowhere else.
        let expect = format!(
            "uid=0(root) gid=0(root) groups=0(root)\n/root /bin/bash\n{}\n",
            combination.1.uid()
        );
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn ids_are_of_the_process_that_asked_and_of_its_children() {
    for combination in combinations() {
        let line = "id -u; viewsu -s /bin/sh -c 'id -u; sh -c \"id -ru\"' daemon; id -u";
        let output = View::of(combination).run(line);
        let own = combination.1.uid();
        assert_eq!(
            output.success(),
            format!("{own}\n1\n1\n{own}\n"),
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn a_login_has_an_environment_of_its_own() {
    for combination in combinations() {
        let shell = "pwd; echo $0 $A $USER $LOGNAME $HOME $SHELL; echo $PATH";
        let output =
            View::of(combination).run(&format!("A=1 viewsu - daemon -s /bin/sh -c '{shell}'"));
        let expect = "/usr/sbin\n-sh daemon daemon /usr/sbin /bin/sh\n\
                      /usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games\n";
        assert_eq!(output.success(), expect, "{combination:?}: {output:?}");
    }
}

#[test]
fn viewsudo_runs_a_command_as_who_is_wanted() {
    for combination in combinations() {
        let view = View::of(combination);
        for (line, expect) in [
            ("viewsudo id -un", "root\n"),
            ("viewsudo -u daemon id -un", "daemon\n"),
            (
                "viewsudo -u daemon -g games id",
                "uid=1(daemon) gid=60(games) groups=60(games),1(daemon)\n",
            ),
            ("viewsudo -u '#4242' id -u", "4242\n"),
            ("viewsudo A='b c' sh -c 'echo $A $USER'", "b c root\n"),
            ("viewsudo -s echo 'a  b'", "a  b\n"),
            ("viewsudo sh -c 'exit 9' || echo $?", "9\n"),
            ("viewsudo no-such-command 2>/dev/null || echo $?", "127\n"),
            ("viewsudo -u daemon sh -c 'kill -TERM $$' 2>/dev/null || echo $?", "143\n"),
        ] {
            assert_eq!(view.run(line).success(), expect, "{combination:?}: {line}");
        }
        let nobody = view.run("viewsudo -u nosuchuser id");
        assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(1), ""), "{nobody:?}");
        assert!(nobody.stderr.contains("no user nosuchuser"), "{nobody:?}");
    }
}

#[test]
fn without_vstat_a_files_owner_is_the_hosts_to_change() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).folder(work.path());
        let line = "touch f; viewsudo chown daemon f 2>/dev/null; echo $?; stat -c %u f";
        let expect = match combination.1.uid() {
            0 => "0\n1\n".to_owned(),
            uid => format!("1\n{uid}\n"),
        };
        assert_eq!(view.run(line).success(), expect, "{combination:?}");
    }
}

#[test]
fn umview_starts_a_command_as_virtual_root() {
    for combination in combinations() {
        let view = View::of(combination).option("--su");
        assert_eq!(view.run("id -u; echo $HOME").success(), "0\n/root\n", "{combination:?}");
        let view = View::of(combination).option("--su=daemon");
        assert_eq!(view.run("id -un; echo $USER").success(), "daemon\ndaemon\n", "{combination:?}");
    }
}
