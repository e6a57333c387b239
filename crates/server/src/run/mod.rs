//! A server that runs.
//!
//! Its listeners lead to one [`Doorman`]: `web` and `h3` by way of the site's own requests, `plain` by itself. What arrives from
//! holders of cards goes to one [`Gate`], which makes sessions of it; each session is joined to the ways out.
//!
//! What can change while it runs stands in `Settings`, which a [reload](Server::reload) exchanges as a whole; what goes on
//! keeps what it began with.

mod daemon;
mod files;
mod h3;
mod http;
mod listen;
mod plain;
mod refusing;
mod session;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use daylight_session::{ServerConfig, code};
use daylight_tunnel::driver::{Gate, NewSession};
use daylight_tunnel::transports::Arrived;
use daylight_tunnel::transports::door::Doorman;
use daylight_tunnel::transports::web::{Channel, Web};
use http_body::Body;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::net::Listener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::{Acme, AcmeError, Orders};
use crate::census::{Census, CensusError};
use crate::config::{Config, Place};
use crate::egress::{Egress, SourceError};
use crate::limits::{self, Handshakes, Limit, Limits};
use crate::metrics::{self, Metrics};
use crate::secrets::{self, SecretsError};
use crate::site::{Public, Site, SiteBody, SiteError, Source};
use crate::tls::{self, TlsError};
pub use daemon::{DaemonError, run};
use http::{Answering, Visitor};

/// Is told, line by line, what happens that a server's operator should know.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// How often it is looked whether all sessions have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What was said last has so long to go out.
const FAREWELL: Duration = Duration::from_millis(200);

/// Why a server can't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The secret key.
    #[error("can't read the server's key {}: {cause}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The folder for what is remembered.
    #[error("can't keep what came already in {}: {cause}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// An address is taken, or not the machine's, or not allowed.
    #[error("can't listen at {place}: {cause}")]
    Listen {
        /// The address.
        place: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The count of users.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// The certificate that is to be ordered.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// What can change while it runs.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// What is wrong with what can change while a server runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The cards' secrets.
    #[error(transparent)]
    Cards(#[from] SecretsError),
    /// The site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address to go out from.
    #[error(transparent)]
    Egress(#[from] SourceError),
}

/// What can change while a server runs.
struct Settings {
    site: Site,
    tls: Option<Arc<rustls::ServerConfig>>,
    egress: Arc<Egress>,
    limits: Limits,
    sessions_max: usize,
    /// What tells visitors that there is HTTP/3.
    alt_svc: Option<HeaderValue>,
}

impl Settings {
    fn new(config: &Config, acme: Option<&Acme>) -> Result<Self, SettingsError> {
        let web = config.web.as_ref();
        let port = web.and_then(|web| web.listen.first()).map_or(443, SocketAddr::port);
        let public = Public { https: true, port };
        let site = match config.site.as_ref().and_then(|site| Some((site.source()?, &site.server))) {
            Some((source, server)) => Site::open(&source, server, public)?,
            // Without visitors nobody sees it.
            None => Site::open(&Source::Https, "nginx", public)?,
        };
        let files = web.and_then(|web| web.certificate.as_deref().zip(web.certificate_key.as_deref()));
        let certificate = match (files, acme) {
            (Some((chain, key)), _) => Some(tls::of_files(chain, key)?),
            (None, acme) => acme.map(Acme::resolver),
        };
        let tls = certificate.map(tls::server).transpose()?;
        let egress = Arc::new(Egress::new(&config.egress)?);
        let sessions_max = usize::try_from(config.limits.sessions).unwrap_or(usize::MAX);
        let h3_port = config.h3.as_ref().and_then(|h3| h3.listen.first()).map(SocketAddr::port);
        let alt_svc =
            h3_port.and_then(|port| HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400")).ok());
        Ok(Self { site, tls, egress, limits: Limits::new(&config.limits), sessions_max, alt_svc })
    }

    /// The site's answer.
    async fn answer<B>(&self, request: Request<B>) -> Response<SiteBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut response = self.site.answer(request).await;
        if let Some(alt_svc) = self.alt_svc.clone().filter(|_| gets_headers(response.status())) {
            response.headers_mut().append(header::ALT_SVC, alt_svc);
        }
        response
    }
}

/// Those that nginx's `add_header` adds to.
fn gets_headers(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

/// What all connections share.
struct Shared {
    door: Arc<Doorman>,
    web: Web,
    arrived: mpsc::UnboundedSender<Arrived>,
    settings: RwLock<Arc<Settings>>,
    handshakes: Handshakes,
    census: Option<Arc<Census>>,
    acme: Option<Acme>,
    metrics: Arc<Metrics>,
    /// Visitors' connections are to end after the requests that they carry.
    connections_end: CancellationToken,
}

impl Shared {
    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server that runs. Dropping it ends its listeners, and nothing else.
pub struct Server {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    listening: CancellationToken,
    listeners: TaskTracker,
    addresses: Vec<(&'static str, Place)>,
}

impl Server {
    /// Starts it: when this returns, it listens. What happens that its operator should know goes to `say`.
    ///
    /// # Errors
    /// If a file can't be read or an address can't be listened at.
    pub async fn start(config: &Config, say: Say) -> Result<Self, StartError> {
        let state = |cause| StartError::State { path: config.state.clone(), cause };
        std::fs::create_dir_all(&config.state).map_err(state)?;
        let key = key(&config.key).map_err(|cause| StartError::Key { path: config.key.clone(), cause })?;
        let door = Arc::new(Doorman::open(key, &config.state.join("taken")).map_err(state)?);
        door.set_cards(secrets::read(&config.cards).map_err(SettingsError::from)?);
        let (arrived, mut arriving) = mpsc::unbounded_channel();
        let (new, mut sessions) = mpsc::unbounded_channel::<NewSession>();
        let mut sessions_config = ServerConfig::new(key);
        sessions_config.limits.streams_max = config.limits.streams.into();
        // What is configured may change; it is looked at below.
        sessions_config.sessions_max = limits::SESSIONS_MAX as usize;
        let gate = Arc::new(Gate::new(Arc::new(sessions_config), rand::random(), new));
        let census = config.census.as_ref().map(|census| Census::open(census, &config.state.join("census")));
        let census = census.transpose()?;
        let acme = config.web.as_ref().and_then(|web| web.acme.as_ref());
        let acme = acme.map(|acme| Acme::new(acme, &config.state.join("certificates"))).transpose()?;
        let (acme, orders) = acme.unzip();
        let settings = Settings::new(config, acme.as_ref())?;
        let shared = Arc::new(Shared {
            web: Web::new(door.clone(), arrived.clone()),
            door,
            arrived,
            handshakes: settings.limits.handshakes(),
            settings: RwLock::new(Arc::new(settings)),
            census,
            acme,
            metrics: Arc::default(),
            connections_end: CancellationToken::new(),
        });
        let (carrying, metrics) = (gate.clone(), shared.metrics.clone());
        tokio::spawn(async move {
            while let Some(path) = arriving.recv().await {
                tokio::spawn(carry(carrying.clone(), metrics.clone(), path));
            }
        });
        let (joining, counting) = (shared.clone(), gate.clone());
        tokio::spawn(async move {
            while let Some(new) = sessions.recv().await {
                if counting.sessions() > joining.settings().sessions_max {
                    joining.metrics.limit_reached(Limit::Sessions);
                    new.session.close(code::BUSY);
                } else {
                    tokio::spawn(session::serve(joining.clone(), new));
                }
            }
        });
        let (listening, listeners) = (CancellationToken::new(), TaskTracker::new());
        let mut server = Self { shared, gate, listening, listeners, addresses: Vec::new() };
        server.listen(config)?;
        server.maintain(orders, say);
        Ok(server)
    }

    /// Renews the certificate and keeps the count of users, for as long as the server listens.
    fn maintain(&self, orders: Option<Orders>, say: Say) {
        let ends = &self.listening;
        if let Some(orders) = orders {
            let (ends, say) = (ends.clone(), say.clone());
            self.listeners.spawn(async move { ends.run_until_cancelled(orders.run(|line| say(line))).await });
        }
        if let Some(census) = &self.shared.census {
            let (ends, census) = (ends.clone(), census.clone());
            let failed = move |error| say(&format!("the count of users is not kept: {error}"));
            self.listeners.spawn(async move { ends.run_until_cancelled(census.keep(failed)).await });
        }
    }

    fn listen(&mut self, config: &Config) -> Result<(), StartError> {
        if let Some(web) = &config.web {
            for &address in &web.listen {
                let shared = self.shared.clone();
                self.listen_at("web", address, move |connection, from| {
                    http::https(shared.clone(), connection, from)
                })?;
            }
            let port = web.listen.first().map_or(443, SocketAddr::port);
            for &address in &web.redirect {
                let name = config.site.as_ref().map_or("nginx", |site| &site.server);
                let site = Site::open(&Source::Https, name, Public { https: true, port });
                let site = site.map_err(SettingsError::from)?;
                self.listen_at("redirect", address, move |connection, _| {
                    http::redirect(site.clone(), connection)
                })?;
            }
        }
        for &address in config.h3.iter().flat_map(|h3| &h3.listen) {
            let cant = |cause| StartError::Listen { place: format!("{address} (UDP)"), cause };
            let endpoint = h3::listen(&self.shared, address).map_err(cant)?;
            self.addresses.push(("h3", Place::Tcp(endpoint.local_addr().map_err(cant)?)));
            self.listeners.spawn(h3::serve(self.shared.clone(), endpoint, self.listening.clone()));
        }
        if let Some(behind) = &config.behind {
            let answering = Answering {
                shared: self.shared.clone(),
                channel: Channel::Relayed,
                from: Visitor::Told(behind.visitor.clone()),
            };
            match &behind.listen {
                &Place::Tcp(address) => self.listen_at("behind", address, move |connection, _| {
                    http::relayed(connection, answering.clone())
                })?,
                Place::Unix(path) => {
                    let cant = |cause| StartError::Listen { place: behind.listen.to_string(), cause };
                    let listener = listen::bind_unix(path).map_err(cant)?;
                    self.serve("behind", behind.listen.clone(), listener, move |connection, _| {
                        http::relayed(connection, answering.clone())
                    });
                }
            }
        }
        for &address in config.plain.iter().flat_map(|plain| &plain.listen) {
            let shared = self.shared.clone();
            self.listen_at("plain", address, move |connection, from| {
                plain::serve(shared.clone(), connection, from)
            })?;
        }
        if let Some(address) = config.metrics {
            let cant = |cause| StartError::Listen { place: address.to_string(), cause };
            let listener = listen::bind(address).map_err(cant)?;
            self.addresses.push(("metrics", Place::Tcp(listener.local_addr().map_err(cant)?)));
            let (metrics, ends) = (self.shared.metrics.clone(), self.listening.clone());
            self.listeners.spawn(async move {
                ends.run_until_cancelled(metrics::serve(listener, metrics)).await;
            });
        }
        Ok(())
    }

    fn listen_at<F>(
        &mut self,
        what: &'static str,
        address: SocketAddr,
        serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static,
    ) -> Result<(), StartError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cant = |cause| StartError::Listen { place: address.to_string(), cause };
        let listener = listen::bind(address).map_err(cant)?;
        let place = Place::Tcp(listener.local_addr().map_err(cant)?);
        self.serve(what, place, listener, move |connection: TcpStream, from| {
            // Small messages are not to wait for company. If it fails, the connection has ended.
            let _ = connection.set_nodelay(true);
            serve(connection, from)
        });
        Ok(())
    }

    fn serve<L, F>(
        &mut self,
        what: &'static str,
        place: Place,
        listener: L,
        serve: impl Fn(L::Io, L::Addr) -> F + Send + 'static,
    ) where
        L: Listener<Io: Send, Addr: Send> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.addresses.push((what, place));
        self.listeners.spawn(listen::serve(listener, self.listening.clone(), serve));
    }

    /// Where it listens: `web`, `redirect`, `h3`, `behind`, `plain` or `metrics`, and the place.
    #[must_use]
    pub fn addresses(&self) -> &[(&'static str, Place)] {
        &self.addresses
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.gate.sessions()
    }

    /// Takes over what can change: cards, site, certificate, egress, limits of new sessions. Sessions go on.
    ///
    /// # Errors
    /// If something is wrong; then nothing changes.
    pub fn reload(&self, config: &Config) -> Result<(), SettingsError> {
        let cards = secrets::read(&config.cards)?;
        let settings = Settings::new(config, self.shared.acme.as_ref())?;
        self.shared.door.set_cards(cards);
        *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        Ok(())
    }

    /// Ends it: listens no more, gives sessions this long to end by themselves, and then ends them.
    pub async fn drain(&self, patience: Duration) {
        self.listening.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.shared.connections_end.cancel();
        let have_ended = async {
            while self.gate.sessions() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(patience, have_ended).await.is_err() {
            self.gate.close(code::BUSY);
            tokio::time::sleep(FAREWELL).await;
        }
        if let Some(census) = &self.shared.census {
            let census = census.clone();
            // What can't be written at the very end is lost, as it is when a machine stops.
            let _ = tokio::task::spawn_blocking(move || census.save()).await;
        }
    }
}

async fn carry(gate: Arc<Gate>, metrics: Arc<Metrics>, path: Arrived) {
    let transport = path.transport;
    let _present = metrics.path(transport);
    if let Err(why) = gate.carry(path).await {
        metrics.path_refused(transport, &why);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.cancel();
    }
}

/// The server's secret key: 64 hexadecimal digits, or 32 bytes.
fn key(path: &Path) -> io::Result<[u8; 32]> {
    let bytes = std::fs::read(path)?;
    let of_text = || secrets::of_hex(std::str::from_utf8(&bytes).ok()?.trim());
    let key = of_text().unwrap_or_else(|| bytes.clone());
    let wrong = "a server's key has 64 hexadecimal digits, or 32 bytes";
    key.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, wrong))
}
