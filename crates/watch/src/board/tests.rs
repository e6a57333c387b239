//! The board as a whole, through its feed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use daylight_inspect::EndReason;
use daylight_protocols::{ProtocolId, RiskFound, Value, common, risk};
use proptest::prelude::*;

use super::frequent::Frequent;
use super::window::Windows;
use super::*;

const SECOND: i64 = 1_000_000_000;

fn record(number: u64, bytes: u64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(number);
    record.src.bytes = bytes;
    record.src.packets = bytes.div_ceil(100);
    record.ends.src_ip = Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into();
    record.end_ns = SECOND;
    Box::new(record)
}

fn begun() -> (Arc<Board>, Feed) {
    let board = Board::new();
    let mut feed = Board::feed(&board);
    feed.tick(0, Gauges::default());
    (board, feed)
}

fn wide() -> Query {
    Query { window: Window::Minutes15, rows: ROWS_MAX, ..Query::default() }
}

#[test]
fn a_download_counts_while_it_runs_and_not_again_when_it_ends() {
    let (board, mut feed) = begun();
    for second in 1..=5 {
        feed.progress(record(1, 1000 * second));
        feed.tick(second as i64 * SECOND, Gauges::default());
        let seen = board.snapshot(&wide());
        assert_eq!(seen.tops.talkers.total, Amount { bytes: 1000 * second, packets: 10 * second, flows: 1 });
    }
    // What was overtaken changes nothing.
    feed.progress(record(1, 2000));
    feed.flow(record(1, 6000));
    feed.progress(record(1, 6000));
    feed.tick(6 * SECOND, Gauges::default());
    let seen =
        board.snapshot(&Query { flows: Some(FlowQuery { rows: 10, ..FlowQuery::default() }), ..wide() });
    assert_eq!(seen.tops.talkers.total, Amount { bytes: 6000, packets: 60, flows: 1 });
    let rows = seen.flows.unwrap().rows;
    assert_eq!((rows.len(), rows[0].is_open, rows[0].src_bytes), (1, false, 6000));
}

#[test]
fn a_flow_written_in_parts_counts_anew() {
    let (board, mut feed) = begun();
    feed.progress(record(1, 500));
    let mut part = record(1, 800);
    part.reason = EndReason::Active;
    feed.flow(part);
    feed.progress(record(1, 100));
    feed.flow(record(1, 300));
    feed.tick(SECOND, Gauges::default());
    let seen = board.snapshot(&wide());
    assert_eq!((seen.tops.talkers.total.bytes, seen.flows_ended), (1100, 1));
}

#[test]
fn a_name_that_comes_late_gets_the_flow_too() {
    let (board, mut feed) = begun();
    feed.progress(record(1, 100));
    let mut named = record(1, 400);
    named.protocol = ProtocolId::Tls;
    named.found.fields.push((common::HOSTNAME, Value::Str("a.example".into())));
    let found = RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "at=3".into() };
    named.found.risks = vec![found.clone()];
    feed.progress(named.clone());
    feed.flow(named);
    feed.tick(SECOND, Gauges::default());
    let seen = board.snapshot(&Query { risks: 10, ..wide() });
    let protocols: Vec<_> =
        seen.tops.protocols.rows.iter().map(|row| (&*row.name, row.amount.bytes, row.amount.flows)).collect();
    assert_eq!(protocols, [("tls", 300, 1), ("unknown", 100, 1)]);
    assert_eq!(seen.tops.hosts.rows[0].name, "a.example");
    assert_eq!((seen.risks.len(), seen.risks_found, seen.tops.risks.rows[0].amount.flows), (1, 1, 1));
    assert_eq!((&*seen.risks[0].evidence, seen.risks[0].severity), ("at=3", "medium"));
}

#[test]
fn an_engine_does_not_wait_for_a_viewer() {
    let (board, mut feed) = begun();
    let looking = lock(&board.state);
    for number in 0..INBOX_MAX as u64 + 10 {
        feed.flow(record(number, 100));
    }
    feed.tick(SECOND, Gauges::default());
    drop(looking);
    let seen = board.snapshot(&wide());
    assert_eq!((seen.flows_ended, seen.board.records_missed), (INBOX_MAX as u64, 10));
    feed.tick(2 * SECOND, Gauges::default());
    let losses = board.snapshot(&wide()).losses;
    assert_eq!((losses.len(), losses[0].total), (1, 10));
}

#[test]
fn every_table_has_an_end() {
    let (board, mut feed) = begun();
    let flows = (OPEN_MAX + RECENT_MAX) as u64 + 5000;
    for number in 0..flows {
        let mut flow = record(number, 60);
        flow.ends.dst_ip = Ipv4Addr::from_bits(number as u32).into();
        flow.found.fields.push((common::HOSTNAME, Value::Str(format!("{number}.example").into())));
        flow.found.risks = vec![RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "x".into() }];
        feed.progress(flow.clone());
        if number >= OPEN_MAX as u64 {
            feed.flow(flow);
        }
    }
    feed.tick(SECOND, Gauges::default());
    let all = FlowQuery { rows: ROWS_MAX, ..FlowQuery::default() };
    let seen = board.snapshot(&Query { flows: Some(all), risks: usize::MAX, ..wide() });
    let page = seen.flows.unwrap();
    assert_eq!((page.of, page.rows.len()), (OPEN_MAX + RECENT_MAX, ROWS_MAX));
    assert_eq!((seen.risks.len(), seen.risks_found), (RISKS_MAX, flows));
    assert_eq!(seen.board.reports_deferred, flows - OPEN_MAX as u64);
    // What was put off counted when it ended.
    assert_eq!(seen.tops.talkers.total, Amount { bytes: 60 * flows, packets: flows, flows });
    assert!(seen.tops.talkers.error <= 2 * 60 * flows / NAMES_MAX as u64);
    let names = seen.budgets.iter().find(|budget| budget.name == "names counted").unwrap();
    assert!(names.now <= names.max && names.now > NAMES_MAX as u64);
    // A flow whose end was lost is not followed for ever.
    for second in 2..STALE_S as i64 + 70 {
        feed.tick(second * SECOND, Gauges::default());
    }
    assert_eq!(board.snapshot(&wide()).board.flows_stale, OPEN_MAX as u64);
}

#[test]
fn ten_million_addresses_take_no_more_room_than_some() {
    let one = Amount { bytes: 60, packets: 1, flows: 1 };
    let key = |i: u32| frequent::Key::Address(Ipv4Addr::from_bits(i).into());
    let heavy = frequent::Key::Address(IpAddr::from([198, 51, 100, 7]));
    let mut sketch = Frequent::new(Measure::Flows, NAMES_MAX);
    for i in 0..10_000_000 {
        sketch.add(key(i), one);
        if i.is_multiple_of(100) {
            sketch.add(heavy.clone(), one);
        }
        assert!(sketch.len() <= NAMES_MAX);
    }
    let missing_max = 2 * 10_100_000 / NAMES_MAX as u64;
    assert!(sketch.total().flows == 10_100_000 && sketch.error() <= missing_max);
    // One flow in a hundred and one is to the same address: it is the first, and less than 1/512 is missing.
    let (first, amount) = sketch.top(Measure::Flows, 2).swap_remove(0);
    assert_eq!(first, &heavy);
    assert!((100_000 - missing_max..=100_000).contains(&amount.flows));
}

#[test]
fn a_scan_fills_every_window_and_no_more() {
    let mut windows = Windows::default();
    let one = Amount { bytes: 60, packets: 1, flows: 1 };
    for i in 0..1_000_000_u32 {
        windows.now.add(Kind::Servers, frequent::Key::Address(Ipv4Addr::from_bits(i).into()), one);
        if i % 2000 == 1999 {
            windows.second();
        }
    }
    assert!(windows.names() <= NAMES_HELD_MAX && windows.names() > 30 * NAMES_MAX);
    let (panes, covered_s) = windows.panes(Window::Minutes15);
    let sum = window::sum(&panes, Kind::Servers, Measure::Flows);
    assert_eq!((covered_s, sum.total().flows), (500, 1_000_000));
    assert!(sum.len() <= NAMES_MAX && sum.error() <= 2 * 1_000_000 / NAMES_MAX as u64);
}

#[test]
fn time_may_jump() {
    let (board, mut feed) = begun();
    let gauges = |packets| Gauges { packets, bytes: packets * 100, flows_open: packets, ..Gauges::default() };
    // Late, early, back, far on.
    for (now_ns, packets) in
        [(3 * SECOND, 30), (3 * SECOND + 1000, 35), (SECOND, 40), (2 * SECOND, 50), (9999 * SECOND, 60)]
    {
        feed.tick(now_ns, gauges(packets));
    }
    let seen = board.snapshot(&wide());
    let packets: Vec<_> = seen.seconds.iter().map(|second| second.packets).collect();
    assert_eq!(packets, [10, 10, 10, 10, 10, 10]);
    assert_eq!((seen.board.clock_jumps, seen.rates.bits_per_s, seen.rates.flows_per_s), (2, 8000, 10));
    assert_eq!(board.ticks(), 6);
    assert_eq!(board.wait(6, Duration::ZERO), 6);
}

#[test]
fn what_is_frozen_stays_and_can_be_asked() {
    let (board, mut feed) = begun();
    (0..20).for_each(|number| feed.flow(record(number, 100 + number)));
    feed.tick(SECOND, Gauges { bytes: 5000, packets: 50, ..Gauges::default() });
    let flows = FlowQuery { rows: 5, sort: Sort::Bytes, ..FlowQuery::default() };
    let query = Query { flows: Some(flows), risks: 5, seconds: 3, ..wide() };
    let frozen = board.freeze();
    let before = serde_json::to_value(board.snapshot(&query)).unwrap();
    feed.flow(record(99, 9999));
    feed.tick(2 * SECOND, Gauges { bytes: 9000, packets: 90, ..Gauges::default() });
    assert_eq!(serde_json::to_value(frozen.snapshot(&query)).unwrap(), before);
    assert_ne!(serde_json::to_value(board.snapshot(&query)).unwrap(), before);
    let uid = before["flows"]["rows"][0]["uid"].as_str().unwrap().to_owned();
    let one = Query { uid: Some(uid), ..Query::default() };
    assert_eq!(frozen.snapshot(&one).flow.unwrap().row.src_bytes, 119);
    assert_eq!(board.snapshot(&Query { uid: Some("nobody".into()), ..wide() }).flow, None);
}

#[test]
fn a_snapshot_as_json() {
    let (board, mut feed) = begun();
    feed.flow(record(1, 1500));
    let interface =
        Interface { name: "eth0".into(), is_up: true, dropped_by_kernel: 3, ..Interface::default() };
    feed.tick(SECOND, Gauges { packets: 15, bytes: 1500, interfaces: vec![interface], ..Gauges::default() });
    let query = Query { kinds: vec![Kind::Talkers], seconds: 1, ..Query::default() };
    insta::assert_json_snapshot!(board.snapshot(&query));
}

/// What happens to a flow.
#[derive(Clone, Copy, Debug)]
enum Step {
    Grow(u64),
    Report,
    Tick,
    End,
    Part,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..5000).prop_map(Step::Grow),
        Just(Step::Report),
        Just(Step::Report),
        Just(Step::Tick),
        Just(Step::End),
        Just(Step::Part)
    ]
}

proptest! {
    /// However reports, parts and ends of many flows follow each other, every byte counts once, under the right name.
    #[test]
    fn bytes_count_once(steps in prop::collection::vec((0u64..12, step()), 0..300)) {
        let (board, mut feed) = begun();
        // Of each flow: which number it has now, and what it has sent in this part.
        let mut flows: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut truth: HashMap<u64, u64> = HashMap::new();
        let mut now_ns = 0;
        let told = |client: u64, number: u64, bytes: u64| {
            let mut told = record(number, bytes);
            told.ends.src_ip = Ipv4Addr::from_bits(client as u32).into();
            told
        };
        for (client, step) in steps {
            let (life, bytes) = flows.entry(client).or_default();
            let number = client * 1000 + *life;
            match step {
                Step::Grow(more) => *bytes += more,
                Step::Report => feed.progress(told(client, number, *bytes)),
                Step::Tick => {
                    now_ns += SECOND;
                    feed.tick(now_ns, Gauges::default());
                }
                Step::End | Step::Part => {
                    let mut end = told(client, number, *bytes);
                    let is_part = matches!(step, Step::Part);
                    end.reason = if is_part { EndReason::Active } else { EndReason::Closed };
                    feed.flow(end);
                    *truth.entry(client).or_default() += *bytes;
                    (*life, *bytes) = (*life + u64::from(!is_part), 0);
                }
            }
        }
        for (client, (life, bytes)) in &flows {
            feed.flow(told(*client, client * 1000 + life, *bytes));
            *truth.entry(*client).or_default() += bytes;
        }
        feed.tick(now_ns + SECOND, Gauges::default());
        let seen = board.snapshot(&wide());
        prop_assert_eq!(seen.tops.talkers.error, 0);
        for (client, bytes) in truth {
            let name = Ipv4Addr::from_bits(client as u32).to_string();
            let counted = seen.tops.talkers.rows.iter().find(|row| row.name == name);
            prop_assert_eq!(counted.map_or(0, |row| row.amount.bytes), bytes, "{}", name);
        }
    }
}
