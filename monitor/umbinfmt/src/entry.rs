//! One registration.

use abi::Errno;
use std::fmt::Write as _;

/// The bytes at the beginning of a program that are looked at: `BINPRM_BUF_SIZE`.
pub const HEAD_BYTES: usize = 256;
/// The shortest and the longest line.
const LINE_BYTES: core::ops::RangeInclusive<usize> = 11..=1920;

/// Why a line is no registration. The kernel says `EINVAL` to all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Too short or too long.
    #[error("the line has {0} bytes, not 11 to 1920")]
    Length(usize),
    /// A letter that is also a flag, or NUL.
    #[error("byte {0:#x} can't separate fields")]
    Separator(u8),
    /// The line ends before this field does.
    #[error("no end of the field {0}")]
    Unfinished(&'static str),
    /// Empty, `.`, `..`, or with a slash.
    #[error("the name is empty, . or .., or has a slash")]
    Name,
    /// Neither `E` nor `M`.
    #[error("the type is neither E nor M")]
    Type,
    /// No number from 0 on.
    #[error("the offset is no number")]
    Offset,
    /// `\x` without two hexadecimal digits.
    #[error("a \\x without two hexadecimal digits")]
    Escape,
    /// Nothing to recognise by.
    #[error("the magic or extension is empty, or has a slash")]
    Magic,
    /// Magic and mask differ in length.
    #[error("the magic has {magic} bytes and the mask {mask}")]
    Mask {
        /// Bytes of the magic.
        magic: usize,
        /// Bytes of the mask.
        mask: usize,
    },
    /// The magic does not lie in the first 256 bytes.
    #[error("{size} bytes at {offset} are not within the first 256 of a file")]
    Reach {
        /// Offset of the magic.
        offset: usize,
        /// Its length.
        size: usize,
    },
    /// Nobody to run it.
    #[error("the interpreter is empty")]
    Interpreter,
    /// Something behind the flags.
    #[error("byte {0:#x} is no flag")]
    Flag(u8),
}

impl From<EntryError> for Errno {
    fn from(error: EntryError) -> Self {
        tracing::warn!("register: {error}");
        match error {
            EntryError::Length(_)
            | EntryError::Separator(_)
            | EntryError::Unfinished(_)
            | EntryError::Name
            | EntryError::Type
            | EntryError::Offset
            | EntryError::Escape
            | EntryError::Magic
            | EntryError::Mask { .. }
            | EntryError::Reach { .. }
            | EntryError::Interpreter
            | EntryError::Flag(_) => Self::EINVAL,
        }
    }
}

/// How a program is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// Type `E`: by what follows the last dot of its name.
    Extension(Vec<u8>),
    /// Type `M`: by bytes at an offset, of which the bits of the mask count.
    Magic {
        /// Where the bytes are.
        offset: usize,
        /// The bytes.
        magic: Vec<u8>,
        /// The bits that count; all without it.
        mask: Option<Vec<u8>>,
    },
}

/// The letters at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `P`
    pub preserve_argv0: bool,
    /// `O`, and with `C`
    pub open_binary: bool,
    /// `C`
    pub credentials: bool,
    /// `F`
    pub fix_binary: bool,
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file.
    pub name: Vec<u8>,
    /// How it is recognised.
    pub recognition: Recognition,
    /// Who runs it.
    pub interpreter: Vec<u8>,
    /// The letters at the end.
    pub flags: Flags,
}

/// A line, field by field.
struct Fields<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Fields<'a> {
    /// The next field, which ends at the separator; a NUL before it ends the kernel's search for it.
    fn next(&mut self, what: &'static str) -> Result<&'a [u8], EntryError> {
        let end = self.rest.iter().position(|&b| b == self.separator || b == 0);
        self.take(end, what)
    }

    /// The next field, which may hold `\xHH`, and in it the separator only as such.
    fn next_escaped(&mut self, what: &'static str) -> Result<Vec<u8>, EntryError> {
        let mut decoded = Vec::new();
        let mut at = 0_usize;
        let mut has_ended = false;
        loop {
            let byte = *self.rest.get(at).ok_or(EntryError::Unfinished(what))?;
            if byte == self.separator {
                break;
            }
            at = at.saturating_add(1);
            let mut value = byte;
            if byte == b'\\' && self.rest.get(at) == Some(&b'x') {
                let digit = |index: usize| -> Option<u8> {
                    let c = char::from(*self.rest.get(index)?);
                    c.to_digit(16).and_then(|d| u8::try_from(d).ok())
                };
                let (high, low) = (digit(at.saturating_add(1)), digit(at.saturating_add(2)));
                let (Some(high), Some(low)) = (high, low) else { return Err(EntryError::Escape) };
                value = (high << 4) | low;
                at = at.saturating_add(3);
            } else {
                // A raw NUL ends what is decoded, not the field.
                has_ended |= byte == 0;
            }
            if !has_ended {
                decoded.push(value);
            }
        }
        self.take(Some(at), what)?;
        Ok(decoded)
    }

    fn take(&mut self, end: Option<usize>, what: &'static str) -> Result<&'a [u8], EntryError> {
        let unfinished = EntryError::Unfinished(what);
        let Some((field, rest)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return Err(unfinished);
        };
        match rest.split_first() {
            Some((&first, rest)) if first == self.separator => {
                self.rest = rest;
                Ok(field)
            }
            _ => Err(unfinished),
        }
    }
}

impl Entry {
    /// Reads `:name:type:offset:magic:mask:interpreter:flags`, where the first byte is the separator.
    ///
    /// # Errors
    /// In the order of the fields, as the variants of [`EntryError`] say.
    pub fn parse(line: &[u8]) -> Result<Self, EntryError> {
        if !LINE_BYTES.contains(&line.len()) {
            return Err(EntryError::Length(line.len()));
        }
        let Some((&separator, rest)) = line.split_first() else {
            return Err(EntryError::Length(0));
        };
        if matches!(separator, b'P' | b'O' | b'C' | b'F' | 0) {
            return Err(EntryError::Separator(separator));
        }
        let mut fields = Fields { rest, separator };
        let name = fields.next("name")?;
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            return Err(EntryError::Name);
        }
        let recognition = match fields.next("type")? {
            b"E" => extension(&mut fields)?,
            b"M" => magic(&mut fields)?,
            _ => return Err(EntryError::Type),
        };
        let interpreter = fields.next("interpreter")?;
        if interpreter.is_empty() {
            return Err(EntryError::Interpreter);
        }
        Ok(Self {
            name: name.to_vec(),
            recognition,
            interpreter: interpreter.to_vec(),
            flags: flags(fields.rest)?,
        })
    }

    /// Whether a program of this name and beginning is of this format.
    #[must_use]
    pub fn matches(&self, name: &[u8], head: &[u8; HEAD_BYTES]) -> bool {
        match &self.recognition {
            Recognition::Extension(extension) => {
                let dot = name.iter().rposition(|&b| b == b'.');
                let after = dot.and_then(|dot| name.get(dot.saturating_add(1)..));
                after == Some(extension.as_slice())
            }
            Recognition::Magic { offset, magic, mask } => {
                let Some(bytes) = head.get(*offset..) else { return false };
                let bits = |i: usize| mask.as_ref().map_or(Some(0xff), |m| m.get(i).copied());
                bytes.len() >= magic.len()
                    && magic
                        .iter()
                        .zip(bytes)
                        .enumerate()
                        .all(|(i, (want, have))| (want ^ have) & bits(i).unwrap_or(0xff) == 0)
            }
        }
    }

    /// What its file shows.
    #[must_use]
    pub fn show(&self, is_enabled: bool) -> Vec<u8> {
        let mut text = state_text(is_enabled).to_vec();
        text.extend_from_slice(b"interpreter ");
        text.extend_from_slice(&self.interpreter);
        text.extend_from_slice(b"\nflags: ");
        let f = self.flags;
        for (is_set, letter) in [
            (f.preserve_argv0, b'P'),
            (f.open_binary, b'O'),
            (f.credentials, b'C'),
            (f.fix_binary, b'F'),
        ] {
            if is_set {
                text.push(letter);
            }
        }
        match &self.recognition {
            Recognition::Extension(extension) => {
                text.extend_from_slice(b"\nextension .");
                text.extend_from_slice(extension);
            }
            Recognition::Magic { offset, magic, mask } => {
                let mut lines = format!("\noffset {offset}\nmagic {}", hexadecimal(magic));
                if let Some(mask) = mask {
                    lines.push_str("\nmask ");
                    lines.push_str(&hexadecimal(mask));
                }
                text.extend_from_slice(lines.as_bytes());
            }
        }
        text.push(b'\n');
        text
    }
}

/// The first line of a file that can be switched off.
pub(crate) fn state_text(is_enabled: bool) -> &'static [u8] {
    if is_enabled { b"enabled\n" } else { b"disabled\n" }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn extension(fields: &mut Fields<'_>) -> Result<Recognition, EntryError> {
    fields.next("offset")?;
    let extension = fields.next("extension")?;
    if extension.is_empty() || extension.contains(&b'/') {
        return Err(EntryError::Magic);
    }
    fields.next("mask")?;
    Ok(Recognition::Extension(extension.to_vec()))
}

fn magic(fields: &mut Fields<'_>) -> Result<Recognition, EntryError> {
    let offset = offset(fields.next("offset")?)?;
    let magic = fields.next_escaped("magic")?;
    if magic.is_empty() {
        return Err(EntryError::Magic);
    }
    let mask = fields.next_escaped("mask")?;
    let mask = (!mask.is_empty()).then_some(mask);
    let size = magic.len();
    if let Some(mask) = &mask
        && mask.len() != size
    {
        return Err(EntryError::Mask { magic: size, mask: mask.len() });
    }
    if offset.saturating_add(size) > HEAD_BYTES {
        return Err(EntryError::Reach { offset, size });
    }
    Ok(Recognition::Magic { offset, magic, mask })
}

/// A decimal number as `kstrtoint` of the kernel reads it: a sign before and a newline behind are allowed.
fn offset(text: &[u8]) -> Result<usize, EntryError> {
    if text.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(text).map_err(|_| EntryError::Offset)?;
    let number: i32 =
        text.strip_suffix('\n').unwrap_or(text).parse().map_err(|_| EntryError::Offset)?;
    usize::try_from(number).map_err(|_| EntryError::Offset)
}

fn flags(text: &[u8]) -> Result<Flags, EntryError> {
    let mut flags = Flags::default();
    for &letter in text.strip_suffix(b"\n").unwrap_or(text) {
        match letter {
            b'P' => flags.preserve_argv0 = true,
            b'O' => flags.open_binary = true,
            b'C' => {
                flags.credentials = true;
                flags.open_binary = true;
            }
            b'F' => flags.fix_binary = true,
            other => return Err(EntryError::Flag(other)),
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
