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

/// A page in roff(7) without its requests.
fn prose(page: &str) -> String {
    let page = page.replace("\\-", "-").replace("\\fR", " ").replace("\\*(Aq", "'");
    let plain = page.lines().filter(|line| !line.starts_with('.'));
    plain.collect::<Vec<_>>().join("\n").replace("\\fB", " ").replace("\\fI", " ")
}

/// The help as it is printed, and the page, of each command.
fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for mut command in pages() {
        texts.push(command.render_long_help().to_string());
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).expect("a page in memory");
        texts.push(prose(&String::from_utf8_lossy(&page)));
    }
    texts
}

/// The pages of `viewfs`, a program of another crate that writes them itself.
fn texts_of_viewfs() -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "-p", "viewos-viewfs", "--bin", "viewfs", "--", "pages"]);
    let status = cargo.arg(folder.path()).status().expect("cargo starts");
    assert!(status.success(), "{cargo:?}: {status}");
    let pages = std::fs::read_dir(folder.path().join("man")).expect("pages");
    let read = |page: std::fs::DirEntry| std::fs::read_to_string(page.path()).expect("a page");
    pages.map(|page| prose(&read(page.expect("a page")))).collect()
}

#[test]
fn helps_and_manual_pages_are_spelt_right() {
    let mut texts = texts();
    let of_viewfs = texts_of_viewfs();
    assert!(of_viewfs.len() > 7, "{} pages: those of some command are missing", of_viewfs.len());
    texts.extend(of_viewfs);
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
