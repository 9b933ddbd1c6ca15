//! execve(2), execveat(2): native while program and interpreter are the host's own; else the program is handed
//! over as a memfd, with its interpreter named by a path that the kernel can open.

use super::Ctx;
use super::name::{Led, Named, host_words};
use crate::elf;
use crate::namei::{Place, VirtualPlace, Walk};
use crate::path;
use crate::placeholder;
use crate::quick::How;
use crate::tasks::PendingExec;
use crate::view::PRESENT;
use abi::fs::FileKind;
use abi::module::Interpreter;
use abi::{Errno, Result};
use engine::{Answer, Arg, AtExec, Pointer, Rewrite};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

/// The most interpreters behind one another (`BINPRM` recursion limit of the kernel).
const SCRIPTS_MAX: usize = 5;
/// Bytes of the first line that the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD_BYTES: usize = 256;
/// Programs are looked up like any file that is opened.
const LOADED: How = How { follow: true, change: false };
/// The most arguments taken over for a script.
const ARGUMENTS_MAX: usize = 1 << 17;

/// execve(2), execveat(2).
pub(super) fn exec(ctx: &Ctx<'_>) -> Result<Answer> {
    let named = ctx.named(0)?;
    if ctx.is_quick(&named) && is_all_native(ctx, &named) {
        remember(ctx, None, None);
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    let Some(place) = led.found.place.clone() else {
        return if led.as_given { Ok(Answer::Native) } else { Err(Errno::ENOENT) };
    };
    if place.is_directory() {
        return Err(Errno::EACCES);
    }
    plan(ctx, &named, &led, place)
}

/// Whether the host would load program and interpreters just as the view says. Reads the head of the file.
fn is_all_native(ctx: &Ctx<'_>, named: &Named) -> bool {
    let mut at = named.text.clone();
    if at.first() != Some(&b'/') {
        let base = match named.dirfd {
            None => ctx.m.host_cwd(ctx.proc, ctx.tid()),
            Some(fd) => {
                let link = format!("/proc/{}/fd/{fd}", ctx.tid());
                crate::hostview::readlink(link.as_bytes()).ok().map(Into::into)
            }
        };
        let Some(base) = base else { return false };
        at = path::append(&base, &at);
    }
    for _ in 0..SCRIPTS_MAX {
        let Ok(file) = File::open(path::os(&at)) else { return true };
        let mut head = [0; HEAD_BYTES];
        let n = file.read_at(&mut head, 0).unwrap_or(0);
        // Whether the format's prefix covers it is known when its links are followed.
        if format_of(ctx, None, &at, &head).is_some() {
            return false;
        }
        let interpreter = match script_line(&head[..n]) {
            Some(line) => line.interpreter,
            None => match elf::interpreter(&mut |buf, off| file.read_at(buf, off).unwrap_or(0)) {
                Some(i) => {
                    return ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, &i, LOADED);
                }
                None => return true,
            },
        };
        if !ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, &interpreter, LOADED) {
            return false;
        }
        at = interpreter;
        if at.first() != Some(&b'/') {
            return false;
        }
    }
    true
}

/// Who runs a program of this name and beginning, if a mount of umbinfmt says so; the youngest that knows it.
/// Without a path, prefixes are not looked at.
fn format_of(
    ctx: &Ctx<'_>,
    view_path: Option<&[u8]>,
    name: &[u8],
    head: &[u8; HEAD_BYTES],
) -> Option<Interpreter> {
    let mounts = ctx.m.mounts.snapshot();
    let view = ctx.proc.view();
    mounts
        .formats(&view)
        .filter(|f| view_path.is_none_or(|path| f.covers(path)))
        .find_map(|f| f.interpreter(name, head))
}

/// A `#!` line.
struct ScriptLine {
    interpreter: Vec<u8>,
    argument: Option<Vec<u8>>,
}

/// Reads a `#!` line as the kernel's `load_script` does: one argument at most, blanks trimmed.
fn script_line(head: &[u8]) -> Option<ScriptLine> {
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|&b| b == b'\n' || b == 0).unwrap_or(rest.len());
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let mut line = &rest[..end];
    while line.first().is_some_and(is_blank) {
        line = &line[1..];
    }
    while line.last().is_some_and(is_blank) {
        line = &line[..line.len() - 1];
    }
    if line.is_empty() {
        return None;
    }
    let cut = line.iter().position(is_blank).unwrap_or(line.len());
    let mut argument = &line[cut..];
    while argument.first().is_some_and(is_blank) {
        argument = &argument[1..];
    }
    Some(ScriptLine {
        interpreter: line[..cut].to_vec(),
        argument: (!argument.is_empty()).then(|| argument.to_vec()),
    })
}

/// A program file of either kind, opened for reading.
enum Program {
    Host(Vec<u8>, File),
    Virtual(VirtualPlace),
}

impl Program {
    fn open(ctx: &Ctx<'_>, place: &Place) -> Result<Self> {
        match place {
            Place::Host(_) => {
                let at = place.host_path().ok_or(Errno::EIO)?.to_vec();
                let may = nix::unistd::AccessFlags::X_OK;
                nix::unistd::access(path::os(&at), may).map_err(crate::hostview::errno)?;
                let file = File::open(path::os(&at))?;
                Ok(Self::Host(at, file))
            }
            Place::Virtual(v) => {
                if v.attr.kind != FileKind::Regular {
                    return Err(Errno::EACCES);
                }
                ctx.may(&v.mount, &v.attr, libc::X_OK)?;
                match place.backing_path() {
                    Some(at) => {
                        let file = File::open(path::os(&at))?;
                        Ok(Self::Host(at, file))
                    }
                    None if ctx.m.vfiles.is_open_for_writing(ctx.m, (v.mount.id, v.attr.ino)) => {
                        Err(Errno::ETXTBSY)
                    }
                    None => Ok(Self::Virtual(v.clone())),
                }
            }
            _ => Err(Errno::EACCES),
        }
    }

    fn read(&self, ctx: &Ctx<'_>, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Self::Host(_, file) => Ok(file.read_at(buf, offset)?),
            Self::Virtual(v) => {
                let file = ctx.m.vfiles.regular(v, false)?;
                let mut state = file.state();
                file.read_at(&mut state, buf, offset)
            }
        }
    }

    fn len(&self) -> Result<u64> {
        match self {
            Self::Host(_, file) => Ok(file.metadata()?.len()),
            Self::Virtual(v) => Ok(v.attr.size_bytes),
        }
    }

    /// A memfd with the program's bytes, changed by `patch`, that nobody has open for writing.
    fn image(&self, ctx: &Ctx<'_>, name: &[u8], patch: Option<&[u8]>) -> Result<OwnedFd> {
        let memfd = placeholder::memfd(name)?;
        let size = self.len()?;
        let mut buf = vec![0; 1 << 18];
        let mut offset = 0;
        while offset < size {
            let n = self.read(ctx, &mut buf, offset)?;
            if n == 0 {
                break;
            }
            memfd.write_all_at(&buf[..n], offset)?;
            offset += n as u64;
        }
        if let Some(interpreter) = patch {
            elf::set_interpreter(&memfd, interpreter)?;
        }
        // The kernel refuses to run what is open for writing (ETXTBSY).
        placeholder::reopen(&memfd, libc::O_RDONLY)
    }
}

/// What follows from the head of a program: its chain of interpreters, resolved in the view.
struct Chain {
    program: Program,
    place: Place,
    /// What goes before the arguments of the call, outermost interpreter first.
    prefix: Vec<Vec<u8>>,
    /// The first argument of the call stays, behind the prefix.
    keeps_argv0: bool,
    /// The program that its interpreter gets as a descriptor.
    opened: Option<Place>,
    /// The program whose set-id bits count.
    credentials: Option<Place>,
}

impl Chain {
    fn at(ctx: &Ctx<'_>, place: Place) -> Result<Self> {
        Ok(Self {
            program: Program::open(ctx, &place)?,
            place,
            prefix: Vec::new(),
            keeps_argv0: false,
            opened: None,
            credentials: None,
        })
    }

    /// As `load_script` of the kernel: interpreter, its argument, and the script in place of the first argument.
    fn run_by_script_line(&mut self, line: &ScriptLine, shown: &[u8]) {
        let mut front = vec![line.interpreter.clone()];
        front.extend(line.argument.clone());
        if self.prefix.is_empty() {
            front.push(shown.to_vec());
        }
        front.append(&mut self.prefix);
        self.prefix = front;
    }

    /// As `load_misc_binary` of the kernel: interpreter and program, in place of the first argument or before it.
    fn run_by_format(&mut self, format: &Interpreter, shown: &[u8]) {
        if self.prefix.is_empty() {
            self.keeps_argv0 = format.keeps_first_argument;
        } else if !format.keeps_first_argument {
            self.prefix.remove(0);
        }
        self.prefix.splice(0..0, [format.path.clone(), shown.to_vec()]);
        if format.opens_program && self.opened.is_none() {
            self.opened = Some(self.place.clone());
        }
        if format.has_credentials_of_program && self.credentials.is_none() {
            self.credentials = Some(self.place.clone());
        }
    }
}

fn unfold(ctx: &Ctx<'_>, named: &Named, place: Place) -> Result<Chain> {
    let mut shown = named.text.clone();
    if shown.is_empty() {
        shown = place.view_path().to_vec();
    }
    let mut chain = Chain::at(ctx, place)?;
    for _ in 0..=SCRIPTS_MAX {
        let mut head = [0; HEAD_BYTES];
        let n = chain.program.read(ctx, &mut head, 0)?;
        let mut walk = ctx.walker();
        let (base, interpreter) = match format_of(ctx, Some(chain.place.view_path()), &shown, &head)
        {
            Some(format) => {
                chain.run_by_format(&format, &shown);
                if format.is_fixed {
                    walk = Walk::at(ctx.m, ctx.proc.view(), PRESENT);
                    (walk.root_place()?, format.path)
                } else {
                    (ctx.base(&mut walk, None)?.0, format.path)
                }
            }
            None => match script_line(&head[..n]) {
                Some(line) => {
                    chain.run_by_script_line(&line, &shown);
                    (ctx.base(&mut walk, None)?.0, line.interpreter)
                }
                None => return Ok(chain),
            },
        };
        chain.place = walk.walk(base, &interpreter, true)?.existing()?;
        chain.program = Program::open(ctx, &chain.place)?;
        shown = interpreter;
    }
    Err(Errno::ELOOP)
}

fn plan(ctx: &Ctx<'_>, named: &Named, led: &Led, place: Place) -> Result<Answer> {
    let first = place.clone();
    let chain = unfold(ctx, named, place)?;
    let comm_source = path::split(first.view_path()).map_or(&b"?"[..], |(_, n)| n).to_vec();
    let comm = comm_source[..comm_source.len().min(15)].to_vec();
    let interpreter =
        elf::interpreter(&mut |buf, off| chain.program.read(ctx, buf, off).unwrap_or(0));
    let mut keep = Vec::new();
    let patch = match &interpreter {
        None => None,
        Some(text) => interpreter_for_kernel(ctx, text, &mut keep)?,
    };
    let monitor = std::process::id();
    let program_path = match (&chain.program, &patch) {
        (Program::Host(at, _), None) => {
            if chain.prefix.is_empty() && led.as_given && first.is_as_on_host() {
                remember(ctx, None, set_ids(ctx, &chain.place));
                return Ok(Answer::Native);
            }
            at.clone()
        }
        (program, patch) => {
            let fd = program.image(ctx, &comm, patch.as_deref())?;
            let at = format!("/proc/{monitor}/fd/{}", fd.as_raw_fd()).into_bytes();
            keep.push(fd);
            at
        }
    };
    let is_at = ctx.row.name == "execveat";
    let (argv, envp) = if is_at { (ctx.arg(2), ctx.arg(3)) } else { (ctx.arg(1), ctx.arg(2)) };
    let argv = if chain.prefix.is_empty() {
        Arg::Value(argv)
    } else {
        Arg::Pointers(script_arguments(ctx, argv, chain.prefix, chain.keeps_argv0)?)
    };
    let at_exec = match &chain.opened {
        None if !chain.keeps_argv0 => None,
        opened => Some(AtExec {
            program: opened.as_ref().map(|p| readable(ctx, p)).transpose()?,
            keeps_argv0: chain.keeps_argv0,
        }),
    };
    let mut text = program_path;
    text.push(0);
    let shows_other = !matches!(chain.program, Program::Host(..))
        || patch.is_some()
        || !chain.place.is_as_on_host();
    let exe = shows_other.then(|| chain.place.view_path().to_vec());
    remember(ctx, exe, set_ids(ctx, chain.credentials.as_ref().unwrap_or(&chain.place)));
    Ok(Answer::Rewrite(Box::new(Rewrite {
        number: libc::SYS_execve as u32,
        args: vec![Arg::Bytes(text), argv, Arg::Value(envp)],
        comm: Some(comm),
        keep,
        at_exec,
        ..Rewrite::default()
    })))
}

/// A descriptor of ours from which an interpreter reads the program that it was made for.
fn readable(ctx: &Ctx<'_>, place: &Place) -> Result<OwnedFd> {
    match Program::open(ctx, place)? {
        Program::Host(_, file) => Ok(file.into()),
        program @ Program::Virtual(_) => {
            let name = path::split(place.view_path()).map_or(&b"program"[..], |(_, n)| n);
            program.image(ctx, name, None)
        }
    }
}

/// What the kernel is to be told of the interpreter: `None` if the name in the program leads it to the same file.
fn interpreter_for_kernel(
    ctx: &Ctx<'_>,
    text: &[u8],
    keep: &mut Vec<OwnedFd>,
) -> Result<Option<Vec<u8>>> {
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, text, LOADED) {
        return Ok(None);
    }
    let mut walk = ctx.walker();
    let (base, _) = ctx.base(&mut walk, None)?;
    let found = walk.walk(base, text, true)?;
    let left_host = walk.left_host || walk.root.is_some();
    let Some(place) = &found.place else { return Err(Errno::ENOENT) };
    match place {
        _ if place.is_as_on_host() && !left_host => Ok(None),
        _ if place.backing_path().is_some() => Ok(host_words(&found)),
        Place::Virtual(_) => {
            let program = Program::open(ctx, place)?;
            let name = path::split(place.view_path()).map_or(&b"ld.so"[..], |(_, n)| n);
            let fd = program.image(ctx, name, None)?;
            let at = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
            keep.push(fd);
            Ok(Some(at.into_bytes()))
        }
        _ => Err(Errno::EACCES),
    }
}

/// The arguments of a script: interpreter, its argument, the script, and what followed `argv[0]`.
fn script_arguments(
    ctx: &Ctx<'_>,
    argv: u64,
    prefix: Vec<Vec<u8>>,
    keeps_first: bool,
) -> Result<Vec<Pointer>> {
    let mut all: Vec<Pointer> = prefix.into_iter().map(Pointer::Text).collect();
    let mut at = argv;
    for index in 0..ARGUMENTS_MAX {
        let mut word = [0; 8];
        if argv != 0 {
            ctx.tracee.read(at, &mut word)?;
        }
        let address = u64::from_ne_bytes(word);
        if address == 0 {
            return Ok(all);
        }
        if index > 0 || keeps_first {
            all.push(Pointer::Address(address));
        }
        at += 8;
    }
    Err(Errno::E2BIG)
}

/// The ids after a virtual set-id program.
fn set_ids(ctx: &Ctx<'_>, place: &Place) -> Option<Arc<crate::credentials::Credentials>> {
    let have = ctx.proc.ids()?;
    let (perm, uid, gid) = match place {
        Place::Virtual(v) if !v.mount.flags.no_suid => (v.attr.perm, v.attr.uid, v.attr.gid),
        Place::Host(_) => {
            let s = crate::hostview::lstat(place.host_path()?).ok()?;
            ((s.st_mode & 0o7777) as u16, s.st_uid, s.st_gid)
        }
        _ => (0, 0, 0),
    };
    let set_uid = (perm & 0o4000 != 0).then_some(uid);
    let set_gid = (perm & 0o2010 == 0o2010).then_some(gid);
    Some(Arc::new(have.after_exec(set_uid, set_gid)))
}

/// What becomes of the process if the exec succeeds.
fn remember(
    ctx: &Ctx<'_>,
    exe: Option<Vec<u8>>,
    ids: Option<Arc<crate::credentials::Credentials>>,
) {
    let ids = ids.or_else(|| {
        let have = ctx.proc.ids()?;
        Some(Arc::new(have.after_exec(None, None)))
    });
    let mut pending = ctx.proc.pending_exec.lock().unwrap_or_else(PoisonError::into_inner);
    *pending = Some(PendingExec { exe, ids });
}

#[cfg(test)]
mod tests {
    use super::script_line;

    #[test]
    fn a_script_line_has_one_argument_at_most() {
        let line = script_line(b"#! /usr/bin/env  -S a b \necho").unwrap();
        assert_eq!(line.interpreter, b"/usr/bin/env");
        assert_eq!(line.argument.as_deref(), Some(&b"-S a b"[..]));
        let bare = script_line(b"#!/bin/sh\n").unwrap();
        assert_eq!(bare.interpreter, b"/bin/sh");
        assert_eq!(bare.argument, None);
        assert!(script_line(b"#!   \n").is_none());
        assert!(script_line(b"\x7fELF").is_none());
    }
}
