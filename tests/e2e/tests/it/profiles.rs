//! `umview --profile`: a view that starts as a file says, and the file that a running view makes.

use e2e::{User, View, Work, combinations, need};
use std::fs;

fn with_profile(combination: (e2e::Engine, User), work: &Work, profile: &str) -> View {
    View::of(combination).folder(work.path()).option("-q").option("--profile").option(profile)
}

const FULL: &str = r#"
name = "full"
services = ["umfuse"]
directory = "/usr"
command = ["sh", "-c", "id; pwd"]

[parameters.who]
help = "a name"

[aliases]
mem = "umfusemem"

[[mounts]]
type = "mem"
target = "/mnt"

[ids]
uid = 5
gid = 6
groups = [6, 7]

[time]
frequency = 1
offset = 1000000000

[uname]
nodename = "paper"

[environment]
GREETING = "hello ${who}, $$5"
"#;

#[test]
fn every_table_of_a_profile_does_what_it_says() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        work.write("full.toml", FULL);
        let view =
            with_profile(combination, &work, "full.toml").option("--set").option("who=world");
        let line = "echo $GREETING; uname -n; viewname; stat -f -c %T /mnt | head -c 3; echo; echo x >/mnt/a && cat /mnt/a";
        let said = view.run(&format!(
            "{line}; test $(date +%s) -gt $(($(stat -c %Y .) + 900000000)) && echo later"
        ));
        let expect = "hello world, $5\npaper\nfull\n";
        assert!(said.stdout.starts_with(expect), "{said:#?}");
        assert!(said.stdout.ends_with("x\nlater\n"), "{said:#?}");
        // Its own command, in its directory with its ids.
        let own = view.command(&[]);
        let words: Vec<&str> = own.success().split_whitespace().collect();
        assert!(words[0].starts_with("uid=5(") && words[1].starts_with("gid=6("), "{words:?}");
        assert!(words[2].starts_with("groups=6(") && words[2].contains(",7("), "{words:?}");
        assert_eq!(words[3], "/usr");
        // The command line wins, and adds.
        let more =
            view.clone().option("--su").option("-Vother").option("--mount=umfusemem:none:/media");
        assert_eq!(
            more.run("id -u; viewname; echo y >/media/b; ls /media").success(),
            "0\nother\nb\n"
        );
    }
}

/// A profile is printed, a view is started with it, and prints the same.
#[test]
fn a_view_started_with_a_printed_profile_has_the_same_services_and_mounts() {
    need("sfdisk", "fdisk");
    need("mkfs.ext2", "e2fsprogs");
    for combination in combinations() {
        let work = Work::new(combination.1);
        work.folder("tree");
        work.folder("here/sub");
        let first = View::of(combination).folder(work.path()).option("-q").option("-Vfirst");
        let line = "um_add_service umdev umfuse viewfs ummisc; um_fsalias ext2 umfuseext2
            truncate -s 8M disk; echo 'start=2048, type=83' | sfdisk -q disk
            mount -t umdevmbr disk /dev/hda; mkfs.ext2 -q /dev/hda1
            mount -t umfuseext2 -o rw+ /dev/hda1 /mnt; mkdir /mnt/kept
            cd here; mount -t viewfs -o nosuid ../tree sub
            mount -t ummisctime none /clock; echo 4 >/clock/frequency; echo 500 >/clock/offset
            mount -t ummiscuname none /media; hostname paper
            umview -Vinner sh -c 'mount -t umfusemem -o size=1M none /srv; viewsu -c \"umview --print-profile\"'";
        let printed = first.run(line);
        let text = printed.success();
        for part in [
            "name = \"inner\"",
            "ext2 = \"umfuseext2\"",
            "frequency = 4.0",
            "nodename = \"paper\"",
            "uid = 0",
            "here/sub\"\noptions = \"nosuid\"",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let profile = work.write("again.toml", text);
        let again = with_profile(combination, &work, &profile);
        let line = "umview --print-profile; echo ====; ls /mnt; viewname; mount -t umfusemem | wc -l; id -u";
        let said = again.run(line);
        // The clock has gone on, by four seconds each second, between its setting and its printing.
        let (same, rest) = said.success().split_once("====\n").unwrap_or_default();
        let without_offset = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with("offset = "));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_offset(same).trim_end(), without_offset(text).trim_end());
        assert_eq!(rest, "kept\nlost+found\ninner\n1\n0\n");
    }
}

#[test]
fn the_profiles_that_are_built_in_do_what_their_descriptions_say() {
    need("mkfs.ext2", "e2fsprogs");
    for combination in combinations() {
        let work = Work::new(combination.1);
        work.folder("store");
        let in_try = with_profile(combination, &work, "try").option("--set").option("store=store");
        let line = "id -u; echo x >/etc/viewos-test && cat /etc/viewos-test";
        assert_eq!(in_try.run(line).success(), "0\nx\n");
        assert!(!std::path::Path::new("/etc/viewos-test").exists());

        let make = "mkdir t; echo inside >t/f; /sbin/mkfs.ext2 -q -d t image.img 1M";
        assert_eq!(e2e::native(combination.1).folder(work.path()).run(make).code, Some(0));
        let in_image =
            with_profile(combination, &work, "image").option("--set").option("image=image.img");
        assert_eq!(
            in_image.run("cat /mnt/f; echo x 2>&- >/mnt/g || echo read-only").success(),
            "inside\nread-only\n"
        );

        let make = "truncate -s 4M disk.img; echo 'start=2048, type=83' | /sbin/sfdisk -q disk.img";
        assert_eq!(e2e::native(combination.1).folder(work.path()).run(make).code, Some(0));
        let in_disk =
            with_profile(combination, &work, "disk").option("--set").option("disk=disk.img");
        assert_eq!(in_disk.run("ls /dev/hda1").success(), "/dev/hda1\n");

        let make =
            "mkdir -p r/dev r/proc r/sys r/etc r/bin; echo root:x:0:0::/:/bin/sh >r/etc/passwd
            cp /bin/sh /bin/ls /usr/bin/id r/bin
            for l in $(ldd /bin/sh /bin/ls /usr/bin/id | grep -o '/lib[^ ]*' | sort -u); do
                mkdir -p r${l%/*}; cp $l r$l
            done";
        assert_eq!(e2e::native(combination.1).folder(work.path()).run(make).code, Some(0));
        let root = work.name("r");
        let in_root = with_profile(combination, &work, "chroot")
            .option("--set")
            .option(&format!("root={root}"));
        let said =
            in_root.run("pwd; id -u; ls -d /dev/null /proc/self/status /sys/kernel; ls /etc");
        assert_eq!(said.success(), "/\n0\n/dev/null\n/proc/self/status\n/sys/kernel\npasswd\n");
    }
}

#[test]
fn a_profile_that_can_not_be_read_keeps_the_view_from_starting() {
    let work = Work::new(User::Nobody);
    work.write("bad.toml", "services = []\n[[mounts]]\ntype = 'viewfs'\ntargte = '/'\n");
    let view = View::new().user(User::Nobody).folder(work.path());
    let started =
        |words: &[&str]| words.iter().fold(view.clone(), |v, w| v.option(w)).run("echo started");
    let table: [(&[&str], &str); 5] = [
        (
            &["--profile", "bad.toml"],
            "umview: bad.toml:4:1: unknown key `targte`; did you mean `target`?\n",
        ),
        (
            &["--profile", "./none"],
            "umview: profile ./none: No such file or directory (os error 2)\n",
        ),
        (
            &["--profile", "nosuch"],
            "umview: no profile nosuch: umview --list-profiles lists them, and a file needs a slash or .toml\n",
        ),
        (
            &["--profile", "image"],
            "umview: profile image: parameter image is not set: --set image=\"the image\"\n",
        ),
        (&["--set", "a=b"], "umview: --set is for the parameters of a --profile\n"),
    ];
    for (words, sentence) in table {
        let said = started(words);
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (Some(125), "", sentence),
            "{words:?}"
        );
    }
}

#[test]
fn a_users_own_profile_is_found_by_its_name_and_listed() {
    let work = Work::new(User::Nobody);
    work.folder(".config/umview/profiles");
    work.write(
        ".config/umview/profiles/mine.toml",
        "description = \"of my own\"\ncommand = [\"echo\", \"mine\"]\n",
    );
    let view = View::new().user(User::Nobody).folder(work.path());
    let list = view.clone().option("--list-profiles").command(&[]);
    let file = work.name(".config/umview/profiles/mine.toml");
    assert!(
        list.success().contains(&format!("mine         of my own ({file})\n")),
        "{}",
        list.stdout
    );
    assert!(list.success().starts_with("chroot "), "{}", list.stdout);
    let own = view.option("--profile").option("mine");
    assert_eq!(own.command(&[]).success(), "mine\n");
    let elsewhere = own.variable("XDG_CONFIG_HOME", "/nonexistent").command(&[]);
    assert_eq!(elsewhere.code, Some(125));
    assert!(fs::metadata(file).is_ok());
}

#[test]
fn a_profile_makes_a_nested_view_too_and_can_be_looked_at_without_one() {
    let work = Work::new(User::Root);
    work.write("n.toml", "name = 'n'\n[[mounts]]\ntype = 'umfusemem'\ntarget = '/${at}'\n[parameters.at]\ndefault = 'mnt'\n");
    let said = View::new().folder(work.path()).run(
        "umview --profile n.toml sh -c 'viewname; grep -c umfusemem /proc/mounts'; grep -c umfusemem /proc/mounts
         umview --profile n.toml --set at=srv --print-profile | grep target",
    );
    assert_eq!(said.stdout, "n\n1\n0\ntarget = \"/srv\"\n", "{said:#?}");
    let outside = View::new().option("--print-profile").command(&[]);
    assert_eq!(
        (outside.code, outside.stderr.as_str()),
        (Some(125), "umview: not in a view: start one with `umview`\n")
    );
}
