//! Names in fragments of packets, and behind extension headers and options of IP.

use super::dns::{ask, query};
use super::tls;
use super::{NAMES, each};
use crate::filtering::{policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::raw::Wire;

/// A whole IP packet as others.
type Pack = fn(&[u8]) -> Vec<Vec<u8>>;

const fn is_v6(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6
}

/// A packet in fragments of so many bytes each, which must be a multiple of 8.
pub(super) fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, body) = packet.split_at(if is_v6(packet) { 40 } else { usize::from(packet[0] & 15) * 4 });
    let pieces = body.chunks(size).enumerate();
    let fragment = |(i, piece): (usize, &[u8])| {
        let (at, more) = (i * size, (i + 1) * size < body.len());
        let mut header = header.to_vec();
        if is_v6(packet) {
            let place = (at as u16 | u16::from(more)).to_be_bytes();
            let extension =
                [header[6], 0, place[0], place[1], 0x12, 0x34, packet[packet.len() - 1], packet[41]];
            header[6] = 44;
            header[4..6].copy_from_slice(&((piece.len() + 8) as u16).to_be_bytes());
            [&header[..], &extension, piece].concat()
        } else {
            let place = ((at / 8) as u16 | (u16::from(more) << 13)).to_be_bytes();
            let length = (header.len() + piece.len()) as u16;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            header[6..8].copy_from_slice(&place);
            [&with_sum(header)[..], piece].concat()
        }
    };
    pieces.map(fragment).collect()
}

/// An IPv4 header with its checksum.
fn with_sum(mut header: Vec<u8>) -> Vec<u8> {
    header[10..12].fill(0);
    let sum = !daylight_packet::build::fold(daylight_packet::build::ones_sum(0, &header));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// With an extension header of this kind that holds nothing but padding; IPv4 gets options of the same sort.
fn extended(packet: &[u8], kind: u8) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if is_v6(&packet) {
        let extension = [packet[6], 0, 1, 4, 0, 0, 0, 0];
        packet[6] = kind;
        let length = u16::from_be_bytes([packet[4], packet[5]]) + 8;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        packet.splice(40..40, extension);
        return packet;
    }
    let header = usize::from(packet[0] & 15) * 4;
    let length = u16::from_be_bytes([packet[2], packet[3]]) + 4;
    packet[0] += 1;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.splice(header..header, [1, 1, 1, 0]);
    let header = with_sum(packet[..header + 4].to_vec());
    packet[..header.len()].copy_from_slice(&header);
    packet
}

const HOP_BY_HOP: u8 = 0;
const DESTINATION: u8 = 60;

fn backwards(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    packets.reverse();
    packets
}

#[rustfmt::skip]
const PACKS: &[(&str, Pack)] = &[
    ("two fragments", |packet| fragments(packet, 24)),
    ("the second first", |packet| backwards(fragments(packet, 24))),
    ("tiny fragments", |packet| fragments(packet, 8)),
    ("tiny fragments, backwards", |packet| backwards(fragments(packet, 8))),
    ("tiny fragments, twice", |packet| {
        let packets = fragments(packet, 8);
        [&packets[..packets.len() - 1], &packets].concat()
    }),
    ("a fragment that is all", |packet| fragments(packet, 2000)),
    ("hop-by-hop options", |packet| vec![extended(packet, HOP_BY_HOP)]),
    ("destination options", |packet| vec![extended(packet, DESTINATION)]),
    ("both kinds of options", |packet| vec![extended(&extended(packet, DESTINATION), HOP_BY_HOP)]),
    ("options in fragments", |packet| fragments(&extended(packet, DESTINATION), 16)),
];

#[test]
fn of_packets() {
    let needed = ["nginx", "openssl", "dnsmasq", "ss", "ping"];
    if !have(&needed) || !entered("evasion::fragments::of_packets") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("questions", "dns && hostname == \"blocked.example.org\"", "reject")
        + &rule("names", "tls && hostname == \"blocked.example.org\"", "drop");
    with_filter(&net, &policy(&rules), |filter| {
        let packs = || PACKS.iter().map(|(name, pack)| (*name, *pack));
        each(packs(), &wires, |wire, pack, name| {
            ask(filter, wire, name, |port| pack(&wire.udp([port, 53], &query(name))))
        });
        each(packs(), &wires, |wire: &Wire, pack, name| {
            tls::play(filter, wire, 0, name, |stream, hello, _| {
                let packets: Vec<_> = hello
                    .chunks(100)
                    .enumerate()
                    .flat_map(|(i, piece)| pack(&stream.segment(i * 100, piece)))
                    .collect();
                stream.transmit(&packets);
            })
        });
    });
    assert_eq!(NAMES[0], "blocked.example.org");
}
