//! The ways out: where streams and datagrams of sessions may go, and from which address.
//!
//! A destination is judged twice: its port and name before it is looked up, each of its addresses after. The address that
//! was judged is the one that is dialled, so that a name can't answer twice differently.

mod association;
mod dial;
mod prefix;
mod rules;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use daylight_session::{Destination, code};
use serde::Deserialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use association::Association;
pub use prefix::Prefix;
pub use rules::Domain;
use rules::Rules;

/// Names that are looked up at once; the others wait. Each takes a thread of those that the site reads its files with, and
/// keeps it until the resolver answers, so that they must not take them all.
const LOOKUPS_MAX: usize = 128;

/// The section `[egress]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Addresses to go out from, one of a family at most. A family that has none here is not used then. Default: none,
    /// the system's choice. Another address than clients come in by keeps who sees both from joining them.
    pub source: Vec<IpAddr>,
    /// Ports that are never connected to. Default: those of mail, 25, 465 and 587.
    pub deny_ports: Vec<u16>,
    /// Networks that are never connected to. Default: none besides those that are not public.
    pub deny_networks: Vec<Prefix>,
    /// Domains that are never connected to, with all below them. An address that is asked for as such has no domain.
    /// Default: none.
    pub deny_domains: Vec<Domain>,
    /// If not empty, the only ports.
    pub only_ports: Vec<u16>,
    /// If not empty, the only networks.
    pub only_networks: Vec<Prefix>,
    /// If not empty, the only domains; then no address can be asked for as such.
    pub only_domains: Vec<Domain>,
    /// Networks that may be reached though they are not public, or are the server's own. Default: none.
    pub reach_private: Vec<Prefix>,
    /// Addresses of the server that none of its interfaces has, as with a cloud's address translation. Default: none.
    pub own_networks: Vec<Prefix>,
    /// How long looking up a name and connecting may take together, in seconds. 1 to 300, default 15.
    pub connect_seconds: u16,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            source: Vec::new(),
            deny_ports: vec![25, 465, 587],
            deny_networks: Vec::new(),
            deny_domains: Vec::new(),
            only_ports: Vec::new(),
            only_networks: Vec::new(),
            only_domains: Vec::new(),
            reach_private: Vec::new(),
            own_networks: Vec::new(),
            connect_seconds: 15,
        }
    }
}

impl EgressConfig {
    /// What is wrong with it, beyond its syntax; nothing is asked of the machine.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for is_v4 in [true, false] {
            if self.source.iter().filter(|source| source.is_ipv4() == is_v4).count() > 1 {
                faults.push(
                    "egress.source has two addresses of one family; keep one of IPv4 and one of IPv6".into(),
                );
            }
        }
        if !(1..=300).contains(&self.connect_seconds) {
            faults.push(format!("egress.connect_seconds is {}; choose 1 to 300", self.connect_seconds));
        }
        faults
    }
}

/// The machine has no such address to go out from.
#[derive(Debug, thiserror::Error)]
#[error(
    "egress.source: can't go out from {address}: {cause}; name an address of one of this machine's interfaces"
)]
pub struct SourceError {
    /// The address.
    pub address: IpAddr,
    /// The system's error.
    pub cause: io::Error,
}

/// Why a destination is not allowed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Denial {
    /// Its port.
    Port,
    /// Its name, or that it has none.
    Domain,
    /// The network that it is in.
    Network,
    /// It is not on the public internet.
    Special,
    /// It is the server itself.
    Own,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "its port",
            Self::Domain => "its name, or that it has none",
            Self::Network => "its network",
            Self::Special => "it is not on the public internet",
            Self::Own => "it is the server itself",
        })
    }
}

/// Why a destination was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The rules don't allow it.
    #[error("the rules don't allow this destination: {0}")]
    NotAllowed(Denial),
    /// The name doesn't exist, or has no address.
    #[error("the name has no address")]
    Name,
    /// It didn't answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It couldn't be connected to.
    #[error("{0}")]
    Connect(#[from] io::Error),
}

impl EgressError {
    /// What the client is told: a code of [`daylight_session::code`].
    #[must_use]
    pub fn code(&self) -> u64 {
        match self {
            Self::NotAllowed(_) => code::NOT_ALLOWED,
            Self::Name => code::NAME,
            Self::Timeout => code::TIMEOUT,
            Self::Connect(error) => code_of(error),
        }
    }

    /// In a word, for counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.code() {
            code::NOT_ALLOWED => "not-allowed",
            code::NAME => "name",
            code::TIMEOUT => "timeout",
            code::REFUSED => "refused",
            code::RESET => "reset",
            code::NETWORK_UNREACHABLE => "network-unreachable",
            code::HOST_UNREACHABLE => "host-unreachable",
            _ => "internal",
        }
    }
}

/// What a client is told of an error of a connection that was made.
#[must_use]
pub fn code_of(error: &io::Error) -> u64 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => code::REFUSED,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            code::RESET
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => code::NETWORK_UNREACHABLE,
        io::ErrorKind::HostUnreachable => code::HOST_UNREACHABLE,
        io::ErrorKind::TimedOut => code::TIMEOUT,
        _ => code::INTERNAL,
    }
}

/// The addresses to go out from.
#[derive(Clone, Copy, Debug, Default)]
struct Sources {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Sources {
    fn new(addresses: &[IpAddr]) -> Self {
        let find = |is_v4| addresses.iter().copied().find(|address| address.is_ipv4() == is_v4);
        Self { v4: find(true), v6: find(false) }
    }

    /// The one for this destination, if it matters.
    fn of(&self, destination: SocketAddr) -> io::Result<Option<IpAddr>> {
        let (own, other) = if destination.is_ipv4() { (self.v4, self.v6) } else { (self.v6, self.v4) };
        match (own, other) {
            (None, Some(_)) => Err(io::ErrorKind::NetworkUnreachable.into()),
            (own, _) => Ok(own),
        }
    }
}

/// The ways out.
#[derive(Debug)]
pub struct Egress {
    rules: Rules,
    sources: Sources,
    patience: Duration,
    lookups: Arc<Semaphore>,
}

impl Egress {
    /// The ways out that a configuration without [faults](EgressConfig::faults) leaves.
    ///
    /// # Errors
    /// If the machine has not the addresses to go out from.
    pub fn new(config: &EgressConfig) -> Result<Self, SourceError> {
        for &address in &config.source {
            std::net::UdpSocket::bind((address, 0)).map_err(|cause| SourceError { address, cause })?;
        }
        Ok(Self {
            rules: Rules::new(config.clone()),
            sources: Sources::new(&config.source),
            patience: Duration::from_secs(config.connect_seconds.into()),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        })
    }

    /// Connects a stream.
    ///
    /// # Errors
    /// If the destination isn't allowed, has no address, or doesn't take the connection in time.
    pub async fn connect(&self, destination: &Destination) -> Result<TcpStream, EgressError> {
        let connected = async {
            let addresses = self.resolve(destination).await?;
            Ok(dial::connect(dial::in_turn(addresses), self.sources).await?)
        };
        timeout(self.patience, connected).await.unwrap_or(Err(EgressError::Timeout))
    }

    /// A port for datagrams to anywhere that is allowed.
    ///
    /// # Errors
    /// If the system gives none.
    pub async fn associate(self: &Arc<Self>) -> Result<Association, EgressError> {
        Association::new(Arc::clone(self)).await
    }

    /// The addresses of a destination that are allowed, the best first; at least one.
    async fn resolve(&self, destination: &Destination) -> Result<Vec<SocketAddr>, EgressError> {
        let (name, port) = match destination {
            Destination::Name(name, port) => (Some(name.as_str()), *port),
            Destination::Address(address) => (None, address.port()),
        };
        self.rules.allow(name, port).map_err(EgressError::NotAllowed)?;
        let all: Vec<SocketAddr> = match destination {
            Destination::Address(address) => vec![*address],
            Destination::Name(name, _) => timeout(self.patience, self.look_up(name.as_str(), port))
                .await
                .map_err(|_| EgressError::Timeout)??,
        };
        let mut denial = None;
        let mut allowed = Vec::with_capacity(all.len());
        for address in all {
            let address = SocketAddr::new(address.ip().to_canonical(), port);
            match self.rules.allow_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(reason) => denial = Some(reason),
            }
        }
        match (allowed.is_empty(), denial) {
            (false, _) => Ok(allowed),
            (true, Some(reason)) => Err(EgressError::NotAllowed(reason)),
            (true, None) => Err(EgressError::Name),
        }
    }

    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let turn = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| EgressError::Name)?;
        let name = name.to_owned();
        // A task, which holds its turn until the resolver is done, also if nobody waits any more.
        let looking = tokio::spawn(async move {
            let found = lookup_host((name, port)).await.map(Vec::from_iter);
            drop(turn);
            found
        });
        looking.await.map_err(io::Error::other)?.map_err(|_| EgressError::Name)
    }
}
