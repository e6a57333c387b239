//! Bytes of a connection that may never be taken by whoever they are for.
//!
//! Somebody who wants to be taken for another sends a segment that the receiver doesn't get, or throws away, and then, in the
//! same place, what he really has to say. Such a segment can't be told for sure: how many hops there are left is not known, nor
//! what a receiver is content with. But it differs from those that opened the connection, which did arrive: in its
//! time to live, in its options, in what it acknowledges. Doubt ends with the other side's acknowledgement. Until
//! then, what comes in the same place and is not the same can still be held back.

use daylight_packet::{Issues, Packet, TcpHeader};

/// What one side's segments looked like so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// The greatest time to live.
    ttl: u8,
    /// The latest timestamp (RFC 7323).
    timestamp: Option<u32>,
    /// The end of the bytes that are in doubt.
    doubted: Option<u32>,
}

impl Looks {
    /// True if bytes of this side are in doubt.
    pub(super) fn are_doubtful(&self) -> bool {
        self.doubted.is_some()
    }
}

/// Takes note of a segment that the side `from` has sent (0 is the client), from its IP header on. `caught_up` if it
/// acknowledges all that the other side has sent.
pub(super) fn weigh(sides: &mut [Looks; 2], from: usize, packet: &Packet, ip: &[u8], caught_up: bool) {
    let TcpHeader { seq, ack, flags, .. } = packet.tcp;
    let options = Options::read(ip);
    let [client, server] = sides;
    let (sender, receiver) = if from == 0 { (client, server) } else { (server, client) };
    if packet.payload_wire_len > 0 {
        let odd =
            flags & (TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST | TcpHeader::ACK | TcpHeader::URG);
        let late = match (sender.timestamp, options.timestamp) {
            (Some(latest), Some(timestamp)) => is_before(timestamp, latest),
            (latest, _) => latest.is_some(),
        };
        let unusual = packet.ttl < sender.ttl
            || odd != TcpHeader::ACK
            || !caught_up
            || options.unusual
            || late
            || packet.issues.has(Issues::REASSEMBLED);
        let end =
            seq.wrapping_add(u32::from(flags & TcpHeader::SYN != 0)).wrapping_add(packet.payload_wire_len);
        if unusual && sender.doubted.is_none_or(|doubted| is_before(doubted, end)) {
            sender.doubted = Some(end);
        }
    }
    sender.ttl = sender.ttl.max(packet.ttl);
    let newer = |timestamp: &u32| sender.timestamp.is_none_or(|latest| is_before(latest, *timestamp));
    if let Some(timestamp) = options.timestamp.filter(newer) {
        sender.timestamp = Some(timestamp);
    }
    if flags & TcpHeader::ACK != 0 && receiver.doubted.is_some_and(|end| !is_before(ack, end)) {
        receiver.doubted = None;
    }
}

/// In the arithmetic of sequence numbers and timestamps.
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// What is in the headers besides what every segment has.
struct Options {
    timestamp: Option<u32>,
    /// Something that a receiver may throw the segment away for.
    unusual: bool,
}

impl Options {
    fn read(ip: &[u8]) -> Self {
        const TCP: u8 = 6;
        let nothing = Self { timestamp: None, unusual: true };
        let header = match (ip.first().copied(), ip.get(6).copied()) {
            (Some(0x45), _) => 20,
            (Some(0x60..=0x6f), Some(TCP)) => 40,
            _ => return nothing,
        };
        let length = ip.get(header + 12).map_or(0, |byte| usize::from(byte >> 4) * 4);
        let Some(mut options) = ip.get(header + 20..header + length) else { return nothing };
        let mut found = Self { timestamp: None, unusual: false };
        loop {
            options = match options {
                // The end, and padding.
                [0, ..] | [] => return found,
                [1, rest @ ..] => rest,
                [8, 10, a, b, c, d, _, _, _, _, rest @ ..] => {
                    found.timestamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                    rest
                }
                [kind, length, ..] if *length >= 2 => {
                    // Selective acknowledgements come with data when something was lost.
                    found.unusual |= *kind != 5;
                    options.get(usize::from(*length)..).unwrap_or_default()
                }
                _ => return nothing,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use daylight_packet::build::{self, Tcp};
    use daylight_packet::{Decoded, Decoder, LinkType};

    use super::*;

    const END: u32 = 1003;

    /// A connection that was opened with a time to live of 60 and a timestamp of 500 or none, and then this segment of the
    /// client's: is there doubt, and does an acknowledgement end it?
    fn doubt(timestamps: bool, change: impl FnOnce(&mut Tcp<'_>, &mut Vec<u8>) -> bool) -> bool {
        let options = |stamp: u32| {
            let bytes = [&[1, 1, 8, 10][..], &stamp.to_be_bytes(), &[0; 4]].concat();
            if timestamps { bytes } else { Vec::new() }
        };
        let mut sides = [Looks::default(); 2];
        let mut see = |from: usize, tcp: &Tcp<'_>, options: &[u8], caught_up| {
            let mut bytes = build::tcp(tcp);
            let v6 = tcp.source.is_ipv6();
            let header = if v6 { 40 } else { 20 };
            bytes.splice(header + 20..header + 20, options.iter().copied());
            bytes[header + 12] += (options.len() / 4 * 16) as u8;
            let length = if v6 { 4 } else { 2 };
            bytes[length + 1] += options.len() as u8;
            let decoded = Decoder::new().decode(LinkType::RAW, &bytes, 0, bytes.len() as u32);
            let Decoded::Packet(packet) = decoded else { panic!("{decoded:?}") };
            weigh(&mut sides, from, &packet, &bytes, caught_up);
            sides.iter().any(Looks::are_doubtful)
        };
        let open = Tcp { ttl: 60, seq: 999, ack: 5, flags: TcpHeader::SYN, ..Tcp::default() };
        assert!(!see(0, &open, &options(500), true));
        let answer = Tcp { flags: TcpHeader::SYN | TcpHeader::ACK, seq: 4, ack: 1000, ..open };
        assert!(!see(1, &answer, &options(7), true));
        let mut hello = Tcp { flags: TcpHeader::ACK, seq: 1000, payload: b"abc", ..open };
        let mut with = options(501);
        let caught_up = change(&mut hello, &mut with);
        let doubted = see(0, &hello, &with, caught_up);
        let plain = Tcp { flags: TcpHeader::ACK, seq: 5, ack: END - 1, ..open };
        assert_eq!(see(1, &plain, &options(8), true), doubted, "not all is acknowledged");
        // A SYN takes a number, too.
        let end = END + u32::from(hello.flags & TcpHeader::SYN != 0);
        assert!(!see(1, &Tcp { ack: end, ..plain }, &options(9), true));
        doubted
    }

    #[test]
    fn what_looks_like_the_segments_before_is_not_in_doubt() {
        for timestamps in [false, true] {
            assert!(!doubt(timestamps, |_, _| true));
            assert!(!doubt(timestamps, |tcp, _| {
                tcp.flags |= TcpHeader::PSH;
                tcp.ttl = 64;
                true
            }));
            // A selective acknowledgement.
            assert!(!doubt(timestamps, |_, options| {
                options.extend([1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
                true
            }));
        }
        assert!(!doubt(true, |_, options| {
            options[4..8].copy_from_slice(&500_u32.to_be_bytes());
            true
        }));
    }

    #[test]
    fn what_a_receiver_may_not_take_is_in_doubt() {
        for timestamps in [false, true] {
            assert!(doubt(timestamps, |tcp, _| {
                tcp.ttl = 59;
                true
            }));
            for flags in [0, TcpHeader::RST, TcpHeader::ACK | TcpHeader::SYN, TcpHeader::ACK | TcpHeader::FIN]
            {
                assert!(doubt(timestamps, |tcp, _| {
                    tcp.flags = flags;
                    true
                }));
            }
            assert!(doubt(timestamps, |_, _| false), "it acknowledges something else");
            // A signature (RFC 2385), of which the receiver knows nothing.
            assert!(doubt(timestamps, |_, options| {
                options.extend([1, 1, 19, 18]);
                options.extend([0; 16]);
                true
            }));
        }
        assert!(doubt(true, |_, options| {
            options[4..8].copy_from_slice(&499_u32.to_be_bytes());
            true
        }));
        assert!(doubt(true, |_, options| {
            options.clear();
            true
        }));
    }

    #[test]
    fn headers_that_cannot_be_read_are_unusual() {
        for bytes in [&b""[..], &[0x46; 60], &[0x45; 30], &[0x60; 60]] {
            assert!(Options::read(bytes).unusual);
        }
    }
}
