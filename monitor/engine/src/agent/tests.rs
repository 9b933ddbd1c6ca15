//! What the agent decides, against a kernel that is a table.

use super::decide::{Attributes, Board, Kernel, Room, decide, is_decided};
use super::{Agent, Directory, layout};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

const ENOENT: i64 = -2;
const CWD: u64 = -100_i64 as u64;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;
/// `st_dev` of all files of the table.
const DEV: u64 = 0x801;

/// Names by address, files by name, and what was asked of it.
#[derive(Default)]
struct Table {
    texts: HashMap<u64, &'static [u8]>,
    modes: HashMap<&'static [u8], u32>,
    calls: RefCell<Vec<u64>>,
    result: i64,
}

impl Kernel for Table {
    fn call(&self, number: u64, _: [u64; 5]) -> i64 {
        self.calls.borrow_mut().push(number);
        self.result
    }

    fn text<'r>(&self, address: u64, room: &'r mut Room) -> Option<&'r [u8]> {
        let text = *self.texts.get(&address).filter(|t| t.len() < room.len())?;
        for (to, from) in room.iter_mut().zip(text) {
            to.write(*from);
        }
        Some(text)
    }

    fn half(&self, _: u64) -> Option<u16> {
        self.modes.get(&b"followed"[..]).map(|&mode| mode as u16)
    }

    fn is_missing(&self, _: u64, text: &[u8]) -> bool {
        !self.modes.contains_key(text)
    }

    fn attributes(&self, dirfd: u64, path: u64) -> Result<Attributes, i64> {
        let name = if path == 0 { &b""[..] } else { self.texts.get(&path).ok_or(-14)? };
        let mode = *self.modes.get(name).ok_or(ENOENT)?;
        Ok(Attributes { dev: DEV, ino: dirfd & 0xff, mode })
    }
}

/// A board on which /usr and the directory with inode 3, /usr/lib, are known.
struct Place {
    agent: Agent,
    own: Vec<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        let agent = Agent::new(77).expect("a file in memory");
        let generation = agent.generation();
        let (usr, lib) = (agent.path(b"/usr"), agent.path(b"/usr/lib"));
        agent.publish(generation, 5, Directory::Text(usr), usr);
        agent.publish(generation, 5, Directory::Inode { dev: DEV, ino: 3 }, lib);
        let own = [0, 5].map(AtomicU64::new).into_iter().collect();
        Self { agent, own }
    }

    fn decide(&self, table: &Table, number: u64, args: [u64; 5]) -> Option<i64> {
        let [header, known, nodes] = self.agent.parts();
        decide(table, &Board { own: &self.own, header, known, nodes }, number, args)
    }

    /// What becomes of an lstat(2) of a name.
    fn lstat(&self, text: &'static [u8]) -> Option<i64> {
        let table = Table { texts: HashMap::from([(1, text)]), ..Table::default() };
        self.decide(&table, 6, [1, 2, 0, 0, 0])
    }
}

#[test]
fn a_name_is_decided_if_its_directory_is_known_and_no_overlay_has_it() {
    let place = Place::new();
    assert_eq!(place.lstat(b"/usr/bin"), Some(0));
    for unknown in [&b"/etc/passwd"[..], b"/usr/../x/y", b"/", b"/usr/", b"/usr/..", b"/usr/.", b""]
    {
        assert_eq!(place.lstat(unknown), None, "{unknown:?}");
    }
    let long: &'static [u8] = &[b'a'; 300];
    assert_eq!(place.lstat(long), None);
    place.agent.add_node(place.agent.path(b"/usr/bin"));
    assert_eq!(place.lstat(b"/usr/bin"), None);
    assert_eq!(place.lstat(b"/usr/lib"), Some(0));
}

#[test]
fn a_name_in_a_directory_that_is_not_there_is_not_there() {
    let place = Place::new();
    let table = |modes: &[&'static [u8]]| Table {
        texts: HashMap::from([(1, &b"/usr/no/deeper/x"[..])]),
        modes: modes.iter().map(|name| (*name, DIRECTORY)).collect(),
        ..Table::default()
    };
    assert_eq!(place.decide(&table(&[]), 6, [1, 2, 0, 0, 0]), Some(ENOENT));
    assert_eq!(place.decide(&table(&[b"/usr/no"]), 6, [1, 2, 0, 0, 0]), None, "it is there");
    place.agent.add_node(place.agent.path(b"/usr/no"));
    assert_eq!(place.decide(&table(&[]), 6, [1, 2, 0, 0, 0]), None, "in the view it may be");
}

#[test]
fn names_below_a_descriptor_go_by_its_inode() {
    let place = Place::new();
    let modes = HashMap::from([(&b""[..], DIRECTORY)]);
    let table = Table { texts: HashMap::from([(1, &b"x"[..])]), modes, ..Table::default() };
    assert_eq!(place.decide(&table, 262, [3, 1, 2, 0x100, 0]), Some(0));
    assert_eq!(place.decide(&table, 262, [4, 1, 2, 0x100, 0]), None, "another inode");
    place.agent.add_node(place.agent.path(b"/usr/lib/x"));
    assert_eq!(place.decide(&table, 262, [3, 1, 2, 0x100, 0]), None);
}

#[test]
fn what_is_forgotten_is_not_known() {
    let place = Place::new();
    place.agent.forget();
    assert_eq!(place.lstat(b"/usr/bin"), None);
    let (generation, usr) = (place.agent.generation(), place.agent.path(b"/usr"));
    place.agent.publish(generation - 1, 5, Directory::Text(usr), usr);
    assert_eq!(place.lstat(b"/usr/bin"), None, "concluded before");
    place.agent.publish(generation, 6, Directory::Text(usr), usr);
    assert_eq!(place.lstat(b"/usr/bin"), None, "in another view");
    place.agent.publish(generation, 5, Directory::Text(usr), usr);
    assert_eq!(place.lstat(b"/usr/bin"), Some(0));
}

#[test]
fn a_switch_for_all_and_one_for_each() {
    let mut place = Place::new();
    place.agent.switch(false);
    assert_eq!(place.lstat(b"/usr/bin"), None);
    place.agent.switch(true);
    assert_eq!(place.lstat(b"/usr/bin"), Some(0));
    place.own[layout::OWN_OFF] = AtomicU64::new(layout::OFF_ALL);
    assert_eq!(place.lstat(b"/usr/bin"), None);
}

#[test]
fn a_working_directory_that_the_kernel_does_not_know_is_the_monitors() {
    let mut place = Place::new();
    let modes = HashMap::from([(&b""[..], DIRECTORY)]);
    let table = Table { texts: HashMap::from([(1, &b"x"[..])]), modes, ..Table::default() };
    place.agent.publish(
        place.agent.generation(),
        5,
        Directory::Inode { dev: DEV, ino: CWD & 0xff },
        place.agent.path(b"/home"),
    );
    assert_eq!(place.decide(&table, 6, [1, 2, 0, 0, 0]), Some(0));
    place.own[layout::OWN_OFF] = AtomicU64::new(layout::OFF_CWD);
    assert_eq!(place.decide(&table, 6, [1, 2, 0, 0, 0]), None);
}

#[test]
fn links_and_refusals_go_to_the_monitor() {
    let place = Place::new();
    let texts = HashMap::from([(1, &b"/usr/x"[..])]);
    let with = |mode: u32, result: i64| Table {
        texts: texts.clone(),
        modes: HashMap::from([(&b"/usr/x"[..], mode), (&b"followed"[..], mode)]),
        result,
        ..Table::default()
    };
    for (number, args) in [(4, [1, 2, 0, 0, 0]), (21, [1, 4, 0, 0, 0]), (191, [1, 2, 3, 4, 0])] {
        assert_eq!(place.decide(&with(FILE, 0), number, args), Some(0), "{number}");
        assert_eq!(place.decide(&with(LINK, 0), number, args), None, "{number}");
        assert_eq!(place.decide(&with(FILE, -13), number, args), None, "EACCES {number}");
        assert_eq!(place.decide(&with(FILE, -14), number, args), None, "EFAULT {number}");
    }
    assert_eq!(place.decide(&with(FILE, -40), 2, [1, 0, 0, 0, 0]), None, "ELOOP");
    assert_eq!(place.decide(&with(FILE, ENOENT), 2, [1, 0, 0, 0, 0]), Some(ENOENT));
    assert_eq!(place.decide(&with(FILE, -20), 2, [1, 0o200_000, 0, 0, 0]), None, "a link to one?");
}

#[test]
fn what_may_change_something_is_not_looked_at() {
    let place = Place::new();
    let table = Table { texts: HashMap::from([(1, &b"/usr/x"[..])]), ..Table::default() };
    for flags in [1, 2, 0o100, 0o1000, 0o20_200_000, 0o10_000_000] {
        assert_eq!(place.decide(&table, 2, [1, flags, 0, 0, 0]), None, "open {flags:o}");
    }
    assert_eq!(place.decide(&table, 21, [1, 2, 0, 0, 0]), None, "W_OK");
    assert!(table.calls.borrow().is_empty());
    assert_eq!(place.decide(&table, 2, [1, 0o2_000_000, 0, 0, 0]), Some(0));
}

#[test]
fn an_open_file_is_the_kernels_until_one_is_virtual() {
    let mut place = Place::new();
    let at = |mode| Table { modes: HashMap::from([(&b""[..], mode)]), ..Table::default() };
    assert_eq!(place.decide(&at(FILE), 5, [9, 2, 0, 0, 0]), Some(0));
    place.own[layout::OWN_OFF] = AtomicU64::new(layout::OFF_FSTAT);
    assert_eq!(place.decide(&at(FILE), 5, [9, 2, 0, 0, 0]), Some(0));
    assert_eq!(place.decide(&at(0o010_644), 5, [9, 2, 0, 0, 0]), None, "a FIFO");
    assert_eq!(place.decide(&at(DIRECTORY), 5, [9, 2, 0, 0, 0]), None, "not known");
    assert_eq!(place.decide(&at(DIRECTORY), 5, [3, 2, 0, 0, 0]), Some(0));
    place.agent.add_file(DEV, 9);
    assert_eq!(place.decide(&at(FILE), 5, [9, 2, 0, 0, 0]), None, "copied up");
    place.agent.distrust(DEV);
    assert_eq!(place.decide(&at(FILE), 5, [8, 2, 0, 0, 0]), None);
}

#[test]
fn more_nodes_than_fit_switch_all_agents_off() {
    let place = Place::new();
    for n in 0..layout::NODES as u64 {
        place.agent.add_file(1, n);
    }
    assert_eq!(place.lstat(b"/usr/bin"), None);
    place.agent.switch(true);
    assert_eq!(place.lstat(b"/usr/bin"), None, "for ever");
}

#[test]
fn filters_let_pass_what_is_decided() {
    // open(2) is made as openat(2).
    for number in (0..500).filter(|&n| n != 2) {
        assert_eq!(syscalls::is_passed(number), is_decided(u64::from(number)), "{number}");
    }
}
