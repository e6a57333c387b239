//! `h3`: QUIC and HTTP/3.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use daylight_tunnel::transports::h3::client::{self, Client};
use daylight_tunnel::transports::h3::endpoint;
use tokio::time::timeout;

use super::super::failure;
use super::super::way::{Server, Way};
use super::tcp::PATIENCE;
use super::visit::visit;
use super::{Dial, Dialler, Tls};
use crate::cause::{Cause, Stage};

pub(super) async fn dial(
    dialler: &Dialler,
    tls: &Tls,
    server: &Server,
    way: &Way,
    site: &str,
) -> Result<Dial, Cause> {
    let name = site.trim_matches(['[', ']']);
    dialler
        .first(way, |address| async move {
            let quic = tls.quic.clone().ok_or(Cause::Unsupported)?;
            let of_io = |error: io::Error| failure::of_io(&error, Stage::Connect, 0);
            let socket = endpoint::bind(any(address)).map_err(of_io)?;
            if let Some(mark) = dialler.mark {
                socket2::SockRef::from(&socket).set_mark(mark).map_err(of_io)?;
            }
            let endpoint = endpoint::dial(socket, quic).map_err(|_| Cause::Unsupported)?;
            let server = client::Server {
                address,
                name: name.to_owned(),
                key: server.key,
                access: server.keys.access.clone(),
            };
            let client = timeout(PATIENCE, Client::connect(&endpoint, server)).await;
            let client = client.map_err(|_| Cause::Timeout { stage: Stage::Connect })?.map_err(of_io)?;
            visit(client.requests(), tls.browser.profile(), &client.authority()).await;
            Ok(Dial { dialled: Box::new(client), driving: None })
        })
        .await
}

/// Any local address from which this one can be reached.
fn any(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
