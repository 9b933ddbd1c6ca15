//! Operations that are more than one call: written to the log as an intent, then done, then marked.

use super::{Index, Store, Writer};
use crate::dir::{Move, OpenFile};
use crate::error::Error;
use crate::format::{LINKS_PATH, LOG_PATH, TMP_PATH};
use crate::log::{Facts, Record, Replay, Step};
use crate::path::join;
use abi::Errno;
use rustix::fs::OFlags;
use std::sync::atomic::Ordering;

/// A log below this length is never rewritten.
const COMPACT_BYTES: u64 = 1 << 16;

impl Store {
    /// Finishes what an interrupted writer began, removes what it left, and shortens the log.
    pub(super) fn repair(&self, replay: &mut Replay) -> Result<(), Error> {
        for step in &replay.pending {
            self.redo(step)?;
        }
        let log_bytes = u64::try_from(replay.valid_bytes).unwrap_or_default();
        let file_bytes = self.dir().stat(LOG_PATH).map_or(0, |s| s.size_bytes);
        if file_bytes > log_bytes {
            self.dir().truncate(LOG_PATH, log_bytes).map_err(self.host("truncate", LOG_PATH))?;
        }
        Self::remove_tree_of(self.dir(), TMP_PATH, false)?;
        let mut writer = self.writer();
        writer.log_bytes = log_bytes;
        if !replay.pending.is_empty() {
            self.write(&mut writer, &Record::Done)?;
        }
        self.compact(&mut writer, &replay.facts)
    }

    /// Does a file step unless it was done before: the inode is no longer where it was.
    fn redo(&self, step: &Step) -> Result<(), Error> {
        let (path, ino) = match step {
            Step::Rename { from, ino, .. } => (from, *ino),
            Step::Exchange { a, ino, .. } => (a, *ino),
            Step::Unlink { path, ino } => (path, *ino),
            _ => return Ok(()),
        };
        match self.dir().stat(path) {
            Ok(stat) if stat.ino == ino => self.perform(step),
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.host("stat", path)(errno)),
        }
    }

    fn perform(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Rename { from, to, .. } => {
                self.dir().rename(from, to, Move::Replace).map_err(self.host("rename", to))
            }
            Step::Exchange { a, b, .. } => {
                self.dir().rename(a, b, Move::Exchange).map_err(self.host("rename", b))
            }
            Step::Unlink { path, .. } => self.dir().unlink(path).map_err(self.host("unlink", path)),
            _ => Ok(()),
        }
    }

    /// Writes the log anew where most of it is history.
    fn compact(&self, writer: &mut Writer, facts: &Facts) -> Result<(), Error> {
        if writer.log_bytes < COMPACT_BYTES {
            return Ok(());
        }
        let shortest = facts.to_log();
        let new_bytes = u64::try_from(shortest.len()).unwrap_or(u64::MAX);
        if new_bytes > writer.log_bytes / 2 {
            return Ok(());
        }
        let tmp = self.tmp();
        let fd = self.open_log(&tmp)?;
        self.dir().append(&fd, &shortest).map_err(self.host("write", &tmp))?;
        self.dir().rename(&tmp, LOG_PATH, Move::Replace).map_err(self.host("rename", LOG_PATH))?;
        *writer = Writer { log: Some(fd), log_bytes: new_bytes };
        Ok(())
    }

    fn open_log(&self, path: &[u8]) -> Result<OpenFile, Error> {
        self.dir()
            .open(path, OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND, 0o600)
            .map_err(self.host("open", path))
    }

    /// Appends one record. If that fails, the log is cut back to what it was, or nothing more is written.
    fn write(&self, writer: &mut Writer, record: &Record) -> Result<(), Error> {
        let bytes = record.to_bytes();
        if writer.log.is_none() {
            writer.log = Some(self.open_log(LOG_PATH)?);
        }
        let Some(fd) = &writer.log else { return Err(Error::Doubt) };
        if let Err(errno) = self.dir().append(fd, &bytes) {
            if self.dir().truncate(LOG_PATH, writer.log_bytes).is_err() {
                self.stop();
            }
            return Err(self.host("write", LOG_PATH)(errno));
        }
        if self.syncs() {
            fd.sync(true).map_err(self.host("fdatasync", LOG_PATH))?;
        }
        writer.log_bytes = writer.log_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        Ok(())
    }

    /// Does all of `steps` or none. File steps come in the order given; the caller changes the tree in
    /// memory afterwards.
    ///
    /// # Errors
    /// - [`Error::Host`] if the log cannot be written or the first file step is refused: nothing happened.
    ///   If a later one is refused, the store stops writing and the next open finishes the operation.
    pub(crate) fn transact(&self, writer: &mut Writer, steps: Vec<Step>) -> Result<(), Error> {
        let record = Record::Transaction(steps);
        self.write(writer, &record)?;
        let Record::Transaction(steps) = record else { return Ok(()) };
        let mut file_steps = 0_usize;
        for step in steps.iter().filter(|s| s.is_file_step()) {
            if let Err(e) = self.perform(step) {
                if file_steps == 0 {
                    if self.write(writer, &Record::Abort).is_err() {
                        self.stop();
                    }
                } else {
                    self.stop();
                }
                return Err(e);
            }
            file_steps = file_steps.saturating_add(1);
        }
        if file_steps > 0 && self.write(writer, &Record::Done).is_err() {
            self.stop();
        }
        let mut index = self.index_mut();
        for step in &steps {
            index.facts.apply(step);
            index.tell(step);
        }
        Ok(())
    }

    /// One change of a name: by the single call `direct` if the log has no part in it, else as a
    /// transaction of `file_steps` with `facts`.
    pub(crate) fn change(
        &self,
        writer: &mut Writer,
        mut file_steps: Vec<Step>,
        facts: Vec<Step>,
    ) -> Result<(), Error> {
        if facts.is_empty() && file_steps.len() == 1 {
            return file_steps.first().map_or(Ok(()), |step| self.perform(step));
        }
        file_steps.extend(facts);
        self.transact(writer, file_steps)
    }

    /// The path of the extra name of the hard-link group `id`.
    pub(crate) fn group_path(id: &[u8]) -> Vec<u8> {
        join(LINKS_PATH, id)
    }

    /// The name of the group of the lower inode `ino` on `dev`.
    pub(crate) fn group_id(dev: u64, ino: u64) -> Vec<u8> {
        format!("{dev}-{ino}").into_bytes()
    }

    /// How many lower names of the inode are not in the store, if it is a group.
    pub(crate) fn remaining(&self, dev: u64, ino: u64) -> Option<u64> {
        let index = self.index();
        if index.facts.groups().is_empty() {
            return None;
        }
        index.facts.groups().get(&Self::group_id(dev, ino)).copied()
    }

    /// The step that takes one lower name out of the group, if there is one.
    pub(crate) fn fewer_remaining(&self, dev: u64, ino: u64) -> Option<Step> {
        let remaining = self.remaining(dev, ino)?.saturating_sub(1);
        Some(Step::Group { id: Self::group_id(dev, ino), remaining })
    }

    /// Forgets groups that have no name left, neither here nor below.
    pub(crate) fn drop_empty_groups(&self, writer: &mut Writer) -> Result<(), Error> {
        let empty: Vec<Vec<u8>> = {
            let index: &Index = &self.index();
            let spent = index.facts.groups().iter().filter(|&(_, &remaining)| remaining == 0);
            spent.map(|(id, _)| id.clone()).collect()
        };
        for id in empty {
            let path = Self::group_path(&id);
            let names = match self.dir().stat(&path) {
                Ok(stat) => self.entry_by_ino(stat.ino).map_or(0, |e| e.names),
                Err(_) => 0,
            };
            if names == 0 && !self.doubt.load(Ordering::SeqCst) {
                let forget = Step::Drop { path: path.clone() };
                self.transact(writer, vec![Step::Group { id, remaining: u64::MAX }, forget])?;
                self.discard(&path);
            }
        }
        Ok(())
    }
}
