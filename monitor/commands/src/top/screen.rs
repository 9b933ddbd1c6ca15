//! A terminal that is written anew, and read key by key.

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What somebody pressed while we waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// q, the interrupt key, or the end of the input.
    Quit,
    /// Nothing, or something else.
    None,
}

/// The terminal, until it is what it was again.
pub(crate) struct Screen {
    /// The setting to come back to; `None` where nobody presses keys.
    former: Option<Termios>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(former) = &self.former {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, former);
        }
    }
}

impl Screen {
    /// Standard output, if it is a terminal; keys are taken from standard input, if that is one.
    ///
    /// # Errors
    /// Those of tcsetattr(3).
    pub(crate) fn of_terminal() -> Result<Option<Self>> {
        if !io::stdout().is_terminal() {
            return Ok(None);
        }
        if !io::stdin().is_terminal() {
            return Ok(Some(Self { former: None }));
        }
        let former = tcgetattr(io::stdin()).context("the terminal")?;
        let mut raw = former.clone();
        // The interrupt key is read like others: it must not end us before the terminal is what it was.
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).context("the terminal")?;
        Ok(Some(Self { former: Some(former) }))
    }

    /// Writes as many lines as there is room for, each cut to the width.
    pub(crate) fn show(&self, text: &str) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout()).ok().filter(|s| s.ws_row > 0 && s.ws_col > 0);
        let (rows, columns) =
            size.map_or((24, 80), |s| (usize::from(s.ws_row), usize::from(s.ws_col)));
        let mut out = io::stdout().lock();
        out.write_all(page(text, rows, columns).as_bytes())?;
        out.flush()
    }

    /// Waits for the time, or for the key that ends it.
    ///
    /// # Errors
    /// Those of poll(2) and read(2).
    pub(crate) fn wait(&self, interval: Duration) -> io::Result<Key> {
        if self.former.is_none() {
            std::thread::sleep(interval);
            return Ok(Key::None);
        }
        let end = Instant::now() + interval;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let stdin = io::stdin();
            let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            let millis = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut polled, millis) {
                Ok(0) => return Ok(Key::None),
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let mut byte = [0; 1];
            // Not through the buffer of the library: what is typed behind the q is the shell's.
            let count = nix::unistd::read(io::stdin(), &mut byte).map_err(io::Error::from)?;
            if count == 0 || matches!(byte[0], b'q' | b'Q' | 3) {
                return Ok(Key::Quit);
            }
        }
    }
}

/// The text from the upper left corner, with the rest of each line and of the page cleared.
fn page(text: &str, rows: usize, columns: usize) -> String {
    let mut page = String::from("\x1b[H");
    for line in text.lines().take(rows.saturating_sub(1)) {
        page.push_str(&cut(line, columns));
        page.push_str("\x1b[K\n");
    }
    page.push_str("\x1b[J");
    page
}

/// As many characters as there are columns; what switches colours takes none.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let (mut taken, mut is_escape) = (0, false);
    for c in line.chars() {
        is_escape |= c == '\x1b';
        if is_escape {
            out.push(c);
            is_escape = c != 'm';
        } else if taken < columns {
            out.push(c);
            taken += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{cut, page};

    #[test]
    fn a_page_is_not_larger_than_the_terminal() {
        assert_eq!(page("abc\nd\ne\n", 3, 2), "\x1b[Hab\x1b[K\nd\x1b[K\n\x1b[J");
        assert_eq!(page("", 0, 0), "\x1b[H\x1b[J");
        assert_eq!(cut("\x1b[7mabc\x1b[0m", 2), "\x1b[7mab\x1b[0m");
    }
}
