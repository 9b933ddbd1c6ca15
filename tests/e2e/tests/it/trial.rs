//! `umview try`: nothing real changes before it is committed, and then all of it or nothing.

use e2e::{Engine, Output, User, View, Work, combinations, need};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// `umview try` in a folder with a base for stores of its own; what `View` puts between program and command ends the
/// options of `umview`, so the words go in as options.
fn try_out(combination: (Engine, User), work: &Work, words: &[&str]) -> Output {
    started(combination, work, words).command(&[])
}

fn started(combination: (Engine, User), work: &Work, words: &[&str]) -> View {
    let mut view = View::of(combination).folder(work.path()).option("try");
    for word in words {
        view = view.option(word);
    }
    view
}

/// A folder with a file of the user's own.
fn home(user: User) -> Work {
    let work = Work::new(user);
    work.write("own", "mine\n");
    work
}

const CHANGE: &str = "id -u; echo more >>own; echo x >added; mkdir -p new/deep; chmod 0 new/deep; chmod 4755 added
    rm -f /etc/hostname; echo '127.0.0.1 tried' >>/etc/hosts; cat own /etc/hosts | tail -1; sleep 1000 & exit 4";

#[test]
fn neither_the_systems_files_nor_the_users_own_are_touched() {
    for combination in combinations() {
        let work = home(combination.1);
        let hosts = fs::read("/etc/hosts").unwrap();
        let output = try_out(combination, &work, &["--no", "sh", "-c", CHANGE]);
        // The process in the background was ended: else its output would be open.
        assert_eq!((output.code, output.stdout.as_str()), (Some(4), "0\n127.0.0.1 tried\n"));
        let folder = work.path().display();
        let expect = format!(
            "umview: 6 changes:\nD /etc/hostname\nM /etc/hosts\nA {folder}/added\nA {folder}/new/ and 1 in it\n\
             M {folder}/own\numview: thrown away\n"
        );
        assert_eq!(output.stderr, expect, "{combination:?}");
        assert_eq!(fs::read("/etc/hosts").unwrap(), hosts);
        assert!(Path::new("/etc/hostname").exists());
        assert_eq!(fs::read_to_string(work.name("own")).unwrap(), "mine\n");
        assert!(!work.path().join("added").exists() && !work.path().join("new").exists());
    }
}

#[test]
fn without_an_answer_the_store_is_kept_and_the_command_to_commit_it_is_told() {
    for combination in combinations() {
        let work = home(combination.1);
        let base = work.folder("tmp");
        let line = "echo more >>own; echo x >added; chmod 6755 added";
        let kept =
            View::of(combination).folder(work.path()).variable("TMPDIR", &base).option("try");
        let kept =
            ["sh", "-c", line].iter().fold(kept, |view, word| view.option(word)).command(&[]);
        assert_eq!(kept.code, Some(0), "{kept:#?}");
        let names: Vec<_> = fs::read_dir(&base).unwrap().flatten().map(|e| e.path()).collect();
        let [store] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!(fs::metadata(store).unwrap().mode() & 0o777, 0o700);
        let told = format!("umview try --store {} --yes", store.display());
        assert!(kept.stderr.contains(&told), "{}", kept.stderr);
        assert!(!work.path().join("added").exists());
        let store = store.to_str().unwrap();
        let done = try_out(combination, &work, &["--store", store, "--yes"]);
        assert_eq!(done.code, Some(0), "{done:#?}");
        assert!(done.stderr.ends_with("umview: 2 changes committed\n"), "{}", done.stderr);
        assert_eq!(fs::read_to_string(work.name("own")).unwrap(), "mine\nmore\n");
        let added = fs::metadata(work.name("added")).unwrap();
        // What virtual root made is the user's, and then without set-id bits.
        let uid = combination.1.uid();
        let mode = if uid == 0 { 0o6755 } else { 0o755 };
        assert_eq!((added.uid(), added.mode() & 0o7777), (uid, mode), "{combination:?}");
        assert_eq!(done.stderr.contains("of 1 the owner is nobody, "), uid != 0, "{}", done.stderr);
        let again = try_out(combination, &work, &["--store", store]);
        assert_eq!(again.stderr, "umview: nothing was changed\n");
    }
}

#[test]
fn a_commit_that_can_not_be_whole_changes_nothing_and_keeps_the_store() {
    for combination in combinations().into_iter().filter(|(_, user)| user.ids().is_some()) {
        let work = home(combination.1);
        let store = work.name("store");
        let words = [
            "--store",
            &store,
            "--yes",
            "sh",
            "-c",
            "echo x >>/etc/hosts; echo x >added; echo done",
        ];
        let output = try_out(combination, &work, &words);
        assert_eq!((output.code, output.stdout.as_str()), (Some(123), "done\n"), "{output:#?}");
        for sentence in [
            "umview: /etc/hosts: /etc: Permission denied\n",
            "umview: nothing was committed: 1 of 2 changes can't be made by this user; root may\n",
            &format!("umview: kept in {store}\n"),
        ] {
            assert!(output.stderr.contains(sentence), "{sentence}{}", output.stderr);
        }
        assert!(!work.path().join("added").exists());
        // It goes on where it was.
        let on = try_out(
            combination,
            &work,
            &["--store", &store, "sh", "-c", "cat added; tail -n1 /etc/hosts"],
        );
        assert_eq!(on.success(), "x\nx\n");
    }
}

#[test]
fn root_commits_what_a_user_tried_with_the_owners_of_the_view() {
    for (engine, user) in combinations().into_iter().filter(|(_, user)| user.ids().is_some()) {
        let (work, roots) = (home(user), Work::new(User::Root));
        let (store, target) = (work.name("store"), roots.name("tool"));
        let line = format!(
            "echo x >{target}; chmod 4755 {target}; echo y >{target}.d; chown daemon:games {target}.d"
        );
        let tried =
            try_out((engine, user), &work, &["--store", &store, "--yes", "sh", "-c", &line]);
        assert_eq!(tried.code, Some(123), "{tried:#?}");
        assert!(!Path::new(&target).exists());
        let done = try_out((engine, User::Root), &work, &["--store", &store, "--yes"]);
        assert_eq!(done.code, Some(0), "{done:#?}");
        let said = e2e::native(User::Root).run(&format!("stat -c '%U %G %a' {target} {target}.d"));
        assert_eq!(said.success(), "root root 4755\ndaemon games 644\n");
    }
}

#[test]
fn nothing_is_committed_after_a_failure_and_a_signal_is_passed_on() {
    for combination in combinations() {
        let work = home(combination.1);
        let store = work.name("store");
        let failed = try_out(
            combination,
            &work,
            &["--store", &store, "--yes", "sh", "-c", "echo x >a; exit 7"],
        );
        assert_eq!(failed.code, Some(7));
        assert!(
            failed.stderr.contains("nothing was committed: the command failed"),
            "{}",
            failed.stderr
        );
        let killed = try_out(combination, &work, &["--no", "sh", "-c", "echo x >a; kill -KILL $$"]);
        assert_eq!((killed.code, killed.signal), (None, Some(9)), "{killed:#?}");
        let missing = try_out(combination, &work, &["no-such-program"]);
        assert_eq!((missing.code, missing.stderr.contains("no-such-program")), (Some(127), true));
        assert!(!work.path().join("a").exists());
    }
}

#[test]
fn throwing_away_does_not_mind_modes_and_never_takes_a_folder_that_is_no_store() {
    for combination in combinations() {
        let work = home(combination.1);
        let store = work.name("store");
        let line =
            "mkdir -p a/b/c; echo x >a/b/c/d; chmod 0 a/b/c/d a/b/c a/b a; ls -ld a | cut -c1-10";
        let output = try_out(combination, &work, &["--store", &store, "sh", "-c", line]);
        assert_eq!(output.success(), "d---------\n");
        // As a person may have left it.
        let copied = format!("{store}{}", work.name("a"));
        fs::set_permissions(&copied, fs::Permissions::from_mode(0o0)).unwrap();
        assert_eq!(try_out(combination, &work, &["--store", &store, "--no"]).code, Some(0));
        assert!(!Path::new(&store).exists());
        // Error: the user's own folder.
        let refused = try_out(combination, &work, &["--store", ".", "--no"]);
        assert_eq!(refused.code, Some(125), "{refused:#?}");
        assert!(refused.stderr.contains("no store and not empty"), "{}", refused.stderr);
        assert!(work.path().join("own").exists());
    }
}

#[test]
fn what_is_excepted_is_real_and_mincow_protects_only_what_is_not_the_users() {
    for combination in combinations() {
        let work = home(combination.1);
        work.folder("real");
        let line = "echo x >real/a; echo x >b";
        let output = try_out(combination, &work, &["--no", "--except", "real", "sh", "-c", line]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(work.path().join("real/a").exists() && !work.path().join("b").exists());
        let line = "echo x >c; id -u";
        let output =
            try_out(combination, &work, &["--no", "--mincow", "--own-ids", "sh", "-c", line]);
        assert_eq!(output.success(), format!("{}\n", combination.1.uid()));
        assert_eq!(output.stderr, "umview: nothing was changed\n");
        assert!(work.path().join("c").exists());
    }
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    need("script", "bsdutils");
    const QUESTION: &str = "[c]ommit, [k]eep, [d]iff, [t]hrow away? [t] ";
    let table: [(&[&str], bool); 4] =
        [(&["x", "d", "commit"], true), (&[""], false), (&["k"], false), (&["x", "t"], false)];
    for (answers, is_there) in table {
        let work = Work::new(User::Nobody);
        let umview = e2e::programs().join("umview");
        let line = "echo early; read line; echo added line >new";
        let line = format!("TMPDIR=$PWD {} -q try sh -c \"{line}\"", umview.display());
        let mut started = e2e::native(User::Nobody).folder(work.path()).start(&[
            "script",
            "-qec",
            &line,
            "/dev/null",
        ]);
        started.read_until("early");
        // The second line is typed too early to be an answer.
        started.write("for the command\nc\n");
        let mut text = String::new();
        for answer in answers {
            text.push_str(&started.read_until(QUESTION));
            started.write(&format!("{answer}\n"));
        }
        let output = started.finish();
        assert_eq!(output.success().matches(QUESTION).count(), answers.len(), "{output:#?}");
        assert_eq!(output.stdout.contains("+added line"), answers.contains(&"d"), "{output:#?}");
        assert_eq!(work.path().join("new").exists(), is_there, "{output:#?}");
        let stores = fs::read_dir(work.path()).unwrap().flatten();
        let stores =
            stores.filter(|e| e.file_name().to_string_lossy().starts_with("umview-try-")).count();
        assert_eq!(stores, usize::from(answers == ["k"]), "{output:#?}");
    }
}

#[test]
fn a_store_in_use_is_neither_thrown_away_nor_committed() {
    let combination = combinations()[0];
    let work = home(combination.1);
    let store = work.name("store");
    let view =
        View::of(combination).folder(work.path()).option("try").option("--store").option(&store);
    let mut first =
        view.option("sh").option("-c").option("echo x >a; echo ready; read line").start(&[]);
    first.read_until("ready");
    for flag in ["--no", "--yes"] {
        let second = try_out(combination, &work, &["--store", &store, flag]);
        assert_eq!(second.code, Some(123), "{second:#?}");
    }
    assert!(Path::new(&store).join(work.name("a").trim_start_matches('/')).exists());
    assert_eq!(first.finish().code, Some(1));
}

#[test]
fn inside_a_view_it_is_over_what_the_view_shows_and_commits_to_that() {
    for combination in combinations() {
        let work = home(combination.1);
        let view = View::of(combination).folder(work.path()).option("--mount=umfusemem:none:/mnt");
        let change = "cat /mnt/a; echo new >>/mnt/a; ls -R /mnt /etc/apt >/dev/null; sleep 1000 &";
        let line = format!(
            "echo old >/mnt/a; umview try --no sh -c '{change}' 2>told; cat /mnt/a; tail -n1 told
            umview try --store s --yes sh -c '{change}' 2>&1 | tail -n2; cat /mnt/a
            umview try --no sh -c 'echo x >own; kill -KILL $$' 2>/dev/null; echo $?; cat own; umview tree | grep -c 'type viewfs'"
        );
        let expect = "old\nold\numview: thrown away\nM /mnt/a\numview: 1 change committed\nold\nnew\n137\nmine\n0\n";
        let said = view.run(&line);
        assert_eq!(said.stdout, expect, "{combination:?} {said:#?}");
    }
}

#[test]
fn a_trial_in_a_trial_commits_to_the_outer_one() {
    for combination in combinations() {
        let work = home(combination.1);
        let inner = "echo inner >>own; chown daemon own; rm /etc/hostname";
        let line = format!(
            "echo outer >>own; umview try --yes sh -c '{inner}' 2>&1 | tail -n1; cat own; stat -c %U own; ls /etc/hostname 2>&1"
        );
        let output = try_out(combination, &work, &["--no", "sh", "-c", &line]);
        let expect = "umview: 2 changes committed\nmine\nouter\ninner\ndaemon\n\
                      ls: cannot access '/etc/hostname': No such file or directory\n";
        assert_eq!(output.stdout, expect, "{combination:?} {output:#?}");
        assert!(Path::new("/etc/hostname").exists());
        assert_eq!(fs::read_to_string(work.name("own")).unwrap(), "mine\n");
    }
}

#[test]
fn where_views_may_not_nest_a_trial_may_not_either() {
    let work = home(User::Root);
    let output = View::new().folder(work.path()).option("-x").run("umview try sh -c 'echo x >own'");
    assert_eq!((output.code, output.stdout.as_str()), (Some(125), ""), "{output:#?}");
    assert!(output.stderr.contains("no nested views"), "{}", output.stderr);
    assert_eq!(fs::read_to_string(work.name("own")).unwrap(), "mine\n");
}
