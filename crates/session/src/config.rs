//! What can be set, and what it costs.

use std::time::Duration;

use crate::Suite;

/// Bounds of one session, on one side. The peer has its own; both are told each other's credit in the handshake.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one stream that may have come and not been read: what it can have on the way in a round trip. Default 2 MiB
    /// (160 Mbit/s at 100 ms).
    pub stream_window: u64,
    /// The same for all streams of the session together: the most memory that the peer can fill, but for what
    /// [`Session`](crate::Session) says about small pieces. Default 8 MiB.
    pub session_window: u64,
    /// Bytes of one stream that were written and not yet acknowledged; writing more waits. Default 2 MiB.
    pub stream_send_buffer: usize,
    /// The same for all streams of the session together. Default 8 MiB.
    pub session_send_buffer: usize,
    /// Streams at the same time: at a server those that the client may open, at a client those that it wants. About 600
    /// bytes each while nothing is buffered. Default 1024.
    pub streams_max: u64,
    /// Paths at the same time, those in the handshake included. At most 80 KiB each while bytes are coming in. Default 8.
    pub paths_max: usize,
    /// Bytes of datagrams that wait, in each direction; more are dropped and counted. Default 256 KiB.
    pub datagram_buffer: usize,
    /// How long an acknowledgement waits for company. Default 20 ms.
    pub ack_delay: Duration,
    /// A path that owes an answer for so long, and for four round trips, is stalled: what it holds is sent over others.
    /// Default 3 s.
    pub stall: Duration,
    /// A path that owes an answer for so long is given up, and one whose handshake takes so long. Default 30 s.
    pub path_timeout: Duration,
    /// How long a session waits without a path. Default 5 minutes.
    pub orphan_timeout: Duration,
    /// The mean time after which an idle path is kept alive, drawn anew each time from an exponential distribution (at
    /// least a tenth and at most four times the mean): so that it has no period. Default: never. A client's affair.
    pub keep_alive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_window: 2 << 20,
            session_window: 8 << 20,
            stream_send_buffer: 2 << 20,
            session_send_buffer: 8 << 20,
            streams_max: 1024,
            paths_max: 8,
            datagram_buffer: 256 << 10,
            ack_delay: Duration::from_millis(20),
            stall: Duration::from_secs(3),
            path_timeout: Duration::from_secs(30),
            orphan_timeout: Duration::from_secs(300),
            keep_alive: None,
        }
    }
}

/// What a client needs: a card's keys, and its own wishes.
#[derive(Clone)]
pub struct ClientConfig {
    /// The server's X25519 public key.
    pub server_key: [u8; 32],
    /// The card's secret, without which the server does not answer.
    pub access_secret: [u8; 32],
    /// Ciphers for the records, the most wanted first. Default: AES-128-GCM, ChaCha20-Poly1305, AES-256-GCM. A machine
    /// without AES instructions should put ChaCha20-Poly1305 first; the server follows the client.
    pub suites: Vec<Suite>,
    /// Bounds.
    pub limits: Limits,
}

impl ClientConfig {
    /// The usual wishes, for a server's public key and a card's secret.
    #[must_use]
    pub fn new(server_key: [u8; 32], access_secret: [u8; 32]) -> Self {
        let suites = vec![Suite::Aes128Gcm, Suite::ChaCha20Poly1305, Suite::Aes256Gcm];
        Self { server_key, access_secret, suites, limits: Limits::default() }
    }
}

/// What a server needs.
#[derive(Clone)]
pub struct ServerConfig {
    /// The server's X25519 private key.
    pub private_key: [u8; 32],
    /// Ciphers for the records that the server is willing to use. Default: all.
    pub suites: Vec<Suite>,
    /// Bounds of each session.
    pub limits: Limits,
    /// Sessions at the same time; beyond it new ones are refused. Default 10 000.
    pub sessions_max: usize,
}

impl ServerConfig {
    /// The usual bounds, for a private key.
    #[must_use]
    pub fn new(private_key: [u8; 32]) -> Self {
        Self { private_key, suites: Suite::ALL.to_vec(), limits: Limits::default(), sessions_max: 10_000 }
    }
}
