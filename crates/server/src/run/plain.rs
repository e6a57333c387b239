//! `plain`, which answers nobody who holds no card.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use daylight_tunnel::transports::plain::path::arrived;
use daylight_tunnel::transports::plain::stream::{accept, ignore};
use rand::rngs::StdRng;
use tokio::net::TcpStream;

use super::Shared;
use crate::metrics::Handshake;

/// One connection.
pub(super) async fn serve(shared: Arc<Shared>, connection: TcpStream, from: SocketAddr) {
    let from = from.ip().to_canonical();
    let random: StdRng = rand::make_rng();
    if !shared.handshakes.may_try(from, Instant::now()) {
        shared.metrics.handshake("plain", Handshake::NotTried);
        return ignore(connection, random).await;
    }
    // Whoever was not let in learns nothing, and neither does anybody else.
    let Ok(accepted) = accept(connection, &*shared.door, random).await else {
        shared.metrics.handshake("plain", Handshake::Stranger);
        return shared.handshakes.failed(from, Instant::now());
    };
    shared.metrics.handshake("plain", Handshake::Card);
    shared.handshakes.succeeded(from);
    if let Some(path) = arrived(accepted, &shared.door, Some(from)) {
        // If nobody takes it, the server is ending.
        let _ = shared.arrived.send(path);
    }
}
