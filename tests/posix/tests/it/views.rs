//! Views: every place for files, by every engine and user.

use crate::{ext, filled, image, judge, program, view};
use e2e::{Engine, User, View, Work, combinations, need};

/// A second mount, which may be written to, and one that may not.
const BORDERS: &str = "--read-only ro --other other";

/// Root whose ids are changed for real can't be handed descriptors by ptrace alone.
fn is_served((engine, user): (Engine, User)) -> bool {
    engine == Engine::Notify || user.ids().is_some()
}

/// What there is beside the place itself.
struct Place {
    work: Work,
    view: View,
    folder: String,
}

impl Place {
    /// `work` in a folder of the user's, with a read-only ext2 in `ro` and memory in `other`.
    fn new(combination: (Engine, User)) -> Self {
        let work = Work::new(combination.1);
        let folder = work.folder("work");
        let from = filled(&work, "from");
        let ro = ext(&work, "ro.img", "ext2", combination.1, &format!("-d {from}"));
        let (at_ro, at_other) = (work.folder("ro"), work.folder("other"));
        let view = view(combination, &work)
            .option(&format!("--mount=umfuseext2:{ro}:{at_ro}:ro,human"))
            .option(&format!("--mount=umfusemem:none:{at_other}:human"));
        Self { work, view, folder }
    }

    fn mount(mut self, mount: &str) -> Self {
        self.view = self.view.option(&format!("--mount={mount}"));
        self
    }

    fn su(mut self) -> Self {
        self.view = self.view.option("--su");
        self
    }

    fn check(&self, name: &str, setting: &str, words: &str) {
        let line = format!("{} {} {words}", program(&self.work), self.folder);
        judge(name, setting, &self.view.run(&line));
    }
}

#[test]
fn an_empty_view() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let line = format!("{} {}", program(&work), work.folder("work"));
        judge("empty view", &format!("{combination:?}"), &view(combination, &work).run(&line));
    }
}

#[test]
fn the_host_under_unreal() {
    for combination in combinations().into_iter().filter(|&c| is_served(c)) {
        let work = Work::new(combination.1);
        let line = format!("{} /unreal{}", program(&work), work.folder("work"));
        let output = view(combination, &work).preload("unreal").run(&line);
        judge("unreal", &format!("{combination:?}"), &output);
    }
}

#[test]
fn memory() {
    for combination in combinations().into_iter().filter(|&c| is_served(c)) {
        let place = Place::new(combination);
        let mount = format!("umfusemem:none:{}:human", place.folder);
        place.mount(&mount).check("memory", &format!("{combination:?}"), BORDERS);
    }
}

#[test]
fn ext4_and_ext2() {
    for combination in combinations().into_iter().filter(|&c| is_served(c)) {
        for fs_type in ["ext4", "ext2"] {
            let place = Place::new(combination);
            let image = ext(&place.work, "image", fs_type, combination.1, "");
            let mount = format!("umfuseext2:{image}:{}:rw+,human", place.folder);
            let place = place.mount(&mount);
            place.check(fs_type, &format!("{combination:?}"), BORDERS);
            let fsck = e2e::native(User::Root).run(&format!("e2fsck -fn {image}"));
            assert_eq!(fsck.code, Some(0), "{fs_type}, {combination:?}: {fsck:?}");
        }
    }
}

#[test]
fn fat() {
    need("mkfs.fat", "dosfstools");
    for combination in combinations() {
        let place = Place::new(combination);
        let image = image(&place.work, "image", "mkfs.fat -F 32 $I");
        let mount = format!("umfusefat:{image}:{}:rw+", place.folder);
        let lacks = "--lacks links,symlinks,special,owners,modes,times --other other";
        let place = place.mount(&mount);
        place.check("fat", &format!("{combination:?}"), lacks);
        let fsck = e2e::native(User::Root).run(&format!("fsck.fat -n {image}"));
        assert_eq!(fsck.code, Some(0), "fat, {combination:?}: {fsck:?}");
    }
}

/// Virtual root of a user without rights: the owners are virtual, too.
fn virtual_root(name: &str, mount: fn(&Place) -> String) {
    for combination in combinations().into_iter().filter(|(_, user)| user.ids().is_some()) {
        let place = Place::new(combination);
        let mount = mount(&place);
        place.mount(&mount).su().check(name, &format!("virtual root, {combination:?}"), BORDERS);
    }
}

#[test]
fn an_overlay_over_a_folder() {
    virtual_root("cow,vstat", |place| {
        format!("viewfs:{}:{}:cow,vstat", place.work.folder("store"), place.folder)
    });
}

#[test]
fn an_overlay_over_the_whole_host() {
    virtual_root("cow,vstat over /", |place| {
        let (store, work) = (place.work.folder("store"), &place.work);
        let except = ["other", "ro"].map(|name| format!("except={}", work.name(name))).join(",");
        format!("viewfs:{store}:/:cow,vstat,{except}")
    });
}

#[test]
fn an_overlay_that_tries_the_host_first() {
    virtual_root("mincow,vstat", |place| {
        format!("viewfs:{}:{}:mincow,vstat", place.work.folder("store"), place.folder)
    });
}

#[test]
fn ext4_for_a_virtual_root() {
    virtual_root("ext4", |place| {
        let image = ext(&place.work, "image", "ext4", User::Nobody, "");
        format!("umfuseext2:{image}:{}:rw+,human", place.folder)
    });
}

#[test]
fn memory_for_a_virtual_root() {
    virtual_root("memory", |place| format!("umfusemem:none:{}:human", place.folder));
}
