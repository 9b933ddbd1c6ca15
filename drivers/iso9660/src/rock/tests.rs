use super::{Compressed, LinkTarget, Posix, RockRidge, device};
use crate::error::Corrupt;
use crate::susp::SystemUseEntry;
use abi::dev::DevNum;

fn take(rock: &mut RockRidge, signature: &[u8; 2], data: &[u8]) -> Result<(), Corrupt> {
    rock.take(SystemUseEntry { position: 9, signature: *signature, version: 1, data })
}

fn both(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

#[test]
fn posix_attributes_with_and_without_a_serial() {
    let mut rock = RockRidge::default();
    let data = [0o100_644, 2, 7, 8, 99].map(both).concat();
    take(&mut rock, b"PX", &data).unwrap();
    let full = Posix { mode: 0o100_644, links: 2, uid: 7, gid: 8, serial: 99 };
    assert_eq!(rock.posix, Some(full));
    take(&mut rock, b"PX", &data[..32]).unwrap();
    assert_eq!(rock.posix, Some(Posix { serial: 0, ..full }));
    // Error: too short for its fields.
    let refused = take(&mut rock, b"PX", &data[..31]).unwrap_err();
    assert_eq!(refused, Corrupt::SystemUse { position: 9, signature: *b"PX", length: 35 });
}

#[test]
fn device_numbers_of_both_writers() {
    // genisoimage: major and minor.
    assert_eq!(device(1, 3), DevNum { major: 1, minor: 3 });
    assert_eq!(device(300, 70_000), DevNum { major: 300, minor: 70_000 });
    // libisofs: the halves of dev_t.
    assert_eq!(device(0, 0x103), DevNum { major: 1, minor: 3 });
    assert_eq!(device(0, 0x1111_2c70), DevNum { major: 300, minor: 70_000 });
    let large = DevNum { major: 0x1234_5678, minor: 9 };
    let raw = large.to_raw();
    assert_eq!(device((raw >> 32) as u32, raw as u32), large);
}

#[test]
fn names_add_up() {
    let mut rock = RockRidge::default();
    take(&mut rock, b"NM", b"\x01long ").unwrap();
    take(&mut rock, b"NM", b"\x00name").unwrap();
    take(&mut rock, b"NM", b"\x02").unwrap();
    assert_eq!(rock.name, b"long name");
    // Error: no flags.
    assert!(take(&mut rock, b"NM", b"").is_err());
}

fn link(entries: &[&[u8]]) -> Result<Vec<u8>, Corrupt> {
    let mut rock = RockRidge::default();
    for data in entries {
        take(&mut rock, b"SL", data)?;
    }
    rock.link.finish(9)
}

#[test]
fn link_components_become_a_path() {
    // Root, usr, parent, current, lib.
    assert_eq!(link(&[b"\0\x08\0\0\x03usr\x04\0\x02\0\0\x03lib"]).unwrap(), b"/usr/.././lib");
    // A component that goes on in the next entry has no separator.
    assert_eq!(link(&[b"\x01\0\x01a\x01\x02bc", b"\0\0\x02de\0\x01f"]).unwrap(), b"a/bcde/f");
    assert_eq!(link(&[b"\0\x04\0\x04\0"]).unwrap(), b"../..");
    assert_eq!(link(&[b"\0\x08\0"]).unwrap(), b"/");
}

#[test]
fn bad_link_targets_are_named() {
    // Error: nothing.
    assert_eq!(link(&[]), Err(Corrupt::LinkTarget { position: 9, length: 0 }));
    // Error: NUL.
    assert_eq!(link(&[b"\0\0\x02a\0"]), Err(Corrupt::LinkTarget { position: 9, length: 2 }));
    // Error: a component that passes the end of its entry.
    let corrupt = Corrupt::SystemUse { position: 9, signature: *b"SL", length: 8 };
    assert_eq!(link(&[b"\0\0\x09a"]), Err(corrupt));
    // Error: longer than a path.
    let long = [b"\0\0\xfa".to_vec(), vec![b'x'; 250]].concat();
    let refused = link(&[&long[..]; 17]).unwrap_err();
    assert_eq!(refused, Corrupt::LinkTarget { position: 9, length: 17 * 251 - 1 });
    assert_eq!(LinkTarget::default().bytes.len(), 0);
}

#[test]
fn times_come_in_the_order_of_their_flags() {
    let short = |second: u8| [70, 1, 1, 0, 0, second, 0];
    let mut rock = RockRidge::default();
    let data = [&[0b0001_0111][..], &short(1), &short(2), &short(3), &short(9)].concat();
    take(&mut rock, b"TF", &data).unwrap();
    let seconds = |t: Option<abi::fs::Timestamp>| t.map(|t| t.seconds);
    assert_eq!(seconds(rock.times.creation), Some(1));
    assert_eq!(seconds(rock.times.modify), Some(2));
    assert_eq!(seconds(rock.times.access), Some(3));
    assert_eq!(seconds(rock.times.attributes), None);
    let long = [&[0b1000_1010][..], b"1970010100000700\0", b"1970010100000800\0"].concat();
    take(&mut rock, b"TF", &long).unwrap();
    assert_eq!(seconds(rock.times.modify), Some(7));
    assert_eq!(seconds(rock.times.attributes), Some(8));
    // Error: fewer dates than flags.
    assert!(take(&mut rock, b"TF", &long[..30]).is_err());
}

#[test]
fn sparse_and_compressed_lengths() {
    let mut rock = RockRidge::default();
    take(&mut rock, b"SF", &[both(2), both(5), vec![1]].concat()).unwrap();
    assert_eq!(rock.sparse_bytes, Some((2 << 32) + 5));
    take(&mut rock, b"SF", &both(5)).unwrap();
    assert_eq!(rock.sparse_bytes, Some(5));
    take(&mut rock, b"ZF", &[b"pz\x04\x0f".to_vec(), both(448_890)].concat()).unwrap();
    let entry =
        Compressed { algorithm: *b"pz", header_bytes: 16, log2_block: 15, size_bytes: 448_890 };
    assert_eq!(rock.compressed, Some(entry));
    let data = [b"PZ\x06\x12".to_vec(), (1_u64 << 33).to_le_bytes().to_vec()].concat();
    rock.take(SystemUseEntry { position: 9, signature: *b"ZF", version: 2, data: &data }).unwrap();
    assert_eq!(rock.compressed.map(|c| c.size_bytes), Some(1 << 33));
}
