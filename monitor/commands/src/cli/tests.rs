//! Claims about every command line.

use super::{Action, Umview, Viewsu, Viewsudo, pages};
use clap::Parser;

#[test]
fn every_command_line_is_consistent() {
    for command in pages() {
        command.debug_assert();
    }
}

#[test]
fn every_help_has_examples() {
    for mut command in pages() {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:\n"), "{name}");
        assert!(
            help.contains(&format!("\n  {name} ")) || help.contains(&format!("\n  {name}\n")),
            "{name}"
        );
    }
}

#[test]
fn a_command_keeps_its_own_options() {
    let read = Umview::parse_from(["umview", "-p", "umfuse", "ls", "-p", "--su", "x"]);
    assert_eq!((read.preload.len(), read.command.len(), read.su), (1, 4, None));
    let read = Umview::parse_from(["umview", "-pumfuse", "-qVtry", "ls", "-pumfuse"]);
    assert_eq!((read.preload.len(), read.name.as_str(), read.command.len()), (1, "try", 2));
    let read = Umview::parse_from(["umview", "--su", "id"]);
    assert_eq!((read.su.as_deref(), read.command.len()), (Some("root"), 1));
    let read = Umview::parse_from(["umview", "--su=alice", "--", "-x"]);
    assert_eq!((read.su.as_deref(), read.command.len()), (Some("alice"), 1));
    let read = Umview::parse_from(["umview", "-V", "try", "-c", "-x", "-q"]);
    assert_eq!((read.name.as_str(), read.line.as_deref()), ("try", Some("-x".as_ref())));
    let read = Umview::parse_from(["umview", "-q", "try", "--no", "ls", "--yes"]);
    assert!(matches!(read.action, Some(Action::Try(t)) if t.no && !t.yes && t.command.len() == 2));
    // Behind another word, or behind --, it is a word like others.
    for words in [["umview", "ls", "try"], ["umview", "--", "try"]] {
        let read = Umview::parse_from(words);
        assert!(read.action.is_none() && read.command.last() == Some(&"try".into()), "{words:?}");
    }
    let read = Viewsudo::parse_from(["viewsudo", "-u", "alice", "A=1", "id", "-u"]);
    assert_eq!((read.user.as_deref(), read.words.len()), (Some("alice"), 3));
    let read = Viewsudo::parse_from(["viewsudo", "-ualice", "-g", "games", "ls", "-u"]);
    assert_eq!((read.user.as_deref(), read.words.len()), (Some("alice"), 2));
    let read = Viewsu::parse_from(["viewsu", "-", "alice", "-c", "id"]);
    assert_eq!((read.words.len(), read.command.as_deref()), (2, Some("id".as_ref())));
    let read = Viewsu::parse_from(["viewsu", "alice", "--", "-x", "f"]);
    assert_eq!(read.words.len(), 3);
}
