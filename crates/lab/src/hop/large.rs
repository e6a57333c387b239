//! Large frames: cut into what goes over a wire, and checksums completed.
//!
//! A sender's kernel hands TCP to a virtual interface in pieces of up to 64 KiB, with checksums left to be done. An observer
//! on a real wire sees segments, so wherever packets are looked at or counted, they are cut here as a network card would
//! (`Documentation/networking/segmentation-offloads.rst` of Linux).

use daylight_capture::raw_socket::{Offload, RawFrame};

use crate::adversary::packet::{ETHERNET_BYTES, Packet, Transport};
use daylight_packet::build::{fold, ones_sum};

/// Cuts a large frame; gives it back as it is if it is not one, or none that is known.
pub fn cut(frame: RawFrame) -> Vec<RawFrame> {
    let size = usize::from(frame.offload.gso_bytes);
    let pieces = if frame.offload.is_large() && size > 0 { headers(&frame) } else { None };
    let Some((ip_at, transport_at, payload_at, tcp)) = pieces else { return vec![frame] };
    let (head, payload) = frame.bytes.split_at(payload_at);
    let count = payload.len().div_ceil(size);
    if count < 2 {
        let offload = Offload { gso_type: Offload::GSO_NONE, gso_bytes: 0, ..frame.offload };
        return vec![RawFrame { offload, bytes: frame.bytes }];
    }
    payload
        .chunks(size)
        .enumerate()
        .map(|(i, data)| {
            let mut bytes = Vec::with_capacity(head.len() + data.len());
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(data);
            if tcp {
                let advance = u32::try_from(i * size).unwrap_or(0);
                adjust_tcp(&mut bytes[transport_at..], advance, i == 0, i + 1 == count);
            } else {
                let len = u16::try_from(bytes.len() - transport_at).unwrap_or(u16::MAX);
                bytes[transport_at + 4..transport_at + 6].copy_from_slice(&len.to_be_bytes());
            }
            adjust_ip(&mut bytes[ip_at..], u16::try_from(i).unwrap_or(u16::MAX));
            let mut offload = Offload {
                flags: Offload::NEEDS_CHECKSUM,
                header_bytes: u16::try_from(payload_at).unwrap_or(0),
                checksum_start: u16::try_from(transport_at).unwrap_or(0),
                checksum_offset: if tcp { 16 } else { 6 },
                ..Offload::default()
            };
            pseudo(&mut bytes, ip_at, &mut offload);
            RawFrame { offload, bytes }
        })
        .collect()
}

/// Where the IP header, the transport header and the payload begin, and whether it is TCP.
fn headers(frame: &RawFrame) -> Option<(usize, usize, usize, bool)> {
    let packet = Packet::from_frame(&frame.bytes)?;
    let payload = match &packet.transport {
        Transport::Tcp(segment) => segment.payload,
        Transport::Udp(datagram) => datagram.payload,
        Transport::Other => return None,
    };
    // Ethernet may have padded a short frame, but no large one.
    let payload_at = frame.bytes.len().checked_sub(payload.len())?;
    let transport_at = ETHERNET_BYTES + packet.header_bytes;
    Some((ETHERNET_BYTES, transport_at, payload_at, matches!(packet.transport, Transport::Tcp(_))))
}

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

fn adjust_tcp(header: &mut [u8], advance: u32, first: bool, last: bool) {
    if let Some(seq) = header.first_chunk_mut::<8>().and_then(|h| h.last_chunk_mut::<4>()) {
        *seq = u32::from_be_bytes(*seq).wrapping_add(advance).to_be_bytes();
    }
    if let Some(flags) = header.get_mut(13) {
        if !first {
            *flags &= !CWR;
        }
        if !last {
            *flags &= !FIN_PSH;
        }
    }
}

/// Length, identification and header checksum.
fn adjust_ip(packet: &mut [u8], nth: u16) {
    let len = packet.len();
    if packet.first().is_some_and(|b| b >> 4 == 6) {
        let payload = u16::try_from(len.saturating_sub(40)).unwrap_or(u16::MAX);
        packet[4..6].copy_from_slice(&payload.to_be_bytes());
        return;
    }
    let header_len = usize::from(packet[0] & 15) * 4;
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(nth);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[10..12].fill(0);
    let sum = fold(ones_sum(0, &packet[..header_len.min(len)]));
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
}

/// Puts the sum over the pseudo-header where the checksum goes: whoever receives the frame knows the rest is owed.
fn pseudo(bytes: &mut [u8], ip_at: usize, offload: &mut Offload) {
    let start = usize::from(offload.checksum_start);
    let at = start + usize::from(offload.checksum_offset);
    let len = u32::try_from(bytes.len() - start).unwrap_or(0);
    let protocol = if offload.checksum_offset == 16 { 6_u32 } else { 17 };
    let addresses = match bytes[ip_at] >> 4 {
        6 => ip_at + 8..ip_at + 40,
        _ => ip_at + 12..ip_at + 20,
    };
    let sum = ones_sum(u64::from(len + protocol), &bytes[addresses]);
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&fold(sum).to_be_bytes());
    } else {
        offload.flags = 0;
    }
}

/// Completes a checksum that is owed, so that the bytes are what a wire would carry. A large frame gets the one of a packet
/// of that size.
pub fn complete(frame: &mut RawFrame) {
    if frame.offload.flags & Offload::NEEDS_CHECKSUM == 0 {
        return;
    }
    let start = usize::from(frame.offload.checksum_start);
    let at = start + usize::from(frame.offload.checksum_offset);
    if at + 2 > frame.bytes.len() {
        return;
    }
    let mut checksum = !fold(ones_sum(0, &frame.bytes[start..]));
    // RFC 768: a UDP checksum of zero is sent as all ones.
    if checksum == 0 && frame.offload.checksum_offset == 6 {
        checksum = 0xffff;
    }
    frame.bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    frame.offload = Offload::default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::packet::checksums_hold;
    use daylight_packet::build::{self, Tcp};
    use std::net::IpAddr;

    fn large(addresses: [&str; 2], payload: usize) -> RawFrame {
        let [source, destination] = addresses.map(|a| a.parse::<IpAddr>().unwrap());
        let data: Vec<u8> = (0..payload).map(|i| (i * 7) as u8).collect();
        let ip = build::tcp(&Tcp {
            source,
            destination,
            source_port: 5,
            destination_port: 80,
            seq: u32::MAX - 1000,
            ack: 9,
            flags: 0x99,
            payload: &data,
            ip_id: 100,
            ..Tcp::default()
        });
        let kind: u16 = if source.is_ipv4() { 0x0800 } else { 0x86dd };
        let bytes = [&[2; 12][..], &kind.to_be_bytes(), &ip].concat();
        let offload = Offload { gso_type: 1, gso_bytes: 1448, ..Offload::default() };
        RawFrame { offload, bytes }
    }

    #[test]
    fn segments_are_what_a_card_would_send() {
        for addresses in [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]] {
            let whole = large(addresses, 5000);
            let data = whole.bytes[whole.bytes.len() - 5000..].to_vec();
            let pieces = cut(whole);
            assert_eq!(pieces.len(), 4);
            let mut payload = Vec::new();
            for (i, mut piece) in pieces.into_iter().enumerate() {
                complete(&mut piece);
                let packet = Packet::from_frame(&piece.bytes).unwrap();
                assert!(checksums_hold(packet.ip), "{addresses:?} {i}");
                let Transport::Tcp(segment) = packet.transport else { panic!("not TCP") };
                assert_eq!(segment.seq, (u32::MAX - 1000).wrapping_add(i as u32 * 1448));
                // CWR on the first only; PSH and FIN on the last only.
                assert_eq!(segment.flags, [0x90, 0x10, 0x10, 0x19][i]);
                if packet.source.is_ipv4() {
                    assert_eq!(packet.ip_id, Some(100 + i as u16));
                }
                payload.extend_from_slice(segment.payload);
            }
            assert_eq!(payload, data);
        }
    }

    #[test]
    fn datagrams_of_one_call_become_datagrams_again() {
        for address in ["10.0.0.1", "fd00::1"] {
            let address: IpAddr = address.parse().unwrap();
            let data: Vec<u8> = (0..2900).map(|i| (i * 3) as u8).collect();
            let ip = build::udp(address, address, [5, 443], &build::Stamp::default(), &data);
            let kind: u16 = if address.is_ipv4() { 0x0800 } else { 0x86dd };
            let bytes = [&[2; 12][..], &kind.to_be_bytes(), &ip].concat();
            let offload = Offload { gso_type: Offload::GSO_UDP_L4, gso_bytes: 1200, ..Offload::default() };
            let mut payload = Vec::new();
            for (i, mut piece) in cut(RawFrame { offload, bytes }).into_iter().enumerate() {
                complete(&mut piece);
                let packet = Packet::from_frame(&piece.bytes).unwrap();
                assert!(checksums_hold(packet.ip), "{address} {i}");
                let datagram = packet.udp().unwrap();
                assert_eq!((datagram.ports, datagram.payload.len()), ([5, 443], [1200, 1200, 500][i]));
                payload.extend_from_slice(datagram.payload);
            }
            assert_eq!(payload, data);
        }
    }

    #[test]
    fn what_is_not_large_is_left_alone() {
        let mut frame = large(["10.0.0.1", "10.0.0.2"], 100);
        frame.offload.gso_type = 0;
        assert_eq!(cut(frame.clone()), [frame]);
        let odd = RawFrame {
            offload: Offload { gso_type: 1, gso_bytes: 9, ..Default::default() },
            bytes: vec![1; 90],
        };
        assert_eq!(cut(odd.clone()), [odd]);
    }
}
