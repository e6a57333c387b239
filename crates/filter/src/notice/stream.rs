//! An answer within a TCP connection, in the server's place, and the end of the connection.

use std::net::SocketAddr;

use daylight_packet::build::{Tcp, tcp};
use daylight_packet::{Packet, TcpHeader};

use super::Notice;

/// Fits into any path's packets: IPv6's least MTU less both headers.
const SEGMENT_LEN_MAX: usize = 1220;

/// Packets that answer the request of which `packet` is the last, from the client to the server at `ends`: to the server a
/// reset, to the client the answer and the end of the stream. The packet itself must not reach the server. The reset goes
/// first: a client that has its answer may open another connection on the same ports at once, and the kernel takes it for a
/// new one only if it has seen the old one's end.
pub fn answer(ends: [SocketAddr; 2], packet: &Packet, answer: &[u8]) -> Vec<Notice> {
    let [client, server] = ends;
    let TcpHeader { seq, ack, window, flags } = packet.tcp;
    let length = packet.payload_wire_len + u32::from(flags & TcpHeader::FIN != 0);
    let mut notices = vec![reset(ends, packet)];
    let mut at = ack;
    let mut chunks = answer.chunks(SEGMENT_LEN_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let end = if chunks.peek().is_none() { TcpHeader::FIN } else { 0 };
        let flags = TcpHeader::ACK | TcpHeader::PSH | end;
        let header = TcpHeader { seq: at, ack: seq.wrapping_add(length), window, flags };
        notices.push(notice([server, client], header, chunk));
        at = at.wrapping_add(chunk.len() as u32);
    }
    notices
}

/// A reset that takes the place of `packet`, which was on its way from the first of `ends` to the second.
pub fn reset(ends: [SocketAddr; 2], packet: &Packet) -> Notice {
    let TcpHeader { seq, ack, .. } = packet.tcp;
    notice(ends, TcpHeader { seq, ack, window: 0, flags: TcpHeader::RST | TcpHeader::ACK }, b"")
}

/// Resets for both sides, after `packet` has gone from the first of `ends` to the second: each goes on where its receiver
/// stands then.
pub fn resets_after(ends: [SocketAddr; 2], packet: &Packet) -> [Notice; 2] {
    let TcpHeader { seq, ack, flags, .. } = packet.tcp;
    let marks = u32::from(flags & TcpHeader::SYN != 0) + u32::from(flags & TcpHeader::FIN != 0);
    let next = seq.wrapping_add(packet.payload_wire_len).wrapping_add(marks);
    let flags = TcpHeader::RST | TcpHeader::ACK;
    let [from, to] = ends;
    [
        notice([from, to], TcpHeader { seq: next, ack, window: 0, flags }, b""),
        notice([to, from], TcpHeader { seq: ack, ack: next, window: 0, flags }, b""),
    ]
}

fn notice(ends: [SocketAddr; 2], header: TcpHeader, payload: &[u8]) -> Notice {
    let [from, to] = ends;
    let TcpHeader { seq, ack, window, flags } = header;
    let packet = tcp(&Tcp {
        source: from.ip(),
        destination: to.ip(),
        source_port: from.port(),
        destination_port: to.port(),
        seq,
        ack,
        flags,
        window,
        payload,
        ..Tcp::default()
    });
    Notice { packet, to }
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
        let ends = ["192.0.2.1:40000", "198.51.100.7:80"].map(|end| end.parse().unwrap());
        let flags = TcpHeader::ACK | TcpHeader::PSH;
        let request = TcpHeader { seq: u32::MAX - 1, ack: 1000, window: 500, flags };
        let request = notice(ends, request, b"GET / HTTP/1.1\r\n\r\n");
        let answer = answer(ends, &decoded(&request.packet), &[b'x'; 3000]);
        assert_eq!(answer.len(), 4);
        let packets: Vec<Packet> = answer.iter().map(|notice| decoded(&notice.packet)).collect();
        assert_eq!(packets[1].tcp.ack, 16, "18 bytes after a sequence number that wraps");
        let seqs: Vec<u32> = packets[1..].iter().map(|packet| packet.tcp.seq).collect();
        assert_eq!(seqs, [1000, 2220, 3440]);
        let ends_stream: Vec<bool> = packets.iter().map(|p| p.tcp.flags & TcpHeader::FIN != 0).collect();
        assert_eq!(ends_stream, [false, false, false, true]);
        // Before the client can know of it, the server's end is reset.
        assert_eq!(
            (packets[0].tcp.seq, packets[0].tcp.flags),
            (u32::MAX - 1, TcpHeader::RST | TcpHeader::ACK)
        );
        assert_eq!((answer[1].to, answer[0].to), (ends[0], ends[1]));
        assert_ne!(packets[0].from_low, packets[1].from_low);
    }
}
