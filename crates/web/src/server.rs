//! An HTTP server for pages that strangers read: everything about it is bounded.
//!
//! HTTP/1.1 alone; TLS, HTTP/2 and compression are a reverse proxy's. A connection's peer is never asked for: no client's
//! address gets into the program.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Why a server could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause}; choose another address, or end what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The system gives no threads or timers.
    #[error("the server can't start: {0}")]
    Start(std::io::Error),
}

/// What clients may take. Who needs more than this is not a reader.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the system's queue until one ends.
    pub connections: u32,
    /// A request's head, in bytes; 8,192 at least.
    pub head_bytes: usize,
    /// A request's header fields.
    pub head_fields: usize,
    /// From a connection's begin, or from the answer before, until a request's head is there.
    pub head_time: Duration,
    /// A connection, with all its requests and answers, until its last answer must begin: nobody holds one by reading slowly.
    pub connection_time: Duration,
    /// Answers that are made at the same time, one thread each.
    pub threads: usize,
    /// An answer that is under way when its connection's time is over, or the server ends, is given so much more.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head_bytes: 16 << 10,
            head_fields: 64,
            head_time: Duration::from_secs(10),
            connection_time: Duration::from_secs(120),
            threads: 4,
            grace: Duration::from_secs(5),
        }
    }
}

/// What a server serves.
pub trait Site: Send + Sync + 'static {
    /// Answers a request for GET or HEAD, on a thread on which it may read files. Bodies of requests are not read.
    fn answer(&self, request: &Parts) -> Answer;

    /// The answer when the site can't give one, as a page of its kind.
    fn failure(&self, status: StatusCode) -> Answer;
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The media type, with its character set.
    pub content_type: &'static str,
    /// For how long it may be kept, and by whom.
    pub cache: Cache,
    /// Whether pages of other sites may read it: data may be, pages for people need not.
    pub shared: bool,
    /// The bytes.
    pub body: Vec<u8>,
}

/// For how long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// By nobody: it tells what somebody asked.
    Never,
    /// For a few seconds.
    Briefly,
    /// For ever: it never changes.
    Always,
}

impl Cache {
    fn header(self) -> &'static str {
        match self {
            Self::Never => "no-store",
            Self::Briefly => "public, max-age=2",
            Self::Always => "public, max-age=31536000, immutable",
        }
    }
}

/// A server that listens, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the address is taken, or not this machine's.
    pub fn bind(address: SocketAddr, limits: Limits) -> Result<Self, ServerError> {
        let failed = |cause| ServerError::Listen { address, cause };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, limits })
    }

    /// Where it listens: with the port that the system chose, if it was to choose one.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `is_over`, which is asked ten times a second. Then no connection is taken any more, what is under way is
    /// finished, and after [`Limits::grace`] cut off.
    ///
    /// # Errors
    /// If the system gives no threads or timers.
    pub fn run(self, site: Arc<dyn Site>, is_over: impl Fn() -> bool) -> Result<(), ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(self.limits.threads.max(1))
            .build()
            .map_err(ServerError::Start)?;
        runtime.block_on(self.serve(site, is_over))?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }

    async fn serve(self, site: Arc<dyn Site>, is_over: impl Fn() -> bool) -> Result<(), ServerError> {
        let Self { listener, limits } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServerError::Start)?;
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        let (end, ending) = watch::channel(());
        let accept = async {
            loop {
                // Closed only by ourselves, below.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors, most likely: those that are in use must end first.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let connection = connection(stream, Arc::clone(&site), limits, ending.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        };
        let over = async {
            while !is_over() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = accept => {}
            () = over => {}
        }
        drop(listener);
        drop(end);
        let _ = timeout(limits.grace, places.acquire_many(limits.connections)).await;
        Ok(())
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    site: Arc<dyn Site>,
    limits: Limits,
    mut ending: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(respond(site, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes.max(8192))
        .max_headers(limits.head_fields)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // What goes wrong with a connection is the client's affair.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = ending.changed() => {}
        () = sleep(limits.connection_time) => {}
    }
    // No further request; the answer under way may be read to its end.
    served.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, served).await;
}

async fn respond(site: Arc<dyn Site>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    drop(body);
    let readable = matches!(parts.method, Method::GET | Method::HEAD);
    let answered = tokio::task::spawn_blocking(move || {
        if readable { site.answer(&parts) } else { site.failure(StatusCode::METHOD_NOT_ALLOWED) }
    });
    match answered.await {
        Ok(answer) => response(answer),
        // A fault of ours: the next request is answered all the same.
        Err(_) => response(Answer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            content_type: "text/plain; charset=utf-8",
            cache: Cache::Never,
            shared: false,
            body: b"The page could not be made: a fault of this server's.\n".to_vec(),
        }),
    }
}

/// On every answer. Nothing is loaded from elsewhere, nothing runs, nobody frames the page, and where a reader comes from
/// (in which stands what was asked for) is told to nobody.
const SAFETY: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    for (name, value) in SAFETY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let sharing = if answer.shared { "cross-origin" } else { "same-origin" };
    headers
        .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static(sharing));
    if answer.shared {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(answer.cache.header()));
    // The same address gives a page or data, by what is asked for.
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    match answer.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        _ => {}
    }
    response
}
