//! One HTTP/1.1 request on an open connection.
//!
//! HTTP/1.1 alone: every web server speaks it, and what passes is readable in a capture.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_verdict::ooni::Failure;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Request as HyperRequest};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use crate::failure;

/// What a browser of these days says; pages are made for browsers.
pub const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
/// What it accepts, as OONI's measurements say.
pub const BROWSER_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// The languages it asks for.
pub const BROWSER_LANGUAGE: &str = "en-US,en;q=0.9";
/// A response has no more headers than this.
const HEADERS_MAX: usize = 200;
/// Nor are they longer.
const HEADER_BYTES_MAX: usize = 256 << 10;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// The whole URL; its path and query go on the wire.
    pub url: Url,
    /// In the order in which they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is posted.
    pub body: Bytes,
}

impl Request {
    /// A browser's visit, with `host` in the `Host` header.
    ///
    /// # Errors
    /// If the host or a cookie can't stand in a header.
    pub fn visit(url: &Url, host: &str, cookies: &str) -> Result<Self, Failure> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::InvalidArgument);
        let mut headers = vec![
            (HOST, value(host)?),
            (USER_AGENT, HeaderValue::from_static(BROWSER)),
            (ACCEPT, HeaderValue::from_static(BROWSER_ACCEPT)),
            (ACCEPT_LANGUAGE, HeaderValue::from_static(BROWSER_LANGUAGE)),
        ];
        if !cookies.is_empty() {
            headers.push((COOKIE, value(cookies)?));
        }
        Ok(Self { method: Method::GET, url: url.clone(), headers, body: Bytes::new() })
    }

    /// Bytes of a given type, posted.
    ///
    /// # Errors
    /// If the URL's host can't stand in a header.
    pub fn post(url: &Url, content_type: &'static str, body: impl Into<Bytes>) -> Result<Self, Failure> {
        let host = HeaderValue::from_str(&authority(url)).map_err(|_| Failure::InvalidArgument)?;
        let content_type = HeaderValue::from_static(content_type);
        let headers =
            vec![(HOST, host), (ACCEPT, HeaderValue::from_static("*/*")), (CONTENT_TYPE, content_type)];
        Ok(Self { method: Method::POST, url: url.clone(), headers, body: body.into() })
    }
}

/// The host, with the port if it isn't the scheme's own.
#[must_use]
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers, in their order, with names as `Content-Type`.
    pub headers: Vec<(String, String)>,
    /// The body's beginning.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
}

impl Response {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A request, and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When it was begun.
    pub begun: Instant,
    /// When the last of it had come.
    pub ended: Instant,
    /// What came: also when the body broke off.
    pub response: Option<Response>,
    /// Why it isn't whole.
    pub failure: Option<Failure>,
}

/// Sends a request, and takes no more than `body_bytes_max` of what comes.
pub async fn exchange<S>(stream: S, request: &Request, body_bytes_max: usize, timeout: Duration) -> Exchange
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Instant::now();
    let mut response = None;
    let failure =
        match tokio::time::timeout(timeout, send(stream, request, body_bytes_max, &mut response)).await {
            Ok(outcome) => outcome.err(),
            Err(_) => Some(Failure::GenericTimeout),
        };
    Exchange { begun, ended: Instant::now(), response, failure }
}

async fn send<S>(
    stream: S,
    request: &Request,
    body_bytes_max: usize,
    response: &mut Option<Response>,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure::of_http(&error))?;
    let wire = wire(request)?;
    let work = async {
        let got = sender.send_request(wire).await.map_err(|error| failure::of_http(&error))?;
        let (parts, mut body) = got.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (title_case(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let kept = response.insert(Response {
            status: parts.status.as_u16(),
            headers,
            body: Vec::new(),
            truncated: false,
        });
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure::of_http(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = body_bytes_max - kept.body.len();
            kept.body.extend_from_slice(data.get(..room).unwrap_or(data));
            if data.len() > room {
                kept.truncated = true;
                break;
            }
        }
        Ok(())
    };
    tokio::pin!(connection, work);
    // The connection does the reading. When it has ended, what it read may still have to be taken.
    tokio::select! {
        biased;
        done = &mut work => done,
        ended = &mut connection => match ended {
            Ok(()) => work.await,
            Err(error) => work.await.and_then(|()| Err(failure::of_http(&error))),
        },
    }
}

fn wire(request: &Request) -> Result<HyperRequest<Full<Bytes>>, Failure> {
    let mut path = request.url.path().to_owned();
    if path.is_empty() {
        path.push('/');
    }
    if let Some(query) = request.url.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut wire = HyperRequest::builder().method(request.method.clone()).uri(path);
    for (name, value) in &request.headers {
        wire = wire.header(name, value);
    }
    wire.body(Full::new(request.body.clone())).map_err(|_| Failure::InvalidArgument)
}

/// `content-type` as `Content-Type`: names of headers in measurements are written so.
pub(crate) fn title_case(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = c == '-';
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn answer(mut far: DuplexStream, bytes: &'static [u8]) -> String {
        let mut got = Vec::new();
        while !got.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            let n = far.read(&mut buffer).await.unwrap();
            got.extend_from_slice(&buffer[..n]);
        }
        far.write_all(bytes).await.unwrap();
        String::from_utf8(got).unwrap()
    }

    async fn visit(bytes: &'static [u8], max: usize) -> (Exchange, String) {
        let (near, far) = duplex(64 << 10);
        let url = Url::parse("http://a.example/p?q=1#f").unwrap();
        let request = Request::visit(&url, "a.example", "k=v").unwrap();
        tokio::join!(exchange(near, &request, max, LONG), answer(far, bytes))
    }

    #[tokio::test]
    async fn a_page_is_kept_with_its_headers() {
        let (exchange, asked) =
            visit(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Two: a\r\nx-two: b\r\n\r\nhello", 100).await;
        assert!(asked.starts_with("GET /p?q=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: "), "{asked}");
        assert!(asked.contains("\r\nCookie: k=v\r\n"), "{asked}");
        let response = exchange.response.unwrap();
        assert_eq!(
            (response.status, response.body.as_slice(), response.truncated),
            (200, b"hello".as_slice(), false)
        );
        assert_eq!(response.headers.iter().filter(|(name, _)| name == "X-Two").count(), 2);
        assert_eq!(response.header("CONTENT-LENGTH"), Some("5"));
        assert_eq!(exchange.failure, None);
    }

    #[tokio::test]
    async fn a_long_body_is_cut() {
        let (exchange, _) = visit(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world", 5).await;
        let response = exchange.response.unwrap();
        assert_eq!((response.body.as_slice(), response.truncated), (b"hello".as_slice(), true));
        assert_eq!(exchange.failure, None);
    }

    #[tokio::test]
    async fn what_breaks_off_is_kept() {
        let (exchange, _) = visit(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello", 100).await;
        assert_eq!(exchange.failure, Some(Failure::Eof));
        assert_eq!(exchange.response.unwrap().body, b"hello");
        let (exchange, _) = visit(b"", 100).await;
        assert_eq!(exchange.failure, Some(Failure::Eof));
        assert!(exchange.response.is_none());
    }

    #[test]
    fn names_of_headers() {
        assert_eq!(title_case("x-FRAME-options"), "X-Frame-Options");
    }
}
