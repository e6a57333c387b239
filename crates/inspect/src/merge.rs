//! Puts together what the shards hand on: in the capture's order, with what flows tell about one another.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use daylight_protocols::{Confidence, Fact, ProtocolId, Transport};

use crate::config::Config;
use crate::keep::KeptPackets;
use crate::record::{EventRecord, FlowRecord};
use crate::shard::Output;
use crate::{enrich, ports};

/// Names and expectations that are remembered; the oldest go first.
const FACTS_MAX: usize = 100_000;
/// An expected flow begins within so many packets, or not at all.
const EXPECT_PACKETS_MAX: u64 = 1_000_000;
/// Where packets are numbered by their times, within so many nanoseconds.
const EXPECT_NS_MAX: u64 = 120_000_000_000;

/// Where records and transactions go.
pub trait RecordSink: Send {
    /// A flow has ended (or a part of it, after the active time-out).
    fn flow(&mut self, record: Box<FlowRecord>);

    /// A flow goes on, with these counters since its start (or since its last part). Comes from time to time, of the busiest
    /// flows, and only from an engine that was asked to report.
    fn progress(&mut self, record: Box<FlowRecord>) {
        let _ = record;
    }

    /// The first packets of the flow whose record comes next. Only from an engine that was asked to keep them.
    fn packets(&mut self, record: &FlowRecord, packets: KeptPackets) {
        let _ = (record, packets);
    }

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
    names: Names,
    /// (TCP or UDP, address, port) -> what is expected, and the packet that told of it.
    expected: HashMap<(u8, IpAddr, u16), (u64, ProtocolId), RandomState>,
    expected_order: VecDeque<(u8, IpAddr, u16)>,
    /// Packets are numbered by their times.
    by_time: bool,
    /// Facts forgotten for want of room.
    pub(crate) forgotten: u64,
}

/// The client that was told, and the address that was named.
type Key = (IpAddr, IpAddr);

/// What addresses are called. A ring of the last [`FACTS_MAX`], chained by hash from the youngest to the oldest: where a
/// chain leaves the ring it ends, so that the oldest goes without being looked for.
#[derive(Default)]
struct Names {
    ring: VecDeque<Named>,
    /// How many have left the ring.
    gone: u32,
    /// Bucket -> the place of its youngest, from 1 on, counted from the very first (and on from 0 after 2^32).
    youngest: Vec<u32>,
    hasher: RandomState,
}

/// What one address is called.
struct Named {
    key: Key,
    /// The place of the next older one in the bucket.
    older: u32,
    /// The name that was told last.
    last: Told,
}

impl Names {
    /// More than twice as many as there are names: hardly any chain is longer than one.
    const BUCKETS: usize = 1 << 18;

    fn bucket(&self, key: Key) -> usize {
        self.hasher.hash_one(key) as usize % Self::BUCKETS
    }

    /// Where in the ring it is.
    fn find(&self, key: Key, bucket: usize) -> Option<usize> {
        let mut place = *self.youngest.get(bucket)?;
        let mut end = self.ring.len();
        loop {
            let i = place.wrapping_sub(self.gone).wrapping_sub(1) as usize;
            // What has left the ring, or was never in it, is not before the one that led here.
            if i >= end {
                return None;
            }
            let named = &self.ring[i];
            if named.key == key {
                return Some(i);
            }
            (place, end) = (named.older, i);
        }
    }

    fn get(&self, key: Key) -> Option<&Told> {
        self.find(key, self.bucket(key)).map(|i| &self.ring[i].last)
    }

    /// Takes in a name; how many were forgotten for it.
    fn learn(&mut self, packet: u64, key: Key, name: &Arc<str>) -> u64 {
        let told = Told { packet, name: Arc::clone(name), before: None };
        let bucket = self.bucket(key);
        if let Some(i) = self.find(key, bucket) {
            self.ring[i].last.insert(told);
            self.ring[i].last.truncate(NAMES_MAX);
            return 0;
        }
        if self.youngest.is_empty() {
            self.youngest = vec![0; Self::BUCKETS];
        }
        let place = self.gone.wrapping_add(self.ring.len() as u32).wrapping_add(1);
        let older = std::mem::replace(&mut self.youngest[bucket], place);
        self.ring.push_back(Named { key, older, last: told });
        if self.ring.len() <= FACTS_MAX {
            return 0;
        }
        self.ring.pop_front();
        self.gone = self.gone.wrapping_add(1);
        1
    }
}

/// A name that was told.
struct Told {
    /// The packet that told it.
    packet: u64,
    /// Shared by the addresses of one answer.
    name: Arc<str>,
    /// What was told before.
    before: Option<Box<Self>>,
}

impl Told {
    /// From the last one back.
    fn iter(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |told| told.before.as_deref())
    }

    /// Puts in what was told, behind what was told later: of several engines, one may be ahead of another.
    fn insert(&mut self, told: Self) {
        if self.packet > told.packet {
            match &mut self.before {
                Some(before) => before.insert(told),
                None => self.before = Some(Box::new(told)),
            }
            return;
        }
        // A flow that began between two answers with the same name finds the earlier one.
        if self.name != told.name {
            let before = std::mem::replace(self, told);
            self.before = Some(Box::new(before));
        }
    }

    /// Forgets all but so many.
    fn truncate(&mut self, length: usize) {
        let mut last = self;
        for _ in 1..length {
            let Some(before) = &mut last.before else { return };
            last = before;
        }
        last.before = None;
    }
}

/// Names remembered for one client and address.
const NAMES_MAX: usize = 4;

impl Correlation {
    /// For packets whose numbers are their times in nanoseconds: of several engines, none knows how many packets the others
    /// have taken in.
    pub(crate) fn by_time() -> Self {
        Self { by_time: true, ..Self::default() }
    }

    fn learn(&mut self, packet: u64, client: IpAddr, fact: Fact) {
        match fact {
            Fact::Named { name, addresses } => {
                let name = Arc::from(name);
                for address in addresses {
                    self.forgotten += self.names.learn(packet, (client, address), &name);
                }
            }
            // The shard keeps it to itself.
            Fact::Asked(_) => {}
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

    /// Labels what the payload could not, and names what names itself not; by its port only if `by_port`.
    pub(crate) fn apply(&self, record: &mut FlowRecord, first_packet: u64, config: &Config, by_port: bool) {
        let ends = &record.ends;
        if record.protocol == ProtocolId::Unknown {
            let expected = [(ends.dst_ip, ends.dst_port), (ends.src_ip, ends.src_port)]
                .into_iter()
                .find_map(|(ip, port)| self.expected.get(&(ends.ip_protocol, ip, port)));
            if let Some((told, protocol)) = expected
                && *told <= first_packet
                && first_packet - told < if self.by_time { EXPECT_NS_MAX } else { EXPECT_PACKETS_MAX }
            {
                record.protocol = *protocol;
                record.confidence = Confidence::Correlation;
            }
        }
        if by_port
            && record.protocol == ProtocolId::Unknown
            && let Some(protocol) = [ends.dst_port, ends.src_port]
                .into_iter()
                .find_map(|port| ports::at_home(ends.ip_protocol, port))
        {
            record.protocol = protocol;
            record.confidence = Confidence::Port;
        }
        if record.text(daylight_protocols::common::HOSTNAME).is_none()
            && let Some(last) = self.names.get((record.ends.src_ip, record.ends.dst_ip))
            && let Some(told) = last.iter().find(|told| told.packet <= first_packet)
        {
            record.resolved_name = Some((&*told.name).into());
        }
        enrich::correlated(record, config);
    }

    /// Hands on what came out of one chunk, of all shards.
    pub(crate) fn merge(&mut self, outputs: Vec<Output>, config: &Config, sink: &mut dyn RecordSink) {
        let (mut records, mut facts, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let (mut progress, mut kept) = (Vec::new(), HashMap::<_, _, RandomState>::default());
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
            progress.append(&mut output.progress);
            kept.extend(output.kept);
        }
        // Fragments given up together have one place: then the client decides, or the name.
        facts.sort_by_key(|(order, client, _)| (*order, *client));
        for ((packet, _), client, fact) in facts {
            self.learn(packet, client, fact);
        }
        events.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.ends.uid.cmp(&y.ends.uid)));
        events.into_iter().for_each(|(_, event)| sink.event(event));
        records.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.ends.uid.cmp(&y.ends.uid)));
        for (first_packet, mut record) in records {
            self.apply(&mut record, first_packet, config, true);
            if let Some(packets) = kept.remove(&first_packet) {
                sink.packets(&record, packets);
            }
            sink.flow(record);
        }
        for (first_packet, mut record) in progress {
            self.apply(&mut record, first_packet, config, true);
            sink.progress(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        (IpAddr::from([192, 0, 2, 1]), IpAddr::from(n.to_be_bytes()))
    }

    fn name_at(names: &Names, n: u32, packet: u64) -> Option<&str> {
        names.get(key(n))?.iter().find(|told| told.packet <= packet).map(|told| &*told.name)
    }

    #[test]
    fn the_name_that_was_told_last_before_a_packet() {
        let mut names = Names::default();
        assert!(names.get(key(1)).is_none());
        for (packet, name) in [(1, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "d"), (6, "e")] {
            assert_eq!(names.learn(packet, key(1), &name.into()), 0);
        }
        // Four are kept, and of the same name told twice in a row the first.
        let found = [1, 2, 3, 4, 9].map(|packet| name_at(&names, 1, packet));
        assert_eq!(found, [None, Some("b"), Some("b"), Some("c"), Some("e")]);
        assert!(names.get(key(2)).is_none());
        assert!(names.get((key(1).1, key(1).0)).is_none());
    }

    #[test]
    fn told_late_it_has_its_place() {
        let mut names = Names::default();
        for (packet, name) in [(30, "c"), (10, "a"), (20, "b"), (21, "b")] {
            names.learn(packet, key(1), &name.into());
        }
        let found = [9, 10, 19, 20, 29, 30].map(|packet| name_at(&names, 1, packet));
        assert_eq!(found, [None, Some("a"), Some("a"), Some("b"), Some("b"), Some("c")]);
    }

    #[test]
    fn the_oldest_addresses_are_forgotten() {
        let (max, mut names) = (FACTS_MAX as u32, Names { gone: u32::MAX - 50_000, ..Names::default() });
        let mut forgotten = 0;
        for n in 0..max * 3 {
            forgotten += names.learn(n.into(), key(n), &"a".into());
            // Told again, it stays where it is.
            forgotten += names.learn(n.into(), key(n.saturating_sub(max / 2)), &"b".into());
        }
        assert_eq!(forgotten, u64::from(max * 2));
        for n in 0..max * 3 {
            let want = (n >= max * 2).then_some(if n < max * 5 / 2 { "b" } else { "a" });
            assert_eq!(name_at(&names, n, u64::MAX), want, "{n}");
        }
    }
}
