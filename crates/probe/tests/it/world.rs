//! A small internet on 127.0.0.0/8: a site, a control, a resolver, and a box before the site.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daylight_probe::control::{Front, Helpers};
use daylight_probe::dns::{Patience, Resolver};
use daylight_probe::measure::{Measured, Shared, measure};
use daylight_probe::plan::Item;
use daylight_probe::settings::Settings;
use daylight_probe::tls::Roots;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

pub(crate) const TARGET: &str = "target.test";
pub(crate) const CONTROL: &str = "control.test";
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What stands before the site.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Censor {
    /// Nothing that is noticed.
    Open,
    /// RST for the target's name.
    Reset,
    /// This many bytes a second for the target's name.
    Slow(usize),
}

/// What the resolver does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dns {
    Honest,
    /// A forged answer first, then the true one.
    Raced,
    NoSuchName,
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) roots: Roots,
    pub(crate) settings: Settings,
    /// Where the target is, as a URL.
    pub(crate) url: String,
    pub(crate) page: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl World {
    pub(crate) async fn new(boxed: Censor, dns: Dns) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let roots = Roots::of([root.der().clone()]);
        let issuer = Issuer::new(params, key);
        let page =
            format!("<html><title>A page of ours</title>{}</html>", "daylight ".repeat(4000)).into_bytes();

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        let mut this = Self {
            folder,
            roots,
            settings: Settings::ordinary(),
            url: String::new(),
            page: page.clone(),
            issuer,
        };
        let site = web(this.acceptor(TARGET), page.clone(), "127.0.0.1:0").await;
        let control = web(this.acceptor(CONTROL), page, "127.0.0.2:0").await;
        let door = censor(site, boxed).await;
        let resolver = resolver(door.ip(), dns).await;
        this.url = format!("https://{TARGET}:{}/", door.port());
        let settings = &mut this.settings;
        settings.stand_in = Some(resolver);
        settings.resolvers = vec![Resolver::Udp(resolver)];
        settings.nameservers = Vec::new();
        settings.control.host = CONTROL.to_owned();
        settings.control.addresses = vec![control.ip()];
        settings.control.port = control.port();
        settings.waits.dns = Patience { timeout: Duration::from_secs(3), all: Duration::from_millis(700) };
        settings.waits.quic = Duration::from_millis(300);
        settings.waits.retest = Duration::from_millis(200);
        this
    }

    /// A server's side of TLS, certified by the world's authority.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let (chain, key) = self.certify(name);
        let chain: Vec<_> = CertificateDer::pem_file_iter(chain).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Files with a certificate and its key.
    pub(crate) fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let (chain, secret) = (file("crt"), file("key"));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (chain, secret)
    }

    pub(crate) fn shared(&self, helper: Option<SocketAddr>) -> Shared {
        let fronts = helper.map(|at| Front::of(format!("http://{at}/").parse().unwrap()));
        Shared {
            settings: self.settings.clone(),
            roots: self.roots.clone(),
            helpers: Helpers { fronts: fronts.into_iter().collect(), packs: Vec::new() },
            recorder: None,
            started: "2026-11-23T12:00:00Z".parse().unwrap(),
            version: "0".to_owned(),
            annotations: Default::default(),
        }
    }

    pub(crate) async fn measure(&self, helper: Option<SocketAddr>) -> Measured {
        measure(&self.item(), &self.shared(helper)).await
    }

    pub(crate) fn item(&self) -> Item {
        Item { target: self.url.parse().unwrap(), category: Some("NEWS".into()), service: None, need: None }
    }
}

/// An HTTPS server with one page, on whatever connection comes.
async fn web(acceptor: TlsAcceptor, page: Vec<u8>, at: &str) -> SocketAddr {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, page) = (acceptor.clone(), page.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = vec![0; 8192];
                let mut got = 0;
                while !buffer[..got].windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut buffer[got..]).await {
                        Ok(n) if n > 0 => got += n,
                        _ => return,
                    }
                }
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nServer: own\r\n\r\n", page.len());
                let _ = stream.write_all(&[head.as_bytes(), &page].concat()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

/// Passes connections on, and looks at the first bytes of each.
async fn censor(site: SocketAddr, boxed: Censor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = vec![0; 4096];
                let Ok(n) = near.read(&mut first).await else { return };
                let named = first[..n].windows(TARGET.len()).any(|window| window == TARGET.as_bytes());
                if named && boxed == Censor::Reset {
                    // Closed with what was sent unread, and no patience: RST.
                    near.set_zero_linger().unwrap();
                    return;
                }
                let Ok(mut far) = TcpStream::connect(site).await else { return };
                far.write_all(&first[..n]).await.unwrap();
                match boxed {
                    Censor::Slow(rate) if named => slowly(near, far, rate).await,
                    _ => drop(tokio::io::copy_bidirectional(&mut near, &mut far).await),
                }
            });
        }
    });
    address
}

async fn slowly(near: TcpStream, far: TcpStream, bytes_per_s: usize) {
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = async { tokio::io::copy(&mut near_read, &mut far_write).await };
    let down = async {
        let mut buffer = vec![0; bytes_per_s / 20];
        loop {
            match far_read.read(&mut buffer).await {
                Ok(n) if n > 0 => {
                    if near_write.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs_f64(n as f64 / bytes_per_s as f64)).await;
                }
                _ => return,
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = up => {}
    }
}

async fn resolver(site: IpAddr, dns: Dns) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..n];
            let known = query.windows(6).any(|window| window == b"target");
            let is_a = query[n - 11 - 4..n - 11] == [0, 1, 0, 1];
            let answers: Vec<Vec<u8>> = match (known, is_a, dns) {
                (true, _, Dns::NoSuchName) | (false, ..) => vec![answer(query, 3, None)],
                (true, false, _) => vec![answer(query, 0, None)],
                (true, true, Dns::Honest) => vec![answer(query, 0, Some(site))],
                (true, true, Dns::Raced) => vec![
                    answer(query, 0, Some(Ipv4Addr::new(127, 0, 0, 66).into())),
                    answer(query, 0, Some(site)),
                ],
            };
            for answer in answers {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    address
}

fn answer(query: &[u8], code: u8, address: Option<IpAddr>) -> Vec<u8> {
    let mut answer = query[..query.len() - 11].to_vec();
    answer[2] |= 0x80;
    answer[3] = code;
    answer[11] = 0;
    if let Some(IpAddr::V4(address)) = address {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
