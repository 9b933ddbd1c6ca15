//! The text behind `mount -o`.

use abi::fs::{FileSystemType, FsSource};
use abi::options::Options;
use fuzz::{Memory, Noise, run};
use std::sync::Arc;

const WORDS: [&str; 40] = [
    "ro",
    "rw",
    "rw+",
    "uid",
    "gid",
    "umask",
    "dmask",
    "fmask",
    "mode",
    "size",
    "sb",
    "offset",
    "codepage",
    "iocharset",
    "utf8",
    "shortname",
    "session",
    "sbsector",
    "norock",
    "nojoliet",
    "map",
    "check",
    "noload",
    "errors",
    "debug",
    "cache",
    "block",
    "time_offset",
    "tz",
    "quiet",
    "=",
    ",",
    "\\",
    "\\,",
    "0x",
    "-1",
    "",
    "18446744073709551615",
    "99999999999999999999",
    "remount-ro",
];

/// Words, numbers and signs one after another.
fn text(noise: &mut Noise) -> String {
    let mut text = String::new();
    for _ in 0..noise.below(12) {
        text.push_str(WORDS[noise.below(WORDS.len())]);
        match noise.below(5) {
            0 => text.push(','),
            1 => text.push('='),
            2 => text.push_str(&noise.edge().to_string()),
            3 => text.push_str(&format!("={},", noise.edge())),
            _ => {}
        }
        if noise.chance(4) {
            text.push(
                char::from_u32(u32::try_from(noise.below(0xd7ff)).unwrap_or(1)).unwrap_or('?'),
            );
        }
    }
    text
}

#[test]
fn any_options_are_taken_or_refused() {
    let ext = fuzz::ext().swap_remove(0);
    let fat = fuzz::fat().swap_remove(0);
    let iso = fuzz::iso().swap_remove(2);
    run("mount_options", move |number| {
        let mut noise = Noise::new(number);
        let types: [(&dyn FileSystemType, &Vec<u8>); 3] =
            [(&ext2::Ext2Type, &ext), (&fat::FatType, &fat), (&iso9660::Iso9660Type, &iso)];
        let (fs_type, image) = types[noise.below(3)];
        let mut options = Options::parse(&text(&mut noise));
        let device = Arc::new(Memory::new(image.clone(), true));
        if let Ok(fs) = fs_type.mount(FsSource::Device(device), true, &mut options) {
            let _ = fs.statfs();
        }
        let _ = options.finish();
        let memory = umfuse::memfs::MemFsType;
        let mut options = Options::parse(&text(&mut noise));
        let _ = memory.mount(FsSource::Text("none".into()), false, &mut options);
    });
}
