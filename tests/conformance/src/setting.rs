//! Where a suite runs.

use e2e::{Engine, User, View, combinations, native};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Without a view.
    Native(User),
    /// In a view without modules.
    Empty(Engine, User),
    /// In a view with the host's tree once more under /unreal; its folders are in there.
    Unreal(Engine, User),
    /// In a view with a copy-on-write layer over all of `/`.
    Overlay(Engine, User),
}

/// Every view that works here, by every user that we may be.
#[must_use]
pub fn settings() -> Vec<Setting> {
    let all = combinations();
    let empty = all.iter().map(|&(engine, user)| Setting::Empty(engine, user));
    let unreal = all.iter().map(|&(engine, user)| Setting::Unreal(engine, user));
    let overlay = all.iter().map(|&(engine, user)| Setting::Overlay(engine, user));
    empty.chain(unreal).chain(overlay).collect()
}

impl Setting {
    /// Who runs it.
    #[must_use]
    pub fn user(self) -> User {
        match self {
            Self::Native(user)
            | Self::Empty(_, user)
            | Self::Unreal(_, user)
            | Self::Overlay(_, user) => user,
        }
    }

    /// How it is started; `store` is an empty folder for what is changed, `out` one that stays the host's.
    #[must_use]
    pub fn view(self, store: &Path, out: &Path) -> View {
        match self {
            Self::Native(user) => native(user),
            Self::Empty(engine, user) => View::of((engine, user)).option("-q"),
            Self::Unreal(engine, user) => View::of((engine, user)).option("-q").preload("unreal"),
            Self::Overlay(engine, user) => {
                let (store, out) = (store.display(), out.display());
                let mount = format!("--mount=viewfs:{store}:/:cow,except={out}");
                View::of((engine, user)).option("-q").option(&mount)
            }
        }
    }

    /// The name that a folder of the host has in there.
    #[must_use]
    pub fn inside(self, folder: &Path) -> PathBuf {
        match self {
            Self::Unreal(..) => {
                Path::new("/unreal").join(folder.strip_prefix("/").unwrap_or(folder))
            }
            Self::Native(_) | Self::Empty(..) | Self::Overlay(..) => folder.to_path_buf(),
        }
    }
}

/// `native-nobody`, `unreal-notify-root`: the words of the list of known differences.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = |user| if user == User::Root { "root" } else { "nobody" };
        let engine = |engine| if engine == Engine::Notify { "notify" } else { "trace" };
        match *self {
            Self::Native(u) => write!(f, "native-{}", user(u)),
            Self::Empty(e, u) => write!(f, "empty-{}-{}", engine(e), user(u)),
            Self::Unreal(e, u) => write!(f, "unreal-{}-{}", engine(e), user(u)),
            Self::Overlay(e, u) => write!(f, "overlay-{}-{}", engine(e), user(u)),
        }
    }
}
