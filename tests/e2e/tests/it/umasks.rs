//! The umask, which the monitor remembers: what is made has the mode that the kernel would have given it.

use e2e::{User, View, Work, combinations, native, need};

/// A child that changes its own, threads that change their common one, and a process that shares its umask
/// with its parent and nothing else.
const PROGRAM: &str = r#"
import ctypes, os, threading
def made(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o777))
    print(oct(os.stat(name).st_mode & 0o777), flush=True)
os.umask(0o22)
made("first")
os.umask(0o77)
made("second")
child = os.fork()
if child == 0:
    os.umask(0)
    made("of a child")
    os._exit(0)
os.waitpid(child, 0)
made("of its parent")
def change():
    os.umask(0o27)
    made("of a thread")
thread = threading.Thread(target=change)
thread.start()
thread.join()
made("beside a thread")
os.umask(0o7)
made("alone again")
CLONE_FS, SIGCHLD, CLONE = 0x200, 17, 56
child = ctypes.CDLL(None).syscall(CLONE, CLONE_FS | SIGCHLD, 0, 0, 0, 0)
if child == 0:
    os.umask(0o177)
    made("of who shares it")
    os._exit(0)
os.waitpid(child, 0)
made("with whom it is shared")
os.mkdir("folder")
print(oct(os.stat("folder").st_mode & 0o777))
"#;

const MODES: &str = "0o755\n0o700\n0o777\n0o700\n0o750\n0o750\n0o770\n0o600\n0o600\n0o600\n";

fn work(user: User) -> Work {
    need("python3", "python3");
    let work = Work::new(user);
    for name in ["store", "tree"] {
        work.folder(name);
    }
    work.write("program", PROGRAM);
    work
}

#[test]
fn new_files_have_the_mode_that_the_umask_leaves_at_that_moment() {
    let line = "cd tree && python3 ../program";
    for combination in combinations() {
        let work = work(combination.1);
        let host = native(combination.1).folder(work.path());
        let run = format!("{line}; cd ..; rm -rf tree; mkdir tree");
        assert_eq!(host.run(&run).success(), MODES);
        for mode in ["cow", "cow,vstat", "mincow"] {
            let view = View::of(combination).folder(work.path()).preload("viewfs");
            let run = format!("mount -t viewfs -o {mode} store tree && {line}; rm -rf *");
            assert_eq!(view.run(&run).success(), MODES, "{combination:?} {mode}");
        }
    }
}
