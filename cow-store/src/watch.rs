//! Who wants to hear of names that get into a store.

use crate::log::Step;
use crate::origin::Origin;
use crate::store::{Index, SHADOW_KEY, Store};
use std::fmt;
use std::sync::Arc;

/// Told of changes before the call that makes them returns. Called with the store locked: it must not ask it.
pub trait Watcher: Send + Sync {
    /// The store has something to say about the name `path` from now on, relative to its root.
    fn appears(&self, path: &[u8]);

    /// The lower file with these numbers was copied up.
    fn copied(&self, dev: u64, ino: u64);

    /// A lower file that was not copied up shows other attributes than its own.
    fn shadowed(&self);

    /// More than single names changed: whatever was concluded from the store is in doubt.
    fn doubts(&self);
}

/// The watcher of a store, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Watch(Option<Arc<dyn Watcher>>);

impl Watch {
    pub(crate) fn new(watcher: Arc<dyn Watcher>) -> Self {
        Self(Some(watcher))
    }

    pub(crate) fn appears(&self, path: &[u8]) {
        if let Some(watcher) = &self.0 {
            watcher.appears(path);
        }
    }

    pub(crate) fn copied(&self, origin: &Origin) {
        if let Some(watcher) = &self.0 {
            watcher.copied(origin.dev, origin.ino);
        }
    }

    pub(crate) fn shadowed(&self) {
        if let Some(watcher) = &self.0 {
            watcher.shadowed();
        }
    }

    pub(crate) fn doubts(&self) {
        if let Some(watcher) = &self.0 {
            watcher.doubts();
        }
    }

    pub(crate) const fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_there() { "watched" } else { "not watched" })
    }
}

impl Index {
    /// The watcher hears of what a step of a transaction changed. Facts of a name count even without a file there.
    pub(crate) fn tell(&self, step: &Step) {
        let watch = &self.tree.watch;
        if !watch.is_there() {
            return;
        }
        let below = |path: &[u8]| self.facts.below(path).iter().for_each(|p| watch.appears(p));
        match step {
            Step::Set { path, key, .. } => {
                watch.appears(path);
                if key == SHADOW_KEY {
                    watch.shadowed();
                }
            }
            Step::Carry { to, .. } => below(to),
            Step::Swap { a, b } => {
                below(a);
                below(b);
            }
            Step::Group { .. } => watch.doubts(),
            Step::Rename { .. }
            | Step::Exchange { .. }
            | Step::Unlink { .. }
            | Step::Unset { .. }
            | Step::Drop { .. } => {}
        }
    }
}

impl Store {
    /// Sets who hears of names from now on, and tells the ones that are there already.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) {
        let mut index = self.index_mut();
        index.tree.watch = Watch::new(watcher);
        let known = index.tree.walk().into_iter().map(|(path, _)| path);
        for path in known.chain(index.facts.paths().map(<[u8]>::to_vec)) {
            index.tree.watch.appears(&path);
        }
        index.tree.origins().for_each(|origin| index.tree.watch.copied(&origin));
        if index.facts.paths().any(|path| index.facts.get(path, SHADOW_KEY).is_some()) {
            index.tree.watch.shadowed();
        }
        index.tree.watch.doubts();
    }
}
