//! From the text of an example to a shell script that types it.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// A prompt and what is typed behind it, perhaps over several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Typed {
    prompt: String,
    command: String,
}

/// An example.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) title: String,
    pub(crate) needs: Option<String>,
    pub(crate) host: Vec<String>,
    pub(crate) has_other: bool,
    typed: Vec<Typed>,
}

/// The shell outside the view.
const OTHER: &str = "other $";

impl Example {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let title = lines.next().context("an example has a title")?.to_owned();
        let mut example =
            Self { title, needs: None, host: Vec::new(), has_other: false, typed: Vec::new() };
        for line in lines {
            if let Some(needs) = line.strip_prefix("needs: ") {
                example.needs = Some(needs.to_owned());
            } else if let Some(host) = line.strip_prefix("host: ") {
                example.host.push(host.to_owned());
            } else if let Some(more) = line.strip_prefix('>') {
                let last = example.typed.last_mut().context("nothing to continue")?;
                last.command.push('\n');
                last.command.push_str(more.strip_prefix(' ').unwrap_or(more));
            } else {
                example.typed.push(typed(line)?);
            }
        }
        example.has_other = example.typed.iter().any(|typed| typed.prompt == OTHER);
        Ok(example)
    }

    /// The script that the shell in the view runs.
    pub(crate) fn play(&self) -> String {
        let mut rest = self.typed.as_slice();
        let first = self.typed.iter().map(|typed| typed.prompt.as_str()).find(|p| *p != OTHER);
        level(&mut rest, &[first.unwrap_or_default()])
    }
}

fn typed(line: &str) -> Result<Typed> {
    let at = line.find(['$', '#']).filter(|at| line[*at..].len() > 1);
    let Some(at) = at else { bail!("no prompt: {line}") };
    let (prompt, command) = line.split_at(at + 1);
    Ok(Typed { prompt: prompt.to_owned(), command: command.trim_start().to_owned() })
}

/// The lines of the innermost of the shells whose prompts are given, and of those that they start.
fn level(rest: &mut &[Typed], prompts: &[&str]) -> String {
    let mut out = String::from(FUNCTIONS);
    while let Some((line, after)) = rest.split_first() {
        let here = prompts.last().copied().unwrap_or_default();
        if line.prompt != here && line.prompt != OTHER {
            // Back to a shell further out.
            break;
        }
        *rest = after;
        out.push_str(&show(line));
        if line.prompt == OTHER {
            out.push_str(&format!("in_other {}\n", quoted(&line.command)));
            continue;
        }
        let inner = after.first().map(|next| next.prompt.as_str());
        match inner.filter(|prompt| *prompt != OTHER && !prompts.contains(prompt)) {
            Some(prompt) => {
                let inner = level(rest, &[prompts, &[prompt]].concat());
                out.push_str(&format!("{} << 'END OF SHELL'\n{inner}END OF SHELL\n", line.command));
                out.push_str("check $?\n");
            }
            None => out.push_str(&format!("{}\ncheck $?\n", line.command)),
        }
    }
    out
}

/// A failure ends every shell. An answer is read to its end: the next one must not begin before this one is closed.
const FUNCTIONS: &str = "\
check() { [ \"$1\" = 0 ] || { echo \"(status $1)\"; exit 1; }; }
in_other() { printf '%s\\n' \"$1; echo \\$? > .ack\" > .ask; status=$(cat .ack); check \"$status\"; }
";

/// What a person sees of a line that is typed.
fn show(line: &Typed) -> String {
    let text = format!("{} {}", line.prompt, line.command);
    let text = text.replace('\n', "\n> ");
    // The one variable that a person types as what it is.
    let shown = quoted(&text).replace("$OTHER", "'\"$OTHER\"'");
    format!("printf '%s\\n' {shown}\n")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What starts the view, and before it the shell outside, which takes lines from a pipe.
pub(crate) fn driver(has_other: bool, play: &Path) -> String {
    let play = quoted(&play.to_string_lossy());
    let start = format!("umview -q sh {play} 2>&1\n");
    if !has_other {
        return start;
    }
    format!(
        "mkfifo .ask .ack\n\
         sh <> .ask 2>&1 & export OTHER=$!\n\
         trap 'kill $OTHER; rm -f .ask .ack' EXIT\n\
         {start}"
    )
}

#[cfg(test)]
mod tests {
    use super::{Example, Typed, typed};

    #[test]
    fn a_prompt_ends_with_dollar_or_hash() {
        let line = typed("/ $ echo '# no prompt'").expect("it has a prompt");
        let expected = Typed { prompt: "/ $".into(), command: "echo '# no prompt'".into() };
        assert_eq!(line, expected);
        assert!(typed("no prompt at all").is_err());
    }

    #[test]
    fn a_new_prompt_is_input_of_the_shell_above() {
        let example = Example::parse("T\n$ viewsu\n# id\n$ ls").expect("it is an example");
        let play = example.play();
        let (viewsu, id) = (play.find("\nviewsu << "), play.find("\nid\n"));
        let (end, ls) = (play.find("\nEND OF SHELL\n"), play.find("\nls\n"));
        assert!(viewsu < id && id < end && end < ls && viewsu.is_some(), "{play}");
    }

    #[test]
    fn every_example_is_understood() {
        for text in crate::tour::EXAMPLES {
            let example = Example::parse(text).expect("it is an example");
            assert!(example.title.starts_with("Example "), "{}", example.title);
        }
    }
}
