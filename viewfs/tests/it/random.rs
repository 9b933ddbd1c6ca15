//! Random operations on each mode, against the model.

use crate::fixture::{caller, make, overlay, picture, scratch};
use crate::model::{Model, Op, apply, check};
use abi::fs::{Caller, RenameFlags, XattrFlags};
use cow_store::OFlags;
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

/// How many operations: 2,000, or what `VIEWOS_MODEL_OPS` says.
pub(crate) fn count() -> usize {
    std::env::var("VIEWOS_MODEL_OPS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

/// The lower tree: two directories alike, with files that have several names or, if not `linked`, without.
pub(crate) fn populate(root: &Path, linked: bool) {
    let (h, g) = if linked { ("d/h&d/g", "g&d/g") } else { ("d/h=linked", "g=linked") };
    for top in ["l", "r"] {
        let at = root.join(top);
        std::fs::create_dir(&at).unwrap();
        let mut entries = vec!["d/", "d/f=deep", "d/g=linked", h, "d/s>target", "d/e/", "e/"];
        entries.extend(["e/f=e", "e/d/", "e/d/f=deepest", "f=file", g, "s>d/f"]);
        make(&at, &entries);
    }
}

/// Runs `count` operations in rounds of 200, each on fresh trees; `remount` makes the overlay anew.
fn run(
    seed: u64,
    who: Caller,
    with_chown: bool,
    remount: &dyn Fn(&Path, &Path) -> Overlay,
    watch: Option<&str>,
) {
    let rounds = count().div_ceil(200);
    caller();
    for round in 0..rounds {
        let (lower, upper) = (scratch(), scratch());
        populate(lower.path(), true);
        let before = watch.map(|w| picture(&lower.path().join(w)));
        let mut random = Random::new(seed + u64::try_from(round).unwrap());
        let mut subject = Some(remount(lower.path(), upper.path()));
        let mut model = Model::of(subject.as_ref().unwrap(), who.uid);
        let mut inos = BTreeMap::new();
        let mut history = Vec::new();
        for step in 0..200 {
            let op = random.op(with_chown);
            let wanted = model.apply(&op);
            let got = apply(subject.as_ref().unwrap(), &op, who);
            history.push(format!("{op:?} -> {got:?}"));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_eq!(got, wanted, "{op:?}");
                if step % 8 == 0 || step > 190 {
                    check(&model, subject.as_ref().unwrap(), &mut inos);
                }
                if step % 50 == 49 {
                    drop(subject.take());
                    subject = Some(remount(lower.path(), upper.path()));
                    check(&model, subject.as_ref().unwrap(), &mut inos);
                }
            }));
            if result.is_err() {
                let done = history.iter().filter(|h| h.ends_with("Ok(())"));
                let done: Vec<_> = done.cloned().collect();
                panic!("round {round} step {step} after:\n{}\nlast: {op:?}", done.join("\n"));
            }
        }
        if let Some(w) = watch {
            assert_eq!(
                before.unwrap(),
                picture(&lower.path().join(w)),
                "the lower tree was touched"
            );
        }
    }
}

#[test]
fn move_of_a_plain_tree_agrees_with_the_model() {
    // This checks the model: the answers are the kernel's.
    let mount = |lower: &Path, _: &Path| {
        let source = Source::Tree(Box::new(DirectoryLower::open(lower).unwrap()));
        let below = DirectoryLower::open(lower).unwrap();
        Overlay::new(source, Box::new(below), MountOptions::default()).unwrap()
    };
    run(1000, caller(), false, &mount, None);
}

#[test]
fn cow_agrees_with_the_model_and_leaves_the_lower_tree_alone() {
    let mount = |lower: &Path, upper: &Path| overlay(lower, upper, Mode::Cow, false, &[]).0;
    run(2000, caller(), false, &mount, Some(""));
}

#[test]
fn cow_with_vstat_agrees_with_the_model_and_leaves_the_lower_tree_alone() {
    let mount = |lower: &Path, upper: &Path| overlay(lower, upper, Mode::Cow, true, &[]).0;
    run(3000, Caller { uid: 0, gid: 0, pid: 0 }, true, &mount, Some(""));
}

#[test]
fn mincow_agrees_with_the_model_and_leaves_what_refuses_alone() {
    let mount = |lower: &Path, upper: &Path| overlay(lower, upper, Mode::Mincow, false, &["r"]).0;
    run(4000, caller(), false, &mount, Some("r"));
}

#[test]
fn mincow_with_vstat_agrees_with_the_model_and_leaves_what_refuses_alone() {
    let mount = |lower: &Path, upper: &Path| overlay(lower, upper, Mode::Mincow, true, &["r"]).0;
    run(5000, Caller { uid: 3, gid: 3, pid: 0 }, true, &mount, Some("r"));
}
