//! Carries connections from one side of a transport to the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::time::timeout;

use super::Certificate;
use crate::relay::relay_program;
use crate::transports::door::{Doorman, now_s};
use crate::transports::plain::Suite;
use crate::transports::plain::stream::{ConnectError, Stream, accept, connect};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// When no connection can be taken, such as for want of file descriptors, it is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// A transport's stream to a server.
pub(super) async fn dial(
    server: impl ToSocketAddrs,
    certificate: &Certificate,
) -> Result<Stream<TcpStream, rand::rngs::StdRng>, ConnectError> {
    let dial = async {
        let connection = TcpStream::connect(server).await?;
        connection.set_nodelay(true)?;
        let Certificate { server, access } = certificate;
        connect(connection, server, access, Suite::best(), now_s(), b"", rand::make_rng()).await
    };
    timeout(PATIENCE, dial).await.unwrap_or_else(|_| {
        let why = "the server is silent: it does not know this certificate, or a clock is wrong";
        Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
    })
}

/// Takes connections for ever, each in a task of its own.
pub(super) async fn serve<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    each: impl Fn(TcpStream) -> F,
) -> ! {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let _ = connection.set_nodelay(true);
                tokio::spawn(each(connection));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The server's side of one connection.
pub(super) async fn welcome(connection: TcpStream, door: Arc<Doorman>, to: String) {
    // Who is not let in is told nothing, and nothing is written down of it.
    let Ok(mut accepted) = accept(connection, &*door, rand::make_rng::<rand::rngs::StdRng>()).await else {
        return;
    };
    // Whoever speaks first behind it may be the client.
    if accepted.stream.flush().await.is_ok()
        && let Ok(connection) = TcpStream::connect(to).await
    {
        let _ = connection.set_nodelay(true);
        relay_program(connection, accepted.stream).await;
    }
}
