//! `um_add_service`, `um_ls_service`, `um_del_service`, `um_fsalias`.

use crate::ask;
use crate::cli::{UmAddService, UmDelService, UmFsalias, UmLsService};
use crate::finish::{answer, say};
use anyhow::{Result, bail};
use monitor::control::Request;
use serde_json::Value;

/// Loads each module; one that fails does not keep the others.
///
/// # Errors
/// If any of them could not be loaded.
pub fn add_services(arguments: &UmAddService) -> Result<()> {
    each("um_add_service", &arguments.names, |name| Request::AddService {
        name: name.to_owned(),
        permanent: arguments.permanent,
    })
}

/// Unloads each module; one that fails does not keep the others.
///
/// # Errors
/// If any of them could not be unloaded.
pub fn delete_services(arguments: &UmDelService) -> Result<()> {
    each("um_del_service", &arguments.names, |name| Request::DelService { name: name.to_owned() })
}

/// One request a name. A single name's refusal is the command's own error, without a sum behind it.
fn each(command: &str, names: &[String], request: impl Fn(&str) -> Request) -> Result<()> {
    if let [name] = names {
        ask(&request(name))?;
        return Ok(());
    }
    let mut failed = 0_usize;
    for name in names {
        if let Err(refused) = ask(&request(name)) {
            failed = failed.saturating_add(1);
            say(command, &refused.to_string());
        }
    }
    if failed > 0 {
        bail!("{failed} of {} refused", names.len());
    }
    Ok(())
}

/// Lists the modules.
///
/// # Errors
/// Outside a view.
pub fn list_services(arguments: &UmLsService) -> Result<()> {
    let reply = ask(&Request::LsService)?;
    let list = reply.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_loaded = |service: &Value| service.get("loaded").and_then(Value::as_bool) == Some(true);
    let shown: Vec<Value> =
        list.into_iter().filter(|service| arguments.all || is_loaded(service)).collect();
    if arguments.json {
        return answer(&format!("{:#}\n", Value::Array(shown)));
    }
    let mut text = String::new();
    for service in &shown {
        let field = |key: &str| service.get(key).and_then(Value::as_str).unwrap_or_default();
        let mark = match (arguments.all, is_loaded(service)) {
            (true, true) => "+ ",
            (true, false) => "  ",
            (false, _) => "",
        };
        text.push_str(&format!("{mark}{}: {}\n", field("name"), field("description")));
    }
    answer(&text)
}

/// Sets, forgets or lists aliases.
///
/// # Errors
/// Outside a view.
pub fn alias(arguments: &UmFsalias) -> Result<()> {
    if let Some(alias) = &arguments.alias {
        ask(&Request::Alias { alias: alias.clone(), fs_type: arguments.fs_type.clone() })?;
        return Ok(());
    }
    let reply = ask(&Request::LsService)?;
    let list = reply.get("aliases").and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |pair: &Value, at: usize| pair.get(at).and_then(Value::as_str).map(str::to_owned);
    let lines =
        list.iter().filter_map(|pair| Some(format!("{} {}\n", word(pair, 0)?, word(pair, 1)?)));
    answer(&lines.collect::<String>())
}
