//! Checksums of packets in which something was changed on purpose, such as an address that is not to be told.

use std::net::IpAddr;

use crate::TransportKind;
use crate::build::{fold, ones_sum};

/// Where a transport's checksum lies, and whether the pseudo-header counts in it.
fn checksum_at(protocol: u8) -> Option<(usize, bool)> {
    match protocol {
        TransportKind::TCP => Some((16, true)),
        TransportKind::UDP | TransportKind::UDP_LITE => Some((6, true)),
        TransportKind::ICMP => Some((2, false)),
        TransportKind::ICMPV6 => Some((2, true)),
        _ => None,
    }
}

/// Brings the checksums of `after` in line with what was changed in it: an IP packet, from its IP header on, that was
/// `before`, and has the same length. A checksum that was right is right again, one that was wrong is as wrong as it was, and so
/// is evidence still: only the difference is brought in (RFC 1624), which also works for packets that were cut. An IP
/// packet that ICMP quotes is mended with it. IPv6 extension headers are not followed.
///
/// Nothing is done if the lengths differ. Never panics, whatever the bytes.
pub fn mend(before: &[u8], after: &mut [u8]) {
    if before.len() == after.len() {
        packet(before, after, true);
    }
}

/// Puts one address in the place of another, wherever its bytes stand: in headers, in what ICMP quotes, in payloads.
/// Checksums are another matter: see [`mend`]. Nothing is done if they are of different versions.
pub fn replace_address(bytes: &mut [u8], from: IpAddr, to: IpAddr) {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => replace(bytes, &from.octets(), &to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => replace(bytes, &from.octets(), &to.octets()),
        _ => {}
    }
}

fn replace<const N: usize>(bytes: &mut [u8], from: &[u8; N], to: &[u8; N]) {
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + N) {
        if window == from {
            window.copy_from_slice(to);
            at += N;
        } else {
            at += 1;
        }
    }
}

fn packet(before: &[u8], after: &mut [u8], may_quote: bool) {
    let Some(first) = before.first() else { return };
    let (header, addresses, protocol) = match first >> 4 {
        4 => {
            let header = usize::from(first & 15) * 4;
            adjust(before, after, &[(0, 10), (12, header)], 10);
            let is_later_fragment =
                before.get(6..8).is_some_and(|word| u16::from_be_bytes([word[0], word[1]]) & 0x1fff != 0);
            if is_later_fragment {
                return;
            }
            (header, (12, 20), before.get(9))
        }
        6 => (40, (8, 40), before.get(6)),
        _ => return,
    };
    let Some(protocol) = protocol.copied() else { return };
    if may_quote && matches!(protocol, TransportKind::ICMP | TransportKind::ICMPV6) {
        // Behind ICMP's header of eight bytes (RFC 792, RFC 4443).
        let quoted = header + 8;
        if let (Some(before), Some(after)) = (before.get(quoted..), after.get_mut(quoted..)) {
            packet(before, after, false);
        }
    }
    let Some((offset, with_addresses)) = checksum_at(protocol) else { return };
    let at = header + offset;
    let is_udp = matches!(protocol, TransportKind::UDP);
    if is_udp && before.get(at..at + 2).is_some_and(|sum| sum == [0, 0]) {
        // None was computed.
        return;
    }
    let addresses = if with_addresses { addresses } else { (0, 0) };
    adjust(before, after, &[addresses, (header, at), (at + 2, usize::MAX)], at);
    if is_udp && let Some(sum) = after.get_mut(at..at + 2).filter(|sum| **sum == [0, 0]) {
        sum.fill(0xff);
    }
}

/// Takes the difference of these parts into the checksum at `at`. Parts begin at even offsets.
fn adjust(before: &[u8], after: &mut [u8], parts: &[(usize, usize)], at: usize) {
    let Some(old) = before.get(at..at + 2).map(|sum| u16::from_be_bytes([sum[0], sum[1]])) else { return };
    let (mut was, mut is) = (0, 0);
    for (from, to) in parts {
        let range = *from..(*to).min(before.len());
        was = ones_sum(was, before.get(range.clone()).unwrap_or_default());
        is = ones_sum(is, after.get(range).unwrap_or_default());
    }
    if fold(was) == fold(is) {
        return;
    }
    // HC' = ~(~HC + ~m + m'), equation 3 of RFC 1624.
    let sum = !fold(u64::from(!old) + u64::from(!fold(was)) + u64::from(fold(is)));
    if let Some(place) = after.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Stamp, Tcp, ip, tcp, transport_sum, udp};
    use crate::is_damaged;

    fn replaced(packet: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
        let mut after = packet.to_vec();
        replace_address(&mut after, from, to);
        assert_ne!(packet, after);
        mend(packet, &mut after);
        after
    }

    fn samples() -> Vec<(Vec<u8>, IpAddr, IpAddr)> {
        let mut all = Vec::new();
        for (own, far, to) in
            [("100.64.7.9", "203.0.113.80", "192.0.2.1"), ("2001:470:1::7", "2001:db8:80::1", "2001:db8::1")]
        {
            let [own, far, to] = [own, far, to].map(|end| end.parse().unwrap());
            for payload in [&b"odd"[..], b"even", b""] {
                let segment = Tcp { source: far, destination: own, payload, ..Tcp::default() };
                let datagram = udp(own, far, [4000, 53], &Stamp::default(), payload);
                all.extend([tcp(&segment), datagram].map(|packet| (packet, own, to)));
            }
        }
        all
    }

    #[test]
    fn what_was_right_is_right_again_and_what_was_wrong_stays_wrong() {
        for (packet, from, to) in samples() {
            let after = replaced(&packet, from, to);
            assert!(!is_damaged(&after), "{after:02x?}");
            if after[0] >> 4 == 4 {
                assert_eq!(fold(ones_sum(0, &after[..20])), 0xffff);
            }
            let mut damaged = packet.clone();
            let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
            damaged[header] ^= 0x10;
            assert!(is_damaged(&replaced(&damaged, from, to)));
        }
    }

    #[test]
    fn cut_packets_are_mended_too() {
        for (packet, from, to) in samples() {
            let whole = replaced(&packet, from, to);
            let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
            for cut in header + 18..packet.len() {
                assert_eq!(replaced(&packet[..cut], from, to), whole[..cut], "{cut}");
            }
            // Shorter still: nothing to mend, and nothing breaks.
            for cut in 0..packet.len() {
                let mut after: Vec<u8> = packet[..cut].iter().map(|byte| byte ^ 0x5a).collect();
                mend(&packet[..cut], &mut after);
            }
        }
    }

    #[test]
    fn what_icmp_quotes_is_mended_with_it() {
        let [own, far, router] =
            ["100.64.7.9", "203.0.113.80", "198.51.100.1"].map(|end| end.parse().unwrap());
        let quoted = tcp(&Tcp { source: own, destination: far, ..Tcp::default() });
        let body = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        let packet = ip(router, own, 1, &Stamp::default(), Some(2), body);
        let after = replaced(&packet, own, "192.0.2.1".parse().unwrap());
        assert_eq!(transport_sum(&after[..20], 1, &after[20..]), 0xffff);
        assert!(!is_damaged(&after[28..]));
        assert_eq!(after[28 + 12..28 + 16], [192, 0, 2, 1]);
    }
}
