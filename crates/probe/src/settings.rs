//! How a run measures: whom it asks, what it compares with, how long it waits, what it leaves out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use url::Url;

use crate::dns::{self, Lookup, Patience, Resolver};

/// How a run measures.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A resolver that stands in for the system's, for a lab.
    pub stand_in: Option<SocketAddr>,
    /// Resolvers to ask beside the system's own.
    pub resolvers: Vec<Resolver>,
    /// The system's resolvers, asked by UDP too: their answers show what the system's lookup hides.
    pub nameservers: Vec<SocketAddr>,
    /// An address where no resolver listens. An answer from there is an injector's.
    pub non_resolver: Option<SocketAddr>,
    /// What the target is compared with.
    pub control: ControlSite,
    /// The network that is measured from.
    pub network: Network,
    /// How long is waited.
    pub waits: Waits,
    /// Which steps are taken.
    pub steps: Steps,
    /// Bytes of a page that are kept.
    pub body_bytes_max: usize,
    /// Addresses of one target that are connected to.
    pub addresses_max: usize,
    /// Interleaved pairs of transfers; the rule wants four.
    pub pairs: u32,
    /// Bytes of one such transfer.
    pub transfer_bytes_max: usize,
    /// Own addresses are kept. Off unless asked for.
    pub keep_own_addresses: bool,
}

/// A site that nobody blocks. Its name is the innocuous one, its server is the one that any name can be sent to.
#[derive(Clone, Debug)]
pub struct ControlSite {
    /// Its name.
    pub host: String,
    /// Its addresses. None to look them up at the beginning of the run.
    pub addresses: Vec<IpAddr>,
    /// The port of its TLS.
    pub port: u16,
    /// The port of its HTTP.
    pub http_port: u16,
}

/// The network that is measured from, as the user or a database says; it goes into measurements as it is.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The autonomous system's number; 0 if not known.
    pub asn: u32,
    /// ISO 3166-1 alpha-2; empty if not known.
    pub country: String,
    /// The network's name.
    pub name: Option<String>,
    /// The number of the resolver's network; 0 if not known.
    pub resolver_asn: u32,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For answers of resolvers.
    pub dns: Patience,
    /// For a connection.
    pub connect: Duration,
    /// For a handshake.
    pub handshake: Duration,
    /// For a page.
    pub http: Duration,
    /// For QUIC.
    pub quic: Duration,
    /// For the helper.
    pub helper: Duration,
    /// For one transfer of a pair.
    pub transfer: Duration,
    /// Between a failure and its repetition.
    pub retest: Duration,
    /// Between two targets.
    pub between: Duration,
}

impl Default for Waits {
    /// Ten seconds a step, as OONI's probe waits.
    fn default() -> Self {
        Self {
            dns: Patience::default(),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            http: Duration::from_secs(15),
            quic: Duration::from_secs(5),
            helper: Duration::from_secs(30),
            transfer: Duration::from_secs(8),
            retest: Duration::from_secs(5),
            between: Duration::ZERO,
        }
    }
}

/// Which steps are taken beside an ordinary visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Queries that no ordinary program sends: to an address without a resolver, for a name made up at random.
    pub odd_queries: bool,
    /// Handshakes and requests with this and that name, at this and that address.
    pub matrix: bool,
    /// QUIC.
    pub quic: bool,
    /// Pairs of transfers.
    pub throttling: bool,
    /// Repetitions after a failure.
    pub retests: bool,
    /// The search for the hop, if something fails.
    pub locate: bool,
}

impl Steps {
    /// All but the search for the hop, which has to be asked for.
    pub const FULL: Self =
        Self { odd_queries: true, matrix: true, quic: true, throttling: true, retests: true, locate: false };
    /// What a browser does, and no more.
    pub const QUIET: Self = Self {
        odd_queries: false,
        matrix: false,
        quic: false,
        throttling: false,
        retests: false,
        locate: false,
    };
}

impl Settings {
    /// The ordinary way to measure, with public resolvers and an innocuous site.
    #[must_use]
    pub fn ordinary() -> Self {
        let udp = |a, b, c, d| Resolver::Udp((Ipv4Addr::new(a, b, c, d), 53).into());
        let google = [Ipv4Addr::new(8, 8, 8, 8).into(), Ipv4Addr::new(8, 8, 4, 4).into()];
        let mut resolvers = vec![
            udp(8, 8, 4, 4),
            udp(1, 1, 1, 1),
            udp(9, 9, 9, 9),
            Resolver::Tcp((Ipv4Addr::new(8, 8, 4, 4), 53).into()),
            Resolver::Dot((Ipv4Addr::new(1, 1, 1, 1), 853).into(), "one.one.one.one".to_owned()),
        ];
        if let Ok(url) = Url::parse("https://dns.google/dns-query") {
            resolvers.push(Resolver::Doh(url, google.to_vec()));
        }
        let nameservers = std::fs::read_to_string("/etc/resolv.conf")
            .map(|text| dns::nameservers(&text))
            .unwrap_or_default();
        Self {
            stand_in: None,
            resolvers,
            nameservers,
            non_resolver: None,
            control: ControlSite {
                host: "www.example.com".to_owned(),
                addresses: Vec::new(),
                port: 443,
                http_port: 80,
            },
            network: Network::default(),
            waits: Waits::default(),
            steps: Steps::FULL,
            body_bytes_max: 512 << 10,
            addresses_max: 8,
            pairs: 4,
            transfer_bytes_max: 64 << 10,
            keep_own_addresses: false,
        }
    }

    /// Looks a name up as an ordinary program would.
    pub(crate) async fn lookup(&self, name: &str) -> Lookup {
        match self.stand_in {
            Some(at) => dns::lookup_at(at, name, self.waits.dns).await,
            None => dns::lookup(name, self.waits.dns.timeout).await,
        }
    }

    /// The way to measure where being noticed is a danger: as a browser does, one target after the other.
    pub fn be_quiet(&mut self) {
        self.steps = Steps::QUIET;
        self.waits.between = self.waits.between.max(Duration::from_secs(20));
        // Several resolvers at once are no browser's habit.
        self.resolvers.truncate(1);
    }
}
