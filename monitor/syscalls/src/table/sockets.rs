//! Sockets. A filter cannot see the family of an address, which is in memory.

use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::Row;

const NET: &[Trap] = &[Trap::always(Group::Net)];
const SOCKET: &[Trap] = &[Trap::always(Group::Socket)];
const NAMED: &[Trap] = &[Trap::always(Group::Names), Trap::always(Group::Socket)];
const SEND: &[Trap] = &[Trap::always(Group::Send), Trap::always(Group::Socket)];
const RECV: &[Trap] = &[Trap::always(Group::Recv), Trap::always(Group::Socket)];

const STACKS: &str = "the kernel's until network stacks can be mounted";
const TO: &str = "an AF_UNIX address is the view's path, once a datagram socket of the view has a name that the kernel knows by another";
const NAME: &str = "an AF_UNIX address is the view's path in processes that bound one which the kernel knows by another";

/// All calls on sockets; `AF_UNIX` addresses are paths inside a `struct sockaddr_un`.
pub(super) const SOCKETS: &[Row] = &[
    Row::new("socket", 41, Handler::Socket, NET).planned(STACKS),
    Row::new("socketpair", 53, Handler::Socket, NET).planned(STACKS),
    Row::new("bind", 49, Handler::Bind, NAMED)
        .fds(&[0])
        .note("an AF_UNIX address is a path; other families are the kernel's"),
    Row::new("connect", 42, Handler::Connect, NAMED)
        .fds(&[0])
        .note("an AF_UNIX address is a path; other families are the kernel's"),
    Row::new("listen", 50, Handler::SocketState, SOCKET).fds(&[0]).planned(STACKS),
    Row::new("shutdown", 48, Handler::SocketState, SOCKET).fds(&[0]).planned(STACKS),
    Row::new("accept", 43, Handler::Accept, SOCKET).fds(&[0]).note(NAME),
    Row::new("accept4", 288, Handler::Accept, SOCKET).fds(&[0]).note(NAME),
    Row::new("getsockname", 51, Handler::SocketName, SOCKET).fds(&[0]).note(NAME),
    Row::new("getpeername", 52, Handler::SocketName, SOCKET).fds(&[0]).note(NAME),
    Row::new("getsockopt", 55, Handler::SocketOption, SOCKET).fds(&[0]).planned(STACKS),
    Row::new("setsockopt", 54, Handler::SocketOption, SOCKET).fds(&[0]).planned(STACKS),
    Row::new(
        "sendto",
        44,
        Handler::Send,
        &[Trap::when(Group::Send, &[Test::NotNull(4)]), Trap::always(Group::Socket)],
    )
    .fds(&[0])
    .note(TO),
    Row::new("sendmsg", 46, Handler::Send, SEND).fds(&[0]).note(TO),
    Row::new("sendmmsg", 307, Handler::Send, SEND).fds(&[0]).note(TO),
    Row::new("recvfrom", 45, Handler::Recv, SOCKET).fds(&[0]).note(NAME),
    Row::new("recvmsg", 47, Handler::Recv, RECV)
        .fds(&[0])
        .planned("a virtual descriptor that arrives by SCM_RIGHTS is the placeholder"),
    Row::new(
        "recvmmsg",
        299,
        Handler::Recv,
        &[
            Trap::always(Group::Recv),
            Trap::always(Group::Socket),
            Trap::when(Group::Time, &[Test::NotNull(4)]),
        ],
    )
    .fds(&[0])
    .planned("a virtual descriptor that arrives by SCM_RIGHTS is the placeholder"),
];
