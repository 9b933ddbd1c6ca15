//! Who the process is, and what the system is called.

use super::NAMES;
use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::Row;

const IDS: &[Trap] = &[Trap::always(Group::Ids)];
const UNAME: &[Trap] = &[Trap::always(Group::Uname)];

const CLONE_FS: u32 = libc::CLONE_FS as u32;
const CLONE_THREAD: u32 = libc::CLONE_THREAD as u32;
/// Threads have both; a process that shares its umask with another has the first alone.
const FS_OR_THREAD: u32 = CLONE_FS | CLONE_THREAD;

const LATER: &str = "the kernel's until ids are virtual";

const fn option(number: i32) -> Test {
    Test::Is(0, number as u32)
}

/// The options of prctl(2) that show or change what virtual ids stand for.
const PRCTL: &[Trap] = &[
    Trap::when(Group::Ids, &[option(libc::PR_GET_KEEPCAPS)]),
    Trap::when(Group::Ids, &[option(libc::PR_SET_KEEPCAPS)]),
    Trap::when(Group::Ids, &[option(libc::PR_GET_SECCOMP)]),
    Trap::when(Group::Ids, &[option(libc::PR_CAPBSET_READ)]),
    Trap::when(Group::Ids, &[option(libc::PR_CAPBSET_DROP)]),
    Trap::when(Group::Ids, &[option(libc::PR_GET_SECUREBITS)]),
    Trap::when(Group::Ids, &[option(libc::PR_SET_SECUREBITS)]),
    Trap::when(Group::Ids, &[option(libc::PR_SET_NO_NEW_PRIVS)]),
    Trap::when(Group::Ids, &[option(libc::PR_GET_NO_NEW_PRIVS)]),
    Trap::when(Group::Ids, &[option(libc::PR_CAP_AMBIENT)]),
];

/// Ids, groups, capabilities, umask, and uname.
pub(super) const IDENTITY: &[Row] = &[
    Row::new("getuid", 102, Handler::GetId, IDS).planned(LATER),
    Row::new("getgid", 104, Handler::GetId, IDS).planned(LATER),
    Row::new("geteuid", 107, Handler::GetId, IDS).planned(LATER),
    Row::new("getegid", 108, Handler::GetId, IDS).planned(LATER),
    Row::new("getresuid", 118, Handler::GetId, IDS).planned(LATER),
    Row::new("getresgid", 120, Handler::GetId, IDS).planned(LATER),
    Row::new("setuid", 105, Handler::SetId, IDS).planned(LATER),
    Row::new("setgid", 106, Handler::SetId, IDS).planned(LATER),
    Row::new("setreuid", 113, Handler::SetId, IDS).planned(LATER),
    Row::new("setregid", 114, Handler::SetId, IDS).planned(LATER),
    Row::new("setresuid", 117, Handler::SetId, IDS).planned(LATER),
    Row::new("setresgid", 119, Handler::SetId, IDS).planned(LATER),
    Row::new("setfsuid", 122, Handler::SetId, IDS).planned(LATER),
    Row::new("setfsgid", 123, Handler::SetId, IDS).planned(LATER),
    Row::new("getgroups", 115, Handler::Groups, IDS).planned(LATER),
    Row::new("setgroups", 116, Handler::Groups, IDS).planned(LATER),
    Row::new("capget", 125, Handler::Capabilities, IDS).planned(LATER),
    Row::new("capset", 126, Handler::Capabilities, IDS).planned(LATER),
    Row::new("prctl", 157, Handler::Prctl, PRCTL).planned(LATER),
    Row::new("uname", 63, Handler::Uname, UNAME),
    Row::new("sethostname", 170, Handler::Uname, UNAME)
        .note("for root in the view and who mounted the names"),
    Row::new("setdomainname", 171, Handler::Uname, UNAME)
        .note("for root in the view and who mounted the names"),
    Row::new("umask", 95, Handler::Umask, NAMES)
        .note("remembered, so that making a name asks nobody for it"),
    Row::new(
        "clone",
        56,
        Handler::Umask,
        &[
            Trap::when(Group::Names, &[Test::Masked(0, FS_OR_THREAD, CLONE_FS)]),
            Trap::when(Group::Names, &[Test::Masked(0, FS_OR_THREAD, CLONE_THREAD)]),
        ],
    )
    .partial("trapped where the umask is shared otherwise than by threads; the flags of new namespaces are not looked at"),
];
