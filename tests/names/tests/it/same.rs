//! Every place, every name: view and kernel agree.

use crate::places::{Case, for_seeds, mapping, view};
use e2e::Engine::{Notify, Trace};
use e2e::{Engine, View};
use names::{Mapping, compare};

/// Names for a tree.
const NAMES: usize = 220;

fn check(case: &Case, what: &str, kernel: &str, said: &str, mapping: &Mapping) {
    let differences = compare(&case.names, kernel, said, mapping);
    assert!(
        differences.is_empty(),
        "seed {}, {what}:\n{differences}the tree:\n{}",
        case.seed,
        case.listing()
    );
}

/// Compares the kernel on the tree with a view on `base`, which the view has after `setup`.
fn agree(case: &Case, what: &str, view: &View, setup: &str, base: &str, mapping: &Mapping) {
    let kernel = case.kernel(&case.path("tree"));
    let said = case.view(view, setup, base);
    check(case, what, &kernel, &said, mapping);
}

fn under_unreal(engine: Engine, first: u64) {
    for_seeds(first, 1, |seed| {
        let case = Case::new(seed, NAMES);
        let base = format!("/unreal{}", case.path("tree"));
        let view = view(engine, &["unreal"]);
        agree(&case, "under /unreal", &view, "", &base, &mapping(&[("/unreal", "")]));
    });
}

#[test]
fn names_under_unreal_lead_where_the_kernel_leads() {
    under_unreal(Notify, 100);
}

#[test]
fn names_under_unreal_lead_where_the_kernel_leads_by_ptrace() {
    under_unreal(Trace, 150);
}

#[test]
fn names_of_the_host_beside_a_mount_are_the_hosts() {
    for_seeds(200, 1, |seed| {
        let case = Case::new(seed, NAMES);
        let (tree, other) = (case.path("tree"), case.path("mnt"));
        let setup = format!("mkdir {other}; mount -t umfusemem none {other}");
        let view = view(Notify, &["umfuse"]);
        agree(&case, "beside a mount", &view, &setup, &tree, &Mapping::default());
    });
}

fn in_memory(engine: Engine, first: u64) {
    for_seeds(first, 1, |seed| {
        let case = Case::new(seed, NAMES);
        let (tree, copy) = (case.path("tree"), case.path("copy"));
        let setup = format!(
            "mkdir {copy}; mount -t umfusemem none {copy}; cp -a {tree}/. {copy}/; \
 export KEPT={tree}"
        );
        let view = view(engine, &["umfuse"]);
        agree(&case, "in memory", &view, &setup, &copy, &mapping(&[(&copy, &tree)]));
    });
}

#[test]
fn names_of_a_copy_in_memory_lead_where_the_kernel_leads() {
    in_memory(Notify, 300);
}

#[test]
fn names_of_a_copy_in_memory_lead_where_the_kernel_leads_by_ptrace() {
    in_memory(Trace, 350);
}

#[test]
fn names_lead_through_a_mount_inside_the_tree() {
    for_seeds(400, 1, |seed| {
        let case = Case::new(seed, NAMES);
        let (tree, saved) = (case.path("tree"), case.path("saved"));
        let setup = format!(
            "cp -a {tree}/a {saved}; mount -t umfusemem none {tree}/a; cp -a {saved}/. {tree}/a/"
        );
        let view = view(Notify, &["umfuse"]);
        agree(&case, "through a mount", &view, &setup, &tree, &Mapping::default());
    });
}

#[test]
fn a_changed_root_is_the_end_of_every_name() {
    if !is_root() {
        eprintln!("SKIPPED: only root can ask the kernel for another root");
        return;
    }
    for_seeds(500, 1, |seed| {
        let case = Case::new(seed, NAMES);
        let (tree, copy) = (case.path("tree"), case.path("copy"));
        let kernel = case.kernel(&format!("/ {tree}"));
        let said = case.view(&view(Notify, &[]), "", &format!("/ {tree}"));
        check(&case, "another root", &kernel, &said, &Mapping::default());
        let unreal = view(Notify, &["unreal"]);
        let said = case.view(&unreal, "", &format!("/ /unreal{tree}"));
        check(&case, "another root under /unreal", &kernel, &said, &Mapping::default());
        let setup = format!("mkdir {copy}; mount -t umfusemem none {copy}; cp -a {tree}/. {copy}/");
        let said = case.view(&view(Notify, &["umfuse"]), &setup, &format!("/ {copy}"));
        check(&case, "another root in memory", &kernel, &said, &Mapping::default());
    });
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
