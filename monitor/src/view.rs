//! Views, services and the clock of epochs: what the slides call the global hash table.

use abi::Errno;
use abi::host::Epoch;
use abi::module::{Claim, Module};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A view: what a set of processes sees. Views form a tree.
pub(crate) struct View {
    pub(crate) id: u64,
    pub(crate) parent: Option<Arc<View>>,
    /// When it was made: of its ancestors' objects it sees those born before.
    pub(crate) born: Epoch,
    pub(crate) name: RwLock<String>,
    services: RwLock<Vec<Arc<Service>>>,
    aliases: RwLock<BTreeMap<String, String>>,
}

/// A loaded module's record.
pub(crate) struct Service {
    pub(crate) module: Arc<dyn Module>,
    pub(crate) born: Epoch,
    pub(crate) permanent: bool,
    /// Mounts of this service that are there.
    pub(crate) uses: AtomicU64,
}

/// The clock of births.
#[derive(Default)]
pub(crate) struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// The epoch of an object that is born at this moment.
    pub(crate) fn tick(&self) -> Epoch {
        Epoch(self.last.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

/// The end of time: sees everything that is there.
pub(crate) const PRESENT: Epoch = Epoch(u64::MAX);

impl View {
    pub(crate) fn new(id: u64, name: String, parent: Option<Arc<Self>>, born: Epoch) -> Arc<Self> {
        Arc::new(Self {
            id,
            parent,
            born,
            name: RwLock::new(name),
            services: RwLock::new(Vec::new()),
            aliases: RwLock::new(BTreeMap::new()),
        })
    }

    /// Whether an object born in view `owner` at `born` is visible here, looking from `at`.
    pub(crate) fn sees(&self, owner: u64, born: Epoch, at: Epoch) -> bool {
        if born > at {
            return false;
        }
        if owner == self.id {
            return true;
        }
        let mut limit = self.born;
        let mut ancestor = self.parent.as_ref();
        while let Some(view) = ancestor {
            if view.id == owner {
                return born < limit;
            }
            limit = limit.min(view.born);
            ancestor = view.parent.as_ref();
        }
        false
    }

    /// Loads a module.
    ///
    /// # Errors
    /// - `EEXIST` if this view or an ancestor has it.
    pub(crate) fn add_service(
        &self,
        module: Arc<dyn Module>,
        born: Epoch,
        permanent: bool,
    ) -> Result<(), Errno> {
        if self.service(module.name()).is_some() {
            return Err(Errno::EEXIST);
        }
        let service = Service { module, born, permanent, uses: AtomicU64::new(0) };
        self.services.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(service));
        Ok(())
    }

    /// Unloads a module.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOENT` if this view itself has not loaded it.
    /// - `EPERM` if it is permanent.
    /// - `EBUSY` if a mount uses it.
    pub(crate) fn del_service(&self, name: &str) -> Result<(), Errno> {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let at = services.iter().position(|s| s.module.name() == name).ok_or(Errno::ENOENT)?;
        if services[at].permanent {
            return Err(Errno::EPERM);
        }
        if services[at].uses.load(Ordering::Acquire) > 0 {
            return Err(Errno::EBUSY);
        }
        services.remove(at);
        Ok(())
    }

    /// All services that this view sees, its own first.
    pub(crate) fn services(&self) -> Vec<Arc<Service>> {
        let mut all: Vec<Arc<Service>> =
            self.services.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(parent) = &self.parent {
            all.extend(parent.services().into_iter().filter(|s| s.born < self.born));
        }
        all
    }

    pub(crate) fn service(&self, name: &str) -> Option<Arc<Service>> {
        self.services().into_iter().find(|s| s.module.name() == name)
    }

    /// The service that answers for a file system type; the youngest wins.
    pub(crate) fn service_for(&self, fs_type: &str) -> Option<Arc<Service>> {
        self.services()
            .into_iter()
            .filter(|s| {
                s.module.claims().iter().any(|claim| match claim {
                    Claim::FsTypePrefix(prefix) => fs_type.starts_with(prefix.as_str()),
                    Claim::FsType(exact) => fs_type == exact,
                    _ => false,
                })
            })
            .max_by_key(|s| s.born)
    }

    /// Makes `alias` mean `fs_type`; `None` forgets it.
    pub(crate) fn set_alias(&self, alias: &str, fs_type: Option<&str>) {
        let mut aliases = self.aliases.write().unwrap_or_else(PoisonError::into_inner);
        match fs_type {
            Some(t) => drop(aliases.insert(alias.to_owned(), t.to_owned())),
            None => drop(aliases.remove(alias)),
        }
    }

    pub(crate) fn alias(&self, fs_type: &str) -> Option<String> {
        let own = self.aliases.read().unwrap_or_else(PoisonError::into_inner).get(fs_type).cloned();
        own.or_else(|| self.parent.as_ref()?.alias(fs_type))
    }

    pub(crate) fn aliases(&self) -> Vec<(String, String)> {
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        aliases.iter().map(|(a, t)| (a.clone(), t.clone())).collect()
    }

    /// The aliases that count here, those of the views around this one too.
    pub(crate) fn all_aliases(&self) -> Vec<(String, String)> {
        let around = self.parent.as_ref().map(|p| p.all_aliases()).unwrap_or_default();
        let all: BTreeMap<String, String> = around.into_iter().chain(self.aliases()).collect();
        all.into_iter().collect()
    }

    pub(crate) fn is_or_descends_from(&self, ancestor: u64) -> bool {
        self.id == ancestor || self.parent.as_ref().is_some_and(|p| p.is_or_descends_from(ancestor))
    }
}
