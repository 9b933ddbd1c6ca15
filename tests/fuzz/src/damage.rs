//! Damage to bytes.

use crate::noise::Noise;

/// Changes some bytes, mostly near others that are not zero, where structures lie.
pub fn damage(bytes: &mut [u8], noise: &mut Noise) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..=noise.below(12) {
        let at = place(bytes, noise);
        let room = bytes.len() - at;
        match noise.below(9) {
            0 | 1 => bytes[at] = noise.draw().to_le_bytes()[0],
            2 => bytes[at] ^= 1 << noise.below(8),
            3 | 4 => put(&mut bytes[at..], &noise.edge().to_le_bytes()[..2]),
            5 => put(&mut bytes[at..], &noise.edge().to_le_bytes()[..4]),
            6 => put(&mut bytes[at..], &noise.edge().to_be_bytes()[4..]),
            7 => {
                // What lies elsewhere.
                let from = place(bytes, noise);
                let length = noise.below(1024).min(room).min(bytes.len() - from);
                bytes.copy_within(from..from + length, at);
            }
            _ => {
                let length = noise.below(600).min(room);
                let byte = noise.draw().to_le_bytes()[0] * u8::from(noise.chance(50));
                bytes[at..at + length].fill(byte);
            }
        }
    }
}

fn put(to: &mut [u8], from: &[u8]) {
    let length = to.len().min(from.len());
    to[..length].copy_from_slice(&from[..length]);
}

fn place(bytes: &[u8], noise: &mut Noise) -> usize {
    let front = match noise.below(4) {
        0 => 2048,
        1 => 1 << 15,
        2 => 1 << 17,
        _ => bytes.len(),
    };
    let start = noise.below(front.min(bytes.len()));
    let near = bytes[start..].iter().take(8192).position(|byte| *byte != 0).unwrap_or(0);
    let at = start + near + noise.below(4) * noise.below(64);
    // Structures begin at even places.
    if noise.chance(60) { (at & !3).min(bytes.len() - 1) } else { at.min(bytes.len() - 1) }
}
