//! Protocols in which one connection asks many things: each question is decided on by itself.

use daylight_protocols::{Asked, ProtocolId};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without a trailing dot or a port.
    pub name: String,
    /// How it asks.
    pub kind: Kind,
    /// There are others before it that have not been answered: an answer to this one would be taken for one to them.
    pub waits: bool,
}

/// How a question is asked, and so how it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A DNS query in a datagram.
    Dns(Box<[u8]>),
    /// A DNS query in a stream; without its length before it.
    DnsStream(Box<[u8]>),
    /// An HTTP/1 request with this method.
    Http(Box<str>),
}

impl Question {
    /// What a flow of this protocol was found to ask.
    pub fn new(protocol: ProtocolId, tcp: bool, asked: &Asked) -> Self {
        let kind = match protocol {
            ProtocolId::Dns if tcp => Kind::DnsStream(asked.message.clone()),
            ProtocolId::Dns => Kind::Dns(asked.message.clone()),
            _ => Kind::Http(asked.method.clone()),
        };
        Self { name: asked.name.to_string(), kind, waits: asked.behind > 0 }
    }
}

/// True if a flow of this protocol asks many things, so that no one answer holds for all of it.
pub fn asks_many(protocol: ProtocolId) -> bool {
    matches!(protocol, ProtocolId::Dns | ProtocolId::Http | ProtocolId::HttpProxy)
}
