//! `umview top`.

use clap::Parser;

/// Shows who makes the calls that are answered, and for which mounts
///
/// In a view. A row a process and a row a mount, those with most calls first: calls each second since the rows
/// before, all calls, and how they were answered: by the kernel (native), by a value (return), by a descriptor
/// (FD), by the kernel with other words (rewrite), after a while (later). Calls that need no answer of the monitor are not
/// seen and not counted. Of processes that are gone there is one row.
///
/// On a terminal the rows are written anew until q is pressed; elsewhere they come one below the other.
#[derive(Debug, Parser)]
#[command(
    name = "umview-top",
    bin_name = "umview top",
    display_name = "umview top",
    after_help = "Examples:\n  \
                  umview top                        until q is pressed\n  \
                  umview top --interval 0.5         twice a second\n  \
                  umview top --once                 what has been until this moment\n  \
                  umview top --json --count 3       three lines of JSON, as docs/json.md says\n  \
                  umview -- top                     the program top(1)"
)]
pub struct Top {
    /// Seconds between two rows of the same
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub interval: f64,
    /// End after so many times
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// The same as --count 1
    #[arg(long, conflicts_with = "count")]
    pub once: bool,
    /// A line of JSON each time
    #[arg(long)]
    pub json: bool,
}

/// More often than a hundred times a second is no use, and more than a day no sign of life.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=86400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("not from 0.01 to 86400".to_owned())
    }
}
