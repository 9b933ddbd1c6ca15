//! The words of `-o`: which are flags of mount(2), as mount(8) has it, and which are the file system's.

use nix::mount::MsFlags;

/// What the words came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    pub(crate) flags: MsFlags,
    /// The words that are no flags, in their order.
    pub(crate) data: String,
}

/// A word sets bits or clears them.
enum Effect {
    Set(MsFlags),
    Clear(MsFlags),
    /// Known to mount(8) alone.
    Nothing,
}

fn effect(word: &str) -> Option<Effect> {
    use Effect::{Clear, Nothing, Set};
    Some(match word {
        "ro" => Set(MsFlags::MS_RDONLY),
        "rw" => Clear(MsFlags::MS_RDONLY),
        "nosuid" => Set(MsFlags::MS_NOSUID),
        "suid" => Clear(MsFlags::MS_NOSUID),
        "nodev" => Set(MsFlags::MS_NODEV),
        "dev" => Clear(MsFlags::MS_NODEV),
        "noexec" => Set(MsFlags::MS_NOEXEC),
        "exec" => Clear(MsFlags::MS_NOEXEC),
        "sync" => Set(MsFlags::MS_SYNCHRONOUS),
        "async" => Clear(MsFlags::MS_SYNCHRONOUS),
        "dirsync" => Set(MsFlags::MS_DIRSYNC),
        "remount" => Set(MsFlags::MS_REMOUNT),
        "bind" => Set(MsFlags::MS_BIND),
        "rbind" => Set(MsFlags::MS_BIND.union(MsFlags::MS_REC)),
        "mand" => Set(MsFlags::MS_MANDLOCK),
        "nomand" => Clear(MsFlags::MS_MANDLOCK),
        "noatime" => Set(MsFlags::MS_NOATIME),
        "atime" => Clear(MsFlags::MS_NOATIME),
        "nodiratime" => Set(MsFlags::MS_NODIRATIME),
        "diratime" => Clear(MsFlags::MS_NODIRATIME),
        "relatime" => Set(MsFlags::MS_RELATIME),
        "norelatime" => Clear(MsFlags::MS_RELATIME),
        "strictatime" => Set(MsFlags::MS_STRICTATIME),
        "nostrictatime" => Clear(MsFlags::MS_STRICTATIME),
        "lazytime" => Set(MsFlags::MS_LAZYTIME),
        "nolazytime" => Clear(MsFlags::MS_LAZYTIME),
        "iversion" => Set(MsFlags::MS_I_VERSION),
        "noiversion" => Clear(MsFlags::MS_I_VERSION),
        "silent" => Set(MsFlags::MS_SILENT),
        "loud" => Clear(MsFlags::MS_SILENT),
        "private" => Set(MsFlags::MS_PRIVATE),
        "rprivate" => Set(MsFlags::MS_PRIVATE.union(MsFlags::MS_REC)),
        "shared" => Set(MsFlags::MS_SHARED),
        "rshared" => Set(MsFlags::MS_SHARED.union(MsFlags::MS_REC)),
        "slave" => Set(MsFlags::MS_SLAVE),
        "rslave" => Set(MsFlags::MS_SLAVE.union(MsFlags::MS_REC)),
        "unbindable" => Set(MsFlags::MS_UNBINDABLE),
        "runbindable" => Set(MsFlags::MS_UNBINDABLE.union(MsFlags::MS_REC)),
        "" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "users" | "nofail"
        | "_netdev" => Nothing,
        _ => return None,
    })
}

impl MountOptions {
    /// Reads lists of words with commas between. The flags of a later word win; a comma in quotes does not divide.
    pub(crate) fn read<'a>(lists: impl IntoIterator<Item = &'a str>) -> Self {
        let mut flags = MsFlags::empty();
        let mut rest: Vec<&str> = Vec::new();
        for word in lists.into_iter().flat_map(words) {
            match effect(word) {
                Some(Effect::Set(bits)) => flags.insert(bits),
                Some(Effect::Clear(bits)) => flags.remove(bits),
                Some(Effect::Nothing) => {}
                None => rest.push(word),
            }
        }
        Self { flags, data: rest.join(",") }
    }
}

/// Divides at commas that are not in double quotes.
fn words(list: &str) -> Vec<&str> {
    let mut is_quoted = false;
    list.split(|c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::MountOptions;
    use nix::mount::MsFlags;

    #[test]
    fn flags_become_bits_and_the_rest_is_data() {
        let table = [
            ("", MsFlags::empty(), ""),
            ("ro", MsFlags::MS_RDONLY, ""),
            ("ro,rw", MsFlags::empty(), ""),
            // Not a flag: the word of umfuse for writing in earnest.
            ("rw+", MsFlags::empty(), "rw+"),
            ("defaults,noexec,uid=5,nosuid", MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID, "uid=5"),
            ("mincow,except=/tmp,vstat", MsFlags::empty(), "mincow,except=/tmp,vstat"),
            ("move,permanent", MsFlags::empty(), "move,permanent"),
            ("rbind", MsFlags::MS_BIND | MsFlags::MS_REC, ""),
            ("context=\"a,ro\",ro", MsFlags::MS_RDONLY, "context=\"a,ro\""),
        ];
        for (text, flags, data) in table {
            let expect = MountOptions { flags, data: data.to_owned() };
            assert_eq!(MountOptions::read([text]), expect, "{text}");
        }
    }

    #[test]
    fn a_later_list_wins() {
        let read = MountOptions::read(["ro,size=1", "rw,size=2"]);
        assert_eq!(read, MountOptions { flags: MsFlags::empty(), data: "size=1,size=2".into() });
    }
}
