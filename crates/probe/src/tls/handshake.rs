//! One handshake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_verdict::ooni::Failure;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verifier::Recorder;
use super::{Roots, grease};
use crate::failure;
use crate::net::{Split, Tap, Watch};

/// What the second piece of a split ClientHello is held back by: longer than any queue joins segments for.
const SPLIT_PAUSE: Duration = Duration::from_millis(60);

/// A ClientHello.
#[derive(Clone, Debug)]
pub struct Hello<'a> {
    /// The name in it. `None` for no `server_name` at all; an address is never sent.
    pub server_name: Option<&'a str>,
    /// The name that the certificate is judged for.
    pub judged_for: &'a str,
    /// Cut in the middle of the name, over two segments.
    pub split: bool,
    /// With a GREASE `encrypted_client_hello` (and then with TLS 1.3 alone).
    pub ech_grease: bool,
    /// The protocols on offer.
    pub alpn: &'a [&'a str],
}

impl<'a> Hello<'a> {
    /// An ordinary one, for HTTP/1.1.
    #[must_use]
    pub fn of(name: &'a str) -> Self {
        Self {
            server_name: Some(name),
            judged_for: name,
            split: false,
            ech_grease: false,
            alpn: &["http/1.1"],
        }
    }
}

/// How a handshake ended.
#[derive(Debug)]
pub struct Handshake {
    /// When it was begun.
    pub begun: Instant,
    /// When it had ended.
    pub ended: Instant,
    /// Why it did not complete. A certificate is no reason.
    pub failure: Option<Failure>,
    /// The alert that the other side sent (RFC 8446 §6).
    pub alert: Option<u8>,
    /// What is wrong with the certificate.
    pub certificate_failure: Option<Failure>,
    /// The chain as DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// `TLSv1.2`, `TLSv1.3`.
    pub version: Option<&'static str>,
    /// The cipher suite's name in IANA's registry.
    pub cipher_suite: Option<String>,
    /// The protocol that was agreed upon.
    pub alpn: Option<String>,
    /// What passed, and goes on passing.
    pub watch: Watch,
    /// The open connection.
    pub stream: Option<TlsStream<Tap<TcpStream>>>,
}

impl Handshake {
    /// How long it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ended - self.begun
    }

    /// Why an ordinary program would not go on: the handshake, else the certificate.
    #[must_use]
    pub fn strict_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.certificate_failure.as_ref())
    }
}

/// Makes a handshake on a connection.
pub async fn handshake(stream: TcpStream, hello: &Hello<'_>, roots: &Roots, timeout: Duration) -> Handshake {
    let split = hello.split.then(|| Split {
        within: hello.server_name.unwrap_or_default().as_bytes().to_vec(),
        pause: SPLIT_PAUSE,
    });
    let tap = Tap::new(stream, split);
    let watch = tap.watch();
    let begun = Instant::now();
    let failed = |failure| Handshake {
        begun,
        ended: Instant::now(),
        failure: Some(failure),
        alert: None,
        certificate_failure: None,
        chain: Vec::new(),
        version: None,
        cipher_suite: None,
        alpn: None,
        watch: watch.clone(),
        stream: None,
    };
    let (Ok(judged_for), Ok(sent)) = (
        ServerName::try_from(hello.judged_for.to_owned()),
        ServerName::try_from(hello.server_name.unwrap_or(hello.judged_for).to_owned()),
    ) else {
        return failed(Failure::InvalidArgument);
    };
    let recorder = Recorder::new(roots, judged_for);
    let config = match config(hello, roots, &recorder) {
        Ok(config) => config,
        Err(error) => return failed(failure::of_tls(&error)),
    };
    let connecting = TlsConnector::from(Arc::new(config)).connect(sent, tap);
    let outcome = match tokio::time::timeout(timeout, connecting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    let mut this = failed(Failure::GenericTimeout);
    if let Some(seen) = recorder.seen() {
        this.certificate_failure = seen.verdict.err().map(|error| failure::of_tls(&error));
        this.chain = seen.chain;
    }
    match outcome {
        Err(error) => {
            this.alert = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::AlertReceived(alert)) => Some(u8::from(*alert)),
                _ => None,
            };
            this.failure = Some(failure::of_io(&error));
        }
        Ok(stream) => {
            let (_, connection) = stream.get_ref();
            this.failure = None;
            this.version = connection.protocol_version().map(version_name);
            this.cipher_suite =
                connection.negotiated_cipher_suite().map(|suite| suite_name(&format!("{:?}", suite.suite())));
            this.alpn = connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
            this.stream = Some(stream);
        }
    }
    this
}

fn config(hello: &Hello<'_>, roots: &Roots, recorder: &Arc<Recorder>) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(roots.provider()));
    let builder = if hello.ech_grease {
        builder.with_ech(grease::mode())?
    } else {
        builder.with_safe_default_protocol_versions()?
    };
    let verifier: Arc<Recorder> = Arc::clone(recorder);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.enable_sni = hello.server_name.is_some();
    config.alpn_protocols = hello.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    // Each handshake is whole: one that resumes another shows no certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn version_name(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "",
    }
}

/// rustls writes `TLS13_AES_128_GCM_SHA256` for IANA's `TLS_AES_128_GCM_SHA256`.
fn suite_name(debug: &str) -> String {
    debug.replacen("TLS13_", "TLS_", 1)
}
