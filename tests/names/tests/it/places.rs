//! Where a tree can lie, and how it is reached in a view.

use e2e::{Engine, User, View, need};
use names::{Mapping, Node, Noise, PROBE, Tree, paths, shown};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A random tree, names for it, and the probe.
pub(crate) struct Case {
    folder: TempDir,
    pub(crate) names: Vec<Vec<u8>>,
    tree: Tree,
    pub(crate) seed: u64,
}

impl Case {
    /// The case of a seed.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        need("gcc", "gcc");
        let mut builder = tempfile::Builder::new();
        // A seed that is looked into leaves its tree.
        builder.prefix("viewos-names-").disable_cleanup(std::env::var(SEED).is_ok());
        let folder = builder.tempdir().expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("ours");
        let mut noise = Noise::new(seed);
        let root = folder.path().join("tree");
        let tree = Tree::new(&mut noise, root.as_os_str().as_encoded_bytes());
        std::fs::create_dir(&root).expect("a new folder");
        tree.make(&root).expect("the tree can be made");
        let names = paths(&tree, &mut noise, count);
        let case = Self { folder, names, tree, seed };
        case.compile();
        let list: Vec<u8> = case.names.iter().flat_map(|n| [n, &b"\0"[..]].concat()).collect();
        std::fs::write(case.path("names"), list).expect("room in /tmp");
        case
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn compile(&self) {
        let source = self.path("probe.c");
        std::fs::write(&source, PROBE).expect("room in /tmp");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-static", "-o", &self.path("probe"), &source]);
        let status = gcc.status().expect("gcc starts");
        assert!(status.success(), "{gcc:?}: {status}");
    }

    /// What the kernel says, with these words behind the probe.
    pub(crate) fn kernel(&self, words: &str) -> String {
        let script = format!("{} {words} < {}", self.path("probe"), self.path("names"));
        let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output();
        let output = output.expect("sh starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}: {errors}", output.status);
        self.restore();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a view says after `setup`.
    pub(crate) fn view(&self, view: &View, setup: &str, words: &str) -> String {
        let out = self.path("out");
        let (probe, names) = (self.path("probe"), self.path("names"));
        let line = format!("set -e; {setup}\n{probe} {words} < {names} > {out}");
        let output = view.run(&line);
        assert!(output.code == Some(0), "{line}: {output:#?}");
        self.restore();
        std::fs::read_to_string(&out).expect("the view wrote it")
    }

    /// The probe made and removed names.
    fn restore(&self) {
        self.tree.restore_times(&self.folder.path().join("tree")).expect("the tree is ours");
    }

    /// The tree, for a report.
    pub(crate) fn listing(&self) -> String {
        let lines = self.tree.nodes.iter().map(|(path, node)| match node {
            Node::Link(text) => format!("  {} -> {}\n", shown(path), shown(text)),
            Node::Directory => format!("  {}/\n", shown(path)),
            Node::File => format!("  {}\n", shown(path)),
        });
        lines.filter(|line| !line.starts_with("  chain")).collect()
    }
}

/// A view of root, or of whoever runs the tests.
pub(crate) fn view(engine: Engine, modules: &[&str]) -> View {
    let view = View::new().engine(engine).user(User::Root).option("-q");
    modules.iter().fold(view, |view, module| view.preload(module))
}

/// Paths below the first are the other's below the second.
pub(crate) fn mapping(pairs: &[(&str, &str)]) -> Mapping {
    Mapping(pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect())
}

const SEED: &str = "VIEWOS_NAMES_SEED";

/// Runs `test` for a few seeds; for `VIEWOS_NAMES_SEED` alone where that is set; for all that fit into
/// `VIEWOS_NAMES_SECONDS` where that is.
pub(crate) fn for_seeds(first: u64, few: u64, test: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number(SEED) {
        return test(seed);
    }
    let Some(seconds) = number("VIEWOS_NAMES_SECONDS") else {
        (first..first + few).for_each(test);
        return;
    };
    let begin = Instant::now();
    let mut seed = first;
    while begin.elapsed() < Duration::from_secs(seconds) {
        test(seed);
        seed += 1;
    }
    let _ = writeln!(std::io::stderr(), "seeds {first} to {seed}");
}
