//! Folders with the sticky bit: only the owner of a file, of the folder, and root remove or rename.

use crate::agent::{ALICE, BOB, CAROL};
use crate::checks::{Checks, Unprepared};
use crate::op::Op;
use nix::errno::Errno;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if !t.has_users() {
        return Ok(());
    }
    let d = t.folder()?;
    for (kind, is_folder) in [("file", false), ("folder", true)] {
        let sticky = format!("{d}/{kind}");
        t.prepare(&[
            Op::Mkdir(sticky.clone(), 0o777),
            Op::Chown(sticky.clone(), Some(ALICE.uid), Some(ALICE.gid)),
            Op::Chmod(sticky.clone(), 0o1777),
        ])?;
        let victim = format!("{sticky}/victim");
        let fresh = |t: &mut Checks| {
            let made = if is_folder {
                Op::Mkdir(victim.clone(), 0o777)
            } else {
                Op::Mknod(victim.clone(), '-', 0o666, 0)
            };
            t.prepare(&[made, Op::Chown(victim.clone(), Some(BOB.uid), Some(BOB.gid))])
        };
        let remove = if is_folder { Op::Rmdir(victim.clone()) } else { Op::Unlink(victim.clone()) };
        let rename = Op::Rename(victim.clone(), format!("{sticky}/renamed"), 0);
        let hers = format!("{sticky}/carols");
        let made = if is_folder {
            Op::Mkdir(hers.clone(), 0o777)
        } else {
            Op::Mknod(hers.clone(), '-', 0o666, 0)
        };
        fresh(t)?;
        t.allows_to(CAROL, &format!("anybody makes a {kind}"), &made)?;
        t.refuses_to(CAROL, &format!("a stranger removes a {kind}"), &remove, Errno::EPERM)?;
        t.refuses_to(CAROL, &format!("a stranger renames a {kind}"), &rename, Errno::EPERM)?;
        let over = Op::Rename(hers.clone(), victim.clone(), 0);
        t.refuses_to(CAROL, &format!("a stranger replaces a {kind}"), &over, Errno::EPERM)?;
        t.allows_to(
            CAROL,
            &format!("its owner removes a {kind} of his own"),
            &if is_folder { Op::Rmdir(hers) } else { Op::Unlink(hers) },
        )?;
        t.allows_to(BOB, &format!("its owner renames a {kind}"), &rename)?;
        let back = Op::Rename(format!("{sticky}/renamed"), victim.clone(), 0);
        t.allows_to(BOB, &format!("and renames the {kind} back"), &back)?;
        t.allows_to(BOB, &format!("its owner removes a {kind}"), &remove)?;
        fresh(t)?;
        t.allows_to(ALICE, &format!("the folder's owner removes a {kind}"), &remove)?;
        fresh(t)?;
        t.allows(&format!("root removes a {kind}"), &remove);
    }
    Ok(())
}
