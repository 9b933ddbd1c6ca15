//! The entries of one mount, and the choice among them.

use crate::entry::{Entry, HEAD_BYTES, state_text};
use abi::module::{BinaryFormats, Interpreter};
use abi::{Errno, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be written to `status` and to the file of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `0`
    Disable,
    /// `1`
    Enable,
    /// `-1`: one entry, or all.
    Remove,
    /// Nothing was written.
    Nothing,
}

impl Command {
    /// Reads a command, with or without newline.
    ///
    /// # Errors
    /// - `EINVAL` if it is none.
    pub fn parse(text: &[u8]) -> Result<Self> {
        match text {
            b"" => Ok(Self::Nothing),
            b"0" | b"0\n" => Ok(Self::Disable),
            b"1" | b"1\n" => Ok(Self::Enable),
            b"-1" | b"-1\n" => Ok(Self::Remove),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// An entry and its state.
struct Slot {
    id: u64,
    entry: Entry,
    is_enabled: bool,
}

struct State {
    is_enabled: bool,
    /// The youngest first, as they are tried.
    slots: Vec<Slot>,
    next_id: u64,
}

/// The entries of one mount.
pub struct Registry {
    /// `None` looks at all programs.
    prefix: Option<Vec<u8>>,
    state: Mutex<State>,
}

impl Registry {
    /// An empty registry for programs at or below `prefix`, an absolute path without slash at its end.
    #[must_use]
    pub fn new(prefix: Option<Vec<u8>>) -> Self {
        let state = State { is_enabled: true, slots: Vec::new(), next_id: 0 };
        Self { prefix, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry before all others. `check` is asked about an interpreter that is to be fixed.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` for a bad line.
    /// - with flag `F`, what `check` says.
    /// - `EEXIST` if there is a file of this name.
    pub fn register(&self, line: &[u8], check: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        let entry = Entry::parse(line)?;
        if entry.flags.fix_binary {
            check(&entry.interpreter)?;
        }
        let mut state = self.lock();
        let is_taken = entry.name == b"register"
            || entry.name == b"status"
            || state.slots.iter().any(|s| s.entry.name == entry.name);
        if is_taken {
            return Err(Errno::EEXIST);
        }
        let id = state.next_id;
        state.next_id = id.saturating_add(1);
        state.slots.insert(0, Slot { id, entry, is_enabled: true });
        Ok(())
    }

    /// Chooses the interpreter of a program: of the enabled entries that match, the youngest.
    #[must_use]
    pub fn choose(&self, name: &[u8], head: &[u8; HEAD_BYTES]) -> Option<Interpreter> {
        let state = self.lock();
        if !state.is_enabled {
            return None;
        }
        let slot = state.slots.iter().find(|s| s.is_enabled && s.entry.matches(name, head))?;
        Some(Interpreter {
            path: slot.entry.interpreter.clone(),
            keeps_first_argument: slot.entry.flags.preserve_argv0,
            opens_program: slot.entry.flags.open_binary,
            has_credentials_of_program: slot.entry.flags.credentials,
            is_fixed: slot.entry.flags.fix_binary,
        })
    }

    /// What `status` shows.
    #[must_use]
    pub fn status(&self) -> Vec<u8> {
        state_text(self.lock().is_enabled).to_vec()
    }

    /// A command to the whole.
    pub fn command(&self, command: Command) {
        let mut state = self.lock();
        match command {
            Command::Disable => state.is_enabled = false,
            Command::Enable => state.is_enabled = true,
            Command::Remove => state.slots.clear(),
            Command::Nothing => {}
        }
    }

    /// A command to one entry. One that is gone meanwhile takes it in silence, as the kernel's does.
    pub fn command_entry(&self, id: u64, command: Command) {
        let mut state = self.lock();
        match command {
            Command::Remove => state.slots.retain(|s| s.id != id),
            Command::Nothing => {}
            Command::Enable | Command::Disable => {
                if let Some(slot) = state.slots.iter_mut().find(|s| s.id == id) {
                    slot.is_enabled = command == Command::Enable;
                }
            }
        }
    }

    /// What the file of an entry shows; `None` if it is gone.
    #[must_use]
    pub fn show(&self, id: u64) -> Option<Vec<u8>> {
        let state = self.lock();
        state.slots.iter().find(|s| s.id == id).map(|s| s.entry.show(s.is_enabled))
    }

    /// The entry of a name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<u64> {
        self.lock().slots.iter().find(|s| s.entry.name == name).map(|s| s.id)
    }

    /// Numbers and names from number `from` on, rising.
    #[must_use]
    pub fn list(&self, from: u64) -> Vec<(u64, Vec<u8>)> {
        let state = self.lock();
        let slots = state.slots.iter().rev().filter(|s| s.id >= from);
        slots.map(|s| (s.id, s.entry.name.clone())).collect()
    }
}

impl BinaryFormats for Registry {
    fn covers(&self, view_path: &[u8]) -> bool {
        match &self.prefix {
            None => true,
            Some(prefix) => match view_path.strip_prefix(prefix.as_slice()) {
                Some(rest) => rest.is_empty() || rest.first() == Some(&b'/'),
                None => false,
            },
        }
    }

    fn interpreter(&self, name: &[u8], head: &[u8; HEAD_BYTES]) -> Option<Interpreter> {
        self.choose(name, head)
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Registry};
    use crate::entry::HEAD_BYTES;
    use abi::Errno;
    use abi::module::BinaryFormats;

    const HEAD: [u8; HEAD_BYTES] = [b'a'; HEAD_BYTES];

    fn registry(lines: &[&[u8]]) -> Registry {
        let registry = Registry::new(None);
        for line in lines {
            registry.register(line, |_| Ok(())).unwrap();
        }
        registry
    }

    #[test]
    fn the_youngest_enabled_entry_wins() {
        let r = registry(&[b":one:M::aa::/1:", b":two:M::aaa::/2:P"]);
        let path = || r.choose(b"x", &HEAD).map(|i| i.path);
        assert_eq!(path(), Some(b"/2".to_vec()));
        r.command_entry(r.find(b"two").unwrap(), Command::Disable);
        assert_eq!(path(), Some(b"/1".to_vec()));
        r.command_entry(r.find(b"two").unwrap(), Command::Enable);
        assert_eq!(path(), Some(b"/2".to_vec()));
        r.command_entry(r.find(b"two").unwrap(), Command::Remove);
        assert_eq!(path(), Some(b"/1".to_vec()));
        r.command(Command::Disable);
        assert_eq!((path(), r.status()), (None, b"disabled\n".to_vec()));
        r.command(Command::Enable);
        r.command(Command::Remove);
        assert_eq!((path(), r.list(0)), (None, Vec::new()));
    }

    #[test]
    fn names_are_taken_once() {
        let r = registry(&[b":one:M::aa::/1:"]);
        let again = |line: &[u8]| r.register(line, |_| Ok(()));
        // Error: there is a file of this name.
        assert_eq!(again(b":one:E::xy::/2:"), Err(Errno::EEXIST));
        assert_eq!(again(b":status:E::xy::/2:"), Err(Errno::EEXIST));
        assert_eq!(again(b":register:E::xy::/2:"), Err(Errno::EEXIST));
        r.command(Command::Remove);
        assert_eq!(again(b":one:E::xy::/2:"), Ok(()));
    }

    #[test]
    fn a_fixed_interpreter_is_checked_before_the_name() {
        let r = registry(&[b":one:M::aa::/1:"]);
        // Error: the check comes first, and only for flag F.
        assert_eq!(r.register(b":one:M::aa::/1:F", |_| Err(Errno::ENOENT)), Err(Errno::ENOENT));
        assert_eq!(r.register(b":two:M::aa::/1:P", |_| Err(Errno::ENOENT)), Ok(()));
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let r = Registry::new(Some(b"/opt/arm".to_vec()));
        assert!(r.covers(b"/opt/arm") && r.covers(b"/opt/arm/bin/ls"));
        assert!(!r.covers(b"/opt/arm64/ls") && !r.covers(b"/bin/ls"));
        assert!(Registry::new(None).covers(b"/bin/ls"));
    }

    #[test]
    fn commands_are_these_and_no_others() {
        assert_eq!(Command::parse(b"-1\n"), Ok(Command::Remove));
        assert_eq!(Command::parse(b""), Ok(Command::Nothing));
        for bad in [&b"\n"[..], b"2", b"10", b"0\n\n", b" 1", b"-1 \n"] {
            // Error: not a command.
            assert_eq!(Command::parse(bad), Err(Errno::EINVAL));
        }
    }
}
