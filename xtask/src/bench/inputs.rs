//! The inputs of the measurements, made anew in a folder that goes away with the run.

use crate::bench::probe::noise;
use crate::command::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How large everything is.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Files of the tree that find and grep walk.
    pub(crate) tree_files: usize,
    pub(crate) git_files: usize,
    pub(crate) tar_files: usize,
    pub(crate) sources: usize,
    pub(crate) spawns: usize,
    /// The large file.
    pub(crate) mebibytes: usize,
    pub(crate) names: usize,
    pub(crate) random_reads: usize,
    pub(crate) iso_files: usize,
    pub(crate) packages: usize,
}

pub(crate) const FULL: Sizes = Sizes {
    tree_files: 50_000,
    git_files: 5_000,
    tar_files: 10_000,
    sources: 60,
    spawns: 2_000,
    mebibytes: 1024,
    names: 10_000,
    random_reads: 20_000,
    iso_files: 3_000,
    packages: 20,
};

pub(crate) const QUICK: Sizes = Sizes {
    tree_files: 5_000,
    git_files: 1_000,
    tar_files: 1_000,
    sources: 12,
    spawns: 200,
    mebibytes: 128,
    names: 1_000,
    random_reads: 2_000,
    iso_files: 300,
    packages: 4,
};

/// Files of a package.
const PACKAGE_FILES: usize = 50;
/// Files in one directory of a tree.
const FANOUT: usize = 100;
/// Small files of the open and stat loops.
pub(crate) const SMALL_FILES: usize = 100;

/// The folder, removed when this goes away.
pub(crate) struct Inputs {
    pub(crate) folder: PathBuf,
    pub(crate) sizes: Sizes,
}

impl Drop for Inputs {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} is left: {error}", self.folder.display());
        }
    }
}

impl Inputs {
    /// An empty folder; the inputs come when they are asked for.
    pub(crate) fn new(sizes: Sizes) -> Result<Self> {
        let folder = base().join(format!("view-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder, sizes })
    }

    /// The path of an input, made by `make` if it is not there.
    fn once(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.exists() {
            eprintln!("making {name}");
            make(&path)?;
        }
        Ok(path)
    }

    pub(crate) fn tree(&self) -> Result<PathBuf> {
        self.once("tree", |path| tree(path, self.sizes.tree_files, 512))
    }

    pub(crate) fn small(&self) -> Result<PathBuf> {
        self.once("small", |path| {
            fs::create_dir(path)?;
            (0..SMALL_FILES).try_for_each(|n| {
                fs::write(path.join(format!("small-{n:03}")), noise(1000)).map_err(Into::into)
            })
        })
    }

    pub(crate) fn git(&self) -> Result<PathBuf> {
        self.git_at("git")
    }

    pub(crate) fn git_at(&self, name: &str) -> Result<PathBuf> {
        self.once(name, |path| {
            tree(path, self.sizes.git_files, 400)?;
            let git = |words: &[&str]| {
                let mut command = Command::new("git");
                command.current_dir(path).args(["-c", "user.name=b", "-c", "user.email=b@b"]);
                command.args(["-c", "gc.auto=0"]).args(words).stdout(Stdio::null());
                run(command)
            };
            git(&["init", "-q"])?;
            git(&["add", "."])?;
            git(&["commit", "-q", "-m", "all"])
        })
    }

    pub(crate) fn tar(&self) -> Result<PathBuf> {
        self.once("files.tar", |path| {
            let from = self.folder.join("tar-files");
            tree(&from, self.sizes.tar_files, 1000)?;
            tool("tar", &["-C", text(&from)?, "-cf", text(path)?, "."])?;
            Ok(fs::remove_dir_all(&from)?)
        })
    }

    pub(crate) fn project(&self) -> Result<PathBuf> {
        self.project_at("project")
    }

    pub(crate) fn project_at(&self, name: &str) -> Result<PathBuf> {
        self.once(name, |path| project(path, self.sizes.sources))
    }

    /// Debian packages without scripts.
    pub(crate) fn packages(&self) -> Result<PathBuf> {
        self.once("packages", |path| {
            fs::create_dir(path)?;
            for number in 0..self.sizes.packages {
                let from = self.folder.join("package");
                let name = format!("bench-{number:02}");
                tree(&from.join("usr/share").join(&name), PACKAGE_FILES, 2000)?;
                fs::create_dir(from.join("DEBIAN"))?;
                let control = format!(
                    "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: b <b@b>\n\
                     Description: nothing\n"
                );
                fs::write(from.join("DEBIAN/control"), control)?;
                tool("dpkg-deb", &["--root-owner-group", "-b", text(&from)?, text(path)?])?;
                fs::remove_dir_all(&from)?;
            }
            Ok(())
        })
    }

    /// The large file itself.
    pub(crate) fn large(&self) -> Result<PathBuf> {
        self.once("large", |path| {
            fs::create_dir(path)?;
            let mut bytes = Vec::new();
            let one = noise(1 << 20);
            (0..self.sizes.mebibytes).for_each(|_| bytes.extend_from_slice(&one));
            Ok(fs::write(path.join("large"), bytes)?)
        })
    }

    pub(crate) fn large_image(&self) -> Result<PathBuf> {
        let from = self.large()?;
        let mebibytes = self.sizes.mebibytes + self.sizes.mebibytes / 8 + 32;
        self.once("large.ext4", |path| ext4(path, &from, mebibytes))
    }

    pub(crate) fn tree_image(&self) -> Result<PathBuf> {
        let from = self.tree()?;
        let mebibytes = self.sizes.tree_files / 100 + 64;
        self.once("tree.ext4", |path| ext4(path, &from, mebibytes))
    }

    pub(crate) fn small_image(&self) -> Result<PathBuf> {
        let from = self.small()?;
        self.once("small.ext2", |path| {
            tool("mke2fs", &["-q", "-t", "ext2", "-d", text(&from)?, text(path)?, "16m"])
        })
    }

    pub(crate) fn iso_tree(&self) -> Result<PathBuf> {
        self.once("iso-tree", |path| tree(path, self.sizes.iso_files, 50_000))
    }

    pub(crate) fn iso(&self) -> Result<PathBuf> {
        let from = self.iso_tree()?;
        self.once("files.iso", |path| {
            tool("genisoimage", &["-quiet", "-R", "-o", text(path)?, text(&from)?])
        })
    }
}

/// Memory where there is enough, as disks are busy with others; else the folder of temporary files.
fn base() -> PathBuf {
    let mut query = Command::new("df");
    query.args(["--output=avail", "--block-size=1M", SHARED_MEMORY]);
    let printed = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let last = printed.ok().and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
    match last {
        Some(mebibytes) if mebibytes >= MEBIBYTES_MIN => PathBuf::from(SHARED_MEMORY),
        _ => std::env::temp_dir(),
    }
}

const SHARED_MEMORY: &str = "/dev/shm";
/// What the full run takes, with room to spare.
const MEBIBYTES_MIN: u64 = 6 << 10;

/// The path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn tool(name: &str, words: &[&str]) -> Result<()> {
    let mut command = Command::new(name);
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    run(command)
}

fn ext4(image: &Path, from: &Path, mebibytes: usize) -> Result<()> {
    let size = format!("{mebibytes}m");
    tool("mke2fs", &["-q", "-t", "ext4", "-i", "8192", "-d", text(from)?, text(image)?, &size])
}

/// Directories of [`FANOUT`] files of about `bytes` bytes of text.
fn tree(folder: &Path, files: usize, bytes: usize) -> Result<()> {
    let line = "the quick brown fox jumps over the lazy dog and runs away\n";
    for directory in 0..files.div_ceil(FANOUT) {
        let here = folder.join(format!("d{:02}", directory / 25)).join(format!("e{directory:03}"));
        fs::create_dir_all(&here)?;
        for file in 0..FANOUT.min(files - directory * FANOUT) {
            let lines = (bytes / line.len()).max(1);
            let text = format!("{directory} {file}\n{}", line.repeat(lines));
            fs::write(here.join(format!("file-{file:02}.txt")), text)?;
        }
    }
    Ok(())
}

/// A C program of many sources, each with headers of the C library.
fn project(folder: &Path, sources: usize) -> Result<()> {
    fs::create_dir(folder)?;
    let mut header = String::from("#ifndef ALL_H\n#define ALL_H\n");
    let mut main = String::from("#include \"all.h\"\nint main(void) { int s = 0;\n");
    for n in 0..sources {
        header.push_str(&format!("int work{n}(int);\n"));
        main.push_str(&format!("s += work{n}(s);\n"));
        let includes = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
                        #include <unistd.h>\n#include <sys/stat.h>\n#include \"all.h\"\n";
        let body: String = (0..20)
            .map(|k| {
                format!("static int f{k}(int a) {{ return a * {k} + (int)strlen(\"{n}\"); }}\n")
            })
            .collect();
        let calls: String = (0..20).map(|k| format!(" + f{k}(a)")).collect();
        let text = format!("{includes}{body}int work{n}(int a) {{ return 0{calls}; }}\n");
        fs::write(folder.join(format!("w{n}.c")), text)?;
    }
    header.push_str("#endif\n");
    main.push_str("return s == 42; }\n");
    fs::write(folder.join("all.h"), header)?;
    fs::write(folder.join("main.c"), main)?;
    let makefile = "O = $(patsubst %.c,%.o,$(wildcard *.c))\nall: $(O)\n\t$(CC) -o all $(O)\n\
                    %.o: %.c all.h\n\t$(CC) -O1 -c -o $@ $<\nclean:\n\trm -f all *.o\n";
    Ok(fs::write(folder.join("Makefile"), makefile)?)
}
