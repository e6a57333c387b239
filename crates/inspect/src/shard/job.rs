//! The work on one flow: streams are put in order, payloads identified, parsers fed.

use daylight_flow::{Flow, Piece, Reassembler, ReassemblyCounters, START_KEPT_MAX};
use daylight_packet::{Packet, TcpHeader, TransportKind};
use daylight_protocols::dispatch::{Dispatcher, Outcome, Rejected};
use daylight_protocols::driver::{Driver, Progress};
use daylight_protocols::{Dir, Earlier, Event, Fact, OFFSET_MAX, Probe, ProtocolId, Sink, Transport, Wanted};

use super::flow::{Flags, Hot, Segment};

/// Datagrams that are looked at, of a flow that nobody knows.
const DATAGRAMS_MAX: u8 = 8;
/// … and of one that nobody has answered, where it is decided on: what means nothing to a server it leaves unanswered, and
/// takes what comes next as if it were the first.
const UNANSWERED_MAX: u8 = 200;
/// Segments that are looked at, of a connection that nobody knows.
const SEGMENTS_MAX: u8 = 24;
/// … or more of them if they hold fewer bytes than this together: who cuts a hello into single bytes hides it from nobody.
const SEGMENTS_BYTES_MIN: u64 = 128;

/// After so many bytes of a stream its parser does not say any more that the label is wrong, and its start need not be
/// kept.
const SETTLED_AFTER: u64 = 1024;

/// What is owed to a flow whose payload is still read.
pub(super) struct Work {
    /// TCP: each side's last segment.
    pub(super) last: [Option<Segment>; 2],
    identify: Option<Box<Identify>>,
    pub(super) driver: Option<Box<Driver>>,
    /// TCP only.
    pub(super) streams: Option<Box<[Reassembler; 2]>>,
    /// Data that came with the SYN, and where it belongs: part of the stream only if the other side takes it (RFC 7413).
    with_syn: Option<Box<(u32, Vec<u8>)>>,
    /// Nothing more is read; streams are only put in order, to compare what comes again.
    over: bool,
}

/// How far identification has come.
#[derive(Default)]
struct Identify {
    rejected: [Rejected; 2],
    /// TCP: by direction.
    state: [Asked; 2],
    /// Datagrams before this one, the latest four.
    earlier: Vec<Earlier>,
    /// Payloads looked at.
    seen: u8,
    /// Labels taken back.
    withdrawn: u8,
}

/// What the dispatcher said of one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    NotYet,
    /// To be asked again when this much is there.
    Need(usize),
    /// To be asked again when there is more, of either side.
    Later,
    /// Nobody knows it.
    Settled,
}

/// The work on one flow for the length of one packet.
pub(super) struct Job<'a> {
    pub(super) work: &'a mut Work,
    pub(super) flow: &'a mut Flow<Hot>,
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) wanted: &'a Wanted,
    pub(super) events: &'a mut Vec<Event>,
    pub(super) facts: &'a mut Vec<Fact>,
    pub(super) counters: &'a mut ReassemblyCounters,
    pub(super) may_hold: bool,
    /// Packets can still be kept from arriving.
    pub(super) inline: bool,
    pub(super) now_ns: i64,
}

impl Job<'_> {
    /// A TCP segment. False once nothing more is owed to the flow.
    pub(super) fn segment(&mut self, dir: Dir, packet: &Packet, payload: &[u8]) -> bool {
        let TcpHeader { mut seq, ack, flags, .. } = packet.tcp;
        let Some(mut streams) = self.work.streams.take() else { return false };
        if flags & TcpHeader::SYN != 0 {
            streams[dir.index()].syn(seq);
            seq = seq.wrapping_add(1);
        }
        let on_syn = flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN;
        let (mut payload, mut wire_len) = (payload, packet.payload_wire_len);
        let mut taken = None;
        if on_syn {
            self.work.with_syn = (!payload.is_empty()).then(|| Box::new((seq, payload.to_vec())));
            (payload, wire_len) = (&[], 0);
        } else if let Some(with_syn) = self.work.with_syn.take() {
            let end = with_syn.0.wrapping_add(with_syn.1.len() as u32);
            let from_other = flags & TcpHeader::SYN != 0;
            // Whoever goes on behind it knows that it was taken.
            let is_taken = if from_other { ack.wrapping_sub(end) < 1 << 30 } else { seq == end };
            taken = is_taken.then_some(with_syn).map(|it| (if from_other { dir.other() } else { dir }, *it));
        }
        if let Some(segment) = Segment::new(packet, payload) {
            self.work.last[dir.index()] = Some(segment);
        }
        let missing = wire_len - payload.len() as u32;
        let stream = &mut streams[dir.index()];
        if self.work.driver.is_none() && wire_len > 0 && stream.rewind(seq) {
            // It is another start: who rejected the first may know it.
            if let Some(identify) = &mut self.work.identify {
                identify.state[dir.index()] = Asked::NotYet;
                identify.rejected[dir.index()] = Rejected::default();
            }
        }
        let before = streams.each_ref().map(Reassembler::position);
        let stream = &mut streams[dir.index()];
        // The byte that some keep-alives bring is no part of the stream (RFC 9293 §3.8.4), and may not be taken for its start.
        let certain = self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN);
        let fresh = stream.position() == 0 && stream.held_bytes() == 0;
        let keep_alive = payload == [0] && fresh && !certain;
        let mut keep = true;
        if let Some((of, (seq, bytes))) = taken {
            keep = self.read(&mut streams[of.index()], of, |stream, counters, may_hold, give| {
                stream.push(seq, &bytes, 0, may_hold, counters, give);
            });
        }
        let stream = &mut streams[dir.index()];
        if keep && wire_len > 0 && !keep_alive {
            keep = self.read(stream, dir, |stream, counters, may_hold, give| {
                stream.push(seq, payload, missing, may_hold, counters, give);
            });
        }
        if keep && flags & TcpHeader::ACK != 0 {
            let other = &mut streams[dir.other().index()];
            if other.held_bytes() > 0 {
                keep = self
                    .read(other, dir.other(), |stream, counters, _, give| stream.acked(ack, counters, give));
            }
        }
        // What waits for a hole to be filled, or comes again, is nothing new to be asked about.
        let more = before != streams.each_ref().map(Reassembler::position);
        self.work.streams = Some(streams);
        if keep && self.work.driver.is_none() && more && !self.work.over {
            keep = self.identify_stream(dir);
        }
        keep
    }

    /// Does something to a stream, and gives what comes out of it to the parser, if there is one yet.
    fn read(
        &mut self,
        stream: &mut Reassembler,
        dir: Dir,
        push: impl FnOnce(&mut Reassembler, &mut ReassemblyCounters, bool, &mut dyn FnMut(Piece<'_>)),
    ) -> bool {
        let mut driver = self.work.driver.take();
        let mut progress = Progress::More;
        let mut counters = ReassemblyCounters::default();
        let mut lost = 0;
        let may_hold = self.may_hold;
        push(stream, &mut counters, may_hold, &mut |piece| {
            if let Piece::Gap(n) = piece {
                lost += n;
            }
            if progress == Progress::More
                && let Some(driver) = &mut driver
            {
                progress = self.feed(driver, dir, piece);
            }
        });
        *self.counters += counters;
        self.flow.missed_bytes = self.flow.missed_bytes.saturating_add(lost.min(u32::MAX.into()) as u32);
        self.work.driver = driver;
        match progress {
            Progress::More | Progress::Rest => {
                if self.work.driver.is_some() {
                    self.settle(stream, dir);
                }
                true
            }
            Progress::Finished => false,
            // Without the stream's start there is nothing to ask the dispatcher about.
            Progress::NotMine => self.withdraw() && !stream.is_settled(),
        }
    }

    /// Of a stream that is being read, little need be kept; of a client's more, where what says something else in the same
    /// place can be kept from arriving.
    fn settle(&self, stream: &mut Reassembler, dir: Dir) {
        if stream.position() >= SETTLED_AFTER && !(self.inline && dir == Dir::Client) {
            stream.settle();
        }
    }

    fn feed(&mut self, driver: &mut Driver, dir: Dir, piece: Piece<'_>) -> Progress {
        let dispatcher = self.dispatcher;
        let lost = self.flow.missed_bytes > 0;
        self.with_sink(|sink| {
            sink.set_incomplete(lost);
            match piece {
                Piece::Bytes(bytes) => driver.stream(dispatcher, dir, bytes, sink),
                Piece::Gap(n) => driver.gap(dir, n, sink),
            }
        })
    }

    fn with_sink<T>(&mut self, act: impl FnOnce(&mut Sink<'_>) -> T) -> T {
        let flow = &mut *self.flow;
        let [client, server] = if flow.client_is_low { [0, 1] } else { [1, 0] };
        let found = flow.x.found.get_or_insert_default();
        let mut sink = Sink::new(
            &mut found.findings,
            self.wanted,
            self.events,
            self.facts,
            self.now_ns,
            [flow.key.address(client), flow.key.address(server)],
            [flow.key.ports[client], flow.key.ports[server]],
        );
        let result = act(&mut sink);
        if let Some(label) = sink.label() {
            flow.x.label = label;
        }
        if sink.is_confirmed() {
            flow.x.flags.set(Flags::CONFIRMED, true);
        }
        result
    }

    /// The parser says that the label is wrong: back to the dispatcher, if the streams' starts are still whole.
    fn withdraw(&mut self) -> bool {
        let wrong = std::mem::take(&mut self.flow.x.label);
        self.flow.x.flags.set(Flags::CONFIRMED, false);
        self.work.driver = None;
        let identify = self.work.identify.get_or_insert_default();
        identify.rejected.iter_mut().for_each(|r| r.insert(wrong));
        identify.state = [Asked::NotYet; 2];
        identify.withdrawn += 1;
        identify.withdrawn < 3
    }

    /// Asks the dispatcher about what is there of a stream.
    fn identify_stream(&mut self, dir: Dir) -> bool {
        let Some(streams) = self.work.streams.take() else { return false };
        let mut identify = self.work.identify.take().map(|known| *known).unwrap_or_default();
        identify.seen = identify.seen.saturating_add(1);
        let mut found = None;
        // New bytes of one side may be what somebody who looked at the other side waited for.
        for d in [dir, dir.other()] {
            let start = streams[d.index()].start();
            let ask = match identify.state[d.index()] {
                Asked::NotYet => true,
                Asked::Need(n) => start.len() >= n,
                Asked::Later => true,
                Asked::Settled => false,
            };
            if start.is_empty() || !ask {
                continue;
            }
            let probe = Probe {
                transport: Transport::Tcp,
                dir: d,
                payload: start,
                other: streams[d.other().index()].start(),
                earlier: &[],
                client_port: self.port(Dir::Client),
                server_port: self.port(Dir::Server),
                whole: streams[d.index()].beyond_start() == 0,
            };
            let outcome = self.ask(&probe, &mut identify.rejected[d.index()]);
            identify.state[d.index()] = match outcome {
                Outcome::Found { protocol, reversed } => {
                    found = Some((protocol, reversed));
                    break;
                }
                Outcome::Need(n) if n <= START_KEPT_MAX => Asked::Need(n),
                Outcome::Later => Asked::Later,
                // With fewer bytes than patterns look at, nothing is settled.
                Outcome::Unknown if start.len() < OFFSET_MAX => Asked::Need(start.len() + 1),
                Outcome::Need(_) | Outcome::Unknown => Asked::Settled,
            };
        }
        self.work.streams = Some(streams);
        let Some((protocol, reversed)) = found else {
            let settled = identify.state == [Asked::Settled; 2];
            let have: u64 = self.work.streams.iter().flat_map(|s| s.iter()).map(Reassembler::position).sum();
            let enough = identify.seen >= SEGMENTS_MAX && have >= SEGMENTS_BYTES_MIN;
            let give_up = settled || enough || identify.seen == u8::MAX;
            self.work.identify = Some(Box::new(identify));
            return !give_up;
        };
        // Needed again only if the label is taken back, and then anew but for how often that happened.
        self.work.identify = (identify.withdrawn > 0).then(|| Box::new(identify));
        let dir = if reversed {
            self.reverse();
            dir.other()
        } else {
            dir
        };
        self.start_parser(protocol, dir)
    }

    /// The label is known: gives the parser what is there of both streams, the other side's first.
    fn start_parser(&mut self, protocol: ProtocolId, dir: Dir) -> bool {
        self.flow.x.label = protocol;
        let Some(mut driver) = Driver::new(protocol).map(Box::new) else { return false };
        let Some(mut streams) = self.work.streams.take() else { return false };
        let mut progress = Progress::More;
        for d in [dir.other(), dir] {
            let stream = &streams[d.index()];
            if progress == Progress::More && !stream.start().is_empty() {
                progress = self.feed(&mut driver, d, Piece::Bytes(stream.start()));
            }
            if progress == Progress::More && stream.beyond_start() > 0 {
                progress = self.feed(&mut driver, d, Piece::Gap(stream.beyond_start()));
            }
        }
        for d in [Dir::Client, Dir::Server] {
            self.settle(&mut streams[d.index()], d);
        }
        self.work.streams = Some(streams);
        match progress {
            Progress::More | Progress::Rest => {
                self.work.identify = None;
                self.work.driver = Some(driver);
                true
            }
            Progress::Finished => false,
            Progress::NotMine => {
                let settled = self.work.streams.iter().flat_map(|s| s.iter()).any(Reassembler::is_settled);
                self.withdraw() && !settled && self.identify_stream(dir)
            }
        }
    }

    /// A datagram. False once nothing more is owed to the flow.
    pub(super) fn datagram(&mut self, dir: Dir, payload: &[u8], packet: &Packet) -> bool {
        if payload.is_empty() {
            return true;
        }
        if let Some(mut driver) = self.work.driver.take() {
            let cut = packet.payload_len < packet.payload_wire_len;
            let progress = self.with_sink(|sink| {
                sink.set_incomplete(cut);
                driver.datagram(dir, payload, sink)
            });
            self.work.driver = Some(driver);
            return match progress {
                Progress::More => true,
                Progress::Rest => {
                    self.flow.x.flags.set(Flags::RESTING, true);
                    false
                }
                Progress::Finished => false,
                Progress::NotMine => self.withdraw(),
            };
        }
        let transport = match packet.key.protocol {
            TransportKind::UDP | TransportKind::UDP_LITE => Transport::Udp,
            number => Transport::Ip(number),
        };
        let known = self.work.identify.take();
        let probe = Probe {
            transport,
            dir,
            payload,
            other: &[],
            earlier: known.as_ref().map_or(&[], |known| &known.earlier),
            client_port: self.port(Dir::Client),
            server_port: self.port(Dir::Server),
            whole: packet.payload_len == packet.payload_wire_len,
        };
        // Each datagram is a new question: who rejected one may know the next.
        let mut rejected = known.as_ref().map_or_else(Rejected::default, |known| known.rejected[0]);
        let outcome = self.ask(&probe, &mut rejected);
        if let Outcome::Found { protocol, reversed } = outcome {
            self.work.identify = known;
            let dir = if reversed {
                self.reverse();
                dir.other()
            } else {
                dir
            };
            self.flow.x.label = protocol;
            self.work.driver = Driver::new(protocol).map(Box::new);
            return self.work.driver.is_some() && self.datagram(dir, payload, packet);
        }
        let mut identify = known.unwrap_or_default();
        identify.seen = identify.seen.saturating_add(1);
        let mut head = [0; 16];
        let n = payload.len().min(16);
        head[..n].copy_from_slice(&payload[..n]);
        if identify.earlier.len() == 4 {
            identify.earlier.remove(0);
        }
        identify.earlier.push(Earlier { dir, len: payload.len().min(u16::MAX.into()) as u16, head });
        let is_answered = self.flow.sides.iter().all(|side| side.packets > 0);
        let datagrams_max = if self.inline && !is_answered { UNANSWERED_MAX } else { DATAGRAMS_MAX };
        let again = identify.seen < datagrams_max && matches!(transport, Transport::Udp);
        self.work.identify = Some(identify);
        again
    }

    /// Asks the dispatcher; if nobody knows it and it isn't certain who the client is, the other way round as well.
    fn ask(&self, probe: &Probe<'_>, rejected: &mut Rejected) -> Outcome {
        let before = *rejected;
        let outcome = self.dispatcher.identify(probe, rejected);
        if outcome != Outcome::Unknown || self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            return outcome;
        }
        let turned = Probe {
            dir: probe.dir.other(),
            client_port: probe.server_port,
            server_port: probe.client_port,
            ..*probe
        };
        match self.dispatcher.identify(&turned, &mut before.clone()) {
            Outcome::Found { protocol, reversed } => Outcome::Found { protocol, reversed: !reversed },
            _ => outcome,
        }
    }

    fn port(&self, dir: Dir) -> u16 {
        let low = (dir == Dir::Client) == self.flow.client_is_low;
        self.flow.key.ports[usize::from(!low)]
    }

    /// Client and server were taken for one another.
    fn reverse(&mut self) {
        if self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            return;
        }
        self.flow.x.flags.set(Flags::CLIENT_IS_CERTAIN, true);
        self.flow.reverse();
        if let Some(streams) = &mut self.work.streams {
            streams.swap(0, 1);
        }
        self.work.last.swap(0, 1);
        if let Some(identify) = &mut self.work.identify {
            identify.rejected.swap(0, 1);
            identify.state.swap(0, 1);
        }
        if let Some(spans) = self.flow.x.found.as_mut().and_then(|f| f.spans.as_mut()) {
            spans.swap(0, 1);
        }
    }

    /// The flow has ended: what waits behind a hole, and the parser's last word.
    pub(super) fn finish(&mut self) {
        if self.work.over {
            return;
        }
        if let Some(mut streams) = self.work.streams.take() {
            for dir in [Dir::Client, Dir::Server] {
                self.read(&mut streams[dir.index()], dir, |stream, counters, _, give| {
                    stream.flush(counters, give)
                });
            }
            self.work.streams = Some(streams);
            if self.work.driver.is_none() && self.flow.x.label == ProtocolId::Unknown {
                for dir in [Dir::Client, Dir::Server] {
                    if self.work.driver.is_none() {
                        self.identify_stream(dir);
                    }
                }
            }
        }
        if let Some(mut driver) = self.work.driver.take() {
            self.with_sink(|sink| driver.finish(sink));
        }
    }
}

impl Work {
    /// `inline`: packets can still be kept from arriving.
    pub(super) fn new(flow: &Flow<Hot>, inline: bool) -> Self {
        let tcp = flow.key.protocol == TransportKind::TCP;
        let start = if flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            Reassembler::new
        } else {
            Reassembler::picked_up
        };
        let streams = tcp.then(|| Box::new(flow.sides.map(|side| start(side.next_seq()).strict(inline))));
        // A flow that rested goes on where it was.
        let driver = Driver::new(flow.x.label).map(Box::new);
        Self { last: [None; 2], identify: None, driver, streams, with_syn: None, over: false }
    }

    /// True unless it is of datagrams, or a parser has failed.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.is_some()
    }

    /// Reads nothing more.
    pub(super) fn stop_reading(&mut self) {
        (self.driver, self.identify, self.over) = (None, None, true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Keeps little of both streams from now on.
    pub(super) fn settle(&mut self) {
        self.streams.iter_mut().flat_map(|streams| streams.iter_mut()).for_each(Reassembler::settle);
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.streams.as_ref().map_or(0, |s| s.iter().map(Reassembler::bytes).sum::<usize>())
            + self.driver.as_ref().map_or(0, |driver| driver.pending_bytes())
    }

    pub(super) fn is_conflicting(&self) -> bool {
        self.streams.as_ref().is_some_and(|s| s.iter().any(Reassembler::is_conflicting))
    }
}
