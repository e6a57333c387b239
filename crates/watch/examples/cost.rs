//! What the board costs an engine for each record, beside the summary that `daylight inspect` makes of the same records,
//! and what a viewer's look costs while it is full.
//!
//!     cost [RECORDS]
//!
//! Three kinds of traffic: few names that come again and again, a scan in which every address is new, and both with host
//! names. Figures are only good for their ratio.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use daylight_inspect::summary::Summary;
use daylight_inspect::{FlowRecord, RecordSink};
use daylight_protocols::{Value, common};
use daylight_watch::Board;
use daylight_watch::board::{FlowQuery, Gauges, Query, Window};

/// The record of a flow: `spread` addresses and, if wanted, as many names.
fn record(number: u64, spread: u64, named: bool) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(number);
    let one = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % spread;
    record.ends.dst_ip = Ipv4Addr::from_bits(one as u32).into();
    record.ends.src_ip = Ipv4Addr::from_bits(0x0a00_0000 + (number % 500) as u32).into();
    (record.src.bytes, record.src.packets) = (60 + number % 1400, 1);
    if named {
        record.found.fields.push((common::HOSTNAME, Value::Str(format!("host-{one}.example.org").into())));
    }
    Box::new(record)
}

/// The time that a sink takes for so many records, without that of making them; `second` is called now and then.
fn time<S: RecordSink>(
    sink: &mut S,
    records: u64,
    spread: u64,
    named: bool,
    second: impl Fn(&mut S, u64),
) -> Duration {
    let mut spent = Duration::ZERO;
    for (i, from) in (0..records).step_by(10_000).enumerate() {
        let batch: Vec<_> =
            (from..records.min(from + 10_000)).map(|number| record(number, spread, named)).collect();
        let start = Instant::now();
        batch.into_iter().for_each(|record| sink.flow(record));
        second(sink, i as u64);
        spent += start.elapsed();
    }
    spent
}

fn main() {
    let records = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut out = String::new();
    for (what, spread, named) in
        [("few addresses", 500, false), ("a scan", u64::from(u32::MAX), false), ("many names", 100_000, true)]
    {
        let board = Board::new();
        let mut feed = Board::feed(&board);
        feed.tick(0, Gauges::default());
        let ours = time(&mut feed, records, spread, named, |feed, second| {
            feed.tick((second as i64 + 1) * 1_000_000_000, Gauges::default());
        });
        let theirs = time(&mut Summary::default(), records, spread, named, |_, _| {});
        let query = Query {
            window: Window::Minutes15,
            flows: Some(FlowQuery { rows: 100, ..FlowQuery::default() }),
            seconds: 900,
            ..Query::default()
        };
        let start = Instant::now();
        let looks: u32 = 20;
        for _ in 0..looks {
            std::hint::black_box(board.snapshot(&query));
        }
        let look = start.elapsed() / looks;
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let each = ours.as_nanos() / u128::from(records.max(1));
        out += &format!(
            "{what}: {each} ns a record, {ratio:.1} of the summary's; a look at everything {look:.1?}\n"
        );
    }
    eprint!("{out}");
}
