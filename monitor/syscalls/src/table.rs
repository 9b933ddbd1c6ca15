//! The rows, one constant a family, and the look-up by number.

mod attributes;
mod data;
mod identity;
mod mounts;
mod names;
mod native;
mod sockets;
mod time;

use crate::group::{Group, Trap};
use crate::handler::Handler;
use crate::row::Row;

/// The highest number of Linux 6.18. What lies above, and the holes below, answers `ENOSYS`.
pub const KNOWN_MAX: u32 = 469;

/// The virtual call by which the commands speak to the monitor; no kernel has this number.
pub const VIEWCTL: u32 = 5000;

/// The virtual call msocket(2): a socket of a chosen network stack.
pub const MSOCKET: u32 = 5001;

/// The numbers of virtual calls, first and last.
pub const VIRTUAL: (u32, u32) = (5000, 5063);

/// Always trapped in `Base`.
const BASE: &[Trap] = &[Trap::always(Group::Base)];
/// Always trapped in `Names`.
const NAMES: &[Trap] = &[Trap::always(Group::Names)];

/// What the view itself offers, by numbers outside the kernel's range.
const VIRTUAL_ROWS: &[Row] = &[
    Row::new("viewctl", VIEWCTL, Handler::Virtual, BASE)
        .note("outside a view the kernel answers ENOSYS"),
    Row::new("msocket", MSOCKET, Handler::Virtual, BASE)
        .paths(&[crate::row::PathArg::plain(0).empty(crate::row::Empty::NullIsNone)])
        .planned("comes with the network stacks; ENOSYS until then"),
];

const FAMILIES: [&[Row]; 13] = [
    names::OPEN_AND_LOOK,
    names::CREATE_AND_REMOVE,
    attributes::ATTRIBUTES,
    attributes::XATTRS,
    mounts::MOUNTS,
    data::TRANSFER,
    data::DESCRIPTORS,
    sockets::SOCKETS,
    identity::IDENTITY,
    time::CLOCKS,
    time::TIMEOUTS,
    native::NATIVE,
    native::REFUSED,
];

const SIZE: usize = KNOWN_MAX as usize + 1;
const COUNT: usize = count();

const fn count() -> usize {
    let mut sum = VIRTUAL_ROWS.len();
    let mut family = 0;
    while family < FAMILIES.len() {
        sum += FAMILIES[family].len();
        family += 1;
    }
    sum
}

/// Positions in `ROWS` by number; a number with two rows stops the build.
const fn by_number() -> [Option<Row>; SIZE] {
    let mut table = [None; SIZE];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut i = 0;
        while i < FAMILIES[family].len() {
            let row = FAMILIES[family][i];
            assert!(table[row.number as usize].is_none(), "a number has two rows");
            table[row.number as usize] = Some(row);
            i += 1;
        }
        family += 1;
    }
    table
}

const fn sorted() -> [Row; COUNT] {
    let table = by_number();
    let mut rows = [VIRTUAL_ROWS[0]; COUNT];
    let mut len = 0;
    let mut number = 0;
    while number < SIZE {
        if let Some(row) = table[number] {
            rows[len] = row;
            len += 1;
        }
        number += 1;
    }
    let mut i = 0;
    while i < VIRTUAL_ROWS.len() {
        rows[len] = VIRTUAL_ROWS[i];
        len += 1;
        i += 1;
    }
    rows
}

/// One more than the position in `ROWS` of each kernel number, zero for a hole.
const fn positions() -> [u16; SIZE] {
    let mut positions = [0; SIZE];
    let rows = sorted();
    let mut i = 0;
    while i < COUNT - VIRTUAL_ROWS.len() {
        positions[rows[i].number as usize] = i as u16 + 1;
        i += 1;
    }
    positions
}

static ROWS: [Row; COUNT] = sorted();
static POSITIONS: [u16; SIZE] = positions();

/// Every row, by rising number; the virtual calls come last.
#[must_use]
pub fn rows() -> &'static [Row] {
    &ROWS
}

/// The row of a number, in constant time; `None` for a number that no kernel up to 6.18 has and
/// that is no virtual call in use.
#[must_use]
pub fn row(number: u32) -> Option<&'static Row> {
    let index = match number {
        0..=KNOWN_MAX => usize::from(*POSITIONS.get(number as usize)?).checked_sub(1)?,
        VIEWCTL.. => COUNT - VIRTUAL_ROWS.len() + (number - VIEWCTL) as usize,
        _ => return None,
    };
    ROWS.get(index)
}
