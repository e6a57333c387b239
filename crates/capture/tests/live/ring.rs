//! AF_PACKET.

use std::time::SystemTime;

use daylight_capture::live::{Filter, LiveError, Means, Options, index_of, open};
use daylight_packet::Spread;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::net::{FAR, NEAR, Net, datagram, ip, packets, send, take};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [192, 0, 2, 7];

fn packet_options() -> Options {
    Options { means: Means::Packet, ring_bytes: 8 << 20, ..Options::default() }
}

/// Both directions of so many flows.
fn flows(count: u16) -> Vec<Vec<u8>> {
    let there = |n| datagram(&[], (CLIENT, 2000 + n), (SERVER, 53), 100 + usize::from(n));
    let back = |n| datagram(&[], (SERVER, 53), (CLIENT, 2000 + n), 200);
    (0..count).flat_map(|n| [there(n), back(n)]).collect()
}

#[test]
fn what_is_sent_is_received() {
    let Some(_net) = Net::enter() else { return };
    let mut taps = open(FAR, &packet_options(), Spread::new(5), 1).unwrap();
    let sent = flows(500);
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
    send(&sent);
    let batches = take(&mut taps);
    let received = packets(&batches[0]);
    assert_eq!(received.len(), sent.len());
    for ((bytes, packet), sent) in received.iter().zip(&sent) {
        assert_eq!(bytes, sent);
        assert!(packet.ts_ns >= before && packet.ts_ns < before + 60_000_000_000, "the kernel's time");
    }
    assert!(batches[0].iter().all(|batch| batch.frames.len() <= 1024));
    assert_eq!((taps[0].counters().received, taps[0].counters().dropped), (1000, 0));
    assert_eq!(taps[0].means(), Means::Packet);
}

#[test]
fn the_kernel_spreads_flows_by_the_rule() {
    let Some(_net) = Net::enter() else { return };
    let spread = Spread::new(0x1234_5678_9abc_def0);
    let mut taps = open(FAR, &packet_options(), spread, 3).unwrap();
    let mut sent = flows(300);
    sent.extend((0..100).map(|n| datagram(&[7], (CLIENT, 5000 + n), (SERVER, 443), 64)));
    send(&sent);
    let batches = take(&mut taps);
    let mut total = 0;
    for (number, batches) in batches.iter().enumerate() {
        let packets = packets(batches);
        assert!(packets.len() > 100, "{number} has {}", packets.len());
        assert!(packets.iter().all(|(_, packet)| spread.share(&packet.key, 3) == number));
        total += packets.len();
    }
    assert_eq!(total, sent.len());
}

#[test]
fn tags_that_the_kernel_takes_off_are_put_back() {
    let Some(_net) = Net::enter() else { return };
    let mut taps = open(FAR, &packet_options(), Spread::new(5), 1).unwrap();
    let sent: Vec<_> = [vec![], vec![5], vec![0x6005, 9]]
        .iter()
        .map(|tags| datagram(tags, (CLIENT, 1000), (SERVER, 53), 50))
        .collect();
    send(&sent);
    let received = packets(&take(&mut taps)[0]);
    let bytes: Vec<_> = received.iter().map(|(bytes, _)| bytes.clone()).collect();
    assert_eq!(bytes, sent);
    let vlans: Vec<_> = received.iter().map(|(_, packet)| packet.key.vlan).collect();
    assert_eq!(vlans, [0, 5, 5 << 12 | 9]);
}

#[test]
fn only_what_the_filter_wants() {
    let Some(_net) = Net::enter() else { return };
    let mut sent = flows(10);
    sent.push(datagram(&[5], (CLIENT, 2003), (SERVER, 53), 10));
    for (expression, count) in
        [("udp port 2003", 3), ("src host 10.0.0.1 and not vlan", 10), ("vlan 5", 1), ("tcp", 0)]
    {
        let filter = match Filter::new(expression) {
            Err(LiveError::NoLibpcap(why)) => return eprintln!("skipped: {why}"),
            filter => filter.unwrap(),
        };
        let options = Options { filter: Some(filter), ..packet_options() };
        let mut taps = open(FAR, &options, Spread::new(5), 1).unwrap();
        send(&sent);
        assert_eq!(packets(&take(&mut taps)[0]).len(), count, "{expression}");
    }
    let options = Options { snap_len: 60, ..packet_options() };
    let mut taps = open(FAR, &options, Spread::new(5), 1).unwrap();
    send(&flows(1));
    let frame = take(&mut taps)[0][0].frames[0];
    assert_eq!((frame.cap_len, frame.wire_len), (60, 142));
}

#[test]
fn a_wrong_filter_is_said_to_be_wrong() {
    match Filter::new("tcp prot 80") {
        Err(LiveError::NoLibpcap(why)) => eprintln!("skipped: {why}"),
        Err(error @ LiveError::Filter { .. }) => {
            let message = error.to_string();
            assert!(message.contains("`tcp prot 80`") && message.contains("syntax error"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let Some(_net) = Net::enter() else { return };
    let options = Options { ring_bytes: 2 << 20, ..packet_options() };
    let mut taps = open(FAR, &options, Spread::new(5), 1).unwrap();
    let sent: Vec<_> = (0..8000).map(|n| datagram(&[], (CLIENT, n), (SERVER, 53), 1000)).collect();
    send(&sent);
    let batches = take(&mut taps);
    let received = packets(&batches[0]).len() as u64;
    // Their memory is in use: nothing more has room, however long one waits.
    send(&sent);
    assert!(taps[0].take().unwrap().is_none());
    let counters = taps[0].counters();
    assert_eq!(counters.received, received);
    assert!(counters.dropped >= 8000 && received + counters.dropped == 16_000, "{counters:?}");
    drop(batches);
    send(&flows(5));
    assert_eq!(packets(&take(&mut taps)[0]).len(), 10, "room again");
}

fn is_promiscuous() -> bool {
    // How many have asked for it.
    !ip(&["-d", "link", "show", FAR]).contains("promiscuity 0")
}

#[test]
fn promiscuous_mode_is_taken_back() {
    let Some(_net) = Net::enter() else { return };
    assert!(!is_promiscuous());
    let taps = open(FAR, &packet_options(), Spread::new(5), 1).unwrap();
    assert!(is_promiscuous());
    drop(taps);
    assert!(!is_promiscuous());
    let _taps = open(FAR, &Options { promiscuous: false, ..packet_options() }, Spread::new(5), 1).unwrap();
    assert!(!is_promiscuous());
}

#[test]
fn an_interface_that_goes_and_comes() {
    let Some(net) = Net::enter() else { return };
    let mut taps = open(FAR, &packet_options(), Spread::new(5), 2).unwrap();
    ip(&["link", "set", FAR, "down"]);
    ip(&["link", "set", FAR, "up"]);
    send(&flows(20));
    let received = take(&mut taps);
    assert_eq!(received.iter().map(|batches| packets(batches).len()).sum::<usize>(), 40, "down and up");
    drop(received);
    let index = index_of(FAR);
    assert!(index.is_some());
    ip(&["link", "del", NEAR]);
    assert_eq!(index_of(FAR), None);
    assert!(taps.iter_mut().all(|tap| tap.take().is_err()), "gone");
    let error = open(FAR, &packet_options(), Spread::new(5), 1).err().unwrap().to_string();
    assert_eq!(error, "there is no interface far; there are: lo");
    net.link();
    assert!(index_of(FAR).is_some_and(|new| Some(new) != index));
    let mut taps = open(FAR, &packet_options(), Spread::new(5), 1).unwrap();
    send(&flows(1));
    assert_eq!(packets(&take(&mut taps)[0]).len(), 2);
}

#[test]
fn one_capability_is_enough() {
    let Some(_net) = Net::enter() else { return };
    let only = |set| {
        set_capabilities(
            None,
            CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() },
        )
    };
    only(CapabilitySet::NET_RAW).unwrap();
    let mut taps = open(FAR, &packet_options(), Spread::new(5), 2).unwrap();
    assert!(is_promiscuous());
    send(&flows(5));
    assert_eq!(take(&mut taps).iter().map(|batches| packets(batches).len()).sum::<usize>(), 10);
    only(CapabilitySet::empty()).unwrap();
    // Those that are open stay so.
    assert!(taps[0].take().is_ok());
    let error = open(FAR, &packet_options(), Spread::new(5), 1).err().unwrap();
    assert!(matches!(&error, LiveError::NotPermitted { interface } if interface == FAR));
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
}
