//! Random operations on each mode, against the model.

use crate::fixture::{caller, handle, make, make_in, overlay, picture, scratch};
use crate::model::{Model, Op, apply, check};
use abi::Errno;
use abi::fs::{Caller, RenameFlags, XattrFlags};
use cow_store::OFlags;
use cow_store::dir::{Dir, HostDir};
use std::collections::BTreeMap;
use std::path::Path;
use viewfs::{DirectoryLower, Mode, MountOptions, Overlay, Source};

/// xorshift64*: the same sequence everywhere.
pub(crate) struct Random {
    state: u64,
    privileged: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, privileged: caller().uid == 0 }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// True but for one time in `n`.
    pub(crate) fn mostly(&mut self, n: u64) -> bool {
        self.below(n) != 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len().try_into().unwrap())).unwrap()]
    }

    /// A path of one to four components out of few names, so that operations meet.
    fn path(&mut self) -> String {
        let depth = self.pick(&[1, 2, 2, 2, 3, 3, 4]);
        let mut path = self.pick(&["l", "r", "r", "x"]).to_owned();
        for _ in 1..depth {
            path.push('/');
            path.push_str(self.pick(&["d", "e", "f", "g", "h", "s", "n"]));
        }
        path
    }

    pub(crate) fn op(&mut self, with_chown: bool) -> Op {
        let path = self.path();
        let mut mode = self.pick(&[0o644, 0o600, 0o4755, 0o2770, 0o1777, 0o400, 0o111]);
        if !self.privileged {
            // For real, a user's write takes set-id bits away, and what he may not read he can't.
            mode = mode & 0o1777 | 0o600;
        }
        match self.below(if with_chown { 18 } else { 17 }) {
            0..=3 => Op::Open {
                path,
                flags: self.pick(&[
                    OFlags::WRONLY,
                    OFlags::RDWR | OFlags::APPEND,
                    OFlags::WRONLY | OFlags::CREATE,
                    OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
                    OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
                    OFlags::WRONLY | OFlags::TRUNC,
                ]),
                mode,
                text: self.pick(&["", "a", "some text", "more text than before"]),
            },
            4 => Op::Truncate { path, size: self.pick(&[0, 3, 5000]) },
            5 | 6 => Op::Mkdir { path, mode: mode | 0o700 },
            7 => Op::Fifo { path },
            8 => Op::Symlink { path, target: self.pick(&["nowhere", "/l", "d/f"]) },
            9 => Op::Link { old: self.path(), path },
            10 => Op::Unlink { path },
            11 => Op::Rmdir { path },
            12 | 13 => Op::Rename {
                from: path,
                to: self.path(),
                flags: self.pick(&[
                    RenameFlags::empty(),
                    RenameFlags::empty(),
                    RenameFlags::NOREPLACE,
                    RenameFlags::EXCHANGE,
                ]),
            },
            14 => Op::Chmod { path, mode: mode | 0o700 },
            15 => Op::SetXattr {
                path,
                value: self.pick(&["", "v", "value"]),
                flags: self.pick(&[XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE]),
            },
            16 => Op::RemoveXattr { path },
            _ => Op::Chown { path, uid: self.pick(&[0, 7, 4_000_000_000]) },
        }
    }
}

/// How many operations: 20,000, or what `VIEWOS_MODEL_OPS` says.
pub(crate) fn count() -> usize {
    std::env::var("VIEWOS_MODEL_OPS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// The lower tree: two directories alike, with files that have several names or, if not `linked`, without.
pub(crate) fn populate(tree: &dyn Dir, linked: bool) {
    let (h, g) = if linked { ("d/h&d/g", "g&d/g") } else { ("d/h=linked", "g=linked") };
    for top in ["l", "r"] {
        tree.mkdir(top.as_bytes(), 0o755).unwrap();
        let mut entries = vec!["d/", "d/f=deep", "d/g=linked", h, "d/s>target", "d/e/", "e/"];
        entries.extend(["e/f=e", "e/d/", "e/d/f=deepest", "f=file", g, "s>d/f"]);
        make_in(tree, top, &entries);
    }
}

type Refusal = Box<dyn Fn(&Op) -> Option<Errno>>;

/// Fresh trees for 200 operations.
pub(crate) struct Round {
    /// The overlay over them, also after others were.
    pub(crate) mount: Box<dyn Fn() -> Overlay>,
    /// A look at what must not change.
    pub(crate) watch: Box<dyn Fn() -> Vec<String>>,
    /// Who asks for changes.
    pub(crate) who: Caller,
    /// Owners are virtual, and changed.
    pub(crate) with_chown: bool,
    /// FIFOs are the kernel's, so that they can be opened.
    pub(crate) opens_fifos: bool,
    /// What a change is answered that POSIX allows, if not success.
    pub(crate) refuses: Refusal,
}

impl Round {
    pub(crate) fn new(mount: Box<dyn Fn() -> Overlay>, who: Caller) -> Self {
        Self {
            mount,
            watch: Box::new(Vec::new),
            who,
            with_chown: false,
            opens_fifos: true,
            refuses: Box::new(|_| None),
        }
    }
}

/// Runs `count` operations in rounds of 200.
pub(crate) fn run(seed: u64, begin: &dyn Fn() -> Round) {
    caller();
    for round in 0..count().div_ceil(200) {
        let trees = begin();
        let before = (trees.watch)();
        let mut random = Random::new(seed + u64::try_from(round).unwrap());
        let mut subject = Some((trees.mount)());
        let mut model = Model::of(subject.as_ref().unwrap(), trees.who.uid);
        let mut inos = BTreeMap::new();
        let mut history = Vec::new();
        for step in 0..200 {
            let op = random.op(trees.with_chown);
            if !trees.opens_fifos && model.is_open_of_fifo(&op) {
                continue;
            }
            let mut next = model.clone();
            let mut wanted = next.apply(&op);
            // A tree that can't be written says so before it looks for an attribute (`mnt_want_write`).
            let is_xattr = matches!(op, Op::SetXattr { .. } | Op::RemoveXattr { .. });
            let is_there = !matches!(wanted, Err(Errno::ENOENT | Errno::ENOTDIR));
            let asks = wanted.is_ok() || is_xattr && is_there;
            let refusal = (trees.refuses)(&op).map(Err);
            match refusal.filter(|_| asks) {
                Some(refusal) => wanted = refusal,
                None => model = next,
            }
            let got = apply(subject.as_ref().unwrap(), &op, trees.who);
            let of_types = [Errno::ENOTDIR, Errno::EISDIR, Errno::ENOTEMPTY].map(Err);
            if matches!(op, Op::Rename { .. }) && Some(got) == refusal && of_types.contains(&wanted)
            {
                // A rename may say so before it compares the two files, too.
                wanted = got;
            }
            history.push(format!("{op:?} -> {got:?}"));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_eq!(got, wanted, "{op:?}");
                if step % 8 == 0 || step > 190 {
                    check(&model, subject.as_ref().unwrap(), &mut inos);
                }
                if step % 50 == 49 {
                    drop(subject.take());
                    subject = Some((trees.mount)());
                    check(&model, subject.as_ref().unwrap(), &mut inos);
                }
            }));
            if result.is_err() {
                let done = history.iter().filter(|h| h.ends_with("Ok(())"));
                let done: Vec<_> = done.cloned().collect();
                panic!("round {round} step {step} after:\n{}\nlast: {op:?}", done.join("\n"));
            }
        }
        assert_eq!(before, (trees.watch)(), "round {round}: what may not change was changed");
    }
}

fn host(path: &Path) -> HostDir {
    HostDir::new(handle(path))
}

/// A store over a tree of the host; nothing below `watched` of that may change, as `refused` says that it can't.
fn over_host(mode: Mode, vstat: bool, who: Caller, refused: &'static [&'static str]) -> Round {
    let (lower, upper) = (scratch(), scratch());
    populate(&host(lower.path()), true);
    let watched = refused.first().map_or(lower.path().to_path_buf(), |r| lower.path().join(r));
    let mount = move || overlay(lower.path(), upper.path(), mode, vstat, refused).0;
    Round {
        watch: Box::new(move || picture(&watched)),
        with_chown: vstat,
        ..Round::new(Box::new(mount), who)
    }
}

#[test]
fn move_of_a_plain_tree_agrees_with_the_model() {
    // This checks the model: the answers are the kernel's.
    run(1000, &|| {
        let tree = scratch();
        populate(&host(tree.path()), true);
        let mount = move || {
            let source = Source::Tree(Box::new(DirectoryLower::open(tree.path()).unwrap()));
            let below = DirectoryLower::open(tree.path()).unwrap();
            Overlay::new(source, Box::new(below), MountOptions::default()).unwrap()
        };
        Round::new(Box::new(mount), caller())
    });
}

#[test]
fn merge_agrees_with_the_model_and_leaves_the_source_alone() {
    run(1500, &|| {
        let (source, target) = (scratch(), scratch());
        populate(&host(target.path()), true);
        // The source has a directory that the target has too, and one that it has not.
        host(source.path()).mkdir(b"x", 0o755).unwrap();
        host(source.path()).mkdir(b"r", 0o755).unwrap();
        make(&source.path().join("x"), &["d/", "d/f=source", "d/e/", "s>d/f", "h=x"]);
        make(
            &source.path().join("r"),
            &["d/", "d/f=over", "d/n=source", "e=file over directory", "h=x"],
        );
        let (from, to) = (source.path().to_path_buf(), target.path().to_path_buf());
        let refuses = move |op: &Op| {
            let is_source = |path: &str| {
                let parent = Path::new(path).parent().unwrap();
                from.join(path).symlink_metadata().is_ok()
                    || from.join(parent).symlink_metadata().is_ok()
                        && to.join(parent).symlink_metadata().is_err()
            };
            op.changes().iter().any(|path| is_source(path)).then_some(Errno::EROFS)
        };
        let watched = source.path().to_path_buf();
        let mount = move || {
            let tree = Source::Tree(Box::new(DirectoryLower::open(source.path()).unwrap()));
            let below = DirectoryLower::open(target.path()).unwrap();
            let options = MountOptions { mode: Mode::Merge, ..MountOptions::default() };
            Overlay::new(tree, Box::new(below), options).unwrap()
        };
        Round {
            refuses: Box::new(refuses),
            watch: Box::new(move || picture(&watched)),
            ..Round::new(Box::new(mount), caller())
        }
    });
}

#[test]
fn cow_agrees_with_the_model_and_leaves_the_lower_tree_alone() {
    run(2000, &|| over_host(Mode::Cow, false, caller(), &[]));
}

#[test]
fn cow_with_vstat_agrees_with_the_model_and_leaves_the_lower_tree_alone() {
    run(3000, &|| over_host(Mode::Cow, true, Caller { uid: 0, gid: 0, pid: 0 }, &[]));
}

#[test]
fn mincow_agrees_with_the_model_and_leaves_what_refuses_alone() {
    run(4000, &|| over_host(Mode::Mincow, false, caller(), &["r"]));
}

#[test]
fn mincow_with_vstat_agrees_with_the_model_and_leaves_what_refuses_alone() {
    run(5000, &|| over_host(Mode::Mincow, true, Caller { uid: 3, gid: 3, pid: 0 }, &["r"]));
}
