//! The server: HTTP/1.1, with TLS of its own or behind a web server that has it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_capture::save_syns;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::extras::{BLOB_BYTES_MAX, Echo, Syn, blob, syn};
use super::limits::Askers;
use super::measure::measure;
use super::{Limits, Policy, read_request};

/// No request is longer, as OONI's helper has it.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// A client that sends its headers slower is let go; one that is idle too.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest connection: a request takes half a minute at worst.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(180);

/// How a helper is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate and key; none behind a web server that has them.
    pub tls: Option<Tls>,
    /// Whom it asks, and where it goes.
    pub policy: Policy,
    /// How much it does.
    pub limits: Limits,
    /// Behind a web server: askers' addresses are taken from the last entry of `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// The program's version, for the health answer.
    pub version: String,
}

/// Files with a certificate chain and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain, the server's own first.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why a helper can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// The address.
    #[error("can't listen on {at}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or the key.
    #[error("{path} can't be used: {why}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A helper that listens.
pub struct Serving {
    listener: TcpListener,
    shared: Arc<Shared>,
    acceptor: Option<TlsAcceptor>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    askers: Askers,
    in_flight: Semaphore,
    connections: Arc<Semaphore>,
}

/// Listens.
///
/// # Errors
/// If the address can't be had, or the certificate can't be used.
pub async fn serve(options: Options) -> Result<Serving, HelperError> {
    let acceptor = options.tls.as_ref().map(acceptor).transpose()?;
    let at = options.listen;
    let listener = TcpListener::bind(at).await.map_err(|source| HelperError::Listen { at, source })?;
    // Not everywhere; without it the echo tells less.
    let _ = save_syns(&listener);
    let (in_flight, connections) = (options.limits.in_flight, options.limits.connections);
    let shared = Shared {
        options,
        askers: Askers::default(),
        in_flight: Semaphore::new(in_flight),
        connections: Arc::new(Semaphore::new(connections)),
    };
    Ok(Serving { listener, shared: Arc::new(shared), acceptor })
}

/// Runs a helper on this thread until `stop` is set; `ready` is told where it listens.
///
/// # Errors
/// As [`serve`]; or if the runtime can't be started.
pub fn run(options: Options, ready: &dyn Fn(SocketAddr), stop: &AtomicBool) -> Result<(), HelperError> {
    let at = options.listen;
    let listen = |source| HelperError::Listen { at, source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(listen)?;
    runtime.block_on(async {
        let serving = serve(options).await?;
        ready(serving.address().map_err(listen)?);
        serving.run(stop).await;
        Ok(())
    })
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, HelperError> {
    fn failed(path: &Path, why: impl ToString) -> HelperError {
        HelperError::Tls { path: path.to_owned(), why: why.to_string() }
    }
    let chain: Vec<_> = CertificateDer::pem_file_iter(&tls.chain)
        .and_then(Iterator::collect)
        .map_err(|error| failed(&tls.chain, error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| failed(&tls.key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| failed(&tls.chain, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Serving {
    /// Where it listens, with the port that the system chose.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is set.
    pub async fn run(self, stop: &AtomicBool) {
        let mut ticker = tokio::time::interval(Duration::from_millis(200));
        let mut tasks = tokio::task::JoinSet::new();
        while !stop.load(Ordering::Relaxed) {
            tokio::select! {
                accepted = self.listener.accept() => {
                    // Out of descriptors, or a client that left: the next one may do better.
                    let Ok((stream, from)) = accepted else { continue };
                    let Ok(permit) = Arc::clone(&self.shared.connections).try_acquire_owned() else { continue };
                    let (shared, acceptor) = (Arc::clone(&self.shared), self.acceptor.clone());
                    tasks.spawn(async move {
                        let work = connection(stream, from, acceptor, shared);
                        // Whoever takes longer has gone.
                        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, work).await;
                        drop(permit);
                    });
                }
                _ = ticker.tick() => while tasks.try_join_next().is_some() {},
            }
        }
        tasks.shutdown().await;
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let syn = syn(&stream);
    let arrived = |server_name| Arrived { from, server_name, syn };
    match acceptor {
        None => http(stream, arrived(None), shared).await,
        Some(acceptor) => {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await
            else {
                return;
            };
            let name = stream.get_ref().1.server_name().map(str::to_owned);
            http(stream, arrived(name), shared).await;
        }
    }
}

/// How a connection came.
#[derive(Clone)]
struct Arrived {
    from: SocketAddr,
    server_name: Option<String>,
    syn: Option<Syn>,
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(stream: S, arrived: Arrived, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let (arrived, shared) = (arrived.clone(), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(shared.handle(request, &arrived).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
    // A client that breaks off is nobody's concern.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn handle(&self, request: Request<Incoming>, arrived: &Arrived) -> Response<Full<Bytes>> {
        let asker = self.asker(&request, arrived);
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/daylight/echo") => echo(&request, arrived, asker),
            (&Method::GET, "/daylight/blob") => {
                if !self.askers.allows(asker, Instant::now(), self.options.limits.per_minute) {
                    return refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests from your address");
                }
                send_blob(request.uri().query().unwrap_or_default())
            }
            (&Method::GET, _) => {
                let health = json!({"status": "ok", "name": "daylight", "version": self.options.version});
                reply(StatusCode::OK, health.to_string())
            }
            (&Method::POST, _) => self.measure(request, asker).await,
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered"),
        }
    }

    fn asker(&self, request: &Request<Incoming>, arrived: &Arrived) -> IpAddr {
        let forwarded = request
            .headers()
            .get("x-forwarded-for")
            .filter(|_| self.options.behind_proxy)
            .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        forwarded.unwrap_or_else(|| arrived.from.ip())
    }

    async fn measure(&self, request: Request<Incoming>, asker: IpAddr) -> Response<Full<Bytes>> {
        if !self.askers.allows(asker, Instant::now(), self.options.limits.per_minute) {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests from your address");
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "too much to do; try again, or elsewhere");
        };
        let body = match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => {
                return refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the request is longer than 16 MiB, or broke off",
                );
            }
        };
        let (target, asked) = match read_request(&body) {
            Ok(read) => read,
            Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
        };
        let control = measure(&target, &asked, &self.options.policy).await;
        match serde_json::to_string(&control) {
            Ok(text) => reply(StatusCode::OK, text),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

fn echo(request: &Request<Incoming>, arrived: &Arrived, asker: IpAddr) -> Response<Full<Bytes>> {
    let headers = request.headers().iter();
    let echo = Echo {
        address: asker.to_canonical().to_string(),
        port: arrived.from.port(),
        server_name: arrived.server_name.clone(),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        syn: arrived.syn,
    };
    match serde_json::to_string(&echo) {
        Ok(text) => reply(StatusCode::OK, text),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn send_blob(query: &str) -> Response<Full<Bytes>> {
    let asked =
        query.split('&').find_map(|pair| pair.strip_prefix("bytes=")).and_then(|text| text.parse().ok());
    match asked {
        Some(bytes) if bytes <= BLOB_BYTES_MAX => {
            let mut response = Response::new(Full::new(Bytes::from(blob(bytes))));
            response
                .headers_mut()
                .insert("content-type", http::HeaderValue::from_static("application/octet-stream"));
            response
        }
        _ => refuse(StatusCode::BAD_REQUEST, "write ?bytes=N, with N no more than 1048576"),
    }
}

fn reply(status: StatusCode, json: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    reply(status, json!({"error": why}).to_string())
}
