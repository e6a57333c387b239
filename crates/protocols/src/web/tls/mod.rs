//! Transport Layer Security over TCP: SSL 2.0 and 3.0 (hellos), TLS 1.0 to 1.3.
//!
//! A record is type (20 change cipher spec, 21 alert, 22 handshake, 23 application data), version `03 0x`, length, data.
//! Handshake messages (type, 24-bit length) run on over records: one may take several, a record may hold several, and a
//! TCP segment may end anywhere in either. Nothing here depends on where anything was cut.
//!
//! The folder: `record` (telling TLS from other things), `hello`, `certificate` with `der`, `handshake` (what the messages
//! mean; shared with DTLS and QUIC), `fingerprint`, `names`, `labels` (what is inside), `risks`, `fields`.
//!
//! Limits: a handshake message is kept up to 64 KiB; of a longer one (or one whose end was lost) the beginning is read.
//! Where TLS 1.3 is chosen, certificate, chosen ALPN and alerts are encrypted and not seen. A session picked up after its
//! handshake is named if records chain; it tells nothing more.

pub(crate) mod assembler;
pub(crate) mod certificate;
mod ciphers;
pub(crate) mod der;
pub mod fields;
pub mod fingerprint;
pub(crate) mod handshake;
pub(crate) mod hello;
mod labels;
pub(crate) mod names;
mod record;
pub mod risks;
#[cfg(test)]
mod tests;

use fingerprint::Carrier;
use handshake::Handshake;

use crate::cursor::Cursor;
use crate::{Dir, Family, Parser, Pattern, Protocol, Sink, Step, byte, masked, tcp};

/// Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    name: "tls",
    title: "Transport Layer Security",
    family: Family::Web,
    source: "RFC 8446, RFC 5246, RFC 6101",
    ports: &[
        tcp(443),
        tcp(8443),
        tcp(853),
        tcp(465),
        tcp(636),
        tcp(989),
        tcp(990),
        tcp(993),
        tcp(995),
        tcp(5061),
    ],
    patterns: &[
        // A record: type 20 to 23, version 3.0 to 3.3 (3.4 was seen in a few hellos).
        Pattern::tcp().tests(&[masked(0, 0xfc, 0x14), byte(1, 3), masked(2, 0xfc, 0)]),
        Pattern::tcp().tests(&[byte(0, 22), byte(1, 3), byte(2, 4)]),
        // A ClientHello in the format of SSL 2.0: length with the top bit set, type 1, version.
        Pattern::tcp().client().min(5).tests(&[masked(0, 0x80, 0x80), byte(2, 1), byte(3, 3)]),
        Pattern::tcp().client().min(5).tests(&[masked(0, 0x80, 0x80), byte(2, 1), byte(3, 0), byte(4, 2)]),
        // And a ServerHello in it: type 4, session id hit or not, certificate type X.509, version 2.
        Pattern::tcp().min(7).tests(&[masked(0, 0x80, 0x80), byte(2, 4), byte(4, 1), byte(5, 0), byte(6, 2)]),
    ],
    identify: record::identify,
    parser: Some(|| Box::new(Tls::new())),
    fields: fields::DECLARED,
    risks: risks::RISKS,
    ..Protocol::BASE
};

/// Record types.
pub(crate) mod content {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const APPLICATION_DATA: u8 = 23;
    pub(crate) const HEARTBEAT: u8 = 24;
}

/// A handshake message is kept up to this many bytes; of a longer one the beginning is read.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024;
/// The longest record: 2^14 bytes and what encryption or compression adds (RFC 5246 §6.2.3).
const RECORD_MAX: usize = 16_384 + 2048;

/// One direction.
#[derive(Default)]
struct Half {
    /// Bytes of the current handshake record that are still to come.
    left: usize,
    /// The beginning of a handshake message.
    partial: Vec<u8>,
    /// Bytes of a handshake message that was too long to keep, still to come.
    skip: usize,
    /// A record was read.
    any: bool,
    /// From here on it is encrypted.
    encrypted: bool,
    /// Encrypted records read, up to [`PROTECTED_MAX`].
    protected: u8,
}

/// So many encrypted records of a client are waited through for a server that isn't heard (0-RTT data).
const PROTECTED_MAX: u8 = 8;

/// Reads one TLS connection.
struct Tls {
    handshake: Handshake,
    halves: [Half; 2],
}

impl Tls {
    fn new() -> Self {
        Self { handshake: Handshake::new(Carrier::Tls), halves: Default::default() }
    }

    /// A piece of the stream of handshake messages. False if it is broken.
    fn handshake_bytes(&mut self, dir: Dir, mut data: &[u8], out: &mut Sink<'_>) -> bool {
        let half = &mut self.halves[dir.index()];
        let skipped = half.skip.min(data.len());
        half.skip -= skipped;
        data = &data[skipped..];
        let mut buffer = std::mem::take(&mut half.partial);
        if buffer.is_empty() {
            let (used, ok) = self.messages(dir, data, out);
            // What is left over is less than a record, plus less than a message's header. After a broken message it is
            // none, and how much of it there is depends on the segments.
            if ok {
                self.halves[dir.index()].partial.extend_from_slice(&data[used..]);
            }
            return ok;
        }
        // Never more than what makes the message longer than is kept, plus one record.
        buffer.extend_from_slice(data);
        let (used, ok) = self.messages(dir, &buffer, out);
        if ok && used < buffer.len() {
            buffer.drain(..used);
            self.halves[dir.index()].partial = buffer;
        }
        ok
    }

    /// Reads messages; how many bytes they took, and false if one is broken.
    fn messages(&mut self, dir: Dir, data: &[u8], out: &mut Sink<'_>) -> (usize, bool) {
        let mut c = Cursor::new(data);
        loop {
            let used = c.position();
            let (Some(kind), Some(len)) = (c.u8(), c.u24()) else { return (used, true) };
            let len = len as usize;
            match c.take(len) {
                Some(body) => {
                    if !self.handshake.message(dir, kind, body, true, out) {
                        return (c.position(), false);
                    }
                    if self.handshake.is_13() {
                        return (data.len(), true);
                    }
                }
                None if len > MESSAGE_MAX && c.remaining() >= MESSAGE_MAX => {
                    let ok = self.handshake.message(dir, kind, c.rest(), false, out);
                    self.halves[dir.index()].skip = len - c.remaining();
                    return (data.len(), ok);
                }
                None => return (used, true),
            }
        }
    }

    /// Reads what there is of a message whose end is lost.
    fn cut_short(&mut self, out: &mut Sink<'_>) {
        for dir in [Dir::Client, Dir::Server] {
            let partial = std::mem::take(&mut self.halves[dir.index()].partial);
            if let [kind, _, _, _, body @ ..] = &*partial
                && !body.is_empty()
            {
                let _ = self.handshake.message(dir, *kind, body, false, out);
            }
        }
    }

    /// What to do after a record of `len` bytes.
    fn next(&mut self, dir: Dir, step: Step, out: &mut Sink<'_>) -> Step {
        if self.handshake.is_complete(out) {
            self.handshake.finish(out);
            return Step::Finished;
        }
        // Encrypted: what follows tells nothing, but that the handshake was completed.
        let half = &self.halves[dir.index()];
        let over = if handshake::wants_outcome(out) {
            let last =
                dir == Dir::Server || self.handshake.has_server_hello() || half.protected >= PROTECTED_MAX;
            half.protected > 0 && last
        } else {
            half.encrypted
        };
        if over { Step::Done } else { step }
    }

    /// SSL 2.0 framing (draft-hickman-netscape-ssl-00): only the hellos are in clear text.
    fn ssl2(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Option<Step> {
        let [high, low, kind, ..] = bytes else { return None };
        let len = 2 + usize::from(u16::from_be_bytes([high & 0x7f, *low]));
        if !(*kind == 1 && len >= 5 || *kind == 4 && len >= 7) {
            return None;
        }
        if bytes.len() < len.min(7) {
            return Some(Step::Need(len.min(7)));
        }
        self.halves[dir.index()].any = true;
        self.handshake.start(out);
        let version = if *kind == 1 { [bytes[3], bytes[4]] } else { [*bytes.get(5)?, *bytes.get(6)?] };
        let version = u16::from_be_bytes(version);
        out.set(crate::common::TLS_VERSION, names::version(version));
        if version == 0x0002 {
            risks::version(version, out);
            self.halves[dir.index()].encrypted = true;
        }
        Some(if len <= bytes.len() { Step::Consumed(len) } else { Step::Skip(len as u64) })
    }
}

impl Parser for Tls {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let half = &mut self.halves[dir.index()];
        if half.left > 0 {
            let n = half.left.min(bytes.len());
            half.left -= n;
            if !self.handshake_bytes(dir, &bytes[..n], out) {
                return Step::Malformed(0);
            }
            return self.next(dir, Step::Consumed(n), out);
        }
        let mut c = Cursor::new(bytes);
        let (Some(kind), Some(version), Some(len)) = (c.u8(), c.u16(), c.u16()) else { return Step::Need(5) };
        let (first, len) = (!half.any, usize::from(len));
        let is_record = matches!(kind, content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT) && version >> 8 == 3;
        if first && !is_record && kind & 0x80 != 0 {
            return self.ssl2(dir, bytes, out).unwrap_or(Step::NotMine);
        }
        if !is_record || len > RECORD_MAX {
            // After the handshake there may follow clear text (CCC of FTP); before it, it is broken.
            return match (half.encrypted, first) {
                (true, _) => Step::Done,
                (_, true) if !self.halves[dir.other().index()].any => Step::NotMine,
                _ => Step::Malformed(0),
            };
        }
        half.any = true;
        let end = 5 + len;
        let whole = if end <= bytes.len() { Step::Consumed(end) } else { Step::Skip(end as u64) };
        if first && self.halves[dir.other().index()].any {
            out.confirm();
        }
        self.handshake.start(out);
        let half = &mut self.halves[dir.index()];
        let step = match kind {
            content::HANDSHAKE if !half.encrypted => {
                let data = &bytes[5..end.min(bytes.len())];
                half.left = len - data.len();
                if !self.handshake_bytes(dir, data, out) {
                    return Step::Malformed(5);
                }
                Step::Consumed(5 + data.len())
            }
            content::CHANGE_CIPHER_SPEC => {
                // In TLS 1.3 it means nothing, and a second ClientHello may follow it.
                self.handshake.change_cipher_spec(dir, out);
                let may_be_13 = !self.handshake.has_server_hello() || self.handshake.is_13();
                self.halves[dir.index()].encrypted = !may_be_13;
                whole
            }
            content::ALERT if len == 2 && !half.encrypted => {
                let [level, code, ..] = bytes[5..] else { return Step::Need(7) };
                self.handshake.alert(level, code, out);
                whole
            }
            content::HEARTBEAT if !half.encrypted && len >= 3 => {
                let [message, high, low, ..] = bytes[5..] else { return Step::Need(8) };
                let asked = usize::from(u16::from_be_bytes([high, low]));
                // RFC 6520 §4: type, length, payload, and at least 16 bytes of padding.
                if message == 1 && asked + 3 + 16 > len {
                    out.risk(&risks::TLS_HEARTBLEED, || format!("tls.heartbeat_length={asked} of {len}"));
                }
                whole
            }
            _ => {
                half.encrypted = true;
                half.protected = half.protected.saturating_add(1);
                self.handshake.protected(dir, out);
                whole
            }
        };
        self.next(dir, step, out)
    }

    fn gap(&mut self, _: Dir, _: u64, out: &mut Sink<'_>) -> Step {
        self.cut_short(out);
        Step::Done
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        self.cut_short(out);
        self.handshake.finish(out);
    }
}
