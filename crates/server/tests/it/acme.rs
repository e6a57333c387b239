//! A certificate from a real ACME server: Pebble, of Let's Encrypt, in Debian's package of that name.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use daylight_server::acme::{Acme, AcmeConfig};
use daylight_server::config::Config;
use daylight_server::init::{Options, Tls, init};
use daylight_server::run::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use crate::net::{PATIENCE, listen};

const NAME: &str = "www.example.test";
/// Orders wait a second between steps, and this machine may be busy.
const ORDER_PATIENCE: Duration = Duration::from_secs(60);

struct Pebble {
    process: Child,
    config: AcmeConfig,
    management: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
async fn free() -> SocketAddr {
    listen().await.1
}

impl Pebble {
    /// One that looks for the name's server on this port of loopback. `None`, and the reason is printed, if there is none here.
    async fn start(tls: u16) -> Option<Self> {
        if Command::new("pebble").arg("-h").stderr(Stdio::null()).status().is_err() {
            eprintln!("skipped: there is no pebble (Debian's package of that name)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(path("roots.pem"), authority.pem()).unwrap();
        std::fs::write(path("own.pem"), own.pem()).unwrap();
        std::fs::write(path("own.key"), key.serialize_pem()).unwrap();
        let (listening, management, names) = (free().await, free().await, names().await);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listening.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path("own.pem"),
            "privateKey": path("own.key"),
            "httpPort": 1,
            "tlsPort": tls,
        } });
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let process = Command::new("pebble")
            .args(["-config", &path("pebble.json"), "-dnsserver", &names.to_string()])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let config = AcmeConfig {
            names: vec![NAME.to_owned()],
            contact: Some("ops@example.test".to_owned()),
            directory: format!("https://localhost:{}/dir", listening.port()),
            roots: Some(path("roots.pem").into()),
        };
        let started = Self { process, config, management, folder };
        let is_up = async {
            while TcpStream::connect(management).await.is_err()
                || TcpStream::connect(listening).await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, is_up).await.expect("pebble listens");
        Some(started)
    }

    /// Who vouches for the certificates that it gives.
    async fn root(&self) -> CertificateDer<'static> {
        let connection = TcpStream::connect(self.management).await.unwrap();
        let pem = std::fs::read(self.config.roots.as_ref().unwrap()).unwrap();
        let client = client(CertificateDer::from_pem_slice(&pem).unwrap(), &[]);
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = TlsConnector::from(client).connect(name, connection).await.unwrap();
        connection.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        CertificateDer::from_pem_slice(&answer).unwrap()
    }

    fn cache(&self) -> std::path::PathBuf {
        self.folder.path().join("acme")
    }
}

/// A server of DNS to which every name is 127.0.0.1.
async fn names() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut question).await {
            // Behind the head of 12 bytes: the name, to its empty label, the type and the class.
            let end = 12 + question[12..len].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_a = question[end - 4..end] == [0, 1, 0, 1];
            let mut answer = question[..end].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(Ipv4Addr::LOCALHOST.octets());
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

fn client(root: CertificateDer<'static>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Serves TLS with what there is.
async fn serve(listener: TcpListener, acme: Acme) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_cert_resolver(acme.resolver());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    while let Ok((connection, _)) = listener.accept().await {
        let (acme, config) = (acme.clone(), config.clone());
        tokio::spawn(async move {
            let begun =
                LazyConfigAcceptor::new(rustls::server::Acceptor::default(), connection).await.ok()?;
            if let Some(challenge) = acme.challenge(begun.client_hello()) {
                return begun.into_stream(challenge).await.ok()?.shutdown().await.ok();
            }
            begun.into_stream(config).await.ok()?.shutdown().await.ok()
        });
    }
}

/// A visitor's handshake who believes this root.
async fn visit(address: SocketAddr, root: &CertificateDer<'static>, alpn: &[&[u8]]) -> std::io::Result<()> {
    let connection = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(client(root.clone(), alpn));
    connector.connect(ServerName::try_from(NAME).unwrap(), connection).await.map(drop)
}

/// Whoever comes with it when nothing is ordered is told that there is no such protocol, as by any web server.
async fn refuses_the_authoritys_protocol(address: SocketAddr, root: &CertificateDer<'static>) {
    let error = visit(address, root, &[b"acme-tls/1"]).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

/// Visits until the certificate is there.
async fn wait(address: SocketAddr, root: &CertificateDer<'static>) {
    let is_served = async {
        while visit(address, root, &[b"h2"]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(ORDER_PATIENCE, is_served).await.expect("a certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_and_kept() {
    let (listener, address) = listen().await;
    let Some(pebble) = Pebble::start(address.port()).await else { return };
    let root = pebble.root().await;
    let (acme, orders) = Acme::new(&pebble.config, &pebble.cache()).unwrap();
    let serving = tokio::spawn(serve(listener, acme));
    assert!(visit(address, &root, &[b"h2"]).await.is_err(), "there is no certificate yet");
    refuses_the_authoritys_protocol(address, &root).await;
    let ordering = tokio::spawn(orders.run(|said| eprintln!("{said}")));
    wait(address, &root).await;
    refuses_the_authoritys_protocol(address, &root).await;
    assert_eq!(kept(&pebble.cache()).await, 2, "the account and the certificate");
    ordering.abort();
    serving.abort();

    // The next server has it from the folder, whether or not there is an authority.
    let mut config = pebble.config.clone();
    let (cache, roots) = (pebble.cache(), pebble.folder.path().join("roots.pem"));
    config.roots = Some(roots);
    let (listener, address) = listen().await;
    let (acme, orders) = Acme::new(&config, &cache).unwrap();
    let mut pebble = pebble;
    pebble.process.kill().unwrap();
    tokio::spawn(serve(listener, acme));
    tokio::spawn(orders.run(|said| panic!("{said}")));
    wait(address, &root).await;
}

/// How many files there are, when there are as many as there should be.
async fn kept(folder: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    let count = || std::fs::read_dir(folder).unwrap().count();
    let is_written = async {
        while count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, is_written).await;
    count()
}

/// As `init` made it, but for the ports and the authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_server_gets_its_certificate() {
    let address = free().await;
    let Some(pebble) = Pebble::start(address.port()).await else { return };
    let options = Options {
        name: Some(NAME.to_owned()),
        addresses: Vec::new(),
        tls: Tls::Acme(None),
        plain: None,
        cards: 1,
        days: 30,
        today: "2026-11-23".parse().unwrap(),
        program: "/usr/bin/daylight".into(),
    };
    let made = init(&pebble.folder.path().join("server"), &options).unwrap();
    let text = std::fs::read_to_string(&made.config).unwrap();
    let listen = format!("listen = [\"{address}\"]");
    let authority = format!(
        "directory = {:?}\nroots = {:?}\nnames",
        pebble.config.directory,
        pebble.config.roots.as_ref().unwrap()
    );
    let text = text
        .replace("redirect = [\"0.0.0.0:80\", \"[::]:80\"]", &listen)
        .replace("[h3]", &format!("[h3]\n{listen}"))
        .replace("\nnames", &format!("\n{authority}"));
    std::fs::write(&made.config, text).unwrap();
    let server =
        Server::start(&Config::read(&made.config).unwrap(), Arc::new(|said| eprintln!("{said}"))).await;
    let server = server.unwrap();
    wait(address, &pebble.root().await).await;
    refuses_the_authoritys_protocol(address, &pebble.root().await).await;
    server.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn roots_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, "roots").unwrap();
    let config = AcmeConfig {
        names: vec![NAME.to_owned()],
        contact: None,
        directory: "https://localhost/dir".to_owned(),
        roots: Some(roots),
    };
    let error = Acme::new(&config, folder.path()).err().unwrap().to_string();
    assert!(error.contains("roots.pem (web.acme.roots)"), "{error}");
}
