//! Damage to structures.

use crate::noise::Noise;
use crate::overlay::Overlay;
use crate::places::Places;

/// Changes one structure, sometimes a few; in three of four cases with checksums that are right
/// again, so that what is behind them is looked at. Returns the classes.
pub fn flip(image: &Overlay, places: &Places, noise: &mut Noise) -> Vec<&'static str> {
    let count = if noise.chance(60) { 1 } else { 2 + noise.below(5) };
    let seals = noise.chance(75);
    let one = |_| {
        let (class, place) = places.any(noise);
        let mut bytes = image.peek(place.range.clone());
        if noise.chance(6) {
            // What another of its kind says.
            let other = image.peek(places.other(class, noise).range.clone());
            let length = other.len().min(bytes.len());
            bytes[..length].copy_from_slice(&other[..length]);
        } else {
            for _ in 0..=noise.below(2) {
                change(&mut bytes, noise);
            }
        }
        image.poke(place.range.start, &bytes);
        if seals {
            places.seal(image, place);
        }
        class
    };
    (0..count).map(one).collect()
}

/// One change of one of these kinds: a bit, a byte, two fields swapped, a field on the edge.
fn change(bytes: &mut [u8], noise: &mut Noise) {
    let at = spot(bytes, noise);
    let room = bytes.len() - at;
    let aligned = at & !3;
    match noise.below(10) {
        0 | 1 => bytes[at] ^= 1 << noise.below(8),
        2 => bytes[at] = 0,
        3 => bytes[at] = 0xff,
        4 => bytes[at] = noise.draw().to_le_bytes()[0],
        5 => {
            let other = spot(bytes, noise) & !3;
            for n in 0..4.min(bytes.len() - aligned.max(other)) {
                bytes.swap(aligned + n, other + n);
            }
        }
        6 => put(&mut bytes[at & !1..], &noise.edge().to_le_bytes()[..2]),
        7 => put(&mut bytes[aligned..], &noise.edge().to_le_bytes()[..4]),
        8 => put(&mut bytes[aligned..], &noise.edge().to_be_bytes()[4..]),
        _ if noise.chance(50) => put(&mut bytes[aligned..], &noise.edge().to_be_bytes()),
        _ => {
            let length = noise.below(32).min(room);
            bytes[at..at + length].fill(noise.draw().to_le_bytes()[0]);
        }
    }
}

fn put(to: &mut [u8], from: &[u8]) {
    let length = to.len().min(from.len());
    to[..length].copy_from_slice(&from[..length]);
}

/// A byte; mostly one near others that are not zero, or near the front.
fn spot(bytes: &[u8], noise: &mut Noise) -> usize {
    let front = if noise.chance(40) { 64.min(bytes.len()) } else { bytes.len() };
    let start = noise.below(front);
    let near = bytes[start..].iter().take(256).position(|byte| *byte != 0).unwrap_or(0);
    if noise.chance(80) { start + near } else { start }
}
