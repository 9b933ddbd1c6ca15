//! Runs a command with every call intercepted and none changed: the bare cost of a back end.
//!
//! `native notify|trace base|names COMMAND...`

use engine::{Answer, BackEnd, Call, Dispatcher, TaskStart, Tid, Tracee, launch};
use std::ffi::CString;
use std::sync::Arc;
use syscalls::GroupSet;

struct Nothing;

impl Dispatcher for Nothing {
    fn task_start(&self, _: TaskStart) {}
    fn task_exec(&self, _: i32, _: Tid) {}
    fn task_exit(&self, _: Tid) {}
    fn call(&self, tracee: &dyn Tracee, call: Call) -> Answer {
        if let Some(path) = syscalls::row(call.number).and_then(|r| r.paths.first()) {
            let _ = tracee.read_path(call.args[usize::from(path.path)]);
        }
        Answer::Native
    }
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let back_end =
        if args.next().as_deref() == Some("trace") { BackEnd::Trace } else { BackEnd::Notify };
    let groups = if args.next().as_deref() == Some("names") {
        GroupSet::BASE | GroupSet::NAMES
    } else {
        GroupSet::BASE
    };
    let command = args.map(|a| CString::new(a).expect("no NUL in an argument")).collect();
    let mut handle = None;
    launch::run(
        &launch::Launch { back_end, command, may_have_agent: true, groups },
        |engine| {
            handle = Some(Arc::clone(engine));
            Arc::new(Nothing)
        },
        Box::new(|status| {
            if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) != 0 {
                std::process::exit(libc::WEXITSTATUS(status));
            }
        }),
    )?;
    let (stops, notifications) = handle.map_or((0, 0), |e| e.counts());
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("stops {stops}, notifications {notifications}\n"),
    )
}
