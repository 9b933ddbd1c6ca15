//! What runs inside a view, a mount or on the host: does one thing and prints how long it took.
//!
//! Times are taken by the child itself, so that the start of a view and its mounts are not in them.
//! Each result is a line `LABEL NANOSECONDS`.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What cp and cat read at once.
const CHUNK_BYTES: usize = 128 << 10;
const PAGE_BYTES: usize = 4096;

/// `probe KIND LABEL ARGUMENT...`.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (label, nanos) = match words {
        ["run", label, command @ ..] => (label, whole(|| succeed(command))?),
        ["spawn", label, count] => {
            let count = count.parse()?;
            (label, whole(|| (0..count).try_for_each(|_: u64| succeed(&["/bin/true"])))?)
        }
        ["open", label, folder, rounds] => (label, each(folder, rounds, open_read_close)?),
        ["stat", label, folder, rounds] => (label, each(folder, rounds, stat)?),
        ["read", label, file] => (label, whole(|| read(file))?),
        ["write", label, file, mebibytes] => {
            let mebibytes = mebibytes.parse()?;
            (label, whole(|| write(file, mebibytes))?)
        }
        ["random", label, file, count] => {
            let count = count.parse()?;
            (label, random(file, count)?)
        }
        ["names", label, folder, count] => {
            let count = count.parse()?;
            (label, whole(|| names(Path::new(folder), count))?)
        }
        _ => bail!("probe: {words:?} is no measurement"),
    };
    println!("{label} {nanos}");
    Ok(())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn whole(work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let start = Instant::now();
    work()?;
    Ok(nanos(start.elapsed()))
}

/// A program to its end, by posix_spawn(3), its output dropped.
fn succeed(words: &[&str]) -> Result<()> {
    let (program, rest) = words.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("start {program}"))?;
    if !status.success() {
        bail!("{}: {status}", words.join(" "));
    }
    Ok(())
}

/// Nanoseconds for one of the files of a folder, each visited in every round.
fn each(folder: &str, rounds: &str, work: fn(&Path) -> Result<()>) -> Result<u64> {
    let rounds: u64 = rounds.parse()?;
    let entries = fs::read_dir(folder).with_context(|| folder.to_owned())?;
    let paths: Vec<_> = entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    // Not lost+found, which mke2fs makes.
    let files: Vec<_> = paths.into_iter().filter(|path| path.is_file()).collect();
    let start = Instant::now();
    for _ in 0..rounds {
        files.iter().try_for_each(|file| work(file))?;
    }
    let visits = rounds * u64::try_from(files.len())?;
    Ok(nanos(start.elapsed()) / visits.max(1))
}

fn open_read_close(file: &Path) -> Result<()> {
    let mut buffer = [0; PAGE_BYTES];
    let length = File::open(file)?.read(&mut buffer)?;
    black_box(buffer[..length].len());
    Ok(())
}

fn stat(file: &Path) -> Result<()> {
    black_box(fs::metadata(file)?);
    Ok(())
}

fn read(file: &str) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut open = File::open(file).with_context(|| file.to_owned())?;
    while open.read(&mut buffer)? > 0 {
        black_box(&buffer);
    }
    Ok(())
}

/// Writes a new file and waits until it is on the device.
fn write(file: &str, mebibytes: usize) -> Result<()> {
    let buffer = noise(CHUNK_BYTES);
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).open(file)?;
    for _ in 0..(mebibytes << 20) / CHUNK_BYTES {
        open.write_all(&buffer)?;
    }
    open.sync_all()?;
    Ok(())
}

/// Nanoseconds for one page at a random place.
fn random(file: &str, count: u64) -> Result<u64> {
    let open = File::open(file).with_context(|| file.to_owned())?;
    let pages = open.metadata()?.len() / u64::try_from(PAGE_BYTES)?;
    let mut buffer = [0; PAGE_BYTES];
    let mut number = Noise(1);
    let start = Instant::now();
    for _ in 0..count {
        let page = number.next() % pages.max(1);
        open.read_exact_at(&mut buffer, page * u64::try_from(PAGE_BYTES)?)?;
        black_box(&buffer);
    }
    Ok(nanos(start.elapsed()) / count.max(1))
}

/// Makes, looks at and removes many names of one directory.
fn names(folder: &Path, count: u64) -> Result<()> {
    let path = |n: u64| folder.join(format!("file-{n:06}"));
    (0..count).try_for_each(|n| File::create_new(path(n)).map(drop))?;
    (0..count).try_for_each(|n| fs::metadata(path(n)).map(drop))?;
    (0..count).try_for_each(|n| fs::remove_file(path(n)))?;
    Ok(())
}

/// The same numbers each time (xorshift64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut numbers = Noise(0x9e37_79b9_7f4a_7c15);
    (0..length.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).take(length).collect()
}
