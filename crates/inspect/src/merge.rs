//! Puts together what the shards hand on: in the capture's order, with what flows tell about one another.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use foldhash::fast::RandomState;

use daylight_protocols::{Confidence, Fact, ProtocolId, Transport};

use crate::config::Config;
use crate::record::{EventRecord, FlowRecord};
use crate::shard::Output;
use crate::{enrich, ports};

/// Names and expectations that are remembered; the oldest go first.
const FACTS_MAX: usize = 100_000;
/// An expected flow begins within this time, or not at all.
const EXPECT_PACKETS_MAX: u64 = 1_000_000;

/// Where records and transactions go.
pub trait RecordSink: Send {
    /// A flow has ended (or a part of it, after the active time-out).
    fn flow(&mut self, record: Box<FlowRecord>);

    /// A transaction within a flow. Comes before its flow's record, and only if transactions are wanted.
    fn event(&mut self, event: EventRecord) {
        let _ = event;
    }

    /// True if nobody will read on (a closed pipe, a limit reached): the run stops at the next opportunity.
    fn is_closed(&self) -> bool {
        false
    }
}

/// Collects the records.
impl RecordSink for Vec<FlowRecord> {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.push(*record);
    }
}

/// What flows have told about others, by whom it may concern; what was told later replaces what was told before.
#[derive(Default)]
pub(crate) struct Correlation {
    /// (client, address) -> names with the packet that told them, oldest first.
    names: HashMap<(IpAddr, IpAddr), Names, RandomState>,
    names_order: VecDeque<(IpAddr, IpAddr)>,
    /// (TCP or UDP, address, port) -> what is expected, and the packet that told of it.
    expected: HashMap<(u8, IpAddr, u16), (u64, ProtocolId), RandomState>,
    expected_order: VecDeque<(u8, IpAddr, u16)>,
    /// Facts forgotten for want of room.
    pub(crate) forgotten: u64,
}

/// Names of an address, each with the packet that told it.
type Names = Vec<(u64, Box<str>)>;

/// Names remembered for one client and address.
const NAMES_MAX: usize = 4;

impl Correlation {
    fn learn(&mut self, packet: u64, client: IpAddr, fact: Fact) {
        match fact {
            Fact::Named { name, address } => {
                let key = (client, address);
                match self.names.entry(key) {
                    Entry::Vacant(new) => {
                        // Nearly always the only one: room for one.
                        new.insert(vec![(packet, name)]);
                        self.names_order.push_back(key);
                    }
                    Entry::Occupied(mut old) => {
                        let names = old.get_mut();
                        // A flow that began between two answers with the same name finds the earlier one.
                        if names.last().is_none_or(|(_, n)| *n != name) {
                            names.push((packet, name));
                        }
                        if names.len() > NAMES_MAX {
                            names.remove(0);
                        }
                    }
                }
                if self.names_order.len() > FACTS_MAX
                    && let Some(oldest) = self.names_order.pop_front()
                {
                    self.names.remove(&oldest);
                    self.forgotten += 1;
                }
            }
            Fact::Expect { transport, address, port, protocol } => {
                let number = match transport {
                    Transport::Tcp => 6,
                    Transport::Udp => 17,
                    Transport::Ip(number) => number,
                };
                let key = (number, address, port);
                if self.expected.insert(key, (packet, protocol)).is_none() {
                    self.expected_order.push_back(key);
                }
                if self.expected_order.len() > FACTS_MAX
                    && let Some(oldest) = self.expected_order.pop_front()
                {
                    self.expected.remove(&oldest);
                    self.forgotten += 1;
                }
            }
        }
    }

    /// Labels what the payload could not, and names what names itself not.
    fn apply(&self, record: &mut FlowRecord, first_packet: u64, config: &Config) {
        let ends = &record.ends;
        if record.protocol == ProtocolId::Unknown {
            let expected = [(ends.dst_ip, ends.dst_port), (ends.src_ip, ends.src_port)]
                .into_iter()
                .find_map(|(ip, port)| self.expected.get(&(ends.ip_protocol, ip, port)));
            if let Some((told, protocol)) = expected
                && *told <= first_packet
                && first_packet - told < EXPECT_PACKETS_MAX
            {
                record.protocol = *protocol;
                record.confidence = Confidence::Correlation;
            }
        }
        if record.protocol == ProtocolId::Unknown
            && let Some(protocol) = [ends.dst_port, ends.src_port]
                .into_iter()
                .find_map(|port| ports::at_home(ends.ip_protocol, port))
        {
            record.protocol = protocol;
            record.confidence = Confidence::Port;
        }
        if record.text(daylight_protocols::common::HOSTNAME).is_none()
            && let Some(names) = self.names.get(&(record.ends.src_ip, record.ends.dst_ip))
            && let Some((_, name)) = names.iter().rev().find(|(told, _)| *told <= first_packet)
        {
            record.resolved_name = Some(name.clone());
        }
        enrich::correlated(record, config);
    }

    /// Hands on what came out of one chunk, of all shards.
    pub(crate) fn merge(&mut self, outputs: Vec<Output>, config: &Config, sink: &mut dyn RecordSink) {
        let (mut records, mut facts, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for mut output in outputs {
            // Of one shard alone, as they are.
            if records.is_empty() {
                records = output.records;
            } else {
                records.append(&mut output.records);
            }
            if facts.is_empty() {
                facts = output.facts;
            } else {
                facts.append(&mut output.facts);
            }
            events.append(&mut output.events);
        }
        facts.sort_by_key(|(order, ..)| *order);
        for ((packet, _), client, fact) in facts {
            self.learn(packet, client, fact);
        }
        events.sort_by_key(|(order, _)| *order);
        events.into_iter().for_each(|(_, event)| sink.event(event));
        // Fragments given up together have one place: then the name decides.
        records.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.ends.uid.cmp(&y.ends.uid)));
        for (first_packet, mut record) in records {
            self.apply(&mut record, first_packet, config);
            sink.flow(record);
        }
    }
}
