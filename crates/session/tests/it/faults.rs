//! Paths that stall, vanish, are cut and come back, under transfers of which no byte may be lost or doubled.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_session::{
    CloseReason, Event, HandshakeError, Limits, PathError, Progress, Read, StreamId, UseError,
};

use crate::pair::{ACCESS_SECRET, Dice, Pair, Served, Shape};
use crate::streams::destination;

/// What a stream carries at an offset: never the same at two offsets that could be confused.
fn pattern(stream: StreamId, up: bool, offset: u64, len: usize) -> Bytes {
    const PERIOD: u64 = 65_521;
    const LEN_MAX: usize = 64 << 10;
    static TABLE: OnceLock<Bytes> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut dice = Dice(7);
        let once: Vec<u8> = (0..PERIOD).map(|_| dice.roll() as u8).collect();
        once.iter().cycle().take(PERIOD as usize + LEN_MAX).copied().collect()
    });
    let start = ((offset + stream.0 * 7919 + u64::from(up) * 31_337) % PERIOD) as usize;
    table.slice(start..start + len.min(LEN_MAX))
}

/// One direction of one stream.
#[derive(Debug)]
struct Way {
    up: bool,
    len: u64,
    written: u64,
    finished: bool,
    read: u64,
    ended: bool,
}

impl Way {
    fn new(up: bool, len: u64) -> Self {
        Self { up, len, written: 0, finished: false, read: 0, ended: false }
    }

    fn write(&mut self, side: &mut daylight_session::Session, stream: StreamId) {
        while self.written < self.len {
            let left = usize::try_from(self.len - self.written).unwrap_or(usize::MAX);
            let mut data = pattern(stream, self.up, self.written, left);
            match side.write_bytes(stream, &mut data).expect("open") {
                0 => return,
                n => self.written += n as u64,
            }
        }
        if !std::mem::replace(&mut self.finished, true) {
            side.finish(stream).expect("open");
        }
    }

    fn read(&mut self, side: &mut daylight_session::Session, stream: StreamId) {
        while !self.ended {
            match side.read(stream, 50_000).expect("open") {
                Read::Data(data) => {
                    let mut from = 0;
                    while from < data.len() {
                        let expected = pattern(stream, self.up, self.read, data.len() - from);
                        assert!(data[from..from + expected.len()] == expected, "{stream:?} at {}", self.read);
                        from += expected.len();
                        self.read += expected.len() as u64;
                    }
                }
                Read::End => {
                    assert_eq!(self.read, self.len, "{stream:?} ends where it should");
                    self.ended = true;
                }
                Read::Blocked => return,
            }
        }
    }
}

/// Transfers over paths that fail as the dice say.
struct Trial {
    pair: Pair,
    ways: BTreeMap<StreamId, [Way; 2]>,
    /// How many paths the client would like to have.
    wanted: u64,
    next_attempt: Instant,
    next_fault: Option<Instant>,
    fault_every: u64,
    /// New paths are silent before.
    blackout: Instant,
    faults: BTreeMap<&'static str, u32>,
}

impl Trial {
    fn new(seed: u64, lens: &[(u64, u64)], fault_every_ms: Option<u64>) -> Self {
        let limits = Limits {
            stall: Duration::from_millis(1500),
            path_timeout: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(20)),
            ..Limits::default()
        };
        let mut pair = Pair::with_limits(seed, limits.clone(), limits);
        let shape = shape(&mut pair.dice);
        pair.establish(shape);
        let mut ways = BTreeMap::new();
        for (up, down) in lens {
            let stream = pair.client.open(&destination(80)).expect("room");
            ways.insert(stream, [Way::new(true, *up), Way::new(false, *down)]);
        }
        let now = pair.now;
        let wanted = pair.dice.between(1, 3);
        Self {
            ways,
            wanted,
            next_attempt: now,
            next_fault: fault_every_ms.map(|_| now),
            fault_every: fault_every_ms.unwrap_or_default(),
            blackout: now,
            faults: BTreeMap::new(),
            pair,
        }
    }

    /// What the applications on both sides do.
    fn work(&mut self) {
        let server = self.pair.server.as_mut().expect("a session");
        while let Some(event) = self.pair.server_events.pop_front() {
            match event {
                Event::Opened(stream, _) => server.accept(stream).expect("just opened"),
                Event::Closed(reason) => panic!("{reason}"),
                _ => {}
            }
        }
        while let Some(event) = self.pair.client_events.pop_front() {
            if let Event::Closed(reason) = event {
                panic!("{reason}");
            }
        }
        for (&stream, [up, down]) in &mut self.ways {
            if !up.finished {
                up.write(&mut self.pair.client, stream);
            }
            if !down.ended {
                down.read(&mut self.pair.client, stream);
            }
            if !down.finished && server.write(stream, b"").is_ok() {
                down.write(server, stream);
            }
            if !up.ended && !matches!(server.write(stream, b""), Err(UseError::NoStream | UseError::NotReady))
            {
                up.read(server, stream);
            }
        }
    }

    /// The client's owner opens paths when some are missing.
    fn connect(&mut self) {
        let open = self.pair.links.iter().filter(|link| !link.closed).count() as u64;
        if open > self.wanted || self.pair.now < self.next_attempt {
            return;
        }
        self.next_attempt = self.pair.now + Duration::from_millis(400);
        let shape = shape(&mut self.pair.dice);
        if let Some(link) = self.pair.connect(shape) {
            self.pair.links[link].silent = self.pair.now < self.blackout;
        }
    }

    fn fault(&mut self) {
        // One blackout after another would outlast the session.
        let Some(at) = self.next_fault.filter(|at| self.blackout.max(*at) <= self.pair.now) else { return };
        let wait = self.pair.dice.between(1, 2 * self.fault_every);
        self.next_fault = Some(at.max(self.blackout) + Duration::from_millis(wait));
        let open: Vec<_> = (0..self.pair.links.len()).filter(|at| !self.pair.links[*at].closed).collect();
        if open.is_empty() {
            return;
        }
        let link = open[self.pair.dice.below(open.len() as u64) as usize];
        let name = match self.pair.dice.below(12) {
            0 | 1 => {
                self.pair.cut(link, true, true);
                "reset"
            }
            2 => {
                self.pair.cut(link, true, false);
                "reset of which the server does not know"
            }
            3 => {
                self.pair.cut(link, false, true);
                "reset of which the client does not know"
            }
            4 | 5 => {
                self.pair.links[link].silent = true;
                "silence"
            }
            6 | 7 => {
                let time = Duration::from_millis(self.pair.dice.between(100, 8000));
                self.pair.stall(link, time);
                "stall"
            }
            8 | 9 => {
                let path = self.pair.links[link].path;
                self.pair.client.close_path(path, self.pair.now);
                "rotation"
            }
            10 => {
                // An eavesdropper sends what began a path again.
                let first = self.pair.links[link].first.clone();
                let mut incoming = daylight_session::Incoming::new(ACCESS_SECRET, Some([5; 32]), 0);
                if matches!(self.pair.links[link].served, Served::Session(_)) {
                    let sessions = self.pair.acceptor.sessions();
                    let answer = self.pair.acceptor.handle_bytes(&mut incoming, self.pair.now, &first);
                    assert!(matches!(answer, Ok(Progress::Answer(_) | Progress::Refuse(_))));
                    assert_eq!(self.pair.acceptor.sessions(), sessions);
                }
                "replay"
            }
            _ => {
                for link in open {
                    let (client, server) = (self.pair.dice.one_in(2), self.pair.dice.one_in(2));
                    self.pair.cut(link, client, server);
                }
                self.blackout = self.pair.now + Duration::from_millis(self.pair.dice.between(100, 60_000));
                "death of all"
            }
        };
        *self.faults.entry(name).or_default() += 1;
    }

    fn is_done(&self) -> bool {
        self.ways.values().flatten().all(|way| way.ended)
    }

    fn run(&mut self) {
        let patience = self.pair.now + Duration::from_secs(3600);
        while !self.is_done() {
            self.fault();
            self.connect();
            self.work();
            let open = self.pair.links.iter().filter(|link| !link.closed).count() as u64;
            let attempt = (open <= self.wanted).then_some(self.next_attempt);
            let fault = self.next_fault.map(|at| at.max(self.blackout));
            let until = [fault, attempt].into_iter().flatten().min().unwrap_or(patience);
            self.pair.step(until.max(self.pair.now + Duration::from_micros(10)));
            assert!(self.pair.now < patience, "{:?} {:?}", self.ways, self.faults);
        }
    }
}

fn shape(dice: &mut Dice) -> Shape {
    Shape {
        latency: Duration::from_micros(dice.between(500, 150_000)),
        rate: dice.between(100_000, 12_000_000),
        buffer: dice.between(4_000, 300_000) as usize,
    }
}

/// 40 runs; as many as `DAYLIGHT_SESSION_SEEDS` says if it is set.
#[test]
fn no_byte_is_lost_or_doubled() {
    let seeds =
        std::env::var("DAYLIGHT_SESSION_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    let mut faults = BTreeMap::<&str, u32>::new();
    let (mut resent, mut sent) = (0, 0);
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let streams = dice.between(1, 5);
        let lens: Vec<_> = (0..streams).map(|_| (dice.below(300_000), dice.below(1_500_000))).collect();
        let mut trial = Trial::new(seed, &lens, Some(dice.between(200, 3000)));
        trial.run();
        for (name, count) in trial.faults {
            *faults.entry(name).or_default() += count;
        }
        let stats = trial.pair.server.expect("a session").stats();
        resent += stats.data_resent;
        sent += stats.data_sent;
    }
    assert_eq!(faults.len(), 8, "{faults:?}");
    assert!(resent > 0 && resent < sent, "{resent} of {sent}");
}

/// The download of 100 MB that is cut, stalled and moved, and ends.
#[test]
fn a_hundred_megabytes() {
    let mut trial = Trial::new(4711, &[(1000, 100_000_000)], Some(800));
    trial.run();
    assert!(trial.faults.values().sum::<u32>() > 20, "{:?}", trial.faults);
    let stats = trial.pair.server.expect("a session").stats();
    assert_eq!(stats.data_sent, 100_000_000 + 1);
    assert!(stats.data_resent < 100_000_000, "{stats:?}");
}

/// The same seed is the same run.
#[test]
fn runs_can_be_repeated() {
    let run = || {
        let mut trial = Trial::new(99, &[(50_000, 800_000), (1, 400_000)], Some(400));
        trial.run();
        (trial.pair.now - trial.pair.start, trial.pair.wire_bytes, trial.faults)
    };
    assert_eq!(run(), run());
}

/// Nothing goes wrong: nothing is sent twice, and little beside the data.
#[test]
fn without_faults() {
    let mut trial = Trial::new(12, &[(0, 20_000_000)], None);
    trial.run();
    let stats = trial.pair.server.expect("a session").stats();
    assert_eq!(stats.data_resent, 0);
    assert!(trial.pair.wire_bytes < 20_000_000 * 101 / 100, "{}", trial.pair.wire_bytes);
}

/// A path that says nothing holds its data; the other takes it over, and the transfer goes on.
#[test]
fn a_silent_path_does_not_hold_the_others_back() {
    let limits = Limits { stall: Duration::from_secs(1), ..Limits::default() };
    let mut pair = Pair::with_limits(3, limits.clone(), limits);
    let first = pair.establish(Shape::default());
    pair.connect(Shape::default()).expect("a path");
    pair.run_for(Duration::from_secs(1));
    let stream = crate::streams::open(&mut pair);
    let mut way = Way::new(false, 10_000_000);
    let begin = pair.now;
    while !way.ended {
        way.write(pair.server.as_mut().expect("a session"), stream);
        if way.read > 1_000_000 {
            pair.links[first].silent = true;
        }
        pair.step(begin + Duration::from_secs(20));
        way.read(&mut pair.client, stream);
        assert!(pair.now < begin + Duration::from_secs(20), "{way:?}");
    }
    assert!(pair.now - begin < Duration::from_secs(5), "{:?}", pair.now - begin);
    let path = pair.links[first].path;
    assert!(pair.server_events.contains(&Event::PathStalled(path)));
    pair.run_for(Duration::from_secs(60));
    assert!(pair.server_events.contains(&Event::PathClosed(path, PathError::Timeout)));
}

#[test]
fn a_session_waits_for_a_path_and_not_for_ever() {
    let limits = Limits { orphan_timeout: Duration::from_secs(60), ..Limits::default() };
    let mut pair = Pair::with_limits(5, limits.clone(), limits);
    let link = pair.establish(Shape::default());
    pair.cut(link, true, true);
    pair.run_for(Duration::from_secs(50));
    assert!(!pair.client.is_closed());
    let link = pair.connect(Shape::default()).expect("a path");
    pair.run_for(Duration::from_secs(100));
    assert!(!pair.client.is_closed() && !pair.server.as_ref().expect("a session").is_closed());
    pair.cut(link, true, true);
    pair.run_for(Duration::from_secs(61));
    assert!(pair.client_events.contains(&Event::Closed(CloseReason::Timeout)));
    assert!(pair.server_events.contains(&Event::Closed(CloseReason::Timeout)));
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn closing_is_told() {
    let mut pair = Pair::new(6);
    pair.establish(Shape::default());
    pair.client.close(42);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client_events.contains(&Event::Closed(CloseReason::Local(42))));
    assert!(pair.server_events.contains(&Event::Closed(CloseReason::Peer(42))));

    let mut pair = Pair::new(6);
    let link = pair.establish(Shape::default());
    pair.run_for(Duration::from_secs(1));
    pair.client.close(42);
    pair.cut(link, true, false);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client_events.contains(&Event::Closed(CloseReason::Local(42))), "nobody can be told");
}

#[test]
fn a_forgotten_session_is_begun_anew() {
    let mut pair = Pair::new(7);
    let link = pair.establish(Shape::default());
    pair.acceptor.forget(pair.client.id().expect("established"));
    pair.cut(link, true, true);
    pair.connect(Shape::default()).expect("a path");
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client_events.contains(&Event::Closed(CloseReason::Forgotten)));
}

#[test]
fn a_path_between_others_ends() {
    let mut pair = Pair::new(8);
    pair.establish(Shape::default());
    // Somebody who ends the outer channel and makes another one.
    let link = pair.connect_bound(Shape::default(), Some([5; 32]), Some([6; 32])).expect("a path");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.links[link].rejected, Some(HandshakeError::NotAuthentic));
    let unbound = pair.connect_bound(Shape::default(), Some([5; 32]), None).expect("a path");
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.links[unbound].rejected, Some(HandshakeError::NotAuthentic));
    assert!(pair.client_events.contains(&Event::PathClosed(pair.links[link].path, PathError::Timeout)));
    let both = pair.connect_bound(Shape::default(), None, None).expect("a path");
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client_events.contains(&Event::PathReady(pair.links[both].path)));
}

#[test]
fn as_many_paths_as_there_may_be() {
    let limits = Limits { paths_max: 3, ..Limits::default() };
    let mut pair = Pair::with_limits(9, Limits::default(), limits);
    pair.establish(Shape::default());
    for _ in 0..4 {
        pair.connect(Shape::default()).expect("a path");
        pair.run_for(Duration::from_secs(1));
    }
    let served = pair.links.iter().filter(|link| matches!(link.served, Served::Session(_))).count();
    assert_eq!(served, 3);
    // All of them vanish, and the server has nothing to send that would tell it; new ones take their places.
    for link in 0..pair.links.len() {
        pair.cut(link, true, false);
    }
    pair.connect(Shape::default()).expect("a path");
    pair.run_for(Duration::from_secs(1));
    crate::streams::open(&mut pair);
}
