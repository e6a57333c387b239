//! Sessions over `web`, and everybody else who asks the same server for something.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use daylight_session::public_key;
use daylight_tunnel::driver::{Driver, Gate};
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::web::client::Client;
use daylight_tunnel::transports::web::{CONNECTION_WINDOW_LEN, Channel, Mode, Web};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::carried::to;
use crate::server::{KEY, SECRET, begin, check, client, comes_back, forgotten};

const BINDING: [u8; 32] = [5; 32];

/// What requests said, as the server's TLS had them.
type Heard = Arc<Mutex<Vec<(Method, HeaderMap)>>>;

struct Server {
    address: SocketAddr,
    gate: Arc<Gate>,
    heard: Heard,
    _folder: tempfile::TempDir,
}

/// The site itself.
fn site() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"nothing here")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

impl Server {
    /// HTTP/2 without TLS, which is somebody else's affair here.
    async fn start(channel: Channel) -> Self {
        let (folder, door, gate) = begin();
        let (arrived, mut arriving) = mpsc::unbounded_channel();
        let (web, heard) = (Arc::new(Web::new(door, arrived)), Heard::default());
        let carrying = gate.clone();
        tokio::spawn(async move {
            while let Some(path) = arriving.recv().await {
                let gate = carrying.clone();
                tokio::spawn(async move { gate.carry(path).await.ok() });
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hearing = heard.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connection.set_nodelay(true).unwrap();
                let (web, heard) = (web.clone(), hearing.clone());
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (web, heard) = (web.clone(), heard.clone());
                    async move {
                        heard.lock().unwrap().push((request.method().clone(), request.headers().clone()));
                        let answer = web.answer(request, channel, None, true).await;
                        Ok::<_, std::convert::Infallible>(match answer {
                            Ok(response) => response.map(Either::Left),
                            Err(_) => site().map(Either::Right),
                        })
                    }
                });
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.initial_connection_window_size(CONNECTION_WINDOW_LEN);
                tokio::spawn(server.serve_connection(TokioIo::new(connection), service));
            }
        });
        Self { address, gate, heard, _folder: folder }
    }

    async fn requests(&self) -> http2::client::SendRequest<Bytes> {
        let connection = TcpStream::connect(self.address).await.unwrap();
        connection.set_nodelay(true).unwrap();
        let mut browser = http2::client::Builder::new();
        browser.initial_window_size(6 << 20).initial_connection_window_size(15 << 20);
        let (requests, driving) = browser.handshake(connection).await.unwrap();
        tokio::spawn(driving);
        requests
    }

    async fn client(&self, mode: Mode) -> Client {
        let keys = CardKeys::of(&SECRET).unwrap();
        Client {
            requests: self.requests().await,
            uri: format!("https://site.example{}", keys.path).parse().unwrap(),
            headers: HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("a browser's"))]),
            server: public_key(&KEY),
            access: keys.access,
            binding: Some(BINDING),
            mode,
        }
    }

    async fn connect(&self, driver: &Driver, mode: Mode) -> tokio::task::JoinHandle<String> {
        let (driver, dialled) = (driver.clone(), Box::new(self.client(mode).await));
        tokio::spawn(async move { driver.carry(dialled, |_| {}).await.to_string() })
    }

    /// What somebody gets who says this.
    async fn ask(&self, method: &Method, headers: &HeaderMap) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = "https://site.example/".parse().unwrap();
        *request.headers_mut() = headers.clone();
        let mut requests = self.requests().await.ready().await.unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let (mut head, mut body) = response.await.unwrap().into_parts();
        head.headers.remove(header::DATE);
        let mut came = Vec::new();
        while let Some(data) = std::future::poll_fn(|context| body.poll_data(context)).await {
            came.extend(data.unwrap());
        }
        (head.status, head.headers, came.into())
    }
}

async fn carries(mode: Mode) {
    let server = Server::start(Channel::Tls(BINDING)).await;
    let (driver, _news) = client(|_| {});
    let path = server.connect(&driver, mode).await;
    comes_back(&driver).await;
    assert_eq!(check(driver.open(&to("download", 20)).await.unwrap(), |_| {}).await, 20 << 20);
    driver.close(0);
    assert_eq!(path.await.unwrap(), "the session has ended");
    forgotten(&server.gate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_streams() {
    carries(Mode::Streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_pieces() {
    carries(Mode::Pieces).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_card_gets_the_site() {
    let server = Server::start(Channel::Tls(BINDING)).await;
    let expected = server.ask(&Method::GET, &HeaderMap::new()).await;
    assert_eq!((expected.0, &expected.2[..]), (StatusCode::NOT_FOUND, &b"nothing here"[..]));
    // What a good client says, said again, changed, cut, and by another method.
    let (driver, _news) = client(|_| {});
    let _path = server.connect(&driver, Mode::Streams).await;
    driver.open(&to("echo", 1)).await.unwrap();
    let heard: Vec<_> = server.heard.lock().unwrap().iter().skip(1).cloned().collect();
    assert!(heard.len() >= 2, "a flight and a ticket: {heard:?}");
    for (method, headers) in &heard {
        let cookie = headers.get(header::COOKIE).unwrap().to_str().unwrap().to_owned();
        let with = |cookie: &str| {
            let mut headers = headers.clone();
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            headers
        };
        if method == Method::GET {
            assert_eq!(server.ask(method, headers).await, expected, "again");
        }
        for other in [Method::PUT, Method::OPTIONS] {
            assert_eq!(server.ask(&other, headers).await, expected, "{other}");
        }
        for at in (cookie.len() / 3..cookie.len()).step_by(cookie.len() / 9) {
            assert_eq!(server.ask(method, &with(&cookie[..at])).await, expected, "cut at {at}");
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(server.ask(method, &with(&changed)).await, expected, "changed at {at}");
        }
    }
    for cookie in ["", "session=", "session=%", "session=AAAA; session=AAAA"] {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
        assert_eq!(server.ask(&Method::GET, &headers).await, expected, "{cookie}");
    }
    // All that did the path no harm.
    assert_eq!(check(driver.open(&to("download", 1)).await.unwrap(), |_| {}).await, 1 << 20);
}

/// A flight that somebody between takes from one TLS connection to another is good on neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_flight_is_bound_to_its_connection() {
    let server = Server::start(Channel::Tls([6; 32])).await;
    let (driver, _news) = client(|_| {});
    let end = server.connect(&driver, Mode::Streams).await.await.unwrap();
    assert!(end.contains("the site answered (404 Not Found)"), "{end}");
    let server = Server::start(Channel::Relayed).await;
    let (driver, _news) = client(|_| {});
    let _path = server.connect(&driver, Mode::Streams).await;
    assert_eq!(check(driver.open(&to("download", 1)).await.unwrap(), |_| {}).await, 1 << 20);
}

/// A request that brings a path's bytes and breaks off takes the path with it, and not the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_is_a_lost_path() {
    for mode in [Mode::Streams, Mode::Pieces] {
        let server = Server::start(Channel::Tls(BINDING)).await;
        let (driver, _news) = client(|_| {});
        let first = server.connect(&driver, mode).await;
        let stream = driver.open(&to("download", 50)).await.unwrap();
        let mut first = Some(first);
        let download = check(stream, |at| {
            if at > 5 << 20
                && let Some(first) = first.take()
            {
                first.abort();
            }
        });
        let again = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            server.connect(&driver, mode).await.await
        };
        tokio::select! {
            len = download => assert_eq!(len, 50 << 20),
            end = again => panic!("{end:?}"),
        }
        assert_eq!(server.gate.sessions(), 1);
    }
}
