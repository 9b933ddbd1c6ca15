//! Claims about the text of a profile, and about what it makes of a start.

use super::text::read;
use super::{Profile, TimeTable};
use crate::stage::{Ids, Stage};
use crate::start::Start;
use proptest::prelude::*;

fn refusal(text: &str, set: &[(&str, &str)]) -> String {
    let set: Vec<_> = set.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    read("f", text, &set).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_with_line_column_and_the_nearest_key() {
    let table = [
        // Error: an unknown key, on top and in tables.
        ("name = 'a'\n\nservces = []", "f:3:1: unknown key `servces`; did you mean `services`?"),
        (
            "[[mounts]]\ntype = 'a'\ntraget = '/'",
            "f:3:1: unknown key `traget`; did you mean `target`?",
        ),
        ("[time]\n frequenzy = 2", "f:2:2: unknown key `frequenzy`; did you mean `frequency`?"),
        ("[uname]\nnodname = 'x'", "f:2:1: unknown key `nodname`; did you mean `nodename`?"),
        (
            "[ids]\nxxxxxxxxx = 1",
            "f:2:1: unknown key `xxxxxxxxx`; there are: user, uid, gid, groups",
        ),
        // Error: a wrong type, a missing key, no TOML.
        ("services = 'umfuse'", "f:1:12: invalid type: string \"umfuse\", expected a sequence"),
        ("[[mounts]]\ntype = 'a'", "f:1:1: missing field `target`"),
        ("[ids]\nuid = -1", "f:2:7: invalid value: integer `-1`, expected u32"),
        // Error: a parameter that is not there, or not set.
        ("root = '${disk}'", "f:1:8: no parameter disk: it needs a [parameters.disk]"),
        (
            "root = '${imag}'\n[parameters.image]\ndefault = 'x'",
            "f:1:8: no parameter imag; did you mean image?",
        ),
        (
            "[parameters.image]\nhelp = 'FILE'",
            "f: parameter image is not set: --set image=\"FILE\"",
        ),
    ];
    for (text, expect) in table {
        assert_eq!(refusal(text, &[]), expect, "{text}");
    }
    assert!(refusal("a = = 1", &[]).starts_with("f:1:5: "), "{}", refusal("a = = 1", &[]));
    let text = "[parameters.image]\ndefault = 'x'";
    assert_eq!(
        refusal(text, &[("imge", "y")]),
        "f: --set imge: no such parameter; did you mean image?"
    );
    assert_eq!(refusal("", &[("image", "y")]), "f: --set image: this profile has no parameters");
}

#[test]
fn parameters_are_filled_into_every_string_and_never_read_as_toml() {
    let text = "root = '${a}/${b}'\ncommand = ['sh', '-c', 'echo $$HOME $1 ${a']\n\
                [environment]\nX = '${a}${a}'\n[parameters.a]\n[parameters.b]\ndefault = '${a}'";
    let read = read("f", text, &[("a".into(), "q\"\n[x]".into())]).unwrap();
    assert_eq!(read.root.unwrap(), "q\"\n[x]/${a}");
    assert_eq!(read.command, ["sh", "-c", "echo $HOME $1 ${a"]);
    assert_eq!(read.environment["X"], "q\"\n[x]q\"\n[x]");
}

#[test]
fn the_command_line_comes_after_the_profile_and_wins() {
    let text = "name = 'p'\nservices = ['umfuse']\ncommand = ['ls']\n[[mounts]]\ntype = 't'\nsource = 'a:b'\n\
                target = '/mnt'\noptions = 'ro'\n[ids]\nuid = 5\n[time]\nfrequency = 2\noffset = -1.5\n\
                [uname]\nnodename = 'n'\n[aliases]\next2 = 'umfuseext2'";
    let profile = read("f", text, &[]).unwrap();
    let mut start = Start { preload: vec!["umdev".into()], ..Start::default() };
    start.stage.mounts = vec!["t:c:/d".into()];
    let mut given = Start { name: "g".into(), command: vec!["id".into()], ..start.clone() };
    given.stage.su = Some("root".into());
    profile.clone().apply(&mut start).unwrap();
    let expect = Stage {
        mounts: ["t:a\\:b:/mnt:ro", "ummisctime:none:/.time", "ummiscuname:none:/.uname", "t:c:/d"]
            .map(str::to_owned)
            .to_vec(),
        settings: [("/.time/frequency", "2"), ("/.time/offset", "-1.5"), ("/.uname/nodename", "n")]
            .map(|(file, text)| (file.to_owned(), text.to_owned()))
            .to_vec(),
        aliases: vec![("ext2".into(), "umfuseext2".into())],
        ids: Some(Ids { uid: 5, gid: 5, groups: vec![5] }),
        ..Stage::default()
    };
    assert_eq!(start.stage, expect);
    assert_eq!((start.name.as_str(), start.preload.join(" ").as_str()), ("p", "umfuse umdev"));
    assert_eq!(start.command, ["ls"]);
    profile.apply(&mut given).unwrap();
    assert_eq!((given.name.as_str(), given.command), ("g", vec!["id".into()]));
    assert_eq!((given.stage.su.as_deref(), given.stage.ids), (Some("root"), None));
    // Error: neither a user nor numbers.
    for text in ["[ids]", "[ids]\nuser = 'a'\nuid = 1", "[ids]\ngid = 1"] {
        assert!(read("f", text, &[]).unwrap().apply(&mut Start::default()).is_err(), "{text}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let time = TimeTable { frequency: Some(0.5), offset: None, directory: Some("/t".into()) };
    let profile = Profile { name: "a\"b".into(), time: Some(time), ..Profile::default() };
    assert_eq!(read("f", &profile.to_text().unwrap(), &[]).unwrap(), profile);
    assert_eq!(Profile::default().to_text().unwrap(), "");
}

/// A profile of the right kind, with a piece cut out, doubled or replaced by anything.
fn changed() -> impl Strategy<Value = String> {
    let whole = "name = \"${a}\"\n[parameters.a]\ndefault = '$$'\n[[mounts]]\ntype = 't'\ntarget = '/'\n[time]\nfrequency = 2.5\n";
    (0..whole.len(), 0..whole.len(), "\\PC{0,12}")
        .prop_map(move |(from, to, piece)| format!("{}{piece}{}", &whole[..from], &whole[to..]))
}

proptest! {
    #[test]
    fn any_text_is_a_profile_or_a_sentence(text in prop_oneof![any::<String>(), changed()]) {
        match read("f", &text, &[]) {
            Ok(profile) => drop(profile.apply(&mut Start::default())),
            Err(error) => prop_assert!(error.to_string().starts_with("f:"), "{error}"),
        }
    }
}
