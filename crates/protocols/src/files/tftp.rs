//! Trivial File Transfer Protocol (RFC 1350; options: RFC 2347 to 2349, 7440): a request goes to port 69, and the answer
//! comes from another port, so that one transfer is two flows. The request announces the second to the engine, by the
//! client's address and port. Without it, the second flow is recognised by its acknowledged options, or by its data and
//! acknowledgements in lock-step.

use crate::cursor::Cursor;
use crate::{
    Dir, Earlier, Fact, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict,
    byte, fields, udp,
};

fields! { ProtocolId::Tftp;
    OPERATION: Str "operation" "read or write";
    FILE: Str "file" "Name of the file";
    MODE: Str "mode" "netascii, octet or mail";
    OPTIONS: [Str] "options" "Options asked for or granted, as name=value";
    ERROR: Str "error" "Error code and message";
}

/// Trivial File Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "tftp",
    title: "Trivial File Transfer Protocol",
    family: Family::Files,
    source: "RFC 1350",
    ports: &[udp(69)],
    cleartext: true,
    patterns: &[
        Pattern::udp().len(9, 1024).tests(&[byte(0, 0), byte(1, 1)]),
        Pattern::udp().len(9, 1024).tests(&[byte(0, 0), byte(1, 2)]),
        Pattern::udp().min(4).tests(&[byte(0, 0), byte(1, 3)]),
        Pattern::udp().len(4, 4).tests(&[byte(0, 0), byte(1, 4)]),
        Pattern::udp().len(5, 512).tests(&[byte(0, 0), byte(1, 5), byte(2, 0)]),
        Pattern::udp().len(6, 1024).tests(&[byte(0, 0), byte(1, 6)]),
    ],
    identify,
    parser: Some(|| Box::new(Tftp)),
    fields: FIELDS,
    ..Protocol::BASE
};

/// A message.
enum Message<'a> {
    Request { write: bool, file: &'a [u8], mode: &'static str, options: Vec<(&'a [u8], &'a [u8])> },
    Data(u16),
    Acknowledgement(u16),
    Error(u16, &'a [u8]),
    Options(Vec<(&'a [u8], &'a [u8])>),
}

/// The options that there are.
const OPTIONS_KNOWN: &[&str] =
    &["blksize", "timeout", "tsize", "windowsize", "multicast", "rollover", "utimeout"];

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let mut c = Cursor::new(bytes);
    Some(match c.u16()? {
        opcode @ (1 | 2) => {
            let file = c.until(0)?;
            let mode = c.until(0)?;
            let mode = ["netascii", "octet", "mail"]
                .into_iter()
                .find(|m| m.as_bytes().eq_ignore_ascii_case(mode))?;
            let text = |b: &u8| *b >= 0x20 && *b != 0x7f;
            if file.len() > 512 || !file.iter().all(text) {
                return None;
            }
            Message::Request { write: opcode == 2, file, mode, options: options(&mut c)? }
        }
        3 => Message::Data(c.u16()?),
        4 => {
            let block = c.u16()?;
            c.is_empty().then_some(Message::Acknowledgement(block))?
        }
        5 => {
            let code = c.u16().filter(|code| *code <= 8)?;
            let text = c.until(0)?;
            let printable = text.iter().all(|b| *b >= 0x20 && *b != 0x7f);
            (printable && c.is_empty()).then_some(Message::Error(code, text))?
        }
        6 => Message::Options(options(&mut c).filter(|o| !o.is_empty())?),
        _ => return None,
    })
}

/// Names and values up to the end, at most 16, at least one name known if there are any.
fn options<'a>(c: &mut Cursor<'a>) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    let mut options = Vec::new();
    while !c.is_empty() && options.len() < 16 {
        let (name, value) = (c.until(0)?, c.until(0)?);
        if name.is_empty() || !name.iter().chain(value).all(|b| b.is_ascii_graphic()) {
            return None;
        }
        options.push((name, value));
    }
    let known = |name: &[u8]| OPTIONS_KNOWN.iter().any(|k| k.as_bytes().eq_ignore_ascii_case(name));
    (options.is_empty() || options.iter().any(|(name, _)| known(name))).then_some(options)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some(message) = message(p.payload) else { return Verdict::No };
    match message {
        Message::Request { file, .. } if !file.is_empty() || p.port(69) => Verdict::Yes,
        Message::Request { .. } => Verdict::No,
        Message::Options(_) => Verdict::Yes,
        // A block and its acknowledgement, or the acknowledgement of a write and its first block.
        Message::Acknowledgement(block) => match p.earlier {
            [.., last] if last.dir != p.dir && opening(last) == Some((3, block)) => Verdict::Yes,
            [] if block <= 1 => Verdict::Later,
            _ => Verdict::No,
        },
        Message::Data(block) => match p.earlier {
            [.., last] if last.dir != p.dir && opening(last) == Some((4, block.wrapping_sub(1))) => {
                Verdict::Yes
            }
            [] if block == 1 => Verdict::Later,
            // The first block may be sent again.
            [.., last] if last.dir == p.dir && opening(last) == Some((3, block)) => Verdict::Later,
            _ => Verdict::No,
        },
        Message::Error(..) => Verdict::No,
    }
}

/// Opcode and block of an earlier datagram that was data or an acknowledgement, of the first two blocks only.
fn opening(earlier: &Earlier) -> Option<(u8, u16)> {
    match earlier.head {
        [0, 3, 0, block @ 1..=2, ..] if earlier.len >= 4 => Some((3, block.into())),
        [0, 4, 0, block @ 0..=2, ..] if earlier.len == 4 => Some((4, block.into())),
        _ => None,
    }
}

struct Tftp;

impl Parser for Tftp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(message) = message(bytes) else { return Step::Malformed(0) };
        match message {
            Message::Request { write, file, mode, options } => {
                out.set(OPERATION, if write { "write" } else { "read" });
                out.set_text(FILE, file);
                out.set(MODE, mode);
                put(&options, out);
                out.fact(Fact::Expect {
                    transport: Transport::Udp,
                    address: out.address(dir),
                    port: out.port(dir),
                    protocol: ProtocolId::Tftp,
                });
                Step::Consumed(bytes.len())
            }
            Message::Options(options) => {
                put(&options, out);
                out.confirm();
                Step::Consumed(bytes.len())
            }
            Message::Error(code, text) => {
                let text = crate::mail::lines::shown(text);
                out.set(ERROR, if text.is_empty() { code.to_string() } else { format!("{code} {text}") });
                out.confirm();
                Step::Finished
            }
            // Nothing more comes but data, unless the flow ends with an error, which is then not seen.
            Message::Data(block) | Message::Acknowledgement(block) => {
                if block >= 1 {
                    out.confirm();
                    return Step::Finished;
                }
                Step::Consumed(bytes.len())
            }
        }
    }
}

fn put(options: &[(&[u8], &[u8])], out: &mut Sink<'_>) {
    for (name, value) in options {
        let text = [*name, *value].map(|b| String::from_utf8_lossy(b).to_ascii_lowercase()).join("=");
        out.push(OPTIONS, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    #[test]
    fn a_request_announces_the_transfer() {
        let seen = Flow::udp(69).client(b"\0\x01boot.img\0octet\0blksize\x001468\0tsize\x000\0").run();
        assert_eq!(seen.protocol, ProtocolId::Tftp);
        assert_eq!(seen.show(OPERATION), "read");
        assert_eq!(seen.show(FILE), "boot.img");
        assert_eq!(seen.show(OPTIONS), "blksize=1468,tsize=0");
        assert!(
            matches!(&seen.facts[..], [Fact::Expect { port: 40000, protocol: ProtocolId::Tftp, address, .. }]
            if address.to_string() == "192.0.2.1")
        );
    }

    #[test]
    fn the_transfer_without_the_request() {
        let block = [&[0, 3, 0, 1][..], &[7; 512]].concat();
        let read = Flow::udp(50000).client(&block).server(&[0, 4, 0, 1]).run();
        assert_eq!((read.protocol, read.confidence), (ProtocolId::Tftp, Confidence::Handshake));
        let write = Flow::udp(50000).client(&[0, 4, 0, 0]).server(&block).run();
        assert_eq!(write.protocol, ProtocolId::Tftp);
        let options = Flow::udp(50000).client(b"\0\x06blksize\x001468\0").run();
        assert_eq!(options.protocol, ProtocolId::Tftp);
    }

    #[test]
    fn errors() {
        let seen =
            Flow::udp(69).client(b"\0\x02x\0NETASCII\0").server(b"\0\x05\0\x02Access violation\0").run();
        assert_eq!(seen.show(ERROR), "2 Access violation");
        assert_eq!(seen.show(MODE), "netascii");
    }

    #[test]
    fn near_misses() {
        let no: [&[u8]; 7] = [
            b"\0\x01name\0binary\0",
            b"\0\x01na\x01me\0octet\0",
            b"\0\x01name\0octet",
            b"\0\x01name\0octet\0colour\0red\0",
            b"\0\x06colour\0red\0",
            b"\0\x05\0\x09what\0",
            b"\0\x01\0octet\0",
        ];
        for payload in no {
            assert_eq!(Flow::udp(99).client(payload).run().protocol, ProtocolId::Unknown, "{payload:?}");
        }
        let lonely = Flow::udp(50000).client(&[0, 3, 0, 1, 9]).client(&[0, 4, 0, 1]).run();
        assert_eq!(lonely.protocol, ProtocolId::Unknown);
        let five_bytes = Flow::udp(50000).client(&[0, 3, 0, 1, 9]).server(&[0, 4, 0, 1, 0]).run();
        assert_eq!(five_bytes.protocol, ProtocolId::Unknown);
    }
}
