//! A link on which the made-up network's flows go by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_inspect::{FlowRecord, RecordSink as _, columns};
use daylight_protocols::{RiskFound, Value};
use daylight_watch::Board;
use daylight_watch::board::{Gauges, Interface};

use super::{Dice, SERVICES};

/// Feeds a board, a tick each `tick`, until it is over. `name` gives some flows another host's name.
pub fn feed(
    board: &Arc<Board>,
    over: &Arc<AtomicBool>,
    tick: Duration,
    seconds_before: u32,
    names: Vec<String>,
) {
    let mut feed = Board::feed(board);
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let mut dice = Dice(11);
        let (mut packets, mut bytes, mut number) = (0, 0, 1);
        let now = || i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        let started = now() - i64::from(seconds_before) * 1_000_000_000;
        let mut second = 0u32;
        while !over.load(Ordering::Relaxed) {
            let time_ns = started + i64::from(second) * 1_000_000_000;
            let swell = 1.4 + (f64::from(second) / 23.0).sin() + 0.4 * (f64::from(second) / 5.0).sin();
            for _ in 0..(14.0 * swell) as u32 + 3 {
                let mut record = flow(&mut dice, number, time_ns, &names);
                number += 1;
                record.src.bytes = (record.src.bytes as f64 * swell) as u64;
                packets += record.src.packets + record.dst.packets;
                bytes += record.src.bytes + record.dst.bytes;
                feed.flow(Box::new(record));
            }
            let interface = Interface {
                name: "demo0".to_owned(),
                is_up: true,
                received: packets,
                dropped_by_kernel: u64::from(second / 100) * 12,
                ..Interface::default()
            };
            feed.tick(
                time_ns,
                Gauges {
                    packets,
                    bytes,
                    interfaces: vec![interface],
                    flows_open: 1800 + dice.below(400),
                    flows_max: 1_000_000,
                    reassembly_bytes: 3_000_000 + dice.below(900_000),
                    reassembly_bytes_max: 64 << 20,
                    fragment_bytes_max: 4 << 20,
                    ..Gauges::default()
                },
            );
            second += 1;
            if second > seconds_before {
                std::thread::sleep(tick);
            }
        }
    });
}

fn leak(text: &str) -> Option<&'static str> {
    SERVICES
        .iter()
        .flat_map(|service| [service.0, service.1])
        .find(|known| !known.is_empty() && *known == text)
}

fn flow(dice: &mut Dice, number: u64, time_ns: i64, names: &[String]) -> FlowRecord {
    let (application, category, host, network, _, kilobytes, protocol) = SERVICES[dice.below(16) as usize];
    let mut record = FlowRecord::blank(number);
    record.start_ns = time_ns - 900_000_000;
    record.end_ns = time_ns - 1;
    let client = (dice.share() * dice.share() * 46.0) as u64 + 11;
    record.ends.src_ip = format!("10.20.{}.{client}", 1 + client % 3).parse().unwrap_or(record.ends.src_ip);
    record.ends.dst_ip = format!("{network}.{}", 10 + dice.below(30)).parse().unwrap_or(record.ends.dst_ip);
    record.application = leak(application);
    record.category = leak(category);
    record.protocol =
        daylight_protocols::ProtocolId::all().find(|id| id.name() == protocol).unwrap_or(record.protocol);
    record.dst.bytes = kilobytes * 90 * (1 + dice.below(9));
    record.src.bytes = record.dst.bytes / 9 + 200;
    record.dst.packets = record.dst.bytes / 1200 + 1;
    record.src.packets = record.dst.packets / 2 + 1;
    let hostname = columns().iter().find_map(|column| match (column.name, column.id) {
        ("hostname", daylight_inspect::ColumnId::Field(field)) => Some(field),
        _ => None,
    });
    let named = match names.is_empty() {
        true => host.to_owned(),
        false => names[dice.below(names.len() as u64) as usize].clone(),
    };
    if let Some(field) = hostname.filter(|_| !named.is_empty()) {
        record.found.fields.push((field, Value::Str(named.as_str().into())));
    }
    let all = daylight_inspect::risks::all();
    if number < 12 || dice.below(400) == 0 {
        let risk = all[dice.below(all.len() as u64) as usize];
        record.found.risks.push(RiskFound { risk, evidence: format!("hostname={named}").into() });
    }
    record
}
