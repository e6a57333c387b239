use super::*;
use crate::testing::{Flow, hex};

fn hello(id: &[u8; 20]) -> Vec<u8> {
    [HANDSHAKE, &[0, 0, 0, 0, 0, 0x10, 0, 5], &[0xab; 20], id].concat()
}

#[test]
fn peers_greet_each_other() {
    let extended = b"d1:md6:ut_pexi1ee1:pi6881e1:v13:Example 1.2.3e";
    let mut client = hello(b"-qB4250-abcdefghijkl");
    client.extend((extended.len() as u32 + 2).to_be_bytes());
    client.extend([20, 0]);
    client.extend(extended);
    let server =
        [hello(b"-TR4040-abcdefghijkl"), hex("00000003 09 1ae1 00000000 00004009 07 00000000 00000000")]
            .concat();
    let server = [server, vec![0; 0x4000]].concat();
    let seen = Flow::tcp(51413).client(&client).server(&server).run_split();
    assert_eq!(seen.protocol, ProtocolId::Bittorrent);
    assert_eq!(seen.confidence, crate::Confidence::Handshake);
    assert_eq!(seen.show(INFO_HASH), "ab".repeat(20));
    assert_eq!(seen.show(PEER_ID), "-qB4250-abcdefghijkl");
    assert_eq!(seen.show(CLIENT), "Example 1.2.3");
    assert_eq!(seen.show(EXTENSIONS), "extended,fast,dht");
    assert_eq!(seen.show(PORT), "6881");
    let alone = Flow::tcp(51413).client(&hello(b"-qB4250-abcdefghijkl")).run();
    assert_eq!(alone.show(CLIENT), "qBittorrent 4.2.5.0");
    assert!(alone.found.risks.is_empty());
}

// The examples of BEP 5.
const GET_PEERS: &[u8] =
    b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
const PEERS: &[u8] =
    b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";

#[test]
fn the_hash_table() {
    let seen = Flow::udp(6881).client(GET_PEERS).server(PEERS).run();
    assert_eq!(seen.protocol, ProtocolId::Bittorrent);
    assert_eq!(seen.confidence, crate::Confidence::Handshake);
    assert_eq!(seen.show(DHT_QUERY), "get_peers");
    assert_eq!(seen.found.value(INFO_HASH).map(|v| v.iter().count()), Some(1));
    let error = b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";
    assert_eq!(Flow::udp(6881).client(error).run().protocol, ProtocolId::Bittorrent);
}

#[test]
fn a_tracker_over_udp() {
    let connect = hex("0000041727101980 00000000 01020304");
    let connected = hex("00000000 01020304 1122334455667788");
    let mut announce = hex("1122334455667788 00000001 05060708");
    announce.extend([0xcd; 20]);
    announce.extend(b"-UT3550-abcdefghijkl");
    announce.extend([0; 40]);
    announce.extend([0x1a, 0xe1]);
    assert_eq!(announce.len(), 98);
    let seen = Flow::udp(1337).client(&connect).server(&connected).client(&announce).run();
    assert_eq!(seen.protocol, ProtocolId::Bittorrent);
    assert_eq!(seen.confidence, crate::Confidence::Handshake);
    assert_eq!(seen.show(TRACKER_ACTION), "connect,announce");
    assert_eq!(seen.show(INFO_HASH), "cd".repeat(20));
    assert_eq!(seen.show(CLIENT), "uTorrent 3.5.5.0");
    assert_eq!(seen.show(PORT), "6881");
}

#[test]
fn local_discovery() {
    let text = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
        Infohash: 00112233445566778899AABBCCDDEEFF00112233\r\n\r\n\r\n";
    let seen = Flow::udp(6771).client(text).run();
    assert_eq!((seen.show(KIND).as_str(), seen.show(PORT).as_str()), ("lsd", "6881"));
    assert_eq!(seen.show(INFO_HASH), "00112233445566778899aabbccddeeff00112233");
}

#[test]
fn utp_by_its_first_packet_or_by_several() {
    let syn = hex("4100 1000 0a0b0c0d 00000000 00100000 0001 0000");
    let state = hex("2100 1000 0b0b0c0d 0a000000 00100000 0101 0001");
    let seen = Flow::udp(6881).client(&syn).server(&state).run();
    assert_eq!(seen.protocol, ProtocolId::Bittorrent);
    assert_eq!(seen.show(KIND), "utp");
    // In the middle: three packets of one side; or two and the other side's.
    let data = |ts: &str| hex(&format!("0100 1001 {ts} 00001000 00100000 0005 0101 ffff"));
    let (a, b, c) = (data("00010000"), data("00020000"), data("00030000"));
    assert_eq!(Flow::udp(9).client(&a).client(&b).run().protocol, ProtocolId::Unknown);
    assert_eq!(Flow::udp(9).client(&a).client(&b).client(&c).run().protocol, ProtocolId::Bittorrent);
    assert_eq!(Flow::udp(9).client(&a).server(&state).client(&b).run().protocol, ProtocolId::Bittorrent);
    // A handshake inside.
    let inside = [a[..20].to_vec(), hello(b"-TR4040-abcdefghijkl")].concat();
    let seen = Flow::udp(6881).client(&syn).client(&inside).run();
    assert_eq!(seen.show(CLIENT), "Transmission 4.0.4.0");
}

#[test]
fn near_misses_are_not_claimed() {
    let unknown = |payloads: &[&[u8]]| {
        let flow = payloads.iter().fold(Flow::udp(6881), |f, p| f.client(p));
        assert_eq!(flow.run().protocol, ProtocolId::Unknown);
    };
    unknown(&[&GET_PEERS[..GET_PEERS.len() - 1]]);
    unknown(&[&[GET_PEERS, b"e"].concat()]);
    unknown(&[b"d1:ad2:id4:abcde1:q4:ping1:t2:aa1:y1:qe"]);
    unknown(&[&hex("0000041727101980 00000001 01020304")]);
    unknown(&[&hex("4100 1000 0a0b0c0d 00000001 00100000 0001 0000")]);
    // The same packet three times, and three connections.
    let data = hex("0100 1001 00010000 00001000 00100000 0005 0101 ffff");
    unknown(&[&data, &data, &data]);
    let others: Vec<_> =
        (1..4).map(|n| hex(&format!("0100 {n:02}01 00010000 00001000 00100000 0005 0101 ff"))).collect();
    unknown(&[&others[0], &others[1], &others[2]]);
}
