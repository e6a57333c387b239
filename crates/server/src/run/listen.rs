//! Listening.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::net::Listener;
use tokio_util::sync::CancellationToken;

/// Connections that wait to be taken, as with nginx.
const BACKLOG: i32 = 511;
/// When the process has no file left for a connection, it waits so long for one.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens at an address; one of IPv6 is not for IPv4 too, so that both can be had.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens at a socket in the file system, in the place of one that a server before left there. Whoever may use the folder
/// may connect.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_left = std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket());
    if is_left && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Serves each connection in a task of its own, until listening is to end.
pub(super) async fn serve<L: Listener, F>(
    mut listener: L,
    ends: CancellationToken,
    serve: impl Fn(L::Io, L::Addr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ends.cancelled() => return,
        };
        match accepted {
            Ok((connection, from)) => drop(tokio::spawn(serve(connection, from))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
