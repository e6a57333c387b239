//! Sockets: what listens, TLS, and connections with bounds.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::app::{App, Data};
use crate::options::{Acme, Options, ServeError, Transport};

/// From a connection's begin until a request's head is there, or a handshake over.
const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 32 << 10;
const HEAD_FIELDS: usize = 64;
/// An answer that is under way when the server ends is given so much more.
const GRACE: Duration = Duration::from_secs(2);

/// Threads of questions have so much stack: conditions nest.
const STACK_BYTES: usize = 16 << 20;

/// A dashboard that listens, and does not answer yet.
#[derive(Debug)]
pub struct Dashboard {
    listener: TcpListener,
    options: Options,
    encryption: Encryption,
}

/// How a connection begins.
#[derive(Clone)]
enum Encryption {
    None,
    Files(Arc<ServerConfig>),
    Acme(Acme),
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Files(_) => "Files",
            Self::Acme(_) => "Acme",
        })
    }
}

impl Dashboard {
    /// Looks whether it is safe to, and begins to listen.
    ///
    /// # Errors
    /// If strangers could look, the password file or the certificate won't do, or the address is taken.
    pub fn bind(options: Options) -> Result<Self, ServeError> {
        options.check()?;
        if let Some(path) = &options.passwords {
            crate::auth::Passwords::read(path)?;
        }
        let encryption = match &options.transport {
            Transport::Files { certificate, key } => Encryption::Files(of_files(certificate, key)?),
            Transport::Acme(acme) => Encryption::Acme(acme.clone()),
            _ => Encryption::None,
        };
        let failed = |cause| ServeError::Listen { address: options.listen, cause };
        let listener = TcpListener::bind(options.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, options, encryption })
    }

    /// Where it listens: with the port that the system chose, if it was to choose one.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// True if readers use TLS here.
    pub fn is_tls(&self) -> bool {
        self.options.is_tls()
    }

    /// Serves until `stop` is set, which is looked at ten times a second. `tell` is told, in a line for the operator, of
    /// certificates that were ordered or could not be.
    ///
    /// Questions are answered on threads of their own, so that a large one does not keep pages waiting.
    ///
    /// # Errors
    /// If the system gives no threads, timers or random numbers.
    pub fn run(
        self,
        data: Data,
        stop: &AtomicBool,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(), ServeError> {
        let serving = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .thread_name("dashboard")
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let asking = tokio::runtime::Builder::new_multi_thread()
            .thread_name("questions")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let port = self.listener.local_addr().map_err(ServeError::Start)?.port();
        let result = App::new(&self.options, data, asking.handle().clone(), port).and_then(|app| {
            serving.block_on(accept(self.listener, app, self.encryption, &self.options, stop, Arc::new(tell)))
        });
        asking.shutdown_background();
        serving.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

/// Serves a dashboard until `stop` is set; see [`Dashboard::run`].
///
/// # Errors
/// As [`Dashboard::bind`] and [`Dashboard::run`].
pub fn serve(options: Options, data: Data, stop: &AtomicBool) -> Result<(), ServeError> {
    Dashboard::bind(options)?.run(data, stop, |_| {})
}

type Tell = Arc<dyn Fn(&str) + Send + Sync>;

async fn accept(
    listener: TcpListener,
    app: Arc<App>,
    encryption: Encryption,
    options: &Options,
    stop: &AtomicBool,
    tell: Tell,
) -> Result<(), ServeError> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?;
    let gate = Arc::new(gate(encryption, tell)?);
    let places = Arc::new(Semaphore::new(options.connections_max as usize));
    let (end, ending) = watch::channel(());
    let accept = async {
        loop {
            // Closed by nobody while this runs.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, peer)) = listener.accept().await else {
                // Out of descriptors, most likely: those that are in use must end first.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (app, gate, ending) = (Arc::clone(&app), Arc::clone(&gate), ending.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(Some(stream)) = timeout(HEAD_TIME, gate.enter(stream)).await {
                    connection(stream, app, peer.ip(), ending).await;
                }
                drop(place);
            });
        }
    };
    let over = async {
        while !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = accept => {}
        () = over => {}
    }
    app.stop();
    drop(listener);
    drop(end);
    let _ = timeout(GRACE, places.acquire_many(options.connections_max)).await;
    Ok(())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a connection comes through.
enum Gate {
    Open,
    Tls(TlsAcceptor),
    Acme { challenge: Arc<ServerConfig>, visitors: Arc<ServerConfig> },
}

fn gate(encryption: Encryption, tell: Tell) -> Result<Gate, ServeError> {
    let acme = match encryption {
        Encryption::None => return Ok(Gate::Open),
        Encryption::Files(config) => return Ok(Gate::Tls(config.into())),
        Encryption::Acme(acme) => acme,
    };
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&acme.folder);
    made.map_err(|cause| ServeError::Certificate { path: acme.folder.clone(), why: cause.to_string() })?;
    let directory =
        acme.directory.unwrap_or_else(|| rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY.to_owned());
    let mut state = rustls_acme::AcmeConfig::new(&acme.names)
        .contact(acme.contact.iter().map(|contact| format!("mailto:{contact}")))
        .directory(directory)
        .cache(rustls_acme::caches::DirCache::new(acme.folder))
        .state();
    let visitors = config()?.with_no_client_auth().with_cert_resolver(state.resolver());
    let gate = Gate::Acme { challenge: state.challenge_rustls_config(), visitors: Arc::new(visitors) };
    tokio::spawn(async move {
        use futures_util::StreamExt as _;
        while let Some(event) = state.next().await {
            match event {
                Ok(rustls_acme::EventOk::DeployedNewCert) => tell("there is a new certificate"),
                Ok(_) => {}
                Err(error) => tell(&format!("the certificate can't be had, which is tried again: {error}")),
            }
        }
    });
    Ok(gate)
}

impl Gate {
    /// The connection, if there is something to be asked on it.
    async fn enter(&self, stream: TcpStream) -> Option<Pin<Box<dyn Stream>>> {
        match self {
            Self::Open => Some(Box::pin(stream)),
            Self::Tls(acceptor) => Some(Box::pin(acceptor.accept(stream).await.ok()?)),
            Self::Acme { challenge, visitors } => {
                let hello =
                    LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.ok()?;
                if rustls_acme::is_tls_alpn_challenge(&hello.client_hello()) {
                    // The handshake is all that the authority wants.
                    let _ = hello.into_stream(Arc::clone(challenge)).await;
                    return None;
                }
                Some(Box::pin(hello.into_stream(Arc::clone(visitors)).await.ok()?))
            }
        }
    }
}

fn config() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, ServeError> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ServeError::Tls(error.to_string()))
}

fn of_files(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServeError> {
    let wrong = |path: &Path, why: String| ServeError::Certificate { path: path.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| wrong(certificate, format!("no certificate can be read: {cause}")))?;
    if chain.is_empty() {
        return Err(wrong(
            certificate,
            "it has no certificate; it must begin with this server's own (PEM)".to_owned(),
        ));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|cause| wrong(key, format!("no key can be read: {cause}")))?;
    let mut config = config()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|cause| wrong(certificate, format!("it doesn't go with its key: {cause}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn connection(
    stream: Pin<Box<dyn Stream>>,
    app: Arc<App>,
    peer: IpAddr,
    mut ending: watch::Receiver<()>,
) {
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, std::convert::Infallible>(app.answer(request, peer).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // What goes wrong with a connection is the client's affair.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = ending.changed() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, served).await;
}
