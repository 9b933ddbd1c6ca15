//! Claims about every command line.

use super::{Umview, Viewsu, Viewsudo, all};
use clap::Parser;
use std::collections::BTreeSet;

#[test]
fn every_command_line_is_consistent() {
    for command in all() {
        command.debug_assert();
    }
}

#[test]
fn every_help_has_examples() {
    for mut command in all() {
        let name = command.get_name().to_owned();
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
    let read = Viewsudo::parse_from(["viewsudo", "-u", "alice", "A=1", "id", "-u"]);
    assert_eq!((read.user.as_deref(), read.words.len()), (Some("alice"), 3));
    let read = Viewsudo::parse_from(["viewsudo", "-ualice", "-g", "games", "ls", "-u"]);
    assert_eq!((read.user.as_deref(), read.words.len()), (Some("alice"), 2));
    let read = Viewsu::parse_from(["viewsu", "-", "alice", "-c", "id"]);
    assert_eq!((read.words.len(), read.command.as_deref()), (2, Some("id".as_ref())));
    let read = Viewsu::parse_from(["viewsu", "alice", "--", "-x", "f"]);
    assert_eq!(read.words.len(), 3);
}

/// Every word that a help may use, in the order of the alphabet. A word that is not here is new, or misspelt.
const WORDS: &str = include_str!("words.txt");

#[test]
fn every_word_of_a_help_is_in_the_list_and_every_word_of_the_list_in_a_help() {
    let mut used = BTreeSet::new();
    for mut command in all() {
        let help = command.render_long_help().to_string();
        let words = help.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 3);
        // Names of commands, options and variables are not of the language.
        used.extend(
            words
                .filter(|w| w.chars().skip(1).all(|c| c.is_ascii_lowercase()))
                .map(str::to_lowercase),
        );
    }
    let listed: BTreeSet<String> = WORDS.split_whitespace().map(str::to_owned).collect();
    let unknown: Vec<&String> = used.difference(&listed).collect();
    let stale: Vec<&String> = listed.difference(&used).collect();
    assert!(
        unknown.is_empty() && stale.is_empty(),
        "not in the list: {unknown:?}\nnot in a help: {stale:?}"
    );
}
