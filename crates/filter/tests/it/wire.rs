//! Nothing but notices, resets and ICMP errors is ever put on the wire: every packet that one side receives was sent by the
//! other, or is one of these.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_capture::raw_socket::{RawFrame, RawSocket};
use daylight_packet::{Decoded, Decoder, LinkType, Packet, TcpHeader, TransportKind};
use daylight_protocols::names::dns::message::Header;

use crate::actions::{NAMES, NEEDED, WHEN, attempt, refused};
use crate::filtering::{policy, rule, with_filter};
use crate::namespace::{entered, run};
use crate::net::{Net, have};
use crate::services;

/// An IP packet as it was on a link, without its link header.
struct Seen {
    packet: Packet,
    from_client: bool,
    bytes: Vec<u8>,
}

impl Seen {
    fn payload(&self) -> &[u8] {
        let from = self.packet.payload_offset as usize - 14;
        &self.bytes[from..from + self.packet.payload_len as usize]
    }

    /// The packet without what routers change, and without checksums, which the sender leaves to the link.
    fn fixed(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let header = if bytes[0] >> 4 == 6 {
            bytes[7] = 0;
            40
        } else {
            bytes[8] = 0;
            bytes[10..12].fill(0);
            usize::from(bytes[0] & 15) * 4
        };
        let sum = match self.packet.key.protocol {
            TransportKind::TCP => header + 16,
            TransportKind::UDP => header + 6,
            _ => return bytes,
        };
        bytes[sum..sum + 2].fill(0);
        bytes
    }

    /// What the filter may say by itself.
    fn is_own(&self) -> bool {
        let (Packet { tcp, key, .. }, payload) = (self.packet, self.payload());
        let is_refusal = |message: &[u8]| {
            Header::read(message).is_some_and(|header| header.is_response() && header.rcode() == 5)
        };
        match key.protocol {
            TransportKind::TCP if payload.is_empty() => {
                tcp.flags & TcpHeader::RST != 0 || !self.from_client && tcp.flags & TcpHeader::FIN != 0
            }
            TransportKind::TCP => {
                let words =
                    payload.starts_with(b"HTTP/1.1 451 ") && payload.windows(6).any(|w| w == b"A test");
                !self.from_client && (words || is_refusal(payload.get(2..).unwrap_or(&[])))
            }
            TransportKind::UDP => !self.from_client && is_refusal(payload),
            // Destination unreachable, administratively prohibited (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
            TransportKind::ICMP => self.bytes[20..22] == [3, 13],
            TransportKind::ICMPV6 => self.bytes[40..42] == [1, 1],
            _ => false,
        }
    }
}

/// A place where packets of one side are seen on their way.
struct Tap {
    socket: RawSocket,
    from_client: bool,
    seen: Vec<Seen>,
}

impl Tap {
    fn new(socket: RawSocket, from_client: bool) -> Self {
        Self { socket, from_client, seen: Vec::new() }
    }

    fn poll(&mut self) -> bool {
        let mut frames = vec![RawFrame::default(); 32];
        let count = self.socket.receive(&mut frames).unwrap();
        let decoder = Decoder::default();
        for frame in frames.into_iter().take(count) {
            assert!(!frame.offload.is_large(), "offloads are off");
            let len = frame.bytes.len() as u32;
            let Decoded::Packet(packet) = decoder.decode(LinkType::ETHERNET, &frame.bytes, 0, len) else {
                continue;
            };
            // Neighbours of a link look for one another; that is theirs.
            let local = |at: usize| frame.bytes.get(at).is_some_and(|kind| (130..=143).contains(kind));
            let neighbours = packet.key.protocol == TransportKind::ICMPV6 && (local(54) || local(62));
            if !neighbours {
                let bytes = frame.bytes[14..].to_vec();
                self.seen.push(Seen { packet, from_client: self.from_client, bytes });
            }
        }
        count > 0
    }
}

#[test]
fn only_notices_resets_and_errors() {
    if !have(&NEEDED) || !have(&["ethtool"]) || !entered("wire::only_notices_resets_and_errors") {
        return;
    }
    let mut net = Net::new();
    let _services = services::all(&mut net);
    // Packets stay as they are sent: nothing is put together or cut on the way.
    let off = "tso off gso off gro off tx off >/dev/null";
    run(&format!("ethtool -K client {off}; ethtool -K server {off}"));
    for host in [&net.client, &net.server] {
        assert!(host.sh(&format!("ethtool -K eth0 {off}")).status.success());
    }
    for action in ["drop", "reject"] {
        let open = |interface| RawSocket::open(interface).unwrap();
        let mut sent = [Tap::new(open("client"), true), Tap::new(open("server"), false)];
        // What the client receives comes from the server, or is said to.
        let mut received = [
            Tap::new(net.server.within(|| open("eth0")), true),
            Tap::new(net.client.within(|| open("eth0")), false),
        ];
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut taps: Vec<&mut Tap> = sent.iter_mut().chain(&mut received).collect();
                loop {
                    let last = over.load(Ordering::Acquire);
                    let some = taps.iter_mut().filter_map(|tap| tap.poll().then_some(())).count() > 0;
                    if last && !some {
                        break;
                    }
                    if !some {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            with_filter(&net, &policy(&rule("the rule", WHEN, action)), |filter| {
                let expected = |protocol: &str| match action {
                    "reject" => refused(protocol),
                    _ => crate::actions::Seen::Failure,
                };
                assert_eq!(attempt(&net, NAMES[0], expected), [""; 0], "{action}");
                crate::actions::neighbours(&net, filter);
            });
            over.store(true, Ordering::Release);
        });
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        for seen in sent.iter().flat_map(|tap| &tap.seen) {
            *known.entry(seen.fixed()).or_default() += 1;
        }
        let (mut passed, mut own) = (0, 0);
        for seen in received.iter().flat_map(|tap| &tap.seen) {
            match known.get_mut(&seen.fixed()).filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    passed += 1;
                }
                None if action == "reject" && seen.is_own() => own += 1,
                None => panic!("{action}: nobody sent {:?}, {:02x?}", seen.packet, seen.bytes),
            }
        }
        assert_eq!(received.iter().map(|tap| tap.socket.missed().unwrap()).sum::<u64>(), 0);
        assert!(passed > 100, "{passed}");
        // A refusal over UDP, and two of TCP's, for each family; and the resets.
        assert_eq!(own > 10, action == "reject", "{own}");
        println!("{action}: {passed} packets of theirs, {own} of the filter's");
    }
}
