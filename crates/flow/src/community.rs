//! Community ID version 1: a flow's name that other tools compute too.

use std::net::IpAddr;

use daylight_packet::FlowKey;
use sha1::{Digest, Sha1};

/// The Community ID of a flow, seed 0, such as `1:LQU9qZlK+B5F3KDmev6m5PMibrg=`
/// (<https://github.com/corelight/community-id-spec>).
pub fn community_id(key: &FlowKey) -> String {
    hashed(key.protocol, [(key.address(0), key.ports[0]), (key.address(1), key.ports[1])])
}

/// The Community ID of a flow between these two ends, seed 0. Of ICMP, the ports are its types, as in a [`FlowKey`].
pub fn community_id_of(protocol: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> String {
    hashed(protocol, [a.min(b), a.max(b)])
}

/// The lower end comes first.
fn hashed(protocol: u8, ends: [(IpAddr, u16); 2]) -> String {
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    for (address, _) in ends {
        match address {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
    }
    hash.update([protocol, 0]);
    if matches!(protocol, 1 | 6 | 17 | 58 | 132) {
        for (_, port) in ends {
            hash.update(port.to_be_bytes());
        }
    }
    let mut text = String::from("1:");
    base64(&hash.finalize(), &mut text);
    text
}

fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= group.len() { digit } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(a: [u8; 4], ap: u16, b: [u8; 4], bp: u16, protocol: u8) -> FlowKey {
        let word = |ip: [u8; 4]| [0, 0xffff_0000_0000 | u64::from(u32::from_be_bytes(ip))];
        FlowKey {
            addresses: [word(a), word(b)],
            ports: [ap, bp],
            protocol,
            ip_version: 4,
            ..FlowKey::default()
        }
    }

    // The specification's baseline.
    #[test]
    fn the_specification_s_examples() {
        let tcp = key([66, 35, 250, 204], 80, [128, 232, 110, 120], 34855, 6);
        assert_eq!(community_id(&tcp), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let (a, b) = (([66, 35, 250, 204].into(), 80), ([128, 232, 110, 120].into(), 34855));
        assert_eq!(community_id_of(6, b, a), community_id(&tcp));
        let udp = key([8, 8, 8, 8], 53, [192, 168, 1, 52], 54585, 17);
        assert_eq!(community_id(&udp), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
    }
}
