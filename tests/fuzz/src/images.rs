//! Small images, the same each time they are made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A tree with what formats do differently: long and odd names, a hole, links, many names.
fn tree(folder: &Path) {
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(folder.join("dir/deep/er"))?;
        fs::create_dir(folder.join("many"))?;
        for n in 0..120 {
            fs::write(folder.join(format!("many/file with a long name {n:03}.text")), [b'x'; 40])?;
        }
        fs::write(folder.join("empty"), "")?;
        fs::write(folder.join("large"), vec![b'l'; 70_000])?;
        let hole = fs::File::create(folder.join("hole"))?;
        hole.set_len(600_000)?;
        fs::write(folder.join("dir/deep/er/small"), "small")?;
        symlink("dir/deep", folder.join("short-link"))?;
        symlink("x".repeat(200), folder.join("long-link"))?;
        fs::hard_link(folder.join("large"), folder.join("again"))
    };
    make().expect("a tree in the folder of temporary files");
}

/// Runs a tool, or names its package.
pub(crate) fn tool(package: &str, words: &[&str]) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("SOURCE_DATE_EPOCH", "1000000000");
    command.env("E2FSPROGS_FAKE_TIME", "1000000000").env("MKE2FS_CONFIG", "/dev/null");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
    command.env("MTOOLS_SKIP_CHECK", "1");
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}: apt-get install {package}", words[0]));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {}: {errors}", output.status);
}

fn made(make: impl FnOnce(&str, &str)) -> Vec<u8> {
    let folder = TempDir::new().expect("a folder for an image");
    let (from, to) = (folder.path().join("tree"), folder.path().join("image"));
    fs::create_dir(&from).expect("a new folder");
    tree(&from);
    make(&from.to_string_lossy(), &to.to_string_lossy());
    fs::read(&to).expect("the tool made it")
}

/// ext2, ext3 and ext4 with and without checksums.
#[must_use]
pub fn ext() -> Vec<Vec<u8>> {
    let uuid = "6e3ee3f4-34a8-4d34-9f41-6a8c2f5e9a11";
    let hash = format!("hash_seed={uuid}");
    let flags = [
        "-O none,filetype,sparse_super -r 1",
        "-O filetype,dir_index,has_journal,ext_attr,large_file -J size=1",
        "-O filetype,dir_index,extent,flex_bg,huge_file,dir_nlink,extra_isize,64bit,^metadata_csum -I 256",
        "-O filetype,dir_index,extent,inline_data,ext_attr,^metadata_csum -I 256",
        "-O filetype,dir_index,extent,metadata_csum,has_journal -I 256 -J size=1",
    ];
    let one = |flags: &&str| {
        made(|from, to| {
            let mut words =
                vec!["mke2fs", "-q", "-F", "-b", "1024", "-U", uuid, "-E", &hash, "-N", "200"];
            words.extend(flags.split(' '));
            words.extend(["-d", from, to, "2200"]);
            tool("e2fsprogs", &words);
        })
    };
    flags.iter().map(one).collect()
}

/// FAT12, FAT16 and FAT32.
#[must_use]
pub fn fat() -> Vec<Vec<u8>> {
    // Kibibytes that give each type its clusters.
    let sizes = [("12", "1440"), ("16", "8400"), ("32", "34000")];
    let one = |(bits, size): &(&str, &str)| {
        made(|from, to| {
            let serial = "12345678";
            tool("dosfstools", &["mkfs.fat", "-F", bits, "-i", serial, "-s", "1", "-C", to, size]);
            let entries = ["many", "dir", "empty", "large"].map(|name| format!("{from}/{name}"));
            let mut words = vec!["mcopy", "-s", "-i", to];
            words.extend(entries.iter().map(String::as_str));
            words.push("::/");
            tool("mtools", &words);
        })
    };
    sizes.iter().map(one).collect()
}

/// ISO 9660 plain, with Joliet, with Rock Ridge, with both.
#[must_use]
pub fn iso() -> Vec<Vec<u8>> {
    let flags = ["-quiet", "-J", "-R", "-J -R -z"];
    let one = |flags: &&str| {
        made(|from, to| {
            let mut words = vec!["genisoimage", "-quiet"];
            words.extend(flags.split(' '));
            words.extend(["-o", to, from]);
            tool("genisoimage", &words);
        })
    };
    flags.iter().map(one).collect()
}
