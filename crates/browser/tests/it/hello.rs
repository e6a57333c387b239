//! A ClientHello as lines that can be compared: what is random in it is left out, what is always the same is in it.

use daylight_protocols::common;
use daylight_protocols::testing::Flow;

const GREASE: &str = "GREASE";

/// A line for each thing that a ClientHello says.
pub(crate) fn lines(records: &[u8]) -> Vec<String> {
    let mut out = vec![
        format!("ja4 {}", ja4(records)),
        format!("record version {}, {} handshake record(s)", hex(&records[1..3]), hello_records(records)),
    ];
    out.extend(message_lines(&handshake(records)));
    out
}

/// Those of the message itself.
pub(crate) fn message_lines(message: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = Reader(&message[4..]);
    out.push(format!("legacy version {}", hex(at.take(2))));
    at.take(32);
    out.push(format!("session id of {} bytes", at.vec8().len()));
    out.push(format!("ciphers {}", numbers(at.vec16())));
    out.push(format!("compression {}", hex(at.vec8())));
    let mut extensions = Reader(at.vec16());
    let mut kinds = Vec::new();
    let mut bodies = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.number();
        let body = extensions.vec16();
        kinds.push(kind);
        bodies.push(extension(kind, body));
    }
    let grease = |i: usize| kinds.get(i).is_some_and(|&kind| name(kind) == GREASE);
    let before_last = kinds.len() - if kinds.last() == Some(&41) { 2 } else { 1 };
    out.push(format!("GREASE is first {} and last but for PSK {}", grease(0), grease(before_last)));
    bodies.sort();
    out.extend(bodies);
    out
}

/// Whether a session is resumed.
pub(crate) fn resumes(records: &[u8]) -> bool {
    lines(records).iter().any(|line| line.starts_with("extension 0029"))
}

/// The kinds of extensions in their order, which a browser draws anew for each connection.
pub(crate) fn extension_order(records: &[u8]) -> Vec<String> {
    let message = handshake(records);
    let mut at = Reader(&message[4..]);
    at.take(34);
    at.vec8();
    at.vec16();
    at.vec8();
    let mut extensions = Reader(at.vec16());
    let mut kinds = Vec::new();
    while !extensions.0.is_empty() {
        kinds.push(name(extensions.number()));
        extensions.vec16();
    }
    kinds
}

pub(crate) fn ja4(records: &[u8]) -> String {
    Flow::tcp(443).client(records).run().show(common::JA4)
}

/// The types and lengths of TLS records, in order.
pub(crate) fn records(bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut at = Reader(bytes);
    let mut out = Vec::new();
    while at.0.len() >= 5 {
        let kind = at.take(1)[0];
        at.take(2);
        let length = usize::from(at.number());
        if at.0.len() < length {
            break;
        }
        at.take(length);
        out.push((kind, length));
    }
    out
}

fn extension(kind: u16, body: &[u8]) -> String {
    let mut at = Reader(body);
    let said = match kind {
        // Groups, signatures
        10 | 13 => numbers(at.vec16()),
        // Versions
        43 => numbers(at.vec8()),
        51 => {
            let mut shares = Reader(at.vec16());
            let mut text = String::new();
            while !shares.0.is_empty() {
                let group = name(shares.number());
                text += &format!("{group}:{} ", shares.vec16().len());
            }
            text
        }
        // Encrypted ClientHello: type, KDF, AEAD, id, key, payload
        0xfe0d => {
            let fixed = hex(at.take(5));
            at.take(1);
            let key = at.vec16().len();
            let payload = at.vec16().len();
            match payload {
                144 | 176 | 208 | 240 => format!("{fixed} key {key} payload 144..=240 by 32"),
                _ => format!("{fixed} key {key} payload {payload}"),
            }
        }
        57 => parameters(body),
        // PSK: identities with their age, binders
        41 => {
            let mut text = String::new();
            let mut identities = Reader(at.vec16());
            while !identities.0.is_empty() {
                text += &format!("identity {} ", identities.vec16().len());
                identities.take(4);
            }
            let mut binders = Reader(at.vec16());
            while !binders.0.is_empty() {
                text += &format!("binder {} ", binders.vec8().len());
            }
            text
        }
        _ => hex(body),
    };
    format!("extension {} = {}", name(kind), said.trim_end())
}

/// QUIC's transport parameters, whose order is drawn anew for each connection.
fn parameters(body: &[u8]) -> String {
    let mut at = Reader(body);
    let mut all = Vec::new();
    while !at.0.is_empty() {
        let id = at.integer();
        let len = at.integer() as usize;
        let value = at.take(len);
        all.push(match id {
            // RFC 9000 §18.1
            _ if id % 31 == 27 => format!("reserved of up to 15: {}", value.len() < 16),
            0x11 => {
                let mut versions: Vec<_> = value[4..].chunks(4).map(version).collect();
                versions.sort();
                format!("version {} of {versions:?}", hex(&value[..4]))
            }
            _ => format!("{id:x}={}", hex(value)),
        });
    }
    all.sort();
    all.join(" ")
}

fn version(number: &[u8]) -> String {
    if number.iter().all(|byte| byte & 0x0f == 0x0a) { GREASE.to_owned() } else { hex(number) }
}

fn handshake(records: &[u8]) -> Vec<u8> {
    let mut at = Reader(records);
    let mut message = Vec::new();
    for (kind, length) in self::records(records) {
        at.take(5);
        let body = at.take(length);
        if kind != 22 {
            break;
        }
        message.extend_from_slice(body);
    }
    message
}

fn hello_records(bytes: &[u8]) -> usize {
    records(bytes).iter().take_while(|(kind, _)| *kind == 22).count()
}

fn numbers(list: &[u8]) -> String {
    let all: Vec<_> = list.chunks(2).map(|pair| name(u16::from_be_bytes([pair[0], pair[1]]))).collect();
    all.join(" ")
}

fn name(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    if high == low && low & 0x0f == 0x0a { GREASE.to_owned() } else { format!("{number:04x}") }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        head
    }

    fn number(&mut self) -> u16 {
        let pair = self.take(2);
        u16::from_be_bytes([pair[0], pair[1]])
    }

    /// Of QUIC: the first two bits tell how many bytes it has.
    pub(crate) fn integer(&mut self) -> u64 {
        let len = 1 << (self.0[0] >> 6);
        let bytes = self.take(len);
        bytes[1..].iter().fold((bytes[0] & 0x3f).into(), |number, &byte| number << 8 | u64::from(byte))
    }

    pub(crate) fn vec8(&mut self) -> &'a [u8] {
        let length = usize::from(self.take(1)[0]);
        self.take(length)
    }

    fn vec16(&mut self) -> &'a [u8] {
        let length = usize::from(self.number());
        self.take(length)
    }
}
