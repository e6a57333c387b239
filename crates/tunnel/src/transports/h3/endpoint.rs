//! QUIC endpoints, and how they are set.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

pub use quinn::Endpoint;
use quinn::congestion::BbrConfig;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout,
    ServerConfig, TokioRuntime, TransportConfig, VarInt, crypto,
};
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version;
use socket2::{Domain, Protocol, Socket, Type};

use super::window;

/// The ALPN of HTTP/3 (RFC 9114 §3.1).
const ALPN: &[u8] = b"h3";
/// QUIC version 1 (RFC 9000): the only one that Chrome offers, too.
const VERSIONS: [u32; 1] = [1];
/// What the kernel keeps of datagrams, in bytes, if it lets us (`net.core.rmem_max`, `wmem_max`): a burst at 1 Gbit/s of 30 ms.
const SOCKET_BUFFER_LEN: usize = 4 << 20;
/// What may come before it was read, of one stream and of a connection, in bytes: Chrome's.
const STREAM_WINDOW: u32 = 6 << 20;
const CONNECTION_WINDOW: u32 = 15 << 20;
/// An acknowledgement comes after so many packets and one, or in time: Chrome's are as rare.
const PACKETS_UNACKNOWLEDGED: u32 = 9;
/// Datagrams that wait to be sent, in bytes; then the oldest go.
const DATAGRAMS_LEN: usize = 256 << 10;
/// Chrome's: nothing came for so long, in milliseconds.
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// Chrome's, while a request is open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Chrome's, before it is known.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// The size of Chrome's first datagrams, in bytes.
const INITIAL_LEN: u16 = 1250;
/// How many bytes Chrome's first name for the server has.
const DESTINATION_ID_LEN: usize = 8;

/// Why an endpoint can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// TLS can't be set so.
    #[error("TLS for HTTP/3 can't be set up: {0}; check the certificate and its key")]
    Tls(#[from] rustls::Error),
    /// TLS has no cipher suite for QUIC's first packets.
    #[error("TLS for HTTP/3 can't be set up: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
    /// The socket can't be used.
    #[error("the UDP socket can't be used: {0}")]
    Socket(#[from] io::Error),
}

/// Chrome has no name for itself: an endpoint's connections are told apart by their servers.
struct Nameless;

impl ConnectionIdGenerator for Nameless {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn transport() -> TransportConfig {
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(PACKETS_UNACKNOWLEDGED.into());
    // BBR, since networks that are interfered with lose packets: 8 MiB over a path of 50 ms that loses 1 % went at 24 and
    // 46 Mbit/s, and with Cubic did not arrive in 25 s (less than 2.7). On loopback it takes 15 % more CPU.
    let congestion = Arc::new(BbrConfig::default());
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(congestion)
        .ack_frequency_config(Some(acknowledgements))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(window::LEN_MAX)
        .datagram_send_buffer_size(DATAGRAMS_LEN)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))));
    transport
}

/// A UDP socket with room for a burst.
///
/// # Errors
/// If the address can't be had.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // As much as the kernel gives.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_LEN);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_LEN);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A server's endpoint, for [`H3::serve`](super::H3::serve).
///
/// # Errors
/// If the socket can't be used, or TLS not set up.
pub fn listen(
    socket: UdpSocket,
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Endpoint, EndpointError> {
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets carry all that is needed to resume: the server remembers nobody.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.ticketer = ring::Ticketer::new()?;
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server.transport_config(Arc::new(transport()));
    let mut config = EndpointConfig::default();
    config.supported_versions(VERSIONS.to_vec());
    Ok(Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))?)
}

/// A client's endpoint at a socket (of the server's family), whose [`Client`](super::client::Client)s have this TLS: for Chrome's
/// first packets it is `daylight_browser::QuicClient`.
///
/// # Errors
/// If the socket can't be used.
pub fn dial(socket: UdpSocket, tls: Arc<dyn crypto::ClientConfig>) -> Result<Endpoint, EndpointError> {
    let mut client = ClientConfig::new(tls);
    let mut transport = transport();
    transport
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(100_u32.into())
        .max_concurrent_uni_streams(103_u32.into())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_mtu(INITIAL_LEN)
        .min_mtu(INITIAL_LEN);
    client.transport_config(Arc::new(transport));
    client.initial_dst_cid_provider(Arc::new(|| {
        ConnectionId::new(&rand::random::<[u8; DESTINATION_ID_LEN]>())
    }));
    let mut config = EndpointConfig::default();
    config.supported_versions(VERSIONS.to_vec()).grease_quic_bit(false).cid_generator(|| Box::new(Nameless));
    let mut endpoint = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(client);
    Ok(endpoint)
}
