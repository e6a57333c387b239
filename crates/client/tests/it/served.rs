//! A real server, sites behind it, and a wire to it that a censor holds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daylight_browser::Trust;
use daylight_card::{Card, Day, Offer, Secret, SecretKey, Server as Body, Transport, Validity};
use daylight_client::engine::Config;
use daylight_server::config::{Config as ServerConfig, Place};
use daylight_server::run::Server;
use daylight_session::public_key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

const KEY: [u8; 32] = [7; 32];
const SECRET: [u8; 16] = [9; 16];
pub(crate) const SITE: &str = "site.test";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a download carries at an offset.
pub(crate) fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// A server of `h3`, and of `web` and `plain`, each behind a wire.
pub(crate) struct Served {
    server: Option<Server>,
    folder: tempfile::TempDir,
    authority: String,
    /// Without a wire.
    pub(crate) h3: SocketAddr,
    pub(crate) web: Wire,
    pub(crate) plain: Wire,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_before("folder = \"site\"").await
    }

    /// One whose site is this, as its configuration says it.
    pub(crate) async fn start_before(site: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = write(folder.path());
        let config = folder.path().join("server.toml");
        let text = std::fs::read_to_string(&config).expect("a configuration");
        std::fs::write(&config, text.replace("folder = \"site\"", site)).expect("written");
        let (web, plain) = (Wire::start().await, Wire::start().await);
        let h3 = SocketAddr::new(LOOPBACK, 0);
        let mut served = Self { server: None, folder, authority, h3, web, plain };
        served.restart().await;
        served
    }

    /// Another server in its place, which knows nothing of sessions.
    pub(crate) async fn restart(&mut self) {
        let config = ServerConfig::read(&self.folder.path().join("server.toml")).expect("a configuration");
        let server = Server::start(&config, Arc::new(|_| {})).await.expect("a server");
        for (what, place) in server.addresses() {
            let Place::Tcp(address) = place else { continue };
            match *what {
                "web" => self.web.lead_to(*address),
                "h3" => self.h3 = *address,
                _ => self.plain.lead_to(*address),
            }
        }
        self.server = Some(server);
    }

    pub(crate) fn sessions(&self) -> usize {
        self.server.as_ref().map_or(0, Server::sessions)
    }

    /// A card that offers these.
    pub(crate) fn card(&self, transports: &[Transport]) -> Card {
        let offer = |&transport: &Transport| {
            let port = match transport {
                Transport::Web => self.web.port,
                Transport::H3 => self.h3.port(),
                _ => self.plain.port,
            };
            Offer { port: Some(port), ..Offer::new(transport) }
        };
        card(&[SITE, "127.0.0.1"], transports.iter().map(offer).collect())
    }

    pub(crate) fn config(&self, transports: &[Transport]) -> Config {
        let trust = Trust::Roots(self.authority.clone());
        Config { trust, ..Config::new(vec![self.card(transports)]) }
    }
}

fn card(addresses: &[&str], offers: Vec<Offer>) -> Card {
    let body = Body {
        addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
        port: 443,
        offers,
        key: public_key(&KEY),
        secret: Secret::new(SECRET.into()).expect("a secret"),
    };
    let key = SecretKey::generate().expect("a key");
    // A Sunday in 2026; the engine asks for no date.
    Card::sign(&body, Validity::new(Day::of_unix_s(1_795_305_600), 90), &key).expect("a card")
}

/// A card of a server of `plain` alone.
pub(crate) fn card_of_plain(at: SocketAddr) -> Card {
    let offer = Offer { port: Some(at.port()), ..Offer::new(Transport::Plain) };
    card(&[&at.ip().to_string()], vec![offer])
}

/// Such a server, in this thread's network; it may reach what is not public there.
pub(crate) async fn serve_plain(folder: &Path, at: SocketAddr, reach: &str) -> Server {
    write(folder);
    let path = folder.join("server.toml");
    let config = format!(
        "key = \"server.key\"\ncards = \"cards\"\nstate = \"state\"\n\
         [plain]\nlisten = [\"{at}\"]\n[egress]\nreach_private = [\"{reach}\"]\n"
    );
    std::fs::write(&path, config).expect("written");
    let config = ServerConfig::read(&path).expect("a configuration");
    Server::start(&config, Arc::new(|_| {})).await.expect("a server")
}

/// Writes all that a server needs; gives the authority of its certificate.
fn write(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec![SITE.to_owned()]).expect("a certificate");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let config = r#"
        key = "server.key"
        cards = "cards"
        state = "state"
        [site]
        folder = "site"
        [web]
        listen = ["127.0.0.1:0"]
        certificate = "chain.pem"
        certificate_key = "key.pem"
        [h3]
        listen = ["127.0.0.1:0"]
        [plain]
        listen = ["127.0.0.1:0"]
        [egress]
        reach_private = ["127.0.0.0/8"]
    "#;
    std::fs::create_dir(folder.join("site")).expect("a folder");
    for (name, text) in [
        ("server.toml", config.to_owned()),
        ("server.key", hex(&KEY)),
        ("cards", hex(&SECRET)),
        ("chain.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
        ("site/index.html", "<p>a site</p>".to_owned()),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    made.cert.pem()
}

/// What a censor does to connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Censor {
    /// Nothing.
    Passes,
    /// Resets each after so many bytes from the server.
    Resets(u64),
    /// Lets no more than so many bytes through, and no end.
    Freezes(u64),
    /// Lets connections begin later.
    Delays(Duration),
}

/// A wire to a server.
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<WireState>,
    accepting: AbortHandle,
}

struct WireState {
    to: Mutex<Option<SocketAddr>>,
    censor: Mutex<Censor>,
    connections: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
    bytes: AtomicU64,
    cut: tokio::sync::Notify,
}

impl Wire {
    async fn start() -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(WireState {
            to: Mutex::default(),
            censor: Mutex::new(Censor::Passes),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            cut: tokio::sync::Notify::new(),
        });
        let accepting = state.clone();
        let accepting = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                carried.spawn(accepting.clone().carry(connection));
            }
        });
        Self { port, state, accepting: accepting.abort_handle() }
    }

    fn lead_to(&self, address: SocketAddr) {
        *self.state.to.lock().expect("a lock") = Some(address);
    }

    /// From now on, and for what is under way.
    pub(crate) fn set(&self, censor: Censor) {
        *self.state.censor.lock().expect("a lock") = censor;
    }

    /// Resets all connections.
    pub(crate) fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// The most at the same time.
    pub(crate) fn open_max(&self) -> usize {
        self.state.open_max.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl WireState {
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.open_max.fetch_max(open, Ordering::Relaxed);
        let is_cut = tokio::select! {
            is_cut = self.copy(&mut client) => is_cut,
            () = self.cut.notified() => true,
        };
        if is_cut {
            let _ = client.set_zero_linger();
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Until it ends; whether by a cut.
    async fn copy(&self, client: &mut TcpStream) -> bool {
        let Some(to) = *self.to.lock().expect("a lock") else { return true };
        let censor = *self.censor.lock().expect("a lock");
        if let Censor::Delays(time) = censor {
            tokio::time::sleep(time).await;
        }
        let Ok(mut server) = TcpStream::connect(to).await else { return true };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let len = from_client.read(&mut buffer).await.unwrap_or(0);
                if len == 0 {
                    let _ = to_server.shutdown().await;
                    return false;
                }
                if to_server.write_all(&buffer[..len]).await.is_err() {
                    return true;
                }
            }
        };
        let down = async {
            let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
            loop {
                let Ok(len) = from_server.read(&mut buffer).await else { return true };
                let censor = *self.censor.lock().expect("a lock");
                match censor {
                    Censor::Resets(at) if passed + len as u64 > at => return true,
                    Censor::Freezes(at) if passed + len as u64 > at => std::future::pending().await,
                    _ => {}
                }
                if len == 0 || to_client.write_all(&buffer[..len]).await.is_err() {
                    return len != 0;
                }
                passed += len as u64;
                self.bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
        };
        tokio::select! {
            is_cut = down => is_cut,
            is_cut = up => is_cut,
        }
    }
}

/// A site that sends as many MiB as one asks it for with eight bytes, big-endian.
pub(crate) async fn downloads() -> SocketAddr {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(len) = connection.read_u64().await else { return };
                for from in (0..len << 20).step_by(64 << 10) {
                    if connection.write_all(&pattern(from, 64 << 10)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Sends back what comes.
pub(crate) async fn echoes() -> SocketAddr {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
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

/// Waits until it is so, for as long as anybody would.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
