//! Frames of any link type. Input: link type, bytes that were not captured, the frame.

use std::sync::LazyLock;

use daylight_packet::{
    Decoded, Decoder, DefragmentLimits, Defragmented, Defragmenter, Issues, LinkType, OverlapPolicy, Packet,
    TUNNELS_MAX, TunnelKind,
};

use crate::input::Input;

static KNOWN: LazyLock<Vec<LinkType>> =
    LazyLock::new(|| (0..300).map(LinkType).filter(|link| link.name().is_some()).collect());

const TS_NS: i64 = 1_704_067_200_000_000_000;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (link, missing) = (link(input.u16()), input.u16());
    let frame = input.rest();
    check(link, frame, frame.len() as u32 + u32::from(missing));
}

/// A link type: nearly always one that is known.
pub(crate) fn link(number: u16) -> LinkType {
    match number.checked_sub(0xff00) {
        Some(_) => LinkType(number),
        None => KNOWN[usize::from(number) % KNOWN.len()],
    }
}

pub(crate) fn check(link: LinkType, frame: &[u8], wire_len: u32) {
    let (plain, verifying) = (Decoder::new(), Decoder { verify_checksums: true });
    let decoded = plain.decode(link, frame, TS_NS, wire_len);
    assert_eq!(decoded, plain.decode(link, frame, TS_NS, wire_len), "decoding has no state");
    let verified = match verifying.decode(link, frame, TS_NS, wire_len) {
        Decoded::Packet(mut packet) => {
            packet.issues.0 &= !Issues::IP_CHECKSUM.0;
            Decoded::Packet(packet)
        }
        other => other,
    };
    assert_eq!(decoded, verified, "verifying checksums marks packets and does no more");
    if let Decoded::Packet(packet) = &decoded {
        check_packet(packet, frame);
        assert!(packet.ip_len <= packet.frame_len && packet.frame_len >= wire_len);
        check_tunnels(packet, &plain, link, frame, wire_len);
    }
    // Who asks the defragmenter agrees with the decoder about what a fragment is.
    let mut defragmenter = Defragmenter::new(DefragmentLimits::default(), OverlapPolicy::FirstWins);
    let pushed = defragmenter.push(&plain, link, frame, TS_NS, wire_len);
    assert_eq!(decoded == Decoded::Fragment, !matches!(pushed, Defragmented::NotAFragment), "{pushed:?}");
}

/// What holds for every packet, put together or not.
pub(crate) fn check_packet(packet: &Packet, bytes: &[u8]) {
    assert!((packet.payload_offset + packet.payload_len) as usize <= bytes.len());
    assert!(packet.payload_wire_len >= packet.payload_len);
    assert!(packet.payload_wire_len <= packet.ip_len);
    let key = &packet.key;
    assert!((key.addresses[0], key.ports[0]) <= (key.addresses[1], key.ports[1]), "the ends are in order");
    assert!(matches!(key.ip_version, 4 | 6));
    assert_eq!(key.reserved, 0);
    if key.ip_version == 4 {
        assert!(key.addresses.iter().all(|[high, low]| *high == 0 && low >> 32 == 0xffff));
    }
    if key.protocol != 6 {
        assert_eq!(packet.tcp, Default::default());
    }
}

/// What a flow's record says of tunnels agrees with what keeps flows apart.
fn check_tunnels(packet: &Packet, decoder: &Decoder, link: LinkType, frame: &[u8], wire_len: u32) {
    let tunnels = decoder.tunnels(link, frame, wire_len);
    if tunnels.len() == TUNNELS_MAX {
        // There may have been more.
        return;
    }
    let tags = [TunnelKind::Vlan, TunnelKind::Mpls, TunnelKind::FabricPath, TunnelKind::Nsh];
    let is_inside = tunnels.as_slice().iter().any(|t| !tags.contains(&t.kind));
    assert_eq!(packet.key.tunnel != 0, is_inside, "{tunnels}");
    if packet.key.vlan != 0 {
        assert!(tunnels.as_slice().iter().any(|t| t.kind == TunnelKind::Vlan), "{tunnels}");
    }
}
