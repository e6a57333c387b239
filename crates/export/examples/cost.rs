//! What it costs to hand a record over, and to read it out again: `cargo run --release --example cost [RECORDS]`.
//!
//! The peer is the same record written as JSON into memory, so that the ratio is the price of the spool alone.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::time::{Duration, Instant};

use daylight_export::Sink;
use daylight_export::spool::{Limits, Spool};
use daylight_inspect::{FlowRecord, RecordSink, columns};
use daylight_protocols::{ProtocolId, common};
use daylight_store::JsonLine;

fn record(n: u64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(n);
    record.protocol = ProtocolId::Tls;
    record.application = Some("example");
    record.found.fields.push((common::HOSTNAME, format!("host-{n}.example").into()));
    record.found.fields.push((common::TLS_VERSION, "TLSv1.3".into()));
    record.into()
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let made: Vec<_> = (0..count).map(record).collect();
    let form = JsonLine::new(columns().iter().collect());
    let (mut line, mut bytes) = (Vec::new(), 0);
    let begun = Instant::now();
    for record in &made {
        line.clear();
        form.write(record, &[], &mut line);
        bytes += line.len();
    }
    let json = begun.elapsed();
    let folder = std::env::temp_dir().join(format!("daylight-cost-{}", std::process::id()));
    let spool = Spool::open(&folder, 8 << 30, &["a"]).expect("a spool in the folder for temporary files");
    let mut sink = Sink::new(std::sync::Arc::clone(&spool), "north");
    let begun = Instant::now();
    made.into_iter().for_each(|record| sink.flow(record));
    let handed_over = begun.elapsed();
    let mut reader = spool.reader("a").expect("it was opened for a");
    let (begun, mut read) = (Instant::now(), 0);
    while let Ok(Some(batch)) =
        reader.next(&Limits { linger: Duration::ZERO, ..Limits::default() }, Duration::ZERO)
    {
        read += batch.entries.len() as u64;
        reader.acknowledge(&batch);
    }
    let read_out = begun.elapsed();
    drop((reader, sink, spool));
    let _ = std::fs::remove_dir_all(&folder);
    assert_eq!(read, count);
    let ratio = |time: Duration| time.as_secs_f64() / json.as_secs_f64();
    let each = |time: Duration| time.as_nanos() / u128::from(count);
    println!("{count} records of {} bytes", bytes as u64 / count);
    println!("as JSON into memory  1.00 ({} ns each here)", each(json));
    println!("handed over          {:.2} ({} ns)", ratio(handed_over), each(handed_over));
    println!("read and acknowledged {:.2} ({} ns)", ratio(read_out), each(read_out));
}
