//! `cargo xtask bench`: how fast views are, beside the host, the kernel's drivers and the peers.
//!
//! A row is measured on all its ways in turn, round after round, so that a busy minute of the
//! machine falls on all of them. No figure fails the task.

mod inputs;
mod machine;
mod overlays;
mod plan;
pub(crate) mod probe;
mod report;
mod way;

use crate::command::{cargo, run as run_command};
use crate::{packages, root};
use anyhow::{Result, bail};
use inputs::Inputs;
use plan::Group;
use report::Table;
use std::time::{Duration, Instant};
use way::{Place, Row};

/// No round begins after a row has taken this long, if it had this many.
const ROW_TIME: Duration = Duration::from_secs(60);
const ROUNDS_MIN: usize = 2;

const PAGE: &str = "docs/benchmarks.md";

/// What the caller asked for.
#[derive(Default)]
struct Options {
    quick: bool,
    trace: bool,
    rounds: Option<usize>,
    filter: Option<String>,
}

impl Options {
    fn of(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for word in words {
            match *word {
                "--quick" => options.quick = true,
                "--trace" => options.trace = true,
                word if word.starts_with("--rounds=") => {
                    options.rounds = Some(word["--rounds=".len()..].parse()?);
                }
                word if word.starts_with('-') => {
                    bail!("usage: cargo xtask bench [--quick] [--trace] [--rounds=N] [FILTER]")
                }
                word => options.filter = Some(word.to_owned()),
            }
        }
        Ok(options)
    }

    fn wants(&self, group: &Group, row: &Row) -> bool {
        let Some(filter) = &self.filter else { return true };
        let mut names = vec![group.name, group.title];
        names.extend(row.measures.iter().map(|(label, _)| *label));
        names.iter().any(|name| name.contains(filter.as_str()))
    }
}

/// Measures, prints the tables, and writes the page if everything was measured in full.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let options = Options::of(words)?;
    packages::install_peers()?;
    run_command(cargo(&["build", "--release", "-p", "viewos-commands"]))?;
    let sizes = if options.quick { inputs::QUICK } else { inputs::FULL };
    let inputs = Inputs::new(sizes)?;
    std::fs::create_dir(inputs.folder.join("mnt"))?;
    let umview = crate::fixtures::target().join("release/umview");
    let place = Place { umview, folder: inputs.folder.clone() };
    let machine = machine::describe();
    let makers =
        [plan::programs, plan::small, plan::large, plan::names, plan::iso, overlays::overlays];
    let usual = [5, 7, 3, 3, 5, 5];
    let mut tables = Vec::new();
    for (make, usual) in makers.into_iter().zip(usual) {
        let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { usual });
        let Some(group) = wanted(&options, make, &place, &inputs, rounds)? else { continue };
        tables.push(measure(&group));
        println!("{}", report::page(&machine, &tables[tables.len() - 1..]));
    }
    let page = report::page(&machine, &tables);
    if !options.quick && options.filter.is_none() {
        let old = std::fs::read_to_string(root().join(PAGE)).unwrap_or_default();
        std::fs::write(root().join(PAGE), report::with_notes(&page, &old))?;
    }
    Ok(())
}

type Make = fn(&Place, &Inputs, bool, usize) -> Result<Group>;

fn wanted(
    options: &Options,
    make: Make,
    place: &Place,
    inputs: &Inputs,
    rounds: usize,
) -> Result<Option<Group>> {
    let mut group = make(place, inputs, options.trace, rounds)?;
    let rows = std::mem::take(&mut group.rows);
    group.rows = rows.into_iter().filter(|row| options.wants(&group, row)).collect();
    if group.rows.is_empty() {
        return Ok(None);
    }
    (group.needs)(inputs)?;
    Ok(Some(group))
}

/// One group, round by round.
fn measure(group: &Group) -> Table {
    let mut table = Table::new(group);
    for way in &group.ways {
        if let Some(why) = &way.missing {
            eprintln!("NOT MEASURED: {}: {why}", way.name);
        }
    }
    for row in &group.rows {
        measure_row(group, row, &mut table);
        eprint!("{}", table.lines_of(row));
    }
    table
}

/// A row in all its ways, round after round, as long as there is time.
fn measure_row(group: &Group, row: &Row, table: &mut Table) {
    let begin = Instant::now();
    let mut failed = vec![false; group.ways.len()];
    for round in 0..group.rounds {
        if round >= ROUNDS_MIN && begin.elapsed() > ROW_TIME {
            return;
        }
        for (column, way) in group.ways.iter().enumerate() {
            if way.missing.is_some() || failed[column] {
                continue;
            }
            match way.sample(row) {
                Ok(times) => table.add(row, column, &times),
                Err(error) => {
                    eprintln!("NOT MEASURED: {}: {error:#}", row.measures[0].1);
                    failed[column] = true;
                    table.fail(row, column);
                }
            }
        }
    }
}
