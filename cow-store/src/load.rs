//! The walk that builds the names in memory when a store is opened.

use crate::dir::DirEntry;
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

/// Reads all names of `store`.
///
/// # Errors
/// - [`Error::Host`] if a directory cannot be read. Metadata that is not valid is logged and left out: a
///   store with one bad xattr is still a store.
pub(crate) fn walk(store: &Store, facts: &Facts) -> Result<Tree, Error> {
    let root = store.dir().stat(b"").map_err(store.host("stat", b""))?;
    let (inode, opaque) = inode(store, facts, b"", &root)?;
    let mut tree = Tree::new(root.ino, Inode { names: 1, ..inode });
    tree.set_opaque(b"", opaque);
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let entries = store.dir().list(&path).map_err(store.host("readdir", &path))?;
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
            if load_entry(store, facts, &mut tree, &full)? == FileKind::Directory {
                open.push(full);
            }
        }
    }
    Ok(tree)
}

/// A marker file: a real file of the same name beats it, which is how an interrupted replacement looks.
fn marker(tree: &mut Tree, parent: &[u8], hidden: &[u8], entries: &[DirEntry]) {
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
) -> Result<FileKind, Error> {
    let stat = store.dir().stat(path).map_err(store.host("stat", path))?;
    if stat.is_whiteout() {
        tree.put_whiteout(path);
        return Ok(FileKind::CharDevice);
    }
    let (inode, opaque) = inode(store, facts, path, &stat)?;
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
    Ok(stat.kind())
}

/// The metadata of one file and whether it is marked opaque.
fn inode(store: &Store, facts: &Facts, path: &[u8], stat: &Stat) -> Result<(Inode, bool), Error> {
    let real = stat.kind();
    let mut inode = Inode { real, attributes: None, origin: None, names: 0 };
    let mut opaque = false;
    let mut old = None;
    if store.carries_xattrs(real) {
        let names = store.dir().xattr_names(path).map_err(store.host("listxattr", path))?;
        for name in names {
            let wanted = [
                OVERRIDE_XATTR,
                OVERRIDE_XATTR_OLD,
                ORIGIN_XATTR,
                OPAQUE_XATTR,
                OPAQUE_XATTR_TRUSTED,
            ];
            if !wanted.contains(&name.as_slice()) {
                continue;
            }
            let value = store.dir().xattr(path, &name).map_err(store.host("getxattr", path))?;
            let Some(value) = value else { continue };
            match name.as_slice() {
                OVERRIDE_XATTR => inode.attributes = attributes(path, &value),
                OVERRIDE_XATTR_OLD => old = attributes(path, &value),
                ORIGIN_XATTR => inode.origin = origin(path, &value),
                _ => opaque |= value == b"y",
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
    Ok((inode, opaque))
}

fn attributes(path: &[u8], text: &[u8]) -> Option<Override> {
    RawOverride(text).check(path).map_err(|e| tracing::warn!(target: "cow_store", "{e}")).ok()
}

fn origin(path: &[u8], text: &[u8]) -> Option<Origin> {
    RawOrigin(text).check(path).map_err(|e| tracing::warn!(target: "cow_store", "{e}")).ok()
}
