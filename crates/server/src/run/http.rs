//! HTTP, by which visitors see the site and holders of cards come to the tunnel.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_tunnel::transports::web::{CONNECTION_WINDOW_LEN, Channel, WebBody, is_attempt};
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::refusing::Refusing;
use crate::metrics::Handshake;
use crate::site::{Site, SiteBody};
use crate::tls;

/// A visitor has so long for a handshake, and for a request's head, as with nginx.
const PATIENCE: Duration = Duration::from_secs(60);
/// The type of the first record of TLS.
const TLS_HANDSHAKE: u8 = 22;
/// Of one connection at once, as with nginx.
const STREAMS_MAX: u32 = 128;
/// What a visitor may send on one stream before it is read.
const STREAM_WINDOW_LEN: u32 = 1 << 20;

/// What answers a connection's requests.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) shared: Arc<Shared>,
    pub(super) channel: Channel,
    pub(super) from: Visitor,
}

/// How a visitor's address is known.
#[derive(Clone)]
pub(super) enum Visitor {
    Known(IpAddr),
    /// A server in front says it in a header, if it does.
    Told(Option<HeaderName>),
}

impl Visitor {
    fn address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(*address),
            Self::Told(header) => headers.get(header.as_ref()?)?.to_str().ok()?.trim().parse().ok(),
        }
    }
}

impl Answering {
    async fn answer<B>(self, request: Request<B>) -> Response<Either<WebBody, SiteBody>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let from = self.from.address(request.headers());
        let shared = &self.shared;
        let is_attempt = is_attempt(request.headers());
        let may_try = from.is_none_or(|from| shared.handshakes.may_try(from, Instant::now()));
        match (shared.web.answer(request, self.channel, from, may_try).await, from) {
            (Ok(response), from) => {
                shared.metrics.handshake("web", Handshake::Card);
                from.inspect(|from| shared.handshakes.succeeded(*from));
                let mut response = response.map(Either::Left);
                shared.settings().site.name(response.headers_mut());
                response
            }
            (Err(request), from) => {
                let outcome = if may_try { Handshake::Stranger } else { Handshake::NotTried };
                shared.metrics.handshake("web", outcome);
                from.filter(|_| is_attempt && may_try)
                    .inspect(|from| shared.handshakes.failed(*from, Instant::now()));
                let settings = shared.settings();
                settings.answer(request).await.map(Either::Right)
            }
        }
    }
}

/// One connection of HTTPS.
pub(super) async fn https(shared: Arc<Shared>, connection: TcpStream, from: SocketAddr) {
    let mut first = [0];
    match tokio::time::timeout(PATIENCE, connection.peek(&mut first)).await {
        // As nginx tells them apart; the bit is that of SSL 2.
        Ok(Ok(1)) if first[0] == TLS_HANDSHAKE || first[0] & 0x80 != 0 => {}
        Ok(Ok(1)) => return without_tls(shared.settings().site.clone(), connection).await,
        _ => return,
    }
    let Ok(Some(connection)) = tokio::time::timeout(PATIENCE, handshake(&shared, connection)).await else {
        return;
    };
    let (_, state) = connection.get_ref();
    let Ok(exporter) = tls::exporter(state) else { return };
    let is_http2 = state.alpn_protocol() == Some(b"h2");
    let ends = shared.connections_end.clone();
    let answering =
        Answering { shared, channel: Channel::Tls(exporter), from: Visitor::Known(from.ip().to_canonical()) };
    // How a visitor's connection ends is nobody's affair.
    let _ = match is_http2 {
        true => http2(TokioIo::new(connection), answering, ends).await,
        false => http1(connection, answering, ends).await,
    };
}

/// A visitor's TLS; none if it fails, or was the certificate authority's.
async fn handshake(shared: &Shared, connection: TcpStream) -> Option<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), connection).await.ok()?;
    let challenge = shared.acme.as_ref().and_then(|acme| acme.challenge(start.client_hello()));
    if let Some(challenge) = challenge {
        let mut connection = start.into_stream(challenge).await.ok()?;
        // It has seen what it wanted to see.
        let _ = connection.shutdown().await;
        return None;
    }
    start.into_stream(shared.settings().tls.clone()?).await.ok()
}

async fn http2<T>(connection: T, answering: Answering, ends: CancellationToken) -> hyper::Result<()>
where
    T: Read + Write + Unpin,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = answering.clone();
        async move { Ok::<_, Infallible>(answering.answer(request).await) }
    });
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server
        .initial_connection_window_size(CONNECTION_WINDOW_LEN)
        .initial_stream_window_size(STREAM_WINDOW_LEN)
        .max_concurrent_streams(STREAMS_MAX)
        .timer(TokioTimer::new());
    let mut serving = std::pin::pin!(server.serve_connection(connection, service));
    tokio::select! {
        result = &mut serving => return result,
        () = ends.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await
}

/// One connection from a server in front, which ends TLS.
pub(super) async fn relayed(connection: impl AsyncRead + AsyncWrite + Unpin, answering: Answering) {
    let ends = answering.shared.connections_end.clone();
    // It ends connections as it likes.
    let _ = http1(connection, answering, ends).await;
}

/// HTTP/1.1, with or without TLS.
async fn http1<T>(connection: T, answering: Answering, ends: CancellationToken) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let site = answering.shared.settings().site.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = answering.clone();
        async move { Ok::<_, Infallible>(answering.answer(request).await) }
    });
    let serving = http1_server().serve_connection(TokioIo::new(Refusing::new(connection, site)), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        result = &mut serving => return result,
        () = ends.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await
}

fn http1_server() -> hyper::server::conn::http1::Builder {
    let mut server = hyper::server::conn::http1::Builder::new();
    server.title_case_headers(true).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    server
}

/// One connection of HTTP where there should be HTTPS.
async fn without_tls(site: Site, connection: TcpStream) {
    let refusing = Refusing::new(connection, site.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = site.answer_without_tls(request);
        async move { Ok::<_, Infallible>(answer) }
    });
    // How a visitor's connection ends is nobody's affair.
    let _ = http1_server().serve_connection(TokioIo::new(refusing), service).await;
}

/// One connection of HTTP at which all are sent on to HTTPS.
pub(super) async fn redirect(site: Site, connection: TcpStream) {
    let refusing = Refusing::new(connection, site.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    // How a visitor's connection ends is nobody's affair.
    let _ = http1_server().serve_connection(TokioIo::new(refusing), service).await;
}
