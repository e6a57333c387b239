//! What is found.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::benign::Benign;
use crate::tell::Tell;

/// What is to be thought of a packet, or of a connection by its worst packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something is odd, and one harmless cause would explain all of it.
    Suspect,
    /// Not the server's: no one harmless cause explains all of it.
    Injected,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspect => "suspect",
            Self::Injected => "injected",
        }
    }
}

/// What the client had asked for when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A query.
    Dns,
    /// A connection: the client has sent nothing in it.
    Tcp,
    /// A TLS handshake.
    Tls,
    /// A request over plain HTTP.
    Http,
    /// A QUIC handshake.
    Quic,
}

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// RST.
    Rst,
    /// RST and ACK.
    RstAck,
    /// FIN without data.
    FinAck,
    /// FIN with data.
    FinData,
    /// Data.
    Data,
    /// SYN and ACK.
    SynAck,
    /// An answer of DNS.
    DnsAnswer,
}

impl Kind {
    /// Its word, as in a measurement.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rst => "rst",
            Self::RstAck => "rst-ack",
            Self::FinAck => "fin-ack",
            Self::FinData => "fin-data",
            Self::Data => "data",
            Self::SynAck => "syn-ack",
            Self::DnsAnswer => "dns-answer",
        }
    }

    /// RST, with or without ACK.
    #[must_use]
    pub fn is_reset(self) -> bool {
        matches!(self, Self::Rst | Self::RstAck)
    }
}

/// A tell, with what witnesses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Which.
    pub tell: Tell,
    /// The values, in words: `TTL 64, the SYN/ACK's 52`.
    pub values: String,
    /// The packets that show it, beside the packet itself: numbers in the capture, from 1.
    pub witnesses: Vec<u64>,
    /// Harmless causes it may have here; none if there are none.
    pub benign: Vec<Benign>,
}

impl Told {
    /// With the harmless causes that the tell has in general.
    pub(crate) fn of(tell: Tell, values: String, witnesses: Vec<u64>) -> Self {
        Self { tell, values, witnesses, benign: tell.benign().to_vec() }
    }
}

/// A packet that came in the server's name and seems not to be the server's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreign {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was captured, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// What is to be thought of it.
    pub verdict: Verdict,
    /// What kind it is.
    pub kind: Kind,
    /// The IP TTL, or hop limit, that it came with.
    pub ip_ttl: u8,
    /// Its IPv4 identification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_id: Option<u16>,
    /// The DF bit of IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dont_fragment: Option<bool>,
    /// TCP's window, as in the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u16>,
    /// From the client's packet that it seems to answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
    /// What speaks against it.
    pub tells: Vec<Told>,
    /// Its first bytes, from the IP header on: at most [`BYTES_KEPT_MAX`](crate::BYTES_KEPT_MAX).
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// A signature that the connection's foreign packets fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignatureMatch {
    /// The signature's id.
    pub id: String,
    /// The equipment or system, if the signature may name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// What kind of device it is, in words.
    pub class: String,
    /// The features that fit: `ip-id=0x1234`, `window=502` …
    pub features: Vec<String>,
    /// The paper or report.
    pub source: String,
}

/// A connection that something is wrong with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Who opened it, or asked.
    pub client: SocketAddr,
    /// In whose name the packets came.
    pub server: SocketAddr,
    /// What the client had asked for.
    pub step: Step,
    /// The name that it asked for: in a ClientHello, a Host header, a query; in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The worst of its packets' verdicts.
    pub verdict: Verdict,
    /// The TTL of the packet that the server is known by, and that packet's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_ttl: Option<(u8, u64)>,
    /// The packets, in the capture's order.
    pub packets: Vec<Foreign>,
    /// The signatures that they fit.
    pub signatures: Vec<SignatureMatch>,
}
