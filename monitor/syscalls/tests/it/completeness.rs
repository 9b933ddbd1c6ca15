//! Every number has a row, and the row the kernel's name.

use std::collections::BTreeMap;
use syscalls::{KNOWN_MAX, MSOCKET, VIEWCTL, VIRTUAL, row, rows};

/// Where Debian (package linux-libc-dev) and other distributions keep the header.
const HEADERS: [&str; 2] =
    ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"];

/// Numbers later than the header of Debian 12, from `arch/x86/entry/syscalls/syscall_64.tbl`.
const LATER: [(u32, &str); 21] = [
    (335, "uretprobe"),
    (336, "uprobe"),
    (451, "cachestat"),
    (452, "fchmodat2"),
    (453, "map_shadow_stack"),
    (454, "futex_wake"),
    (455, "futex_wait"),
    (456, "futex_requeue"),
    (457, "statmount"),
    (458, "listmount"),
    (459, "lsm_get_self_attr"),
    (460, "lsm_set_self_attr"),
    (461, "lsm_list_modules"),
    (462, "mseal"),
    (463, "setxattrat"),
    (464, "getxattrat"),
    (465, "listxattrat"),
    (466, "removexattrat"),
    (467, "open_tree_attr"),
    (468, "file_getattr"),
    (469, "file_setattr"),
];

/// The lines `#define __NR_name number` of the installed header.
fn header() -> BTreeMap<u32, String> {
    let text = HEADERS
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .expect("asm/unistd_64.h is there: install the Debian package linux-libc-dev");
    text.lines()
        .filter_map(|line| line.strip_prefix("#define __NR_"))
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, number)| Some((number.trim().parse().ok()?, name.to_owned())))
        .collect()
}

#[test]
fn every_number_of_the_header_has_a_row_of_that_name() {
    let header = header();
    assert!(header.len() > 350, "the header has {} numbers", header.len());
    for (number, name) in header.into_iter().filter(|(number, _)| *number <= KNOWN_MAX) {
        assert_eq!(row(number).map(|row| row.name), Some(name.as_str()), "number {number}");
    }
}

#[test]
fn numbers_later_than_the_header_have_rows() {
    for (number, name) in LATER {
        assert_eq!(row(number).map(|row| row.name), Some(name), "number {number}");
    }
}

#[test]
fn no_row_has_a_number_that_no_kernel_has() {
    let mut known = header();
    known.extend(LATER.map(|(number, name)| (number, name.to_owned())));
    for row in rows().iter().filter(|row| row.number <= KNOWN_MAX) {
        assert_eq!(known.get(&row.number).map(String::as_str), Some(row.name));
    }
}

#[test]
fn rows_rise_by_number_and_are_found_by_it() {
    assert!(rows().is_sorted_by(|a, b| a.number < b.number));
    for expected in rows() {
        assert_eq!(row(expected.number).map(|row| row.name), Some(expected.name));
    }
    for hole in [337, 423, KNOWN_MAX + 1, VIRTUAL.0 - 1, VIRTUAL.1, u32::MAX] {
        assert!(row(hole).is_none(), "number {hole}");
    }
}

#[test]
fn virtual_calls_lie_in_their_range() {
    for number in [VIEWCTL, MSOCKET] {
        assert!((VIRTUAL.0..=VIRTUAL.1).contains(&number));
        assert!(row(number).is_some());
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = rows().iter().map(|row| row.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
