//! Addresses of AF_UNIX sockets are the view's paths.

use e2e::{View, Work, combinations, need};

/// Prints every address that a socket can be asked for, without the folder; then the same by a child.
const SCRIPT: &str = r#"
import os, socket, sys
folder = sys.argv[1] + "/"
os.chdir(folder)
def show(what, address):
    address = address or "-"
    print(what, address.replace(folder, "./"), flush=True)
server = socket.socket(socket.AF_UNIX)
server.bind(folder + "server")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.bind("client")
client.connect(folder + "server")
show("client", client.getsockname())
show("peer", client.getpeername())
served, address = server.accept()
show("accepted", address)
show("served", served.getsockname())
unnamed = socket.socket(socket.AF_UNIX)
unnamed.connect("server")
show("unnamed", unnamed.getsockname())
show("nobody", server.accept()[1])
if os.fork() == 0:
    show("child", served.getpeername())
    os._exit(0)
os.wait()
a, b = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in "ab")
a.bind(folder + "a")
b.bind(folder + "b")
a.connect("b")
a.send(b"1")
a.send(b"2")
show("from", b.recvfrom(9)[1])
show("message", b.recvmsg(9)[3])
try:
    b.bind("other")
except OSError as error:
    show("again", error.strerror)
show("same", b.getsockname())
"#;

const SEEN: &str = "client client\npeer ./server\naccepted client\nserved ./server\nunnamed -\nnobody -\n\
                    child client\nfrom ./a\nmessage ./a\nagain Invalid argument\nsame ./b\n";

#[test]
fn names_of_sockets_are_those_that_they_were_bound_to() {
    need("python3", "python3");
    for combination in combinations() {
        for prefix in ["", "/unreal"] {
            let work = Work::new(combination.1);
            let script = work.write("script.py", SCRIPT);
            let folder = format!("{prefix}{}", work.folder("t"));
            let view = View::of(combination).preload("unreal");
            let output = view.command(&["/usr/bin/python3", &script, &folder]);
            assert_eq!(output.success(), SEEN, "{combination:?} {prefix}: {output:#?}");
        }
    }
}

#[test]
fn a_name_that_the_kernel_is_told_later_is_its_own() {
    let script = "import os, socket, sys\n\
                  for path in sys.argv[1:]:\n \
                  s = socket.socket(socket.AF_UNIX); s.bind(path); print(s.getsockname() == path); os.unlink(path)";
    for combination in combinations() {
        let work = Work::new(combination.1);
        let path = work.name("socket");
        let view = View::of(combination).preload("unreal");
        let seen = format!("/unreal{path}");
        let output = view.command(&["/usr/bin/python3", "-c", script, &seen, &path, &seen]);
        assert_eq!(output.success(), "True\nTrue\nTrue\n", "{combination:?}: {output:#?}");
    }
}
