//! A whole server: who holds a card gets through it, and everybody else sees a site.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daylight_server::config::{Config, Place};
use daylight_server::run::Server;
use daylight_session::{ClientConfig, public_key};
use daylight_tunnel::driver::{Driver, OpenError};
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::web::client::Client;
use daylight_tunnel::transports::web::{EXPORTER_LABEL, Mode};
use daylight_tunnel::transports::{Dialled, plain};
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::net::PATIENCE;

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const SECRETS: [[u8; 16]; 2] = [[9; 16], [10; 16]];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) struct Files {
    folder: tempfile::TempDir,
    pub(crate) roots: Arc<rustls::RootCertStore>,
}

impl Files {
    /// A server's files: keys, one card, a certificate, a site.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["site.example".into()]).unwrap().self_signed(&key).unwrap();
        write("chain.pem", &certificate.pem());
        write("key.pem", &key.serialize_pem());
        write("server.key", &hex(&KEY));
        write("cards", &format!("{} the first\n", hex(&SECRETS[0])));
        std::fs::create_dir(folder.path().join("site")).unwrap();
        write("site/index.html", "<h1>A site</h1>\n");
        write(
            "server.toml",
            r#"
                key = "server.key"
                cards = "cards"
                state = "state"
                metrics = "127.0.0.1:0"
                [site]
                folder = "site"
                [web]
                listen = ["127.0.0.1:0"]
                redirect = ["127.0.0.1:0"]
                certificate = "chain.pem"
                certificate_key = "key.pem"
                [h3]
                listen = ["127.0.0.1:0"]
                [behind]
                listen = "127.0.0.1:0"
                [plain]
                listen = ["127.0.0.1:0"]
                [egress]
                reach_private = ["127.0.0.0/8"]
            "#,
        );
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self { folder, roots: Arc::new(roots) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> Config {
        Config::read(&self.path().join("server.toml")).unwrap()
    }

    pub(crate) async fn requests(&self, at: SocketAddr) -> (http2::client::SendRequest<Bytes>, [u8; 32]) {
        let connection = TcpStream::connect(at).await.unwrap();
        connection.set_nodelay(true).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("site.example").unwrap();
        let connection = TlsConnector::from(Arc::new(config)).connect(name, connection).await.unwrap();
        let exporter = connection.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
        let mut browser = http2::client::Builder::new();
        browser.initial_window_size(6 << 20).initial_connection_window_size(15 << 20);
        let (requests, driving) = browser.handshake(connection).await.unwrap();
        tokio::spawn(driving);
        (requests, exporter)
    }

    async fn web(&self, server: &Server, secret: &[u8]) -> Box<dyn Dialled> {
        self.dial(address(server, "web"), secret, Mode::Streams).await
    }

    /// A path by HTTPS to this address.
    pub(crate) async fn dial(&self, at: SocketAddr, secret: &[u8], mode: Mode) -> Box<dyn Dialled> {
        let (requests, exporter) = self.requests(at).await;
        let keys = CardKeys::of(secret).unwrap();
        Box::new(Client {
            requests,
            uri: format!("https://site.example{}", keys.path).parse().unwrap(),
            headers: HeaderMap::new(),
            server: public_key(&KEY),
            access: keys.access,
            binding: Some(exporter),
            mode,
        })
    }
}

pub(crate) fn address(server: &Server, what: &str) -> SocketAddr {
    let place = server.addresses().iter().find(|(one, _)| *one == what);
    match place.unwrap() {
        (_, Place::Tcp(address)) => *address,
        (_, other) => panic!("{other}"),
    }
}

async fn plain(server: &Server, secret: &[u8]) -> Box<dyn Dialled> {
    let connection = TcpStream::connect(address(server, "plain")).await.unwrap();
    let access = CardKeys::of(secret).unwrap().access;
    Box::new(plain::path::Client { connection, server: public_key(&KEY), access })
}

/// A client's session over this path; what its path ends with.
pub(crate) fn client(dialled: Box<dyn Dialled>, secret: &[u8]) -> (Driver, tokio::task::JoinHandle<String>) {
    let config = ClientConfig::new(public_key(&KEY), CardKeys::of(secret).unwrap().session);
    let (news, _) = mpsc::unbounded_channel();
    let driver = Driver::client(Arc::new(config), rand::random(), news);
    let carrying = driver.clone();
    (driver, tokio::spawn(async move { carrying.carry(dialled, |_| {}).await.to_string() }))
}

/// A server outside, which sends everything back.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = connection.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

pub(crate) async fn comes_back(driver: &Driver, outside: SocketAddr) {
    let there_and_back = async {
        let stream = driver.open(&outside.into()).await.unwrap();
        let sent: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        let (mut read, mut write) = tokio::io::split(stream);
        let mut came = Vec::new();
        let (wrote, read) = tokio::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown().await
            },
            read.read_to_end(&mut came)
        );
        wrote.unwrap();
        read.unwrap();
        assert!(came == sent);
    };
    tokio::time::timeout(PATIENCE, there_and_back).await.expect("it comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_open_it_and_visitors_see_the_site() {
    let place = Files::new();
    let server = Server::start(&place.config(), Arc::new(|_| {})).await.unwrap();
    let outside = echo().await;
    for dialled in [place.web(&server, &SECRETS[0]).await, plain(&server, &SECRETS[0]).await] {
        let (driver, _) = client(dialled, &SECRETS[0]);
        comes_back(&driver, outside).await;
        let nobody = SocketAddr::from(([10, 1, 2, 3], 80));
        let refused = driver.open(&nobody.into()).await.err();
        assert_eq!(refused, Some(OpenError::Refused(daylight_session::code::NOT_ALLOWED)));
        driver.close(0);
    }
    let asked = crate::net::exchange(
        address(&server, "metrics"),
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let counted = String::from_utf8(asked.await).unwrap();
    for line in [
        "daylight_server_sessions_begun_total 2",
        "daylight_server_streams_opened_total 2",
        r#"daylight_server_egress_errors_total{reason="not-allowed"} 2"#,
        r#"daylight_server_handshakes_total{transport="plain",outcome="card"} 1"#,
        r#"daylight_server_carried_bytes_total{direction="down"} 2097152"#,
    ] {
        assert!(counted.contains(line), "{line} is not in {counted}");
    }
    let (requests, _) = place.requests(address(&server, "web")).await;
    let request = Request::get("https://site.example/").body(()).unwrap();
    let (response, _) = requests.ready().await.unwrap().send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["server"]),
        (StatusCode::OK, &"nginx".parse().unwrap())
    );
    // Who speaks no TLS is answered as by nginx.
    let web = address(&server, "web");
    for (request, said) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "The plain HTTP request was sent to HTTPS port"),
        (b"\x00\x01\x02", "<center><h1>400 Bad Request</h1></center>"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "<title>400 Bad Request</title>"),
        (b"GET / HTTP/9\r\n\r\n", "<title>400 Bad Request</title>"),
    ] {
        let answer = String::from_utf8(crate::net::exchange(web, request).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nDate: "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n") && answer.contains(said), "{answer}");
    }
    let redirected = crate::net::exchange(
        address(&server, "redirect"),
        b"GET /a?b HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n",
    );
    let redirected = String::from_utf8(redirected.await).unwrap();
    let port = address(&server, "web").port();
    assert!(redirected.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{redirected}");
    assert!(redirected.contains("Location: https://site.example"), "{port}: {redirected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_exchanged_while_it_runs() {
    let place = Files::new();
    let server = Server::start(&place.config(), Arc::new(|_| {})).await.unwrap();
    let outside = echo().await;
    let (first, _) = client(place.web(&server, &SECRETS[0]).await, &SECRETS[0]);
    comes_back(&first, outside).await;
    let (_, end) = client(place.web(&server, &SECRETS[1]).await, &SECRETS[1]);
    let end = tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
    assert!(end.contains("the site answered (404"), "{end}");
    // A file with an error changes nothing.
    std::fs::write(place.path().join("cards"), "what\n").unwrap();
    let error = server.reload(&place.config()).unwrap_err().to_string();
    assert!(error.contains("cards:1:"), "{error}");
    let (again, _) = client(plain(&server, &SECRETS[0]).await, &SECRETS[0]);
    comes_back(&again, outside).await;
    std::fs::write(place.path().join("cards"), hex(&SECRETS[1])).unwrap();
    server.reload(&place.config()).unwrap();
    let (second, _) = client(place.web(&server, &SECRETS[1]).await, &SECRETS[1]);
    comes_back(&second, outside).await;
    // Sessions that there were go on; new ones of that card don't begin.
    comes_back(&first, outside).await;
    let (_, end) = client(place.web(&server, &SECRETS[0]).await, &SECRETS[0]);
    let end = tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
    assert!(end.contains("the site answered (404"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_before_the_server_does() {
    let place = Files::new();
    let server = Server::start(&place.config(), Arc::new(|_| {})).await.unwrap();
    let web = address(&server, "web");
    let (driver, _) = client(place.web(&server, &SECRETS[0]).await, &SECRETS[0]);
    let mut stream = driver.open(&echo().await.into()).await.unwrap();
    let draining = tokio::spawn(async move { server.drain(Duration::from_secs(20)).await });
    // It listens no more, and carries what there is.
    let refused = async {
        while TcpStream::connect(web).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("listening ends");
    stream.write_all(b"still").await.unwrap();
    let mut came = [0; 5];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut came)).await.unwrap().unwrap();
    assert_eq!(&came, b"still");
    assert!(!draining.is_finished());
    driver.close(0);
    tokio::time::timeout(PATIENCE, draining).await.expect("the server ends").unwrap();
}
