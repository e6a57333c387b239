//! Whom the client believes, what it resumes, and what both ends can bind to.

use std::pin::Pin;
use std::sync::Arc;

use boring::pkey::PKey;
use boring::ssl::{
    AlpnError, CertificateCompressionAlgorithm, CertificateCompressor, SslAcceptor, SslMethod,
    select_next_proto,
};
use boring::x509::X509;
use daylight_browser::{Client, Error, Profile, Tls, Trust, http2};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::recorder::NAME;

struct Server {
    config: Arc<rustls::ServerConfig>,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned(), "192.0.2.1".to_owned()]).unwrap();
        let key_der = made.signing_key.serialize_der();
        let certificate = made.cert.der().clone();
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key_der.clone().into()))
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config: Arc::new(config), certificate_pem: made.cert.pem(), certificate, key_der }
    }

    /// One connection to it; the other end comes with its exporter's value.
    async fn connect(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<(Tls<DuplexStream>, tokio_rustls::server::TlsStream<DuplexStream>), Error> {
        let (near, far) = duplex(64 * 1024);
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config.clone());
        let accepted = tokio::spawn(async move { acceptor.accept(far).await });
        let tls = client.connect(near, name).await?;
        Ok((tls, accepted.await.unwrap().unwrap()))
    }

    fn trusted(&self) -> Client {
        Client::new(Profile::current(), &Trust::Roots(self.certificate_pem.clone())).unwrap()
    }
}

#[tokio::test]
async fn believes_whom_it_is_told_to() {
    let server = Server::new();
    for name in [NAME, "192.0.2.1"] {
        assert!(server.connect(&server.trusted(), name).await.is_ok(), "{name}");
    }
    let unverified = Client::new(Profile::current(), &Trust::Unverified).unwrap();
    assert!(server.connect(&unverified, "other.example").await.is_ok());
}

#[tokio::test]
async fn refuses_the_rest() {
    let server = Server::new();
    for name in ["other.example", "192.0.2.2"] {
        let error = server.connect(&server.trusted(), name).await.unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let elsewhere = Server::new();
    let error = server.connect(&elsewhere.trusted(), NAME).await.unwrap_err();
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
    // Its authorities are public ones; where a machine has none it says so.
    match Client::new(Profile::current(), &Trust::System) {
        Ok(system) => {
            let error = server.connect(&system, NAME).await.unwrap_err();
            assert!(matches!(error, Error::Certificate { .. }), "{error}");
        }
        Err(error) => assert!(matches!(error, Error::Roots(_)), "{error}"),
    }
    let error = Client::new(Profile::current(), &Trust::Roots("none".to_owned())).err().unwrap();
    assert!(matches!(error, Error::NoRoots), "{error}");
    let error = server.connect(&server.trusted(), "").await.unwrap_err();
    assert!(matches!(error, Error::ServerName(_)), "{error}");
}

#[tokio::test]
async fn both_ends_export_the_same() {
    let server = Server::new();
    let client = server.trusted();
    let (tls, far) = server.connect(&client, NAME).await.unwrap();
    let mine = tls.exporter("EXPORTER-test", b"context").unwrap();
    let theirs = far.get_ref().1.export_keying_material([0; 32], b"EXPORTER-test", Some(b"context")).unwrap();
    assert_eq!(mine, theirs);
    assert_ne!(mine, tls.exporter("EXPORTER-test", b"other").unwrap());
    let (again, _) = server.connect(&client, NAME).await.unwrap();
    assert_ne!(mine, again.exporter("EXPORTER-test", b"context").unwrap());
}

#[tokio::test]
async fn offers_a_session_once_and_to_its_server() {
    let server = Server::new();
    let client = server.trusted();
    let (mut tls, mut far) = server.connect(&client, NAME).await.unwrap();
    assert!(!tls.resumed());
    // The two tickets come with the first bytes.
    far.write_all(b"x").await.unwrap();
    far.flush().await.unwrap();
    assert_eq!(tls.read_u8().await.unwrap(), b'x');

    assert!(!server.connect(&client, "192.0.2.1").await.unwrap().0.resumed());
    for resumed in [true, true, false] {
        // Nothing is read of these, so no tickets are taken from them.
        assert_eq!(server.connect(&client, NAME).await.unwrap().0.resumed(), resumed);
    }
}

/// One installation is one client, whatever connects at the same time.
#[tokio::test]
async fn serves_many_tasks() {
    let server = Arc::new(Server::new());
    let client = Arc::new(server.trusted());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (server, client) = (server.clone(), client.clone());
            tokio::spawn(async move { server.connect(&client, NAME).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
}

#[tokio::test]
async fn says_what_was_chosen() {
    let mut server = Server::new();
    let (tls, _far) = server.connect(&server.trusted(), NAME).await.unwrap();
    assert_eq!(tls.alpn(), Some(&b"h2"[..]));

    Arc::get_mut(&mut server.config).unwrap().alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = server.trusted();
    let (tls, _far) = server.connect(&client, NAME).await.unwrap();
    let error = http2(tls, client.profile()).await.err().unwrap();
    assert_eq!(error.to_string(), "the server chose no HTTP/2 (it chose http/1.1)");
}

/// Brotli's form for bytes that are not compressed (RFC 7932 §9.2): a window of 16 bits, one such meta-block, an empty last
/// one.
struct Stored;

impl CertificateCompressor for Stored {
    const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::BROTLI;
    const CAN_COMPRESS: bool = true;
    const CAN_DECOMPRESS: bool = false;

    fn compress<W: std::io::Write>(&self, input: &[u8], output: &mut W) -> std::io::Result<()> {
        // Bits from the lowest: 1 window, 1 not last, 2 for "four nibbles", 16 length - 1, 1 "not compressed".
        let header = ((input.len() as u32 - 1) << 4) | 1 << 20;
        output.write_all(&header.to_le_bytes()[..3])?;
        output.write_all(input)?;
        output.write_all(&[3])
    }
}

#[tokio::test]
async fn reads_compressed_certificates() {
    let server = Server::new();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&X509::from_der(&server.certificate).unwrap()).unwrap();
    acceptor.set_private_key(&PKey::private_key_from_pkcs8(&server.key_der).unwrap()).unwrap();
    acceptor.add_certificate_compression_algorithm(Stored).unwrap();
    acceptor
        .set_alpn_select_callback(|_, offered| select_next_proto(b"\x02h2", offered).ok_or(AlpnError::NOACK));
    let acceptor = acceptor.build();

    let (near, far) = duplex(64 * 1024);
    let accepted = tokio::spawn(async move { tokio_boring::accept(&acceptor, far).await.map(|_| ()) });
    let tls = server.trusted().connect(near, NAME).await.unwrap();
    assert_eq!(tls.alpn(), Some(&b"h2"[..]));
    assert!(accepted.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_broken_handshake_is_told() {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move {
        far.read_u8().await.unwrap();
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        far.shutdown().await.unwrap();
    });
    let client = Client::new(Profile::current(), &Trust::Unverified).unwrap();
    let error = client.connect(near, NAME).await.unwrap_err();
    assert!(matches!(&error, Error::Handshake { server, .. } if server == NAME), "{error}");
}

#[tokio::test]
async fn closes_without_an_alert() {
    let server = Server::new();
    let (mut tls, mut far) = server.connect(&server.trusted(), NAME).await.unwrap();
    Pin::new(&mut tls).shutdown().await.unwrap();
    // rustls calls a missing alert an unexpected end.
    let error = far.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}
