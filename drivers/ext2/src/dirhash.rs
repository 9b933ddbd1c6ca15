//! The hash functions of directory indexes: legacy, half MD4 and TEA, each with signed or unsigned
//! characters. Source: `Documentation/filesystems/ext4/directory.rst`; the functions are those of
//! the kernel's `ext4fs_dirhash`.

use core::num::Wrapping;

type W = Wrapping<u32>;

/// `hash_version` of an index.
pub(crate) const LEGACY: u8 = 0;
/// Half MD4.
pub(crate) const HALF_MD4: u8 = 1;
/// The Tiny Encryption Algorithm.
pub(crate) const TEA: u8 = 2;

/// The largest value, reserved for the end of a directory.
const END: u32 = 0x7fff_ffff << 1;

/// The place of a name in the order of an index: the lowest bit of `major` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameHash {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// How names are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hasher {
    pub(crate) version: u8,
    pub(crate) is_unsigned: bool,
    pub(crate) seed: [u32; 4],
}

impl Hasher {
    /// The hash of `name`, or `None` if the version is not known.
    pub(crate) fn hash(&self, name: &[u8]) -> Option<NameHash> {
        let start = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        let seed = if self.seed == [0; 4] { start } else { self.seed };
        let mut state = seed.map(Wrapping);
        let (major, minor) = match self.version {
            LEGACY => (legacy(name, self.is_unsigned), 0),
            HALF_MD4 => {
                for rest in chunks(name, 32) {
                    half_md4(&mut state, &words::<8>(rest, self.is_unsigned));
                }
                (state[1].0, state[2].0)
            }
            TEA => {
                for rest in chunks(name, 16) {
                    tea(&mut state, &words::<4>(rest, self.is_unsigned));
                }
                (state[0].0, state[1].0)
            }
            _ => return None,
        };
        let major = major & !1;
        let major = if major == END { (0x7fff_ffff - 1) << 1 } else { major };
        Some(NameHash { major, minor })
    }
}

/// The name from its start, from byte `step` on, and so forth: each chunk knows all that follows
/// it.
fn chunks(name: &[u8], step: usize) -> impl Iterator<Item = &[u8]> {
    (0..name.len()).step_by(step).map(|at| name.get(at..).unwrap_or_default())
}

fn value_of(byte: u8, is_unsigned: bool) -> W {
    if is_unsigned {
        Wrapping(u32::from(byte))
    } else {
        Wrapping(i32::from(byte.cast_signed()).cast_unsigned())
    }
}

fn legacy(name: &[u8], is_unsigned: bool) -> u32 {
    let (mut hash0, mut hash1): (W, W) = (Wrapping(0x12a3_fe2d), Wrapping(0x37ab_e8f9));
    for &byte in name {
        let product = value_of(byte, is_unsigned) * Wrapping(7_152_373);
        let mut hash = hash1 + (hash0 ^ product);
        if hash.0 & 0x8000_0000 != 0 {
            hash -= Wrapping(0x7fff_ffff);
        }
        hash1 = hash0;
        hash0 = hash;
    }
    (hash0 << 1).0
}

/// The first `4 * N` bytes as words, padded with the length of all that is left.
fn words<const N: usize>(rest: &[u8], is_unsigned: bool) -> [W; N] {
    let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let pad = Wrapping(len) | (Wrapping(len) << 8);
    let pad = pad | (pad << 16);
    let mut out = [pad; N];
    for (word, bytes) in out.iter_mut().zip(rest.chunks(4)) {
        for &byte in bytes {
            *word = value_of(byte, is_unsigned) + (*word << 8);
        }
    }
    out
}

fn tea(state: &mut [W; 4], input: &[W; 4]) {
    let mut sum: W = Wrapping(0);
    let (mut b0, mut b1) = (state[0], state[1]);
    let [a, b, c, d] = *input;
    for _ in 0..16 {
        sum += Wrapping(0x9e37_79b9);
        b0 += ((b1 << 4) + a) ^ (b1 + sum) ^ ((b1 >> 5) + b);
        b1 += ((b0 << 4) + c) ^ (b0 + sum) ^ ((b0 >> 5) + d);
    }
    state[0] += b0;
    state[1] += b1;
}

fn half_md4(state: &mut [W; 4], input: &[W; 8]) {
    const ROUNDS: [([usize; 8], [u32; 4], u32); 3] = [
        ([0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19], 0),
        ([1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13], 0x5a82_7999),
        ([3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15], 0x6ed9_eba1),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (round, (order, shifts, constant)) in ROUNDS.iter().enumerate() {
        for (at, shift) in order.iter().zip(shifts.iter().cycle()) {
            let mixed = match round {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c) + ((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let word = input.get(*at).copied().unwrap_or_default();
            let sum = a + mixed + word + Wrapping(*constant);
            // The roles of the four turn by one place with each step.
            a = d;
            d = c;
            c = b;
            b = Wrapping(sum.0.rotate_left(*shift));
        }
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_debugfs() {
        // `debugfs -R "dx_hash -h VERSION NAME"`.
        let long = b"nnnnnnnnnnnnnnnnnnnnnnn-000123-and-longer-than-32".as_slice();
        let cases = [
            (LEGACY, b"a".as_slice(), 0xe74b_53e2, 0),
            (LEGACY, b"hello.txt", 0x65a0_5776, 0),
            (LEGACY, long, 0x93ab_bcbe, 0),
            (HALF_MD4, b"a", 0xd5fa_7d7a, 0xacb4_8187),
            (HALF_MD4, b"hello.txt", 0xa26e_1d86, 0x133b_3f98),
            (HALF_MD4, long, 0xb450_a5d4, 0xa854_a384),
            (HALF_MD4, "\u{e9}\u{4e2d}".as_bytes(), 0x1c44_68e2, 0x9730_4acd),
            (TEA, b"a", 0x6d0e_a4c0, 0xc189_22df),
            (TEA, b"hello.txt", 0x5107_c3f2, 0x0384_0cb7),
            (TEA, long, 0x6990_ef6e, 0x521c_c3f2),
        ];
        for (version, name, major, minor) in cases {
            let hasher = Hasher { version, is_unsigned: false, seed: [0; 4] };
            assert_eq!(hasher.hash(name), Some(NameHash { major, minor }), "{version} {name:?}");
        }
        // Error: a version that is not known.
        assert_eq!(Hasher { version: 6, is_unsigned: false, seed: [0; 4] }.hash(b"x"), None);
    }
}
