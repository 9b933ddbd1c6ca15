//! The words after `mount -t viewfs -o`.

use abi::Errno;
use abi::module::MountError;
use cow_store::path::{canonical, strip};

/// What an overlay does with source and target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The source takes the target's place.
    #[default]
    Move,
    /// Both show, the source first; new names are made in the target; what comes from the source is
    /// read-only.
    Merge,
    /// Both show; every change goes to the source.
    Cow,
    /// Both show; a change that the target refuses goes to the source.
    Mincow,
}

/// The options of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `move`, `merge`, `cow` or `mincow`.
    pub mode: Mode,
    /// Mode, owner and device numbers are virtual.
    pub vstat: bool,
    /// Everything looks writable.
    pub wok: bool,
    /// Can't be unmounted.
    pub permanent: bool,
    /// An existing mount comes on top of later ones.
    pub renew: bool,
    /// Subtrees of the target that stay as they were, relative to the overlay's root.
    pub except: Vec<Vec<u8>>,
}

impl MountOptions {
    /// Takes what viewfs knows from `options`; `target` is the mount point, `/` for the root. A path after
    /// `except=` is absolute, as in `except=/tmp` for a mount on `/`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` if two of `move`, `bind`, `merge`, `cow`, `mincow` are given.
    /// - `EINVAL` if `renew` goes with one of them.
    /// - `EINVAL` if `vstat` goes with `move`, which changes nothing, or `merge`, which has no store.
    /// - `EINVAL` if a path after `except=` is not canonical or not below `target`.
    pub fn take(options: &mut abi::options::Options, target: &[u8]) -> Result<Self, MountError> {
        let invalid = |text: String| MountError::new(Errno::EINVAL, text);
        let mut mode = None;
        for (word, means) in [
            ("move", Mode::Move),
            ("bind", Mode::Move),
            ("merge", Mode::Merge),
            ("cow", Mode::Cow),
            ("mincow", Mode::Mincow),
        ] {
            if options.take_flag(word) && mode.replace(means).is_some() {
                return Err(invalid(format!("option {word}: another mode was given too")));
            }
        }
        let renew = options.take_flag("renew");
        if renew && mode.is_some() {
            return Err(invalid("option renew: changes no mode, it goes alone".to_owned()));
        }
        let mode = mode.unwrap_or_default();
        let vstat = options.take_flag("vstat");
        if vstat && matches!(mode, Mode::Move | Mode::Merge) {
            return Err(invalid("option vstat: needs cow or mincow".to_owned()));
        }
        let root = canonical(target).map_err(|e| invalid(format!("mount point: {e}")))?;
        let mut except = Vec::new();
        for path in options.take_all("except") {
            let below = path
                .starts_with('/')
                .then(|| canonical(path.trim_end_matches('/').as_bytes()).ok())
                .flatten()
                .and_then(|p| strip(p, root))
                .filter(|p| !p.is_empty());
            match below {
                Some(below) => except.push(below.to_vec()),
                None => {
                    return Err(invalid(format!(
                        "option except={path}: not below the mount point"
                    )));
                }
            }
        }
        Ok(Self {
            mode,
            vstat,
            wok: options.take_flag("wok"),
            permanent: options.take_flag("permanent"),
            renew,
            except,
        })
    }

    /// Whether `path` stays as it was.
    #[must_use]
    pub fn is_excepted(&self, path: &[u8]) -> bool {
        self.except.iter().any(|e| strip(path, e).is_some())
    }

    /// Whether `path`, or something below it, is an exception's root: it can't be moved or removed, like a
    /// mount point. What is inside an exception is the host's business.
    #[must_use]
    pub fn holds_excepted(&self, path: &[u8]) -> bool {
        let is_inside =
            self.except.iter().any(|e| strip(path, e).is_some_and(|rest| !rest.is_empty()));
        !is_inside && self.except.iter().any(|e| strip(e, path).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, MountOptions};
    use abi::options::Options;

    fn take(text: &str, target: &str) -> Result<MountOptions, String> {
        let mut options = Options::parse(text);
        let taken = MountOptions::take(&mut options, target.as_bytes()).map_err(|e| e.message)?;
        options.finish().map_err(|e| e.message)?;
        Ok(taken)
    }

    #[test]
    fn the_words_of_the_paper_are_understood() {
        let o = take("mincow,except=/tmp,except=/var/run,vstat", "/").unwrap();
        assert_eq!(o.mode, Mode::Mincow);
        assert!(o.vstat);
        assert!(o.is_excepted(b"tmp/x") && o.is_excepted(b"var/run") && !o.is_excepted(b"tmpx"));
        assert!(o.holds_excepted(b"var") && !o.holds_excepted(b"usr"));
        assert_eq!(take("", "/").unwrap().mode, Mode::Move);
        assert_eq!(take("bind,permanent,wok", "/a").unwrap().mode, Mode::Move);
        assert_eq!(take("cow,except=/a/b/", "/a").unwrap().except, [b"b".to_vec()]);
    }

    #[test]
    fn contradictions_are_refused_with_the_word() {
        for (text, word) in [
            ("cow,merge", "cow"),
            ("cow,renew", "renew"),
            ("vstat", "vstat"),
            ("merge,vstat", "vstat"),
            ("cow,except=tmp", "except=tmp"),
            ("cow,except=/", "except=/"),
            ("cow,except=/b", "except=/b"),
            ("cow,colour", "colour"),
        ] {
            let refusal = take(text, "/a").unwrap_err();
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }
}
