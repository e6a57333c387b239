//! QUIC: version 1 (RFC 9000, RFC 9001), version 2 (RFC 9369), drafts 22 to 34, Facebook's aliases of them (mvfst), and
//! Google's versions Q024 to Q050, T050 and T051.
//!
//! The first packets (Initial) carry a TLS ClientHello in CRYPTO frames. Their keys follow from the client's first
//! destination connection id, so they are read here: several to a hello, several to a datagram, frames in any order,
//! after a Retry, and the server's too, whose keys are the same. The ClientHello goes the way of all others:
//! [`tls`](super::tls), whose fields a QUIC flow fills.
//!
//! The folder: `version` (numbers, names, salts), `header`, `crypto`, `frames`, `gquic` (Google's own handshake).
//!
//! Limits: only if the capture holds the client's first Initial can anything be decrypted; `quic.decrypted` says whether
//! it was. Reserved version numbers (greasing) are known by their shape, and nothing of them is read. What follows the
//! Initials is encrypted. A session picked up in its middle has no sign but a constant connection id: it is claimed on
//! port 443 only, after five datagrams.

pub(crate) mod crypto;
mod frames;
mod gquic;
pub(crate) mod header;
mod identify;
#[cfg(test)]
mod tests;
pub(crate) mod version;

use crypto::Keys;
use frames::{Frame, frames};
use header::{Kind, Long};
use version::Rules;

use super::tls::assembler::Assembler;
use super::tls::fields as tls;
use super::tls::fingerprint::Carrier;
use super::tls::handshake::{Handshake, wants_outcome};
use crate::common::{ALPN, JA3S, QUIC_VERSION, USER_AGENT};
use crate::{
    Dir, Event, Family, FieldRef, Parser, Pattern, Protocol, ProtocolId, Sink, Step, Value, byte, fields,
    masked, udp,
};

fields! { ProtocolId::Quic;
    CLIENT_INITIAL_DCID: Bytes "client_initial_dcid" "Destination connection id of the client's first Initial packet";
    CLIENT_SCID: Bytes "client_scid" "Connection id that the client chose for itself";
    SERVER_SCID: Bytes "server_scid" "Connection id that the server chose for itself";
    VERSIONS_OFFERED: [Str] "server_versions" "Versions that the server says it speaks (version negotiation)";
    RETRY: Bool "retry" "The server asked the client to prove its address (Retry)";
    TOKEN: Bool "token" "The client brings a token";
    DECRYPTED: Bool "decrypted" "The client's Initial packets could be read";
    HISTORY: Str "history" "What was seen, as in Zeek's quic.log: I Initial, S hello, H Handshake, Z 0-RTT, R Retry, C close, V version negotiation; lower case from the server";
}

/// QUIC.
pub const PROTOCOL: Protocol = Protocol {
    name: "quic",
    title: "QUIC",
    family: Family::Web,
    source: "RFC 9000, RFC 9001, RFC 9369",
    ports: &[udp(443), udp(80), udp(853)],
    patterns: &[
        // A long header: version 1, version 2, a draft, Facebook's, Google's with long headers, reserved, negotiation.
        Pattern::udp().min(23).tests(&[
            masked(0, 0xc0, 0xc0),
            byte(1, 0),
            byte(2, 0),
            byte(3, 0),
            byte(4, 1),
        ]),
        Pattern::udp().min(23).tests(&[
            masked(0, 0xc0, 0xc0),
            byte(1, 0x6b),
            byte(2, 0x33),
            byte(3, 0x43),
            byte(4, 0xcf),
        ]),
        Pattern::udp().min(23).tests(&[masked(0, 0xc0, 0xc0), byte(1, 0xff), byte(2, 0), byte(3, 0)]),
        Pattern::udp().min(23).tests(&[masked(0, 0xc0, 0xc0), byte(1, 0xfa), byte(2, 0xce), byte(3, 0xb0)]),
        Pattern::udp().min(23).tests(&[
            masked(0, 0xc0, 0xc0),
            masked(1, 0xfa, 0x50),
            byte(2, 0x30),
            masked(3, 0xfe, 0x34),
        ]),
        Pattern::udp().min(1200).tests(&[
            masked(0, 0xc0, 0xc0),
            masked(1, 0x0f, 0x0a),
            masked(2, 0x0f, 0x0a),
            masked(3, 0x0f, 0x0a),
            masked(4, 0x0f, 0x0a),
        ]),
        Pattern::udp().min(11).tests(&[
            masked(0, 0x80, 0x80),
            byte(1, 0),
            byte(2, 0),
            byte(3, 0),
            byte(4, 0),
        ]),
        // Google's public flags with connection id and version, and a server's answer without.
        Pattern::udp().min(17).tests(&[masked(0, 0xc9, 0x09), byte(9, b'Q'), byte(10, b'0')]),
        Pattern::udp().min(60).tests(&[masked(0, 0xcb, 0x08)]),
        // A short header, on one of its ports only.
        Pattern::udp().min(21).tests(&[masked(0, 0xc0, 0x40)]),
    ],
    identify: identify::identify,
    parser: Some(|| Box::new(Quic::new())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// Datagrams of a flow that are looked at.
const DATAGRAMS_MAX: u32 = 64;
/// Client connection ids for which keys are tried, where those at hand don't fit.
const KEYS_MAX: u8 = 8;
/// Letters in a history.
const HISTORY_MAX: usize = 40;

/// Connection ids are copied: they fit in here.
#[derive(Clone, Copy, Default)]
struct Cid {
    bytes: [u8; header::CID_MAX],
    len: u8,
}

impl Cid {
    fn new(cid: &[u8]) -> Self {
        let mut bytes = [0; header::CID_MAX];
        let len = cid.len().min(bytes.len());
        bytes[..len].copy_from_slice(&cid[..len]);
        Self { bytes, len: len as u8 }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The secrets of a connection's Initial packets: where they come from.
#[derive(Clone, Copy)]
struct Origin {
    version: u32,
    salt: &'static [u8; 20],
    dcid: Cid,
}

struct Quic {
    handshake: Handshake,
    /// CRYPTO streams of both directions, and how much of them was read.
    crypto: [Assembler; 2],
    /// Made when they are first needed.
    keys: [Option<Box<Keys>>; 2],
    origin: Option<Origin>,
    tries: u8,
    /// A packet as it is decrypted.
    scratch: Vec<u8>,
    datagrams: u32,
    seen: [bool; 2],
    /// The client's end was taken for the server's.
    flipped: bool,
    history: Vec<u8>,
    first_ns: i64,
    version: Option<u32>,
    log: Vec<(FieldRef, Value)>,
    logged: bool,
}

impl Quic {
    fn new() -> Self {
        Self {
            handshake: Handshake::new(Carrier::Quic),
            crypto: Default::default(),
            keys: [None, None],
            origin: None,
            tries: 0,
            scratch: Vec::new(),
            datagrams: 0,
            seen: [false; 2],
            flipped: false,
            history: Vec::new(),
            first_ns: 0,
            version: None,
            log: Vec::new(),
            logged: false,
        }
    }

    fn sender(&self, dir: Dir) -> Dir {
        if self.flipped { dir.other() } else { dir }
    }

    /// Adds a letter to the history: lower case from the server, never twice in a row.
    fn remember(&mut self, dir: Dir, letter: u8) {
        let letter = if self.sender(dir) == Dir::Server { letter.to_ascii_lowercase() } else { letter };
        if self.history.len() < HISTORY_MAX && self.history.last() != Some(&letter) {
            self.history.push(letter);
        }
    }

    fn note(&mut self, field: FieldRef, value: impl Into<Value> + Clone, out: &mut Sink<'_>) {
        out.set(field, value.clone());
        if out.wants_events() && !self.log.iter().any(|(f, _)| *f == field) {
            self.log.push((field, value.into()));
        }
    }

    fn note_version(&mut self, version: u32, out: &mut Sink<'_>) {
        if self.version.is_none() {
            self.version = Some(version);
            self.note(QUIC_VERSION, version::name(version), out);
        }
    }

    /// A packet with a long header.
    fn long(&mut self, dir: Dir, long: &Long<'_>, bytes: &[u8], out: &mut Sink<'_>) {
        match long.kind {
            Kind::VersionNegotiation => {
                self.remember(dir, b'V');
                for v in long.token.chunks_exact(4).take(32) {
                    out.push(VERSIONS_OFFERED, version::name(u32::from_be_bytes([v[0], v[1], v[2], v[3]])));
                }
                return;
            }
            Kind::Retry => {
                self.remember(dir, b'R');
                self.note(RETRY, true, out);
                // From here on the keys follow from the id that the server chose (RFC 9001 §5.2).
                self.origin = None;
                self.keys = [None, None];
                self.tries = 0;
                return;
            }
            Kind::ZeroRtt => self.remember(dir, b'Z'),
            Kind::Handshake => self.remember(dir, b'H'),
            Kind::Initial => {
                self.remember(dir, b'I');
                self.initial(dir, long, bytes, out);
            }
        }
        self.note_version(long.version, out);
    }

    fn initial(&mut self, dir: Dir, long: &Long<'_>, bytes: &[u8], out: &mut Sink<'_>) {
        self.note_version(long.version, out);
        match self.sender(dir) {
            Dir::Client => {
                self.note(CLIENT_INITIAL_DCID, long.dcid, out);
                self.note(CLIENT_SCID, long.scid, out);
                if !long.token.is_empty() {
                    self.note(TOKEN, true, out);
                }
            }
            Dir::Server => self.note(SERVER_SCID, long.scid, out),
        }
        if self.is_enough(dir, out) {
            return;
        }
        let Some(payload) = self.open(dir, long, bytes) else { return };
        let google = version::rules(long.version) == Some(Rules::T05x);
        if version::rules(long.version) == Some(Rules::Q050) {
            self.google(dir, gquic::message(&payload), out);
        } else {
            for frame in frames(&payload, google) {
                match frame {
                    Frame::Crypto(offset, data) => self.crypto[dir.index()].insert(offset, data),
                    Frame::Close => self.remember(dir, b'C'),
                }
            }
            self.hello(dir, true, out);
        }
        self.scratch = payload;
    }

    /// True if this direction's Initials have nothing more to tell.
    fn is_enough(&self, dir: Dir, out: &Sink<'_>) -> bool {
        match self.sender(dir) {
            Dir::Client => self.handshake.has_client_hello(),
            Dir::Server => self.handshake.has_server_hello() || !wants_server_hello(out),
        }
    }

    /// Decrypts an Initial packet; the payload is in `scratch`, which must be given back.
    fn open(&mut self, dir: Dir, long: &Long<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = bytes.get(..long.len)?;
        let side = self.sender(dir);
        let mut scratch = std::mem::take(&mut self.scratch);
        // First with the keys at hand; with those of another version if the server has changed it (RFC 9368).
        if let Some(origin) = self.origin {
            if origin.version == long.version {
                let keys = &mut self.keys[side.index()];
                if keys.is_none() {
                    *keys = Keys::initial(origin.version, origin.salt, origin.dcid.as_slice(), side)
                        .map(Box::new);
                }
                if let Some(keys) = keys
                    && decrypt(keys, packet, long, &mut scratch)
                {
                    return Some(scratch);
                }
            } else if self.tries < KEYS_MAX {
                self.tries += 1;
                for salt in version::salts(long.version) {
                    let dcid = origin.dcid;
                    let Some(keys) = Keys::initial(long.version, salt, dcid.as_slice(), side) else {
                        continue;
                    };
                    if decrypt(&keys, packet, long, &mut scratch) {
                        self.origin = Some(Origin { version: long.version, salt, dcid });
                        self.keys = [None, None];
                        self.keys[side.index()] = Some(Box::new(keys));
                        return Some(scratch);
                    }
                }
            }
        }
        // Then as a client's first: its destination is what the keys come from. That also tells which end is the client.
        if self.tries < KEYS_MAX && (side == Dir::Client || self.origin.is_none()) && !long.dcid.is_empty() {
            self.tries += 1;
            for salt in version::salts(long.version) {
                let Some(keys) = Keys::initial(long.version, salt, long.dcid, Dir::Client) else { continue };
                if decrypt(&keys, packet, long, &mut scratch) {
                    self.flipped = dir == Dir::Server;
                    self.origin = Some(Origin { version: long.version, salt, dcid: Cid::new(long.dcid) });
                    self.keys = [Some(Box::new(keys)), None];
                    return Some(scratch);
                }
            }
        }
        self.scratch = scratch;
        None
    }

    /// Reads the hello at the start of a direction's CRYPTO stream, if it is there.
    fn hello(&mut self, dir: Dir, only_whole: bool, out: &mut Sink<'_>) {
        let stream = self.crypto[dir.index()].prefix();
        let [kind, a, b, c, body @ ..] = stream else { return };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let whole = body.len() >= len;
        // Of one that is longer than is kept, the beginning has to do.
        if !whole && only_whole && stream.len() < Assembler::BYTES_MAX {
            return;
        }
        let before = (self.handshake.has_client_hello(), self.handshake.has_server_hello());
        let body = body.get(..len).unwrap_or(body);
        if matches!(kind, 1 | 2) && !self.handshake.message(dir, *kind, body, whole, out) {
            out.risk(&crate::risk::MALFORMED_PACKET, || "quic.crypto=hello".to_owned());
        }
        if before != (self.handshake.has_client_hello(), self.handshake.has_server_hello()) {
            if *kind == 1 {
                out.set(DECRYPTED, true);
            }
            self.remember(dir, b'S');
        }
    }

    /// A handshake message of Google's.
    fn google(&mut self, dir: Dir, message: Option<gquic::Message<'_>>, out: &mut Sink<'_>) {
        let Some(message) = message else { return };
        self.remember(dir, b'S');
        if message.kind != *b"CHLO" {
            return;
        }
        if let Some(name) = message.sni {
            out.hostname(name);
            out.set_text(tls::SNI, name);
            self.note(tls::SNI, Value::text(name), out);
            if crate::names::doh::is_resolver(name) && out.port(Dir::Server) == 443 {
                out.relabel(ProtocolId::Doh);
            }
        }
        if let Some(agent) = message.user_agent {
            out.set_text(USER_AGENT, agent);
        }
        if let Some([a, b, c, d]) = message.version {
            self.note_version(u32::from_be_bytes([*a, *b, *c, *d]), out);
        }
    }

    /// A datagram of Google's versions in clear text.
    fn clear(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> bool {
        let header =
            gquic::header_q046(bytes).or_else(|| gquic::negotiation(bytes)).or_else(|| gquic::header(bytes));
        let Some(header) = header else { return false };
        if let Some(version) = header.version {
            if !matches!(version::rules(version), Some(Rules::Q043 | Rules::Q046)) {
                return false;
            }
            self.note_version(version, out);
        }
        if let Some(list) = header.versions {
            self.remember(dir, b'V');
            for v in list.chunks_exact(4).take(32) {
                out.push(VERSIONS_OFFERED, version::name(u32::from_be_bytes([v[0], v[1], v[2], v[3]])));
            }
        }
        if self.sender(dir) == Dir::Client && !header.cid.is_empty() {
            self.note(CLIENT_INITIAL_DCID, header.cid, out);
        }
        self.google(dir, gquic::message(header.payload), out);
        true
    }

    fn log(&mut self, out: &mut Sink<'_>) {
        if !self.history.is_empty() {
            let history = String::from_utf8_lossy(&self.history).into_owned();
            self.note(HISTORY, history, out);
        }
        if self.logged || !out.wants_events() || self.log.is_empty() {
            return;
        }
        self.logged = true;
        for (field, common) in [(tls::SNI, crate::common::HOSTNAME), (tls::ALPN_OFFERED, ALPN)] {
            if let Some(value) = self.handshake.noted(field)
                && !self.log.iter().any(|(f, _)| *f == field || *f == common)
            {
                self.log.push((common, value));
            }
        }
        out.event(Event { kind: "quic", ts_ns: self.first_ns, fields: std::mem::take(&mut self.log) });
    }
}

/// True if somebody wants what only the server's Initial tells.
fn wants_server_hello(out: &Sink<'_>) -> bool {
    wants_outcome(out)
        || [tls::CIPHER, tls::GROUP, tls::RESUMED, JA3S].into_iter().any(|field| out.wants(field))
}

/// Decrypts into `scratch`, which then holds the payload alone.
fn decrypt(keys: &Keys, packet: &[u8], long: &Long<'_>, scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    scratch.extend_from_slice(packet);
    let Some(payload) = keys.open(scratch, long.number_at) else { return false };
    let (len, start) = (payload.len(), packet.len() - crypto::TAG_LEN - payload.len());
    scratch.copy_within(start..start + len, 0);
    scratch.truncate(len);
    true
}

impl Parser for Quic {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.datagrams == 0 {
            self.first_ns = out.now_ns();
        }
        self.datagrams += 1;
        let mut rest = bytes;
        let mut proper = false;
        while let Some(long) = Long::parse(rest) {
            proper = true;
            self.long(dir, &long, rest, out);
            rest = &rest[long.len..];
        }
        if !proper && self.handshake_is_google() {
            proper = self.clear(dir, bytes, out);
        }
        self.seen[dir.index()] |= proper;
        if self.seen == [true, true] {
            out.confirm();
        }
        let server_told = self.handshake.has_server_hello() || !wants_server_hello(out);
        let complete = self.handshake.has_client_hello() && self.seen == [true, true] && server_told;
        // After version negotiation or in a flow without Initials there is nothing to wait for.
        if complete || self.datagrams >= DATAGRAMS_MAX {
            self.finish(out);
            return Step::Finished;
        }
        Step::Consumed(bytes.len())
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        for dir in [Dir::Client, Dir::Server] {
            self.hello(dir, false, out);
        }
        if self.version.is_some_and(|v| !version::salts(v).is_empty()) && !self.handshake.has_client_hello() {
            out.set(DECRYPTED, self.origin.is_some());
        }
        self.log(out);
        self.handshake.finish(out);
    }
}

impl Quic {
    /// True unless packets with long headers of other versions were seen.
    fn handshake_is_google(&self) -> bool {
        self.version.and_then(version::rules).is_none_or(|r| matches!(r, Rules::Q043 | Rules::Q046))
    }
}
