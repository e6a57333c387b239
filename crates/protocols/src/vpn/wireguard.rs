//! WireGuard: a VPN of four kinds of messages, all of them a type in one byte, three zero bytes, and indexes in clear.
//!
//! | type | what | length |
//! |---|---|---|
//! | 1 | handshake initiation | 148 |
//! | 2 | handshake response | 92 |
//! | 3 | cookie reply | 64 |
//! | 4 | transport data; a keep-alive has 32 | 32 and more, a multiple of 16 |
//!
//! A second message proves it: a response or cookie names the initiation's index; data repeats its receiver's index
//! and counts up. An initiation alone is enough if its second MAC is empty, as it is unless the server is under load.
//! Some providers add bytes to the handshake; the index in the response then still gives it away.

use crate::cursor::Cursor;
use crate::{
    Dir, Earlier, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, fields, udp,
};

fields! { ProtocolId::Wireguard;
    MESSAGES: [Str] "messages" "Kinds seen: initiation, response, cookie, data, keepalive";
    INITIATOR_INDEX: Uint "initiator_index" "Index that the initiator chose";
    RESPONDER_INDEX: Uint "responder_index" "Index that the responder chose";
}

/// WireGuard.
pub const PROTOCOL: Protocol = Protocol {
    name: "wireguard",
    title: "WireGuard",
    family: Family::Vpn,
    source: "WireGuard: Next Generation Kernel Network Tunnel (NDSS 2017)",
    ports: &[udp(51820)],
    patterns: &[
        Pattern::udp().min(148).starts(&[1, 0, 0, 0]),
        Pattern::udp().min(92).starts(&[2, 0, 0, 0]),
        Pattern::udp().len(64, 64).starts(&[3, 0, 0, 0]),
        Pattern::udp().min(32).starts(&[4, 0, 0, 0]),
    ],
    identify,
    parser: Some(|| Box::new(Wireguard::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

fn index(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn counter(bytes: &[u8]) -> u64 {
    bytes.get(8..16).and_then(|b| b.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let bytes = p.payload;
    let of = |kind: u8| p.earlier.iter().filter(move |e| e.head[..4] == [kind, 0, 0, 0]);
    let answers = |at: usize| {
        let named = index(bytes, at);
        let asked = |e: &Earlier| e.dir != p.dir && index(&e.head, 4) == named;
        named != 0 && of(1).any(asked)
    };
    let sure = match *bytes {
        // mac2 is all zeros without a cookie.
        [1, 0, 0, 0, ref rest @ ..] => {
            rest.len() == 144 && rest[128..].iter().all(|b| *b == 0) && rest[..128].iter().any(|b| *b != 0)
        }
        [2, 0, 0, 0, ..] => answers(8),
        // A cookie goes to whoever sent an initiation or, rarely, a response.
        [3, 0, 0, 0, ..] => {
            let named = index(bytes, 4);
            answers(4) || (named != 0 && of(2).any(|e| e.dir != p.dir && index(&e.head, 4) == named))
        }
        [4, 0, 0, 0, ..] if bytes.len().is_multiple_of(16) => {
            let (receiver, now) = (index(bytes, 4), counter(bytes));
            // A tunnel is keyed anew after two minutes: its counter stays far below this.
            receiver != 0
                && now < 1 << 36
                && of(4).any(|e| {
                    let before = counter(&e.head);
                    e.dir == p.dir
                        && e.len.is_multiple_of(16)
                        && index(&e.head, 4) == receiver
                        && (1..=64).contains(&now.wrapping_sub(before))
                })
        }
        _ => return Verdict::No,
    };
    if sure { Verdict::Yes } else { Verdict::Later }
}

/// Messages to read for the fields.
const MESSAGES_MAX: u8 = 8;

#[derive(Default)]
struct Wireguard {
    seen: u8,
    spoke: [bool; 2],
}

impl Parser for Wireguard {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        let mut c = Cursor::new(bytes);
        let kind = c.u32_le();
        let (first, second) = (c.u32_le(), c.u32_le());
        let name = match (kind, first, second) {
            (Some(1), Some(sender), _) => {
                out.set(INITIATOR_INDEX, sender);
                "initiation"
            }
            (Some(2), Some(sender), Some(receiver)) => {
                out.set(RESPONDER_INDEX, sender);
                out.set(INITIATOR_INDEX, receiver);
                "response"
            }
            (Some(3), ..) => "cookie",
            (Some(4), ..) if bytes.len() == 32 => "keepalive",
            (Some(4), ..) => "data",
            _ => return Step::Consumed(bytes.len()),
        };
        out.push(MESSAGES, name);
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        if self.seen < MESSAGES_MAX { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn message(head: &str, len: usize, empty: usize) -> Vec<u8> {
        let mut m = hex(head);
        m.resize(len - empty, 0x5c);
        m.resize(len, 0);
        m
    }

    #[test]
    fn a_handshake() {
        let initiation = message("01000000 44332211", 148, 16);
        let response = message("02000000 88776655 44332211", 92, 16);
        let seen = Flow::udp(51820).client(&initiation).server(&response).run();
        assert_eq!(seen.protocol, ProtocolId::Wireguard);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(MESSAGES), "initiation,response");
        assert_eq!(seen.show(INITIATOR_INDEX), 0x1122_3344.to_string());
        assert_eq!(seen.show(RESPONDER_INDEX), 0x5566_7788.to_string());
    }

    #[test]
    fn under_load_or_with_bytes_added_the_answer_proves_it() {
        let full = message("01000000 44332211", 148, 0);
        assert_eq!(Flow::udp(51820).client(&full).run().protocol, ProtocolId::Unknown);
        let cookie = message("03000000 44332211", 64, 0);
        assert_eq!(Flow::udp(51820).client(&full).server(&cookie).run().protocol, ProtocolId::Wireguard);
        let (longer, response) =
            (message("01000000 44332211", 204, 0), message("02000000 aa000000 44332211", 100, 0));
        assert_eq!(Flow::udp(9).client(&longer).server(&response).run().protocol, ProtocolId::Wireguard);
        let other = message("02000000 aa000000 44332212", 92, 0);
        assert_eq!(Flow::udp(9).client(&full).server(&other).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn in_the_middle_of_a_tunnel() {
        let data = |n: u8, index: u8, len| {
            message(&format!("04000000 0000{index:02x}01 {n:02x}00000000000000"), len, 0)
        };
        let label = |x: &[u8], y: &[u8]| Flow::udp(9).client(x).client(y).run().protocol;
        assert_eq!(label(&data(9, 7, 96), &data(10, 7, 32)), ProtocolId::Wireguard);
        assert_eq!(label(&data(9, 7, 96), &data(9, 7, 96)), ProtocolId::Unknown);
        assert_eq!(label(&data(9, 7, 96), &data(10, 8, 96)), ProtocolId::Unknown);
        assert_eq!(label(&data(9, 7, 96), &data(10, 7, 97)), ProtocolId::Unknown);
        assert_eq!(label(&data(9, 7, 96), &data(200, 7, 96)), ProtocolId::Unknown);
    }
}
