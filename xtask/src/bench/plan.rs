//! What is measured, and against whom.

use crate::bench::inputs::{Inputs, SMALL_FILES};
use crate::bench::way::{Place, Row, START, Way};
use anyhow::Result;

/// Rows that are measured on the same ways and become one table.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Times are read as ratios to the first of these.
    pub(crate) ways: Vec<Way>,
    pub(crate) rows: Vec<Row>,
    pub(crate) rounds: usize,
    /// Makes the inputs of the rows.
    pub(crate) needs: fn(&Inputs) -> Result<()>,
}

/// The ways of a column's name, for the goals.
pub(crate) const EMPTY: &str = "empty view";
pub(crate) const ELSEWHERE: &str = "view, memory mounted elsewhere";
pub(crate) const VIEW: &str = "view";
pub(crate) const OVERLAY: &str = "view, cow,vstat";
pub(crate) const KERNEL_OVERLAY: &str = "kernel's overlayfs, user namespace";

fn trace_words(engine: bool) -> &'static [&'static str] {
    if engine { &["--engine", "trace"] } else { &[] }
}

/// Whole programs.
pub(crate) fn programs(
    place: &Place,
    inputs: &Inputs,
    trace: bool,
    rounds: usize,
) -> Result<Group> {
    let mount = "mkdir -p $B/elsewhere; mount -t umfusemem none $B/elsewhere";
    let mut ways = vec![
        place.native(),
        place.proot("proot", &["proot"]),
        place.proot("proot -0", &["proot", "-0"]),
    ];
    for engine in [false, true] {
        if engine && !trace {
            continue;
        }
        let words = trace_words(engine);
        let named = |name: &str| {
            if engine { format!("{name} (trace)") } else { name.to_owned() }
        };
        ways.push(place.view(&named(EMPTY), words, "")?);
        ways.push(place.view(&named(ELSEWHERE), &[words, &["-p", "umfuse"]].concat(), mount)?);
        ways.push(place.unreal(&named("under /unreal"), words)?);
    }
    let sizes = inputs.sizes;
    let (tree, git, tar) = (sizes.tree_files, sizes.git_files, sizes.tar_files);
    let (sources, spawns) = (sizes.sources, sizes.spawns);
    let rows = vec![
        Row::new(START, "start, and /bin/true", "exec /bin/true"),
        Row::new(
            "find",
            &format!("find with stat, {tree} files"),
            "$P run find find $B/tree -type f -printf '%s %m\\n'",
        ),
        Row::new("grep", &format!("grep -r, {tree} files"), "$P run grep grep -rc fox $B/tree"),
        Row::new("git", &format!("git status, {git} files"), "cd $B/git; $P run git git status"),
        Row::new(
            "untar",
            &format!("untar, {tar} files"),
            "$P run untar tar -C $B/untar -xf $B/files.tar",
        )
        .after("rm -rf $B/untar; mkdir $B/untar"),
        Row::new(
            "make",
            &format!("make -j2, {sources} C files"),
            "$P run make make -s -j2 -C $B/project",
        )
        .after("make -s -C $B/project clean"),
        Row::new("spawn", &format!("{spawns} posix_spawns"), &format!("$P spawn spawn {spawns}")),
    ];
    let needs = |inputs: &Inputs| {
        let made = [inputs.tree(), inputs.git(), inputs.tar(), inputs.project()];
        made.into_iter().try_for_each(|input| input.map(drop))
    };
    Ok(Group { name: "programs", title: "Whole programs", ways, rows, rounds, needs })
}

/// Small virtual files.
pub(crate) fn small(place: &Place, inputs: &Inputs, trace: bool, rounds: usize) -> Result<Group> {
    let image = inputs.folder.join("small.ext2");
    let mut native = place.native();
    native.before = "M=$B/small".to_owned();
    let mut ways = vec![native, place.kernel(), place.fuse2fs()];
    ways.extend(views(place, "umfuseext2", trace)?);
    let passes = if inputs.sizes.mebibytes < 1024 { 10 } else { 100 };
    let visits = passes * SMALL_FILES;
    let rows = vec![
        Row::new("open", "open, read, close", &format!("$P open open $M {passes}"))
            .on(&image, "ro")?,
        Row::new("stat", "stat", &format!("$P stat stat $M {passes}")).on(&image, "ro")?,
    ];
    eprintln!("small files: {visits} visits a round");
    let title = "Small files of an ext2 image, each";
    Ok(Group {
        name: "small",
        title,
        ways,
        rows,
        rounds,
        needs: |inputs| inputs.small_image().map(drop),
    })
}

/// One large file of an ext4 image.
pub(crate) fn large(place: &Place, inputs: &Inputs, trace: bool, rounds: usize) -> Result<Group> {
    let image = inputs.folder.join("large.ext4");
    let blank = inputs.folder.join("blank.ext4");
    let mut ways = vec![place.kernel(), place.fuse2fs()];
    ways.extend(views(place, "umfuseext2", trace)?);
    let mebibytes = inputs.sizes.mebibytes;
    let space = mebibytes + mebibytes / 4 + 64;
    let count = inputs.sizes.random_reads;
    let script = format!(
        "$P read first $M/large; $P read second $M/large; $P random random $M/large {count}"
    );
    let rows = vec![
        Row::new("first", &format!("read {mebibytes} MiB, first time"), &script)
            .also("second", &format!("read {mebibytes} MiB, second time"))
            .also("random", "read 4 KiB at random, each")
            .on(&image, "ro")?,
        Row::new(
            "write",
            &format!("write {mebibytes} MiB, fsync"),
            &format!("$P write write $M/new {mebibytes}"),
        )
        .after(&format!("rm -f $IMG; mke2fs -q -t ext4 $IMG {space}m"))
        .on(&blank, "rw")?,
    ];
    Ok(Group {
        name: "large",
        title: "A large file of an ext4 image",
        ways,
        rows,
        rounds,
        needs: |inputs| inputs.large_image().map(drop),
    })
}

/// Many names of an ext4 image.
pub(crate) fn names(place: &Place, inputs: &Inputs, trace: bool, rounds: usize) -> Result<Group> {
    let image = inputs.folder.join("tree.ext4");
    let blank = inputs.folder.join("names.ext4");
    let mut ways = vec![place.kernel(), place.fuse2fs()];
    ways.extend(views(place, "umfuseext2", trace)?);
    let (count, tree) = (inputs.sizes.names, inputs.sizes.tree_files);
    let rows = vec![
        Row::new(
            "walk",
            &format!("find with stat, {tree} files, first time"),
            "$P run walk find $M -type f -printf '%s %m\\n'; \
             $P run again find $M -type f -printf '%s %m\\n'",
        )
        .also("again", &format!("find with stat, {tree} files, second time"))
        .on(&image, "ro")?,
        Row::new(
            "names",
            &format!("{count} creates, stats, unlinks in a directory"),
            &format!("$P names names $M {count}"),
        )
        .after("rm -f $IMG; mke2fs -q -t ext4 $IMG 256m")
        .on(&blank, "rw")?,
    ];
    Ok(Group {
        name: "names",
        title: "Many names of an ext4 image",
        ways,
        rows,
        rounds,
        needs: |inputs| inputs.tree_image().map(drop),
    })
}

/// An ISO 9660 image, for which this kernel may have no driver.
pub(crate) fn iso(place: &Place, inputs: &Inputs, trace: bool, rounds: usize) -> Result<Group> {
    let image = inputs.folder.join("files.iso");
    let mut native = place.native();
    native.before = "M=$B/iso-tree".to_owned();
    let mut ways = vec![native, place.fuseiso()];
    ways.extend(views(place, "umfuseiso9660", trace)?);
    let files = inputs.sizes.iso_files;
    let rows = vec![
        Row::new("copy", &format!("cp -a, {files} files"), "$P run copy cp -a $M $B/copy")
            .after("rm -rf $B/copy")
            .on(&image, "ro")?,
    ];
    Ok(Group {
        name: "iso",
        title: "An ISO 9660 image",
        ways,
        rows,
        rounds,
        needs: |inputs| inputs.iso().map(drop),
    })
}

fn views(place: &Place, fs_type: &str, trace: bool) -> Result<Vec<Way>> {
    let mut ways = vec![place.mounted(VIEW, &[], fs_type)?];
    if trace {
        ways.push(place.mounted(&format!("{VIEW} (trace)"), trace_words(true), fs_type)?);
    }
    Ok(ways)
}
