//! Telling QUIC from other things on UDP.

use super::gquic;
use super::header::{Kind, Long};
use super::version::{self, Rules};
use crate::{Dir, Earlier, Probe, Verdict};

/// Clients fill their Initial datagrams to this size (RFC 9000 §14.1).
const INITIAL_MIN: usize = 1200;
/// Datagrams with a short header it takes, this one counted.
const SHORT_MIN: usize = 5;
/// No packet is shorter: first byte, and what header protection needs (RFC 9001 §5.4.2).
const SHORT_LEN_MIN: usize = 21;

/// Is it QUIC?
pub(super) fn identify(p: &Probe<'_>) -> Verdict {
    match p.payload.first() {
        Some(first) if first & 0x80 != 0 => long(p),
        Some(first) if first & 0xc0 == 0x40 => short(p),
        Some(_) => google(p),
        None => Verdict::No,
    }
}

/// A verdict for a payload that only one end sends.
fn from(sender: Dir, p: &Probe<'_>) -> Verdict {
    if p.dir == sender { Verdict::Yes } else { Verdict::YesReversed }
}

/// A long header: a known version, and all lengths fit. That is 32 bits for the version, and some 20 for the lengths.
fn long(p: &Probe<'_>) -> Verdict {
    if let Some(header) = gquic::header_q046(p.payload) {
        return if header.payload.len() >= 12 { Verdict::Yes } else { Verdict::No };
    }
    let Some(long) = Long::parse(p.payload) else { return Verdict::No };
    let known = version::rules(long.version).is_some();
    match long.kind {
        // All of the versions in the list are of the kind that exists, and one is known.
        Kind::VersionNegotiation => {
            let list = long.token.chunks_exact(4).map(|v| u32::from_be_bytes([v[0], v[1], v[2], v[3]]));
            let some = list.clone().any(|v| version::rules(v).is_some());
            let all = list.clone().all(|v| v != 0);
            let ids = long.dcid.len() + long.scid.len() > 0;
            if some && all && ids && list.count() <= 64 { from(Dir::Server, p) } else { Verdict::No }
        }
        // Nothing in it can be checked but its version, and that is a small number. It answers an Initial, which is known
        // by itself, and another follows.
        Kind::Retry if known => Verdict::Later,
        // Reserved by RFC 9000 §15 to be refused: an Initial in shape, of full size, from one that speaks first.
        Kind::Initial if version::is_reserved(long.version) => {
            let whole = long.len == p.payload.len() || p.payload[long.len..].iter().all(|b| *b == 0);
            let shape = long.dcid.len() >= 8 && whole && p.payload.len() >= INITIAL_MIN;
            if shape { Verdict::Yes } else { Verdict::No }
        }
        // What follows in the datagram is another packet, or padding.
        _ if known => {
            let rest = &p.payload[long.len..];
            let more = rest.first().is_none_or(|b| b & 0x40 != 0 || rest.iter().all(|b| *b == 0));
            // A server gives itself an id of at least a byte, and a client's first destination has eight.
            let ids = long.dcid.len() + long.scid.len() > 0;
            if more && ids && p.whole { Verdict::Yes } else { Verdict::No }
        }
        _ => Verdict::No,
    }
}

/// A short header says nothing; but the id that a client writes to stays the same while all around it changes. Asked for:
/// five datagrams with QUIC's port at one end, all with the form bits of a short header, among them three (with three
/// different first bytes) or four (with two) that go to that port and have the same eight random bytes after the first.
fn short(p: &Probe<'_>) -> Verdict {
    let is_short = |first: u8, len: usize| first & 0xc0 == 0x40 && len >= SHORT_LEN_MIN;
    if !p.port(443) || !is_short(p.payload[0], p.payload.len()) {
        return Verdict::No;
    }
    if !p.earlier.iter().all(|e| is_short(e.head[0], e.len.into())) {
        return Verdict::No;
    }
    if p.earlier.len() + 1 < SHORT_MIN {
        return Verdict::Later;
    }
    let mut head = [0; 16];
    head.copy_from_slice(&p.payload[..16]);
    let this = Earlier { dir: p.dir, len: p.payload.len() as u16, head };
    let (to_server, verdict) =
        if p.server_port == 443 { (Dir::Client, Verdict::Yes) } else { (Dir::Server, Verdict::YesReversed) };
    let heads = || p.earlier.iter().chain([&this]).filter(|e| e.dir == to_server).map(|e| e.head);
    let Some(id) = heads().next().map(|h| [h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]]) else {
        return Verdict::Later;
    };
    // An id is random: not text, not a counter, not zeros.
    let distinct = (0..8).filter(|i| !id[..*i].contains(&id[*i])).count();
    let random = distinct >= 6 && !id.is_ascii();
    let same = heads().all(|h| h[1..9] == id);
    let firsts = heads().fold(0u32, |set, h| set | 1 << (h[0] & 0x1f)).count_ones();
    match (random && same, heads().count(), firsts) {
        (true, 3.., 3..) | (true, 4.., 2..) => verdict,
        _ => Verdict::Later,
    }
}

/// Google's public flags: with a version, or a reset, or a server's answer that begins a handshake message.
fn google(p: &Probe<'_>) -> Verdict {
    if gquic::negotiation(p.payload).is_some() {
        return from(Dir::Server, p);
    }
    let Some(header) = gquic::header(p.payload) else { return Verdict::No };
    if header.reset {
        return Verdict::No;
    }
    if let Some(version) = header.version {
        let fits = version::rules(version) == Some(Rules::Q043)
            && header.cid.len() == 8
            && header.payload.len() >= 12;
        return if fits { from(Dir::Client, p) } else { Verdict::No };
    }
    // A frame of stream 1 (type 1fdoooss, id, length in either byte order) right before the message's tag.
    let search = p.payload.get(..160).unwrap_or(p.payload);
    let stream =
        search.windows(8).any(|w| w[0] & 0xa3 == 0xa0 && w[1] == 1 && matches!(&w[4..], b"REJ\0" | b"SHLO"));
    if stream && gquic::message(header.payload).is_some() { from(Dir::Server, p) } else { Verdict::No }
}
