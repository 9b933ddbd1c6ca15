//! Job control at a terminal.

use e2e::{combinations, native, need, programs};

#[test]
fn jobs_are_stopped_continued_and_interrupted_from_the_terminal() {
    need("script", "bsdutils");
    need("bash", "bash");
    for (engine, user) in combinations() {
        for modules in ["", "-p unreal"] {
            let umview = programs().join("umview");
            let engine = format!("{engine:?}").to_lowercase();
            let line = format!(
                "script -qec '{} -q --engine {engine} {modules} bash --norc -i' /dev/null",
                umview.display()
            );
            let mut shell = native(user).start(&["sh", "-c", &line]);
            // What is typed comes back, so that each answer differs from what was typed.
            for (typed, answer) in [
                ("echo rea''dy; cat\n", "ready"),
                ("one\n", "one\r\none"),
                ("\x1a", "Stopped"),
                ("", "bash-"),
                ("jobs; echo bet''ween\n", "between"),
                ("fg\n", "cat\r\n"),
                ("two\n", "two\r\ntwo"),
                ("\x03", "\nbash-"),
                ("echo sta''tus=$?\n", "status=130"),
                ("sleep 1000 &\n", "[1] "),
                ("kill -STOP %1; wait %1 2>/dev/null; jobs\n", "Stopped"),
                ("kill %1; kill -CONT %1 2>&1; wait %1; echo sta''tus=$?\n", "status=143"),
                ("exit 5\n", "exit"),
            ] {
                shell.write(typed);
                let _ = shell.read_until(answer);
            }
            let output = shell.finish();
            assert_eq!(output.code, Some(5), "{engine} {user:?} {modules}: {output:?}");
        }
    }
}
