//! Results as answers to the kernel.

use super::Export;
use abi::fs::Attr;
use abi::{Errno, Result};
use fuser::{
    FileHandle, FopenFlags, Generation, ReplyAttr, ReplyCreate, ReplyEmpty, ReplyEntry, ReplyXattr,
};

/// Numbers of inodes are not used again while somebody knows them.
const GENERATION: Generation = Generation(0);

pub(crate) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw())
}

pub(crate) fn empty(answer: Result<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

/// A `size` of 0 asks for the length.
pub(super) fn xattr(answer: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match answer {
        Ok(bytes) => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            match size {
                0 => reply.size(length),
                _ if length > size => reply.error(errno(Errno::ERANGE)),
                _ => reply.data(&bytes),
            }
        }
        Err(refusal) => reply.error(errno(refusal)),
    }
}

impl Export {
    pub(super) fn entry(&self, answer: Result<Attr>, reply: ReplyEntry) {
        match answer {
            Ok(attr) => reply.entry(&self.valid, &self.numbers.attr(&attr), GENERATION),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    pub(super) fn attr(&self, answer: Result<Attr>, reply: ReplyAttr) {
        match answer {
            Ok(attr) => reply.attr(&self.valid, &self.numbers.attr(&attr)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    pub(super) fn created(&self, answer: Result<(Attr, FileHandle)>, reply: ReplyCreate) {
        match answer {
            Ok((attr, handle)) => {
                let attr = self.numbers.attr(&attr);
                reply.created(&self.valid, &attr, GENERATION, handle, FopenFlags::empty());
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }
}
