//! Sessions over `h3`, and everybody else who asks the same server for something.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use daylight_browser::{Profile, QuicClient, Trust};
use daylight_session::public_key;
use daylight_tunnel::driver::{Driver, Gate, News};
use daylight_tunnel::transports::door::{CardKeys, Doorman};
use daylight_tunnel::transports::h3::client::{Client, Server as Card};
use daylight_tunnel::transports::h3::server::Visit;
use daylight_tunnel::transports::h3::{H3, Site, endpoint};
use h3::ext::Protocol;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use quinn::Endpoint;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::carried::to;
use crate::server::connect as connect_plain;
use crate::server::{KEY, SECRET, begin, check, client, comes_back, forgotten, listen, pattern};

const NAME: &str = "site.example";
const PATIENCE: Duration = Duration::from_secs(20);
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A site that answers with what it was asked, and keeps it.
#[derive(Default)]
struct Echo(Mutex<Vec<Request<()>>>);

impl Site for Echo {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Visit>, _: IpAddr) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let said = format!("{} {} {}", head.method, head.uri.path(), body.len());
        self.0.lock().unwrap().push(Request::from_parts(head, ()));
        let mut response = Response::new(Full::new(Bytes::from(said)));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert("server", "nginx".parse().unwrap());
        response
    }
}

struct Server {
    door: Arc<Doorman>,
    address: SocketAddr,
    gate: Arc<Gate>,
    site: Arc<Echo>,
    /// In PEM.
    certificate: String,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let (folder, door, gate) = begin();
        let (arrived, mut arriving) = mpsc::unbounded_channel();
        let carrying = gate.clone();
        tokio::spawn(async move {
            while let Some(path) = arriving.recv().await {
                let gate = carrying.clone();
                tokio::spawn(async move { gate.carry(path).await.ok() });
            }
        });
        let (certificate, certificates) = certificate();
        let endpoint = endpoint::listen(endpoint::bind(LOOPBACK).unwrap(), certificates).unwrap();
        let (address, site) = (endpoint.local_addr().unwrap(), Arc::new(Echo::default()));
        tokio::spawn(Arc::new(H3::new(door.clone(), arrived)).serve(endpoint, site.clone()));
        Self { door, address, gate, site, certificate, _folder: folder }
    }

    fn endpoint(&self) -> Endpoint {
        let trust = Trust::Roots(self.certificate.clone());
        let tls = QuicClient::new(&Profile::current(), &trust).unwrap();
        endpoint::dial(endpoint::bind(LOOPBACK).unwrap(), Arc::new(tls)).unwrap()
    }

    async fn client(&self, endpoint: &Endpoint, address: SocketAddr) -> Client {
        let access = CardKeys::of(&SECRET).unwrap().access;
        let card = Card { address, name: NAME.to_owned(), key: public_key(&KEY), access };
        Client::connect(endpoint, card).await.unwrap()
    }

    async fn connect(&self, driver: &Driver) -> tokio::task::JoinHandle<String> {
        self.connect_by(&self.endpoint(), self.address, driver).await
    }

    async fn connect_by(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        driver: &Driver,
    ) -> tokio::task::JoinHandle<String> {
        let client = Box::new(self.client(endpoint, address).await);
        let driver = driver.clone();
        tokio::spawn(async move { driver.carry(client, |_| {}).await.to_string() })
    }

    /// What somebody gets who says this.
    async fn ask(&self, request: &Request<()>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let connection = self.endpoint().connect(self.address, NAME).unwrap().await.unwrap();
        let (mut driving, mut requests) =
            h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
        tokio::spawn(async move { driving.wait_idle().await });
        let mut stream = requests.send_request(request.clone()).await.unwrap();
        // Who has answered already may want no more of the request.
        let _ = stream.finish().await;
        let response = stream.recv_response().await.unwrap();
        let mut body = Vec::new();
        while let Some(data) = stream.recv_data().await.unwrap() {
            body.extend_from_slice(data.chunk());
        }
        (response.status(), response.headers().clone(), body)
    }
}

fn connect_udp(headers: HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("https://{NAME}/.well-known/masque/udp/{NAME}/443/").parse().unwrap();
    *request.headers_mut() = headers;
    request.extensions_mut().insert(Protocol::CONNECT_UDP);
    request
}

fn certificate() -> (String, Arc<dyn ResolvesServerCert>) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![made.cert.der().clone()], key));
    (made.cert.pem(), Arc::new(resolver))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_both_ways() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let path = server.connect(&driver).await;
    comes_back(&driver).await;
    assert_eq!(check(driver.open(&to("download", 100)).await.unwrap(), |_| {}).await, 100 << 20);
    driver.close(0);
    assert_eq!(path.await.unwrap(), "the session has ended");
    forgotten(&server.gate).await;
    assert!(server.site.0.lock().unwrap().is_empty(), "the site heard nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_card_gets_the_site() {
    // What a client says whose card is not good there.
    let elsewhere = Server::start().await;
    elsewhere.door.set_cards([]);
    let (driver, _news) = client(|_| {});
    let end = elsewhere.connect(&driver).await.await.unwrap();
    assert!(end.contains("the site answered (404 Not Found)"), "{end}");
    let heard = elsewhere.site.0.lock().unwrap().pop().unwrap();
    let cookie = heard.headers().get(header::COOKIE).unwrap().to_str().unwrap().to_owned();

    let server = Server::start().await;
    let expected = server.ask(&connect_udp(HeaderMap::new())).await;
    assert_eq!(expected.0, StatusCode::NOT_FOUND);
    assert_eq!(expected.1.get("server").unwrap(), "nginx");
    let with = |cookie: &str| {
        connect_udp(HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]))
    };
    // It is good here, but for another connection.
    assert_eq!(server.ask(&with(&cookie)).await, expected, "on another connection");
    assert_eq!(server.ask(&with(&cookie[..cookie.len() / 2])).await, expected, "cut");
    for cookie in ["session=", "session=%", "session=AAAA; session=AAAA"] {
        assert_eq!(server.ask(&with(cookie)).await, expected, "{cookie}");
    }
    let mut request = Request::new(());
    *request.uri_mut() = format!("https://{NAME}/page").parse().unwrap();
    assert_eq!(server.ask(&request).await.2, b"GET /page 0");
    *request.method_mut() = Method::HEAD;
    assert_eq!(server.ask(&request).await.2, b"");
}

/// Something on the path that passes datagrams on until it is told to stop.
async fn middle(server: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let near = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
    let far = Arc::new(UdpSocket::bind(LOOPBACK).await.unwrap());
    far.connect(server).await.unwrap();
    let (address, is_cut) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let (watched, client) = (is_cut.clone(), Arc::new(Mutex::new(None)));
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                Ok((len, from)) = near.recv_from(&mut up) => {
                    *client.lock().unwrap() = Some(from);
                    if !watched.load(Ordering::Relaxed) {
                        let _ = far.send(&up[..len]).await;
                    }
                }
                Ok(len) = far.recv(&mut down) => {
                    let to = *client.lock().unwrap();
                    if let Some(to) = to && !watched.load(Ordering::Relaxed) {
                        let _ = near.send_to(&down[..len], to).await;
                    }
                }
            }
        }
    });
    (address, is_cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_over_plain_when_udp_is_cut() {
    let server = Server::start().await;
    let (address, is_cut) = middle(server.address).await;
    let plain = listen(server.door.clone(), server.gate.clone()).await;
    let (driver, mut news) = client(|limits| limits.stall = Duration::from_millis(500));
    let _first = server.connect_by(&server.endpoint(), address, &driver).await;
    let stream = driver.open(&to("download", 30)).await.unwrap();
    let download = check(stream, |at| {
        if at > 5 << 20 {
            is_cut.store(true, Ordering::Relaxed);
        }
    });
    let mend = async {
        loop {
            match news.recv().await.unwrap() {
                // A busy machine may stall before.
                News::Stalled(_) | News::Ended(..) if is_cut.load(Ordering::Relaxed) => break,
                _ => {}
            }
        }
        connect_plain(&driver, plain).await.await
    };
    tokio::select! {
        len = download => assert_eq!(len, 30 << 20),
        end = mend => panic!("{end:?}"),
    }
    assert_eq!(server.gate.sessions(), 1, "it is the session that it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_moves_to_another_address() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let endpoint = server.endpoint();
    let path = server.connect_by(&endpoint, server.address, &driver).await;
    let stream = driver.open(&to("download", 30)).await.unwrap();
    let mut moved = false;
    let len = check(stream, |at| {
        if at > 5 << 20 && !std::mem::replace(&mut moved, true) {
            endpoint.rebind(std::net::UdpSocket::bind("127.0.0.2:0").unwrap()).unwrap();
        }
    });
    assert_eq!(len.await, 30 << 20);
    assert!(moved && !path.is_finished(), "it is the path that it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_beside_the_stream() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let client = server.client(&server.endpoint(), server.address).await;
    let connection = client.connection().clone();
    let carrying = driver.clone();
    let _path = tokio::spawn(async move { carrying.carry(Box::new(client), |_| {}).await });
    driver.open(&to("echo", 1)).await.unwrap();
    let (one, other) = (driver.associate(), driver.associate());
    let sent = |number: u64| Bytes::from(pattern(number, 1 + number as usize * 5));
    // Such as these get lost on loopback only if there is no room for them: one at a time.
    for number in 0..200 {
        let association = if number % 2 == 0 { &one } else { &other };
        association.send(to("there", 53), sent(number)).unwrap();
        let came = tokio::time::timeout(PATIENCE, association.receive()).await.unwrap();
        assert_eq!(came, Some((to("there", 53), sent(number))));
    }
    let frames = connection.stats();
    // Every one of them, besides what a transport says by itself.
    assert!(frames.frame_tx.datagram >= 200 && frames.frame_rx.datagram >= 200, "{frames:?}");
    // What no packet has room for goes with the stream.
    one.send(to("there", 53), sent(1000)).unwrap();
    let came = tokio::time::timeout(PATIENCE, one.receive()).await.unwrap();
    assert_eq!(came, Some((to("there", 53), sent(1000))));
    assert_eq!(connection.stats().frame_tx.datagram, frames.frame_tx.datagram);
}
