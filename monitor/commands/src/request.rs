//! One request to the monitor of the view that a command runs in.

use abi::Errno;
use monitor::control::{Reply, Request};
use serde_json::Value;
use std::fmt;

/// Why a request was refused, in a sentence with the next step.
#[derive(Debug)]
pub struct Refused {
    /// The number.
    pub errno: Errno,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// Sends a request and returns what was asked for.
///
/// # Errors
/// - `ENOSYS` outside a view.
/// - what the monitor says.
pub fn ask(request: &Request) -> Result<Value, Refused> {
    let bytes = serde_json::to_vec(request)
        .map_err(|e| Refused { errno: Errno::EINVAL, message: e.to_string() })?;
    let reply = engine::control::call(&bytes).map_err(|errno| Refused {
        errno,
        message: if errno == Errno::ENOSYS {
            "not in a view: start one with `umview`".into()
        } else {
            errno.to_string()
        },
    })?;
    let reply: Reply = serde_json::from_slice(&reply).map_err(|e| Refused {
        errno: Errno::EIO,
        message: format!(
            "the monitor's answer is unreadable ({e}): commands and monitor differ in version"
        ),
    })?;
    if reply.errno == 0 {
        return Ok(reply.value);
    }
    Err(Refused { errno: Errno::from_raw(reply.errno), message: reply.message })
}
