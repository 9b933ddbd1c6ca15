//! `man DIR`: writes `DIR/man/*.1` and `DIR/completions/` from the command lines, for `cargo xtask man`.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap_complete::{Shell, generate_to};
use std::fs;
use std::path::Path;

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: man DIR")?;
    let (pages, completions) =
        (Path::new(&folder).join("man"), Path::new(&folder).join("completions"));
    for made in [&pages, &completions] {
        fs::create_dir_all(made).with_context(|| format!("make {}", made.display()))?;
    }
    for mut command in commands::cli::all() {
        let name = command.get_name().to_owned();
        for shell in SHELLS {
            generate_to(shell, &mut command, &name, &completions)
                .with_context(|| format!("the completions of {name} for {shell}"))?;
        }
    }
    for command in commands::cli::pages() {
        let name = command.get_name().to_owned();
        let page = pages.join(format!("{name}.1"));
        let text = manual(command).with_context(|| format!("the manual page of {name}"))?;
        fs::write(&page, text).with_context(|| format!("write {}", page.display()))?;
    }
    Ok(())
}

/// The page of a command. What follows the options in its help has sections of its own here.
fn manual(command: clap::Command) -> Result<Vec<u8>> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = clap_mangen::Man::new(command.after_help("")).section("1");
    let mut bytes = Vec::new();
    page.render_title(&mut bytes)?;
    page.render_name_section(&mut bytes)?;
    page.render_synopsis_section(&mut bytes)?;
    page.render_description_section(&mut bytes)?;
    page.render_options_section(&mut bytes)?;
    bytes.extend_from_slice(notes_section(&notes).as_bytes());
    page.render_version_section(&mut bytes)?;
    Ok(bytes)
}

/// Indented lines stand as they are, in roff(7); others are paragraphs.
fn notes_section(notes: &str) -> String {
    let mut out = String::new();
    let mut is_literal = false;
    let (before, examples) = notes.split_once("Examples:\n").unwrap_or(("", notes));
    for (title, lines) in [("NOTES", before), ("EXAMPLES", examples)] {
        if lines.trim().is_empty() {
            continue;
        }
        out.push_str(&format!(".SH {title}\n"));
        for line in lines.lines() {
            let literal = line.starts_with("  ");
            if literal != is_literal {
                out.push_str(if literal { ".nf\n" } else { ".fi\n" });
                is_literal = literal;
            }
            out.push_str(if line.is_empty() { ".PP" } else { "\\&" });
            out.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
            out.push('\n');
        }
        out.push_str(".fi\n");
        is_literal = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::manual;

    #[test]
    fn every_page_has_its_sections() {
        for command in commands::cli::pages() {
            let name = command.get_name().to_owned();
            let page = String::from_utf8(manual(command).expect("a page")).expect("ASCII");
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "VERSION"] {
                assert!(page.contains(&format!(".SH {section}\n")), "{name}: {section}");
            }
        }
    }
}
