//! Overlays: programs that change a tree of which only a layer above is written, beside what only fakes ids.

use crate::bench::inputs::{Inputs, text};
use crate::bench::plan::{Group, KERNEL_OVERLAY};
use crate::bench::way::{Place, Row, Way};
use anyhow::Result;

/// What comes before each round, on the host: an empty layer over a fresh tree.
const FRESH: &str = "rm -rf $B/store $B/upper $B/layer-work $B/usr-upper $B/usr-work
    mkdir -p $B/store $B/upper $B/layer-work $B/usr-upper $B/usr-work $B/merged $B/usr
    rm -rf $B/lower/untar $B/lower/root $B/lower/many; mkdir -p $B/lower/untar $B/lower/root
    rm -f $B/lower/project/*.o $B/lower/project/all";

/// `$W` is the tree to be changed, `$U` the host's /usr.
pub(crate) fn overlays(
    place: &Place,
    inputs: &Inputs,
    trace: bool,
    rounds: usize,
) -> Result<Group> {
    let sizes = inputs.sizes;
    let (git, tar, sources, packages) =
        (sizes.git_files, sizes.tar_files, sizes.sources, sizes.packages);
    let row = |label, meaning: &str, script: &str| Row::new(label, meaning, script).after(FRESH);
    let rows = vec![
        row(
            "usr",
            "find with stat, /usr", // Whose owner a user namespace does not know is closed to its root.
            "$P run usr sh -c 'find $0 -xdev -printf \"%s %m\\n\" 2>/dev/null || :' $U",
        ),
        row("ogit", &format!("git status, {git} files"), "cd $W/git; $P run ogit git status"),
        row(
            "ountar",
            &format!("untar, {tar} files"),
            "$P run ountar tar -C $W/untar -xf $B/files.tar",
        ),
        row(
            "omake",
            &format!("make -j2, {sources} C files"),
            "$P run omake make -s -j2 -C $W/project",
        ),
        row(
            "dpkg",
            &format!("dpkg -i, {packages} packages of 50 files"),
            "mkdir -p $W/root/var/lib/dpkg/info $W/root/var/lib/dpkg/updates
             : > $W/root/var/lib/dpkg/status
             $P run dpkg dpkg --root=$W/root --log=/dev/null -i $B/packages/*.deb",
        ),
        row("remove", &format!("rm -rf, {tar} files"), "$P run remove rm -rf $W/many")
            .after(&format!("{FRESH}\nmkdir $B/lower/many; tar -C $B/lower/many -xf $B/files.tar")),
    ];
    Ok(Group {
        name: "overlays",
        title: "Overlays",
        ways: ways(place, trace)?,
        rows,
        rounds,
        needs: |inputs| {
            let lower = inputs.folder.join("lower");
            std::fs::create_dir_all(&lower)?;
            let made = [
                inputs.tar(),
                inputs.packages(),
                inputs.git_at("lower/git"),
                inputs.project_at("lower/project"),
            ];
            made.into_iter().try_for_each(|input| input.map(drop))
        },
    })
}

fn ways(place: &Place, trace: bool) -> Result<Vec<Way>> {
    const PLAIN: &str = "W=$B/lower; U=/usr";
    let mut native = place.native();
    native.before = PLAIN.to_owned();
    let mut proot = place.proot("proot -0", &["proot", "-0"]);
    proot.before = PLAIN.to_owned();
    let fakeroot = place.peer("fakeroot", &["fakeroot"], PLAIN, "/usr/bin/fakeroot");
    let layers = |name: &str, options: &str| {
        let lay = |lower: &str, upper: &str, work: &str, on: &str| {
            let layers = format!("lowerdir={lower},upperdir=$B/{upper},workdir=$B/{work}");
            options.replace("LAYERS", &layers).replace("ON", &format!("$B/{on}"))
        };
        let tree = lay("$B/lower", "upper", "layer-work", "merged");
        let usr = lay("/usr", "usr-upper", "usr-work", "usr");
        format!(
            "{name}{tree}; {usr}; trap 'cd /; umount $B/merged $B/usr' EXIT; W=$B/merged; U=$B/usr"
        )
    };
    let kernel = layers("", "mount -t overlay -o LAYERS,userxattr overlay ON");
    let mut kernel = place.peer(KERNEL_OVERLAY, &["unshare", "-rm"], &kernel, "/usr/bin/unshare");
    kernel.missing = kernel.missing.or_else(no_user_namespace);
    let fuse = layers("", "fuse-overlayfs -o LAYERS ON");
    let mut fuse =
        place.peer("fuse-overlayfs", &["unshare", "-m"], &fuse, "/usr/bin/fuse-overlayfs");
    fuse.missing =
        fuse.missing.or_else(crate::bench::way::no_fuse).or_else(crate::bench::way::not_root);
    let mut ways = vec![native, proot, fakeroot, fuse, kernel];
    for engine in [false, true] {
        if engine && !trace {
            continue;
        }
        let words: &[&str] = if engine { &["--engine", "trace", "--su"] } else { &["--su"] };
        for mode in ["cow,vstat", "mincow,vstat"] {
            let store = text(&place.folder.join("store"))?.to_owned();
            let mount = format!("--mount=viewfs:{store}:/:{mode}");
            let words = [words, &[mount.as_str()]].concat();
            let name =
                if engine { format!("view, {mode} (trace)") } else { format!("view, {mode}") };
            ways.push(place.view(&name, &words, PLAIN)?);
        }
    }
    Ok(ways)
}

fn no_user_namespace() -> Option<String> {
    let mut command = std::process::Command::new("unshare");
    command.args(["-rm", "true"]);
    let works = command.output().is_ok_and(|output| output.status.success());
    (!works).then(|| "user namespaces are not allowed here".to_owned())
}
