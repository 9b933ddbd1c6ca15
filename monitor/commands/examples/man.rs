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
        let page = pages.join(format!("{name}.1"));
        let mut bytes = Vec::new();
        clap_mangen::Man::new(command).section("1").render(&mut bytes)?;
        fs::write(&page, bytes).with_context(|| format!("write {}", page.display()))?;
    }
    Ok(())
}
