//! The images of `cargo xtask fixtures`.

use crate::images::tool;
use crate::places::{Format, Places};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image that others made, and where its structures are.
pub struct Fixture {
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// Its bytes.
    pub image: Arc<Vec<u8>>,
    /// Its structures.
    pub places: Places,
}

/// All fixtures of a format; qcow2 has none, so images are made of another.
///
/// # Panics
/// If `VIEWOS_FIXTURES` does not name their folder, or a tool is missing.
#[must_use]
pub fn fixtures(format: Format) -> Vec<Fixture> {
    let folder = std::env::var_os("VIEWOS_FIXTURES")
        .map(PathBuf::from)
        .expect("VIEWOS_FIXTURES names the folder of the fixtures: cargo xtask test");
    if format == Format::Qcow2 {
        return qcow2(&folder);
    }
    let index = std::fs::read_to_string(folder.join("INDEX")).expect("the fixtures have an INDEX");
    let of_format = |line: &str| {
        let mut words = line.split(' ');
        let (name, kind) = (words.next()?, words.next()?);
        let found = match kind {
            "ext" => Format::Ext,
            "fat" => Format::Fat,
            "iso" => Format::Iso,
            _ => Format::Table,
        };
        (found == format).then(|| name.to_owned())
    };
    let names: Vec<String> = index.lines().filter_map(of_format).collect();
    assert!(!names.is_empty(), "there are fixtures of {format:?}");
    names.into_iter().map(|name| read(format, &folder.join(format!("{name}.img")), name)).collect()
}

fn read(format: Format, path: &Path, name: String) -> Fixture {
    let image = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let places = Places::of(format, &image);
    Fixture { name, format, image: Arc::new(image), places }
}

fn qcow2(folder: &Path) -> Vec<Fixture> {
    let from = folder.join("ext2-1k.img");
    let kinds: [(&str, &[&str]); 3] = [
        ("qcow2", &["-o", "cluster_size=64K"]),
        ("qcow2-packed", &["-c", "-o", "cluster_size=4K"]),
        ("qcow2-old", &["-o", "compat=0.10,cluster_size=512"]),
    ];
    let make = |(name, options): &(&str, &[&str])| {
        let made = tempfile::tempdir().expect("a folder for an image");
        let to = made.path().join("image");
        let ends = [from.to_string_lossy(), to.to_string_lossy()];
        let words = [&["qemu-img", "convert", "-O", "qcow2"], *options, &[&ends[0], &ends[1]]];
        tool("qemu-utils", &words.concat());
        read(Format::Qcow2, &to, (*name).to_owned())
    };
    kinds.iter().map(make).collect()
}
