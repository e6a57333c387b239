//! Every link type, tag and tunnel, and what is odd or broken.

use super::build::*;
use super::*;
use crate::{Issues, Packet, TcpHeader, TunnelKind};

fn decode(link: LinkType, bytes: &[u8]) -> Decoded {
    Decoder::new().decode(link, bytes, 7, bytes.len() as u32)
}

#[track_caller]
fn packet(link: LinkType, bytes: &[u8]) -> Packet {
    match decode(link, bytes) {
        Decoded::Packet(packet) => packet,
        other => panic!("{other:?} of {bytes:02x?}"),
    }
}

fn payload<'a>(packet: &Packet, bytes: &'a [u8]) -> &'a [u8] {
    &bytes[packet.payload_offset as usize..][..packet.payload_len as usize]
}

/// Decodes a frame that holds `inner()` and checks that, and the tunnels it was in.
#[track_caller]
fn holds_inner(link: LinkType, bytes: &[u8], tunnels: &str) -> Packet {
    let packet = packet(link, bytes);
    assert_eq!(packet.key.protocol, 6);
    assert_eq!(packet.key.ports, [40000, 443]);
    assert_eq!(packet.key.address(0).to_string(), "10.0.0.1");
    assert_eq!(packet.key.address(1).to_string(), "192.0.2.9");
    assert!(packet.from_low);
    assert_eq!(payload(&packet, bytes), b"hello");
    assert_eq!(packet.payload_wire_len, 5);
    assert_eq!(packet.ip_len, 45);
    assert_eq!(packet.issues, Issues::default());
    assert_eq!(packet.tcp.seq, 0x0102_0304);
    assert_eq!(Decoder::new().tunnels(link, bytes, bytes.len() as u32).to_string(), tunnels);
    packet
}

/// The outer UDP packet in Ethernet.
fn in_udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4_between([1, 1, 1, 1], [2, 2, 2, 2], 17, &udp(source, destination, payload)))
}

#[track_caller]
fn is_plain_udp(bytes: &[u8], ports: [u16; 2]) {
    let packet = packet(LinkType::ETHERNET, bytes);
    assert_eq!((packet.key.protocol, packet.key.ports, packet.key.tunnel), (17, ports, 0));
    assert!(Decoder::new().tunnels(LinkType::ETHERNET, bytes, bytes.len() as u32).is_empty());
}

#[test]
fn ethernet_with_padding() {
    let mut frame = ethernet(0x0800, &inner());
    frame.extend([0; 9]);
    let packet = holds_inner(LinkType::ETHERNET, &frame, "");
    assert_eq!((packet.frame_len, packet.ts_ns, packet.ttl, packet.tcp.flags), (68, 7, 64, 0x18));
    assert_eq!((packet.key.vlan, packet.key.tunnel), (0, 0));
}

#[test]
fn padding_that_ip_counts_as_payload() {
    let payload_len = |flags: u8, payload: &[u8]| {
        let mut segment = tcp(40000, 443, payload);
        segment[13] = flags;
        packet(LinkType::ETHERNET, &ethernet(0x0800, &ipv4(6, &segment))).payload_len
    };
    assert_eq!(payload_len(TcpHeader::ACK, &[0; 6]), 0);
    assert_eq!(payload_len(TcpHeader::ACK, &[0; 2]), 0);
    // Pushed, not only zeros, more than fills a short frame.
    assert_eq!(payload_len(TcpHeader::ACK | TcpHeader::PSH, &[0; 2]), 2);
    assert_eq!(payload_len(TcpHeader::ACK, &[0, 1]), 2);
    assert_eq!(payload_len(TcpHeader::ACK, &[0; 7]), 7);
    // Does not fill it.
    for n in [1, 3, 4, 5] {
        assert_eq!(payload_len(TcpHeader::ACK, &vec![0; n]), n as u32);
    }
}

#[test]
fn both_directions_have_one_key() {
    let there = packet(LinkType::RAW, &ipv4_between(SERVER, CLIENT, 6, &tcp(443, 40000, b"")));
    let back = packet(LinkType::RAW, &inner());
    assert_eq!(there.key, back.key);
    assert!(!there.from_low && back.from_low);
}

#[test]
fn link_types() {
    let ip = inner();
    let six = ipv6(17, &udp(5353, 5353, b"x"));
    for link in [LinkType::RAW, LinkType::RAW_12, LinkType::RAW_14, LinkType::IPV4] {
        holds_inner(link, &ip, "");
    }
    assert_eq!(packet(LinkType::IPV6, &six).key.ip_version, 6);
    assert_eq!(packet(LinkType::RAW, &six).key.ports, [5353, 5353]);
    holds_inner(LinkType::NULL, &join(&[2, 0, 0, 0], &ip), "");
    holds_inner(LinkType::NULL, &join(&[0, 0, 0, 2], &ip), "");
    holds_inner(LinkType::LOOP, &join(&[0, 0, 0, 2], &ip), "");
    assert_eq!(packet(LinkType::NULL, &join(&[30, 0, 0, 0], &six)).key.ip_version, 6);
    let sll = [0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
    holds_inner(LinkType::LINUX_SLL, &join(&sll, &ip), "");
    let sll2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0];
    holds_inner(LinkType::LINUX_SLL2, &join(&sll2, &ip), "");
    holds_inner(LinkType::PPP, &join(&[0xff, 3, 0, 0x21], &ip), "");
    holds_inner(LinkType::PPP, &join(&[0x21], &ip), "");
    holds_inner(LinkType::PPP_HDLC, &join(&[0x0f, 0, 8, 0], &ip), "");
    holds_inner(LinkType::PPP_PPPD, &join(&[1, 3, 0, 0x21], &ip), "");
    holds_inner(LinkType::PPP_ETHER, &join(&[0x11, 0, 0, 9, 0, 47, 0, 0x21], &ip), "pppoe:9");
    holds_inner(LinkType::CISCO_HDLC, &join(&[0x8f, 0, 8, 0], &ip), "");
    let snap = join(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip);
    holds_inner(LinkType::ETHERNET, &ethernet(snap.len() as u16, &snap), "");
    holds_inner(LinkType::ETHERNET, &ethernet(48, &join(&[6, 6, 3], &ip)), "");
}

#[test]
fn nflog_in_both_byte_orders() {
    let mut message = vec![2, 0, 0, 30, 8, 0, 1, 0, 8, 0, 1, 3, 5, 0, 10, 0, 0, 0, 0, 0];
    message.extend([49, 0, 9, 0]);
    message.extend(inner());
    holds_inner(LinkType::NFLOG, &message, "");
    let mut message = vec![2, 0, 0, 30, 0, 8, 0, 1, 8, 0, 1, 3, 0, 49, 0, 9];
    message.extend(inner());
    holds_inner(LinkType::NFLOG, &message, "");
}

fn wlan(control: [u8; 2], extra: &[u8]) -> Vec<u8> {
    let mut frame = control.to_vec();
    frame.extend([0; 22]);
    frame.extend(extra);
    frame
}

#[test]
fn wlan_data_frames() {
    let body = join(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner());
    let plain = join(&wlan([0x08, 0x01], &[]), &body);
    holds_inner(LinkType::IEEE802_11, &plain, "");
    holds_inner(LinkType::IEEE802_11, &join(&wlan([0x08, 0x03], &[0; 6]), &body), "");
    holds_inner(LinkType::IEEE802_11, &join(&wlan([0x88, 0x01], &[0, 0]), &body), "");
    holds_inner(LinkType::IEEE802_11, &join(&wlan([0x88, 0x83], &[0; 12]), &body), "");
    // A-MSDU: the first subframe, then another that must not count as payload.
    let mut aggregate = wlan([0x88, 0x01], &[0x80, 0]);
    aggregate.extend([0; 12]);
    aggregate.extend((body.len() as u16).to_be_bytes());
    aggregate.extend(&body);
    aggregate.extend([0x55; 40]);
    holds_inner(LinkType::IEEE802_11, &aggregate, "");
    assert_eq!(decode(LinkType::IEEE802_11, &join(&wlan([0x08, 0x41], &[]), &body)), Decoded::NotIp);
    assert_eq!(decode(LinkType::IEEE802_11, &join(&wlan([0x80, 0x00], &[]), &body)), Decoded::NotIp);
    assert_eq!(decode(LinkType::IEEE802_11, &join(&wlan([0x48, 0x00], &[]), &body)), Decoded::NotIp);

    // Radiotap with a second presence word, timestamp, flags (padding after the 26-byte header).
    let mut radiotap = vec![0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0];
    radiotap.extend([9; 8]);
    radiotap.push(0x20);
    let padded = join(&wlan([0x88, 0x01], &[0, 0, 0xee, 0xee]), &body);
    holds_inner(LinkType::RADIOTAP, &join(&radiotap, &padded), "");
    holds_inner(LinkType::RADIOTAP, &join(&[0, 0, 8, 0, 0, 0, 0, 0], &plain), "");
    holds_inner(LinkType::AVS, &join(&[0x80, 0x21, 0x10, 1, 0, 0, 0, 12, 1, 1, 1, 1], &plain), "");
    holds_inner(LinkType::PRISM, &join(&[0, 0, 0, 0x44, 12, 0, 0, 0, 1, 1, 1, 1], &plain), "");
    holds_inner(LinkType::PPI, &join(&[0, 0, 8, 0, 105, 0, 0, 0], &plain), "");
    holds_inner(LinkType::PPI, &join(&[0, 0, 8, 0, 1, 0, 0, 0], &ethernet(0x800, &inner())), "");
    assert_eq!(decode(LinkType::PPI, &join(&[0, 0, 8, 0, 192, 0, 0, 0], &plain)), Decoded::Broken);
}

#[test]
fn vlan_tags() {
    let one = ethernet(0x8100, &join(&[0x60, 10, 8, 0], &inner()));
    assert_eq!(holds_inner(LinkType::ETHERNET, &one, "vlan:10").key.vlan, 10);
    let two = ethernet(0x88a8, &join(&[0, 7, 0x81, 0, 0x60, 10, 8, 0], &inner()));
    let packet = holds_inner(LinkType::ETHERNET, &two, "vlan:7/vlan:10");
    assert_eq!((packet.key.vlan, packet.key.tunnel), (7 << 12 | 10, 0));
    // As many as are followed, and one more.
    let tags = |count: usize| {
        ethernet(0x8100, &join(&[[0, 5, 0x81, 0].repeat(count - 1), vec![0, 5, 8, 0]].concat(), &inner()))
    };
    holds_inner(LinkType::ETHERNET, &tags(8), &["vlan:5"; 8].join("/"));
    assert_eq!(decode(LinkType::ETHERNET, &tags(9)), Decoded::Broken);
}

#[test]
fn mpls() {
    let labels = [0, 1, 0, 64, 0, 1, 0x11, 64];
    let frame = ethernet(0x8847, &join(&labels, &inner()));
    let packet = holds_inner(LinkType::ETHERNET, &frame, "mpls:16/mpls:17");
    assert_eq!(packet.key.tunnel, 0, "labels are not part of a flow's identity");
    let label = [0, 1, 1, 64];
    let pseudo_wire = ethernet(0x800, &inner());
    let frame = ethernet(0x8847, &[&label, &[0, 0, 0, 1][..], &pseudo_wire].concat());
    holds_inner(LinkType::ETHERNET, &frame, "mpls:16");
    holds_inner(LinkType::ETHERNET, &ethernet(0x8847, &join(&label, &pseudo_wire)), "mpls:16");
    let mut frame = ethernet(0x8847, &join(&label, &pseudo_wire));
    frame[18] = 0x45; // a MAC address that begins like IPv4
    holds_inner(LinkType::ETHERNET, &frame, "mpls:16");
    assert_eq!(decode(LinkType::ETHERNET, &ethernet(0x8847, &[0, 1, 0, 64].repeat(20))), Decoded::Broken);
}

#[test]
fn pppoe() {
    let frame = ethernet(0x8864, &join(&[0x11, 0, 0x12, 0x34, 0, 47, 0, 0x21], &inner()));
    assert_ne!(holds_inner(LinkType::ETHERNET, &frame, "pppoe:4660").key.tunnel, 0);
    let echo = ethernet(0x8864, &[0x11, 0, 0x12, 0x34, 0, 6, 0xc0, 0x21, 9, 1, 0, 4]);
    assert_eq!(decode(LinkType::ETHERNET, &echo), Decoded::NotIp);
}

#[test]
fn nsh_and_fabricpath() {
    let nsh = [0x0f, 0xc2, 1, 3, 0, 0, 5, 255];
    holds_inner(LinkType::ETHERNET, &ethernet(0x894f, &join(&nsh, &ethernet(0x800, &inner()))), "nsh:5");
    let frame = ethernet(0x8903, &join(&[0, 0x60], &ethernet(0x8100, &join(&[0, 3, 8, 0], &inner()))));
    holds_inner(LinkType::ETHERNET, &frame, "fabricpath/vlan:3");
}

#[test]
fn ip_in_ip() {
    let six = ipv6(6, &tcp(1, 2, b"x"));
    let four_in_four = holds_inner(LinkType::RAW, &ipv4_between([9; 4], [8; 4], 4, &inner()), "4in4");
    let four_in_six = holds_inner(LinkType::RAW, &ipv6(4, &inner()), "4in6");
    assert_ne!(four_in_four.key.tunnel, four_in_six.key.tunnel);
    assert_ne!(four_in_four.key.tunnel, 0);
    for (outer, name) in [(ipv4(41, &six), "6in4"), (ipv6(41, &six), "6in6")] {
        let found = packet(LinkType::RAW, &outer);
        assert_eq!((found.key.ip_version, found.key.ports), (6, [1, 2]));
        assert_eq!(Decoder::new().tunnels(LinkType::RAW, &outer, outer.len() as u32).to_string(), name);
    }
    // What isn't IP after all is a packet of the outer protocol.
    let odd = packet(LinkType::RAW, &ipv4(4, &[0; 40]));
    assert_eq!((odd.key.protocol, odd.payload_len, odd.key.tunnel), (4, 40, 0));
}

#[test]
fn nesting_is_bounded() {
    let mut bytes = inner();
    for _ in 0..8 {
        bytes = ipv4(4, &bytes);
    }
    holds_inner(LinkType::RAW, &bytes, &["4in4"; 8].join("/"));
    for _ in 0..100 {
        bytes = ipv4(4, &bytes);
    }
    let found = packet(LinkType::RAW, &bytes);
    assert_eq!((found.key.protocol, found.key.ports, found.payload_offset), (4, [0, 0], 180));
}

#[test]
fn gre() {
    let gre = |header: &[u8], payload: &[u8]| ipv4_between([9; 4], [8; 4], 47, &join(header, payload));
    let plain = holds_inner(LinkType::RAW, &gre(&[0, 0, 8, 0], &inner()), "gre");
    let keyed = holds_inner(LinkType::RAW, &gre(&[0x20, 0, 8, 0, 0, 0, 0, 5], &inner()), "gre:5");
    assert_ne!(plain.key.tunnel, keyed.key.tunnel);
    let all = [0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1];
    holds_inner(LinkType::RAW, &gre(&all, &inner()), "gre:5");
    let routed = [0x40, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0];
    holds_inner(LinkType::RAW, &gre(&routed, &inner()), "gre");
    holds_inner(LinkType::RAW, &gre(&[0, 0, 0x65, 0x58], &ethernet(0x800, &inner())), "gre");
    let pptp = [0x30, 0x81, 0x88, 0x0b, 0, 49, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21];
    holds_inner(LinkType::RAW, &gre(&pptp, &inner()), "pptp");
    holds_inner(LinkType::RAW, &gre(&[0, 0, 0x88, 0xbe], &ethernet(0x800, &inner())), "erspan");
    let two = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0x64, 0, 0x64, 0, 0, 0, 0];
    holds_inner(LinkType::RAW, &gre(&two, &ethernet(0x800, &inner())), "erspan:100");
    let mut three = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1];
    three.extend([7; 8]);
    holds_inner(LinkType::RAW, &gre(&three, &ethernet(0x800, &inner())), "erspan:3");
    holds_inner(LinkType::RAW, &gre(&[0, 0, 0x88, 0x3e, 1, 2, 3, 4], &inner()), "wccp");
    // A keep-alive, and version 2.
    assert_eq!(packet(LinkType::RAW, &gre(&[0, 0, 0, 0], &[])).key.protocol, 47);
    assert_eq!(packet(LinkType::RAW, &gre(&[0, 2, 8, 0], &inner())).key.protocol, 47);
}

#[test]
fn ethernet_and_l2tp_v3_in_ip() {
    holds_inner(LinkType::RAW, &ipv4(97, &join(&[0x30, 0], &ethernet(0x800, &inner()))), "etherip");
    for cookie in [0, 4, 8] {
        let session = join(&[0, 0, 0, 9], &vec![0xa5; cookie]);
        let frame = ipv4(115, &join(&session, &ethernet(0x800, &inner())));
        holds_inner(LinkType::RAW, &frame, "l2tpv3");
    }
    assert_eq!(packet(LinkType::RAW, &ipv4(115, &[0; 30])).key.protocol, 115);
}

#[test]
fn vxlan() {
    let header = [8, 0, 0, 0, 0, 0x13, 0x89, 0];
    let frame = in_udp(50000, 4789, &join(&header, &ethernet(0x800, &inner())));
    let first = holds_inner(LinkType::ETHERNET, &frame, "vxlan:5001");
    let other = in_udp(50000, 8472, &join(&[8, 0, 0, 0, 0, 0x13, 0x8a, 0], &ethernet(0x800, &inner())));
    assert_ne!(first.key.tunnel, holds_inner(LinkType::ETHERNET, &other, "vxlan:5002").key.tunnel);
    let policy = [0x88, 0, 0, 9, 0, 0, 1, 0];
    holds_inner(LinkType::ETHERNET, &in_udp(1, 4789, &join(&policy, &ethernet(0x800, &inner()))), "vxlan:1");
    for wrong in [[0, 0, 0, 0, 0, 0, 1, 0], [8, 0, 0, 0, 0, 0, 1, 1], [8, 0, 1, 0, 0, 0, 1, 0]] {
        is_plain_udp(&in_udp(50000, 4789, &join(&wrong, &ethernet(0x800, &inner()))), [50000, 4789]);
    }
    // Right header, but ARP or nothing in it, or an inner packet that says to be longer.
    is_plain_udp(&in_udp(50000, 4789, &join(&header, &ethernet(0x806, &[0; 28]))), [50000, 4789]);
    is_plain_udp(&in_udp(50000, 4789, &header), [50000, 4789]);
    let mut long = inner();
    long[3] += 1;
    is_plain_udp(&in_udp(50000, 4789, &join(&header, &ethernet(0x800, &long))), [50000, 4789]);
}

#[test]
fn geneve() {
    let header = [1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 0];
    let frame = in_udp(50000, 6081, &join(&header, &ethernet(0x800, &inner())));
    holds_inner(LinkType::ETHERNET, &frame, "geneve:9");
    holds_inner(LinkType::ETHERNET, &in_udp(1, 6081, &join(&[0, 0, 8, 0, 0, 0, 9, 0], &inner())), "geneve:9");
    is_plain_udp(&in_udp(1, 6081, &join(&[0x40, 0, 8, 0, 0, 0, 9, 0], &inner())), [1, 6081]);
}

#[test]
fn gtp_u() {
    let plain = join(&[0x30, 255, 0, 45, 1, 2, 3, 4], &inner());
    let one = holds_inner(LinkType::ETHERNET, &in_udp(2152, 2152, &plain), "gtp-u");
    let other = join(&[0x30, 255, 0, 45, 9, 9, 9, 9], &inner());
    assert_eq!(one.key, holds_inner(LinkType::ETHERNET, &in_udp(2152, 2152, &other), "gtp-u").key);
    let extended = [0x36, 255, 0, 57, 1, 2, 3, 4, 0, 1, 0, 0x85, 1, 0, 9, 0xc0, 1, 0, 0, 0];
    holds_inner(LinkType::ETHERNET, &in_udp(2152, 2152, &join(&extended, &inner())), "gtp-u");
    // An echo request, a wrong length, GTP-C's version.
    for wrong in
        [[0x32, 1, 0, 45, 1, 2, 3, 4], [0x30, 255, 0, 46, 1, 2, 3, 4], [0x48, 255, 0, 45, 1, 2, 3, 4]]
    {
        is_plain_udp(&in_udp(2152, 2152, &join(&wrong, &inner())), [2152, 2152]);
    }
}

#[test]
fn l2tp() {
    let short = [0, 2, 0, 1, 0, 2, 0xff, 3, 0, 0x21];
    holds_inner(LinkType::ETHERNET, &in_udp(1701, 1701, &join(&short, &inner())), "l2tp");
    let full = [0x4a, 2, 0, 63, 0, 1, 0, 2, 0, 1, 0, 0, 0, 2, 9, 9, 0, 0x21];
    holds_inner(LinkType::ETHERNET, &in_udp(1701, 1701, &join(&full, &inner())), "l2tp");
    let three = [0, 3, 0, 0, 0, 0, 0, 7];
    let frame = in_udp(1701, 1701, &join(&three, &ethernet(0x800, &inner())));
    holds_inner(LinkType::ETHERNET, &frame, "l2tpv3");
    // Control; LCP.
    is_plain_udp(&in_udp(1701, 1701, &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]), [1701, 1701]);
    is_plain_udp(&in_udp(1701, 1701, &[0, 2, 0, 1, 0, 2, 0xff, 3, 0xc0, 0x21, 9, 1, 0, 4]), [1701, 1701]);
}

#[test]
fn capwap() {
    let ethernet_inside = [0, 0x10, 0x02, 0, 0, 0, 0, 0];
    let frame = in_udp(5247, 12380, &join(&ethernet_inside, &ethernet(0x800, &inner())));
    holds_inner(LinkType::ETHERNET, &frame, "capwap");
    let body = join(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner());
    let header = [0, 0x10, 0x03, 0, 0, 0, 0, 0];
    for control in [[0x08, 0x01], [0x01, 0x08]] {
        let frame = in_udp(12380, 5247, &[&header[..], &wlan(control, &[]), &body].concat());
        holds_inner(LinkType::ETHERNET, &frame, "capwap");
    }
    let mut swapped = wlan([0x01, 0x08], &[]);
    swapped[22] = 1; // the sequence number's upper byte, not a fragment
    let frame = in_udp(12380, 5247, &[&header[..], &swapped, &body].concat());
    holds_inner(LinkType::ETHERNET, &frame, "capwap");
    // DTLS, a keep-alive, a fragment.
    for wrong in [[1, 0x10, 0x02, 0], [0, 0x10, 0x02, 8], [0, 0x10, 0x02, 0x80]] {
        let frame = in_udp(12380, 5247, &[&wrong[..], &[0; 4], &ethernet(0x800, &inner())].concat());
        is_plain_udp(&frame, [12380, 5247]);
    }
}

#[test]
fn teredo() {
    let six = ipv6_between("2001:0:53aa:64c::1", "2001:db8::2", 6, &tcp(1, 2, b"x"));
    let authentication = [0, 1, 1, 2, 9, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    for head in [vec![], origin.to_vec(), authentication.to_vec(), [&authentication[..], &origin].concat()] {
        let frame = in_udp(3544, 51812, &join(&head, &six));
        let found = packet(LinkType::ETHERNET, &frame);
        assert_eq!((found.key.ip_version, found.key.ports), (6, [1, 2]), "{head:?}");
        assert_eq!(
            Decoder::new().tunnels(LinkType::ETHERNET, &frame, frame.len() as u32).to_string(),
            "teredo"
        );
    }
    // A solicitation, a bubble; not Teredo's addresses; a length that disagrees.
    let solicitation = ipv6_between("fe80::ffff:ffff:fffe", "ff02::2", 58, &[133, 0, 0, 0, 0, 0, 0, 0]);
    is_plain_udp(&in_udp(51812, 3544, &solicitation), [51812, 3544]);
    let bubble = ipv6_between("fe80::1", "2001:0:53aa:64c::1", 59, &[]);
    is_plain_udp(&in_udp(51812, 3544, &bubble), [51812, 3544]);
    is_plain_udp(&in_udp(51812, 3544, &ipv6(6, &tcp(1, 2, b"x"))), [51812, 3544]);
    is_plain_udp(&in_udp(51812, 3544, &join(&six, &[0])), [51812, 3544]);
}

#[test]
fn tzsp() {
    let header = [1, 0, 0, 1, 10, 1, 0xaa, 0, 1];
    let frame = in_udp(50000, 37008, &join(&header, &ethernet(0x800, &inner())));
    holds_inner(LinkType::ETHERNET, &frame, "tzsp");
    is_plain_udp(&in_udp(50000, 37008, &[1, 0, 0, 1, 10, 1, 0xaa, 0]), [50000, 37008]);
}

#[test]
fn a_tunnel_in_a_tunnel_falls_back_one_level() {
    let vxlan = join(&[8, 0, 0, 0, 0, 0, 5, 0], &ethernet(0x800, &ipv4(17, &udp(2152, 2152, b"not gtp"))));
    let frame = in_udp(1, 4789, &vxlan);
    let found = packet(LinkType::ETHERNET, &frame);
    assert_eq!((found.key.protocol, found.key.ports), (17, [2152, 2152]));
    assert_eq!(payload(&found, &frame), b"not gtp");
    assert_eq!(Decoder::new().tunnels(LinkType::ETHERNET, &frame, frame.len() as u32).to_string(), "vxlan:5");
    assert_eq!(TunnelKind::Vxlan.name(), "vxlan");
}

#[test]
fn ipv6_extension_headers() {
    let segment = tcp(1, 2, b"hello");
    let chain = [
        &[60, 0, 1, 4, 0, 0, 0, 0][..],
        &[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 0, 0, 0, 0, 0, 0],
        &[44, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        &[6, 0, 0, 0, 1, 2, 3, 4],
        &segment,
    ]
    .concat();
    let bytes = ipv6(0, &chain);
    let found = packet(LinkType::RAW, &bytes);
    assert_eq!((found.key.protocol, found.key.ports), (6, [1, 2]));
    assert_eq!(payload(&found, &bytes), b"hello");
    // The same with a fragment header that has more to come.
    let mut fragment = bytes.clone();
    fragment[40 + 8 + 16 + 8 + 24 + 3] = 1;
    assert_eq!(decode(LinkType::RAW, &fragment), Decoded::Fragment);
    let esp = packet(LinkType::RAW, &ipv6(50, &[1; 20]));
    assert_eq!((esp.key.protocol, esp.payload_len, esp.key.ports), (50, 20, [0, 0]));
    let none = packet(LinkType::ETHERNET, &ethernet(0x86dd, &join(&ipv6(59, &[]), &[0; 6])));
    assert_eq!((none.key.protocol, none.payload_len), (59, 0));
    assert_eq!(decode(LinkType::RAW, &ipv6(0, &[0; 8].repeat(100))), Decoded::Broken);
}

#[test]
fn icmp_ports() {
    let ping = packet(LinkType::RAW, &ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]));
    let pong = packet(LinkType::RAW, &ipv4_between(SERVER, CLIENT, 1, &[0, 0, 0, 0, 0, 1, 0, 1]));
    assert_eq!((ping.key, ping.key.ports, ping.payload_len), (pong.key, [8, 0], 8));
    let unreachable = packet(LinkType::RAW, &ipv4(1, &[3, 13, 0, 0]));
    assert_eq!(unreachable.key.ports, [3, 13]);
    let solicit = packet(LinkType::RAW, &ipv6(58, &[135, 0, 0, 0]));
    assert_eq!(solicit.key.ports, [135, 136]);
    assert_eq!(packet(LinkType::RAW, &ipv4(1, &[8])).issues, Issues::TRANSPORT_HEADER);
    for v6 in [false, true] {
        for kind in 0..=255 {
            if let Some(other) = icmp_counterpart(v6, kind) {
                assert_eq!(icmp_counterpart(v6, other), Some(kind));
            }
        }
    }
}

#[test]
fn other_transports() {
    let sctp = join(&[0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 0, 0, 0, 0], b"chunk");
    let bytes = ipv4(132, &sctp);
    let found = packet(LinkType::RAW, &bytes);
    assert_eq!((found.key.ports, payload(&found, &bytes)), ([2905, 2906], &b"chunk"[..]));
    let lite = packet(LinkType::RAW, &ipv4(136, &[0, 1, 0, 2, 0, 8, 0, 0, 7]));
    assert_eq!((lite.key.ports, lite.payload_len), ([1, 2], 1));
    let ospf = packet(LinkType::RAW, &ipv4(89, &[2; 24]));
    assert_eq!((ospf.key.ports, ospf.payload_offset, ospf.payload_len), ([0, 0], 20, 24));
}

#[test]
fn lengths_that_disagree() {
    // Total length 0: segmentation offload.
    let mut bytes = inner();
    bytes[2..4].fill(0);
    let found = packet(LinkType::RAW, &bytes);
    assert_eq!((found.ip_len, found.payload_len, found.issues), (45, 5, Issues::default()));
    // More than the frame had.
    let mut bytes = inner();
    bytes[3] = 60;
    let found = packet(LinkType::RAW, &bytes);
    assert_eq!((found.payload_len, found.payload_wire_len, found.issues), (5, 5, Issues::IP_LENGTH));
    // UDP: 0, more and less than IP has.
    for (said, len, issues) in [
        (0, 4, Issues::default()),
        (13, 4, Issues::TRANSPORT_HEADER),
        (10, 2, Issues::default()),
        (3, 0, Issues::TRANSPORT_HEADER),
    ] {
        let mut bytes = ipv4(17, &udp(1, 2, b"abcd"));
        bytes[25] = said;
        let found = packet(LinkType::RAW, &bytes);
        assert_eq!((found.payload_len, found.payload_wire_len, found.issues), (len, len, issues), "{said}");
    }
    // TCP's data offset.
    for offset in [0x40, 0xf0] {
        let mut bytes = inner();
        bytes[32] = offset;
        let found = packet(LinkType::RAW, &bytes);
        assert_eq!((found.payload_len, found.issues), (0, Issues::TRANSPORT_HEADER));
    }
    for flags in [0x03, 0x00, 0x29, 0xc0] {
        let mut bytes = inner();
        bytes[33] = flags;
        assert_eq!(packet(LinkType::RAW, &bytes).issues, Issues::TCP_FLAGS);
    }
}

#[test]
fn cut_by_the_snap_length() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(40000, 443, &[b'x'; 1000])));
    let wire_len = frame.len() as u32;
    for (captured, payload_len) in [(54, 0), (60, 6), (1054, 1000)] {
        let Decoded::Packet(found) =
            Decoder::new().decode(LinkType::ETHERNET, &frame[..captured], 0, wire_len)
        else {
            panic!("{captured}")
        };
        assert_eq!((found.payload_len, found.payload_wire_len, found.ip_len), (payload_len, 1000, 1040));
        assert_eq!(found.issues.has(Issues::SNAPPED), captured < 1054);
        assert_eq!(found.frame_len, wire_len);
    }
    assert_eq!(Decoder::new().decode(LinkType::ETHERNET, &frame[..53], 0, wire_len), Decoded::Broken);
    // Cut within TCP's options: the payload starts beyond what was captured.
    let mut segment = tcp(1, 2, &[0; 40]);
    segment[12] = 0x80;
    let frame = ipv4(6, &segment);
    let Decoded::Packet(found) = Decoder::new().decode(LinkType::RAW, &frame[..44], 0, frame.len() as u32)
    else {
        panic!()
    };
    assert_eq!((found.payload_offset, found.payload_len, found.payload_wire_len), (44, 0, 28));
}

#[test]
fn checksums_on_request() {
    let mut frame = ethernet(0x0800, &inner());
    let checking = Decoder { verify_checksums: true };
    let issues = |decoder: Decoder, link, frame: &[u8]| match decoder.decode(link, frame, 0, 0) {
        Decoded::Packet(packet) => packet.issues,
        other => panic!("{other:?}"),
    };
    assert_eq!(issues(checking, LinkType::ETHERNET, &frame), Issues::default());
    frame[14 + 8] ^= 1;
    assert_eq!(issues(checking, LinkType::ETHERNET, &frame), Issues::IP_CHECKSUM);
    assert_eq!(issues(checking, LinkType::RAW, &frame[14..]), Issues::IP_CHECKSUM);
    assert_eq!(issues(Decoder::new(), LinkType::ETHERNET, &frame), Issues::default());
}

#[test]
fn not_ip_and_broken() {
    assert_eq!(decode(LinkType::ETHERNET, &ethernet(0x0806, &[0; 28])), Decoded::NotIp);
    assert_eq!(decode(LinkType::ETHERNET, &ethernet(38, &[0x42; 38])), Decoded::NotIp);
    assert_eq!(decode(LinkType::ETHERNET, &[0; 13]), Decoded::Broken);
    assert_eq!(decode(LinkType::ETHERNET, &ethernet(0x0800, &inner()[..19])), Decoded::Broken);
    assert_eq!(decode(LinkType(147), &inner()), Decoded::Broken);
    let mut short_header = inner();
    short_header[0] = 0x44;
    assert_eq!(decode(LinkType::RAW, &short_header), Decoded::Broken);
}
