//! From the text of a file to a profile: what is wrong is said with line and column.

use super::nearest::nearest;
use super::{Parameter, Profile};
use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The longest profile in bytes: what is longer is no profile.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

/// Reads a profile; `shown` is the name of its file. Of the strings outside `[parameters]`, `${NAME}` becomes the
/// value that `set` or else the parameter's default has, and `$$` a dollar sign.
///
/// # Errors
/// In check order, each with line and column where there is one:
/// - the text is no TOML, a key is unknown, a value has the wrong type.
/// - `set` names a parameter that there is not, or one without default is not set.
/// - a string names a parameter that there is not.
pub(crate) fn read(shown: &str, text: &str, set: &[(String, String)]) -> Result<Profile> {
    let at = |span: Option<Range<usize>>, what: &str| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        anyhow!("{shown}:{line}:{column}: {what}")
    };
    let wrong = |error: toml::de::Error| at(error.span(), &sentence(error.message()));
    let profile: Profile = toml::from_str(text).map_err(wrong)?;
    let values = values(&profile.parameters, set).map_err(|error| anyhow!("{shown}: {error}"))?;
    let mut table = DeTable::parse(text).map_err(wrong)?;
    for (key, value) in table.get_mut().iter_mut() {
        if key.get_ref() != "parameters" {
            fill(value, &values).map_err(|(span, what)| at(Some(span), &what))?;
        }
    }
    Profile::deserialize(toml::Deserializer::from(table)).map_err(wrong)
}

/// Line and column, from 1, of a byte.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// What serde says, and of an unknown key the one that may be meant: its message lists all between backticks.
fn sentence(message: &str) -> String {
    let message = message.trim_end();
    let Some(rest) = message.strip_prefix("unknown field `") else { return message.to_owned() };
    let mut words = rest.split('`').step_by(2);
    let key = words.next().unwrap_or_default();
    let known: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; there are: {}", known.join(", ")),
    }
}

/// The value of each parameter.
fn values<'a>(
    parameters: &'a BTreeMap<String, Parameter>,
    set: &'a [(String, String)],
) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in set {
        if !parameters.contains_key(name) {
            let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
            match nearest(name, known.iter().copied()) {
                Some(near) => bail!("--set {name}: no such parameter; did you mean {near}?"),
                None if known.is_empty() => bail!("--set {name}: this profile has no parameters"),
                None => bail!("--set {name}: no such parameter; there are: {}", known.join(", ")),
            }
        }
        values.insert(name, value);
    }
    for (name, parameter) in parameters {
        if values.contains_key(name.as_str()) {
            continue;
        }
        match &parameter.default {
            Some(default) => drop(values.insert(name, default)),
            None => {
                let help = if parameter.help.is_empty() { "VALUE" } else { &parameter.help };
                bail!("parameter {name} is not set: --set {name}={help:?}");
            }
        }
    }
    Ok(values)
}

/// Fills every string of a value.
fn fill(
    value: &mut toml::Spanned<DeValue<'_>>,
    values: &BTreeMap<&str, &str>,
) -> Result<(), (Range<usize>, String)> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => {
            *text = filled(text, values).map_err(|what| (span, what))?.into();
            Ok(())
        }
        DeValue::Array(items) => items.iter_mut().try_for_each(|item| fill(item, values)),
        DeValue::Table(table) => table.iter_mut().try_for_each(|(_, value)| fill(value, values)),
        _ => Ok(()),
    }
}

fn filled(text: &str, values: &BTreeMap<&str, &str>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('{').and_then(|a| a.split_once('}'))
        {
            let value =
                values.get(name).ok_or_else(|| match nearest(name, values.keys().copied()) {
                    Some(near) => format!("no parameter {name}; did you mean {near}?"),
                    None => format!("no parameter {name}: it needs a [parameters.{name}]"),
                })?;
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}
