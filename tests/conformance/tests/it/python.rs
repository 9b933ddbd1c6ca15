//! CPython's own tests see in a view what they see without one.

use conformance::{Cases, Known, PACKAGE, Row, Setting, differences, is_installed, run, settings};
use e2e::{Engine, User};
use std::collections::HashMap;

/// What is short: names, temporary files, maps, locks, polling, terminals.
const SHORT: &[&str] = &[
    "test_posix",
    "test_glob",
    "test_tempfile",
    "test_fileio",
    "test_mmap",
    "test_fcntl",
    "test_select",
    "test_epoll",
    "test_pty",
];

/// What is about names, attributes and directories, and short.
const FILES: &[&str] = &["test_os", "test_glob", "test_tempfile", "test_shutil", "test_posix"];

/// What is run besides with `VIEWOS_CONFORMANCE=all`.
const LONG: &[&str] = &[
    "test_os",
    "test_shutil",
    "test_pathlib",
    "test_io",
    "test_socket",
    "test_selectors",
    "test_subprocess",
    "test_threading",
    "test_signal",
    "test_zipfile",
    "test_tarfile",
    "test_multiprocessing_fork",
];

/// Runs modules in settings, and natively for comparison; returns complaints, and prints the figures.
fn compare(modules: &[&str], settings: &[Setting]) -> Vec<String> {
    let known = Known::read(include_str!("../../known-differences.txt"));
    let mut complaints = Vec::new();
    eprintln!("| module | setting | passed | failed | skipped |\n|---|---|---|---|---|");
    for module in modules {
        let mut natives: HashMap<bool, Cases> = HashMap::new();
        for &setting in settings {
            let user = setting.user();
            let native = natives.entry(user == User::Root).or_insert_with(|| {
                let cases = run(Setting::Native(user), module, &[]);
                eprintln!("{}", Row::of(module, Setting::Native(user), &cases));
                cases
            });
            let view = run(setting, module, &[]);
            eprintln!("{}", Row::of(module, setting, &view));
            let found = differences(setting, module, native, &view);
            found.iter().for_each(|difference| eprintln!("{setting}: {difference:?}"));
            complaints.extend(known.judge(setting, &view, &found));
        }
    }
    complaints
}

#[test]
fn modules_of_cpython_agree() {
    assert!(is_installed(), "CPython's tests are missing: apt-get install {PACKAGE}");
    let wish = std::env::var("VIEWOS_CONFORMANCE").unwrap_or_default();
    let complaints = match wish.as_str() {
        "" => {
            eprintln!("SKIPPED: {LONG:?}, and other settings (VIEWOS_CONFORMANCE=all has them)");
            let plain = Setting::Unreal(Engine::Notify, User::Nobody);
            let usual = settings().into_iter().find(|&s| s == plain);
            // Who is not root is User::Root to the harness; a kernel without notification has ptrace.
            let usual = usual.or_else(|| settings().pop()).expect("combinations are never empty");
            let mut complaints = compare(SHORT, &[usual]);
            // Where most names are the host's, and stay it or not from one call to the next.
            if let Some(user) = Some(usual.user()).filter(|_| usual == plain) {
                complaints.extend(compare(FILES, &[Setting::Overlay(Engine::Notify, user)]));
            }
            complaints
        }
        "all" => compare(&[SHORT, LONG].concat(), &settings()),
        modules => compare(&modules.split_whitespace().collect::<Vec<_>>(), &settings()),
    };
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
