//! Asking for a name's addresses, in every way that a network could treat differently.
//!
//! An [`Exchange`] is one question to one resolver over one transport, with every answer that came: of two answers to a
//! UDP query the first is often the injected one, and what comes after it shows that.

mod message;
mod stream;
mod system;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use message::{ANSWERS_MAX, Answer, MESSAGE_BYTES_MAX, Message, RecordType, query, read};
pub use system::{Lookup, lookup, lookup_at, nameservers};

#[cfg(test)]
pub(crate) use message::tests::answer;

use crate::tls::Roots;
use daylight_verdict::ooni::Failure;

/// Where a question goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// By UDP.
    Udp(SocketAddr),
    /// By TCP.
    Tcp(SocketAddr),
    /// By TLS (RFC 7858): the address, and the name in its certificate.
    Dot(SocketAddr, String),
    /// By HTTPS (RFC 8484): the URL, and the addresses of its host, so that nobody has to be asked for them.
    Doh(url::Url, Vec<IpAddr>),
}

impl Resolver {
    /// The transport's word in OONI's measurements (`engine`).
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Udp(_) => "udp",
            Self::Tcp(_) => "tcp",
            Self::Dot(..) => "dot",
            Self::Doh(..) => "doh",
        }
    }

    /// Who is asked, as OONI's measurements write it (`resolver_address`).
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Udp(to) | Self::Tcp(to) | Self::Dot(to, _) => to.to_string(),
            Self::Doh(url, _) => url.to_string(),
        }
    }
}

/// How long answers are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first.
    pub timeout: Duration,
    /// By UDP, for all there are, from the first query on.
    pub all: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), all: Duration::from_secs(3) }
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// When it came.
    pub at: Instant,
    /// The TTL, or hop limit, that its packet had left; by UDP only.
    pub ttl: Option<u8>,
    /// Which of the queries it answers, from 0; by UDP, where lost ones are repeated with a new identifier.
    pub attempt: usize,
    /// What it says.
    pub message: Message,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A question and its answers.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who was asked.
    pub resolver: Resolver,
    /// For which name.
    pub name: String,
    /// For which records.
    pub kind: RecordType,
    /// When it was begun.
    pub begun: Instant,
    /// When the first answer, or the failure, was there.
    pub ended: Instant,
    /// All answers, in the order of their coming.
    pub replies: Vec<Reply>,
    /// Why there is no address: what the first answer says, or why there is none.
    pub failure: Option<Failure>,
}

impl Exchange {
    pub(super) fn new(resolver: &Resolver, name: &str, kind: RecordType) -> Self {
        let now = Instant::now();
        Self {
            resolver: resolver.clone(),
            name: name.to_owned(),
            kind,
            begun: now,
            ended: now,
            replies: Vec::new(),
            failure: None,
        }
    }

    /// The addresses of the first answer.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.replies.first().map(|reply| reply.message.addresses()).unwrap_or_default()
    }

    /// Takes the first answer's word, or the reason why there is none.
    fn conclude(mut self, otherwise: Failure) -> Self {
        self.failure = match self.replies.first() {
            Some(first) => {
                self.ended = first.at;
                first.message.failure()
            }
            None => {
                self.ended = Instant::now();
                Some(otherwise)
            }
        };
        self
    }
}

/// Asks one resolver.
pub async fn ask(
    resolver: &Resolver,
    name: &str,
    kind: RecordType,
    patience: Patience,
    roots: &Roots,
) -> Exchange {
    let exchange = Exchange::new(resolver, name, kind);
    match resolver {
        Resolver::Udp(to) => udp::ask(exchange, *to, patience).await,
        Resolver::Tcp(to) => stream::ask_tcp(exchange, *to, patience.timeout).await,
        Resolver::Dot(to, host) => stream::ask_dot(exchange, *to, host, patience.timeout, roots).await,
        Resolver::Doh(url, addresses) => {
            stream::ask_doh(exchange, url, addresses, patience.timeout, roots).await
        }
    }
}
