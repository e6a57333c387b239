//! A transparent HTTP proxy.
//!
//! **Models.** What Netalyzr and others look for (Weaver et al., "Here Be Web Proxies", PAM 2014): a proxy in the path writes its
//! name into the Via header of requests and responses (RFC 9110 §7.6.3), drops hop-by-hop headers, and spells and orders headers
//! in its own way. Belarus, A1, 2020 (Qurium): a transparent Squid. One that is told to also refuses names, with a page of
//! its own.
//!
//! HTTP/1.0 and 1.1; one request at a time on a connection that is kept open. What is not HTTP ends the connection, as it does
//! with real ones. `CONNECT` and upgrades are refused.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::names::Names;
use super::observe;
use super::proxy::{self, Counters, ProxyError, Running, Serve};

/// An adversary that is an HTTP proxy nobody asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpProxyConfig {
    /// What it writes into Via: host and, in brackets, product.
    pub via: String,
    /// Names that it refuses.
    pub hosts: Names,
    /// Add the client's address as X-Forwarded-For.
    pub forwarded_for: bool,
    /// Write header names as `Content-Type`, however they came.
    pub normalise: bool,
    /// Ports of servers.
    pub ports: Vec<u16>,
    /// Only connections that come in by this interface.
    pub interface: Option<String>,
}

impl Default for HttpProxyConfig {
    fn default() -> Self {
        Self {
            via: "proxy (squid/4.10)".to_owned(),
            hosts: Names::default(),
            forwarded_for: true,
            normalise: true,
            ports: vec![80],
            interface: None,
        }
    }
}

const KIND: &str = "http-proxy";

impl HttpProxyConfig {
    /// Starts in the calling thread's network namespace.
    ///
    /// # Errors
    /// If there is no port to be had, or the kernel does not take the redirection.
    pub fn start(&self) -> Result<Running, ProxyError> {
        let counters = Arc::new(Counters::default());
        let (config, counted) = (self.clone(), Arc::clone(&counters));
        let make = move || Proxy { config, counters: counted };
        proxy::start(KIND, &self.ports, self.interface.as_deref(), counters, make)
    }
}

struct Proxy {
    config: HttpProxyConfig,
    counters: Arc<Counters>,
}

/// The longest head of a request or response.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

/// Headers that concern one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authorization"];

/// How long a body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A request's or a response's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Without the line's end.
    start_line: String,
    headers: Vec<(String, Vec<u8>)>,
    /// Bytes that it took.
    len: usize,
}

impl Head {
    /// Reads a head. `None` if it is not all there.
    fn read(bytes: &[u8], is_request: bool) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let wrong = |e: httparse::Error| io::Error::new(io::ErrorKind::InvalidData, e.to_string());
        let (parsed, start_line, headers) = if is_request {
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(bytes).map_err(wrong)?;
            let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
            let line = format!("{method} {path} HTTP/1.{}", request.version.unwrap_or(1));
            (parsed, line, request.headers)
        } else {
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(bytes).map_err(wrong)?;
            let (code, reason) = (response.code.unwrap_or(0), response.reason.unwrap_or_default());
            let line = format!("HTTP/1.{} {code} {reason}", response.version.unwrap_or(1));
            (parsed, line, response.headers)
        };
        let httparse::Status::Complete(len) = parsed else { return Ok(None) };
        let headers = headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
        Ok(Some(Self { start_line, headers, len }))
    }

    fn value(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value).to_ascii_lowercase())
    }

    fn closes(&self) -> bool {
        let said = self.value("connection").unwrap_or_default();
        said.contains("close") || self.start_line.contains("HTTP/1.0") && !said.contains("keep-alive")
    }

    fn body(&self, otherwise: Body) -> io::Result<Body> {
        if self.value("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            return Ok(Body::Chunked);
        }
        match self.value("content-length") {
            Some(len) => len
                .trim()
                .parse()
                .map(Body::Length)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "Content-Length is no number")),
            None => Ok(otherwise),
        }
    }

    /// Writes the head as the proxy does.
    fn rewrite(&self, config: &HttpProxyConfig, client: Option<SocketAddr>) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start_line).into_bytes();
        for (name, value) in &self.headers {
            if HOP_BY_HOP.iter().any(|h| name.eq_ignore_ascii_case(h)) {
                continue;
            }
            let name = if config.normalise { normal(name) } else { name.clone() };
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("Via: 1.1 {}\r\n", config.via).as_bytes());
        if let Some(client) = client.filter(|_| config.forwarded_for) {
            out.extend_from_slice(format!("X-Forwarded-For: {}\r\n", client.ip()).as_bytes());
        }
        if self.closes() {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// `content-type` becomes `Content-Type`.
fn normal(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = c == '-';
            c
        })
        .collect()
}

/// A connection, and what was read of it but not yet used.
struct End {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads more. False at the end.
    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next head. `None` if the connection ends before it begins.
    async fn head(&mut self, is_request: bool) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::read(&self.buffer, is_request)? {
                self.buffer.drain(..head.len);
                return Ok(Some(head));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is too long"));
            }
            if !self.more().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Passes `len` bytes on.
    async fn pass(&mut self, mut len: u64, to: &mut Self) -> io::Result<()> {
        while len > 0 {
            if self.buffer.is_empty() && !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = usize::try_from(len).unwrap_or(usize::MAX).min(self.buffer.len());
            to.stream.write_all(&self.buffer[..now]).await?;
            self.buffer.drain(..now);
            len -= now as u64;
        }
        Ok(())
    }

    /// Passes a line on, and gives it.
    async fn line(&mut self, to: &mut Self) -> io::Result<Vec<u8>> {
        let end = loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                break end + 1;
            }
            if self.buffer.len() > HEAD_BYTES_MAX || !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        to.stream.write_all(&line).await?;
        Ok(line)
    }

    /// Passes a body on.
    async fn body(&mut self, body: Body, to: &mut Self) -> io::Result<()> {
        match body {
            Body::Length(len) => self.pass(len, to).await,
            Body::Chunked => loop {
                // RFC 9112 §7.1: a size, the data with its line's end, and after the last one trailers and an empty line.
                let line = self.line(to).await?;
                let size = String::from_utf8_lossy(&line);
                let size = size.split([';', '\r', '\n']).next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without a size"))?;
                if size == 0 {
                    while self.line(to).await?.trim_ascii() != b"" {}
                    return Ok(());
                }
                self.pass(size.saturating_add(2), to).await?;
            },
            Body::UntilClose => loop {
                to.stream.write_all(&self.buffer).await?;
                self.buffer.clear();
                if !self.more().await? {
                    return Ok(());
                }
            },
        }
    }
}

impl Serve for Proxy {
    async fn serve(self: Rc<Self>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let address = client.peer_addr()?;
        let mut client = End::new(client);
        let mut server_end: Option<End> = None;
        while let Some(request) = client.head(true).await? {
            self.counters.matched.fetch_add(1, Ordering::Relaxed);
            let line =
                format!("{}\r\nHost: {}\r\n", request.start_line, request.value("host").unwrap_or_default());
            let host = observe::request(line.as_bytes()).and_then(|r| r.host).unwrap_or_default();
            let refused = self.config.hosts.has(&host);
            if refused || request.start_line.starts_with("CONNECT ") {
                let page = refusal(&self.config.via, if refused { 403 } else { 405 });
                client.stream.write_all(&page).await?;
                return client.stream.shutdown().await;
            }
            let mut upstream = match server_end.take() {
                Some(end) => end,
                None => End::new(TcpStream::connect(server).await?),
            };
            upstream.stream.write_all(&request.rewrite(&self.config, Some(address))).await?;
            client.body(request.body(Body::Length(0))?, &mut upstream).await?;
            let response = loop {
                let Some(head) = upstream.head(false).await? else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                client.stream.write_all(&head.rewrite(&self.config, None)).await?;
                // 1xx is not the last word (RFC 9110 §15.2).
                if !head.start_line.starts_with("HTTP/1.1 1") {
                    break head;
                }
            };
            let code = response.start_line.get(9..12).unwrap_or_default();
            let no_body = request.start_line.starts_with("HEAD ") || matches!(code, "204" | "304");
            let body = if no_body { Body::Length(0) } else { response.body(Body::UntilClose)? };
            upstream.body(body, &mut client).await?;
            if body == Body::UntilClose || request.closes() || response.closes() {
                return client.stream.shutdown().await;
            }
            server_end = Some(upstream);
        }
        Ok(())
    }
}

fn refusal(via: &str, status: u16) -> Vec<u8> {
    let body = "<html><head><title>Access denied</title></head><body><h1>Access to this site is denied</h1></body></html>\n";
    let reason = if status == 403 { "Forbidden" } else { "Method Not Allowed" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nVia: 1.1 {via}\r\nConnection: \
         close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str, is_request: bool) -> Head {
        Head::read(text.as_bytes(), is_request).unwrap().unwrap()
    }

    #[test]
    fn a_head_is_rewritten_as_proxies_do() {
        let text =
            "GET /x HTTP/1.1\r\nhOsT: a.example\r\nConnection: keep-alive\r\nX-odd-NAME: 1\r\n\r\nbody";
        let request = head(text, true);
        assert_eq!(request.len, text.len() - 4);
        let client = "192.0.2.9:5".parse().ok();
        let written = String::from_utf8(request.rewrite(&HttpProxyConfig::default(), client)).unwrap();
        assert_eq!(
            written,
            "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Odd-Name: 1\r\nVia: 1.1 proxy (squid/4.10)\r\nX-Forwarded-For: \
             192.0.2.9\r\n\r\n"
        );
        assert_eq!(Head::read(b"GET / HTTP/1.1\r\nHost: a", true).unwrap(), None);
        assert!(Head::read(b"\x16\x03\x01\x02\x00", true).is_err());
    }

    #[test]
    fn how_long_a_body_is() {
        let body =
            |headers: &str| head(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"), false).body(Body::UntilClose);
        assert_eq!(body("Content-Length: 12\r\n").unwrap(), Body::Length(12));
        assert_eq!(body("Transfer-Encoding: gzip, Chunked\r\n").unwrap(), Body::Chunked);
        assert_eq!(body("").unwrap(), Body::UntilClose);
        assert!(body("Content-Length: -1\r\n").is_err());
        assert!(head("HTTP/1.0 200 OK\r\n\r\n", false).closes());
        assert!(!head("HTTP/1.1 200 OK\r\n\r\n", false).closes());
    }
}
