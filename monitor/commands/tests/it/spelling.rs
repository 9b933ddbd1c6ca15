//! Every word of every help and manual page is spelt as aspell has it, or is in `words.txt`.

use commands::cli::pages;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// Words of the field that no dictionary has; a line a word, in the order of the alphabet.
const WORDS: &str = include_str!("words.txt");

/// Runs of letters that are words of the language: no names of options and variables, no paths, no shell.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split(|c: char| c.is_whitespace() || "|,;()[]<>`".contains(c));
    let prose = pieces.filter(|piece| {
        let bare = piece.trim_end_matches(['.', ':', '?', '!', '\'']);
        !bare.starts_with(['-', '$', '/', '~', '#', '\\'])
            && !bare.contains(['_', '/', '=', '.', '@', ':', '+', '$'])
            && bare.chars().skip(1).all(|c| !c.is_ascii_uppercase() && !c.is_ascii_digit())
    });
    prose.flat_map(|piece| piece.split(|c: char| !c.is_ascii_alphabetic() && c != '\''))
}

/// What of `words` aspell does not know.
fn misspelt(words: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut aspell = Command::new("aspell")
        .args(["list", "--lang=en", "--encoding=utf-8", "--ignore=2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("aspell is missing: apt-get install aspell aspell-en");
    let text: Vec<&str> = words.iter().copied().collect();
    let mut stdin = aspell.stdin.take().expect("it is piped");
    stdin.write_all(text.join("\n").as_bytes()).expect("aspell reads");
    drop(stdin);
    let output = aspell.wait_with_output().expect("aspell ends");
    assert!(output.status.success(), "aspell has no English: apt-get install aspell-en");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The help as it is printed, and the page in roff(7) without its requests.
fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for mut command in pages() {
        texts.push(command.render_long_help().to_string());
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).expect("a page in memory");
        let page = String::from_utf8_lossy(&page)
            .replace("\\-", "-")
            .replace("\\fR", " ")
            .replace("\\*(Aq", "'");
        let plain = page.lines().filter(|line| !line.starts_with('.'));
        texts.push(plain.collect::<Vec<_>>().join("\n").replace("\\fB", " ").replace("\\fI", " "));
    }
    texts
}

#[test]
fn helps_and_manual_pages_are_spelt_right() {
    let texts = texts();
    let used: BTreeSet<&str> =
        texts.iter().flat_map(|text| words(text)).filter(|w| w.len() > 2).collect();
    assert!(used.len() > 400, "{} words: the pages are not read", used.len());
    let listed: BTreeSet<String> = WORDS.lines().map(str::to_owned).collect();
    let unknown = misspelt(&used);
    let wrong: Vec<&String> = unknown.difference(&listed).collect();
    let stale: Vec<&String> = listed.difference(&unknown).collect();
    assert!(
        wrong.is_empty() && stale.is_empty(),
        "misspelt, or to be put into words.txt: {wrong:?}\nin words.txt and not needed: {stale:?}"
    );
}

#[test]
fn a_misspelt_word_is_found() {
    let text = "Runs a comand, as root; --optoin /sbin/nologn UMVIEWX is not looked at.";
    let used: BTreeSet<&str> = words(text).filter(|w| w.len() > 2).collect();
    assert_eq!(misspelt(&used), BTreeSet::from(["comand".to_owned()]));
}
