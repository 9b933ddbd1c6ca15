//! The table as a page of Markdown.

use crate::group::{Group, Test, Trap};
use crate::row::{Row, Support};
use crate::table::{KNOWN_MAX, rows};
use std::fmt::Write;

const OPENING: &str = "\
# System calls

What a view does with each system call of x86-64. Generated from the table in `monitor/syscalls` by
`cargo xtask syscalls`; a test fails when this page and the table differ.

- **full**: as Linux, for virtual and real objects alike. **partial**: with the limit in the note.
- **native**: the kernel answers; the call names nothing that a view has.
- **planned**: the kernel answers until the part that the note names is there.
- **refused**: the filter itself answers with the error.

A call without a group is never intercepted. `group if ...` means that only calls with such
arguments are (arguments count from 0); everything else runs in the kernel at its own speed.
";

/// The text of `docs/syscalls.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(OPENING);
    page.push_str("\n## Groups\n\n| group | trapped | calls |\n|---|---|---|\n");
    for group in Group::ALL {
        let calls = rows().iter().filter(|row| row.groups().contains(group.set())).count();
        line(&mut page, format_args!("| {} | {} | {calls} |", group.name(), group.moment()));
    }
    page.push_str("\n## Summary\n\n| support | calls |\n|---|---|\n");
    for word in ["full", "partial", "native", "planned", "refused"] {
        let calls = rows().iter().filter(|row| support_word(row.support) == word).count();
        line(&mut page, format_args!("| {word} | {calls} |"));
    }
    line(&mut page, format_args!("| all | {} |", rows().len()));
    line(
        &mut page,
        format_args!(
            "\nNumbers above {KNOWN_MAX}, holes, the i386 entry and the x32 numbers answer ENOSYS."
        ),
    );
    page.push_str("\n## Calls\n\n| number | call | paths | trapped in | support | note |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for row in rows() {
        line(
            &mut page,
            format_args!(
                "| {} | {} | {} | {} | {} | {} |",
                row.number,
                row.name,
                paths(row),
                traps(row),
                support(row.support),
                row.note
            ),
        );
    }
    // An empty cell is two blanks; one reads better and keeps linters quiet.
    page.replace("|  |", "| |").replace("|  |", "| |")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("writing to a String does not fail");
}

fn support_word(support: Support) -> &'static str {
    match support {
        Support::Full => "full",
        Support::Partial => "partial",
        Support::Native => "native",
        Support::Planned => "planned",
        Support::Refused(_) => "refused",
    }
}

fn support(support: Support) -> String {
    match support {
        Support::Refused(errno) => format!("refused: {errno:?}"),
        other => support_word(other).to_owned(),
    }
}

/// The path arguments, each with the argument that is its directory: `1 at 0`.
fn paths(row: &Row) -> String {
    let words: Vec<String> = row
        .paths
        .iter()
        .map(|path| match path.dirfd {
            Some(dirfd) => format!("{} at {dirfd}", path.path),
            None => path.path.to_string(),
        })
        .collect();
    words.join(", ")
}

/// Each group once, with its conditions.
fn traps(row: &Row) -> String {
    let groups = Group::ALL.into_iter().filter(|group| row.groups().contains(group.set()));
    let words = groups.map(|group| {
        let of_group: Vec<&Trap> = row.traps.iter().filter(|trap| trap.group == group).collect();
        if of_group.iter().any(|trap| trap.all.is_empty()) {
            return group.name().to_owned();
        }
        let conditions: Vec<String> = of_group.iter().map(|trap| condition(trap.all)).collect();
        format!("{} if {}", group.name(), conditions.join(" or "))
    });
    words.collect::<Vec<_>>().join("; ")
}

fn condition(all: &[Test]) -> String {
    let words: Vec<String> = all.iter().map(|test| test_text(*test)).collect();
    words.join(" and ")
}

fn test_text(test: Test) -> String {
    let int = |value: u32| match value as i32 {
        small @ -4096..=1024 => small.to_string(),
        _ => format!("{value:#x}"),
    };
    match test {
        Test::Is(arg, value) => format!("{arg} is {}", int(value)),
        Test::IsNot(arg, value) => format!("{arg} is not {}", int(value)),
        Test::Has(arg, bits) => format!("{arg} has {bits:#x}"),
        Test::Lacks(arg, bits) => format!("{arg} lacks {bits:#x}"),
        Test::Masked(arg, mask, value) => format!("{arg} & {mask:#x} is {value}"),
        Test::NotNull(arg) => format!("{arg} is not null"),
    }
}
