//! A fixed list of files.

use crate::Texts;
use abi::{Errno, Result};

/// `PROC_SUPER_MAGIC`: what tells programs that sizes mean little.
const MAGIC: u64 = 0x9fa0;
/// Longer text is no setting.
const TEXT_BYTES_MAX: usize = 4096;

type Get = Box<dyn Fn() -> Vec<u8> + Send + Sync>;
type Set = Box<dyn Fn(&[u8]) -> Result<()> + Send + Sync>;

/// One file.
pub struct Setting {
    name: &'static str,
    get: Get,
    set: Set,
}

impl Setting {
    /// A file that shows what `get` says, with a newline, and hands what is written to `set`, without one.
    #[must_use]
    pub fn new(
        name: &'static str,
        get: impl Fn() -> Vec<u8> + Send + Sync + 'static,
        set: impl Fn(&[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name, get: Box::new(get), set: Box::new(set) }
    }
}

/// The files in the order in which they are listed; a number is a place in it.
pub struct Settings(Vec<Setting>);

impl Settings {
    /// These files.
    #[must_use]
    pub fn new(files: Vec<Setting>) -> Self {
        Self(files)
    }

    fn file(&self, number: u64) -> Option<&Setting> {
        self.0.get(usize::try_from(number).ok()?)
    }
}

impl Texts for Settings {
    fn magic(&self) -> u64 {
        MAGIC
    }

    fn list(&self, from: u64) -> Vec<(u64, Vec<u8>)> {
        let all = (0..).zip(&self.0).filter(|(number, _)| *number >= from);
        all.map(|(number, file)| (number, file.name.as_bytes().to_vec())).collect()
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        (0..).zip(&self.0).find(|(_, file)| file.name.as_bytes() == name).map(|(number, _)| number)
    }

    fn perm(&self, number: u64) -> Option<u16> {
        self.file(number).map(|_| 0o644)
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        let mut text = (self.file(number).ok_or(Errno::ESTALE)?.get)();
        text.push(b'\n');
        Ok(text)
    }

    fn write(&self, number: u64, text: &[u8]) -> Result<()> {
        let file = self.file(number).ok_or(Errno::ESTALE)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(Errno::EINVAL);
        }
        (file.set)(text.strip_suffix(b"\n").unwrap_or(text))
    }
}
