//! `um_attach`, `viewname`, `umshutdown`.

use crate::ask;
use crate::cli::{UmAttach, Umshutdown, Viewname};
use crate::finish::{answer, say};
use anyhow::{Context, Result, bail};
use monitor::control::Request;
use serde_json::Value;

/// What the monitor says of the caller's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) number: u64,
    /// The monitor's process id.
    pub(crate) server: u64,
}

impl Identity {
    /// Asks.
    ///
    /// # Errors
    /// Outside a view.
    pub(crate) fn here() -> Result<Self> {
        let reply = ask(&Request::ViewName { name: None })?;
        let number = |key: &str| reply.get(key).and_then(Value::as_u64).unwrap_or(0);
        let name = reply.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { name, number: number("number"), server: number("server") })
    }

    /// The name, or else the number.
    fn shown(&self) -> String {
        if self.name.is_empty() { self.number.to_string() } else { self.name.clone() }
    }
}

/// `host[server:view]`; outside a view `host`.
fn prompt(host: &str, view: Option<&Identity>) -> String {
    let short = host.split('.').next().unwrap_or(host);
    match view {
        Some(view) => format!("{short}[{}:{}]", view.server, view.shown()),
        None => short.to_owned(),
    }
}

/// Prints or sets the name.
///
/// # Errors
/// Outside a view, but for a prompt.
pub fn viewname(arguments: &Viewname) -> Result<()> {
    if arguments.prompt {
        let system = nix::sys::utsname::uname().context("uname")?;
        let host = system.nodename().to_string_lossy();
        return answer(&format!("{}\n", prompt(&host, Identity::here().ok().as_ref())));
    }
    if let Some(name) = &arguments.name {
        ask(&Request::ViewName { name: Some(name.clone()) })?;
        return Ok(());
    }
    answer(&format!("{}\n", Identity::here()?.name))
}

/// Takes each process in; one that fails does not keep the others.
///
/// # Errors
/// If any of them could not be taken.
pub fn attach(arguments: &UmAttach) -> Result<()> {
    if let [pid] = *arguments.pids {
        ask(&Request::Attach { pid })?;
        return Ok(());
    }
    let mut failed = 0_usize;
    for &pid in &arguments.pids {
        if let Err(refused) = ask(&Request::Attach { pid }) {
            failed = failed.saturating_add(1);
            say("um_attach", &refused.to_string());
        }
    }
    if failed > 0 {
        bail!("{failed} of {} not attached", arguments.pids.len());
    }
    Ok(())
}

/// Ends the view, the caller with it.
///
/// # Errors
/// Outside a view.
pub fn shutdown(arguments: &Umshutdown) -> Result<()> {
    ask(&Request::Shutdown { seconds: arguments.seconds, spares_caller: false })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Identity, prompt};

    #[test]
    fn a_prompt_has_the_short_host_and_the_name_or_the_number() {
        let view = |name: &str| Identity { name: name.into(), number: 2, server: 10585 };
        assert_eq!(prompt("host.example.org", Some(&view(""))), "host[10585:2]");
        assert_eq!(prompt("host", Some(&view("try"))), "host[10585:try]");
        assert_eq!(prompt("host.example.org", None), "host");
    }
}
