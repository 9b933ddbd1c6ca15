//! Start scripts: `umview -f FILE` and ~/.viewosrc.
//!
//! A script is read by the shell that then becomes the command, so that what it exports, and where it goes, is the
//! command's. bash tells which line fails; where there is no bash, /bin/sh reads the script and tells nothing.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A script that runs in the view before the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The file.
    pub file: PathBuf,
    /// A failing line keeps the command from running. Of the file that was asked for; a user whose ~/.viewosrc
    /// fails must still be able to log in.
    pub must_succeed: bool,
}

/// What bash runs: $0 is the script, $1 says whether it must succeed, the rest is the command.
const BASH: &str = r#"
umview_must=$1
shift
[ -r "$0" ] || { echo "umview: $0: the start script can't be read" >&2; exit 125; }
"$BASH" -n "$0" || { echo "umview: $0: the start script is no shell script" >&2; [ "$umview_must" = no ] || exit 125; }
umview_failed() {
    [ "$2" = "$0" ] || return 0
    echo "umview: $2: line $3: \`$4' ended with status $1" >&2
    [ "$umview_must" = no ] || exit 125
}
trap 'umview_failed "$?" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR
. "$0"
trap - ERR
unset umview_must
unset -f umview_failed
shopt -s execfail
exec "$@"
umview_status=$?
exit $umview_status
"#;

/// What any other shell runs.
const SH: &str = r#"shift; . "$0"; exec "$@""#;

/// The first folders that have bash, as login shells find it.
const BASHES: [&str; 3] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"];

impl Script {
    /// The user's own start script, if there is one.
    pub(crate) fn of_user() -> Option<Self> {
        let file = PathBuf::from(std::env::var_os("HOME")?).join(".viewosrc");
        file.is_file().then_some(Self { file, must_succeed: false })
    }

    /// The command behind this script.
    pub(crate) fn before(&self, command: &[OsString]) -> Vec<OsString> {
        let bash = BASHES.iter().find(|path| Path::new(path).exists());
        let (shell, text) = bash.map_or(("/bin/sh", SH), |bash| (*bash, BASH));
        // A file without a slash would be looked for in PATH.
        let file = if self.file.components().count() == 1 {
            Path::new(".").join(&self.file)
        } else {
            self.file.clone()
        };
        let must = if self.must_succeed { "yes" } else { "no" };
        let mut words: Vec<OsString> = vec![shell.into(), "-c".into(), text.into()];
        words.extend([file.into_os_string(), must.into()]);
        words.extend_from_slice(command);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::Script;
    use std::process::{Command, Output};

    fn run(text: &str, must_succeed: bool) -> (String, Output) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("start");
        std::fs::write(&file, text).unwrap();
        let name = file.to_string_lossy().into_owned();
        let script = Script { file, must_succeed };
        let words =
            script.before(&["/bin/sh".into(), "-c".into(), "echo \"$A $0\"".into(), "x y".into()]);
        let (program, rest) = words.split_first().unwrap();
        (name, Command::new(program).args(rest).output().unwrap())
    }

    fn stdout(output: &Output) -> String {
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn stderr(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn what_a_script_exports_is_the_commands() {
        let (_, output) = run("export A=1\nif false; then :; fi\nfalse || true\n", true);
        assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("1 x y\n", ""));
    }

    #[test]
    fn a_failing_line_of_the_file_asked_for_ends_it_with_its_number() {
        let (name, output) = run("export A=1\n\nfalse\necho on\n", true);
        assert_eq!(
            stderr(&output),
            format!("umview: {name}: line 3: `false' ended with status 1\n")
        );
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(125)));
    }

    #[test]
    fn a_failing_line_of_the_users_own_is_reported_and_no_more() {
        let (name, output) = run("export A=1\n(exit 7)\n", false);
        assert_eq!(
            stderr(&output),
            format!("umview: {name}: line 2: `( exit 7 )' ended with status 7\n")
        );
        assert_eq!(stdout(&output), "1 x y\n");
    }

    #[test]
    fn a_file_that_is_no_script_is_refused_with_the_line() {
        let (name, output) = run("export A=1\nif\n", true);
        assert!(stderr(&output).contains(&format!("{name}: line ")), "{}", stderr(&output));
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(125)));
    }
}
