//! The client against qemu's server, and against servers that lie.

use abi::Errno;
use abi::block::BlockDevice;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use umdev::nbd::{NbdDevice, NbdError, NbdUri};

/// Exports an image of 1 MiB by qemu-nbd, which ends when its client leaves.
struct Server {
    folder: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Self { folder };
        std::fs::File::create(server.image()).unwrap().set_len(1 << 20).unwrap();
        let options = format!("driver=raw,file.driver=file,file.filename={}", server.image());
        let aligned = format!(
            "driver=blkdebug,align=4096,image.driver=file,image.filename={}",
            server.image()
        );
        let image = if args.contains(&"align") { aligned } else { options };
        let status = Command::new("qemu-nbd")
            .args(["--fork", "--socket", &server.socket(), "--export-name", "disk"])
            .args(args.iter().filter(|a| **a != "align"))
            .args(["--image-opts", &image])
            .status();
        let status = status.unwrap_or_else(|e| panic!("qemu-nbd: {e}; install qemu-utils"));
        assert!(status.success());
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn image(&self) -> String {
        self.path("disk.img")
    }

    fn socket(&self) -> String {
        self.path("socket")
    }

    fn connect(&self, export: &str) -> Result<NbdDevice, NbdError> {
        let uri = format!("nbd+unix:///{export}?socket={}", self.socket());
        NbdDevice::connect(&NbdUri::parse(&uri).unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.image()).unwrap()
    }
}

#[test]
fn bytes_go_to_the_server_s_image_and_back() {
    let server = Server::start(&[]);
    let disk = server.connect("disk").unwrap();
    assert_eq!((disk.geometry().size_bytes, disk.geometry().read_only), (1 << 20, false));
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    disk.write_at(&bytes, 0).unwrap();
    disk.write_at(b"odd", 12_345).unwrap();
    disk.discard(8192..16384).unwrap();
    disk.flush().unwrap();
    let mut model = bytes;
    model[12_345..12_348].copy_from_slice(b"odd");
    model[8192..16384].fill(0);
    assert!(server.bytes() == model);
    let mut buf = vec![0u8; 100_000];
    disk.read_at(&mut buf, 777).unwrap();
    assert!(buf == model[777..100_777]);
    assert_eq!(disk.read_at(&mut buf, (1 << 20) - 99_999), Err(Errno::EINVAL));
    assert_eq!(disk.write_at(&buf, u64::MAX), Err(Errno::EINVAL));
}

#[test]
fn a_server_of_large_units_is_read_before_it_is_written() {
    let server = Server::start(&["align"]);
    let disk = server.connect("disk").unwrap();
    assert_eq!(disk.geometry().block_size, 4096);
    disk.write_at(&[1; 10_000], 0).unwrap();
    disk.write_at(b"across", 8190).unwrap();
    let mut buf = [0u8; 12];
    disk.read_at(&mut buf, 8187).unwrap();
    assert_eq!(&buf, b"\x01\x01\x01across\x01\x01\x01");
    // Error: zeroes in less than a unit are the caller's to write.
    assert_eq!(disk.discard(512..1024), Err(Errno::EOPNOTSUPP));
    assert_eq!(disk.discard(4096..8192), Ok(()));
    disk.flush().unwrap();
    assert!(server.bytes()[4096..8190].iter().all(|b| *b == 0));
}

#[test]
fn a_read_only_export_says_so() {
    let server = Server::start(&["--read-only"]);
    let disk = server.connect("disk").unwrap();
    assert!(disk.geometry().read_only);
    assert_eq!(disk.write_at(&[1], 0), Err(Errno::EROFS));
    assert_eq!(disk.discard(0..4096), Err(Errno::EROFS));
    assert_eq!(disk.flush(), Ok(()));
}

#[test]
fn an_unknown_export_is_enoent() {
    let server = Server::start(&[]);
    let error = server.connect("other").err().unwrap();
    assert_eq!(error.to_errno(), Errno::ENOENT);
    assert!(matches!(error, NbdError::Refused { .. }));
    // The server stays until a client has been served.
    drop(server.connect("disk").unwrap());
    let gone = NbdUri::parse("nbd+unix:///x?socket=/nowhere/socket").unwrap();
    assert_eq!(NbdDevice::connect(&gone).err().unwrap().to_errno(), Errno::ENOENT);
}

/// What a client makes of a server that says `bytes` and closes.
fn against(bytes: &[u8]) -> Result<NbdDevice, NbdError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = NbdDevice::new(Box::new(ours), "disk");
    drop(theirs);
    answer
}

const HELLO: &[u8] = b"NBDMAGICIHAVEOPT\x00\x03";

/// A reply to the option: type, data.
fn reply(code: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
    for word in [7, code, data.len() as u32] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.extend_from_slice(data);
    bytes
}

/// The information about an export of `size` bytes with `flags`.
fn export(size: u64, flags: u16) -> Vec<u8> {
    let data = [&0u16.to_be_bytes()[..], &size.to_be_bytes(), &flags.to_be_bytes()].concat();
    reply(3, &data)
}

fn unit(bytes: u32) -> Vec<u8> {
    reply(3, &[&3u16.to_be_bytes()[..], &bytes.to_be_bytes(), &[0; 8]].concat())
}

#[test]
fn every_wrong_handshake_has_its_name() {
    let magic = |expected: &[u8; 8], found: &[u8; 8]| NbdError::Magic {
        expected: *expected,
        found: *found,
    };
    let refused = |code| NbdError::Refused { code, message: "why".to_owned() };
    let long = [HELLO, &reply(3, &[0; 65_537])].concat();
    let endless = [HELLO, &reply(9, &[]).repeat(64)].concat();
    let cases: [(Vec<u8>, NbdError, Errno); 11] = [
        (b"".to_vec(), NbdError::Io(Errno::EIO), Errno::EIO),
        (b"SSH-2.0-x".to_vec(), magic(b"NBDMAGIC", b"SSH-2.0-"), Errno::EPROTO),
        (
            b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53".to_vec(),
            magic(b"IHAVEOPT", b"\0\0\x42\x02\x81\x86\x12\x53"),
            Errno::EPROTO,
        ),
        (b"NBDMAGICIHAVEOPT\x00\x02".to_vec(), NbdError::OldStyle(2), Errno::EPROTO),
        ([HELLO, &reply(1 << 31 | 6, b"why")].concat(), refused(1 << 31 | 6), Errno::ENOENT),
        ([HELLO, &reply(1 << 31 | 5, b"why")].concat(), refused(1 << 31 | 5), Errno::EACCES),
        ([HELLO, &reply(1 << 31 | 1, b"why")].concat(), refused(1 << 31 | 1), Errno::ECONNREFUSED),
        (long, NbdError::TooMuch, Errno::EPROTO),
        (endless, NbdError::TooMuch, Errno::EPROTO),
        ([HELLO, &reply(1, &[])].concat(), NbdError::NoExport, Errno::EPROTO),
        (
            [HELLO, &export(1 << 63, 1), &reply(1, &[])].concat(),
            NbdError::Shape { size_bytes: 1 << 63, unit_bytes: 1 },
            Errno::EINVAL,
        ),
    ];
    for (bytes, expected, errno) in cases {
        let error = against(&bytes).err().unwrap();
        assert_eq!((error.to_errno(), &error), (errno, &expected));
    }
    let odd_unit = [HELLO, &export(4096, 1), &unit(3), &reply(1, &[])].concat();
    assert!(matches!(against(&odd_unit), Err(NbdError::Shape { unit_bytes: 3, .. })));
    let (ours, _theirs) = UnixStream::pair().unwrap();
    drop(_theirs);
    assert!(NbdDevice::new(Box::new(ours), &"x".repeat(5000)).is_err());
}

/// A device whose server answers requests with `answers`, whatever they are.
fn scripted(answers: &[Vec<u8>]) -> (NbdDevice, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let hello = [HELLO, &export(8192, 1 | 1 << 2 | 1 << 6), &reply(1, &[])].concat();
    theirs.write_all(&hello).unwrap();
    theirs.write_all(&answers.concat()).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    (NbdDevice::new(Box::new(ours), "").unwrap(), theirs)
}

fn answer(error: u32, cookie: u64, data: &[u8]) -> Vec<u8> {
    let head = [&0x6744_6698u32.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()];
    [&head.concat()[..], data].concat()
}

#[test]
fn errors_of_the_server_become_those_of_a_disk() {
    let answers = [
        answer(28, 1, &[]),
        answer(5, 2, &[]),
        answer(95, 3, &[]),
        answer(u32::MAX, 4, &[]),
        answer(0, 5, b"abc"),
    ];
    let (disk, mut server) = scripted(&answers);
    assert_eq!(disk.write_at(b"x", 0), Err(Errno::ENOSPC));
    assert_eq!(disk.flush(), Err(Errno::EIO));
    assert_eq!(disk.discard(0..512), Err(Errno::EOPNOTSUPP));
    assert_eq!(disk.read_at(&mut [0; 3], 0), Err(Errno::EIO));
    let mut buf = [0u8; 3];
    assert_eq!(disk.read_at(&mut buf, 5), Ok(()));
    assert_eq!(&buf, b"abc");
    drop(disk);
    // The last request is the farewell.
    let mut sent = Vec::new();
    server.read_to_end(&mut sent).unwrap();
    assert_eq!(sent[sent.len() - 28..][..8], [0x25, 0x60, 0x95, 0x13, 0, 0, 0, 2]);
}

#[test]
fn a_connection_that_failed_is_not_used_again() {
    let cases = [
        vec![],
        vec![answer(0, 99, b"abc"), answer(0, 2, b"abc")],
        vec![vec![1; 16], answer(0, 2, b"abc")],
        vec![answer(0, 1, b"a")],
    ];
    for answers in cases {
        let (disk, _server) = scripted(&answers);
        assert_eq!(disk.read_at(&mut [0; 3], 0), Err(Errno::EIO));
        assert_eq!(disk.read_at(&mut [0; 3], 0), Err(Errno::EIO));
        assert_eq!(disk.flush(), Err(Errno::EIO));
    }
}

#[test]
fn a_truncated_image_behind_a_server_does_not_hang() {
    let server = Server::start(&[]);
    let disk = server.connect("disk").unwrap();
    let file = std::fs::File::options().write(true).open(server.image()).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.set_len(4096).unwrap();
    // Either is an honest answer of the server; what matters is that one comes.
    let answer = disk.read_at(&mut [0; 512], 8192);
    assert!(matches!(answer, Ok(()) | Err(Errno::EIO)));
}
