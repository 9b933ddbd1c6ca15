//! The options of mount(8) for iso9660.

use abi::Errno;
use abi::module::MountError;
use abi::options::Options;

/// How names without Rock Ridge or Joliet are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NameMap {
    /// In lower case, without a version of 1.
    #[default]
    Normal,
    /// As they are.
    Off,
    /// As normal, and with the Acorn file type as `,xyz`.
    Acorn,
}

/// The options, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// `norock`: Rock Ridge is not looked for.
    pub(crate) no_rock: bool,
    /// `nojoliet`: Joliet is not looked for.
    pub(crate) no_joliet: bool,
    /// `map=`
    pub(crate) map: NameMap,
    /// `check=relaxed`: names are found in any case.
    pub(crate) any_case: bool,
    /// `unhide`: records with the hidden or associated flag are shown.
    pub(crate) unhide: bool,
    /// `nocompress`: zisofs files are shown as they are stored.
    pub(crate) no_compress: bool,
    /// `uid=`, over everything.
    pub(crate) uid: Option<u32>,
    /// `gid=`, over everything.
    pub(crate) gid: Option<u32>,
    /// `mode=`, where Rock Ridge says nothing.
    pub(crate) file_perm: Option<u16>,
    /// `dmode=`, where Rock Ridge says nothing.
    pub(crate) directory_perm: Option<u16>,
    /// `overriderockperm`: `mode` and `dmode` count against Rock Ridge too.
    pub(crate) override_rock_perm: bool,
    /// `session=`: this one of the image, from 0.
    pub(crate) session: Option<u32>,
    /// `sbsector=`: the session begins at this 2,048-byte sector.
    pub(crate) session_sector: Option<u64>,
}

impl MountOptions {
    /// Takes what it knows.
    ///
    /// # Errors
    /// - `EINVAL` if a value is out of its range, naming the option.
    pub(crate) fn take(options: &mut Options) -> Result<Self, MountError> {
        let mut taken = Self {
            no_rock: options.take_flag("norock"),
            no_joliet: options.take_flag("nojoliet"),
            unhide: options.take_flag("unhide"),
            no_compress: options.take_flag("nocompress"),
            override_rock_perm: options.take_flag("overriderockperm"),
            uid: narrow(options, "uid")?,
            gid: narrow(options, "gid")?,
            file_perm: perm(options, "mode")?,
            directory_perm: perm(options, "dmode")?,
            session: narrow(options, "session")?,
            session_sector: options.take_number("sbsector")?,
            ..Self::default()
        };
        taken.map = match options.take_value("map").as_deref() {
            None | Some("normal" | "n") => NameMap::Normal,
            Some("off" | "o") => NameMap::Off,
            Some("acorn" | "a") => NameMap::Acorn,
            Some(other) => return Err(refuse("map", other, "normal, off or acorn")),
        };
        taken.any_case = match options.take_value("check").as_deref() {
            None | Some("strict" | "s") => false,
            Some("relaxed" | "r") => true,
            Some(other) => return Err(refuse("check", other, "strict or relaxed")),
        };
        // The block size is the image's own; the option is checked and means nothing, as in Linux since 2.6.
        match options.take_value("block").as_deref() {
            None | Some("512" | "1024" | "2048") => Ok(taken),
            Some(other) => Err(refuse("block", other, "512, 1024 or 2048")),
        }
    }
}

fn narrow(options: &mut Options, key: &str) -> Result<Option<u32>, MountError> {
    let Some(number) = options.take_number(key)? else { return Ok(None) };
    u32::try_from(number).map(Some).map_err(|_| refuse(key, &number.to_string(), "32 bits"))
}

/// Permission bits are octal with or without a leading 0, as mount(8) has them.
fn perm(options: &mut Options, key: &str) -> Result<Option<u16>, MountError> {
    let Some(text) = options.take_value(key) else { return Ok(None) };
    match u16::from_str_radix(&text, 8) {
        Ok(bits) if bits <= 0o7777 => Ok(Some(bits)),
        _ => Err(refuse(key, &text, "octal permission bits")),
    }
}

fn refuse(key: &str, value: &str, wanted: &str) -> MountError {
    MountError::new(Errno::EINVAL, format!("option {key}={value}: must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::{MountOptions, NameMap};
    use abi::options::Options;

    #[test]
    fn known_options_are_taken_and_others_left() {
        let mut options = Options::parse(
            "norock,map=off,check=relaxed,uid=5,mode=444,dmode=0555,session=1,sbsector=32,noexec",
        );
        let taken = MountOptions::take(&mut options).unwrap();
        assert!(taken.no_rock && taken.any_case && !taken.no_joliet);
        assert_eq!(taken.map, NameMap::Off);
        assert_eq!((taken.uid, taken.gid), (Some(5), None));
        assert_eq!((taken.file_perm, taken.directory_perm), (Some(0o444), Some(0o555)));
        assert_eq!((taken.session, taken.session_sector), (Some(1), Some(32)));
        assert_eq!(options.remaining(), ["noexec"]);
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for text in ["map=x", "check=x", "block=4096", "mode=999", "dmode=10000", "uid=4294967296"]
        {
            let refusal = MountOptions::take(&mut Options::parse(text)).unwrap_err();
            assert!(refusal.message.contains(text), "{}", refusal.message);
        }
    }
}
