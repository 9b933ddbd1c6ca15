//! What a trial changed: read from its store, shown, and done for real.

use abi::fs::FileKind;
use anyhow::{Context, Result};
use cow_store::dir::HostDir;
use cow_store::path::split;
use cow_store::{Access, Commit, Difference, Differs, Owners, Store};
use nix::unistd::{AccessFlags, access, geteuid};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Lines that a list has at most on a terminal: more would hide what was before it.
const LINES_MAX: usize = 40;

/// The changes in a store, in the order of paths.
pub(crate) struct Changes {
    store: Store,
    lower: HostDir,
    all: Vec<Differs>,
}

fn directory(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

impl Changes {
    /// Reads them; `access` says whether they are to be committed.
    ///
    /// # Errors
    /// If the store can't be read, or is in use.
    pub(crate) fn read(folder: &Path, access: Access) -> Result<Self> {
        let store = Store::open(directory(folder)?.into(), access)
            .with_context(|| format!("the store {}", folder.display()))?;
        let lower = HostDir::new(directory(Path::new("/"))?.into());
        let all = store.diff(&lower).with_context(|| format!("read {}", folder.display()))?;
        Ok(Self { store, lower, all })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// One line a change; of a new directory with all that is in it, one line.
    pub(crate) fn list(&self, colors: bool, is_short: bool) -> String {
        list(&self.all, colors, if is_short { LINES_MAX } else { usize::MAX })
    }

    /// Every change, and of text files the lines that changed.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write_text(&self, out: &mut impl Write, colors: bool) -> std::io::Result<()> {
        for differs in &self.all {
            viewfs::write_line(out, differs, colors)?;
            if differs.kind == FileKind::Regular {
                viewfs::write_text(out, &self.store, &self.lower, differs, colors)?;
            }
        }
        Ok(())
    }

    /// The changes that this process can't make, each with the reason, as far as can be said without trying.
    pub(crate) fn impossible(&self) -> Vec<(String, String)> {
        let whys = self.all.iter().filter_map(|d| Some((viewfs::show(&d.path), why_not(d)?)));
        whys.collect()
    }

    /// Makes them for real. What a plain user made as virtual root is the user's.
    ///
    /// # Errors
    /// If the store can't be read or written.
    pub(crate) fn commit(&self) -> Result<Commit> {
        Ok(self.store.commit_as(&[], &self.lower, false, Owners::Committer)?)
    }
}

fn list(all: &[Differs], colors: bool, lines_max: usize) -> String {
    // Of each line, how many changes it stands for besides its own.
    let mut lines: Vec<(&Differs, usize)> = Vec::new();
    let mut new_directories: BTreeMap<&[u8], usize> = BTreeMap::new();
    for differs in all {
        let mut around = differs.path.as_slice();
        let inside = std::iter::from_fn(|| {
            around = split(around)?.0;
            Some(around)
        })
        .find_map(|path| new_directories.get(path).copied());
        match inside.and_then(|at| lines.get_mut(at)) {
            Some((_, more)) if differs.difference == Difference::Added => {
                *more = more.saturating_add(1);
            }
            _ => {
                if differs.difference == Difference::Added && differs.kind == FileKind::Directory {
                    new_directories.insert(&differs.path, lines.len());
                }
                lines.push((differs, 0));
            }
        }
    }
    let mut text = String::new();
    for (differs, more) in lines.iter().take(lines_max) {
        text.push_str(&viewfs::line_of(differs, colors));
        if *more > 0 {
            text.push_str(&format!(" and {more} in it"));
        }
        text.push('\n');
    }
    let rest = lines.len().saturating_sub(lines_max);
    if rest > 0 {
        text.push_str(&format!("... and {rest} more lines\n"));
    }
    text
}

/// Asks the host's rights, as the one who would commit.
fn why_not(differs: &Differs) -> Option<String> {
    let path = Path::new("/").join(OsStr::from_bytes(&differs.path));
    if matches!(differs.kind, FileKind::CharDevice | FileKind::BlockDevice)
        && differs.difference != Difference::Deleted
    {
        return Some("devices are not committed".to_owned());
    }
    let own = geteuid();
    let there = fs::symlink_metadata(&path).ok();
    if differs.difference == Difference::Metadata {
        let owner = there.map_or(u32::MAX, |there| there.uid());
        let is_allowed = own.is_root() || own.as_raw() == owner;
        return (!is_allowed).then(|| "only its owner may change it".to_owned());
    }
    let folder = folder_of(&path);
    if let Err(errno) = access(&folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Some(format!("{}: {}", folder.display(), errno.desc()));
    }
    let (Some(there), Ok(around)) = (there, fs::metadata(&folder)) else { return None };
    let is_sticky = around.permissions().mode() & 0o1000 != 0;
    let is_own = [there.uid(), around.uid()].contains(&own.as_raw());
    (is_sticky && !is_own && !own.is_root()).then(|| "it is another user's".to_owned())
}

/// The nearest folder around a file that is there.
fn folder_of(path: &Path) -> PathBuf {
    let mut around = path.ancestors().skip(1);
    around.find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::{FileKind, list};
    use cow_store::{Difference, Differs};

    fn differs(letter: char, path: &str) -> Differs {
        let difference = match letter {
            'A' => Difference::Added,
            'M' => Difference::Changed,
            'D' => Difference::Deleted,
            _ => Difference::Metadata,
        };
        let kind = if path.ends_with('/') { FileKind::Directory } else { FileKind::Regular };
        Differs { path: path.trim_end_matches('/').into(), difference, kind }
    }

    #[test]
    fn a_new_directory_is_one_line_with_the_number_of_what_is_in_it() {
        let all = [
            differs('M', "etc/hosts"),
            differs('A', "usr/share/cows/"),
            // Sorts before what is in the directory.
            differs('A', "usr/share/cows-more"),
            differs('A', "usr/share/cows/a/"),
            differs('A', "usr/share/cows/a/b"),
            differs('D', "usr/share/x"),
        ];
        let expect = "M /etc/hosts\nA /usr/share/cows/ and 2 in it\nA /usr/share/cows-more\nD /usr/share/x\n";
        assert_eq!(list(&all, false, 40), expect);
        assert_eq!(list(&all, false, 1), "M /etc/hosts\n... and 3 more lines\n");
        assert_eq!(list(&[], false, 1), "");
    }

    #[test]
    fn a_path_can_not_give_orders_to_the_terminal() {
        assert_eq!(list(&[differs('A', "a\x1b[2J")], false, 9), "A /a\\u{1b}[2J\n");
    }
}
