//! Real TLS and QUIC handshakes whose first flights the tests cut up.

use std::io::Write as _;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::raw::Stream;

/// Takes any certificate: whose it is, is not what is tested.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ED25519,
        ]
    }
}

/// A client's configuration that speaks `alpn` first, and then so many bytes of protocols that nobody speaks.
pub(crate) fn client(alpn: &str, padding: usize) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols.push(alpn.into());
    let nonsense = (0..padding / 251).map(|i| format!("{i:0>250}").into_bytes());
    config.alpn_protocols.extend(nonsense);
    config
}

/// A TLS connection that has only written its hello, and the hello with its records.
pub(crate) fn hello(name: &str, padding: usize) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(client("http/1.1", padding)), name).unwrap();
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    (connection, bytes)
}

/// Goes on where the hello ended, asks for the page, and gives what came.
pub(crate) fn fetch(stream: &mut Stream<'_>, mut tls: ClientConnection, hello: usize, name: &str) -> String {
    let request = format!("GET /index.html HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    tls.writer().write_all(request.as_bytes()).unwrap();
    let (mut sent, mut read, mut page) = (hello, 0, Vec::new());
    loop {
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
        }
        stream.send(sent, &bytes);
        sent += bytes.len();
        if !stream.wait(|stream| stream.got.len() > read || stream.is_reset) || stream.is_reset {
            break;
        }
        let mut new = &stream.got[read..];
        while !new.is_empty() {
            read += tls.read_tls(&mut new).unwrap();
            let Ok(state) = tls.process_new_packets() else { return "not TLS".into() };
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            std::io::Read::read_exact(&mut tls.reader(), &mut plain).unwrap();
            page.extend(plain);
        }
        if page.windows(15).any(|window| window == b"the site itself") {
            break;
        }
    }
    String::from_utf8_lossy(&page).into_owned()
}
