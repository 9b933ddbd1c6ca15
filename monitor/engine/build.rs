//! Builds the agent, a program of its own that is no part of the monitor's code but data of it, and says where the
//! labels in it are.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The labels that the engine has to know, and the names of their constants.
const LABELS: [(&str, &str); 5] = [
    ("agent_entry", "ENTRY"),
    ("agent_text_at", "TEXT_AT"),
    ("agent_text_bad", "TEXT_BAD"),
    ("agent_bytes_at", "BYTES_AT"),
    ("agent_bytes_bad", "BYTES_BAD"),
];

/// A small program that is linked for address 0, in one segment, without a library.
const LINK: &str = "-nostdlib -nostartfiles -static-pie -Wl,-N -Wl,--build-id=none -Wl,-z,norelro \
                    -Wl,-e,agent_entry";

const PT_LOAD: u64 = 1;
const SHT_SYMTAB: u64 = 2;
const SHT_RELA: u64 = 4;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=agent");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let elf = out.join("agent.elf");
    let rustc = std::env::var("RUSTC")?;
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "agent", "--crate-type", "bin"])
        .args(["--target", &std::env::var("TARGET")?])
        .args(["-O", "-C", "panic=abort", "-C", "relocation-model=pic", "-C", "linker=cc"])
        .args(["-C", "strip=none", "-A", "dead_code", "-C", &format!("link-args={LINK}")])
        .arg("-o")
        .args([&elf, Path::new("agent/program.rs")])
        .status()?;
    if !status.success() {
        return Err("the agent does not compile".into());
    }
    let image = Image { bytes: std::fs::read(&elf)? };
    std::fs::write(out.join("agent.bin"), image.flat()?)?;
    let mut labels = String::new();
    for (label, constant) in LABELS {
        let at = image.label(label)?;
        writeln!(labels, "const {constant}: u64 = {at:#x};")?;
    }
    std::fs::write(out.join("agent_labels.rs"), labels)?;
    Ok(())
}

/// An ELF file of 64 bits, as elf(5) describes it.
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn number(&self, at: u64, bytes: usize) -> Result<u64> {
        let at = usize::try_from(at)?;
        let field = self.bytes.get(at..at + bytes).ok_or("the agent's file ends early")?;
        Ok(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// What lies in memory, from address 0. Anything that would have to be relocated is refused: all processes
    /// map the same bytes, each elsewhere.
    fn flat(&self) -> Result<Vec<u8>> {
        let (headers, count) = (self.number(32, 8)?, self.number(56, 2)?);
        let mut flat = Vec::new();
        for header in (0..count).map(|i| headers + i * 56) {
            if self.number(header, 4)? != PT_LOAD {
                continue;
            }
            let from = usize::try_from(self.number(header + 8, 8)?)?;
            let to = usize::try_from(self.number(header + 16, 8)?)?;
            let in_file = usize::try_from(self.number(header + 32, 8)?)?;
            if self.number(header + 40, 8)? != in_file as u64 {
                return Err("the agent has writable data".into());
            }
            flat.resize(flat.len().max(to + in_file), 0);
            flat[to..to + in_file].copy_from_slice(&self.bytes[from..from + in_file]);
        }
        for section in self.sections()? {
            if self.number(section + 4, 4)? == SHT_RELA && self.number(section + 32, 8)? != 0 {
                return Err("the agent has relocations".into());
            }
        }
        Ok(flat)
    }

    fn sections(&self) -> Result<impl Iterator<Item = u64>> {
        let (first, count) = (self.number(40, 8)?, self.number(60, 2)?);
        Ok((0..count).map(move |i| first + i * 64))
    }

    fn label(&self, wanted: &str) -> Result<u64> {
        for section in self.sections()? {
            if self.number(section + 4, 4)? != SHT_SYMTAB {
                continue;
            }
            let (first, bytes) = (self.number(section + 24, 8)?, self.number(section + 32, 8)?);
            let strings = self.number(40, 8)? + self.number(section + 40, 4)? * 64;
            let strings = self.number(strings + 24, 8)?;
            for symbol in (0..bytes / 24).map(|i| first + i * 24) {
                let name = usize::try_from(strings + self.number(symbol, 4)?)?;
                let text = self.bytes.get(name..).unwrap_or_default();
                if text.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
                {
                    return self.number(symbol + 8, 8);
                }
            }
        }
        Err(format!("the agent has no label {wanted}").into())
    }
}
