//! What is let through, and in what order.

use daylight_inspect::{EventRecord, FlowRecord, RecordSink, column, compile};

use super::event;
use crate::{Order, Select};

/// Source ports of the flows, and for each how many transactions came before it.
#[derive(Default)]
struct Seen {
    flows: Vec<(u16, usize)>,
    events: Vec<EventRecord>,
}

impl RecordSink for Seen {
    fn flow(&mut self, record: Box<FlowRecord>) {
        let own = self.events.iter().filter(|e| e.ends.uid == record.ends.uid).count();
        self.flows.push((record.ends.src_port, own));
    }

    fn event(&mut self, event: EventRecord) {
        self.events.push(event);
    }
}

/// Flows with these source ports, each after a transaction of its own.
fn run(ports: &[u16], condition: Option<&str>, order: Option<(&str, bool)>, limit: Option<u64>) -> Seen {
    let condition = condition.map(|text| compile(text).unwrap_or_else(|e| panic!("{e}")));
    let order = order.map(|(name, descending)| Order { column: column(name).unwrap().id, descending });
    let mut select = Select::new(Seen::default(), condition, order, limit);
    for (i, port) in ports.iter().enumerate() {
        if select.is_closed() {
            break;
        }
        let number = i as u64;
        select.event(event(number, "dns", Vec::new()));
        let mut record = FlowRecord::blank(number);
        record.ends.src_port = *port;
        record.tunnel = (*port >= 100).then(|| "gre".into());
        select.flow(record.into());
    }
    select.release();
    let seen = select.into_inner();
    assert_eq!(seen.events.len(), seen.flows.len(), "transactions are let through with their flows");
    assert!(seen.flows.iter().all(|(_, events)| *events == 1), "and come before them");
    seen
}

fn ports(seen: &Seen) -> Vec<u16> {
    seen.flows.iter().map(|(port, _)| *port).collect()
}

#[test]
fn everything_without_a_choice() {
    assert_eq!(ports(&run(&[3, 1, 2], None, None, None)), [3, 1, 2]);
}

#[test]
fn a_condition() {
    assert_eq!(ports(&run(&[3, 1, 2, 9], Some("src_port >= 2 and src_port != 9"), None, None)), [3, 2]);
}

#[test]
fn a_limit_closes() {
    assert_eq!(ports(&run(&[3, 1, 2], None, None, Some(2))), [3, 1]);
    assert_eq!(ports(&run(&[3, 1, 2], None, None, Some(0))), [0u16; 0]);
    assert_eq!(ports(&run(&[3, 1, 2], Some("src_port < 3"), None, Some(1))), [1]);
}

#[test]
fn an_order() {
    assert_eq!(ports(&run(&[3, 1, 2], None, Some(("src_port", false)), None)), [1, 2, 3]);
    assert_eq!(ports(&run(&[3, 1, 2], None, Some(("src_port", true)), Some(2))), [3, 2]);
    // What is equal stays as it came; what was not seen comes first.
    assert_eq!(ports(&run(&[3, 1, 2], None, Some(("dst_port", false)), None)), [3, 1, 2]);
    assert_eq!(ports(&run(&[300, 1, 200, 2], None, Some(("tunnel", false)), None)), [1, 2, 300, 200]);
}

#[test]
fn an_order_of_many_with_a_limit() {
    let many: Vec<u16> = (0..5000u32).map(|i| (i * 7919 % 65_521) as u16).collect();
    let mut sorted = many.clone();
    sorted.sort_unstable();
    assert_eq!(ports(&run(&many, None, Some(("src_port", false)), Some(10))), sorted[..10]);
}
