//! The options that every type of file system has, `SEMANTICS` of `mount -t umfuse...`.

use abi::Errno;
use abi::module::MountError;
use abi::options::Options;

/// Whether the mount may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteWish {
    /// Nothing or plain `rw` was said: write if the driver is trusted to.
    #[default]
    Plain,
    /// `ro`
    ReadOnly,
    /// `rw+`: really write.
    Really,
}

/// What the monitor obeys: none of it concerns a driver, but some drivers look at `noatime` and `sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// `ro`, `rw`, `rw+`
    pub write: WriteWish,
    /// `noexec`: nothing is executed from here.
    pub no_exec: bool,
    /// `nosuid`: set-id bits mean nothing.
    pub no_suid: bool,
    /// `nodev`: device special files can't be opened.
    pub no_dev: bool,
    /// `noatime`
    pub no_atime: bool,
    /// `sync`: each write is durable when it returns.
    pub sync: bool,
    /// `remount`: the mount at the target changes its flags.
    pub remount: bool,
    /// `human` or `default_permissions`: permissions are enforced against the virtual ids.
    pub human: bool,
    /// `merge`: what is not in the file system shows what was at the target.
    pub merge: bool,
    /// `permanent`: it can't be unmounted.
    pub permanent: bool,
    /// `except=`, repeated: these subtrees stay as they were.
    pub except: Vec<String>,
    /// `allow_other`: others than the mounting user may come in. Of FUSE, as the following.
    pub allow_other: bool,
    /// `fd=`: the descriptor of `/dev/fuse`.
    pub fd: Option<u32>,
    /// `user_id=`
    pub user_id: Option<u32>,
    /// `group_id=`
    pub group_id: Option<u32>,
    /// `rootmode=`, octal: type and permission bits of the root.
    pub root_mode: Option<u32>,
    /// `max_read=` in bytes.
    pub max_read_bytes: Option<u32>,
    /// `blksize=` in bytes.
    pub block_bytes: Option<u32>,
}

impl MountFlags {
    /// Takes these options out of `options` and leaves the others.
    ///
    /// # Errors
    /// - `EINVAL` if a value is no number of its kind, or `ro` meets `rw+`.
    pub fn take(options: &mut Options) -> Result<Self, MountError> {
        let mut flags = Self {
            write: write_wish(options)?,
            no_exec: last_of(options, "noexec", "exec"),
            no_suid: last_of(options, "nosuid", "suid"),
            no_dev: last_of(options, "nodev", "dev"),
            no_atime: last_of(options, "noatime", "atime"),
            sync: last_of(options, "sync", "async"),
            remount: options.take_flag("remount"),
            human: options.take_flag("human"),
            merge: options.take_flag("merge"),
            permanent: options.take_flag("permanent"),
            except: options.take_all("except"),
            allow_other: options.take_flag("allow_other"),
            fd: number(options, "fd")?,
            user_id: number(options, "user_id")?,
            group_id: number(options, "group_id")?,
            root_mode: root_mode(options)?,
            max_read_bytes: number(options, "max_read")?,
            block_bytes: number(options, "blksize")?,
        };
        flags.human |= options.take_flag("default_permissions");
        // Words that say what is so anyway.
        for word in ["defaults", "relatime", "strictatime", "nodiratime", "diratime", "allow_root"]
        {
            options.take_flag(word);
        }
        Ok(flags)
    }

    /// The same, leaving `options` as they are: for those who only need to know.
    ///
    /// # Errors
    /// Those of [`take`](Self::take).
    pub fn peek(options: &Options) -> Result<Self, MountError> {
        Self::take(&mut options.clone())
    }
}

fn write_wish(options: &mut Options) -> Result<WriteWish, MountError> {
    let really = options.take_flag("rw+");
    let read_only = options.take_flag("ro");
    options.take_flag("rw");
    match (read_only, really) {
        (true, true) => Err(MountError::new(Errno::EINVAL, "options ro and rw+: choose one")),
        (true, false) => Ok(WriteWish::ReadOnly),
        (false, true) => Ok(WriteWish::Really),
        (false, false) => Ok(WriteWish::Plain),
    }
}

/// Whether `yes` was said, or rather `no` by the last word of the two.
fn last_of(options: &mut Options, yes: &str, no: &str) -> bool {
    let last = options.remaining().into_iter().rev().find(|word| word == yes || word == no);
    options.take_flag(yes);
    options.take_flag(no);
    last.is_some_and(|word| word == yes)
}

fn number(options: &mut Options, key: &str) -> Result<Option<u32>, MountError> {
    let Some(number) = options.take_number(key)? else { return Ok(None) };
    u32::try_from(number).map(Some).map_err(|_| {
        MountError::new(Errno::EINVAL, format!("option {key}={number}: must be a 32-bit number"))
    })
}

fn root_mode(options: &mut Options) -> Result<Option<u32>, MountError> {
    let Some(text) = options.take_value("rootmode") else { return Ok(None) };
    u32::from_str_radix(&text, 8).map(Some).map_err(|_| {
        MountError::new(Errno::EINVAL, format!("option rootmode={text}: must be octal"))
    })
}

#[cfg(test)]
mod tests {
    use super::{MountFlags, WriteWish};
    use abi::options::Options;

    #[test]
    fn flags_are_taken_and_the_rest_is_left() {
        let text =
            "rw+,noexec,nosuid,sync,except=/a,except=/b,merge,human,journal=x,rootmode=40000";
        let mut options = Options::parse(text);
        let flags = MountFlags::take(&mut options).unwrap();
        assert_eq!(flags.write, WriteWish::Really);
        assert!(flags.no_exec && flags.no_suid && flags.sync && flags.merge && flags.human);
        assert!(!flags.no_dev && !flags.permanent && !flags.remount);
        assert_eq!(flags.except, ["/a", "/b"]);
        assert_eq!(flags.root_mode, Some(0o40000));
        assert_eq!(options.remaining(), ["journal=x"]);
    }

    #[test]
    fn the_last_of_two_words_counts() {
        let flags = |text: &str| MountFlags::peek(&Options::parse(text)).unwrap();
        assert!(flags("exec,noexec").no_exec);
        assert!(!flags("noexec,exec").no_exec);
        assert!(!flags("defaults").no_exec);
        assert!(flags("async,sync").sync);
    }

    #[test]
    fn contradictions_and_bad_numbers_are_refused() {
        for (text, part) in [
            ("ro,rw+", "rw+"),
            ("rootmode=9", "rootmode=9"),
            ("user_id=x", "user_id=x"),
            ("fd=4294967296", "fd=4294967296"),
        ] {
            let refusal = MountFlags::peek(&Options::parse(text)).unwrap_err();
            assert!(refusal.message.contains(part), "{}", refusal.message);
        }
    }

    #[test]
    fn peeking_leaves_the_options() {
        let options = Options::parse("ro,except=/a");
        assert_eq!(MountFlags::peek(&options).unwrap().write, WriteWish::ReadOnly);
        assert_eq!(options.remaining(), ["ro", "except=/a"]);
    }
}
