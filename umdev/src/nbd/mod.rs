//! A disk behind a socket: a client of the network block device protocol.
//!
//! Fixed newstyle handshake with `NBD_OPT_GO`, simple replies, one request at a time (the
//! protocol's `doc/proto.md`). Numbers are big-endian. A connection that fails once is not used
//! again: every later transfer answers `EIO`, because what a server still has to say can't be told
//! from what it says next.
//!
//! Deliberately absent: TLS, structured replies, reconnecting. Put a
//! [`Cached`](crate::block::Cached) before it: a round trip costs more than a lock.

mod handshake;
mod uri;

pub use handshake::NbdError;
pub use uri::{NbdUri, Place};

use crate::block::check_transfer;
use crate::block::check_write;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const WRITE_ZEROES: u16 = 6;

/// How long a server may say nothing before the connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The most that one request carries; every server takes this much.
const PAYLOAD_MAX: u64 = 1 << 20;
/// The most that one request zeroes: below 2^32, and whole blocks of any size allowed.
const ZEROES_MAX: u64 = 1 << 30;

/// What carries the protocol.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// What the handshake brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Export {
    size_bytes: u64,
    read_only: bool,
    can_flush: bool,
    can_zero: bool,
    /// Requests are whole units of so many bytes, a power of two up to 4096.
    unit_bytes: u64,
}

struct Wire {
    stream: Box<dyn Stream>,
    cookie: u64,
    broken: bool,
}

/// The disk that a server exports.
pub struct NbdDevice {
    wire: Mutex<Wire>,
    export: Export,
    /// Held while a write reads what it does not cover.
    partial: Mutex<()>,
}

impl NbdDevice {
    /// Shakes hands over `stream` for the export `name` ("" is the server's default). The stream
    /// should give up by itself when its peer is silent.
    ///
    /// # Errors
    /// - what went wrong in the handshake.
    pub fn new(mut stream: Box<dyn Stream>, name: &str) -> core::result::Result<Self, NbdError> {
        let export = handshake::go(&mut *stream, name)?;
        let wire = Mutex::new(Wire { stream, cookie: 0, broken: false });
        Ok(Self { wire, export, partial: Mutex::default() })
    }

    /// Connects from the monitor's own network to what `uri` names.
    ///
    /// # Errors
    /// - those of connect(2), then those of [`NbdDevice::new`].
    pub fn connect(uri: &NbdUri) -> core::result::Result<Self, NbdError> {
        let io = |error: std::io::Error| NbdError::Io(Errno::from(error));
        let stream: Box<dyn Stream> = match &uri.place {
            Place::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).map_err(io)?;
                stream.set_read_timeout(Some(SILENCE_MAX)).map_err(io)?;
                stream.set_write_timeout(Some(SILENCE_MAX)).map_err(io)?;
                stream.set_nodelay(true).map_err(io)?;
                Box::new(stream)
            }
            Place::Unix { path } => {
                let stream = UnixStream::connect(path).map_err(io)?;
                stream.set_read_timeout(Some(SILENCE_MAX)).map_err(io)?;
                stream.set_write_timeout(Some(SILENCE_MAX)).map_err(io)?;
                Box::new(stream)
            }
        };
        Self::new(stream, &uri.export)
    }

    fn request(&self, kind: u16, offset: u64, len: u64, payload: Payload<'_>) -> Result<()> {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        if wire.broken {
            return Err(Errno::EIO);
        }
        match wire.exchange(kind, offset, len, payload) {
            Ok(0) => Ok(()),
            Ok(number) => Err(answered(number)),
            Err(error) => {
                tracing::warn!(%error, kind, offset, len, "connection to a block server is lost");
                wire.broken = true;
                Err(Errno::EIO)
            }
        }
    }

    /// The whole units around `range`.
    fn whole_units(&self, range: &Range<u64>) -> Range<u64> {
        let mask = self.export.unit_bytes.saturating_sub(1);
        let end = range.end.saturating_add(mask) & !mask;
        (range.start & !mask)..end.min(self.export.size_bytes)
    }

    fn read_units(&self, units: &Range<u64>) -> Result<Vec<u8>> {
        let len = units.end.saturating_sub(units.start);
        let mut bytes = vec![0u8; usize::try_from(len).map_err(|_| Errno::EIO)?];
        self.request(READ, units.start, len, Payload::In(&mut bytes))?;
        Ok(bytes)
    }

    fn read_piece(&self, buf: &mut [u8], range: &Range<u64>) -> Result<()> {
        let units = self.whole_units(range);
        if units == *range {
            let len = range.end.saturating_sub(range.start);
            return self.request(READ, range.start, len, Payload::In(buf));
        }
        let bytes = self.read_units(&units)?;
        let skip = usize::try_from(range.start.saturating_sub(units.start));
        let part = bytes.get(skip.map_err(|_| Errno::EIO)?..).and_then(|b| b.get(..buf.len()));
        buf.copy_from_slice(part.ok_or(Errno::EIO)?);
        Ok(())
    }

    fn write_piece(&self, buf: &[u8], range: &Range<u64>) -> Result<()> {
        let units = self.whole_units(range);
        let len = units.end.saturating_sub(units.start);
        if self.export.unit_bytes == 1 {
            return self.request(WRITE, range.start, len, Payload::Out(buf));
        }
        let _guard = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if units == *range {
            return self.request(WRITE, range.start, len, Payload::Out(buf));
        }
        let mut bytes = self.read_units(&units)?;
        let skip = usize::try_from(range.start.saturating_sub(units.start));
        let part = bytes.get_mut(skip.map_err(|_| Errno::EIO)?..);
        let part = part.and_then(|b| b.get_mut(..buf.len())).ok_or(Errno::EIO)?;
        part.copy_from_slice(buf);
        self.request(WRITE, units.start, len, Payload::Out(&bytes))
    }
}

/// What goes with a request or its answer.
enum Payload<'a> {
    None,
    In(&'a mut [u8]),
    Out(&'a [u8]),
}

impl Wire {
    /// Sends a request and takes its answer; `Ok` is the server's error number, 0 for done.
    fn exchange(
        &mut self,
        kind: u16,
        offset: u64,
        len: u64,
        payload: Payload<'_>,
    ) -> std::io::Result<u32> {
        let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        self.cookie = self.cookie.wrapping_add(1);
        let len = u32::try_from(len).map_err(|_| bad("request is too long"))?;
        let mut message = Vec::new();
        message.extend_from_slice(&REQUEST_MAGIC.to_be_bytes());
        message.extend_from_slice(&0u16.to_be_bytes());
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&self.cookie.to_be_bytes());
        message.extend_from_slice(&offset.to_be_bytes());
        message.extend_from_slice(&len.to_be_bytes());
        if let Payload::Out(bytes) = payload {
            message.extend_from_slice(bytes);
        }
        self.stream.write_all(&message)?;
        self.stream.flush()?;
        let [magic, error, cookie_high, cookie_low] = self.four_words()?;
        let cookie = u64::from(cookie_high) << 32 | u64::from(cookie_low);
        if magic != SIMPLE_REPLY_MAGIC || cookie != self.cookie {
            return Err(bad("answer is not to this request"));
        }
        if let (0, Payload::In(bytes)) = (error, payload) {
            self.stream.read_exact(bytes)?;
        }
        Ok(error)
    }

    fn four_words(&mut self) -> std::io::Result<[u32; 4]> {
        let mut words = [0u32; 4];
        for word in &mut words {
            let mut bytes = [0u8; 4];
            self.stream.read_exact(&mut bytes)?;
            *word = u32::from_be_bytes(bytes);
        }
        Ok(words)
    }
}

/// The protocol's error numbers are Linux's; a disk has fewer.
fn answered(number: u32) -> Errno {
    match i32::try_from(number).map(Errno::from_raw) {
        Ok(Errno::ENOSPC) => Errno::ENOSPC,
        Ok(Errno::EOPNOTSUPP) => Errno::EOPNOTSUPP,
        _ => {
            tracing::warn!(number, "a block server refused a request");
            Errno::EIO
        }
    }
}

/// `start..end` in pieces that end at multiples of `piece`.
fn pieces(start: u64, end: u64, piece: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = start;
    core::iter::from_fn(move || {
        let from = at;
        let bound = from.checked_div(piece)?.saturating_add(1).saturating_mul(piece);
        at = bound.min(end);
        (from < end).then_some(from..at)
    })
}

impl BlockDevice for NbdDevice {
    fn geometry(&self) -> Geometry {
        let block_size = u32::try_from(self.export.unit_bytes.max(512)).unwrap_or(512);
        let (size_bytes, read_only) = (self.export.size_bytes, self.export.read_only);
        Geometry { block_size, size_bytes, read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let end = check_transfer(self.export.size_bytes, buf.len(), offset)?;
        let mut rest = buf;
        for range in pieces(offset, end, PAYLOAD_MAX) {
            let len = usize::try_from(range.end.saturating_sub(range.start));
            let len = len.map_err(|_| Errno::EIO)?;
            let (part, tail) = rest.split_at_mut_checked(len).ok_or(Errno::EIO)?;
            self.read_piece(part, &range)?;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = check_write(&self.geometry(), buf.len(), offset)?;
        let mut rest = buf;
        for range in pieces(offset, end, PAYLOAD_MAX) {
            let len = usize::try_from(range.end.saturating_sub(range.start));
            let len = len.map_err(|_| Errno::EIO)?;
            let (part, tail) = rest.split_at_checked(len).ok_or(Errno::EIO)?;
            self.write_piece(part, &range)?;
            rest = tail;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        if self.export.read_only || !self.export.can_flush {
            // A server without the command has nothing that a flush could change.
            return Ok(());
        }
        self.request(FLUSH, 0, 0, Payload::None)
    }

    /// By `NBD_CMD_WRITE_ZEROES`, which lets the server punch a hole and promises zeroes;
    /// `NBD_CMD_TRIM` promises nothing.
    fn discard(&self, range: Range<u64>) -> Result<()> {
        crate::block::check_discard(&self.geometry(), &range)?;
        if !self.export.can_zero || self.whole_units(&range) != range {
            return Err(Errno::EOPNOTSUPP);
        }
        for piece in pieces(range.start, range.end, ZEROES_MAX) {
            let len = piece.end.saturating_sub(piece.start);
            self.request(WRITE_ZEROES, piece.start, len, Payload::None)?;
        }
        Ok(())
    }
}

impl Drop for NbdDevice {
    fn drop(&mut self) {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        if !wire.broken {
            // The protocol's farewell has no answer.
            let mut message = Vec::new();
            message.extend_from_slice(&REQUEST_MAGIC.to_be_bytes());
            message.extend_from_slice(&[0; 2]);
            message.extend_from_slice(&DISCONNECT.to_be_bytes());
            message.extend_from_slice(&[0; 20]);
            let _ = wire.stream.write_all(&message);
        }
    }
}
