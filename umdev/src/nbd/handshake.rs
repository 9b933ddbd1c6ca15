//! From a connected socket to the shape of an export.

use super::{Export, Stream};
use abi::Errno;
use thiserror::Error;

const INIT_MAGIC: [u8; 8] = *b"NBDMAGIC";
const OPTION_MAGIC: [u8; 8] = *b"IHAVEOPT";
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const OPTION_GO: u32 = 7;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_IS_ERROR: u32 = 1 << 31;
const ERROR_POLICY: u32 = REPLY_IS_ERROR | 2;
const ERROR_TLS_REQUIRED: u32 = REPLY_IS_ERROR | 5;
const ERROR_UNKNOWN: u32 = REPLY_IS_ERROR | 6;
const FLAG_READ_ONLY: u16 = 1 << 1;
const FLAG_FLUSH: u16 = 1 << 2;
const FLAG_WRITE_ZEROES: u16 = 1 << 6;

/// The longest answer to an option, in bytes: a name or a sentence.
const REPLY_BYTES_MAX: u32 = 65_536;
/// The most answers before the last one.
const REPLIES_MAX: u32 = 64;
/// The longest name that the protocol lets an export have, in bytes.
const NAME_BYTES_MAX: usize = 4096;

/// Why a server's disk can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NbdError {
    /// The connection failed.
    #[error("connection: {0}")]
    Io(Errno),
    /// The server does not speak the protocol, or lost the thread.
    #[error("the server sent {found:02x?} where the protocol has {expected:02x?}")]
    Magic {
        /// What the protocol says.
        expected: [u8; 8],
        /// What came.
        found: [u8; 8],
    },
    /// The server speaks a version of before 2012.
    #[error("the server's flags {0:#x} lack fixed newstyle negotiation")]
    OldStyle(u16),
    /// The name is longer than the protocol allows.
    #[error("an export name of {0} bytes")]
    NameTooLong(usize),
    /// The server refuses.
    #[error("the server refused with {code:#010x}: {message}")]
    Refused {
        /// The reply type, with bit 31.
        code: u32,
        /// What it says.
        message: String,
    },
    /// The server talks without end.
    #[error("the server's answers are too many or too long")]
    TooMuch,
    /// The server agreed without saying how large the export is.
    #[error("the server did not describe the export")]
    NoExport,
    /// The export's shape is none of a disk.
    #[error("an export of {size_bytes} bytes in units of {unit_bytes}")]
    Shape {
        /// Its length.
        size_bytes: u64,
        /// Its smallest transfer.
        unit_bytes: u64,
    },
}

impl NbdError {
    /// The number for mount(2).
    #[must_use]
    pub fn to_errno(&self) -> Errno {
        match self {
            Self::Io(errno) => *errno,
            Self::Magic { .. } | Self::OldStyle(_) | Self::TooMuch | Self::NoExport => {
                Errno::EPROTO
            }
            Self::NameTooLong(_) => Errno::ENAMETOOLONG,
            Self::Refused { code: ERROR_UNKNOWN, .. } => Errno::ENOENT,
            Self::Refused { code: ERROR_POLICY | ERROR_TLS_REQUIRED, .. } => Errno::EACCES,
            Self::Refused { .. } => Errno::ECONNREFUSED,
            Self::Shape { .. } => Errno::EINVAL,
        }
    }
}

type Result<T> = core::result::Result<T, NbdError>;

fn read<const N: usize>(stream: &mut dyn Stream) -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    stream.read_exact(&mut bytes).map_err(lost)?;
    Ok(bytes)
}

/// A connection that ends in the middle has no number of its own.
fn lost(error: std::io::Error) -> NbdError {
    NbdError::Io(Errno::from(error))
}

fn expect_magic(stream: &mut dyn Stream, expected: [u8; 8]) -> Result<()> {
    let found = read(stream)?;
    if found == expected { Ok(()) } else { Err(NbdError::Magic { expected, found }) }
}

/// Asks for the export `name` and enters transmission.
pub(super) fn go(stream: &mut dyn Stream, name: &str) -> Result<Export> {
    expect_magic(stream, INIT_MAGIC)?;
    expect_magic(stream, OPTION_MAGIC)?;
    let flags = u16::from_be_bytes(read(stream)?);
    if flags & FIXED_NEWSTYLE == 0 {
        return Err(NbdError::OldStyle(flags));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NbdError::NameTooLong(name.len()));
    }
    let mut data = Vec::new();
    data.extend_from_slice(&be32(name.len()));
    data.extend_from_slice(name.as_bytes());
    data.extend_from_slice(&1u16.to_be_bytes());
    data.extend_from_slice(&INFO_BLOCK_SIZE.to_be_bytes());
    let mut message = Vec::new();
    message.extend_from_slice(&u32::from(flags & (FIXED_NEWSTYLE | NO_ZEROES)).to_be_bytes());
    message.extend_from_slice(&OPTION_MAGIC);
    message.extend_from_slice(&OPTION_GO.to_be_bytes());
    message.extend_from_slice(&be32(data.len()));
    message.extend_from_slice(&data);
    stream.write_all(&message).map_err(lost)?;
    stream.flush().map_err(lost)?;
    replies(stream)
}

fn be32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Takes the answers to the option, up to the last.
fn replies(stream: &mut dyn Stream) -> Result<Export> {
    let mut export = None;
    let mut unit_bytes = 1;
    for _ in 0..REPLIES_MAX {
        expect_magic(stream, REPLY_MAGIC.to_be_bytes())?;
        let _option: [u8; 4] = read(stream)?;
        let code = u32::from_be_bytes(read(stream)?);
        let len = u32::from_be_bytes(read(stream)?);
        if len > REPLY_BYTES_MAX {
            return Err(NbdError::TooMuch);
        }
        let mut data = vec![0u8; usize::try_from(len).map_err(|_| NbdError::TooMuch)?];
        stream.read_exact(&mut data).map_err(lost)?;
        if code & REPLY_IS_ERROR != 0 {
            let message = String::from_utf8_lossy(&data).into_owned();
            return Err(NbdError::Refused { code, message });
        }
        match (code, part::<2>(&data, 0).map(u16::from_be_bytes)) {
            (REPLY_ACK, _) => return shape(export.ok_or(NbdError::NoExport)?, unit_bytes),
            (REPLY_INFO, Some(INFO_EXPORT)) => {
                let size = part(&data, 2).map(u64::from_be_bytes);
                let flags = part(&data, 10).map(u16::from_be_bytes);
                export = size.zip(flags);
            }
            (REPLY_INFO, Some(INFO_BLOCK_SIZE)) => {
                let unit = part(&data, 2).map(u32::from_be_bytes);
                unit_bytes = unit.map_or(1, u64::from);
            }
            // What was not asked for may come and is passed over.
            _ => {}
        }
    }
    Err(NbdError::TooMuch)
}

fn part<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk::<N>().copied()
}

fn shape((size_bytes, flags): (u64, u16), unit_bytes: u64) -> Result<Export> {
    let unit_is_sane = unit_bytes.is_power_of_two() && unit_bytes <= 4096;
    if !unit_is_sane || i64::try_from(size_bytes).is_err() {
        return Err(NbdError::Shape { size_bytes, unit_bytes });
    }
    Ok(Export {
        size_bytes: size_bytes & !unit_bytes.saturating_sub(1),
        read_only: flags & FLAG_READ_ONLY != 0,
        can_flush: flags & FLAG_FLUSH != 0,
        can_zero: flags & FLAG_WRITE_ZEROES != 0,
        unit_bytes,
    })
}
