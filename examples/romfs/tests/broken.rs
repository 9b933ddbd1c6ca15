//! Images that are whole, that lie, and that can't be read to the end.

use abi::Errno;
use abi::block::BlockDevice;
use abi::fs::{Attr, Caller, Cookie, FileKind, FileSystem, Handle, Ino, Name, OpenFlags, Opened};
use std::sync::Arc;
use umdev::block::{Fault, Faulty, Ramdisk};
use umfuseromfs::Romfs;

/// One file of an image: type bits, name, data. The last two words of a header are filled in here.
fn file(at: usize, is_last: bool, (info, spec, name, data): (u32, u32, &str, &[u8])) -> Vec<u8> {
    let head = (16 + name.len() + 1).next_multiple_of(16);
    let end = at + (head + data.len()).next_multiple_of(16);
    let next = if is_last { 0 } else { u32::try_from(end).unwrap() };
    let mut bytes = [next | info, spec, u32::try_from(data.len()).unwrap(), 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect::<Vec<u8>>();
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(head, 0);
    sum(&mut bytes, 12);
    bytes.extend_from_slice(data);
    bytes.resize(end - at, 0);
    bytes
}

/// Sets the word at `at` so that all of them add up to zero.
fn sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let words = bytes.chunks_exact(4).map(|b| u32::from_be_bytes(b.try_into().unwrap()));
    let total = words.fold(0_u32, u32::wrapping_add);
    bytes[at..at + 4].copy_from_slice(&total.wrapping_neg().to_be_bytes());
}

/// The root with a file, a link to it by name and one by number.
fn image() -> Vec<u8> {
    let mut bytes = b"-rom1fs-\0\0\0\0\0\0\0\0test\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let files: [(u32, u32, &str, &[u8]); 5] = [
        (9, 32, ".", b""),
        (0, 32, "..", b""),
        (2, 0, "hello", b"Hello, view!\n"),
        (3, 0, "soft", b"hello"),
        (0, 96, "hard", b""),
    ];
    for (index, file_of_list) in files.into_iter().enumerate() {
        let next = file(bytes.len(), index == 4, file_of_list);
        bytes.extend(next);
    }
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let end = bytes.len().min(512);
    sum(&mut bytes[..end], 12);
    bytes
}

fn device(bytes: &[u8]) -> Arc<Ramdisk> {
    let disk = Ramdisk::new(bytes.len() as u64).unwrap();
    disk.write_at(bytes, 0).unwrap();
    Arc::new(disk)
}

fn opened(fs: &Romfs, ino: Ino) -> Result<Handle, Errno> {
    match fs.open(Caller::default(), ino, OpenFlags::READ)? {
        Opened::Handle(handle) => Ok(handle),
        Opened::Host(_) => panic!("romfs has no file of the host"),
    }
}

/// Looks at everything, and must come to an end.
fn walk(fs: &Romfs) -> Result<Vec<(Vec<u8>, Attr)>, Errno> {
    let mut names = Vec::new();
    let root = fs.root();
    fs.getattr(root)?;
    fs.readdir(opened(fs, root)?, Cookie(0), &mut |entry| {
        names.push(entry.name.to_vec());
        true
    })?;
    let mut all = Vec::new();
    for name in names {
        let attr = fs.lookup(root, Name::new(&name)?)?;
        match attr.kind {
            FileKind::Symlink => drop(fs.readlink(attr.ino)?),
            FileKind::Regular => {
                let mut buf = vec![0; 1000];
                let read = fs.read(opened(fs, attr.ino)?, &mut buf, 0)?;
                assert_eq!(read as u64, attr.size_bytes.min(1000));
            }
            _ => {}
        }
        all.push((name, attr));
    }
    Ok(all)
}

#[test]
fn a_hard_link_is_the_file_that_it_leads_to() {
    let fs = Romfs::open(device(&image())).unwrap();
    let all = walk(&fs).unwrap();
    let names: Vec<&[u8]> = all.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"hello".as_slice(), b"soft", b"hard"]);
    assert_eq!(all[0].1, all[2].1);
    assert_eq!(fs.readlink(all[1].1.ino).unwrap(), b"hello");
    let mut buf = [0; 5];
    assert_eq!(fs.read(opened(&fs, all[0].1.ino).unwrap(), &mut buf, 7), Ok(5));
    assert_eq!(&buf, b"view!");
    // Error: a number that is no inode's.
    assert_eq!(fs.getattr(Ino(33)), Err(Errno::ESTALE));
    assert_eq!(fs.getattr(Ino(1 << 40)), Err(Errno::ESTALE));
}

#[test]
fn every_read_that_fails_is_an_error_and_not_a_shorter_file() {
    let reads = {
        let faulty = Arc::new(Faulty::new(device(&image()), []));
        walk(&Romfs::open(Arc::clone(&faulty) as Arc<dyn BlockDevice>).unwrap()).unwrap();
        faulty.reads()
    };
    assert!(reads > 5, "{reads}");
    for number in 0..reads {
        let faulty = Arc::new(Faulty::new(device(&image()), [Fault::FailRead(number)]));
        match Romfs::open(faulty) {
            Ok(fs) => assert_eq!(walk(&fs).unwrap_err(), Errno::EIO, "read {number}"),
            Err(errno) => assert_eq!((number, errno), (0, Errno::EIO)),
        }
    }
}

#[test]
fn every_changed_byte_of_a_header_is_found_or_harmless() {
    let good = image();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            // Whatever it is now: an answer, and soon.
            let answer = Romfs::open(device(&bad)).and_then(|fs| walk(&fs));
            let is_data = (128..144).contains(&at);
            if at < 8 {
                assert_eq!(answer, Err(Errno::EINVAL), "byte {at}");
            } else if !is_data {
                // The first 512 bytes are under the checksum of the superblock.
                assert!(
                    matches!(answer, Err(Errno::EBADMSG | Errno::EUCLEAN)),
                    "byte {at}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn a_list_that_goes_back_is_refused() {
    let mut bytes = image();
    // The member "hard", the last one, has itself for the next: sound by its sums, and endless.
    let at = bytes.len() - 32;
    let info = u32::try_from(at).unwrap();
    bytes[at..at + 4].copy_from_slice(&info.to_be_bytes());
    let end = bytes.len();
    sum(&mut bytes[at..end], 12);
    sum(&mut bytes, 12);
    let fs = Romfs::open(device(&bytes)).unwrap();
    assert_eq!(walk(&fs).unwrap_err(), Errno::EUCLEAN);
}
