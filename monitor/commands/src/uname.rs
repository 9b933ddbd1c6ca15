//! `vuname`: uname(1) with the view's fields.

use crate::cli::Vuname;
use crate::finish::answer;
use crate::view::Identity;
use anyhow::{Context, Result, anyhow};
use std::ffi::OsStr;

/// What uname(1) says of processor and platform where nothing is known.
const UNKNOWN: &str = "unknown";

/// The fields in the order in which they are printed.
#[derive(Debug, Default)]
struct Fields {
    kernel_name: String,
    nodename: String,
    kernel_release: String,
    kernel_version: String,
    machine: String,
    domainname: String,
    view: Option<Identity>,
}

/// Prints what was asked for, on one line.
///
/// # Errors
/// Outside a view, if a field of the view was asked for by itself.
pub fn uname(arguments: &Vuname) -> Result<()> {
    let system = nix::sys::utsname::uname().context("uname")?;
    let text = |field: &OsStr| field.to_string_lossy().into_owned();
    let fields = Fields {
        kernel_name: text(system.sysname()),
        nodename: text(system.nodename()),
        kernel_release: text(system.release()),
        kernel_version: text(system.version()),
        machine: text(system.machine()),
        domainname: text(system.domainname()),
        view: Identity::here().ok(),
    };
    answer(&format!("{}\n", line(arguments, &fields)?))
}

fn line(wanted: &Vuname, fields: &Fields) -> Result<String> {
    let mut words: Vec<String> = Vec::new();
    let mut put = |is_wanted: bool, word: &str| {
        if is_wanted {
            words.push(word.to_owned());
        }
    };
    let all = wanted.all;
    let is_default = !(all
        || wanted.nodename
        || wanted.kernel_release
        || wanted.kernel_version
        || wanted.machine
        || wanted.domainname
        || wanted.processor
        || wanted.hardware_platform
        || wanted.operating_system
        || wanted.server
        || wanted.view
        || wanted.viewname);
    put(is_default || all || wanted.kernel_name, &fields.kernel_name);
    put(all || wanted.nodename, &fields.nodename);
    put(all || wanted.kernel_release, &fields.kernel_release);
    put(all || wanted.kernel_version, &fields.kernel_version);
    put(all || wanted.machine, &fields.machine);
    put(wanted.domainname, &fields.domainname);
    put(wanted.processor, UNKNOWN);
    put(wanted.hardware_platform, UNKNOWN);
    let system = if fields.view.is_some() { "GNU/Linux/View-OS" } else { "GNU/Linux" };
    put(all || wanted.operating_system, system);
    match &fields.view {
        Some(view) => {
            put(all || wanted.server, &view.server.to_string());
            put(all || wanted.view, &view.number.to_string());
            put(wanted.viewname || all && !view.name.is_empty(), &view.name);
        }
        None if wanted.server || wanted.view || wanted.viewname => {
            return Err(anyhow!("not in a view: start one with `umview`"));
        }
        None => {}
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Fields, line};
    use crate::cli::Vuname;
    use crate::view::Identity;
    use clap::Parser;

    fn fields(view: Option<Identity>) -> Fields {
        Fields {
            kernel_name: "Linux".into(),
            nodename: "rd235".into(),
            kernel_release: "2.6.29".into(),
            kernel_version: "#1".into(),
            machine: "x86_64".into(),
            domainname: "(none)".into(),
            view,
        }
    }

    fn says(letters: &str, view: Option<Identity>) -> Option<String> {
        let arguments =
            Vuname::try_parse_from(["vuname"].into_iter().chain(letters.split_whitespace()));
        line(&arguments.unwrap(), &fields(view)).ok()
    }

    #[test]
    fn fields_come_in_one_order_whatever_the_letters_order() {
        let view = || Some(Identity { name: "try".into(), number: 0, server: 10585 });
        let table = [
            ("", view(), Some("Linux")),
            ("-nr", view(), Some("rd235 2.6.29")),
            ("-rn", view(), Some("rd235 2.6.29")),
            ("-nroUV", view(), Some("rd235 2.6.29 GNU/Linux/View-OS 10585 0")),
            ("-a", None, Some("Linux rd235 2.6.29 #1 x86_64 GNU/Linux")),
            ("-a", view(), Some("Linux rd235 2.6.29 #1 x86_64 GNU/Linux/View-OS 10585 0 try")),
            ("-pi", None, Some("unknown unknown")),
            // Error: a field of the view outside a view.
            ("-sU", None, None),
        ];
        for (letters, view, expect) in table {
            assert_eq!(says(letters, view).as_deref(), expect, "{letters}");
        }
    }
}
