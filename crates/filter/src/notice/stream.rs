//! An answer within a TCP connection, in the server's place, and the end of the connection.

use daylight_packet::build::{IpEnds, tcp};
use daylight_packet::{Packet, TcpHeader};

use super::Notice;

/// Fits into any path's packets: IPv6's least MTU less both headers.
const SEGMENT_LEN_MAX: usize = 1220;

/// Packets that answer the request of which `packet` is the last, from the client at `ends.src` to the server at
/// `ends.dst`: to the client the answer and the end of the stream, to the server a reset. The packet itself must not
/// reach the server.
pub fn answer(ends: &IpEnds, packet: &Packet, answer: &[u8]) -> Vec<Notice> {
    let TcpHeader { seq, ack, window, flags } = packet.tcp;
    let length = packet.payload_wire_len + u32::from(flags & TcpHeader::FIN != 0);
    let to_client = ends.reversed();
    let mut notices = Vec::new();
    let mut send = |ends: &IpEnds, header: &TcpHeader, bytes: &[u8]| {
        notices.extend(tcp(ends, header, bytes).map(|packet| Notice { packet, to: ends.dst }));
    };
    let mut at = ack;
    let mut chunks = answer.chunks(SEGMENT_LEN_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let end = if chunks.peek().is_none() { TcpHeader::FIN } else { 0 };
        let flags = TcpHeader::ACK | TcpHeader::PSH | end;
        let header = TcpHeader { seq: at, ack: seq.wrapping_add(length), window, flags };
        send(&to_client, &header, chunk);
        at = at.wrapping_add(chunk.len() as u32);
    }
    notices.extend(reset(ends, packet));
    notices
}

/// A reset that takes the place of `packet`, for the one at `ends.dst` to whom it was on its way.
pub fn reset(ends: &IpEnds, packet: &Packet) -> Option<Notice> {
    let TcpHeader { seq, ack, .. } = packet.tcp;
    let header = TcpHeader { seq, ack, window: 0, flags: TcpHeader::RST | TcpHeader::ACK };
    tcp(ends, &header, b"").map(|packet| Notice { packet, to: ends.dst })
}

#[cfg(test)]
mod tests {
    use daylight_packet::{Decoded, Decoder, LinkType};

    use super::*;

    fn decoded(packet: &[u8]) -> Packet {
        match (Decoder { verify_checksums: true }).decode(LinkType::RAW, packet, 0, packet.len() as u32) {
            Decoded::Packet(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn goes_on_where_the_streams_are() {
        let ends = IpEnds::new("192.0.2.1:40000".parse().unwrap(), "198.51.100.7:80".parse().unwrap());
        let flags = TcpHeader::ACK | TcpHeader::PSH;
        let request = TcpHeader { seq: u32::MAX - 1, ack: 1000, window: 500, flags };
        let request = tcp(&ends, &request, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let answer = answer(&ends, &decoded(&request), &[b'x'; 3000]);
        assert_eq!(answer.len(), 4);
        let packets: Vec<Packet> = answer.iter().map(|notice| decoded(&notice.packet)).collect();
        assert_eq!(packets[0].tcp.ack, 16, "18 bytes after a sequence number that wraps");
        let seqs: Vec<u32> = packets[..3].iter().map(|packet| packet.tcp.seq).collect();
        assert_eq!(seqs, [1000, 2220, 3440]);
        let ends_stream: Vec<bool> = packets.iter().map(|p| p.tcp.flags & TcpHeader::FIN != 0).collect();
        assert_eq!(ends_stream, [false, false, true, false]);
        assert_eq!(
            (packets[3].tcp.seq, packets[3].tcp.flags),
            (u32::MAX - 1, TcpHeader::RST | TcpHeader::ACK)
        );
        assert_eq!((answer[0].to, answer[3].to), (ends.src, ends.dst));
        assert_ne!(packets[3].from_low, packets[0].from_low);
    }
}
