//! Telling TLS from other things by the first bytes of a stream.

use super::{RECORD_MAX, content, handshake::kind, names};
use crate::cursor::Cursor;
use crate::{Dir, Probe, Verdict};

/// A record's header.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u8,
    version: u16,
    len: usize,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut c = Cursor::new(bytes);
    Some(Header { kind: c.u8()?, version: c.u16()?, len: c.u16()?.into() })
}

impl Header {
    fn is_sane(&self) -> bool {
        let shortest = match self.kind {
            content::CHANGE_CIPHER_SPEC | content::HANDSHAKE => 1,
            content::ALERT => 2,
            // Empty ones are allowed, as a defence against BEAST.
            content::APPLICATION_DATA => 0,
            content::HEARTBEAT => 19,
            _ => return false,
        };
        matches!(self.version, 0x0300..=0x0304) && (shortest..=RECORD_MAX).contains(&self.len)
    }
}

/// Is it TLS?
pub(super) fn identify(p: &Probe<'_>) -> Verdict {
    if p.payload.first().is_some_and(|b| b & 0x80 != 0) {
        return ssl2(p);
    }
    let Some(first) = header(p.payload) else { return Verdict::Need(5) };
    if !first.is_sane() {
        return Verdict::No;
    }
    match first.kind {
        content::HANDSHAKE => handshake(p, first),
        // 46 bits: type, version, length and the only content there is.
        content::CHANGE_CIPHER_SPEC if first.len == 1 => match p.payload.get(5) {
            None => Verdict::Need(6),
            Some(1) => Verdict::Yes,
            Some(_) => Verdict::No,
        },
        content::ALERT if first.len == 2 => match p.payload.get(5..7) {
            None => Verdict::Need(7),
            Some([1 | 2, code]) if names::alert(*code).is_some() => Verdict::Yes,
            Some(_) => Verdict::No,
        },
        // Encrypted: nothing to see but the headers.
        content::ALERT | content::APPLICATION_DATA if first.version != 0x0304 && first.len >= 16 => {
            chained(p, first)
        }
        _ => Verdict::No,
    }
}

/// The first bytes of the handshake's first message, which may be spread over records.
fn message_start(payload: &[u8], version: u16) -> Result<[u8; 6], Verdict> {
    let mut start = [0; 6];
    let mut have = 0;
    let mut at = 0;
    loop {
        let Some(record) = payload.get(at..).and_then(header) else { return Err(Verdict::Need(at + 5)) };
        if !record.is_sane() || record.kind != content::HANDSHAKE || record.version != version {
            return Err(Verdict::No);
        }
        let n = record.len.min(start.len() - have);
        let Some(data) = payload.get(at + 5..at + 5 + n) else { return Err(Verdict::Need(at + 5 + n)) };
        start[have..have + n].copy_from_slice(data);
        have += n;
        if have == start.len() {
            return Ok(start);
        }
        // A message shorter than six bytes ends here, and its record need not be followed by another.
        if have >= 4 && usize::from(start[3]) + 4 <= have && start[1..3] == [0, 0] {
            return Ok(start);
        }
        at += 5 + record.len;
    }
}

/// A clear-text handshake record: message type, its length against the record's, the version in a hello.
fn handshake(p: &Probe<'_>, first: Header) -> Verdict {
    let start = match message_start(p.payload, first.version) {
        Ok(start) => start,
        Err(verdict) => return verdict,
    };
    let len = u32::from_be_bytes([0, start[1], start[2], start[3]]) as usize;
    let hello_version = u16::from_be_bytes([start[4], start[5]]);
    // A message may go on in another record only if this one is filled to some extent: nobody sends less by design, but a
    // hello may be cut anywhere to pass a filter.
    let fits = len + 4 <= first.len;
    let from_client = |yes: bool| match (yes, p.dir) {
        (false, _) => Verdict::No,
        (_, Dir::Client) => Verdict::Yes,
        (_, Dir::Server) => Verdict::YesReversed,
    };
    let from_server = |yes: bool| match (yes, p.dir) {
        (false, _) => Verdict::No,
        (_, Dir::Server) => Verdict::Yes,
        (_, Dir::Client) => Verdict::YesReversed,
    };
    match start[0] {
        kind::CLIENT_HELLO => {
            from_client((38..=1 << 20).contains(&len) && matches!(hello_version, 0x0300..=0x0304))
        }
        kind::SERVER_HELLO => {
            let version = matches!(hello_version, 0x0300..=0x0304) || hello_version >> 8 == 0x7f;
            from_server((36..=RECORD_MAX).contains(&len) && version && first.version <= 0x0303)
        }
        // Picked up in the middle of a handshake. The list of certificates has a length of its own.
        kind::CERTIFICATE => match p.payload.get(9..12) {
            _ if first.len < 7 => Verdict::No,
            Some([a, b, c]) if u32::from_be_bytes([0, *a, *b, *c]) as usize + 3 == len => Verdict::Yes,
            Some(_) => Verdict::No,
            None => Verdict::Need(12),
        },
        // Key exchanges fill their record exactly.
        kind::CLIENT_KEY_EXCHANGE => from_client(len + 4 == first.len && (32..=1100).contains(&len)),
        kind::SERVER_KEY_EXCHANGE => from_server(fits && (32..=4096).contains(&len)),
        kind::HELLO_REQUEST | kind::SERVER_HELLO_DONE => from_server(len == 0 && first.len == 4),
        kind::NEW_SESSION_TICKET => from_server(len + 4 == first.len && len >= 6),
        // Else an encrypted one, whose type is random.
        _ => chained(p, first),
    }
}

/// An encrypted record: there is nothing to check but that it ends where the next one begins, or where the segment or
/// the other direction agrees. Each header that fits is some 24 bits of evidence, a length that hits the end of the
/// payload 14 bits beside its own header's 24.
fn chained(p: &Probe<'_>, first: Header) -> Verdict {
    let next = 5 + first.len;
    let fits = |h: Header| h.is_sane() && h.version == first.version && h.kind != content::HEARTBEAT;
    if let Some(second) = p.payload.get(next..).and_then(header) {
        return if fits(second) { Verdict::Yes } else { Verdict::No };
    }
    if p.payload.len() == next && p.whole {
        return Verdict::Yes;
    }
    if header(p.other).is_some_and(fits) {
        return Verdict::Yes;
    }
    Verdict::Need(next + 5)
}

/// A hello in the format of SSL 2.0 (draft-hickman-netscape-ssl-00, RFC 5246 appendix E.2): all lengths must add up.
fn ssl2(p: &Probe<'_>) -> Verdict {
    let mut c = Cursor::new(p.payload);
    let Some(len) = c.u16().map(|n| usize::from(n & 0x7fff)) else { return Verdict::Need(11) };
    let Some(kind) = c.u8() else { return Verdict::Need(11) };
    let sum = match kind {
        1 => (|| {
            let version = c.u16()?;
            let [ciphers, session, challenge] = [c.u16()?, c.u16()?, c.u16()?].map(usize::from);
            let sane = matches!(version, 0x0002 | 0x0300..=0x0303)
                && ciphers > 0
                && ciphers % 3 == 0
                && matches!(session, 0 | 16)
                && (16..=32).contains(&challenge);
            Some((9 + ciphers + session + challenge, sane))
        })(),
        4 => (|| {
            let (_hit, kind, version) = (c.u8()?, c.u8()?, c.u16()?);
            let [certificate, ciphers, connection] = [c.u16()?, c.u16()?, c.u16()?].map(usize::from);
            let sane = kind == 1 && version == 0x0002 && ciphers % 3 == 0 && connection == 16;
            Some((11 + certificate + ciphers + connection, sane))
        })(),
        _ => return Verdict::No,
    };
    match sum {
        None => Verdict::Need(if kind == 1 { 11 } else { 13 }),
        Some((sum, true)) if sum == len => match (kind, p.dir) {
            (1, Dir::Client) | (4, Dir::Server) => Verdict::Yes,
            _ => Verdict::YesReversed,
        },
        Some(_) => Verdict::No,
    }
}
