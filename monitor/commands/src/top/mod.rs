//! `umview top`: counts of calls by process and by mount, again and again.

mod rows;
mod screen;

use crate::ask;
use crate::cli::Top;
use crate::top::rows::{Activity, table};
use crate::top::screen::{Key, Screen};
use anyhow::{Context, Result};
use monitor::control::Request;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Asks and shows until there is enough.
///
/// # Errors
/// Outside a view; if the terminal can't be set.
pub(crate) fn top(wish: &Top) -> Result<()> {
    let screen = if wish.json || wish.once { None } else { Screen::of_terminal()? };
    let interval = Duration::from_secs_f64(wish.interval);
    let times = if wish.once { Some(1) } else { wish.count };
    let mut before: Option<(Activity, Instant)> = None;
    let mut shown: u64 = 0;
    loop {
        let reply = ask(&Request::Top)?;
        let activity = Activity::of(&reply);
        let since = before.as_ref().map(|(old, then)| (old, then.elapsed().as_secs_f64()));
        let written = if wish.json {
            put(&format!("{reply}\n"))
        } else {
            let text = table(&activity, since, screen.is_some() && has_colors());
            screen.as_ref().map_or_else(|| put(&text), |screen| screen.show(&text))
        };
        match written {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.context("standard output")?,
        }
        shown = shown.saturating_add(1);
        if times.is_some_and(|times| shown >= times) {
            return Ok(());
        }
        before = Some((activity, Instant::now()));
        match &screen {
            Some(screen) if screen.wait(interval)? == Key::Quit => return Ok(()),
            Some(_) => {}
            None => std::thread::sleep(interval),
        }
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn has_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
