//! Internet Key Exchange, versions 1 (ISAKMP) and 2: agrees on the keys of an IPsec tunnel. UDP ports 500, and 4500
//! where it shares with ESP and has four zero bytes before it (RFC 3948).
//!
//! The header says its version, exchange and the datagram's whole length; payloads follow as a chain that fills it.
//! Algorithms, vendor IDs and, in version 1's aggressive mode, identities are in clear in the first exchange.
//! IKE over TCP (RFC 9329) is not read.

mod names;

use crate::cursor::Cursor;
use crate::{
    Dir, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte,
    fields, risks, udp,
};

fields! { ProtocolId::Ike;
    VERSION: Str "version" "1.0 or 2.0";
    EXCHANGES: [Str] "exchanges" "Kinds of exchanges seen";
    INITIATOR_SPI: Bytes "initiator_spi" "Initiator's SPI (cookie), 8 bytes";
    RESPONDER_SPI: Bytes "responder_spi" "Responder's SPI (cookie), 8 bytes";
    VENDORS: [Str] "vendors" "Vendor IDs: name, text or hexadecimal";
    OFFERED: [Str] "offered" "Algorithms that the initiator offers: encryption, integrity, PRF, group";
    ENCRYPTION: [Str] "encryption" "Encryption that the responder chose, with its key's length in bits";
    INTEGRITY: [Str] "integrity" "Integrity (version 1: hash) that it chose";
    PRF: [Str] "prf" "Pseudo-random function that it chose";
    GROUP: [Str] "group" "Diffie-Hellman group that it chose";
    AUTHENTICATION: [Str] "authentication" "How both ends prove themselves (version 1): PSK, RSA …";
    IDENTITY: Str "identity" "Identity of the initiator in clear (version 1, aggressive mode)";
    NOTIFY: [Str] "notify" "Notifications in clear (version 2)";
}

risks! {
    IKE_WEAK_CRYPTO: Medium Server "ike-weak-crypto" "The responder chose an encryption, hash or Diffie-Hellman group that RFC 8247 tells to avoid: DES, 3DES, MD5, groups of less than 2048 bits.";
    IKE_AGGRESSIVE_MODE: High Both "ike-aggressive-mode" "IKEv1 aggressive mode shows the identity and, with a pre-shared key, a hash that can be attacked offline (CVE-2002-1623).";
    IKE_V1: Low Both "ike-version-1" "IKEv1 is obsolete (RFC 9395).";
}

/// Internet Key Exchange.
pub const PROTOCOL: Protocol = Protocol {
    name: "ike",
    title: "Internet Key Exchange",
    family: Family::Vpn,
    source: "RFC 7296, RFC 2408, RFC 2409, RFC 3947, RFC 3948",
    ports: &[udp(500), udp(4500)],
    patterns: &[
        Pattern::udp().min(28).tests(&[byte(17, 0x10)]),
        Pattern::udp().min(28).tests(&[byte(17, 0x20)]),
        Pattern::udp().min(32).starts(&[0; 4]).tests(&[byte(21, 0x10)]),
        Pattern::udp().min(32).starts(&[0; 4]).tests(&[byte(21, 0x20)]),
    ],
    identify,
    parser: Some(|| Box::new(Ike::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// Length of the header.
const HEADER: usize = 28;
/// Payloads of a message that are read.
const PAYLOADS_MAX: usize = 64;
/// Payload types of version 2 whose inside is encrypted.
const SK: u8 = 46;
const SKF: u8 = 53;

/// A message, borrowed.
struct Message<'a> {
    initiator: [u8; 8],
    responder: [u8; 8],
    next: u8,
    /// 1 or 2.
    version: u8,
    exchange: u8,
    flags: u8,
    id: u32,
    payloads: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the header of a datagram. Its length must be the datagram's.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        // With port 500 an initiator's SPI never starts with four zeros in practice; behind the marker it is there.
        let bytes = bytes.strip_prefix(&[0; 4]).unwrap_or(bytes);
        let mut c = Cursor::new(bytes);
        let (initiator, responder) = (c.array()?, c.array()?);
        let (next, version, exchange, flags) = (c.u8()?, c.u8()?, c.u8()?, c.u8()?);
        let (id, len) = (c.u32()?, c.u32()?);
        let version = match version {
            0x10 => 1,
            0x20 => 2,
            _ => return None,
        };
        let known = names::exchange(exchange).is_some() && (exchange >= 34) == (version == 2);
        let fits = usize::try_from(len).is_ok_and(|len| len == bytes.len());
        (known && fits && initiator != [0; 8]).then_some(Self {
            initiator,
            responder,
            next,
            version,
            exchange,
            flags,
            id,
            payloads: c.rest(),
        })
    }

    /// True if the payloads cannot be read.
    fn is_encrypted(&self) -> bool {
        self.version == 1 && self.flags & 1 != 0
    }

    /// The payloads in order, with their types. Ends early where one does not fit.
    fn payloads(&self) -> Payloads<'a> {
        Payloads { next: self.next, c: Cursor::new(self.payloads) }
    }

    /// True if the payloads are a chain of types that exist and fill the message.
    fn is_sound(&self) -> bool {
        if self.is_encrypted() {
            return !self.payloads.is_empty();
        }
        let mut payloads = self.payloads();
        for (kind, _) in payloads.by_ref().take(PAYLOADS_MAX) {
            let known =
                if self.version == 2 { matches!(kind, 33..=54) } else { matches!(kind, 1..=23 | 130..=140) };
            if !known {
                return false;
            }
        }
        payloads.c.is_empty() && payloads.next == 0
    }
}

/// Iterates over a chain of payloads (RFC 7296 §3.2, RFC 2408 §3.2: the same form).
struct Payloads<'a> {
    next: u8,
    c: Cursor<'a>,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let mut c = self.c;
        let (next, _critical, len) = (c.u8()?, c.u8()?, usize::from(c.u16()?));
        let body = c.take(len.checked_sub(4)?)?;
        let kind = self.next;
        // What follows an encrypted payload is inside it.
        self.next = if matches!(kind, SK | SKF) { 0 } else { next };
        self.c = c;
        Some((kind, body))
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some(message) = Message::parse(p.payload) else { return Verdict::No };
    // The length is 32 bits of evidence, version and exchange twelve; a chain, the port or an empty responder's SPI
    // and message ID in a first request the rest.
    let first = message.responder == [0; 8] && message.id == 0;
    let marked = p.payload.starts_with(&[0; 4]) && p.port(4500);
    if !(message.is_sound() || first || marked || p.port(500)) {
        return Verdict::No;
    }
    // Version 2 says who asked (RFC 7296 §3.1): a response from whom was taken for the client.
    let response = message.version == 2 && message.flags & 0x28 == 0x20;
    if response && p.dir == Dir::Client && p.earlier.is_empty() { Verdict::YesReversed } else { Verdict::Yes }
}

/// Messages to read for the fields.
const MESSAGES_MAX: u8 = 12;

#[derive(Default)]
struct Ike {
    seen: u8,
    spoke: [bool; 2],
}

impl Parser for Ike {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // ESP and its keep-alives share the port, and say nothing here.
        let Some(message) = Message::parse(bytes) else {
            let foreign = !bytes.starts_with(&[0; 4]);
            return if foreign && self.spoke == [true; 2] {
                Step::Finished
            } else {
                Step::Consumed(bytes.len())
            };
        };
        self.seen += 1;
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        out.set(VERSION, if message.version == 2 { "2.0" } else { "1.0" });
        if let Some(name) = names::exchange(message.exchange) {
            out.push(EXCHANGES, name);
        }
        out.set(INITIATOR_SPI, &message.initiator[..]);
        if message.responder != [0; 8] {
            out.set(RESPONDER_SPI, &message.responder[..]);
        }
        if message.version == 1 {
            out.risk(&IKE_V1, || "ike.version=1.0".to_owned());
            if message.exchange == 4 {
                out.risk(&IKE_AGGRESSIVE_MODE, || "ike.exchange=aggressive-mode".to_owned());
            }
        }
        if message.is_encrypted() {
            return self.after(bytes, true);
        }
        if !message.is_sound() {
            return Step::Malformed(HEADER);
        }
        let mut encrypted = false;
        for (kind, body) in message.payloads().take(PAYLOADS_MAX) {
            match (message.version, kind) {
                (2, 33) => proposals_v2(dir, body, out),
                (1, 1) => proposals_v1(dir, body, out),
                (2, 43) | (1, 13) => out.push(VENDORS, names::vendor(body)),
                (2, 41) => {
                    if let Some(name) =
                        body.get(2..4).and_then(|n| names::notify(u16::from_be_bytes([n[0], n[1]])))
                    {
                        out.push(NOTIFY, name);
                    }
                }
                (1, 5) if dir == Dir::Client => identity(body, out),
                (2, SK | SKF) => encrypted = true,
                _ => {}
            }
        }
        self.after(bytes, encrypted)
    }
}

impl Ike {
    /// Once both sides encrypt, nothing more is to be had.
    fn after(&self, bytes: &[u8], encrypted: bool) -> Step {
        if (encrypted && self.spoke == [true; 2]) || self.seen >= MESSAGES_MAX {
            Step::Finished
        } else {
            Step::Consumed(bytes.len())
        }
    }
}

/// Tells of an algorithm: of the client's as offered, of the server's as chosen.
fn tell(dir: Dir, field: FieldRef, algorithm: &names::Algorithm, key_bits: Option<u16>, out: &mut Sink<'_>) {
    let name = match key_bits {
        Some(bits) => Value::from(format!("{}-{bits}", algorithm.name)),
        None => Value::from(algorithm.name),
    };
    if dir == Dir::Client {
        out.push(OFFERED, name);
        return;
    }
    if algorithm.weak {
        out.risk(&IKE_WEAK_CRYPTO, || format!("ike.{}={name}", field.field().name));
    }
    out.push(field, name);
}

/// The SA payload of version 2 (RFC 7296 §3.3): proposals, each with transforms.
fn proposals_v2(dir: Dir, body: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(body);
    while let Some(mut proposal) = substructure(&mut c) {
        let (Some(_number), Some(_protocol), Some(spi), Some(_count)) =
            (proposal.u8(), proposal.u8(), proposal.u8(), proposal.u8())
        else {
            return;
        };
        if proposal.skip(spi.into()).is_none() {
            return;
        }
        while let Some(mut transform) = substructure(&mut proposal) {
            let (Some(kind), Some(_), Some(id)) = (transform.u8(), transform.u8(), transform.u16()) else {
                return;
            };
            match kind {
                1 => {
                    let bits =
                        attributes(transform).into_iter().find(|(kind, _)| *kind == 14).map(|(_, bits)| bits);
                    tell(dir, ENCRYPTION, &names::encryption_v2(id), bits, out);
                }
                2 => tell(dir, PRF, &names::prf(id), None, out),
                3 => tell(dir, INTEGRITY, &names::integrity(id), None, out),
                4 => tell(dir, GROUP, &names::group(id), None, out),
                _ => {}
            }
        }
    }
}

/// A proposal or transform: last or more, reserved, length, inside.
fn substructure<'a>(c: &mut Cursor<'a>) -> Option<Cursor<'a>> {
    let (_more, _reserved, len) = (c.u8()?, c.u8()?, usize::from(c.u16()?));
    c.take(len.checked_sub(4)?).map(Cursor::new)
}

/// Attributes of a transform that fit in two bytes (RFC 7296 §3.3.5). Longer ones are lifetimes.
fn attributes(mut c: Cursor<'_>) -> Vec<(u16, u16)> {
    let mut found = Vec::new();
    while found.len() < 16 {
        let (Some(kind), Some(value)) = (c.u16(), c.u16()) else { break };
        if kind & 0x8000 != 0 {
            found.push((kind & 0x7fff, value));
        } else if c.skip(value.into()).is_none() {
            break;
        }
    }
    found
}

/// The SA payload of version 1, phase 1 (RFC 2408 §3.4 to 3.6, RFC 2409 appendix A).
fn proposals_v1(dir: Dir, body: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(body);
    // Domain of interpretation, situation.
    if c.skip(8).is_none() {
        return;
    }
    while let Some(mut proposal) = substructure(&mut c) {
        let (Some(_number), Some(_protocol), Some(spi), Some(_count)) =
            (proposal.u8(), proposal.u8(), proposal.u8(), proposal.u8())
        else {
            return;
        };
        if proposal.skip(spi.into()).is_none() {
            return;
        }
        while let Some(mut transform) = substructure(&mut proposal) {
            // Number, ID (1: IKE), reserved.
            if transform.skip(4).is_none() {
                return;
            }
            let attributes = attributes(transform);
            let bits = attributes.iter().find(|(kind, _)| *kind == 14).map(|(_, bits)| *bits);
            for (kind, value) in &attributes {
                match kind {
                    1 => tell(dir, ENCRYPTION, &names::encryption_v1(*value), bits, out),
                    2 => tell(dir, INTEGRITY, &names::hash_v1(*value), None, out),
                    3 => out.push(AUTHENTICATION, names::authentication_v1(*value)),
                    4 => tell(dir, GROUP, &names::group(*value), None, out),
                    _ => {}
                }
            }
        }
    }
}

/// The ID payload of version 1 (RFC 2407 §4.6.2): names and addresses; keys and certificates are left out.
fn identity(body: &[u8], out: &mut Sink<'_>) {
    let [kind, _, _, _, value @ ..] = body else { return };
    match (kind, value) {
        (1, [a, b, c, d]) => out.set(IDENTITY, format!("{a}.{b}.{c}.{d}")),
        (2 | 3, _) => out.set_text(IDENTITY, value),
        (11, _) if value.iter().all(|b| b.is_ascii_graphic() || *b == b' ') => out.set_text(IDENTITY, value),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
