//! What is on the wire: every packet that one side receives was sent by the other, as it is and in that order, or it is a notice,
//! a reset or an ICMP error.

mod actions;
mod marks;
mod notices;
mod passive;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daylight_capture::raw_socket::{RawFrame, RawSocket};
use daylight_packet::{Decoded, Decoder, FlowKey, LinkType, Packet, TcpHeader, TransportKind, is_damaged};
use daylight_protocols::names::dns::message::Header;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::namespace::run;
use crate::net::Net;

/// For how long nothing is to come before it is over.
const QUIET: Duration = Duration::from_millis(100);

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

    fn is_reset(&self) -> bool {
        let is_tcp = self.packet.key.protocol == TransportKind::TCP;
        is_tcp && self.packet.tcp.flags & TcpHeader::RST != 0 && self.payload().is_empty()
    }

    /// What the filter may say by itself.
    fn is_own(&self) -> bool {
        let (Packet { tcp, key, .. }, payload) = (self.packet, self.payload());
        let is_refusal = |message: &[u8]| {
            Header::read(message).is_some_and(|header| header.is_response() && header.rcode() == 5)
        };
        match key.protocol {
            TransportKind::TCP if payload.is_empty() => {
                self.is_reset() || !self.from_client && tcp.flags & TcpHeader::FIN != 0
            }
            TransportKind::TCP => {
                let is_answer = payload.starts_with(b"HTTP/1.1 451 ");
                !self.from_client && (is_answer || is_refusal(payload.get(2..).unwrap_or(&[])))
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

/// Before anything is started: keeps everything that is started later on one processor. The kernel itself lets packets overtake
/// one another on several.
fn on_one_processor() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|processor| allowed.is_set(*processor).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    sched_setaffinity(this, &one).unwrap();
}

/// Packets stay as they are sent: nothing is put together or cut on the way.
fn without_offloads(net: &Net) {
    let off = "tso off gso off gro off tx off >/dev/null";
    run(&format!("ethtool -K client {off}; ethtool -K server {off}"));
    for host in [&net.client, &net.server] {
        assert!(host.sh(&format!("ethtool -K eth0 {off}")).status.success());
    }
}

/// What both sides sent and received while something was done, sorted.
struct Traffic {
    /// So many were received as they were sent.
    passed: usize,
    /// Sent, and not received.
    lost: Vec<Seen>,
    /// Received, and sent by nobody.
    own: Vec<Seen>,
}

impl Traffic {
    /// Watches the links while `act` is done.
    fn watch(net: &Net, act: impl FnOnce()) -> Self {
        let open = |interface| RawSocket::open(interface).unwrap();
        let mut sent = [Tap::new(open("client"), true), Tap::new(open("server"), false)];
        // What the client receives comes from the server, or is said to.
        let mut received = [
            Tap::new(net.server.within(|| open("eth0")), true),
            Tap::new(net.client.within(|| open("eth0")), false),
        ];
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut taps: Vec<&mut Tap> = sent.iter_mut().chain(&mut received).collect();
                let mut last = Instant::now();
                while !over.load(Ordering::Acquire) || last.elapsed() < QUIET {
                    if taps.iter_mut().filter_map(|tap| tap.poll().then_some(())).count() > 0 {
                        last = Instant::now();
                    } else {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            // The watch ends also if this fails.
            let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
            over.store(true, Ordering::Release);
            watching.join().unwrap();
            acted.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        });
        let missed = sent.iter().chain(&received).map(|tap| tap.socket.missed().unwrap()).sum::<u64>();
        assert_eq!(missed, 0, "the watch was too slow");
        Self::sort(sent.map(|tap| tap.seen), received.map(|tap| tap.seen))
    }

    /// Finds what was sent in what was received: within a flow and a direction, in the same order.
    fn sort(sent: [Vec<Seen>; 2], received: [Vec<Seen>; 2]) -> Self {
        let mut flows: HashMap<(FlowKey, bool), Vec<Option<Seen>>> = HashMap::new();
        for seen in sent.into_iter().flatten() {
            flows.entry((seen.packet.key, seen.from_client)).or_default().push(Some(seen));
        }
        let mut next: HashMap<(FlowKey, bool), usize> = HashMap::new();
        let (mut passed, mut own) = (0, Vec::new());
        for seen in received.into_iter().flatten() {
            let (key, fixed) = ((seen.packet.key, seen.from_client), seen.fixed());
            let flow = flows.entry(key).or_default();
            let next = next.entry(key).or_default();
            let is_it = |sent: &Option<Seen>| sent.as_ref().is_some_and(|sent| sent.fixed() == fixed);
            match flow.iter().position(is_it) {
                Some(place) => {
                    assert!(place >= *next, "overtaken by {}: {:?}", *next - place, seen.packet);
                    (flow[place], *next, passed) = (None, place + 1, passed + 1);
                }
                None => own.push(seen),
            }
        }
        let lost = flows.into_values().flatten().flatten().collect();
        Self { passed, lost, own }
    }

    /// What is the filter's is among what it may say, has right checksums, and is said within a flow.
    #[track_caller]
    fn assert_own(&self) {
        for seen in &self.own {
            assert!(seen.is_own(), "nobody sent {:?}, {:02x?}", seen.packet, seen.bytes);
            assert!(!is_damaged(&seen.bytes), "damaged: {:02x?}", seen.bytes);
        }
    }
}
