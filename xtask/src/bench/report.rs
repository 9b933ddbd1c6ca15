//! Tables of figures, their ratios, and the goals.

use crate::bench::plan::{ELSEWHERE, EMPTY, Group, KERNEL_OVERLAY, OVERLAY, VIEW};
use crate::bench::way::{Row, START};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is known of one row on one way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Nanoseconds of each round.
    Times(Vec<u64>),
    Failed,
}

impl Cell {
    fn best(&self) -> Option<u64> {
        match self {
            Self::Times(times) => times.iter().min().copied(),
            Self::Failed => None,
        }
    }

    fn median(&self) -> Option<u64> {
        let Self::Times(times) = self else { return None };
        let mut times = times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

/// The figures of a group.
pub(crate) struct Table {
    title: &'static str,
    ways: Vec<String>,
    /// Label, meaning, a cell for each way.
    lines: Vec<(&'static str, String, Vec<Cell>)>,
}

impl Table {
    pub(crate) fn new(group: &Group) -> Self {
        let measures = group.rows.iter().flat_map(|row| &row.measures);
        let blank = vec![Cell::Times(Vec::new()); group.ways.len()];
        Self {
            title: group.title,
            ways: group.ways.iter().map(|way| way.name.clone()).collect(),
            lines: measures.map(|(label, text)| (*label, text.clone(), blank.clone())).collect(),
        }
    }

    fn cells(
        &mut self,
        row: &Row,
        column: usize,
    ) -> impl Iterator<Item = (&'static str, &mut Cell)> {
        let labels: Vec<&str> = row.measures.iter().map(|(label, _)| *label).collect();
        let lines = self.lines.iter_mut().filter(move |(label, ..)| labels.contains(label));
        lines.filter_map(move |(label, _, cells)| Some((*label, cells.get_mut(column)?)))
    }

    pub(crate) fn add(&mut self, row: &Row, column: usize, times: &BTreeMap<String, u64>) {
        for (label, cell) in self.cells(row, column) {
            if let (Cell::Times(all), Some(&time)) = (cell, times.get(label)) {
                all.push(time);
            }
        }
    }

    pub(crate) fn fail(&mut self, row: &Row, column: usize) {
        self.cells(row, column).for_each(|(_, cell)| *cell = Cell::Failed);
    }

    /// What is known of a row, a line for each way.
    pub(crate) fn lines_of(&self, row: &Row) -> String {
        let is_wanted = |label: &str| row.measures.iter().any(|(measure, _)| *measure == label);
        let mut out = String::new();
        for (_, text, cells) in self.lines.iter().filter(|(label, ..)| is_wanted(label)) {
            for (way, cell) in self.ways.iter().zip(cells) {
                let _ = writeln!(out, "  {text}: {way}: {}", figure(cell, None));
            }
        }
        out
    }

    fn best(&self, label: &str, way: &str) -> Option<f64> {
        let column = self.ways.iter().position(|name| name == way)?;
        let (.., cells) = self.lines.iter().find(|(name, ..)| *name == label)?;
        Some(cells.get(column)?.best()? as f64)
    }

    fn markdown(&self) -> String {
        let mut out = format!("## {}\n\n| |", self.title);
        out.extend(self.ways.iter().map(|way| format!(" {way} |")));
        out.push_str("\n|---|");
        out.push_str(&"---|".repeat(self.ways.len()));
        for (_, text, cells) in &self.lines {
            let _ = write!(out, "\n| {text} |");
            let first = cells.first().and_then(Cell::best);
            for (column, cell) in cells.iter().enumerate() {
                let _ = write!(out, " {} |", figure(cell, first.filter(|_| column > 0)));
            }
        }
        out.push('\n');
        out
    }
}

/// `best (median) xRATIO`.
fn figure(cell: &Cell, first: Option<u64>) -> String {
    let (Some(best), Some(median)) = (cell.best(), cell.median()) else {
        return if *cell == Cell::Failed { "failed".to_owned() } else { "-".to_owned() };
    };
    let mut text = format!("{} ({})", time(best), time(median));
    if let Some(first) = first {
        let _ = write!(text, " **x{:.2}**", best as f64 / first as f64);
    }
    text
}

/// Nanoseconds in the unit that suits.
fn time(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{:.2} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

const HEAD: &str = "# Benchmarks

Written by `cargo xtask bench`, in one run, as root. Every row was measured on all its ways in turn,
round after round. A figure is the best of the rounds, in parentheses the median; the ratio is of
the bests, to the first column. Times are of the work alone: a view, a mount or proot is started
before the clock is, but in the row \"start\", where the mounts count too. Everything lies in memory.

";

/// Everything below this line is written by hand and kept.
const NOTES: &str = "<!-- notes: written by hand, kept by cargo xtask bench -->\n";

/// The page of all tables.
pub(crate) fn page(machine: &[String], tables: &[Table]) -> String {
    let mut out = String::from(HEAD);
    out.extend(machine.iter().map(|line| format!("- {line}\n")));
    for table in tables {
        let _ = write!(out, "\n{}", table.markdown());
    }
    let goals = goals(tables);
    if !goals.is_empty() {
        out.push_str("\n## Goals\n\n| goal | row | figure | |\n|---|---|---|---|\n");
        out.push_str(&goals);
    }
    let ratios = beside_the_kernels(tables);
    if !ratios.is_empty() {
        out.push_str("\n| overlay | time in the kernel's overlayfs's |\n|---|---|\n");
        out.push_str(&ratios);
    }
    out
}

/// The new page with the old one's notes.
pub(crate) fn with_notes(page: &str, old: &str) -> String {
    let notes = old.split_once(NOTES).map_or("", |(_, notes)| notes);
    format!("{page}\n{NOTES}{notes}")
}

fn goals(tables: &[Table]) -> String {
    let mut out = String::new();
    let mut goal = |text: &str, row: &str, figure: f64, limit: f64| {
        let verdict = if figure <= limit { "met" } else { "**missed**" };
        let _ = writeln!(out, "| {text} | {row} | {figure:.2} | {verdict} |");
    };
    for table in tables {
        for (label, text, _) in &table.lines {
            let best = |way: &str| table.best(label, way);
            if let (Some(native), Some(view)) = (best("native"), best(EMPTY))
                && *label != START
            {
                goal("an empty view within 1.05 of native", text, view / native, 1.05);
            }
            if let (Some(native), Some(proot), Some(view)) =
                (best("native"), best("proot"), best(ELSEWHERE))
            {
                let share = (view - native) / (proot - native).max(1.0);
                goal("mounted elsewhere, at most half of proot's overhead", text, share, 0.5);
            }
            for peer in ["fuse2fs", "fuseiso"] {
                if let (Some(theirs), Some(ours)) = (best(peer), best(VIEW)) {
                    goal(&format!("ahead of {peer}"), text, ours / theirs, 1.0);
                }
            }
            if ["first", "second", "write"].contains(label)
                && let (Some(kernel), Some(view)) = (best("kernel, loop mount"), best(VIEW))
            {
                goal("within 2 of the loop mount", text, view / kernel, 2.0);
            }
            for peer in ["proot -0", "fakeroot", "fuse-overlayfs"] {
                if let (Some(theirs), Some(ours)) = (best(peer), best(OVERLAY)) {
                    goal(&format!("an overlay ahead of {peer}"), text, ours / theirs, 1.0);
                }
            }
        }
    }
    out
}

/// How overlays compare with the kernel's: no goal, but to be said.
fn beside_the_kernels(tables: &[Table]) -> String {
    let mut out = String::new();
    for table in tables {
        for (label, text, _) in &table.lines {
            let best = |way: &str| table.best(label, way);
            if let (Some(kernel), Some(ours)) = (best(KERNEL_OVERLAY), best(OVERLAY)) {
                let _ = writeln!(out, "| {text} | {:.2} |", ours / kernel);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Cell, figure, time, with_notes};

    #[test]
    fn a_figure_is_best_median_and_ratio() {
        let cell = Cell::Times(vec![3_000_000, 1_000_000, 2_000_000]);
        assert_eq!(figure(&cell, Some(500_000)), "1.0 ms (2.0 ms) **x2.00**");
        assert_eq!(figure(&Cell::Times(Vec::new()), None), "-");
        assert_eq!(figure(&Cell::Failed, Some(1)), "failed");
    }

    #[test]
    fn times_have_the_unit_that_suits() {
        assert_eq!(time(1_500), "1.50 us");
        assert_eq!(time(2_500_000_000), "2.50 s");
    }

    #[test]
    fn notes_written_by_hand_survive() {
        let first = with_notes("a\n", "");
        let noted = format!("{first}why\n");
        assert_eq!(with_notes("b\n", &noted), noted.replace("a\n", "b\n"));
    }
}
