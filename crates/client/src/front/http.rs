//! HTTP proxies: `CONNECT` (RFC 9110 §9.3.6), and requests for `http:` addresses that are forwarded (§7.6).
//!
//! Requests in origin form are for this machine: the PAC file, and nothing else. So a page that tricks a browser into
//! asking here learns nothing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, client, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{REQUEST_PATIENCE, destination, pac, relay_program};
use crate::{ConnectError, Tunnel};

type Body = Either<Incoming, Full<Bytes>>;
/// Of one hop only (RFC 9110 §7.6.1), or meant for a proxy.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

pub(super) async fn serve<T: Tunnel>(
    connection: TcpStream,
    tunnel: T,
    direct_private: bool,
) -> io::Result<()> {
    let local = connection.local_addr()?;
    let proxy = Arc::new(Proxy { tunnel, local, direct_private, connected: Mutex::new(None) });
    let answering = Arc::clone(&proxy);
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(proxy.answer(request).await) }
    });
    server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .half_close(true)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)?;
    let connected = proxy.connected.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((upgrade, mut stream)) = connected else { return Ok(()) };
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    // It is what was given to the server above.
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| io::ErrorKind::Unsupported)?;
    stream.write_all(&parts.read_buf).await?;
    relay_program(parts.io.into_inner(), stream).await;
    Ok(())
}

/// One connection of a program's.
struct Proxy<T: Tunnel> {
    tunnel: T,
    local: SocketAddr,
    direct_private: bool,
    /// What a `CONNECT` has opened, for when its answer has gone out.
    connected: Mutex<Option<(OnUpgrade, T::Stream)>>,
}

impl<T: Tunnel> Proxy<T> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let outcome = if request.method() == Method::CONNECT {
            self.connect(request).await
        } else if request.uri().scheme().is_some() {
            self.forward(request).await
        } else {
            Ok(self.local_page(&request))
        };
        outcome.unwrap_or_else(refusal)
    }

    async fn connect(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let target = destination_of(request.uri(), None).ok_or(Refusal::Target)?;
        let stream = self.tunnel.connect(target).await?;
        let upgrade = hyper::upgrade::on(request);
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, stream));
        Ok(Response::new(Either::Right(Full::default())))
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        // The browser makes TLS itself, by CONNECT.
        if request.uri().scheme_str() != Some("http") {
            return Err(Refusal::Target);
        }
        let target = destination_of(request.uri(), Some(80)).ok_or(Refusal::Target)?;
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority.as_str(), |(_user, host)| host);
        let host = HeaderValue::from_str(host).map_err(|_| Refusal::Target)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| Refusal::Target)?;
        strip(request.headers_mut());
        request.headers_mut().remove(header::EXPECT);
        request.headers_mut().insert(header::HOST, host);
        let stream = self.tunnel.connect(target).await?;
        let cut = |_: hyper::Error| Refusal::Connect(ConnectError::Reset);
        let (mut sender, connection) = client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(cut)?;
        // It ends with the answer, or when the program no longer wants that.
        tokio::spawn(connection);
        let mut response = sender.send_request(request).await.map_err(cut)?;
        strip(response.headers_mut());
        Ok(response.map(Either::Left))
    }

    fn local_page(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.method() != Method::GET || request.uri().path() != "/proxy.pac" {
            return text(
                StatusCode::NOT_FOUND,
                "this is a proxy: here is /proxy.pac, and nothing else\n".into(),
            );
        }
        let mut response = text(StatusCode::OK, pac::file(self.local, self.direct_private));
        let kind = HeaderValue::from_static("application/x-ns-proxy-autoconfig");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// Why a request is not served.
enum Refusal {
    /// It does not say where to.
    Target,
    Connect(ConnectError),
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// With the cause by its name of RFC 9209 §2.3.
fn refusal(refusal: Refusal) -> Response<Body> {
    let error = match refusal {
        Refusal::Connect(error) => error,
        Refusal::Target => {
            let message = "a proxy wants http://NAME/… or CONNECT NAME:PORT\n";
            return text(StatusCode::BAD_REQUEST, message.into());
        }
    };
    let (status, name) = match error {
        ConnectError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "connection_limit_reached"),
        ConnectError::TunnelDown => (StatusCode::SERVICE_UNAVAILABLE, "proxy_internal_error"),
        ConnectError::Failed(_) => (StatusCode::BAD_GATEWAY, "proxy_internal_error"),
        ConnectError::HostUnreachable | ConnectError::NetworkUnreachable => {
            (StatusCode::BAD_GATEWAY, "destination_ip_unroutable")
        }
        ConnectError::Name => (StatusCode::BAD_GATEWAY, "dns_error"),
        ConnectError::NotAllowed => (StatusCode::FORBIDDEN, "destination_ip_prohibited"),
        ConnectError::Refused => (StatusCode::BAD_GATEWAY, "connection_refused"),
        ConnectError::Reset => (StatusCode::BAD_GATEWAY, "connection_terminated"),
        ConnectError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "connection_timeout"),
    };
    let mut response = text(status, format!("{error}\n"));
    if let Ok(value) = HeaderValue::from_str(&format!("daylight; error={name}")) {
        response.headers_mut().insert("proxy-status", value);
    }
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn destination_of(uri: &Uri, default_port: Option<u16>) -> Option<daylight_session::Destination> {
    destination(uri.host()?, uri.port_u16().or(default_port)?)
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}
