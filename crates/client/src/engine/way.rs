//! The ways to servers: each is a card with one of the transports that it offers.

use std::net::IpAddr;

use daylight_card::{Address, Card, Offer, Transport};
use daylight_session::ClientConfig;
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::web::Mode;

use crate::words::Route;

/// A card's keys, and where its server is.
pub(super) struct Server {
    /// What tells it from others in the memory of networks.
    pub(super) id: Vec<u8>,
    pub(super) key: [u8; 32],
    pub(super) keys: CardKeys,
    pub(super) config: std::sync::Arc<ClientConfig>,
}

/// A card with one of its transports.
pub(super) struct Way {
    /// Which server, as an index.
    pub(super) server: usize,
    /// For the person.
    pub(super) route: Route,
    /// Where to dial: those that need no look-up first.
    pub(super) addresses: Vec<Address>,
    pub(super) port: u16,
    pub(super) by: By,
}

/// How a way's connections are made.
pub(super) enum By {
    /// Uniform bytes.
    Plain,
    /// HTTP/3 on a site, of this name.
    H3 { site: String },
    /// HTTPS on a site.
    Web {
        /// The site's name, as a browser asks for it.
        site: String,
        /// Where the tunnel is on it.
        path: String,
        mode: Mode,
    },
}

impl By {
    /// How much it is preferred where nothing is known, 0 to 1: what looks like everybody's traffic comes first.
    pub(super) fn preference(&self) -> f64 {
        match self {
            Self::Web { mode: Mode::Streams, .. } => 1.0,
            Self::Web { mode: Mode::Pieces, .. } => 0.3,
            Self::Plain => 0.5,
            // Its first packets are no browser's, and some networks have no UDP.
            Self::H3 { .. } => 0.4,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Web { mode: Mode::Streams, .. } => "web",
            Self::Web { mode: Mode::Pieces, .. } => "web in pieces",
            Self::H3 { .. } => "h3",
            Self::Plain => "plain",
        }
    }
}

/// The server of a card. None only if nothing can be derived from its secret.
pub(super) fn server(card: &Card) -> Option<Server> {
    let body = card.body();
    let keys = CardKeys::of(body.secret.as_bytes())?;
    let mut config = ClientConfig::new(body.key, keys.session);
    config.limits.stall = super::STALL;
    config.limits.keep_alive = Some(super::KEEP_ALIVE);
    let id = [&body.key[..], &keys.access.id].concat();
    Some(Server { id, key: body.key, keys, config: std::sync::Arc::new(config) })
}

/// The ways of a card to its server, but for transports that are not wanted or not known here. `wanted` is of all if it is empty.
pub(super) fn ways(index: usize, server: &Server, card: &Card, wanted: &[Transport]) -> Vec<Way> {
    let body = card.body();
    let mut addresses = body.addresses.clone();
    addresses.sort_by_key(|address| matches!(address, Address::Name(_)));
    let name = body.addresses.first().map(ToString::to_string).unwrap_or_default();
    let way = |offer: &Offer, by: By| Way {
        server: index,
        route: Route { server: name.clone(), transport: by.name().into() },
        addresses: addresses.clone(),
        port: offer.port.unwrap_or(body.port),
        by,
    };
    let site = |offer: &Offer| offer.name.clone().unwrap_or_else(|| site_of(&body.addresses));
    let is_wanted = |offer: &&Offer| wanted.is_empty() || wanted.contains(&offer.transport);
    let mut ways = Vec::new();
    for offer in body.offers.iter().filter(is_wanted) {
        match offer.transport {
            Transport::H3 => ways.push(way(offer, By::H3 { site: site(offer) })),
            Transport::Web => {
                let site = site(offer);
                let path = offer.path.clone().unwrap_or_else(|| server.keys.path.clone());
                for mode in [Mode::Streams, Mode::Pieces] {
                    ways.push(way(offer, By::Web { site: site.clone(), path: path.clone(), mode }));
                }
            }
            Transport::Plain => ways.push(way(offer, By::Plain)),
            // Those that this version can't do.
            _ => {}
        }
    }
    ways
}

/// The first name among the addresses, or the first address.
fn site_of(addresses: &[Address]) -> String {
    let name = addresses.iter().find(|address| matches!(address, Address::Name(_)));
    match name.or_else(|| addresses.first()) {
        Some(Address::Ip(IpAddr::V6(ip))) => format!("[{ip}]"),
        Some(address) => address.to_string(),
        None => String::new(),
    }
}
