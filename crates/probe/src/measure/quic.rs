//! QUIC: a handshake with this and that name, and a packet that any QUIC server answers, whatever the name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_verdict::extras::{AddressKind, NameKind, QuicCell, QuicKind};
use daylight_verdict::ooni::Failure;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use tokio::net::UdpSocket;

use super::clock::ms;
use crate::evidence::{self, Transport};
use crate::failure;
use crate::tls::{Roots, recorder};

/// A version that nobody speaks (RFC 9000 §15: `0x?a?a?a?a` is kept for this).
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
/// A datagram with an Initial has no fewer bytes (RFC 9000 §14.1); servers leave smaller ones unanswered.
const INITIAL_BYTES_MIN: usize = 1200;
/// An attempt that fails is made again: UDP loses packets, though QUIC sends them again.
const ATTEMPTS: u32 = 2;

/// What is tried.
pub(crate) struct Attempt<'a> {
    pub(crate) kind: QuicKind,
    pub(crate) name: NameKind,
    /// The name itself. Whatever certificate comes is taken.
    pub(crate) server_name: &'a str,
    pub(crate) at: AddressKind,
    pub(crate) to: SocketAddr,
}

/// Tries, and tries again if it fails.
pub(crate) async fn attempt(what: &Attempt<'_>, roots: &Roots, timeout: Duration) -> Vec<QuicCell> {
    let mut cells = Vec::new();
    for attempt in 0..ATTEMPTS {
        let begun = Instant::now();
        let outcome = match what.kind {
            QuicKind::Handshake => handshake(what, roots, timeout).await,
            QuicKind::VersionNegotiation => version_negotiation(what.to, timeout).await,
        };
        let failed = outcome.is_err();
        cells.push(QuicCell {
            kind: what.kind,
            name: what.name,
            at: what.at,
            address: what.to.to_string(),
            attempt,
            failure: outcome.err(),
            took_ms: ms(begun.elapsed()),
        });
        if !failed {
            break;
        }
    }
    cells
}

/// A handshake beside a ping. If the host says that nobody listens there, the handshake is given up: most sites have no QUIC,
/// and it would wait in vain.
pub(crate) async fn attempt_or_refused(
    handshake: &Attempt<'_>,
    ping: &Attempt<'_>,
    roots: &Roots,
    timeout: Duration,
) -> Vec<QuicCell> {
    let (handshake, ping) = (attempt(handshake, roots, timeout), attempt(ping, roots, timeout));
    tokio::pin!(handshake, ping);
    tokio::select! {
        mut cells = &mut ping => {
            if !is_refused(&cells) {
                cells.extend(handshake.await);
            }
            cells
        }
        mut cells = &mut handshake => {
            cells.extend(ping.await);
            cells
        }
    }
}

/// Whether the host said each time that nobody listens there.
pub(crate) fn is_refused(cells: &[QuicCell]) -> bool {
    !cells.is_empty() && cells.iter().all(|cell| cell.failure.as_ref().is_some_and(Failure::is_refused))
}

async fn handshake(what: &Attempt<'_>, roots: &Roots, timeout: Duration) -> Result<(), Failure> {
    let recorder = recorder(roots, what.server_name)?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(roots.provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failure::of_tls(&error))?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = QuicClientConfig::try_from(config).map_err(failure::unknown)?;
    let mut endpoint =
        quinn::Endpoint::client(evidence::any(what.to)).map_err(|error| failure::of_io(&error))?;
    evidence::is_own(Transport::Udp, endpoint.local_addr());
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    let connecting = endpoint.connect(what.to, what.server_name).map_err(failure::unknown)?;
    let outcome = match tokio::time::timeout(timeout, connecting).await {
        Ok(outcome) => outcome.map_err(|error| failure::of_quic(&error)),
        Err(_) => Err(Failure::GenericTimeout),
    };
    if let Ok(connection) = outcome {
        connection.close(0u32.into(), b"");
        // Or the server waits for us in vain; a lost goodbye is no failure.
        let _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
        return Ok(());
    }
    outcome.map(drop)
}

/// RFC 9000 §6: a server answers an unknown version with those it knows.
async fn version_negotiation(to: SocketAddr, timeout: Duration) -> Result<(), Failure> {
    let io = |error: std::io::Error| failure::of_io(&error);
    let socket = UdpSocket::bind(evidence::any(to)).await.map_err(io)?;
    evidence::is_own(Transport::Udp, socket.local_addr());
    socket.connect(to).await.map_err(io)?;
    let id: [u8; 8] = rand::random();
    let ping = ping(id);
    let exchange = async {
        let mut buffer = [0; 2048];
        loop {
            socket.send(&ping).await?;
            // Once a second, as a lost packet would otherwise look like a dropped one.
            match tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await {
                Ok(got) => {
                    let length = got?;
                    if answers(buffer.get(..length).unwrap_or_default(), id) {
                        return Ok(());
                    }
                }
                Err(_) => continue,
            }
        }
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(outcome) => outcome.map_err(io),
        Err(_) => Err(Failure::GenericTimeout),
    }
}

/// A long header of an unknown version (RFC 8999 §5.1), with random bytes to the size of an Initial.
fn ping(id: [u8; 8]) -> Vec<u8> {
    let mut packet = vec![0xc0];
    packet.extend(NO_VERSION);
    packet.push(8);
    packet.extend(id);
    packet.push(8);
    packet.extend(id.map(|byte| !byte));
    while packet.len() < INITIAL_BYTES_MIN {
        packet.extend(rand::random::<[u8; 8]>());
    }
    packet.truncate(INITIAL_BYTES_MIN);
    packet
}

/// Whether it is a Version Negotiation packet for our ping: its identifiers are ours, swapped (RFC 8999 §6).
fn answers(packet: &[u8], id: [u8; 8]) -> bool {
    let Some((first, rest)) = packet.split_first() else { return false };
    let mut expected = vec![0, 0, 0, 0, 8];
    expected.extend(id.map(|byte| !byte));
    expected.push(8);
    expected.extend(id);
    first & 0x80 != 0 && rest.starts_with(&expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_has_the_size_of_an_initial() {
        let packet = ping([7; 8]);
        assert_eq!(packet.len(), 1200);
        assert_eq!(packet[..6], [0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
    }

    #[test]
    fn only_our_own_answer_counts() {
        let id = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut packet = vec![0x80, 0, 0, 0, 0, 8];
        packet.extend(id.map(|byte| !byte));
        packet.push(8);
        packet.extend(id);
        packet.extend([0, 0, 0, 1]);
        assert!(answers(&packet, id));
        assert!(!answers(&packet, [0; 8]));
        packet[4] = 1;
        assert!(!answers(&packet, id));
        assert!(!answers(&[], id));
    }
}
