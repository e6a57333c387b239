//! The tunnel itself: finds ways to the servers of cards, and keeps one that works.
//!
//! A *way* is a card with one of its transports. The [race] says which are tried, and which is used; each that is
//! has an *attempt* (`attempt`), a task that dials (`dial`) and carries paths of the server's *session* (`session`), over
//! one connection after the other. [`Engine`] is what programs' streams are opened on (`tunnel`); behind it one task
//! (`runner`) tells the race what happens and does what it says.

mod attempt;
mod dial;
mod failure;
mod meter;
mod runner;
mod session;
mod state;
mod tunnel;
mod way;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daylight_browser::{Profile, Trust};
use daylight_card::{Address, Card, Transport};
use tokio::sync::{mpsc, watch};

use self::attempt::Common;
pub use self::attempt::Rotation;
use self::dial::{Dialler, Names, Tls};
use self::runner::Runner;
use self::session::{Session, Sessions};
pub use self::state::{StateError, StateFolder};
pub use self::tunnel::{EngineAssociation, EngineStream};
use crate::memory::Memory;
use crate::race;
use crate::status::Status;

/// A path that owes an answer for so long is stalled: as long as the race's window.
const STALL: Duration = Duration::from_millis(750);
/// The mean time after which an idle path is kept alive: home routers forget a connection after some minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// What an engine is made of.
pub struct Config {
    /// Whose servers are used.
    pub cards: Vec<Card>,
    /// The transports that may be used; all if it is empty.
    pub transports: Vec<Transport>,
    /// What the TLS of `web` looks like.
    pub profile: Profile,
    /// Whose certificates are good for `web` and `h3`.
    pub trust: Trust,
    /// `SO_MARK` of its own connections, for when the whole machine is carried.
    pub mark: Option<u32>,
    /// What worked on which network.
    pub memory: Memory,
    /// The file of the [census](daylight_tunnel::census); none: this client is not counted.
    pub census: Option<PathBuf>,
    /// How ways are tried.
    pub race: race::Config,
    /// When a connection has carried enough.
    pub rotation: Rotation,
}

impl Config {
    /// The usual one for some cards: all transports, a current browser, the system's certificate authorities, no memory.
    #[must_use]
    pub fn new(cards: Vec<Card>) -> Self {
        Self {
            cards,
            transports: Vec::new(),
            profile: Profile::current(),
            trust: Trust::System,
            mark: None,
            memory: Memory::ephemeral(),
            census: None,
            race: race::Config::default(),
            rotation: Rotation::default(),
        }
    }
}

/// There can't be an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The cards offer nothing that can be used.
    #[error(
        "none of the cards offers a transport that can be used here (they offer {offered}): ask for another card, or leave --transport out"
    )]
    NoWay {
        /// What they offer.
        offered: String,
    },
    /// The TLS of `web` can't be set up.
    #[error(transparent)]
    Browser(#[from] daylight_browser::Error),
}

/// The tunnel. Clones are handles of one; it runs until [`Engine::stop`], or until none is left.
#[derive(Clone)]
pub struct Engine {
    current: watch::Receiver<Option<Arc<Session>>>,
    status: Arc<watch::Sender<Status>>,
    common: Arc<Common>,
    /// Stops the runner by a word, or by its end.
    stop: mpsc::Sender<()>,
}

impl Engine {
    /// Begins to look for a way, in a task of its own.
    ///
    /// # Errors
    /// If no card offers a transport that is wanted and known, all of them are of a site and its TLS can't be set up, or
    /// certificate authorities were named and can't be used.
    pub fn start(config: Config) -> Result<Self, EngineError> {
        let Config { cards, transports, profile, trust, mark, memory, census, race, rotation } = config;
        let servers: Vec<_> = cards.iter().filter_map(way::server).collect();
        let pairs = servers.iter().zip(&cards).enumerate();
        let mut ways: Vec<_> =
            pairs.flat_map(|(index, (server, card))| way::ways(index, server, card, &transports)).collect();
        if ways.is_empty() {
            let offers = cards.iter().flat_map(|card| &card.body().offers);
            let offered: Vec<String> = offers.map(|offer| offer.transport.to_string()).collect();
            return Err(EngineError::NoWay { offered: offered.join(", ") });
        }
        let mut status = Status::default();
        let tls = match Tls::of(&ways, profile, &trust) {
            Ok(tls) => tls,
            Err(error) => {
                ways.retain(|way| matches!(way.by, way::By::Plain));
                if ways.is_empty() || !matches!(trust, Trust::System) {
                    return Err(error.into());
                }
                status.note(runner::now_s(), format!("only plain can be used: {error}"));
                None
            }
        };
        let dialler = Dialler { names: Names::default(), tls, mark };
        let sessions = Sessions::new(servers.iter().map(|server| Arc::clone(&server.config)), census);
        let common = Arc::new(Common { servers, ways, dialler, sessions, rotation });
        let (use_session, current) = watch::channel(None);
        let status = Arc::new(watch::Sender::new(status));
        let (stop, stopped) = mpsc::channel(1);
        let runner = Runner::new(
            Arc::clone(&common),
            race,
            Arc::new(Mutex::new(memory)),
            use_session,
            Arc::clone(&status),
            stopped,
        );
        tokio::spawn(runner.run());
        Ok(Self { current, status, common, stop })
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Changes what the status says of things that the engine does not know: where the proxies are, and the like.
    pub fn describe(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// Looks the servers' names up, for when nobody can be asked but through the tunnel. Those that are not found now are
    /// asked for there.
    pub async fn look_up_servers(&self) {
        let addresses = self.common.ways.iter().flat_map(|way| &way.addresses);
        for address in addresses {
            if let Address::Name(name) = address {
                // If it is not found dialling says so.
                let _ = self.common.dialler.names.look_up(name).await;
            }
        }
    }

    /// Ends all sessions, and tells the servers, if they can be told at once.
    pub async fn stop(&self) {
        // If it is full somebody else has said it, and if it is closed the runner has ended.
        let _ = self.stop.try_send(());
        let mut current = self.current.clone();
        while current.changed().await.is_ok() {}
    }
}
