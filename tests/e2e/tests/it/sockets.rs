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

/// Sends with sendmmsg(2) to two names and to none, and prints what recvmmsg(2) says of senders and lengths.
const MANY: &str = r#"
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
folder = sys.argv[1] + "/"
os.chdir(folder)
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
class Header(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("pieces", ctypes.c_void_p),
                ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_size_t), ("length", ctypes.c_uint)]
assert ctypes.sizeof(Header) == 64
def message(address, capacity, text, keep):
    name = ctypes.create_string_buffer(b"\1\0" + address, capacity) if capacity else None
    data = ctypes.create_string_buffer(text)
    piece = Piece(ctypes.addressof(data), len(text))
    keep += [name, data, piece]
    return Header(ctypes.addressof(name) if name else None, 2 + len(address) + 1 if address else capacity,
                  ctypes.addressof(piece), 1, None, 0, 0, 77)
def send(sender, what):
    keep = []
    many = (Header * len(what))(*(message(a, 110, t, keep) if a else message(a, 0, t, keep) for a, t in what))
    sent = libc.sendmmsg(sender.fileno(), many, len(what), 0)
    error = os.strerror(ctypes.get_errno()) if sent < 0 else "-"
    print("sent", sent, [m.length for m in many], error, flush=True)
def receive(receiver, capacities):
    keep = []
    many = (Header * len(capacities))(*(message(b"", c, b"." * 9, keep) for c in capacities))
    got = libc.recvmmsg(receiver.fileno(), many, len(many), socket.MSG_DONTWAIT, None)
    print("got", got, flush=True)
    for at in range(got):
        name, data, _ = keep[3 * at:3 * at + 3]
        is_whole = many[at].name_length <= capacities[at]
        seen = bytes(name)[2:many[at].name_length - 1].decode().replace(folder, "./") if name and is_whole else "-"
        print(seen, data.raw[:many[at].length].decode(), is_whole)
a, b, c = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in "abc")
a.bind(folder + "a")
b.bind("b")
c.bind(folder + "c")
send(a, [(b"b", b"one"), ((folder + "c").encode(), b"three"), (b"./b", b"to b")])
receive(b, [110, 110, 110])
receive(c, [4])
send(b, [(b"a", b"x"), (b"none", b"y"), (b"a", b"z")])
send(b, [(b"none", b"y")])
receive(a, [0, 110])
c.connect("a")
send(c, [(b"", b"to the peer"), ((folder + "b").encode(), b"there")])
receive(a, [110])
receive(b, [110])
"#;

const SEEN_OF_MANY: &str = "sent 3 [3, 5, 4] -\ngot 2\n./a one True\n./a to b True\ngot 1\n- three False\n\
                            sent 1 [1, 77, 77] -\nsent -1 [77] No such file or directory\ngot 1\n- x True\n\
                            sent 2 [11, 5] -\ngot 1\n./c to the pe True\ngot 1\n./c there True\n";

#[test]
fn names_beside_many_messages_are_the_views() {
    need("python3", "python3");
    for combination in combinations() {
        for (prefix, mount) in [("", ""), ("/unreal", ""), ("", "viewfs"), ("", "umfusemem")] {
            let work = Work::new(combination.1);
            let script = work.write("script.py", MANY);
            let (folder, store) = (work.folder("t"), work.folder("store"));
            let view = View::of(combination).preload("unreal");
            let view = match mount {
                "viewfs" => view.option(&format!("--mount=viewfs:{store}:/:cow")),
                "umfusemem" => view.option(&format!("--mount=umfusemem:none:{folder}")),
                _ => view,
            };
            let folder = format!("{prefix}{folder}");
            let output = view.command(&["/usr/bin/python3", &script, &folder]);
            assert_eq!(
                output.success(),
                SEEN_OF_MANY,
                "{combination:?} {prefix} {mount}: {output:#?}"
            );
        }
    }
}
