//! A web server on loopback that keeps what clients send, before and after decryption.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const NAME: &str = "site.example";
/// Set by the first page, so that every later request has it.
pub(crate) const COOKIE: &str = "visit=9f86d081884c7d65";

/// Everything that a page may ask for: a style, a script and a picture, a `fetch()` with and without a body, and, after
/// the server sent the client away, one more request over a new connection.
const PAGE: &str = r#"<!doctype html><title>A site</title><link rel="stylesheet" href="/style.css">
<p>A page with parts of each kind.</p><img src="/picture.png" width="1" height="1"><script src="/script.js"></script>"#;
const SCRIPT: &str = r#"
onload = async () => {
    await (await fetch('/fetch')).text();
    const headers = {'content-type': 'application/octet-stream'};
    await (await fetch('/upload', {method: 'POST', body: new Blob(['x'.repeat(100000)]), headers})).text();
    // A connection that was opened ahead may serve the next request; not all that follow.
    for (let i = 0; i < 3; i++) {
        await (await fetch('/leave')).text();
        await new Promise(done => setTimeout(done, 200));
    }
    await fetch('/again');
};"#;

/// What one connection sent.
#[derive(Clone, Default)]
pub(crate) struct Connection {
    /// As it came: TLS records.
    pub(crate) raw: Arc<Mutex<Vec<u8>>>,
    /// Decrypted: HTTP/2.
    pub(crate) clear: Arc<Mutex<Vec<u8>>>,
}

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    /// The server's certificate, which is its own authority.
    pub(crate) certificate_pem: String,
    connections: Arc<Mutex<Vec<Connection>>>,
    /// Paths that were asked for, when the answer is sent.
    asked: mpsc::UnboundedReceiver<String>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A browser that used early data would show it.
        config.max_early_data_size = 16 * 1024;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (tell, asked) = mpsc::unbounded_channel();
        let all = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let connection = Connection::default();
                all.lock().unwrap().push(connection.clone());
                tokio::spawn(serve(acceptor.clone(), socket, connection, tell.clone()));
            }
        });
        Self { address, certificate_pem: made.cert.pem(), connections, asked }
    }

    /// Waits until the path was asked for and answered; false if that takes too long.
    pub(crate) async fn wait_for(&mut self, path: &str) -> bool {
        let found = async {
            while let Some(asked) = self.asked.recv().await {
                if asked == path {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap_or(false)
    }

    /// Forgets the connections up to now.
    pub(crate) fn forget(&self) {
        self.connections.lock().unwrap().clear();
    }

    /// What each connection sent up to now, in the order in which they came.
    pub(crate) fn connections(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|c| (c.raw.lock().unwrap().clone(), c.clear.lock().unwrap().clone())).collect()
    }
}

async fn serve(
    acceptor: tokio_rustls::TlsAcceptor,
    socket: TcpStream,
    connection: Connection,
    tell: mpsc::UnboundedSender<String>,
) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let tls = acceptor.accept(Tee { inner: socket, kept: connection.raw }).await.ok()?;
    let mut http2 = http2::server::handshake(Tee { inner: tls, kept: connection.clear }).await.ok()?;
    while let Some(Ok((request, mut respond))) = http2.accept().await {
        let path = request.uri().path().to_owned();
        if path == "/leave" {
            // GOAWAY: the client finishes what is under way and closes the connection, in its own manner.
            http2.graceful_shutdown();
        }
        let tell = tell.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
            }
            let (kind, text) = match path.as_str() {
                "/" => ("text/html", PAGE),
                "/script.js" => ("text/javascript", SCRIPT),
                "/style.css" => ("text/css", "p { color: green }"),
                _ => ("text/plain", "yes"),
            };
            let status = if path == "/favicon.ico" { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let mut response =
                Response::builder().status(status).header("content-type", kind).body(()).unwrap();
            if path == "/" {
                response.headers_mut().insert("set-cookie", HeaderValue::from_static(COOKIE));
            }
            if let Ok(mut stream) = respond.send_response(response, false) {
                let _ = stream.send_data(Bytes::from_static(text.as_bytes()), true);
            }
            let _ = tell.send(path);
        });
    }
    None
}

/// Keeps a copy of what is read.
struct Tee<T> {
    inner: T,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Tee<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.kept.lock().unwrap().extend_from_slice(&buf.filled()[before..]);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tee<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
