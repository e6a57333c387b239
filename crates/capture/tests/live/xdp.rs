//! AF_XDP, on a veth: in copy mode, since its driver has no other.

use daylight_capture::live::{Filter, LiveError, Means, Options, open};
use daylight_packet::Spread;

use crate::net::{FAR, Net, datagram, ip, packets, send, take};

fn sent() -> Vec<Vec<u8>> {
    (0..400u16)
        .map(|n| {
            let tags: &[u16] = if n % 2 == 0 { &[9] } else { &[] };
            datagram(tags, ([10, 0, 0, 1], n), ([192, 0, 2, 7], 53), 100 + usize::from(n))
        })
        .collect()
}

fn is_attached() -> bool {
    ip(&["link", "show", FAR]).contains("xdp")
}

#[test]
fn what_is_sent_is_received() {
    let Some(_net) = Net::enter() else { return };
    for (means, filter, count) in [
        (Means::Xdp, None, 400),
        // Nobody on this machine has an address there.
        (Means::Auto, None, 400),
        (Means::Xdp, Some("udp portrange 100-109 and not vlan"), 5),
    ] {
        let filter = match filter.map(Filter::new).transpose() {
            Err(LiveError::NoLibpcap(why)) => return eprintln!("skipped: {why}"),
            filter => filter.unwrap(),
        };
        let options = Options { means, filter, ..Options::default() };
        let mut taps = open(FAR, &options, Spread::new(5), 2).unwrap();
        assert!(is_attached());
        assert!(taps.iter().all(|tap| tap.means() == Means::Xdp));
        for _ in 0..3 {
            send(&sent());
            let received: Vec<_> = take(&mut taps).iter().flat_map(|batches| packets(batches)).collect();
            assert_eq!(received.len(), count);
            if count == 400 {
                let bytes: Vec<_> = received.iter().map(|(bytes, _)| bytes.clone()).collect();
                assert_eq!(bytes, sent());
            }
        }
        let counters = taps[0].counters();
        assert_eq!((counters.received, counters.dropped), (3 * count as u64, 0));
        drop(taps);
        assert!(!is_attached(), "the program is gone with the sockets");
    }
}

#[test]
fn where_somebody_has_an_address_nothing_is_taken_away() {
    let Some(_net) = Net::enter() else { return };
    ip(&["addr", "add", "192.0.2.7/24", "dev", FAR]);
    let taps = open(FAR, &Options::default(), Spread::new(5), 1).unwrap();
    assert_eq!(taps[0].means(), Means::Packet);
    assert!(!is_attached());
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let Some(_net) = Net::enter() else { return };
    let options = Options { means: Means::Xdp, ring_bytes: 64 * 4096, ..Options::default() };
    let mut taps = open(FAR, &options, Spread::new(5), 1).unwrap();
    send(&sent());
    let received: usize = take(&mut taps).iter().map(|batches| packets(batches).len()).sum();
    let counters = taps[0].counters();
    assert!(counters.dropped > 0, "{counters:?}");
    assert_eq!(counters.received, received as u64);
    assert_eq!(counters.received + counters.dropped, 400, "{counters:?}");
}
