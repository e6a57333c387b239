//! The engine fed as packets come, against the engine fed with the whole capture.

use std::sync::Arc;

use daylight_inspect::{Config, Control, FlowRecord, Live, inspect};
use daylight_packet::Batch;
use daylight_protocols::common::HOSTNAME;

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tour.pcap");

fn batches(len: usize) -> impl Iterator<Item = Batch> {
    let mut source = daylight_capture::open(TOUR.as_ref()).unwrap();
    std::iter::from_fn(move || source.next_batch(len).unwrap())
}

#[test]
fn fed_in_batches_of_any_length_it_gives_the_same_records() {
    let config = Arc::new(Config { seed: Some(1), ..Config::default() });
    let mut source = daylight_capture::open(TOUR.as_ref()).unwrap();
    let mut whole: Vec<FlowRecord> = Vec::new();
    inspect(source.as_mut(), "tour.pcap", &config, &Control::default(), &mut whole).unwrap();
    whole.sort_by_key(|record| record.ends.uid);
    for len in [1, 7, 64, 1000] {
        let mut live = Live::new(Arc::clone(&config), "tour.pcap");
        let mut records: Vec<FlowRecord> = Vec::new();
        let mut packets = 0;
        for batch in batches(len) {
            live.packets(batch, &mut records, |_| packets += 1);
        }
        live.finish(&mut records);
        records.sort_by_key(|record| record.ends.uid);
        assert_eq!(records.len(), whole.len());
        for (one, other) in records.iter().zip(&whole) {
            assert_eq!(one, other, "in batches of {len}");
        }
        assert!(packets > 200);
    }
}

/// A decision can be made on the packet that brings what it needs, and is not asked for again before more is known.
#[test]
fn what_is_known_grows_and_settles() {
    let mut live = Live::new(Arc::new(Config::default()), "tour.pcap");
    let mut hello = 0;
    let mut done: Vec<FlowRecord> = Vec::new();
    for batch in batches(1) {
        live.packets(batch, &mut done, |packet| {
            let record = packet.record();
            let is_hello = packet.is_from_client() && packet.payload().starts_with(&[22, 3, 1]);
            if is_hello && record.ends.dst_port == 443 {
                assert!(record.text(HOSTNAME).is_some_and(|name| name.ends_with(".example.org")));
                hello += 1;
            }
            // The upper half counts, the lower is the last stamp.
            let (changes, last) = (packet.note() >> 32, packet.note() as u32);
            let stamp = packet.stamp();
            assert_ne!(stamp, 0);
            packet.set_note((changes + u64::from(stamp != last)) << 32 | u64::from(stamp));
            if packet.is_settled() {
                assert!(changes < 40, "{changes}");
            }
        });
    }
    assert!(hello > 0);
    assert!(live.flows() > 0);
    live.advance(i64::MAX, &mut done);
    assert_eq!(live.flows(), 0);
}
