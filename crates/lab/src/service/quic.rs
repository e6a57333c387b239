//! QUIC servers of our own: sites over HTTP/3 (nginx speaks it from version 1.25 on, which Debian 12 has not), and an echo.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, VarInt};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;

use super::web::SITE_HEADER;
use crate::world::Namespace;

/// The ALPN of the echo: it is registered nowhere, as it is nobody's protocol.
pub(crate) const ECHO_ALPN: &[u8] = b"daylight-echo";
/// The ALPN of HTTP/3 (RFC 9114 §3.1).
pub(crate) const H3_ALPN: &[u8] = b"h3";
/// What one stream of the echo may send, in bytes.
const ECHO_BYTES_MAX: usize = 1 << 20;

/// What a QUIC server speaks.
#[derive(Clone, Debug)]
pub(super) enum Speaks {
    /// HTTP/3: one page for every path.
    Http3 { page: Bytes, token: String },
    /// Each bidirectional stream gets back what it sent.
    Echo,
}

/// A server that is ready to be started.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) speaks: Speaks,
}

/// A server at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    /// Nothing is sent: the thread ends when this end is gone.
    alive: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Server {
    /// Binds and starts to answer: when this returns, it does.
    pub(super) fn start(config: &Config, at: &[SocketAddr], namespace: &Namespace) -> io::Result<Self> {
        let tls = config.tls()?;
        let (alive, gone) = oneshot::channel();
        let (give, take) = mpsc::channel();
        let (speaks, at) = (config.speaks.clone(), at.to_vec());
        let thread = namespace.start("quic", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(give.send(Err(error))),
            };
            runtime.block_on(async {
                let endpoints = at.iter().map(|at| {
                    let socket = UdpSocket::bind(at)?;
                    let config = Some(tls.clone());
                    Endpoint::new(EndpointConfig::default(), config, socket, Arc::new(TokioRuntime))
                });
                let endpoints: Vec<Endpoint> = match endpoints.collect() {
                    Ok(endpoints) => endpoints,
                    Err(error) => return drop(give.send(Err(error))),
                };
                for endpoint in &endpoints {
                    tokio::spawn(accept(endpoint.clone(), speaks.clone()));
                }
                let _ = give.send(Ok(()));
                let _ = gone.await;
                // As a process that ends: clients are told, but not waited for.
                for endpoint in &endpoints {
                    endpoint.close(VarInt::from_u32(0), b"");
                }
                tokio::task::yield_now().await;
            });
        })?;
        take.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")))?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Config {
    fn tls(&self) -> io::Result<ServerConfig> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).map_err(io::Error::other)?.collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(io::Error::other)?;
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(certificates.map_err(io::Error::other)?, key)
            .map_err(io::Error::other)?;
        let alpn = match self.speaks {
            Speaks::Http3 { .. } => H3_ALPN,
            Speaks::Echo => ECHO_ALPN,
        };
        tls.alpn_protocols = vec![alpn.to_vec()];
        let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        Ok(ServerConfig::with_crypto(Arc::new(crypto)))
    }
}

async fn accept(endpoint: Endpoint, speaks: Speaks) {
    while let Some(incoming) = endpoint.accept().await {
        let speaks = speaks.clone();
        tokio::spawn(async move {
            // What goes wrong with one connection is that client's matter.
            let _ = serve(incoming, speaks).await;
        });
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(incoming: Incoming, speaks: Speaks) -> Result<(), Failure> {
    let connection = incoming.await?;
    match speaks {
        Speaks::Http3 { page, token } => site(connection, page, token).await,
        Speaks::Echo => echo(connection).await,
    }
}

async fn echo(connection: Connection) -> Result<(), Failure> {
    loop {
        let (mut to, mut from) = connection.accept_bi().await?;
        let said = from.read_to_end(ECHO_BYTES_MAX).await?;
        to.write_all(&said).await?;
        to.finish()?;
    }
}

async fn site(connection: Connection, page: Bytes, token: String) -> Result<(), Failure> {
    let mut connection = h3::server::Connection::new(h3_quinn::Connection::new(connection)).await?;
    while let Some(request) = connection.accept().await? {
        let (page, token) = (page.clone(), token.clone());
        tokio::spawn(async move {
            let (request, mut stream) = request.resolve_request().await?;
            let head = request.method() == http::Method::HEAD;
            let response = http::Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .header("content-length", page.len())
                .header(SITE_HEADER, token)
                .body(())?;
            stream.send_response(response).await?;
            if !head {
                stream.send_data(page).await?;
            }
            stream.finish().await?;
            Ok::<(), Failure>(())
        });
    }
    Ok(())
}
