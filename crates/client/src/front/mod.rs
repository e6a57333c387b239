//! The proxies that a person's programs speak to: SOCKS 5, SOCKS 4a and HTTP, told apart by a connection's first byte, so
//! that there is one port to remember.
//!
//! Names are never looked up here: they go through the tunnel as they are.

mod http;
mod pac;
mod socks4;
mod socks5;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use daylight_session::Destination;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Tunnel;
use crate::relay::{Side, relay_connection};

/// Connections at the same time; others wait to be taken.
const CONNECTIONS_MAX: usize = 4096;
/// How long a program may take to say what it wants.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);
/// When no connection can be taken, such as for want of file descriptors, it is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may use the proxies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reach {
    /// Programs of this machine.
    #[default]
    Loopback,
    /// Everybody who reaches the address: there is no password.
    Network,
}

/// The proxies can't be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// The address is not one of the loopback, and sharing was not asked for.
    #[error(
        "{0} can be reached from other machines, and the proxy has no password: listen on 127.0.0.1, or share it by --share"
    )]
    NotLoopback(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause} (is another program there? choose another port)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
}

/// The proxies' port.
#[derive(Debug)]
pub struct Front {
    listener: TcpListener,
    address: SocketAddr,
    direct_private: bool,
}

impl Front {
    /// Listens.
    ///
    /// # Errors
    /// If the address is taken, or is open to more than `reach` says.
    pub async fn bind(address: SocketAddr, reach: Reach) -> Result<Self, FrontError> {
        if reach == Reach::Loopback && !address.ip().is_loopback() {
            return Err(FrontError::NotLoopback(address));
        }
        let failed = |cause| FrontError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, direct_private: true })
    }

    /// Whether the PAC file leaves private addresses and local names to the browser; it should say the same as the
    /// tunnel's own rules. Default true.
    #[must_use]
    pub fn with_direct_private(mut self, direct_private: bool) -> Self {
        self.direct_private = direct_private;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever. All connections end with it.
    pub async fn serve<T: Tunnel>(self, tunnel: T) -> ! {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // The semaphore is never closed.
            let place = Arc::clone(&room).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((connection, _)) => {
                    let serving = serve(connection, tunnel.clone(), self.direct_private);
                    connections.spawn(async move {
                        // What goes wrong with one connection its program has been told.
                        let _ = serving.await;
                        drop(place);
                    });
                }
                Err(_) => sleep(PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn serve<T: Tunnel>(connection: TcpStream, tunnel: T, direct_private: bool) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut first = [0];
    if timeout(REQUEST_PATIENCE, connection.peek(&mut first)).await?? == 0 {
        return Ok(());
    }
    match first {
        [socks4::VERSION] => socks4::serve(connection, tunnel).await,
        [socks5::VERSION] => socks5::serve(connection, tunnel).await,
        _ => http::serve(connection, tunnel, direct_private).await,
    }
}

/// Until both directions have ended. If the tunnel's side is cut off so is the program's, which sees it that way.
async fn relay_program(program: TcpStream, tunnelled: impl Side) {
    // Nobody else is to be told.
    let _ = relay_connection(program, tunnelled, ()).await;
}

/// The destination that a program wrote: an address, perhaps in brackets, or a name; none if it is neither.
fn destination(host: &str, port: u16) -> Option<Destination> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, port).into()),
        Err(_) => Some(Destination::Name(host.parse().ok()?, port)),
    }
}
