//! `/dev/loop-control` and `/dev/loopN` of a view, so that `mount -o loop` and losetup(8) work in
//! it.
//!
//! A state machine without files: the three requests that carry a descriptor are first decoded
//! ([`LoopRequest::decode`]), the caller finds out what the descriptor is ([`Backing`]), and
//! [`LoopDevice::bind`] answers. Everything else goes through `Device::ioctl`.
//!
//! ```text
//! ioctl(/dev/loop3, LOOP_CONFIGURE, p)
//!   monitor: LoopRequest::decode(...) -> Some(r)    r.descriptor() -> open file -> Backing
//!   monitor: control.device(3).bind(r, backing, open_for_writing)
//! ioctl(/dev/loop3, LOOP_GET_STATUS64, p)
//!   monitor: decode -> None, so control.device(3).ioctl(0, ...)
//! ```
//!
//! States: unbound -> bound (`LOOP_CONFIGURE`) -> running down (`LOOP_CLR_FD` by the only opener)
//! -> unbound (last close). With other openers `LOOP_CLR_FD` sets autoclear, and the last close
//! unbinds.

mod control;
mod device;
mod info;
mod request;
mod window;

pub use control::LoopControl;
pub use device::{Backing, LoopDevice, LoopStatus};
pub use request::{Configuration, LoopRequest};
