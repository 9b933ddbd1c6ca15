//! The Debian packages that the fixtures and the tests need: the one list.

use crate::command::{program, run};
use anyhow::Result;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A package, and a file that tells whether it is installed.
struct Package {
    name: &'static str,
    /// A program found in the usual folders, or an absolute path.
    probe: &'static str,
}

const fn package(name: &'static str, probe: &'static str) -> Package {
    Package { name, probe }
}

const PACKAGES: [Package; 32] = [
    package("acl", "setfacl"),
    package("aspell", "aspell"),
    package("aspell-en", "/usr/lib/aspell/en.multi"),
    package("attr", "setfattr"),
    package("bsdutils", "script"),
    package("busybox-static", "busybox"),
    package("dosfstools", "mkfs.fat"),
    package("e2fsprogs", "debugfs"),
    package("faketime", "faketime"),
    package("fdisk", "sfdisk"),
    package("gcc", "gcc"),
    package("gdisk", "sgdisk"),
    package("genisoimage", "genisoimage"),
    package("genromfs", "genromfs"),
    package("git", "git"),
    package("libc6-dev", "/usr/include/stdio.h"),
    package("libpython3.11-testsuite", "/usr/lib/python3.11/test/test_os.py"),
    package("linux-libc-dev", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    package("lsof", "lsof"),
    package("make", "make"),
    package("mount", "mount"),
    package("mtools", "mcopy"),
    package("musl-tools", "musl-gcc"),
    package("nodejs", "node"),
    package("parted", "parted"),
    package("perl", "perl"),
    package("procps", "ps"),
    package("python3", "python3"),
    package("qemu-utils", "qemu-img"),
    package("rsync", "rsync"),
    package("util-linux", "unshare"),
    package("xorriso", "xorriso"),
];

/// What `bench` compares with, and the programs that it times.
const PEERS: [Package; 9] = [
    package("fakeroot", "fakeroot"),
    package("fuse-overlayfs", "fuse-overlayfs"),
    package("fuse2fs", "fuse2fs"),
    package("fuseiso", "fuseiso"),
    package("gcc", "gcc"),
    package("git", "git"),
    package("libc6-dev", "/usr/include/stdio.h"),
    package("make", "make"),
    package("proot", "proot"),
];

/// Tools of file systems are in sbin, which a plain user's PATH may lack.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

fn is_installed(package: &Package) -> bool {
    if package.probe.starts_with('/') {
        return Path::new(package.probe).exists();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(SBIN.split(':')).filter(|folder| !folder.is_empty());
    folders.map(|folder| Path::new(folder).join(package.probe)).any(|file| file.is_file())
}

/// Installs what is missing as root; else says in one line how to, and goes on: a test that misses
/// a tool fails by itself and names the package.
pub(crate) fn install_missing() -> Result<()> {
    install_of(&PACKAGES)
}

/// As [`install_missing`], with what `bench` needs.
pub(crate) fn install_peers() -> Result<()> {
    install_of(&PACKAGES)?;
    install_of(&PEERS)
}

fn install_of(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !is_installed(package)).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("tools are missing: sudo apt-get install -y {}", missing.join(" "));
        return Ok(());
    }
    let install = || {
        let words = ["install", "-y", "--no-install-recommends"];
        let mut command = program("apt-get", &words);
        command.args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
        run(command)
    };
    // The lists of packages may be absent or old: fetched only when the first attempt fails.
    install().or_else(|_| {
        run(program("apt-get", &["update"]))?;
        install()
    })
}

pub(crate) fn is_root() -> bool {
    // The owner of a process's folder in /proc is its effective user.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
