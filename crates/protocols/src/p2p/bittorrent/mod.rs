//! BitTorrent: peers (BEP 3) over TCP and uTP (BEP 29), the distributed hash table (BEP 5), UDP trackers (BEP 15) and
//! local discovery (BEP 14). Trackers over HTTP are HTTP.
//!
//! Peers that encrypt (message stream encryption) look like random bytes; nothing is claimed of them.

mod bencode;
mod utp;

use bencode::Value as Bencode;

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Value, Verdict, common,
    fields, masked,
};

fields! { ProtocolId::Bittorrent;
    KIND: [Str] "kind" "What was seen: peer, utp, dht, tracker, lsd";
    INFO_HASH: [Bytes] "info_hash" "What is shared: SHA-1 of the torrents' info dictionaries, 20 bytes";
    PEER_ID: Str "peer_id" "Peer ID of the client; its start names the program (BEP 20)";
    CLIENT: Str "client" "Program of the client: from its extension handshake (BEP 10), else from its peer ID";
    EXTENSIONS: [Str] "extensions" "What both sides offer: dht, fast, extended, v2";
    DHT_QUERY: [Str] "dht_query" "DHT queries: ping, find_node, get_peers, announce_peer …";
    NODE_ID: Bytes "node_id" "DHT node ID of the first sender, 20 bytes";
    DHT_VERSION: Bytes "dht_version" "DHT program of the first sender, four bytes (BEP 5 `v`)";
    TRACKER_ACTION: [Str] "tracker_action" "UDP tracker: connect, announce, scrape, error";
    PORT: Uint "port" "Port that a peer announces";
}

/// What a peer says first.
const HANDSHAKE: &[u8] = b"\x13BitTorrent protocol";
/// With reserved bits, info hash and peer ID.
const HANDSHAKE_LEN: usize = 68;
/// `connection_id` of a UDP tracker's connect request.
const TRACKER_MAGIC: &[u8] = &[0x00, 0x00, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80];
/// First line of local service discovery.
const SEARCH: &[u8] = b"BT-SEARCH * HTTP/1.1\r\n";

/// BitTorrent.
pub const PROTOCOL: Protocol = Protocol {
    name: "bittorrent",
    title: "BitTorrent",
    family: Family::P2p,
    source: "BEP 3, 5, 10, 14, 15, 20, 29",
    ports: &[],
    patterns: &[
        Pattern::tcp().starts(HANDSHAKE),
        Pattern::udp().min(20).starts(b"d1:ad"),
        Pattern::udp().min(20).starts(b"d1:rd"),
        Pattern::udp().min(20).starts(b"d1:el"),
        // Answers that tell the other side its address first (BEP 42).
        Pattern::udp().min(20).starts(b"d2:ip"),
        Pattern::udp().len(16, 20).starts(TRACKER_MAGIC),
        Pattern::udp().min(40).starts(b"BT-SEARCH * HTTP/1.1\r\n"),
        // uTP: types 0 to 4, version 1, an extension that exists.
        Pattern::udp().min(20).tests(&[masked(0, 0xcf, 0x01), masked(1, 0xfc, 0)]),
        Pattern::udp().min(20).tests(&[masked(0, 0xff, 0x41), masked(1, 0xfc, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Bittorrent::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

fn identify(p: &Probe<'_>) -> Verdict {
    let bytes = p.payload;
    if p.transport == Transport::Tcp {
        return match bytes.len() {
            // A pattern of 20 bytes has matched already.
            0..20 => Verdict::Need(20),
            _ => Verdict::Yes,
        };
    }
    if bytes.first() == Some(&b'd') {
        return if Dht::parse(bytes).is_some() { Verdict::Yes } else { Verdict::No };
    }
    if bytes.starts_with(TRACKER_MAGIC) {
        return if bytes.get(8..12) == Some(&[0; 4]) { Verdict::Yes } else { Verdict::No };
    }
    if bytes.starts_with(SEARCH) {
        return Verdict::Yes;
    }
    match utp::found(p) {
        utp::Found::Sure => Verdict::Yes,
        utp::Found::Perhaps => Verdict::Later,
        utp::Found::No => Verdict::No,
    }
}

/// A DHT message (BEP 5): one dictionary that fills the datagram.
enum Dht<'a> {
    Query { name: &'a [u8], arguments: Bencode<'a>, whole: Bencode<'a> },
    Response { values: Bencode<'a>, whole: Bencode<'a> },
    Error,
}

impl<'a> Dht<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (whole, used) = Bencode::parse(bytes)?;
        if used != bytes.len() {
            return None;
        }
        whole.get(b"t")?.bytes().filter(|t| t.len() <= 32)?;
        let has_id =
            |dict: &Bencode<'_>| dict.get(b"id").and_then(|id| id.bytes()).is_some_and(|id| id.len() == 20);
        match whole.get(b"y")?.bytes()? {
            b"q" => {
                let (name, arguments) = (whole.get(b"q")?.bytes()?, whole.get(b"a")?);
                has_id(&arguments).then_some(Self::Query { name, arguments, whole })
            }
            b"r" => {
                let values = whole.get(b"r")?;
                has_id(&values).then_some(Self::Response { values, whole })
            }
            b"e" => matches!(whole.get(b"e")?, Bencode::List(_)).then_some(Self::Error),
            _ => None,
        }
    }
}

/// Datagrams to read for the fields.
const DATAGRAMS_MAX: u8 = 16;
/// Messages of a peer to read for its extension handshake.
const MESSAGES_MAX: u8 = 8;

#[derive(Default)]
struct Bittorrent {
    seen: u8,
    /// By direction: has said its handshake (TCP).
    greeted: [bool; 2],
    messages: [u8; 2],
    spoke: [bool; 2],
    /// A tracker was asked by this.
    tracker: bool,
}

impl Parser for Bittorrent {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if !self.greeted[dir.index()] {
            if bytes.len() < HANDSHAKE_LEN {
                return Step::Need(HANDSHAKE_LEN);
            }
            if !handshake(dir, bytes, out) {
                return Step::Malformed(0);
            }
            self.greeted[dir.index()] = true;
            if self.greeted == [true; 2] {
                out.confirm();
            }
            return Step::Consumed(HANDSHAKE_LEN);
        }
        if self.messages[dir.index()] == MESSAGES_MAX {
            return Step::Done;
        }
        let step = self.message(dir, bytes, out);
        if !matches!(step, Step::Need(_)) {
            self.messages[dir.index()] += 1;
        }
        step
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        let understood = if bytes.first() == Some(&b'd') {
            dht(bytes, out)
        } else if bytes.starts_with(SEARCH) {
            search(bytes, out);
            true
        } else if bytes.starts_with(TRACKER_MAGIC) || self.tracker {
            self.tracker = true;
            tracker(dir, bytes, out)
        } else if let Some(packet) = utp::parse(bytes) {
            out.push(KIND, "utp");
            if packet.payload.starts_with(HANDSHAKE) && packet.payload.len() >= HANDSHAKE_LEN {
                handshake(dir, packet.payload, out);
            }
            true
        } else {
            false
        };
        self.spoke[dir.index()] |= understood;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        if self.seen < DATAGRAMS_MAX { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

impl Bittorrent {
    /// A peer's message after its handshake: length, type, content.
    fn message(&self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let [a, b, c, d, rest @ ..] = bytes else { return Step::Need(4) };
        let len = u32::from_be_bytes([*a, *b, *c, *d]);
        // Blocks are 16 KiB, and bit fields of large torrents longer: neither is read.
        let Some(kind) = rest.first().filter(|_| len > 0) else {
            return if len == 0 { Step::Consumed(4) } else { Step::Need(5) };
        };
        if len > 4 * 1024 * 1024 {
            return Step::Malformed(0);
        }
        // Other extensions have numbers of their own.
        if *kind != 20 {
            return Step::Skip(4 + u64::from(len));
        }
        let len = len as usize;
        if len > 8192 {
            return Step::Skip(4 + len as u64);
        }
        let Some(message) = rest.get(1..len) else { return Step::Need(4 + len) };
        // Extension message 0 is the handshake.
        if let [0, dictionary @ ..] = message
            && let Some((dictionary, _)) = Bencode::parse(dictionary)
        {
            if let (Some(version), Dir::Client) = (dictionary.get(b"v").and_then(|v| v.bytes()), dir) {
                out.replace(CLIENT, Value::text(version));
                out.set_text(common::USER_AGENT, version);
            }
            if let (Some(Bencode::Int(port)), Dir::Client) = (dictionary.get(b"p"), dir)
                && let Ok(port) = u16::try_from(port)
            {
                out.set(PORT, port);
            }
            return if self.greeted == [true; 2] && dir == Dir::Server {
                Step::Done
            } else {
                Step::Consumed(4 + len)
            };
        }
        Step::Consumed(4 + len)
    }
}

/// Reads a peer's handshake: protocol, reserved bits, info hash, peer ID.
fn handshake(dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> bool {
    let mut c = Cursor::new(bytes);
    if c.take(HANDSHAKE.len()) != Some(HANDSHAKE) {
        return false;
    }
    let (Some(reserved), Some(hash), Some(peer)) = (c.array::<8>(), c.take(20), c.take(20)) else {
        return false;
    };
    out.push(KIND, "peer");
    out.push(INFO_HASH, hash);
    for (bit, name) in [((5, 0x10), "extended"), ((7, 0x04), "fast"), ((7, 0x01), "dht"), ((7, 0x10), "v2")] {
        let (byte, mask): (usize, u8) = bit;
        if reserved[byte] & mask != 0 {
            out.push(EXTENSIONS, name);
        }
    }
    if dir == Dir::Client {
        let end = peer.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(peer.len());
        out.set_text(PEER_ID, &peer[..end]);
        if let Some(client) = client(peer) {
            out.set(CLIENT, client);
        }
    }
    true
}

/// The program that an Azureus-style peer ID names (BEP 20): `-UT3550-`.
fn client(peer: &[u8]) -> Option<String> {
    let [b'-', a, b, v @ .., _, _, _, _, _, _, _, _, _, _, _, _, _] = peer else { return None };
    let name = match &[*a, *b] {
        b"AZ" => "Vuze",
        b"BC" => "BitComet",
        b"BT" => "BitTorrent",
        b"DE" => "Deluge",
        b"FD" => "Free Download Manager",
        b"KT" => "KTorrent",
        b"LT" => "libtorrent",
        b"lt" => "rTorrent",
        b"qB" => "qBittorrent",
        b"TR" => "Transmission",
        b"UM" => "uTorrent Mac",
        b"UT" => "uTorrent",
        b"WW" => "WebTorrent",
        b"XL" => "Xunlei",
        _ => return None,
    };
    let digits: Vec<_> =
        v.iter().filter(|d| d.is_ascii_alphanumeric()).map(|d| (*d as char).to_string()).collect();
    Some(format!("{name} {}", digits.join(".")))
}

fn dht(bytes: &[u8], out: &mut Sink<'_>) -> bool {
    let Some(message) = Dht::parse(bytes) else { return false };
    out.push(KIND, "dht");
    let (dict, whole) = match message {
        Dht::Query { name, arguments, whole } => {
            out.push(DHT_QUERY, Value::text(name.get(..32).unwrap_or(name)));
            let hash =
                arguments.get(b"info_hash").or_else(|| arguments.get(b"target").filter(|_| name == b"get"));
            if let Some(hash) = hash.and_then(|h| h.bytes()).filter(|h| h.len() == 20) {
                out.push(INFO_HASH, hash);
            }
            if let Some(Bencode::Int(port)) = arguments.get(b"port")
                && let Ok(port) = u16::try_from(port)
            {
                out.set(PORT, port);
            }
            (arguments, whole)
        }
        Dht::Response { values, whole } => (values, whole),
        Dht::Error => return true,
    };
    if let Some(id) = dict.get(b"id").and_then(|id| id.bytes()) {
        out.set(NODE_ID, id);
    }
    if let Some(version) = whole.get(b"v").and_then(|v| v.bytes()).filter(|v| v.len() <= 8) {
        out.set(DHT_VERSION, version);
    }
    true
}

fn tracker(dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> bool {
    let mut c = Cursor::new(bytes);
    if dir == Dir::Client && c.skip(8).is_none() {
        return false;
    }
    let (Some(action), Some(_transaction)) = (c.u32(), c.u32()) else { return false };
    let name = match action {
        0 => "connect",
        1 => "announce",
        2 => "scrape",
        3 => "error",
        _ => return false,
    };
    out.push(KIND, "tracker");
    out.push(TRACKER_ACTION, name);
    match (dir, action) {
        (Dir::Client, 1) => {
            if let (Some(hash), Some(peer)) = (c.take(20), c.take(20)) {
                out.push(INFO_HASH, hash);
                let end = peer.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(peer.len());
                out.set_text(PEER_ID, &peer[..end]);
                if let Some(client) = client(peer) {
                    out.set(CLIENT, client);
                }
                // Downloaded, left, uploaded, event, address, key, wanted.
                if let Some(port) = c.skip(8 * 3 + 4 * 4).and_then(|()| c.u16()) {
                    out.set(PORT, port);
                }
            }
        }
        (Dir::Client, 2) => {
            while let Some(hash) = c.take(20) {
                out.push(INFO_HASH, hash);
            }
        }
        _ => {}
    }
    true
}

/// BEP 14: header fields `Port` and, once or more, `Infohash` in hexadecimal.
fn search(bytes: &[u8], out: &mut Sink<'_>) {
    out.push(KIND, "lsd");
    for line in bytes[SEARCH.len()..].split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"infohash") {
            if let Some(hash) = unhex(value) {
                out.push(INFO_HASH, &hash[..]);
            }
        } else if name.eq_ignore_ascii_case(b"port")
            && let Some(port) = std::str::from_utf8(value).ok().and_then(|v| v.parse::<u16>().ok())
        {
            out.set(PORT, port);
        }
    }
}

fn unhex(text: &[u8]) -> Option<[u8; 20]> {
    let mut hash = [0; 20];
    if text.len() != 40 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
