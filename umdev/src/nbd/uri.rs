//! Names of exports (the protocol's `doc/uri.md`).

use abi::Errno;
use abi::module::MountError;

/// The port of servers that say none.
const PORT_DEFAULT: u16 = 10809;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the network.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// On a socket in the file system.
    Unix {
        /// Its name.
        path: String,
    },
}

/// `nbd://HOST[:PORT]/[EXPORT]` or `nbd+unix:///[EXPORT]?socket=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdUri {
    /// The server.
    pub place: Place,
    /// The export, "" for the server's default.
    pub export: String,
}

impl NbdUri {
    /// Reads the text of a URI.
    ///
    /// # Errors
    /// - `EINVAL` with what is wrong.
    pub fn parse(text: &str) -> Result<Self, MountError> {
        let bad = |why: &str| MountError::new(Errno::EINVAL, format!("{text}: {why}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("not a URI"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, export) = rest.split_once('/').unwrap_or((rest, ""));
        let export = decode(export).ok_or_else(|| bad("bad % in the export's name"))?;
        let place = match scheme {
            "nbd" => {
                let (host, port) = host_and_port(authority).ok_or_else(|| bad("bad host"))?;
                Place::Tcp { host, port }
            }
            "nbd+unix" => {
                let socket = query.split('&').find_map(|pair| pair.strip_prefix("socket="));
                let path = socket.and_then(decode).filter(|path| !path.is_empty());
                Place::Unix { path: path.ok_or_else(|| bad("no socket= in it"))? }
            }
            _ => return Err(bad("only nbd:// and nbd+unix:// are known")),
        };
        Ok(Self { place, export })
    }
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    // An IPv6 address is in brackets, and has colons of its own.
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Turns `%2F` into `/`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let digits = core::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{NbdUri, Place};

    fn tcp(host: &str, port: u16, export: &str) -> NbdUri {
        NbdUri { place: Place::Tcp { host: host.to_owned(), port }, export: export.to_owned() }
    }

    #[test]
    fn the_forms_of_a_uri() {
        let parse = |text| NbdUri::parse(text).unwrap();
        assert_eq!(parse("nbd://host"), tcp("host", 10809, ""));
        assert_eq!(parse("nbd://host:99/disk"), tcp("host", 99, "disk"));
        assert_eq!(parse("nbd://[::1]:99/a%20b/c"), tcp("::1", 99, "a b/c"));
        assert_eq!(parse("nbd://[::1]/"), tcp("::1", 10809, ""));
        let place = Place::Unix { path: "/run/n b".to_owned() };
        let expected = NbdUri { place, export: "x".to_owned() };
        assert_eq!(parse("nbd+unix:///x?socket=/run/n%20b"), expected);
    }

    #[test]
    fn what_is_no_uri_is_refused_with_its_reason() {
        let message = |text| NbdUri::parse(text).unwrap_err().message;
        assert_eq!(message("disk"), "disk: not a URI");
        assert_eq!(message("nbds://h"), "nbds://h: only nbd:// and nbd+unix:// are known");
        assert_eq!(message("nbd://h:x"), "nbd://h:x: bad host");
        assert_eq!(message("nbd://"), "nbd://: bad host");
        assert_eq!(message("nbd://h/%2"), "nbd://h/%2: bad % in the export's name");
        assert_eq!(message("nbd+unix:///x"), "nbd+unix:///x: no socket= in it");
    }
}
