//! The number behind every refusal.

use core::fmt;
use core::num::NonZeroI32;

/// An error number of errno(3), never zero.
///
/// A struct with constants and not an enum: numbers that this build has no name for pass through
/// unchanged from a host call or a foreign server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(NonZeroI32);

/// The result of every contract in this crate.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "` of errno(3).")]
                pub const $name: Self = Self::constant(libc::$name);
            )*

            /// The symbolic name, where this build knows one.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                $( if self == Self::$name { return Some(stringify!($name)); } )*
                None
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN
    ETIMEDOUT ECONNREFUSED EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN EDQUOT ENOMEDIUM
    EMEDIUMTYPE ECANCELED EKEYREJECTED
}

impl Errno {
    const fn constant(number: i32) -> Self {
        match NonZeroI32::new(number) {
            Some(n) => Self(n),
            None => panic!("an errno constant is not zero"),
        }
    }

    /// The number `raw`, or `EIO` where `raw` is not a positive number.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        match NonZeroI32::new(raw) {
            Some(n) if raw > 0 => Self(n),
            _ => Self::EIO,
        }
    }

    /// The positive number, as in errno(3).
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0.get()
    }
}

impl From<std::io::Error> for Errno {
    /// The system's own number where the error has one, else `EIO`.
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or(Self::EIO, Self::from_raw)
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.raw())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.raw()),
        }
    }
}

impl fmt::Display for Errno {
    /// The sentence of strerror(3) and the name: `No such file or directory (ENOENT)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = std::io::Error::from_raw_os_error(self.raw()).to_string();
        let sentence = sentence.split(" (os error").next().unwrap_or_default();
        write!(f, "{sentence} ({self:?})")
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn display_names_the_number() {
        assert_eq!(Errno::ENOENT.to_string(), "No such file or directory (ENOENT)");
        assert_eq!(format!("{:?}", Errno::from_raw(4095)), "Errno(4095)");
    }

    #[test]
    fn numbers_that_are_no_errno_become_eio() {
        assert_eq!(Errno::from_raw(0), Errno::EIO);
        assert_eq!(Errno::from_raw(-2), Errno::EIO);
        assert_eq!(Errno::from(std::io::Error::other("no number")), Errno::EIO);
    }
}
