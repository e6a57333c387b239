//! QUIC: the first packets as the installed Chromium's, and a connection to another library's server.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use daylight_browser::{Profile, QuicClient, Trust};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustls::SupportedCipherSuite;
use rustls::crypto::{SupportedKxGroup, ring};
use rustls::pki_types::PrivateKeyDer;
use tokio::time::timeout;

use super::chromium::{self, Chromium};
use super::first::First;
use super::recorder::NAME;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(60);
const TRANSFER_BYTES: usize = 1 << 20;

/// A server's TLS with all that it can, and its certificate.
fn any_tls() -> (QuicServerConfig, String) {
    server_tls(ring::ALL_CIPHER_SUITES, ring::ALL_KX_GROUPS)
}

/// A server's TLS with these ciphers and groups, and its certificate.
fn server_tls(
    ciphers: &[SupportedCipherSuite],
    groups: &[&'static dyn SupportedKxGroup],
) -> (QuicServerConfig, String) {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut provider = ring::default_provider();
    provider.cipher_suites = ciphers.to_vec();
    provider.kx_groups = groups.to_vec();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    // QUIC's first packets have AES, whatever is chosen later.
    let first = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let SupportedCipherSuite::Tls13(suite) = first else { panic!("a suite of TLS 1.3") };
    let tls = QuicServerConfig::with_initial(tls.into(), suite.quic_suite().unwrap()).unwrap();
    (tls, made.cert.pem())
}

fn serve(tls: QuicServerConfig, retry: bool) -> SocketAddr {
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(tls)), LOOPBACK).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if retry && !incoming.remote_address_validated() {
                incoming.retry().unwrap();
                continue;
            }
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    echo(connection).await;
                }
            });
        }
    });
    address
}

/// Says its exporter's value, then sends back what comes in each stream, every second one with new keys.
async fn echo(connection: Connection) {
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, b"EXPORTER-test", b"context").unwrap();
    let mut said = connection.open_uni().await.unwrap();
    said.write_all(&exporter).await.unwrap();
    said.finish().unwrap();
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let came = receive.read_to_end(TRANSFER_BYTES).await.unwrap();
        if send.id().index() % 2 == 1 {
            connection.force_key_update();
        }
        send.write_all(&came).await.unwrap();
        send.finish().unwrap();
    }
}

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

fn client(trust: &Trust) -> Endpoint {
    endpoint(Arc::new(QuicClient::new(&Profile::current(), trust).unwrap()))
}

/// An endpoint set as Chrome is. It is good for one connection to a server at a time, as the client has no name in it.
fn endpoint(crypto: Arc<QuicClient>) -> Endpoint {
    let mut config = ClientConfig::new(crypto);
    let mut transport = TransportConfig::default();
    transport
        .initial_rtt(Duration::from_millis(100))
        .initial_mtu(1250)
        .min_mtu(1250)
        .stream_receive_window((6_u32 << 20).into())
        .receive_window((15_u32 << 20).into())
        .max_concurrent_bidi_streams(100_u32.into())
        .max_concurrent_uni_streams(103_u32.into())
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(30_000))));
    config.transport_config(Arc::new(transport));
    config.initial_dst_cid_provider(Arc::new(|| ConnectionId::new(&rand::random::<[u8; 8]>())));
    let mut endpoint = EndpointConfig::default();
    endpoint.grease_quic_bit(false).cid_generator(|| Box::new(Nameless));
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let mut endpoint = Endpoint::new(endpoint, None, socket, Arc::new(TokioRuntime)).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

async fn connect(
    endpoint: &Endpoint,
    address: SocketAddr,
    name: &str,
) -> Result<Connection, ConnectionError> {
    timeout(PATIENCE, endpoint.connect(address, name).unwrap()).await.unwrap()
}

async fn comes_back(connection: &Connection) {
    let said = connection.accept_uni().await.unwrap().read_to_end(32).await.unwrap();
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, b"EXPORTER-test", b"context").unwrap();
    assert_eq!(said, exporter);
    for _ in 0..4 {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // In turns: who changes keys again before the other side has followed is not understood.
        if send.id().index() % 2 == 0 {
            connection.force_key_update();
        }
        let data: Vec<u8> = (0..TRANSFER_BYTES).map(|at| (at % 251) as u8).collect();
        let sending = data.clone();
        tokio::spawn(async move {
            send.write_all(&sending).await.unwrap();
            send.finish().unwrap();
        });
        assert!(receive.read_to_end(TRANSFER_BYTES).await.unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carries_by_each_cipher_and_over_key_updates() {
    use ring::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    // The last has no key share of its group in the first ClientHello, and asks for a second.
    for (cipher, groups, retry) in [
        (TLS13_AES_128_GCM_SHA256, ring::ALL_KX_GROUPS, false),
        (TLS13_AES_256_GCM_SHA384, ring::ALL_KX_GROUPS, true),
        (TLS13_CHACHA20_POLY1305_SHA256, &[ring::kx_group::SECP384R1], false),
    ] {
        let (tls, certificate) = server_tls(&[cipher], groups);
        let address = serve(tls, retry);
        let endpoint = client(&Trust::Roots(certificate));
        let connection = connect(&endpoint, address, NAME).await.unwrap();
        timeout(PATIENCE, comes_back(&connection)).await.unwrap();
        assert_eq!(
            connection.handshake_data().unwrap().downcast::<Vec<u8>>().unwrap(),
            Box::new(b"h3".to_vec())
        );
        // It acknowledges rarely though nobody asked it to.
        let stats = connection.stats();
        assert!(stats.frame_tx.acks * 4 < stats.udp_rx.datagrams, "{stats:?}");
    }
}

#[tokio::test]
async fn goes_on_from_an_earlier_session_once() {
    let (tls, certificate) = any_tls();
    let (keys, _) = any_tls();
    let address = serve(tls, false);
    let crypto = Arc::new(QuicClient::new(&Profile::current(), &Trust::Roots(certificate)).unwrap());
    let visit = async || {
        let connection = connect(&endpoint(crypto.clone()), address, NAME).await.unwrap();
        timeout(PATIENCE, comes_back(&connection)).await.unwrap();
    };
    visit().await;
    // Of the tickets that come two are kept.
    for resumes in [true, true, false] {
        let socket = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
        let endpoint = endpoint(crypto.clone());
        let connecting = endpoint.connect(socket.local_addr().unwrap(), NAME).unwrap();
        let first = First::receive(&socket, &keys, 2).await.unwrap();
        drop(connecting);
        assert_eq!(first.lines().iter().any(|line| line.starts_with("extension 0029")), resumes);
    }
    visit().await;
    // The server takes what it is offered now.
    visit().await;
}

#[tokio::test]
async fn refuses_whom_nobody_vouches_for() {
    let (tls, certificate) = any_tls();
    let address = serve(tls, false);
    let (_, elsewhere) = any_tls();
    for (trusted, name) in [(elsewhere, NAME), (certificate, "other.example")] {
        let error = connect(&client(&Trust::Roots(trusted)), address, name).await.unwrap_err();
        let ConnectionError::TransportError(why) = error else { panic!("{error}") };
        // TLS's alerts about certificates (RFC 8446 §6.2).
        assert!((0x12a..=0x130).contains(&u64::from(why.code)), "{why}");
        assert!(why.reason.contains("certificate isn't good"), "{why}");
    }
    let unverified = client(&Trust::Unverified);
    connect(&unverified, address, "other.example").await.unwrap();
    assert!(unverified.connect(address, "").is_err());
}

#[tokio::test]
async fn a_server_without_the_protocol_is_told_so() {
    let (certificate, key) = {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        (made.cert.der().clone(), PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
    };
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = vec![b"doq".to_vec()];
    let address = serve(QuicServerConfig::try_from(tls).unwrap(), false);
    let error = connect(&client(&Trust::Unverified), address, NAME).await.unwrap_err();
    assert!(error.to_string().contains("120"), "{error}");
}

async fn ours(keys: &QuicServerConfig) -> First {
    let socket = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let endpoint = client(&Trust::Unverified);
    let connecting = endpoint.connect(socket.local_addr().unwrap(), NAME).unwrap();
    let first = First::receive(&socket, keys, 2).await.unwrap();
    drop(connecting);
    first
}

#[tokio::test]
async fn first_packets_equal_the_installed_chromiums() {
    let Some(version) = chromium::version().await else {
        println!("skipped: there is no Chromium on this machine (Debian: apt-get install chromium)");
        return;
    };
    let (keys, _) = any_tls();
    let socket = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let browser = Chromium::open_by_quic(socket.local_addr().unwrap().port());
    let theirs = First::receive(&socket, &keys, 2).await;
    drop(browser);
    let theirs = theirs.expect("Chromium's first packets").lines();
    let ours = ours(&keys).await.lines();
    assert!(theirs == ours, "Chromium {version}: {theirs:#?}\nthis client: {ours:#?}");
}

#[tokio::test]
async fn first_packets_are_as_the_profile_says() {
    let (keys, _) = any_tls();
    for _ in 0..20 {
        let first = ours(&keys).await;
        assert_eq!(first.ja4(), Profile::current().quic.ja4);
        let lines = first.lines();
        let [.., one, two] = &lines[..] else { panic!("{lines:?}") };
        assert!(one.starts_with("packet 1 in a datagram of 1250: flags c0, names of 8 and 0"), "{one}");
        assert!(one.contains("parts beginning and end; 2 to 12 CRYPTO: true; 2 to 10 PING: true"), "{one}");
        assert!(two.starts_with("packet 2 in a datagram of 1250: flags c1, names of 8 and 0"), "{two}");
        assert!(two.contains("parts middle; 2 to 12 CRYPTO: true; 2 to 10 PING: true"), "{two}");
    }
}
