//! The lab's adversaries, fed with frames. Input:
//!
//! | bytes | |
//! |---|---|
//! | 1 | which adversary |
//! | … | steps: what (1: a bit for the server's side, one for a raw frame, one for UDP, one for IPv6, two for the server's port, two for the client's), TCP flags (1), how far beside the expected sequence number (1, signed), how long after the last (1, squared milliseconds), length (2), payload or frame |
//!
//! Numbers are big-endian.

use std::net::IpAddr;

use daylight_lab::adversary::packet::{Packet, checksums_hold};
use daylight_lab::adversary::{Adversary, AdversaryConfig, Built, Out, Verdict};
use daylight_lab::hop::Direction;
use daylight_packet::TcpHeader;
use daylight_packet::build::{self, Stamp, Tcp};

use crate::input::Input;

/// Every kind that handles packets, at each of its places, with what turns on the rest of its code.
const ADVERSARIES: [&str; 14] = [
    "kind = 'dns-injection'\nnames = ['blocked.example']\nanswer = { addresses = ['192.0.2.9', '2001:db8::9'] }",
    "kind = 'dns-injection'\nnames = ['*blocked*']\nanswer = 'nxdomain'\nplace = 'in-path'\nbidirectional = true",
    "kind = 'http-block-page'\nmatch.hosts = ['blocked.example']\npage = 'beltelecom'",
    "kind = 'http-block-page'\nmatch.keywords = ['falun']\npage = 'iran'\nplace = 'on-path'",
    "kind = 'ip-blackhole'\nprefixes = ['198.51.100.0/24']",
    "kind = 'protocol-filter'",
    "kind = 'quic-drop'\nsni = ['*e*']\nresidual = { scope = '3-tuple', seconds = 180 }",
    "kind = 'quic-drop'\nversions = [1]",
    "kind = 'sni-drop'\nmatch.sni = ['blocked.example']\npackets_passed = [5, 8]",
    "kind = 'tcp-reset'\nmatch.sni = ['blocked.example']\nmatch.hosts = ['blocked.example']\nresidual = { scope = '3-tuple', seconds = 90 }",
    "kind = 'tcp-reset'\nmatch.prefixes = ['2001:db8::/32']\nplace = 'on-path'\nsignature = 'gfw-type2'",
    "kind = 'tcp-reset'\nmatch.sni = ['blocked.example']\nreassembly = 'none'\nplace = 'on-path'",
    "kind = 'throttle'\nmatch.sni = ['blocked.example']\nhow = 'shaping'",
    "kind = 'throttle'\nmatch.sni = ['blocked.example']\nhow = 'policing'",
];
const SERVER_PORTS: [u16; 4] = [53, 80, 443, 8443];
const ETHERNET_V4: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
const ETHERNET_V6: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
/// No model lets one packet lead to more than this; a page comes in segments, and resets in threes.
const INJECTED_MAX: usize = 64;

fn adversary(config: &str) -> Adversary {
    let config: AdversaryConfig = toml::from_str(config).expect("a right configuration");
    match config.build(7) {
        Ok(Built::Packets(adversary)) => adversary,
        _ => panic!("{config:?} handles no packets"),
    }
}

/// What is known of the connections between one client's port and one of the server's.
#[derive(Clone, Copy, Default)]
struct Talk {
    /// What the client, and the server, sends next.
    next: [u32; 2],
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let config = ADVERSARIES[usize::from(input.u8()) % ADVERSARIES.len()];
    let mut twins = [adversary(config), adversary(config)];
    let on_path = matches!(twins[0], Adversary::OnPath(_));
    let mut talks = [Talk { next: [1000, 9000] }; 32];
    let (mut now_ns, mut seen, mut dropped, mut delayed, mut injected) = (0_u64, 0, 0, 0, 0);
    while !input.is_empty() {
        let [what, flags, beside, pause] = input.u32().to_be_bytes();
        let payload = usize::from(input.u16());
        let payload = input.take(payload);
        now_ns += u64::from(pause).pow(2) * 1_000_000;
        let (side, six) = (usize::from(what & 1), what & 8 != 0);
        let frame = if what & 2 != 0 {
            payload.to_vec()
        } else {
            let place = usize::from(what >> 3 & 31);
            built(what, flags, beside as i8, payload, &mut talks[place])
        };
        let direction = if side == 0 { Direction::Outbound } else { Direction::Inbound };
        // A frame that the link filled up is the same packet.
        let padded = [&frame[..], &[0; 6]].concat();
        let (Some(packet), again) = (Packet::from_frame(&frame), Packet::from_frame(&padded)) else {
            continue;
        };
        assert!(what & 2 != 0 || packet.source.is_ipv6() == six);
        assert_eq!(again.as_ref(), Some(&packet), "what is behind a packet is none of its");
        let [mut out, mut other] = [Out::default(), Out::default()];
        let verdict = twins[0].packet(now_ns, direction, &packet, &mut out);
        assert_eq!(twins[1].packet(now_ns, direction, &packet, &mut other), verdict);
        assert_eq!(out.injected(), other.injected(), "the same seed gives the same choices");
        assert!(!on_path || verdict == Verdict::Pass);
        assert!(out.injected().len() <= INJECTED_MAX);
        for forged in out.injected() {
            assert!(checksums_hold(&forged.ip), "{forged:?}");
        }
        seen += 1;
        injected += out.injected().len() as u64;
        dropped += u64::from(verdict == Verdict::Drop);
        delayed += u64::from(matches!(verdict, Verdict::Delay(_)));
        if let Verdict::Replace(ip) = &verdict {
            assert!(Packet::from_ip(ip).is_some());
        }
        let counters = twins[0].counters();
        assert_eq!(
            (counters.seen, counters.dropped, counters.delayed, counters.injected),
            (seen, dropped, delayed, injected),
            "{}",
            counters.kind
        );
    }
}

/// A frame of a conversation that goes on as it should, but for `beside`.
fn built(what: u8, flags: u8, beside: i8, payload: &[u8], talk: &mut Talk) -> Vec<u8> {
    let side = usize::from(what & 1);
    let addresses: [&str; 2] =
        if what & 8 != 0 { ["2001:db8::1", "2001:db8:f::7"] } else { ["192.0.2.1", "198.51.100.7"] };
    let [client, server] = addresses.map(|a| a.parse::<IpAddr>().expect("an address"));
    let ports = [50_000 + u16::from(what >> 6), SERVER_PORTS[usize::from(what >> 4 & 3)]];
    let (ends, from, to) = if side == 0 {
        ([client, server], ports[0], ports[1])
    } else {
        ([server, client], ports[1], ports[0])
    };
    let ip = if what & 4 != 0 {
        build::udp(ends[0], ends[1], [from, to], &Stamp::default(), payload)
    } else {
        let seq = talk.next[side].wrapping_add_signed(beside.into());
        let marks = u32::from(flags & TcpHeader::SYN != 0) + u32::from(flags & TcpHeader::FIN != 0);
        talk.next[side] = seq.wrapping_add(payload.len() as u32 + marks);
        build::tcp(&Tcp {
            source: ends[0],
            destination: ends[1],
            source_port: from,
            destination_port: to,
            seq,
            ack: talk.next[1 - side],
            flags,
            window: 512,
            payload,
            ..Tcp::default()
        })
    };
    let ethernet = if what & 8 != 0 { ETHERNET_V6 } else { ETHERNET_V4 };
    [&ethernet[..], &ip].concat()
}
