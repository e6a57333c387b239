//! TLS interception: the connection ends at the censor, who shows a certificate of his own making.
//!
//! **Models.** Kazakhstan, July 2019 (Raman et al., "Investigating Large Scale HTTPS Interception in Kazakhstan", IMC 2020): for a
//! list of names in the ClientHello only; the leaf is signed by a root called "Qaznet Trust Network"; other names on the same
//! address are not touched. Belarus, A1, 2020 (Qurium): a transparent Squid with a certificate of "Atlant-Telecom HTTPS
//! Proxy".
//!
//! Towards the server, a connection of its own, whose certificate nobody checks. Both speak HTTP/1.1 if ALPN is used. The
//! root is made anew at every start, so that nobody can be tempted to trust it elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::names::Names;
use super::observe;
use super::proxy::{self, Counters, ProxyError, Running, Serve};

/// An adversary that intercepts TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsInterceptionConfig {
    /// Server names whose connections are intercepted; all others are passed on as they are.
    pub sni: Names,
    /// Ports of servers.
    #[serde(default = "ports")]
    pub ports: Vec<u16>,
    /// Common name of the root.
    #[serde(default = "qaznet")]
    pub issuer: String,
    /// Only connections that come in by this interface.
    #[serde(default)]
    pub interface: Option<String>,
}

fn ports() -> Vec<u16> {
    vec![443]
}

fn qaznet() -> String {
    "Qaznet Trust Network".to_owned()
}

/// An interception at work.
pub struct TlsInterception {
    running: Running,
    root_pem: String,
}

impl TlsInterception {
    /// The root certificate, as PEM: for clients of the lab that have been made to trust it.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The proxy.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The proxy, to be kept or stopped.
    pub fn into_running(self) -> Running {
        self.running
    }
}

const KIND: &str = "tls-interception";

impl TlsInterceptionConfig {
    /// Starts in the calling thread's network namespace.
    ///
    /// # Errors
    /// If there is no port to be had, or the kernel does not take the redirection.
    pub fn start(&self) -> Result<TlsInterception, ProxyError> {
        let certificate =
            |e: &dyn std::fmt::Display| ProxyError::Certificate { kind: KIND, message: e.to_string() };
        let issuer = root(&self.issuer).map_err(|e| certificate(&e))?;
        let root_pem = issuer.pem();
        let provider = Arc::new(ring::default_provider());
        let mut towards_server = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| certificate(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(Arc::clone(&provider))))
            .with_no_client_auth();
        towards_server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let counters = Arc::new(Counters::default());
        let (sni, counted) = (self.sni.clone(), Arc::clone(&counters));
        let make = move || Interceptor {
            sni,
            issuer,
            provider,
            towards_server: TlsConnector::from(Arc::new(towards_server)),
            forged: RefCell::default(),
            counters: counted,
        };
        let running = proxy::start(KIND, &self.ports, self.interface.as_deref(), counters, make)?;
        Ok(TlsInterception { running, root_pem })
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

type Root = CertifiedIssuer<'static, KeyPair>;

fn root(common_name: &str) -> Result<Root, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

struct Interceptor {
    sni: Names,
    issuer: Root,
    provider: Arc<CryptoProvider>,
    towards_server: TlsConnector,
    /// By name.
    forged: RefCell<HashMap<String, Arc<ServerConfig>>>,
    counters: Arc<Counters>,
}

impl Interceptor {
    /// What is shown for a name.
    fn forge(&self, name: &str) -> io::Result<Arc<ServerConfig>> {
        if let Some(forged) = self.forged.borrow().get(name) {
            return Ok(Arc::clone(forged));
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name = named(name);
        let leaf = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let chain = vec![leaf.der().clone(), self.issuer.der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        self.forged.borrow_mut().insert(name.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}

impl Serve for Interceptor {
    async fn serve(self: Rc<Self>, mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let name = peek_server_name(&client).await?.filter(|name| self.sni.has(name));
        let Some(name) = name else {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        };
        self.counters.matched.fetch_add(1, Ordering::Relaxed);
        let server = TcpStream::connect(server).await?;
        let asked_for = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
        let mut server = self.towards_server.connect(asked_for, server).await?;
        let mut client = TlsAcceptor::from(self.forge(&name)?).accept(client).await?;
        // Many programs close without saying so in TLS; that ends the copying, and is no failure here.
        let copied = copy_bidirectional(&mut client, &mut server).await;
        let _ = (client.shutdown().await, server.shutdown().await);
        copied.map(|_| ())
    }
}

/// A client that says nothing is waited for so long.
const PEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// More of a hello is waited for in steps of this length.
const PEEK_EVERY: Duration = Duration::from_millis(5);
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// The server name in the ClientHello that a client begins with, if it does, without taking anything from the stream.
async fn peek_server_name(client: &TcpStream) -> io::Result<Option<String>> {
    let mut hello = vec![0; HELLO_BYTES_MAX];
    let look = async {
        let mut before = 0;
        loop {
            let len = client.peek(&mut hello).await?;
            let seen = hello.get(..len).unwrap_or_default();
            let whole = matches!(seen, [22, 3, _, a, b, rest @ ..]
                if rest.len() >= usize::from(u16::from_be_bytes([*a, *b])));
            if let Some(name) = observe::server_name(seen) {
                return Ok(Some(name));
            }
            let starts_like_tls = [22, 3].starts_with(&seen[..seen.len().min(2)]);
            if whole || !starts_like_tls || len == HELLO_BYTES_MAX || len == 0 && before == 0 {
                return Ok(None);
            }
            before = len;
            tokio::time::sleep(PEEK_EVERY).await;
        }
    };
    tokio::time::timeout(PEEK_TIMEOUT, look).await.unwrap_or(Ok(None))
}

/// Believes every certificate, as an interceptor may, and a client that was told to.
#[derive(Debug)]
pub(crate) struct Credulous(Arc<CryptoProvider>);

impl Credulous {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
