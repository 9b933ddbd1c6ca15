//! The options of a mount, named as those of the kernel's vfat (Documentation/filesystems/vfat.rst).

use crate::time::DosTime;
use abi::Errno;
use abi::fs::Timestamp;
use abi::module::MountError;
use abi::options::Options;

/// How 8.3 names are shown, and when a name needs no long form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShortNames {
    pub(crate) show: ShowShort,
    /// Names in pure lower case are stored as 8.3 with the case flags.
    pub(crate) case_flags: bool,
}

/// How an 8.3 name without a long one is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShowShort {
    /// In lower case.
    Lower,
    /// As stored.
    Stored,
    /// As the case flags say.
    Flags,
}

/// What a mount was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bits that files do not get.
    pub(crate) fmask: u16,
    /// Bits that directories do not get.
    pub(crate) dmask: u16,
    /// Local time minus UTC.
    pub(crate) offset_minutes: i32,
    pub(crate) short_names: ShortNames,
    /// A change of owner or mode that can't be held is no error.
    pub(crate) quiet: bool,
    pub(crate) noatime: bool,
    /// Each write is durable when it returns.
    pub(crate) sync: bool,
}

const MASK_DEFAULT: u16 = 0o022;
const DAY_MINUTES: i32 = 24 * 60;

impl MountOptions {
    /// Takes what this driver knows out of `options`.
    ///
    /// # Errors
    /// - `EINVAL` naming the option whose value is not possible.
    pub(crate) fn take(options: &mut Options) -> Result<Self, MountError> {
        let umask = take_mask(options, "umask")?.unwrap_or(MASK_DEFAULT);
        take_choice(options, "codepage", &["437"])?;
        take_choice(options, "iocharset", &["utf8", "utf-8", "UTF-8"])?;
        options.take_flag("utf8");
        Ok(Self {
            uid: take_id(options, "uid")?,
            gid: take_id(options, "gid")?,
            fmask: take_mask(options, "fmask")?.unwrap_or(umask),
            dmask: take_mask(options, "dmask")?.unwrap_or(umask),
            offset_minutes: take_offset(options)?,
            short_names: take_short_names(options)?,
            quiet: options.take_flag("quiet"),
            noatime: options.take_flag("noatime"),
            sync: options.take_flag("sync"),
        })
    }

    /// The stored form of `moment`.
    pub(crate) fn dos_time(&self, moment: Timestamp) -> DosTime {
        DosTime::from_timestamp(moment, self.offset_minutes)
    }

    /// The stored form of this moment.
    pub(crate) fn dos_now(&self) -> DosTime {
        self.dos_time(Timestamp::now())
    }
}

fn bad(key: &str, value: &str, want: &str) -> MountError {
    MountError::new(Errno::EINVAL, format!("option {key}={value}: not {want}"))
}

fn take_id(options: &mut Options, key: &str) -> Result<u32, MountError> {
    let number = options.take_number(key)?.unwrap_or_default();
    u32::try_from(number).map_err(|_| bad(key, &number.to_string(), "an id of 32 bits"))
}

/// Masks are octal with or without a leading 0.
fn take_mask(options: &mut Options, key: &str) -> Result<Option<u16>, MountError> {
    let Some(text) = options.take_value(key) else { return Ok(None) };
    match u16::from_str_radix(&text, 8) {
        Ok(mask) if mask <= 0o777 => Ok(Some(mask)),
        _ => Err(bad(key, &text, "an octal mask")),
    }
}

fn take_choice(options: &mut Options, key: &str, known: &[&str]) -> Result<(), MountError> {
    match options.take_value(key) {
        Some(value) if !known.contains(&value.as_str()) => Err(bad(key, &value, "supported")),
        _ => Ok(()),
    }
}

/// `time_offset` is in minutes, subtracted from a stored time to get UTC; `tz=UTC` is an offset of 0.
fn take_offset(options: &mut Options) -> Result<i32, MountError> {
    take_choice(options, "tz", &["UTC"])?;
    let Some(text) = options.take_value("time_offset") else { return Ok(0) };
    match text.parse() {
        Ok(minutes) if (-DAY_MINUTES..=DAY_MINUTES).contains(&minutes) => Ok(minutes),
        _ => Err(bad("time_offset", &text, "minutes within a day")),
    }
}

fn take_short_names(options: &mut Options) -> Result<ShortNames, MountError> {
    let text = options.take_value("shortname").unwrap_or_else(|| "mixed".to_owned());
    let (show, case_flags) = match text.as_str() {
        "lower" => (ShowShort::Lower, false),
        "win95" => (ShowShort::Stored, false),
        "winnt" => (ShowShort::Flags, true),
        "mixed" => (ShowShort::Flags, false),
        _ => return Err(bad("shortname", &text, "lower, win95, winnt or mixed")),
    };
    Ok(ShortNames { show, case_flags })
}

#[cfg(test)]
mod tests {
    use super::MountOptions;
    use abi::options::Options;

    #[test]
    fn masks_are_octal_and_umask_is_the_default_of_both() {
        let mut o = Options::parse("umask=27,dmask=0077,uid=1000,quiet,tz=UTC,other");
        let taken = MountOptions::take(&mut o).unwrap();
        assert_eq!((taken.fmask, taken.dmask, taken.uid, taken.gid), (0o027, 0o077, 1000, 0));
        assert!(taken.quiet);
        assert_eq!(o.remaining(), ["other"]);
        let plain = MountOptions::take(&mut Options::parse("")).unwrap();
        assert_eq!((plain.fmask, plain.dmask, plain.offset_minutes), (0o022, 0o022, 0));
    }

    #[test]
    fn impossible_values_are_refused_with_their_text() {
        let cases = [
            ("umask=8", "option umask=8: not an octal mask"),
            ("codepage=850", "option codepage=850: not supported"),
            ("time_offset=1441", "option time_offset=1441: not minutes within a day"),
            ("tz=CET", "option tz=CET: not supported"),
            ("shortname=x", "option shortname=x: not lower, win95, winnt or mixed"),
            ("uid=4294967296", "option uid=4294967296: not an id of 32 bits"),
        ];
        for (text, message) in cases {
            let refusal = MountOptions::take(&mut Options::parse(text)).unwrap_err();
            assert_eq!(refusal.message, message);
        }
    }
}
