//! Datagram Transport Layer Security 1.0 (RFC 4347), 1.2 (RFC 6347), 1.3 (RFC 9147), and the pre-standard version that
//! Cisco AnyConnect speaks (wire version `01 00`).
//!
//! A record is type, version (`fe ff`, `fe fd`), epoch, 48-bit sequence number, length, data; a datagram holds one or
//! several. Handshake messages carry a sequence number and fragment offset and length, since datagrams get lost. What they
//! mean is read by [`tls`](super::tls), whose fields a DTLS flow fills.
//!
//! Limits: DTLS 1.3 hides type and epoch in its encrypted records, so a session picked up after its handshake is only
//! known for 1.2 and before. Records with a connection id (RFC 9146) are known once the handshake was seen.

#[cfg(test)]
mod tests;

use super::tls::assembler::Assembler;
use super::tls::fingerprint::Carrier;
use super::tls::handshake::{Handshake, kind, wants_outcome};
use super::tls::{content, names};
use crate::cursor::Cursor;
use crate::{Dir, Family, Parser, Pattern, Probe, Protocol, Sink, Step, Verdict, byte, masked};

/// Datagram Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    name: "dtls",
    title: "Datagram Transport Layer Security",
    family: Family::Web,
    source: "RFC 9147, RFC 6347, RFC 4347",
    patterns: &[
        // Type 20 to 23, version fe ff or fe fd (fe fc is never on the wire here), or 01 00.
        Pattern::udp().min(14).tests(&[masked(0, 0xfc, 0x14), byte(1, 0xfe), masked(2, 0xfc, 0xfc)]),
        Pattern::udp().min(14).tests(&[masked(0, 0xfc, 0x14), byte(1, 1), byte(2, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Dtls::new())),
    ..Protocol::BASE
};

/// The longest record: 2^14 bytes and what encryption adds.
const RECORD_MAX: usize = 16_384 + 2048;
/// Messages that are put together at a time, per direction.
const PARTIAL_MAX: usize = 8;
/// Datagrams of one direction that are read while waiting for the handshake.
const DATAGRAMS_MAX: u32 = 200;
/// Record type of encrypted records with a connection id (RFC 9146).
const TLS12_CID: u8 = 25;

/// One record.
struct Record<'a> {
    kind: u8,
    epoch: u16,
    sequence: u64,
    data: &'a [u8],
}

/// The next record with a plain header.
fn record<'a>(c: &mut Cursor<'a>) -> Option<Record<'a>> {
    let kind = c.u8()?;
    let version = c.u16()?;
    if !(20..=26).contains(&kind) || !matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100) {
        return None;
    }
    let epoch = c.u16()?;
    let sequence = u64::from(c.u16()?) << 32 | u64::from(c.u32()?);
    let data = c.vec16()?;
    (data.len() <= RECORD_MAX).then_some(Record { kind, epoch, sequence, data })
}

/// A handshake message or a fragment of one (RFC 6347 §4.2.2).
struct Fragment<'a> {
    kind: u8,
    len: usize,
    sequence: u16,
    offset: usize,
    data: &'a [u8],
}

fn fragment<'a>(c: &mut Cursor<'a>) -> Option<Fragment<'a>> {
    let (kind, len, sequence) = (c.u8()?, c.u24()? as usize, c.u16()?);
    let offset = c.u24()? as usize;
    let data = c.vec24()?;
    (offset + data.len() <= len).then_some(Fragment { kind, len, sequence, offset, data })
}

/// The records must fill the datagram exactly: with the header's fixed parts that is some 40 bits.
fn identify(p: &Probe<'_>) -> Verdict {
    let mut c = Cursor::new(p.payload);
    let mut count = 0;
    let mut verdict = Verdict::No;
    while !c.is_empty() {
        let Some(record) = record(&mut c) else {
            // A record whose end was not captured, or one with an encrypted header after a clear one.
            let rest_is_fine =
                count > 0 && (!p.whole || c.peek().is_some_and(|b| b & 0xe0 == 0x20 || b == TLS12_CID));
            return if rest_is_fine { verdict } else { Verdict::No };
        };
        count += 1;
        let Some(this) = judge(&record, p.dir) else { return Verdict::No };
        if count == 1 {
            verdict = this;
        }
    }
    verdict
}

/// Could this record be one of this direction?
fn judge(record: &Record<'_>, dir: Dir) -> Option<Verdict> {
    // Nobody changes keys so often, or sends so many records, in one session.
    if record.epoch > 255 || record.sequence >> 40 != 0 {
        return None;
    }
    match record.kind {
        content::HANDSHAKE if record.epoch == 0 => {
            let mut c = Cursor::new(record.data);
            let first = fragment(&mut c)?;
            let known = matches!(
                first.kind,
                kind::HELLO_REQUEST..=kind::NEW_SESSION_TICKET
                    | kind::CERTIFICATE..=kind::CLIENT_KEY_EXCHANGE
                    | kind::FINISHED..=kind::CERTIFICATE_STATUS
            );
            // Several messages in one record must fill it too.
            while !c.is_empty() {
                fragment(&mut c)?;
            }
            let from_server = matches!(first.kind, kind::SERVER_HELLO | kind::HELLO_VERIFY_REQUEST);
            let from_client = first.kind == kind::CLIENT_HELLO;
            let reversed = from_server && dir == Dir::Client || from_client && dir == Dir::Server;
            known.then_some(if reversed { Verdict::YesReversed } else { Verdict::Yes })
        }
        content::CHANGE_CIPHER_SPEC if record.epoch == 0 => {
            (record.data.first() == Some(&1)).then_some(Verdict::Yes)
        }
        content::ALERT if record.epoch == 0 => match record.data {
            [1 | 2, code] if names::alert(*code).is_some() => Some(Verdict::Yes),
            _ => None,
        },
        // Encrypted: at least an explicit nonce or a tag.
        content::ALERT | content::HANDSHAKE | content::APPLICATION_DATA if record.epoch > 0 => {
            (record.data.len() >= 16).then_some(Verdict::Yes)
        }
        _ => None,
    }
}

/// A message that comes in fragments.
struct Partial {
    kind: u8,
    sequence: u16,
    len: usize,
    bytes: Assembler,
}

/// One direction.
#[derive(Default)]
struct Half {
    partial: Vec<Partial>,
    datagrams: u32,
    any: bool,
    encrypted: bool,
}

struct Dtls {
    handshake: Handshake,
    halves: [Half; 2],
}

impl Dtls {
    fn new() -> Self {
        Self { handshake: Handshake::new(Carrier::Dtls), halves: Default::default() }
    }

    /// The messages in a record. False if they don't fill it.
    fn handshake_record(&mut self, dir: Dir, data: &[u8], out: &mut Sink<'_>) -> bool {
        let mut c = Cursor::new(data);
        while !c.is_empty() {
            let Some(f) = fragment(&mut c) else { return false };
            let whole = f.data.len() == f.len;
            let ok = if whole {
                self.handshake.message(dir, f.kind, f.data, true, out)
            } else {
                self.fragment(dir, &f, out)
            };
            if !ok {
                return false;
            }
        }
        true
    }

    fn fragment(&mut self, dir: Dir, f: &Fragment<'_>, out: &mut Sink<'_>) -> bool {
        let half = &mut self.halves[dir.index()];
        let same = |p: &Partial| p.sequence == f.sequence && p.kind == f.kind && p.len == f.len;
        let at = match half.partial.iter().position(same) {
            Some(at) => at,
            None => {
                if half.partial.len() >= PARTIAL_MAX {
                    half.partial.remove(0);
                }
                half.partial.push(Partial {
                    kind: f.kind,
                    sequence: f.sequence,
                    len: f.len,
                    bytes: Assembler::default(),
                });
                half.partial.len() - 1
            }
        };
        let partial = &mut half.partial[at];
        partial.bytes.insert(f.offset as u64, f.data);
        if partial.bytes.prefix().len() < partial.len {
            return true;
        }
        let done = half.partial.swap_remove(at);
        self.handshake.message(dir, done.kind, done.bytes.prefix(), true, out)
    }

    fn cut_short(&mut self, out: &mut Sink<'_>) {
        for dir in [Dir::Client, Dir::Server] {
            for p in std::mem::take(&mut self.halves[dir.index()].partial) {
                let body = p.bytes.prefix();
                if !body.is_empty() {
                    let _ = self.handshake.message(dir, p.kind, body, false, out);
                }
            }
        }
    }
}

impl Parser for Dtls {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let first = !self.halves[dir.index()].any;
        let mut c = Cursor::new(bytes);
        let mut at = 0;
        while let Some(record) = record(&mut c) {
            let half = &mut self.halves[dir.index()];
            if first && !half.any && self.halves[dir.other().index()].any {
                out.confirm();
            }
            let half = &mut self.halves[dir.index()];
            half.any = true;
            self.handshake.start(out);
            match (record.kind, record.epoch) {
                (content::HANDSHAKE, 0) => {
                    if !self.handshake_record(dir, record.data, out) {
                        return Step::Malformed(at + 13);
                    }
                }
                (content::CHANGE_CIPHER_SPEC, 0) => self.handshake.change_cipher_spec(dir, out),
                (content::ALERT, 0) => {
                    if let [level, code] = record.data {
                        self.handshake.alert(*level, *code, out);
                    }
                }
                (_, 0) => {}
                _ => {
                    half.encrypted = true;
                    self.handshake.protected(dir, out);
                }
            }
            at = c.position();
        }
        // What has no plain header is encrypted (DTLS 1.3, connection ids), or multiplexed with it (STUN, SRTP, RFC 7983).
        if bytes.first().is_some_and(|b| b & 0xe0 == 0x20 || *b == TLS12_CID) {
            self.halves[dir.index()].encrypted = true;
            self.handshake.protected(dir, out);
        }
        if self.handshake.is_complete(out) {
            self.handshake.finish(out);
            return Step::Finished;
        }
        let half = &mut self.halves[dir.index()];
        half.datagrams += 1;
        // Encrypted, and the outcome isn't wanted or can't be told without the other direction's hello.
        let over = half.encrypted && !(wants_outcome(out) && self.handshake.has_server_hello());
        if over || half.datagrams >= DATAGRAMS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        self.cut_short(out);
        self.handshake.finish(out);
    }
}
