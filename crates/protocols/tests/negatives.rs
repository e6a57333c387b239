//! Bytes that are no protocol's: random ones, constant ones, counters, ciphertext behind small headers. Nothing may
//! claim them, in particular none of the protocols over UDP that have no magic.

use daylight_protocols::dispatch::{Dispatcher, Outcome, Rejected};
use daylight_protocols::{Dir, Earlier, Probe, ProtocolId, Transport};
use proptest::prelude::*;

/// The label that a sequence of payloads gets, asked one after the other as the engine does.
fn label(
    dispatcher: &Dispatcher,
    transport: Transport,
    ports: [u16; 2],
    payloads: &[(bool, Vec<u8>)],
) -> Option<ProtocolId> {
    let mut rejected = Rejected::default();
    let mut earlier: Vec<Earlier> = Vec::new();
    let mut streams = [Vec::new(), Vec::new()];
    for (client, payload) in payloads {
        let dir = if *client { Dir::Client } else { Dir::Server };
        streams[dir.index()].extend_from_slice(payload);
        let tcp = transport == Transport::Tcp;
        let probe = Probe {
            transport,
            dir,
            payload: if tcp { &streams[dir.index()] } else { payload },
            other: if tcp { &streams[dir.other().index()] } else { &[] },
            earlier: if tcp { &[] } else { &earlier },
            client_port: ports[0],
            server_port: ports[1],
            whole: true,
        };
        if let Outcome::Found { protocol, .. } = dispatcher.identify(&probe, &mut rejected) {
            return Some(protocol);
        }
        let mut head = [0; 16];
        let n = payload.len().min(16);
        head[..n].copy_from_slice(&payload[..n]);
        earlier.push(Earlier { dir, len: payload.len() as u16, head });
        if earlier.len() > 4 {
            earlier.remove(0);
        }
    }
    None
}

/// Ports that mean nothing; and, one in four, ports where a protocol asks for less than elsewhere.
fn ports() -> impl Strategy<Value = [u16; 2]> {
    let home = [3478, 8801, 1194, 51820, 1080].map(|port| [40_000, port]);
    prop_oneof![
        3 => Just([40_000, 50_000]),
        1 => prop::sample::select([&home[..], &[[4500, 4500], [500, 500], [5060, 5060]]].concat()),
    ]
}

fn payloads() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..200)), 1..8)
}

/// First bytes that some protocol looks for: random ones seldom get past the patterns.
fn starts() -> impl Strategy<Value = Vec<u8>> {
    let starts: [&[u8]; 20] = [
        &[0x80],
        &[0x90, 0x60],
        &[0x80, 0xc9, 0, 1],
        &[0x80, 0xc8, 0, 6],
        &[0, 1],
        &[1, 1],
        &[0x01, 0x00],
        &[0x11, 0x00],
        &[0x21, 0x01],
        &[0x41, 0x02],
        &[1, 0, 0, 0],
        &[4, 0, 0, 0],
        &[0x38],
        &[0x40],
        &[0x28],
        &[0, 0, 0, 0],
        &[3, 0, 0],
        &[5, 1],
        &[4, 1],
        &[0xff, 0x10],
    ];
    prop::sample::select(starts.map(<[u8]>::to_vec).to_vec())
}

fn check(transport: Transport, ports: [u16; 2], payloads: &[(bool, Vec<u8>)]) -> Result<(), TestCaseError> {
    thread_local!(static DISPATCHER: Dispatcher = Dispatcher::new(ProtocolId::all()));
    let found = DISPATCHER.with(|d| label(d, transport, ports, payloads));
    prop_assert_eq!(found.map(ProtocolId::name), None);
    Ok(())
}

fn either(tcp: bool) -> Transport {
    if tcp { Transport::Tcp } else { Transport::Udp }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_bytes(ports in ports(), tcp: bool, payloads in payloads()) {
        check(either(tcp), ports, &payloads)?;
    }

    #[test]
    fn random_bytes_behind_a_protocols_first_bytes(
        ports in ports(), tcp: bool, start in starts(), payloads in payloads(), lengths: bool,
    ) {
        let mut payloads = payloads;
        for (_, p) in &mut payloads {
            p.splice(0..0, start.iter().copied());
            if lengths {
                // The lengths that some of them look for.
                let n = [14, 20, 32, 37, 54, 64, 92, 148][p.len() % 8];
                p.resize(n, 0xa7);
            }
        }
        check(either(tcp), ports, &payloads)?;
    }

    #[test]
    fn one_connection_id_before_ciphertext(
        id in prop::collection::vec(any::<u8>(), 8), first in 0x40u8..0x80, payloads in payloads(),
    ) {
        // As QUIC's short header has it: a constant connection ID, then nothing but noise.
        let mut payloads = payloads;
        for (_, p) in &mut payloads {
            p.splice(0..0, id.iter().copied());
            p.insert(0, first);
        }
        check(Transport::Udp, [40_000, 50_000], &payloads)?;
    }

    #[test]
    fn one_byte_again_and_again(byte: u8, len in 1usize..1500, count in 1usize..6) {
        let payloads = vec![(true, vec![byte; len]); count];
        check(Transport::Udp, [40_000, 50_000], &payloads)?;
    }

    #[test]
    fn a_counter_in_a_constant_header(
        head in prop::collection::vec(any::<u8>(), 2..14),
        at in 0usize..12,
        width in 1usize..4,
        len in 20usize..90,
        fill: u8,
    ) {
        // The shape of most home-made protocols.
        let payloads: Vec<_> = (0..6u8)
            .map(|n| {
                let mut p = head.clone();
                p.resize(len, fill);
                p[at..at + width].fill(0);
                p[at + width - 1] = n;
                (true, p)
            })
            .collect();
        // Where it is RTP's to the bit (its version, a counter where its sequence number is) it is RTP for all that
        // can be known.
        prop_assume!(payloads[0].1[0] & 0xc0 != 0x80 || !(2..4).contains(&(at + width - 1)));
        check(Transport::Udp, [40_000, 50_000], &payloads)?;
    }
}
