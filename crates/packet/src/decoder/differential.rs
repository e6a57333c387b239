//! Properties: the decoder agrees with etherparse, the straight path with the walk, and nothing makes it panic.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::build;
use super::*;
use crate::TransportKind;

/// What the decoder's view must come to.
#[derive(Debug, PartialEq)]
struct View {
    source: (std::net::IpAddr, u16),
    destination: (std::net::IpAddr, u16),
    protocol: u8,
    payload: Vec<u8>,
    seq: u32,
    vlan: u32,
}

fn view(packet: &Packet, bytes: &[u8]) -> View {
    let end = |end: usize| (packet.key.address(end), packet.key.ports[end]);
    let (source, destination) = if packet.from_low { (end(0), end(1)) } else { (end(1), end(0)) };
    let payload = bytes[packet.payload_offset as usize..][..packet.payload_len as usize].to_vec();
    View {
        source,
        destination,
        protocol: packet.key.protocol,
        payload,
        seq: packet.tcp.seq,
        vlan: packet.key.vlan,
    }
}

fn their_view(bytes: &[u8]) -> Option<View> {
    let sliced = SlicedPacket::from_ethernet(bytes).ok()?;
    let vlan = sliced.vlan_ids().iter().fold(0, |vlan, id| vlan << 12 | u32::from(id.value()));
    let (source, destination): (std::net::IpAddr, std::net::IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        _ => return None,
    };
    let (ports, protocol, payload, seq) = match sliced.transport? {
        TransportSlice::Tcp(tcp) => (
            (tcp.source_port(), tcp.destination_port()),
            TransportKind::TCP,
            tcp.payload().to_vec(),
            tcp.sequence_number(),
        ),
        TransportSlice::Udp(udp) => {
            ((udp.source_port(), udp.destination_port()), TransportKind::UDP, udp.payload().to_vec(), 0)
        }
        _ => return None,
    };
    Some(View {
        source: (source, ports.0),
        destination: (destination, ports.1),
        protocol,
        payload,
        seq,
        vlan,
    })
}

/// Ports that are no tunnel's.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![1_u16..1700, 20000_u16..30000]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ip = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| (source.to_vec(), destination.to_vec())),
        any::<([u8; 16], [u8; 16])>()
            .prop_map(|(source, destination)| (source.to_vec(), destination.to_vec())),
    ];
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    (ip, 0_usize..3, any::<bool>(), port(), port(), any::<u32>(), payload, 0_usize..4, 0_usize..8).prop_map(
        |((source, destination), tags, is_tcp, from, to, seq, payload, options, padding)| {
            let start = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let id = |id: u16| etherparse::VlanId::try_new(id).unwrap();
            let mut bytes = Vec::new();
            macro_rules! finish {
                ($step:expr) => {{
                    let step = if let Ok(source) = <[u8; 4]>::try_from(&source[..]) {
                        $step.ipv4(source, destination.clone().try_into().unwrap(), 64)
                    } else {
                        $step.ipv6(
                            source.clone().try_into().unwrap(),
                            destination.clone().try_into().unwrap(),
                            64,
                        )
                    };
                    if is_tcp {
                        let noops = vec![1; options * 4];
                        let step = step.tcp(from, to, seq, 1000).ack(1).options_raw(&noops).unwrap();
                        step.write(&mut bytes, &payload).unwrap();
                    } else {
                        step.udp(from, to).write(&mut bytes, &payload).unwrap();
                    }
                }};
            }
            match tags {
                0 => finish!(start),
                1 => finish!(start.single_vlan(id(77))),
                _ => finish!(start.double_vlan(id(7), id(99))),
            }
            bytes.extend(vec![0; padding]);
            bytes
        },
    )
}

fn link() -> impl Strategy<Value = LinkType> {
    let known: Vec<_> = (0..300).map(LinkType).filter(|link| link.name().is_some()).collect();
    prop::sample::select(known)
}

proptest! {
    #[test]
    fn agrees_with_etherparse(bytes in frame()) {
        let decoded = Decoder::new().decode(LinkType::ETHERNET, &bytes, 0, bytes.len() as u32);
        let Decoded::Packet(packet) = decoded else { panic!("{decoded:?}") };
        prop_assert_eq!(Some(view(&packet, &bytes)), their_view(&bytes));
        prop_assert_eq!(packet.issues, crate::Issues::default());
    }

    /// Also where bytes were changed: if etherparse reads a TCP or UDP packet, and the decoder did not see a tunnel or
    /// something odd about it, they read the same.
    #[test]
    fn agrees_with_etherparse_on_damaged_frames(
        mut bytes in frame(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        for (index, value) in damage {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        let decoded = Decoder::new().decode(LinkType::ETHERNET, &bytes, 0, bytes.len() as u32);
        if let (Decoded::Packet(packet), Some(theirs)) = (decoded, their_view(&bytes))
            && packet.key.tunnel == 0
            && packet.issues.0 & !crate::Issues::TCP_FLAGS.0 == 0
            && (theirs.protocol == TransportKind::TCP || theirs.protocol == TransportKind::UDP)
        {
            let mut ours = view(&packet, &bytes);
            ours.vlan = theirs.vlan;
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn straight_path_agrees_with_walk(
        mut bytes in frame(),
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        verify_checksums: bool,
    ) {
        let wire_len = bytes.len() as u32;
        bytes.truncate(cut.index(bytes.len()) + 1);
        for (index, value) in damage {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        let decoder = Decoder { verify_checksums };
        let (mut straight, mut walked) = (Packet::default(), Packet::default());
        let kind = decoder.decode_into(LinkType::ETHERNET, &bytes, 5, wire_len, &mut straight);
        prop_assert_eq!(kind, decoder.walk_into(LinkType::ETHERNET, &bytes, 5, wire_len, &mut walked));
        if kind == FrameKind::Packet {
            prop_assert_eq!(straight, walked);
        }
    }

    #[test]
    fn any_bytes_under_any_link_type(
        link in link(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        more in 0_u32..2000,
    ) {
        check_invariants(link, &bytes, bytes.len() as u32 + more);
    }

    /// Bytes that get further: a UDP packet on a tunnel's port, or an IP packet of a tunnel's protocol.
    #[test]
    fn any_bytes_in_tunnels(
        payload in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(8), Just(0x45)], 0..120),
        port in prop::sample::select(vec![1701, 2152, 3544, 4789, 5247, 6081, 8472, 37008]),
        protocol in prop::sample::select(vec![4_u8, 17, 41, 47, 97, 115, 137, 44, 0, 51]),
        v6: bool,
    ) {
        let payload = if protocol == 17 { build::udp(port, port, &payload) } else { payload };
        let bytes = if v6 { build::ipv6(protocol, &payload) } else { build::ipv4(protocol, &payload) };
        check_invariants(LinkType::RAW, &bytes, bytes.len() as u32);
    }
}

fn check_invariants(link: LinkType, bytes: &[u8], wire_len: u32) {
    let decoder = Decoder { verify_checksums: true };
    if let Decoded::Packet(packet) = decoder.decode(link, bytes, 0, wire_len) {
        assert!((packet.payload_offset + packet.payload_len) as usize <= bytes.len());
        assert!(packet.payload_wire_len >= packet.payload_len);
        assert!(packet.ip_len <= packet.frame_len);
        assert!(packet.frame_len >= wire_len);
        let low = (packet.key.addresses[0], packet.key.ports[0]);
        assert!(low <= (packet.key.addresses[1], packet.key.ports[1]));
        assert_eq!(packet.key.reserved, 0);
    }
    decoder.tunnels(link, bytes, wire_len);
}
