//! Numbers and arguments of loop(4) requests (linux/loop.h).

use super::info::{INFO64_BYTES, Info};
use crate::disk::Argument;
use abi::Result;
use abi::dev::UserMemory;

pub(super) const LOOP_SET_FD: u32 = 0x4c00;
pub(super) const LOOP_CLR_FD: u32 = 0x4c01;
pub(super) const LOOP_SET_STATUS: u32 = 0x4c02;
pub(super) const LOOP_GET_STATUS: u32 = 0x4c03;
pub(super) const LOOP_SET_STATUS64: u32 = 0x4c04;
pub(super) const LOOP_GET_STATUS64: u32 = 0x4c05;
pub(super) const LOOP_CHANGE_FD: u32 = 0x4c06;
pub(super) const LOOP_SET_CAPACITY: u32 = 0x4c07;
pub(super) const LOOP_SET_DIRECT_IO: u32 = 0x4c08;
pub(super) const LOOP_SET_BLOCK_SIZE: u32 = 0x4c09;
pub(super) const LOOP_CONFIGURE: u32 = 0x4c0a;
pub(super) const LOOP_CTL_ADD: u32 = 0x4c80;
pub(super) const LOOP_CTL_REMOVE: u32 = 0x4c81;
pub(super) const LOOP_CTL_GET_FREE: u32 = 0x4c82;

/// `struct loop_config`: fd 0 (u32), block size 4 (u32), `struct loop_info64` 8, reserved 240; 304
/// bytes.
const CONFIG_BYTES: usize = 304;

/// What `LOOP_CONFIGURE` asks for besides the file.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub(super) block_size: u32,
    pub(super) info: Info,
}

/// A request that hands a descriptor over.
#[derive(Clone, Debug)]
pub enum LoopRequest {
    /// `LOOP_SET_FD`: bind to the file.
    SetFd(u32),
    /// `LOOP_CHANGE_FD`: exchange the file of a read-only loop device.
    ChangeFd(u32),
    /// `LOOP_CONFIGURE`: bind and set the status in one step.
    Configure(u32, Box<Configuration>),
}

impl LoopRequest {
    /// Reads the argument of a request that hands a descriptor over, once; `None` for any other
    /// request.
    ///
    /// # Errors
    /// - `EFAULT` if `arg` is a bad address.
    pub fn decode(request: u32, arg: u64, memory: &mut dyn UserMemory) -> Result<Option<Self>> {
        // The kernel takes a descriptor from the low 32 bits.
        let low = u32::try_from(arg & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Ok(match request {
            LOOP_SET_FD => Some(Self::SetFd(low)),
            LOOP_CHANGE_FD => Some(Self::ChangeFd(low)),
            LOOP_CONFIGURE => {
                let bytes: [u8; CONFIG_BYTES] = Argument { address: arg, memory }.get()?;
                let word = |at: usize| {
                    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
                    u32::from_ne_bytes(bytes.copied().unwrap_or_default())
                };
                let info = bytes.get(8..).and_then(|rest| rest.first_chunk::<INFO64_BYTES>());
                let info = Info::from_info64(info.unwrap_or(&[0; INFO64_BYTES]));
                let configuration = Configuration { block_size: word(4), info };
                Some(Self::Configure(word(0), Box::new(configuration)))
            }
            _ => None,
        })
    }

    /// The number of the descriptor in the caller's table.
    #[must_use]
    pub fn descriptor(&self) -> u32 {
        match self {
            Self::SetFd(fd) | Self::ChangeFd(fd) | Self::Configure(fd, _) => *fd,
        }
    }
}
