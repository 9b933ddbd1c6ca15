//! `/run/mount`, where mount(8) notes what the kernel does not know of a mount: which loop device it made, on whose
//! behalf.
//!
//! A plain user may not write there, and libmount, which has such notes for each mount of an image that it put on a
//! loop device, then ends with 16 although the mount is there. So the user's views have a folder of their own in its
//! place. Source: mount(8) "EXIT STATUS", mount(8) "FILES".

use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::Content;
use abi::Result;
use abi::fs::{Caller, FileSystem, Name, OpenFlags, Opened};
use std::sync::Arc;
use umfuse::memfs::MemFs;

const FOLDER: &str = "/run/mount";
/// Notes of a line a mount.
const NOTES: &str = "/run/mount/utab";
const NOTES_BYTES_MAX: usize = 1 << 20;

impl Monitor {
    /// Puts a folder for mount(8)'s notes into the first view, unless the user may write the host's.
    pub(crate) fn offer_notes(&self) {
        let may_write = nix::unistd::access(FOLDER, nix::unistd::AccessFlags::W_OK).is_ok();
        if may_write || self.is_mount_point(&self.root_view, FOLDER.as_bytes()) {
            return;
        }
        let fs = MemFs::new(4 << 20);
        // What the host's notes say stays readable.
        let notes = std::fs::read(NOTES).unwrap_or_default();
        if let Err(error) = copy(&fs, notes.get(..NOTES_BYTES_MAX).unwrap_or(&notes)) {
            tracing::debug!("{NOTES}: {error}");
        }
        let is_ghost = hostview::lstat(FOLDER.as_bytes()).is_err();
        self.insert_hidden(FOLDER, "umfusemem", Content::Tree(Arc::new(fs)), is_ghost);
    }
}

/// The host's notes as the file of the folder; none if there are none.
fn copy(fs: &MemFs, notes: &[u8]) -> Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let name = Name::new(b"utab")?;
    let (_, opened) = fs.create(Caller::default(), fs.root(), name, 0o644, OpenFlags::WRITE)?;
    if let Opened::Handle(handle) = opened {
        fs.write(handle, notes, 0)?;
        fs.release(handle);
    }
    Ok(())
}
