//! What becomes of a frame, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use daylight_capture::raw_socket::{Offload, RawFrame};
use serde::Serialize;

use super::Direction;
use super::impairment::{Fate, Impairment, Line};
use super::large;
use crate::adversary::packet::{ETHERNET_BYTES, Packet};
use crate::adversary::{Adversary, AdversaryCounters, Injected, Out, Verdict, icmp};

/// How a link behaves.
#[derive(Default)]
pub struct HopConfig {
    /// The line from left to right.
    pub outbound: Impairment,
    /// The line from right to left.
    pub inbound: Impairment,
    /// Who stands at its left end, in the order in which packets come to them.
    pub adversaries: Vec<Adversary>,
    /// The same seed and the same packets give the same losses.
    pub seed: u64,
}

/// What a hop has done to one direction's packets; frames that were cut count as what they were cut into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HopCounters {
    /// Frames that came in.
    pub received: u64,
    /// … and the bytes in them, from the Ethernet header on.
    pub received_bytes: u64,
    /// Frames handed out.
    pub delivered: u64,
    /// … and the bytes in them.
    pub delivered_bytes: u64,
    /// Put in by an adversary, in this direction.
    pub injected: u64,
    /// Dropped by an adversary.
    pub dropped_by_adversary: u64,
    /// Lost at random.
    pub lost: u64,
    /// Dropped because the line's queue was full.
    pub queue_full: u64,
    /// Dropped because they exceeded the rate.
    pub policed: u64,
    /// Dropped because they were too long for the line.
    pub too_long: u64,
    /// Dropped because the hop held all that it may hold.
    pub over_budget: u64,
}

/// A hop holds at most so many frames of both directions; what comes then is dropped, and counted.
const FRAMES_HELD_MAX: usize = 100_000;
/// … and so many bytes: a fifth of a second at 10 Gbit/s.
const BYTES_HELD_MAX: usize = 256 << 20;

/// Where a frame that waits goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the adversary with this number.
    Adversary(usize),
    /// Onto the line.
    Line,
    /// Out.
    Exit,
}

struct Waiting {
    due_ns: u64,
    /// Of two that are due at once, the one that came first goes first.
    number: u64,
    stage: Stage,
    direction: Direction,
    frame: RawFrame,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.number).cmp(&(other.due_ns, other.number))
    }
}

/// A link without sockets or clocks. Times are nanoseconds of any clock that never goes back.
pub struct Core {
    lines: [Line; 2],
    adversaries: Vec<Adversary>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    waiting_bytes: usize,
    /// Due already, in order.
    ready: VecDeque<(Direction, RawFrame)>,
    number: u64,
    cuts: bool,
    counters: [HopCounters; 2],
    out: Out,
}

impl Core {
    /// A link at rest.
    pub fn new(config: HopConfig) -> Self {
        let cuts = !config.adversaries.is_empty()
            || config.outbound.counts_packets()
            || config.inbound.counts_packets();
        Self {
            lines: [
                Line::new(config.outbound, config.seed.wrapping_mul(2)),
                Line::new(config.inbound, config.seed.wrapping_mul(2).wrapping_add(1)),
            ],
            adversaries: config.adversaries,
            waiting: BinaryHeap::new(),
            waiting_bytes: 0,
            ready: VecDeque::new(),
            number: 0,
            cuts,
            counters: Default::default(),
            out: Out::default(),
        }
    }

    /// A frame has come in.
    pub fn push(&mut self, now_ns: u64, direction: Direction, frame: RawFrame) {
        if self.cuts && frame.offload.is_large() {
            for piece in large::cut(frame) {
                self.enter(now_ns, direction, piece);
            }
        } else {
            self.enter(now_ns, direction, frame);
        }
    }

    fn enter(&mut self, now_ns: u64, direction: Direction, frame: RawFrame) {
        let counters = &mut self.counters[direction.index()];
        counters.received += 1;
        counters.received_bytes += frame.bytes.len() as u64;
        let full = self.waiting.len() + self.ready.len() >= FRAMES_HELD_MAX
            || self.waiting_bytes + frame.bytes.len() > BYTES_HELD_MAX;
        if full {
            counters.over_budget += 1;
            return;
        }
        let stage = match direction {
            Direction::Outbound => Stage::Adversary(0),
            Direction::Inbound => Stage::Line,
        };
        self.step(now_ns, direction, stage, frame);
    }

    /// Takes a frame as far as it goes at this moment.
    fn step(&mut self, now_ns: u64, direction: Direction, stage: Stage, frame: RawFrame) {
        match stage {
            Stage::Adversary(first) => self.meddle(now_ns, direction, first, frame),
            Stage::Line => self.carry(now_ns, direction, frame),
            Stage::Exit => self.exit(direction, frame),
        }
    }

    fn wait(&mut self, due_ns: u64, direction: Direction, stage: Stage, frame: RawFrame) {
        self.number += 1;
        self.waiting_bytes += frame.bytes.len();
        self.waiting.push(Reverse(Waiting { due_ns, number: self.number, stage, direction, frame }));
    }

    fn exit(&mut self, direction: Direction, frame: RawFrame) {
        let counters = &mut self.counters[direction.index()];
        counters.delivered += 1;
        counters.delivered_bytes += frame.bytes.len() as u64;
        self.ready.push_back((direction, frame));
    }

    /// What comes after the last adversary.
    fn beyond(direction: Direction) -> Stage {
        match direction {
            Direction::Outbound => Stage::Line,
            Direction::Inbound => Stage::Exit,
        }
    }

    fn carry(&mut self, now_ns: u64, direction: Direction, frame: RawFrame) {
        let ip_bytes = frame.bytes.len().saturating_sub(ETHERNET_BYTES);
        let line = &mut self.lines[direction.index()];
        let counters = &mut self.counters[direction.index()];
        let next = match direction {
            Direction::Outbound => Stage::Exit,
            Direction::Inbound => Stage::Adversary(0),
        };
        match line.carry(now_ns, ip_bytes) {
            Fate::Arrives(due_ns) if due_ns <= now_ns && self.waiting.is_empty() => {
                self.step(now_ns, direction, next, frame);
            }
            Fate::Arrives(due_ns) => self.wait(due_ns, direction, next, frame),
            Fate::Lost => counters.lost += 1,
            Fate::QueueFull => counters.queue_full += 1,
            Fate::Policed => counters.policed += 1,
            Fate::TooLong(mtu) => {
                counters.too_long += 1;
                if !line.impairment().mtu_silent
                    && let Some(packet) = Packet::from_frame(&frame.bytes)
                    && let Some(ip) = icmp::too_big(&packet, mtu)
                {
                    let back = direction.reverse();
                    let stage = match back {
                        Direction::Outbound => Stage::Exit,
                        Direction::Inbound => Stage::Adversary(0),
                    };
                    let reply = wrap(&frame.bytes, true, &ip);
                    self.step(now_ns, back, stage, reply);
                }
            }
        }
    }

    fn meddle(&mut self, now_ns: u64, direction: Direction, first: usize, mut frame: RawFrame) {
        for number in first..self.adversaries.len() {
            // ARP and the like concern nobody here.
            let Some(packet) = Packet::from_frame(&frame.bytes) else { break };
            let Some(adversary) = self.adversaries.get_mut(number) else { break };
            let mut out = std::mem::take(&mut self.out);
            let verdict = adversary.packet(now_ns, direction, &packet, &mut out);
            self.inject(now_ns, direction, &frame.bytes, &mut out);
            self.out = out;
            match verdict {
                Verdict::Pass => {}
                Verdict::Drop => {
                    self.counters[direction.index()].dropped_by_adversary += 1;
                    return;
                }
                Verdict::Delay(ns) => {
                    return self.wait(
                        now_ns.saturating_add(ns),
                        direction,
                        Stage::Adversary(number + 1),
                        frame,
                    );
                }
                Verdict::Replace(ip) => frame = wrap(&frame.bytes, false, &ip),
            }
        }
        self.step(now_ns, direction, Self::beyond(direction), frame);
    }

    /// What an adversary puts in goes past the other adversaries: they stand at the same place.
    fn inject(&mut self, now_ns: u64, direction: Direction, trigger: &[u8], out: &mut Out) {
        for Injected { direction: to, ip, after_ns } in out.injected.drain(..) {
            let frame = wrap(trigger, to != direction, &ip);
            self.counters[to.index()].injected += 1;
            if after_ns == 0 {
                self.step(now_ns, to, Self::beyond(to), frame);
            } else {
                self.wait(now_ns.saturating_add(after_ns), to, Self::beyond(to), frame);
            }
        }
    }

    /// The next frame that is due, and which way it goes. To be called until it gives none.
    pub fn poll(&mut self, now_ns: u64) -> Option<(Direction, RawFrame)> {
        loop {
            if let Some(due) = self.ready.pop_front() {
                return Some(due);
            }
            if self.waiting.peek().is_none_or(|Reverse(w)| w.due_ns > now_ns) {
                return None;
            }
            let Reverse(w) = self.waiting.pop()?;
            self.waiting_bytes -= w.frame.bytes.len();
            // Its own time, not that of the call: what comes out does not depend on how often it is asked for.
            self.step(w.due_ns, w.direction, w.stage, w.frame);
        }
    }

    /// When there is something to poll for next.
    pub fn next_due(&self) -> Option<u64> {
        if self.ready.is_empty() { self.waiting.peek().map(|Reverse(w)| w.due_ns) } else { Some(0) }
    }

    /// What was done, outbound and inbound.
    pub fn counters(&self) -> [HopCounters; 2] {
        self.counters
    }

    /// What each adversary has done.
    pub fn adversary_counters(&self) -> Vec<AdversaryCounters> {
        self.adversaries.iter().map(Adversary::counters).collect()
    }
}

/// An IP packet in a frame between the same two stations as `trigger`, or the other way round.
fn wrap(trigger: &[u8], back: bool, ip: &[u8]) -> RawFrame {
    let mut bytes = Vec::with_capacity(ETHERNET_BYTES + ip.len());
    let stations = trigger.first_chunk::<12>().copied().unwrap_or_default();
    let (to, from) = stations.split_at(6);
    let (to, from) = if back { (from, to) } else { (to, from) };
    bytes.extend_from_slice(to);
    bytes.extend_from_slice(from);
    let kind: u16 = if ip.first().is_some_and(|b| b >> 4 == 6) { 0x86dd } else { 0x0800 };
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(ip);
    RawFrame { offload: Offload::default(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::packet::checksums_hold;
    use crate::adversary::{InPath, OnPath};
    use daylight_packet::build;

    const MS: u64 = 1_000_000;

    fn frame(n: u8, len: usize) -> RawFrame {
        let mut udp = build::udp(
            "10.0.0.1".parse().unwrap(),
            "10.0.0.2".parse().unwrap(),
            [1000, 53],
            &build::Stamp::default(),
            &vec![n; len],
        );
        let mut bytes = vec![0xaa, 0, 0, 0, 0, 1, 0xbb, 0, 0, 0, 0, 2, 8, 0];
        bytes.append(&mut udp);
        RawFrame { offload: Offload::default(), bytes }
    }

    fn drain(core: &mut Core, now_ns: u64) -> Vec<(Direction, u8)> {
        std::iter::from_fn(|| core.poll(now_ns)).map(|(d, f)| (d, *f.bytes.last().unwrap())).collect()
    }

    #[test]
    fn a_plain_hop_passes_frames_at_once_and_in_order() {
        let mut core = Core::new(HopConfig::default());
        for n in 0..5 {
            core.push(0, Direction::Outbound, frame(n, 10));
        }
        assert_eq!(core.next_due(), Some(0));
        assert_eq!(drain(&mut core, 0), (0..5).map(|n| (Direction::Outbound, n)).collect::<Vec<_>>());
        assert_eq!(core.next_due(), None);
        assert_eq!((core.counters()[0].received, core.counters()[0].delivered), (5, 5));
    }

    #[test]
    fn a_delay_is_kept_to_the_nanosecond() {
        let mut core = Core::new(HopConfig { inbound: Impairment::delay_ms(3.0), ..Default::default() });
        core.push(100, Direction::Inbound, frame(1, 10));
        core.push(200, Direction::Inbound, frame(2, 10));
        assert_eq!(core.next_due(), Some(3 * MS + 100));
        assert_eq!(drain(&mut core, 3 * MS + 99), []);
        assert_eq!(drain(&mut core, 3 * MS + 100), [(Direction::Inbound, 1)]);
        assert_eq!(drain(&mut core, 9 * MS), [(Direction::Inbound, 2)]);
    }

    /// Answers everything outbound with a packet inbound, at once.
    struct Answers;
    impl OnPath for Answers {
        fn packet(&mut self, _: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) {
            if direction == Direction::Outbound {
                let reply = build::udp(
                    packet.destination,
                    packet.source,
                    [53, 1000],
                    &build::Stamp::default(),
                    &[77],
                );
                out.inject(Direction::Inbound, reply, 0);
            }
        }
        fn counters(&self) -> AdversaryCounters {
            AdversaryCounters::default()
        }
    }

    #[test]
    fn what_is_forged_at_the_left_end_comes_before_what_has_to_travel() {
        let mut core = Core::new(HopConfig {
            outbound: Impairment::delay_ms(10.0),
            inbound: Impairment::delay_ms(10.0),
            adversaries: vec![Adversary::OnPath(Box::new(Answers))],
            seed: 0,
        });
        core.push(0, Direction::Outbound, frame(1, 10));
        let (direction, forged) = core.poll(0).unwrap();
        assert_eq!((direction, forged.bytes.last()), (Direction::Inbound, Some(&77)));
        // To the station that asked, as if from the one that was asked.
        assert_eq!(forged.bytes[..12], [0xbb, 0, 0, 0, 0, 2, 0xaa, 0, 0, 0, 0, 1]);
        assert_eq!(core.poll(10 * MS - 1), None);
        assert_eq!(drain(&mut core, 10 * MS), [(Direction::Outbound, 1)]);
        assert_eq!(core.counters()[1].injected, 1);
    }

    /// Drops what ends in an odd number, delays 4s.
    struct Odd;
    impl InPath for Odd {
        fn packet(&mut self, _: u64, _: Direction, packet: &Packet<'_>, _: &mut Out) -> Verdict {
            match packet.ip.last() {
                Some(4) => Verdict::Delay(MS),
                Some(n) if n % 2 == 1 => Verdict::Drop,
                _ => Verdict::Pass,
            }
        }
        fn counters(&self) -> AdversaryCounters {
            AdversaryCounters::default()
        }
    }

    #[test]
    fn an_adversary_in_the_path_drops_and_delays() {
        let adversaries = vec![Adversary::InPath(Box::new(Odd))];
        let mut core = Core::new(HopConfig { adversaries, ..Default::default() });
        for n in [1, 2, 3, 4, 6] {
            core.push(0, Direction::Inbound, frame(n, 10));
        }
        assert_eq!(drain(&mut core, 0), [(Direction::Inbound, 2), (Direction::Inbound, 6)]);
        assert_eq!(drain(&mut core, MS), [(Direction::Inbound, 4)]);
        assert_eq!(core.counters()[1].dropped_by_adversary, 2);
    }

    #[test]
    fn a_packet_too_long_for_the_line_is_answered() {
        let line = Impairment { mtu_bytes: Some(600), ..Default::default() };
        let mut core = Core::new(HopConfig { outbound: line.clone(), ..Default::default() });
        core.push(0, Direction::Outbound, frame(1, 1000));
        let (direction, reply) = core.poll(0).unwrap();
        assert_eq!(direction, Direction::Inbound);
        let packet = Packet::from_frame(&reply.bytes).unwrap();
        // ICMP type 3, code 4, with the MTU.
        assert_eq!(
            (packet.protocol, &packet.ip[20..22], &packet.ip[26..28]),
            (1, &[3, 4][..], &600_u16.to_be_bytes()[..])
        );
        assert!(checksums_hold(packet.ip));
        let mut core =
            Core::new(HopConfig { outbound: Impairment { mtu_silent: true, ..line }, ..Default::default() });
        core.push(0, Direction::Outbound, frame(1, 1000));
        assert_eq!(core.poll(0), None);
        assert_eq!(core.counters()[0].too_long, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut core = Core::new(HopConfig { outbound: Impairment::delay_ms(1000.0), ..Default::default() });
        for _ in 0..FRAMES_HELD_MAX + 5 {
            core.push(0, Direction::Outbound, frame(1, 1));
        }
        assert_eq!(core.counters()[0].over_budget, 5);
        let mut core = Core::new(HopConfig { outbound: Impairment::delay_ms(1000.0), ..Default::default() });
        // As if others waited already.
        core.waiting_bytes = BYTES_HELD_MAX - 2500;
        for _ in 0..5 {
            core.push(0, Direction::Outbound, frame(1, 1000));
        }
        assert_eq!(core.counters()[0].over_budget, 3);
        while core.poll(1000 * MS).is_some() {}
        assert_eq!(core.waiting_bytes, BYTES_HELD_MAX - 2500);
    }
}
