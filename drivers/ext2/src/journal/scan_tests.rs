//! Logs built block by block.

use crate::corrupt_tests::{image, volume};
use crate::csum::crc32_be;
use crate::error::{Error, Summed};
use crate::journal::overlay::Copy;
use crate::journal::scan::{Recovered, recover};
use crate::journal::{Features, JournalSuper, LogMap, MAGIC, block_type};
use crate::le::{put, put_be16, put_be32, put_u8};

const BLOCK: usize = 1024;
/// Log block 0 is block 40; the log has 20 blocks.
const LOG: usize = 40;

struct Log {
    image: Vec<u8>,
    js: JournalSuper,
    head: u32,
    sequence: u32,
    /// The transaction at hand, for the first checksum version.
    body: Vec<u8>,
}

impl Log {
    fn new(features: Features, has_sum_v1: bool, start: u32) -> Self {
        let js = JournalSuper {
            features,
            has_sum_v1,
            blocks: 20,
            first: 1,
            end: 20,
            sequence: 7,
            start,
            seed: 99,
            is_v2: true,
        };
        Self { image: image(), js, head: start, sequence: 7, body: Vec::new() }
    }

    fn push(&mut self, block: &[u8]) {
        let at = (LOG + self.head as usize) * BLOCK;
        put(&mut self.image, at, block);
        self.body.extend_from_slice(block);
        self.head = self.js.after(self.head);
    }

    fn own(&self, kind: u32) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        put_be32(&mut block, 0, MAGIC);
        put_be32(&mut block, 4, kind);
        put_be32(&mut block, 8, self.sequence);
        block
    }

    fn seal(&self, block: &mut [u8]) {
        if self.js.has_sums() {
            let sum = self.js.block_sum(block, BLOCK - 4);
            put_be32(block, BLOCK - 4, sum);
        }
    }

    /// Descriptor and copies of `blocks`, each filled with a byte; 0 makes an escaped one.
    fn copies(&mut self, blocks: &[(u32, u8)]) {
        let mut descriptor = self.own(block_type::DESCRIPTOR);
        let mut at = 12;
        for (index, &(block, fill)) in blocks.iter().enumerate() {
            let mut flags = if index == 0 { 0 } else { 2 };
            flags |= u32::from(fill == 0);
            flags |= if index + 1 == blocks.len() { 8 } else { 0 };
            put_be32(&mut descriptor, at, block);
            if self.js.features.contains(Features::CSUM_V3) {
                let sum = self.js.copy_sum(self.sequence, &[fill; BLOCK]);
                put_be32(&mut descriptor, at + 4, flags);
                put_be32(&mut descriptor, at + 12, sum);
            } else {
                put_be16(&mut descriptor, at + 6, flags as u16);
            }
            at += self.js.tag_bytes() + if index == 0 { 16 } else { 0 };
        }
        self.seal(&mut descriptor);
        self.push(&descriptor);
        for &(_, fill) in blocks {
            self.push(&[fill; BLOCK]);
        }
    }

    fn revoke(&mut self, blocks: &[u32]) {
        let mut record = self.own(block_type::REVOKE);
        put_be32(&mut record, 12, 16 + 4 * blocks.len() as u32);
        for (index, &block) in blocks.iter().enumerate() {
            put_be32(&mut record, 16 + index * 4, block);
        }
        self.seal(&mut record);
        let body = self.body.clone();
        self.push(&record);
        self.body = body;
    }

    fn commit(&mut self) {
        let mut commit = self.own(block_type::COMMIT);
        if self.js.has_sums() {
            let sum = self.js.block_sum(&commit, 16);
            put_be32(&mut commit, 16, sum);
        } else if self.js.has_sum_v1 {
            put_u8(&mut commit, 12, 1);
            put_u8(&mut commit, 13, 4);
            let sum = crc32_be(!0, &self.body);
            put_be32(&mut commit, 16, sum);
        }
        self.push(&commit);
        self.body.clear();
        self.sequence += 1;
    }

    fn recover(&self) -> Result<Recovered, Error> {
        let map = LogMap { runs: vec![(0, LOG as u64, 20)] };
        recover(&volume(self.image.clone()), self.js, &map)
    }
}

fn found(log: &Log) -> (Vec<(u64, Copy)>, u32) {
    let recovered = log.recover().unwrap();
    (recovered.overlay.sorted(), recovered.transactions)
}

fn copy(log_block: u64, is_escaped: bool) -> Copy {
    Copy { block: LOG as u64 + log_block, is_escaped }
}

fn kinds() -> [Log; 3] {
    [
        Log::new(Features::REVOKE, false, 1),
        Log::new(Features::REVOKE, true, 1),
        Log::new(Features::REVOKE | Features::CSUM_V3, false, 1),
    ]
}

#[test]
fn the_youngest_copy_of_a_complete_transaction_counts() {
    for mut log in kinds() {
        log.copies(&[(30, 1), (31, 2)]);
        log.commit();
        log.copies(&[(31, 0), (33, 4)]);
        log.commit();
        log.copies(&[(30, 9)]); // no commit block
        let wanted = [(30, copy(2, false)), (31, copy(6, true)), (33, copy(7, false))];
        assert_eq!(found(&log), (wanted.to_vec(), 2));
    }
}

#[test]
fn a_revoked_copy_does_not_come_back() {
    for mut log in kinds() {
        log.copies(&[(30, 1), (31, 2)]);
        log.commit();
        log.copies(&[(32, 3)]);
        log.revoke(&[30, 31]);
        log.commit();
        log.copies(&[(31, 4)]);
        log.commit();
        let wanted = [(31, copy(10, false)), (32, copy(6, false))];
        assert_eq!(found(&log), (wanted.to_vec(), 3));
    }
}

#[test]
fn the_log_is_round() {
    for mut log in kinds() {
        log.js.start = 17;
        log.head = 17;
        log.copies(&[(30, 1), (31, 2), (32, 3)]);
        log.commit();
        let wanted = [(30, copy(18, false)), (31, copy(19, false)), (32, copy(1, false))];
        assert_eq!(found(&log), (wanted.to_vec(), 1));
    }
}

#[test]
fn damage_ends_the_log_or_is_named() {
    // The sum of the whole transaction: it and what follows was not complete.
    let mut log = Log::new(Features::REVOKE, true, 1);
    log.copies(&[(30, 1)]);
    log.commit();
    log.copies(&[(31, 2)]);
    log.commit();
    log.image[(LOG + 5) * BLOCK + 7] ^= 1;
    assert_eq!(found(&log), (vec![(30, copy(2, false))], 1));
    // The sum of one copy in a transaction that is complete.
    let mut log = Log::new(Features::REVOKE | Features::CSUM_V3, false, 1);
    log.copies(&[(30, 1)]);
    log.commit();
    log.image[(LOG + 2) * BLOCK + 7] ^= 1;
    let error = log.recover().err().unwrap();
    assert_eq!(error, Error::Checksum(Summed::Log(2)));
    // The sum of the commit block.
    let mut log = Log::new(Features::REVOKE | Features::CSUM_V3, false, 1);
    log.copies(&[(30, 1)]);
    log.commit();
    log.image[(LOG + 3) * BLOCK + 60] ^= 1;
    assert_eq!(found(&log), (Vec::new(), 0));
}

#[test]
fn a_log_that_leads_around_itself_ends() {
    let mut log = Log::new(Features::REVOKE, false, 1);
    // Nineteen descriptors without tags, all of the transaction that is due.
    for _ in 0..19 {
        let mut descriptor = log.own(block_type::DESCRIPTOR);
        put_be16(&mut descriptor, 12 + 6, 8 | 2);
        log.push(&descriptor);
    }
    assert_eq!(found(&log), (Vec::new(), 0));
}
