//! The text behind `mount -o`.

use crate::Errno;
use crate::module::MountError;

/// Options of one mount, `key` or `key=value`, in the order written. Readers *take* what they know; what is
/// left at the end is unknown and refused by [`finish`](Self::finish).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    entries: Vec<(String, Option<String>)>,
}

impl Options {
    /// Splits at commas; a comma or backslash after a backslash stands for itself, as in fstab(5) readers.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut entries = Vec::new();
        let mut word = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(escaped @ (',' | '\\')) => word.push(escaped),
                    Some(other) => {
                        word.push('\\');
                        word.push(other);
                    }
                    None => word.push('\\'),
                },
                ',' => Self::push(&mut entries, &mut word),
                other => word.push(other),
            }
        }
        Self::push(&mut entries, &mut word);
        Self { entries }
    }

    fn push(entries: &mut Vec<(String, Option<String>)>, word: &mut String) {
        if word.is_empty() {
            return;
        }
        let text = core::mem::take(word);
        entries.push(match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text, None),
        });
    }

    /// Adds `key` without value, as if it had been written last: how `MS_RDONLY` becomes `ro` for a submodule.
    pub fn add_flag(&mut self, key: &str) {
        self.entries.push((key.to_owned(), None));
    }

    /// Takes every `key` without value; true if there was one.
    pub fn take_flag(&mut self, key: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(k, v)| !(k == key && v.is_none()));
        self.entries.len() != before
    }

    /// Takes every `key=value`; the last one counts, as in mount(8).
    pub fn take_value(&mut self, key: &str) -> Option<String> {
        self.take_all(key).pop()
    }

    /// Takes every `key=value` in order, for options that may be repeated.
    pub fn take_all(&mut self, key: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.entries.retain(|(k, v)| match v {
            Some(value) if k == key => {
                taken.push(value.clone());
                false
            }
            _ => true,
        });
        taken
    }

    /// Takes `key=NUMBER`: decimal, octal after `0`, hexadecimal after `0x`.
    ///
    /// # Errors
    /// - `EINVAL` if the value is no such number.
    pub fn take_number(&mut self, key: &str) -> Result<Option<u64>, MountError> {
        let Some(text) = self.take_value(key) else { return Ok(None) };
        let digits = text.as_str();
        let parsed = if let Some(hex) = digits.strip_prefix("0x") {
            u64::from_str_radix(hex, 16)
        } else if digits.len() > 1 && digits.starts_with('0') {
            u64::from_str_radix(digits, 8)
        } else {
            digits.parse()
        };
        parsed.map(Some).map_err(|_| {
            MountError::new(Errno::EINVAL, format!("option {key}={text}: not a number"))
        })
    }

    /// Takes `key=SIZE` in bytes: a decimal number with an optional suffix K, M, G or T (powers of 1024).
    ///
    /// # Errors
    /// - `EINVAL` if the value is no such size or passes 2^63 bytes.
    pub fn take_size(&mut self, key: &str) -> Result<Option<u64>, MountError> {
        let Some(text) = self.take_value(key) else { return Ok(None) };
        let bad = || MountError::new(Errno::EINVAL, format!("option {key}={text}: not a size"));
        let (digits, shift) = match text.bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
            Some(b't' | b'T') => (&text[..text.len() - 1], 40),
            _ => (text.as_str(), 0),
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        match number.checked_mul(1 << shift) {
            Some(bytes) if bytes <= i64::MAX.unsigned_abs() => Ok(Some(bytes)),
            _ => Err(bad()),
        }
    }

    /// What is left, as written.
    #[must_use]
    pub fn remaining(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|(k, v)| v.as_ref().map_or_else(|| k.clone(), |v| format!("{k}={v}")))
            .collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// - `EINVAL` naming the first option that nobody took.
    pub fn finish(&self) -> Result<(), MountError> {
        match self.remaining().first() {
            None => Ok(()),
            Some(first) => {
                Err(MountError::new(Errno::EINVAL, format!("unknown mount option: {first}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use crate::Errno;

    #[test]
    fn words_are_taken_once_and_the_rest_is_named() {
        let mut o = Options::parse("ro,except=/tmp,except=/var,uid=0x10,size=4K,odd\\,key=1");
        assert!(o.take_flag("ro"));
        assert!(!o.take_flag("ro"));
        o.add_flag("ro");
        assert!(o.take_flag("ro"));
        assert_eq!(o.take_all("except"), ["/tmp", "/var"]);
        assert_eq!(o.take_number("uid").unwrap(), Some(16));
        assert_eq!(o.take_size("size").unwrap(), Some(4096));
        let refusal = o.finish().unwrap_err();
        assert_eq!(refusal.errno, Errno::EINVAL);
        assert_eq!(refusal.message, "unknown mount option: odd,key=1");
    }

    #[test]
    fn bad_numbers_are_refused_with_their_text() {
        let mut o = Options::parse("uid=abc,size=9999999999999T,mode=0644");
        assert_eq!(o.take_number("uid").unwrap_err().message, "option uid=abc: not a number");
        assert!(o.take_size("size").is_err());
        assert_eq!(o.take_number("mode").unwrap(), Some(0o644));
        assert!(o.finish().is_ok());
    }

    #[test]
    fn empty_text_has_no_options() {
        assert!(Options::parse("").finish().is_ok());
        assert!(Options::parse(",,").remaining().is_empty());
    }
}
