//! The way back into the kernel, for what it shall not believe any more.
//!
//! The kernel waits in these calls for pages that are being read, which means for answers of ours. Whoever asks may
//! be one of the threads that give them, so another thread carries it out, and nobody waits for it for ever.

use super::nodes::{self, NodeNumber};
use abi::Result;
use fuser::{INodeNo, Notifier};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How long a change waits for the kernel to hear of it.
const HEARING_LIMIT: Duration = Duration::from_millis(100);

/// Tells the kernel what to forget.
pub struct Forgetter {
    orders: Sender<Order>,
}

enum Order {
    Name(Vec<u8>),
    Bytes(NodeNumber, i64, i64, Sender<()>),
}

impl Forgetter {
    pub(super) fn new(notifier: Notifier) -> Result<Self> {
        let (orders, to_do) = channel();
        std::thread::Builder::new().name("forgetter".into()).spawn(move || {
            for order in to_do {
                // ENOENT: the kernel has forgotten it already.
                match order {
                    Order::Name(name) => {
                        let _ = notifier.inval_entry(INodeNo::ROOT, OsStr::from_bytes(&name));
                    }
                    Order::Bytes(number, offset, len, done) => {
                        let _ = notifier.inval_inode(INodeNo(number.0), offset, len);
                        let _ = done.send(());
                    }
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Has the kernel forget a file as soon as nobody has it open or mapped; [`super::Nodes::are_forgotten`] tells
    /// when.
    pub fn forget(&self, number: NodeNumber, shown: &[u8]) {
        let _ = self.orders.send(Order::Name(nodes::name(number, shown)));
    }

    /// Has the kernel read a range of bytes anew.
    pub fn changed(&self, number: NodeNumber, offset: u64, len: usize) {
        let (tell, hear) = channel();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        if self.orders.send(Order::Bytes(number, offset, len, tell)).is_ok()
            && hear.recv_timeout(HEARING_LIMIT).is_err()
        {
            tracing::warn!(number = number.0, "the kernel was slow to hear of changed bytes");
        }
    }
}
