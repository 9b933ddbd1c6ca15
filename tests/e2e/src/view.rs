//! Views and how they are started.

use crate::deadline::{Output, Started};
use crate::programs::programs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a program may take: long, because the machine may be busy, and finite.
const LIMIT: Duration = Duration::from_secs(60);

/// Back ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Seccomp notification.
    Notify,
    /// ptrace alone.
    Trace,
}

/// Who starts the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Who runs the tests, mostly root.
    Root,
    /// A user without rights.
    Nobody,
}

impl User {
    /// The ids, if they are not those of the tests themselves.
    #[must_use]
    pub fn ids(self) -> Option<(u32, u32)> {
        if self == Self::Root || !nix::unistd::geteuid().is_root() {
            return None;
        }
        let user = nix::unistd::User::from_name("nobody").ok().flatten();
        let user = user.expect("/etc/passwd has nobody");
        Some((user.uid.as_raw(), user.gid.as_raw()))
    }

    /// Whom the files are of that it makes.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.ids().map_or_else(|| nix::unistd::geteuid().as_raw(), |(uid, _)| uid)
    }
}

/// Every engine that works here with every user that we may be; a loud line for what is left out.
#[must_use]
pub fn combinations() -> Vec<(Engine, User)> {
    let users: &[User] = if nix::unistd::geteuid().is_root() {
        &[User::Root, User::Nobody]
    } else {
        eprintln!("SKIPPED: views started by root (the tests are not run by root)");
        &[User::Root]
    };
    let mut all = Vec::new();
    for engine in [Engine::Notify, Engine::Trace] {
        if works(engine) {
            all.extend(users.iter().map(|&user| (engine, user)));
        } else {
            eprintln!("SKIPPED: {engine:?} does not work here: see umview --doctor");
        }
    }
    assert!(!all.is_empty(), "no engine works here: see umview --doctor");
    all
}

fn works(engine: Engine) -> bool {
    static FINDINGS: OnceLock<String> = OnceLock::new();
    let findings = FINDINGS.get_or_init(|| {
        let doctor = Command::new(programs().join("umview")).arg("--doctor").output();
        let output = doctor.expect("umview starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let needs = match engine {
        Engine::Notify => "yes  seccomp notification",
        Engine::Trace => "yes  seccomp filter",
    };
    findings.contains(needs) && findings.contains("yes  ptrace")
}

/// Fails where a program of the host is missing, with the package that has it.
///
/// # Panics
/// If it is missing.
pub fn need(program: &str, package: &str) {
    let folders = PATH.split(':');
    let is_there = folders.into_iter().any(|folder| Path::new(folder).join(program).exists());
    assert!(is_there, "{program} is missing: apt-get install {package}");
}

/// Where programs of the host are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a view is to be started.
#[derive(Clone, Debug)]
pub struct View {
    engine: Engine,
    user: User,
    options: Vec<String>,
    fuse: Option<String>,
    folder: PathBuf,
    stdin: String,
    variables: Vec<(String, String)>,
    limit: Duration,
    is_native: bool,
    umview: Option<PathBuf>,
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

/// The same without a view.
#[must_use]
pub fn native(user: User) -> View {
    View { is_native: true, ..View::new().user(user) }
}

impl View {
    /// A view without modules, by notification, of root.
    #[must_use]
    pub fn new() -> Self {
        Self {
            engine: Engine::Notify,
            user: User::Root,
            options: Vec::new(),
            fuse: None,
            folder: "/tmp".into(),
            stdin: String::new(),
            variables: Vec::new(),
            limit: LIMIT,
            is_native: false,
            umview: None,
        }
    }

    /// Another program in the place of `umview`.
    #[must_use]
    pub fn umview(mut self, program: &str) -> Self {
        self.umview = Some(program.into());
        self
    }

    /// A view of a combination.
    #[must_use]
    pub fn of((engine, user): (Engine, User)) -> Self {
        Self::new().engine(engine).user(user)
    }

    /// The back end.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Who starts it.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// A module that is loaded first.
    #[must_use]
    pub fn preload(self, module: &str) -> Self {
        self.option("-p").option(module)
    }

    /// One more word between `umview` and the command.
    #[must_use]
    pub fn option(mut self, word: &str) -> Self {
        self.options.push(word.to_owned());
        self
    }

    /// Other text in the place of a mark in its options.
    #[must_use]
    pub fn replace(mut self, mark: &str, text: &str) -> Self {
        self.options.iter_mut().for_each(|option| *option = option.replace(mark, text));
        self
    }

    /// The folder in which it starts, which is its HOME, too.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = folder.to_path_buf();
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the first process reads.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.to_owned();
        self
    }

    /// Everybody may use `/dev/fuse`, which is otherwise as this machine has it: a node of its kind in `folder`, which
    /// must not be on a mount without devices, is bound over it. `None`, with a loud line, where it does not work.
    ///
    /// # Panics
    /// If the machine has a `/dev/fuse` and a node of its kind can't be made.
    #[must_use]
    pub fn with_fuse(mut self, folder: &Path) -> Option<Self> {
        let is_there = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
        if let Err(error) = is_there {
            eprintln!("SKIPPED: files by /dev/fuse ({error})");
            return None;
        }
        if self.user.ids().is_some() {
            let node = folder.join("fuse").to_string_lossy().into_owned();
            let made = Command::new("mknod").args(["-m", "666", &node, "c", "10", "229"]).status();
            assert!(made.expect("mknod starts").success(), "mknod {node}");
            self.fuse = Some(node);
        }
        Some(self)
    }

    /// How long its commands may take, in place of a minute.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs `sh -c LINE` to its end.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        self.command(&["sh", "-c", line])
    }

    /// Runs a command to its end; without words, what umview starts by itself.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Output {
        let mut started = self.start(words);
        if !self.stdin.is_empty() {
            started.write(&self.stdin);
        }
        started.finish()
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Started {
        let mut line: Vec<String> = Vec::new();
        if let Some(node) = &self.fuse {
            let bind = "mount --bind \"$0\" /dev/fuse && exec \"$@\"";
            let words = ["unshare", "--mount", "sh", "-c", bind, node];
            line.extend(words.map(str::to_owned));
        }
        if self.user.ids().is_some() {
            let wrap = "setpriv --reuid nobody --regid nogroup --init-groups";
            line.extend(wrap.split(' ').map(str::to_owned));
        }
        if !self.is_native {
            let umview = self.umview.clone().unwrap_or_else(|| programs().join("umview"));
            line.push(umview.to_string_lossy().into_owned());
            line.push(format!(
                "--engine={}",
                if self.engine == Engine::Notify { "notify" } else { "trace" }
            ));
            line.extend(self.options.iter().cloned());
            if !words.is_empty() {
                line.push("--".into());
            }
        }
        line.extend(words.iter().map(|&word| word.to_owned()));
        let (program, rest) = line.split_first().expect("there is a command");
        let mut command = Command::new(program);
        command.args(rest).current_dir(&self.folder).env_clear();
        command.env("PATH", format!("{}:{PATH}", programs().display()));
        command
            .env("HOME", &self.folder)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("TERM", "dumb");
        command.env("SHELL", "/bin/sh").envs(self.variables.iter().cloned());
        Started::new(command, self.limit)
    }
}
