//! What a store changes of a lower tree.

use crate::dir::Dir;
use crate::dir::OpenFile;
use crate::error::Error;
use crate::override_stat::Override;
use crate::path::join;
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::{Entry, State};
use abi::Errno;
use abi::fs::FileKind;
use rustix::fs::OFlags;

/// How a name differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The lower tree does not have it.
    Added,
    /// Data, target or type is another.
    Changed,
    /// The lower tree has it, the view does not.
    Deleted,
    /// Only mode, owner or xattrs are others.
    Metadata,
}

/// One name that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The path in the view.
    pub path: Vec<u8>,
    /// How.
    pub difference: Difference,
    /// The type in the view; of what is deleted, in the lower tree.
    pub kind: FileKind,
}

/// One step of reading in bytes.
const STEP_BYTES: usize = 1 << 17;

/// The blake3 digest of the data of an open file, from its beginning.
///
/// # Errors
/// Those of read(2).
pub fn digest(fd: &OpenFile) -> abi::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; STEP_BYTES];
    let mut offset = 0_u64;
    loop {
        let n = fd.read_at(&mut buf, offset)?;
        if n == 0 {
            return Ok(*hasher.finalize().as_bytes());
        }
        hasher.update(buf.get(..n).unwrap_or_default());
        offset = offset.saturating_add(n.try_into().unwrap_or_default());
    }
}

fn digest_at(dir: &dyn Dir, path: &[u8]) -> Result<[u8; 32], Error> {
    dir.open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)
        .and_then(|fd| digest(&fd))
        .map_err(|errno| Error::Host { call: "read", path: path.to_vec(), errno })
}

fn lower_stat(lower: &dyn Dir, path: &[u8]) -> Result<Option<Stat>, Error> {
    match lower.stat(path) {
        Ok(stat) => Ok(Some(stat)),
        // A directory that the host keeps shut is an empty one to a view with virtual owners.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(None),
        Err(errno) => Err(Error::Host { call: "stat", path: path.to_vec(), errno }),
    }
}

/// What reading the lower file says; `None` where the host lets us not read it.
fn readable<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Host { errno: Errno::EACCES, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Store {
    /// Every name by which the view differs from `lower`, in the order of paths. Below a deleted directory
    /// nothing is told. What can't be read in `lower` is taken for another than the view's.
    ///
    /// # Errors
    /// - [`Error::Host`] if either tree cannot be read.
    pub fn diff(&self, lower: &dyn Dir) -> Result<Vec<Differs>, Error> {
        let mut found = Vec::new();
        for (path, state) in self.paths() {
            let below = lower_stat(lower, &path)?;
            match state {
                State::Whiteout => found.extend(below.map(|stat| Differs {
                    path,
                    difference: Difference::Deleted,
                    kind: stat.kind(),
                })),
                State::Shadow(attributes) => {
                    let Some(stat) = below else { continue };
                    let wanted = Override { special: None, ..Override::of(&stat) };
                    if wanted != attributes {
                        let difference = Difference::Metadata;
                        found.push(Differs { path, difference, kind: stat.kind() });
                    }
                }
                State::Entry(entry) => {
                    if let Some(difference) = self.compare(lower, &path, &entry, below)? {
                        let kind = entry.kind();
                        found.push(Differs { path: path.clone(), difference, kind });
                    }
                    if entry.is_directory() && entry.opaque {
                        self.hidden_below(lower, &path, &mut found)?;
                    }
                }
                State::Absent | State::Hidden => {}
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The lower names that the opaque directory `path` hides.
    fn hidden_below(
        &self,
        lower: &dyn Dir,
        path: &[u8],
        found: &mut Vec<Differs>,
    ) -> Result<(), Error> {
        let names = match lower.list(path) {
            Ok(names) => names,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => return Ok(()),
            Err(errno) => {
                return Err(Error::Host { call: "readdir", path: path.to_vec(), errno });
            }
        };
        for entry in names {
            let full = join(path, &entry.name);
            if matches!(self.state(&full), State::Hidden)
                && let Some(stat) = lower_stat(lower, &full)?
            {
                let (difference, kind) = (Difference::Deleted, stat.kind());
                found.push(Differs { path: full, difference, kind });
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        lower: &dyn Dir,
        path: &[u8],
        entry: &Entry,
        below: Option<Stat>,
    ) -> Result<Option<Difference>, Error> {
        let Some(below) = below else { return Ok(Some(Difference::Added)) };
        let stat = self.stat(path, true)?;
        if stat.kind() != below.kind() || stat.rdev != below.rdev {
            return Ok(Some(Difference::Changed));
        }
        let is_same_data = match entry.kind() {
            FileKind::Regular => {
                stat.size_bytes == below.size_bytes
                    && (stat.size_bytes == 0
                        || readable(digest_at(lower, path))? == Some(digest_at(self.dir(), path)?))
            }
            FileKind::Symlink => {
                let target = lower.readlink(path).map_err(self.host("readlink", path))?;
                self.readlink(path)? == target
            }
            _ => true,
        };
        if !is_same_data {
            return Ok(Some(Difference::Changed));
        }
        let owner_and_mode = |s: &Stat| (s.uid, s.gid, s.permissions());
        let is_same =
            owner_and_mode(&stat) == owner_and_mode(&below) && self.has_same_xattrs(lower, path)?;
        Ok((!is_same).then_some(Difference::Metadata))
    }

    /// Whether all attributes that the view sees are the lower file's. Those of the lower file that only the
    /// superuser reads are left out: a copy may not have them.
    fn has_same_xattrs(&self, lower: &dyn Dir, path: &[u8]) -> Result<bool, Error> {
        let ours = self.xattr_names(path)?;
        let mut theirs = lower.xattr_names(path).map_err(self.host("listxattr", path))?;
        theirs.retain(|name| ours.contains(name) || name.starts_with(b"user."));
        theirs.sort();
        if ours != theirs {
            return Ok(false);
        }
        for name in ours {
            let below = lower.xattr(path, &name).map_err(self.host("getxattr", path));
            if readable(below)?.flatten() != Some(self.xattr(path, &name)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
