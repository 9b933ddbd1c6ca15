//! Random names.

use crate::noise::Noise;
use crate::tree::{Node, Tree, name};

/// `count` names for a tree, relative to its root, and those that are always tried.
#[must_use]
pub fn paths(tree: &Tree, noise: &mut Noise, count: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for fixed in [
        &b""[..],
        b".",
        b"..",
        b"/",
        b"./",
        b"../",
        b"file/",
        b"file/.",
        b"file/..",
        b"file//",
        b"a/.",
        b"a/..",
        b"self",
        b"self/",
        b"self/x",
        b"ping",
        b"slashed",
        b"slashed/",
        b"to-dir",
        b"to-dir/",
        b"to-dir/..",
        b"absolute",
        b"absolute/..",
        b"absolute/.",
        b"to-file",
        b"from-root",
        b"from-root/../b",
        b"a/../from-root/..",
        b"up/.",
        b"up/../..",
        b"missing/",
        b"missing/.",
        b"missing/..",
        b"chain38",
        b"chain39",
        b"chain40",
        b"chain38/b",
        b"chain39/b",
        b"chain40/b",
        b"chain39/",
        b"chain20/../chain20",
        b"chain19/../chain19/..",
        b"up/up/up/.",
    ] {
        all.push(fixed.to_vec());
    }
    all.push(vec![b'm'; 255]);
    all.push(vec![b'm'; 256]);
    all.push([&vec![b'm'; 256][..], b"/x"].concat());
    all.push([b"missing/", &vec![b'm'; 256][..]].concat());
    all.push([b"file/", &vec![b'm'; 256][..]].concat());
    for length in [4090, 4094, 4095, 4096, 5000] {
        all.push([&b"./".repeat(length / 2)[..length - 1], b"a"].concat());
    }
    for (path, node) in &tree.nodes {
        if matches!(node, Node::Link(_)) && all.len() < count {
            all.push(path.clone());
            all.push([path, &b"/"[..]].concat());
            all.push([path, &b"/.."[..]].concat());
        }
    }
    while all.len() < count {
        all.push(walk(tree, noise));
    }
    all
}

/// A path along the tree, with detours.
pub(crate) fn walk(tree: &Tree, noise: &mut Noise) -> Vec<u8> {
    let mut path: Vec<u8> = Vec::new();
    if noise.chance(70) && !tree.nodes.is_empty() {
        path.extend_from_slice(&tree.nodes[noise.below(tree.nodes.len())].0);
    }
    for _ in 0..noise.below(5) {
        if !path.is_empty() {
            path.extend_from_slice(noise.pick(&[&b"/"[..], b"/", b"/", b"//", b"/./", b"///"]));
        }
        match noise.below(10) {
            0..3 => path.extend_from_slice(b".."),
            3 => path.extend_from_slice(b"."),
            4..6 if !tree.nodes.is_empty() => {
                path.extend_from_slice(&tree.nodes[noise.below(tree.nodes.len())].0);
            }
            _ => path.extend(name(noise)),
        }
    }
    if noise.chance(25) {
        path.extend_from_slice(noise.pick(&[&b"/"[..], b"//", b"/.", b"/..", b"/./"]));
    }
    if path.first() == Some(&b'/') {
        path.insert(0, b'.');
    }
    path
}
