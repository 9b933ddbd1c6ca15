//! The walk that builds the names in memory when a store is opened.

use crate::dir::Scanned;
use crate::error::Error;
use crate::format::WhiteoutForm;
use crate::log::Facts;
use crate::origin::{ORIGIN_XATTR, Origin, RawOrigin};
use crate::override_stat::{OVERRIDE_XATTR, OVERRIDE_XATTR_OLD, Override, RawOverride};
use crate::path::{MARKER_OPAQUE, MARKER_PREFIX, PRIVATE_DIR, join};
use crate::stat::Stat;
use crate::store::{Access, ORIGIN_KEY, STAT_KEY, Store};
use crate::tree::{Inode, Tree};
use abi::fs::FileKind;

/// The xattr that makes a directory opaque.
pub(crate) const OPAQUE_XATTR: &[u8] = b"user.overlay.opaque";
/// The same as written by a privileged overlayfs.
const OPAQUE_XATTR_TRUSTED: &[u8] = b"trusted.overlay.opaque";

/// `S_ISUID` and `S_ISGID`
const SET_ID: u32 = 0o6000;

/// The xattrs that mean something to a store.
const WANTED: [&[u8]; 5] =
    [OVERRIDE_XATTR, OVERRIDE_XATTR_OLD, ORIGIN_XATTR, OPAQUE_XATTR, OPAQUE_XATTR_TRUSTED];

/// Reads all names of `store`.
///
/// # Errors
/// - [`Error::Host`] if a directory cannot be read. Metadata that is not valid is logged and left out: a
///   store with one bad xattr is still a store.
pub(crate) fn walk(store: &Store, facts: &Facts) -> Result<Tree, Error> {
    let stat = store.dir().stat(b"").map_err(store.host("stat", b""))?;
    let mut xattrs = Vec::new();
    for name in WANTED {
        let value = store.dir().xattr(b"", name).map_err(store.host("getxattr", b""))?;
        xattrs.extend(value.map(|value| (name.to_vec(), value)));
    }
    let (inode, opaque) = inode(store, facts, b"", &stat, &xattrs);
    let mut tree = Tree::new(stat.ino, Inode { names: 1, ..inode });
    tree.set_opaque(b"", opaque);
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let entries = store.dir().scan(&path, &WANTED).map_err(store.host("readdir", &path))?;
        for entry in &entries {
            if path.is_empty() && entry.name == PRIVATE_DIR {
                continue;
            }
            let full = join(&path, &entry.name);
            if entry.name == MARKER_OPAQUE && !store.form().xattrs {
                tree.set_opaque(&path, true);
                continue;
            }
            if store.form().whiteout == WhiteoutForm::Marker
                && let Some(hidden) = entry.name.strip_prefix(MARKER_PREFIX)
            {
                marker(&mut tree, &path, hidden, &entries);
                continue;
            }
            load_entry(store, facts, &mut tree, &full, entry)?;
            if entry.stat.is_directory() {
                open.push(full);
            }
        }
    }
    Ok(tree)
}

/// A marker file: a real file of the same name beats it, which is how an interrupted replacement looks.
fn marker(tree: &mut Tree, parent: &[u8], hidden: &[u8], entries: &[Scanned]) {
    if Some(hidden) == MARKER_OPAQUE.strip_prefix(MARKER_PREFIX) {
        tree.set_opaque(parent, true);
    } else if !hidden.is_empty() && !entries.iter().any(|e| e.name == hidden) {
        tree.put_whiteout(&join(parent, hidden));
    }
}

fn load_entry(
    store: &Store,
    facts: &Facts,
    tree: &mut Tree,
    path: &[u8],
    entry: &Scanned,
) -> Result<(), Error> {
    let stat = &entry.stat;
    if stat.is_whiteout() {
        tree.put_whiteout(path);
        return Ok(());
    }
    let (inode, opaque) = inode(store, facts, path, stat, &entry.xattrs);
    if store.access() == Access::Write
        && let Some(attributes) = inode.attributes
    {
        let wanted = attributes.real_permissions(stat.kind());
        if stat.kind() != FileKind::Symlink && stat.permissions() != wanted {
            // An interrupted chmod, or a store of another writer.
            store.dir().chmod(path, wanted).map_err(store.host("chmod", path))?;
        }
    }
    tree.put(path, stat.ino, inode, opaque);
    Ok(())
}

/// The metadata of one file and whether it is marked opaque.
fn inode(
    store: &Store,
    facts: &Facts,
    path: &[u8],
    stat: &Stat,
    xattrs: &[(Vec<u8>, Vec<u8>)],
) -> (Inode, bool) {
    let real = stat.kind();
    let mut inode = Inode { real, attributes: None, origin: None, names: 0 };
    let mut opaque = false;
    let mut old = None;
    if store.carries_xattrs(real) {
        for (name, value) in xattrs {
            match name.as_slice() {
                OVERRIDE_XATTR => inode.attributes = attributes(path, value),
                OVERRIDE_XATTR_OLD => old = attributes(path, value),
                ORIGIN_XATTR => inode.origin = origin(path, value),
                _ => opaque |= value == b"y" && stat.is_directory(),
            }
        }
    }
    inode.attributes = inode.attributes.or(old);
    if let Some(value) = facts.get(path, STAT_KEY) {
        inode.attributes = attributes(path, value);
    }
    if let Some(value) = facts.get(path, ORIGIN_KEY) {
        inode.origin = origin(path, value);
    }
    if inode.attributes.is_none() && stat.is_directory() && stat.permissions() & SET_ID != 0 {
        // Another writer's: what has nothing recorded has no set-id bits.
        inode.attributes = Some(Override::of(stat));
    }
    (inode, opaque)
}

fn attributes(path: &[u8], text: &[u8]) -> Option<Override> {
    RawOverride(text).check(path).map_err(|e| tracing::warn!(target: "cow_store", "{e}")).ok()
}

fn origin(path: &[u8], text: &[u8]) -> Option<Origin> {
    RawOrigin(text).check(path).map_err(|e| tracing::warn!(target: "cow_store", "{e}")).ok()
}
