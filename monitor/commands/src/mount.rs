//! `viewmount`, `viewumount`: mount(2) and umount2(2), and what their refusals mean.

use crate::ask;
use crate::cli::{Viewmount, Viewumount};
use crate::finish::say;
use crate::mount_options::MountOptions;
use anyhow::{Result, anyhow, bail};
use monitor::control::Request;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use std::path::Path;

/// Mounts.
///
/// # Errors
/// What mount(2) says.
pub fn mount(arguments: &Viewmount) -> Result<()> {
    let options = MountOptions::read(arguments.options.iter().map(String::as_str));
    call(&arguments.fs_type, &arguments.source, &arguments.target, &options)
}

/// Calls mount(2).
pub(crate) fn call(
    fs_type: &str,
    source: &Path,
    target: &Path,
    options: &MountOptions,
) -> Result<()> {
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    nix::mount::mount(
        Some(source),
        target,
        some(fs_type).as_deref(),
        options.flags,
        some(&options.data).as_deref(),
    )
    .map_err(|errno| {
        let why = refusal(errno, fs_type, source, target, options);
        anyhow!("{} on {}: {why}", source.display(), target.display())
    })
}

/// What a number means here, and what to do.
fn refusal(
    errno: Errno,
    fs_type: &str,
    source: &Path,
    target: &Path,
    options: &MountOptions,
) -> String {
    match errno {
        Errno::ENODEV => match module_of(fs_type) {
            Some(module) => {
                format!("type {fs_type} is of a module that is not loaded: um_add_service {module}")
            }
            None => format!("no module and not the kernel has type {fs_type:?} (um_ls_service -a)"),
        },
        Errno::EPERM | Errno::EACCES => format!(
            "{}; type {fs_type:?} is the kernel's, or the source can't be read",
            errno.desc()
        ),
        Errno::ENOENT if !target.exists() => "the target does not exist".into(),
        Errno::ENOENT => format!("{} does not exist", source.display()),
        Errno::EINVAL => format!(
            "{fs_type} refuses the source or an option of {:?}; the monitor's log says which",
            options.data
        ),
        other => other.desc().to_owned(),
    }
}

/// The module whose types begin as this one, if it is there and not loaded.
fn module_of(fs_type: &str) -> Option<String> {
    let reply = ask(&Request::LsService).ok()?;
    let list = reply.get("services")?.as_array()?;
    let found = list.iter().find(|service| {
        let name = service.get("name").and_then(|n| n.as_str()).unwrap_or_default();
        let is_loaded = service.get("loaded").and_then(serde_json::Value::as_bool) == Some(true);
        !name.is_empty() && !is_loaded && fs_type.starts_with(name)
    })?;
    found.get("name")?.as_str().map(str::to_owned)
}

/// Unmounts every target; one that fails does not keep the others.
///
/// # Errors
/// If any of them could not be unmounted.
pub fn umount(arguments: &Viewumount) -> Result<()> {
    let flags = if arguments.lazy { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    let mut failed = 0_usize;
    for target in &arguments.targets {
        if let Err(errno) = umount2(target, flags) {
            failed = failed.saturating_add(1);
            let why = match errno {
                Errno::EBUSY => {
                    "busy: a file is open, a process works there, or something is mounted on it; \
                                 viewumount -l detaches it"
                        .to_owned()
                }
                Errno::EINVAL => "not a mount point".to_owned(),
                Errno::EPERM => "not a mount point of this view's own, or permanent".to_owned(),
                other => other.desc().to_owned(),
            };
            say("viewumount", &format!("{}: {why}", target.display()));
        }
    }
    if failed > 0 {
        bail!("{failed} of {} not unmounted", arguments.targets.len());
    }
    Ok(())
}
