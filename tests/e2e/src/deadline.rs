//! Programs that must end in time.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output; bytes that are no text are shown as such.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit status, if it ended by itself.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
}

impl Output {
    /// Standard output of a success.
    ///
    /// # Panics
    /// If the program failed, with all that it printed.
    #[must_use]
    pub fn success(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:#?}");
        &self.stdout
    }
}

/// A stream that is read as it comes.
#[derive(Clone, Default)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads to the end in a thread, which tells when each piece has come.
    fn follow(mut from: impl Read + Send + 'static) -> (Self, Receiver<()>) {
        let stream = Self::default();
        let (bytes, (tell, hear)) = (Arc::clone(&stream.bytes), channel());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                let mut all = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend_from_slice(&piece[..n]);
                drop(all);
                let _ = tell.send(());
            }
        });
        (stream, hear)
    }
}

/// A program under way.
pub struct Started {
    name: String,
    pid: u32,
    stdin: Option<ChildStdin>,
    stdout: (Stream, Receiver<()>),
    stderr: (Stream, Receiver<()>),
    end: Receiver<std::io::Result<ExitStatus>>,
    deadline: Instant,
    /// Bytes of its output that were waited for.
    seen: usize,
}

impl Started {
    /// Starts a program in a process group of its own.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn new(mut command: Command, limit: Duration) -> Self {
        let name = format!("{command:?}");
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(Stream::follow).expect("it is piped");
        let stderr = child.stderr.take().map(Stream::follow).expect("it is piped");
        let (pid, end) = (child.id(), when_it_ends(child));
        Self { name, pid, stdin, stdout, stderr, end, deadline: Instant::now() + limit, seen: 0 }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives it input.
    ///
    /// # Panics
    /// If the input is closed.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads its input");
    }

    /// Waits until its output holds a text behind the last one that was waited for, and returns what came since.
    ///
    /// # Panics
    /// If the text does not come in time.
    pub fn read_until(&mut self, text: &str) -> String {
        loop {
            let all = self.stdout.0.text();
            let fresh = all.get(self.seen..).unwrap_or_default();
            if let Some(at) = fresh.find(text) {
                let end = at + text.len();
                self.seen += end;
                return fresh[..end].to_owned();
            }
            if self.stdout.1.recv_timeout(self.left()).is_err() && self.stdout.0.text() == all {
                self.fail(&format!("did not print {text:?}"));
            }
        }
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    /// If it does not end in time, or its output is not closed in time; with all that it printed.
    #[must_use]
    pub fn finish(mut self) -> Output {
        drop(self.stdin.take());
        let Ok(end) = self.end.recv_timeout(self.left()) else { self.fail("did not end in time") };
        let status = end.expect("it can be waited for");
        for hear in [&self.stdout.1, &self.stderr.1] {
            loop {
                match hear.recv_timeout(self.left()) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        self.fail("ended, but something keeps its output open")
                    }
                }
            }
        }
        Output {
            stdout: self.stdout.0.text(),
            stderr: self.stderr.0.text(),
            code: status.code(),
            signal: status.signal(),
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn fail(&self, what: &str) -> ! {
        let group = i32::try_from(self.pid).expect("a process id is small");
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(group),
            nix::sys::signal::Signal::SIGKILL,
        );
        panic!(
            "{}\n{what}\nstdout so far: {}\nstderr so far: {}",
            self.name,
            self.stdout.0.text(),
            self.stderr.0.text()
        );
    }
}

fn when_it_ends(mut child: Child) -> Receiver<std::io::Result<ExitStatus>> {
    let (tell, hear) = channel();
    std::thread::spawn(move || tell.send(child.wait()));
    hear
}
