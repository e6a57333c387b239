//! Races over pretended networks, in pretended time.

use std::collections::BTreeMap;

use super::*;

/// What a network does to the connections of a candidate.
#[derive(Clone, Copy)]
struct Network {
    /// Authenticated after so many ms, or never.
    ready_ms: Option<u64>,
    /// Fails after so many ms.
    fails: Option<(u64, Cause)>,
    /// Bytes a second while bytes are waited for.
    rate: u64,
    /// No more come after so many.
    freezes_at: u64,
}

const GOOD: Network = Network { ready_ms: Some(60), fails: None, rate: 1 << 20, freezes_at: u64::MAX };
const REFUSING: Network = Network { ready_ms: None, fails: Some((20, Cause::Refused)), ..GOOD };
const SILENT: Network = Network { ready_ms: None, ..GOOD };

struct World {
    race: Race,
    networks: Vec<Network>,
    begin: Instant,
    now_ms: u64,
    /// Opened at, candidate, bytes so far.
    open: BTreeMap<AttemptId, (u64, usize, u64)>,
    log: Vec<(u64, Action)>,
}

impl World {
    /// Candidates in the order of their number, most promising first.
    fn new(networks: &[Network]) -> Self {
        let begin = Instant::now();
        let candidate = |index: usize| Candidate { remembered: 1.0 - index as f64 * 0.3, preference: 0.0 };
        let candidates = (0..networks.len()).map(candidate).collect();
        let race = Race::new(Config::default(), candidates, 7, begin);
        Self { race, networks: networks.into(), begin, now_ms: 0, open: BTreeMap::new(), log: Vec::new() }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.step();
        }
    }

    /// 10 ms.
    fn step(&mut self) {
        self.act();
        self.now_ms += 10;
        let now = self.begin + Duration::from_millis(self.now_ms);
        if self.race.poll_timeout().is_some_and(|at| at <= now) {
            self.race.handle_timeout(now);
            assert!(self.race.poll_timeout().is_none_or(|at| at > now), "a timeout that stays");
        }
        self.act();
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(&(opened, candidate, received)) = self.open.get(&id) else { continue };
            let (network, age) = (self.networks[candidate], self.now_ms - opened);
            if let Some((after, cause)) = network.fails
                && age >= after
            {
                self.open.remove(&id);
                self.race.handle_failed(now, id, cause);
            } else if network.ready_ms == Some(age) {
                self.race.handle_authenticated(now, id);
            } else if self.race.used() == Some(id) && self.race.waiting_since.is_some() {
                let bytes = (network.rate / 100).min(network.freezes_at.saturating_sub(received));
                if bytes > 0 {
                    self.open.insert(id, (opened, candidate, received + bytes));
                    self.race.handle_received(now, id, bytes);
                }
            }
            self.act();
        }
        assert!(self.open.len() <= Config::default().at_once_max, "too many at once");
    }

    fn act(&mut self) {
        while let Some(action) = self.race.poll_action() {
            match action {
                Action::Open { attempt, candidate } => {
                    self.open.insert(attempt, (self.now_ms, candidate, 0));
                }
                Action::Close { attempt } => assert!(self.open.remove(&attempt).is_some(), "closed twice"),
                _ => {}
            }
            self.log.push((self.now_ms, action));
        }
    }

    fn ask(&mut self, is_waiting: bool) {
        self.race.handle_demand(self.begin + Duration::from_millis(self.now_ms), is_waiting);
    }

    fn used(&self) -> Option<usize> {
        self.open.get(&self.race.used()?).map(|&(_, candidate, _)| candidate)
    }

    fn opened(&self) -> Vec<(u64, usize)> {
        let open = |&(at, action): &(u64, Action)| match action {
            Action::Open { candidate, .. } => Some((at, candidate)),
            _ => None,
        };
        self.log.iter().filter_map(open).collect()
    }

    fn causes(&self) -> Vec<(usize, Cause)> {
        let failed = |&(_, action): &(u64, Action)| match action {
            Action::Failed { candidate, cause, .. } => Some((candidate, cause)),
            _ => None,
        };
        self.log.iter().filter_map(failed).collect()
    }
}

#[test]
fn attempts_are_staggered_and_losers_closed() {
    let slow = Network { ready_ms: Some(600), ..GOOD };
    let mut world = World::new(&[SILENT, slow, SILENT, GOOD]);
    world.ask(true);
    world.run(590);
    assert_eq!(world.opened(), [(0, 0), (250, 1), (500, 2)], "and no more than three at once");
    assert_eq!(world.used(), None);
    world.run(2000);
    assert_eq!(world.used(), Some(1));
    assert_eq!(world.open.len(), 1, "losers are closed after the proof");
    assert!(world.causes().is_empty(), "who lost did not fail: {:?}", world.causes());
    assert!(
        matches!(world.log.iter().find(|(_, action)| matches!(action, Action::Proven { .. })), Some((at, _)) if *at > 850)
    );
}

#[test]
fn a_failure_makes_room_at_once() {
    let mut world = World::new(&[REFUSING, REFUSING, GOOD]);
    world.ask(true);
    world.run(1000);
    assert_eq!(world.opened(), [(0, 0), (20, 1), (40, 2)]);
    assert_eq!(world.used(), Some(2));
    assert_eq!(world.causes(), [(0, Cause::Refused), (1, Cause::Refused)]);
}

#[test]
fn a_handshake_proves_nothing() {
    // The freeze after 16 KiB.
    let frozen = Network { freezes_at: 16 << 10, ..GOOD };
    let mut world = World::new(&[frozen, GOOD]);
    world.ask(true);
    world.run(100);
    assert_eq!(world.used(), Some(0), "used at once");
    world.run(2000);
    assert_eq!(world.used(), Some(1));
    assert_eq!(world.opened().len(), 2);
    assert!(world.opened()[1].0 <= 1000, "within a second of the stall: {:?}", world.opened());
    assert_eq!(world.causes(), [(0, Cause::Stalled { received_bytes: 16 << 10 })]);
}

#[test]
fn a_throttled_one_is_replaced_within_a_second() {
    let mut world = World::new(&[GOOD, GOOD]);
    world.ask(true);
    world.run(5000);
    assert_eq!((world.used(), world.opened().len()), (Some(0), 1));
    world.networks[0].rate = 16 << 10;
    world.run(2000);
    assert_eq!(world.used(), Some(1));
    assert!(world.opened()[1].0 <= 5000 + 1000, "{:?}", world.opened());
    assert!(matches!(world.causes()[..], [(0, Cause::Throttled { rate, control })] if rate * 4 < control));
    assert_eq!(world.open.len(), 1);
}

#[test]
fn a_silence_nobody_waits_in_is_none() {
    let mut world = World::new(&[GOOD, GOOD]);
    world.ask(true);
    world.run(2000);
    world.ask(false);
    world.run(3_600_000);
    assert_eq!(world.opened().len(), 1);
    assert!(world.causes().is_empty());
}

#[test]
fn a_slow_network_is_nobodys_fault() {
    let mut world = World::new(&[GOOD, GOOD]);
    world.ask(true);
    world.run(3000);
    for network in &mut world.networks {
        network.rate = 30 << 10;
    }
    world.run(120_000);
    assert!(world.causes().is_empty(), "{:?}", world.causes());
    assert!(world.opened().len() <= 3, "and it is not tried again and again: {:?}", world.opened());
}

#[test]
fn one_candidate_gets_a_new_connection() {
    let mut world = World::new(&[Network { freezes_at: 200 << 10, ..GOOD }]);
    world.ask(true);
    world.run(10_000);
    assert!(world.opened().len() >= 4, "{:?}", world.opened());
    assert!(world.causes().iter().all(|(_, cause)| matches!(cause, Cause::Stalled { .. })));
}

#[test]
fn the_next_one_takes_over_when_one_is_cut() {
    let cause = Cause::Reset { stage: Stage::Data, received_bytes: 1 };
    let mut world = World::new(&[Network { fails: Some((3000, cause)), ..GOOD }, GOOD]);
    world.ask(true);
    world.run(3500);
    assert_eq!(world.causes()[0], (0, cause));
    assert!(world.used().is_some());
    assert_eq!(world.opened()[1].0, 3000, "at once");
}

#[test]
fn rounds_wait_longer_each_time() {
    let mut world = World::new(&[REFUSING, SILENT]);
    world.run(300_000);
    let waits: Vec<Duration> = world
        .log
        .iter()
        .filter_map(|&(_, action)| if let Action::Exhausted { wait } = action { Some(wait) } else { None })
        .collect();
    assert!(waits.len() > 4, "{waits:?}");
    assert!(waits[0] >= Duration::from_secs(1) && waits[0] < Duration::from_secs(2));
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(90)));
    assert!(waits.last() > waits.first());
    assert!(world.causes().contains(&(1, Cause::Timeout { stage: Stage::Session })));
    world.networks[0] = GOOD;
    world.run(100_000);
    assert_eq!(world.used(), Some(0), "and it works when the network does");
}

#[test]
fn what_is_remembered_comes_first_and_the_rest_is_chance() {
    let candidate = |remembered, preference| Candidate { remembered, preference };
    let candidates = vec![candidate(0.1, 1.0), candidate(0.9, 0.0), candidate(0.5, 0.5), candidate(0.5, 0.5)];
    let mut third = [0; 4];
    for seed in 0..200 {
        let race = Race::new(Config::default(), candidates.clone(), seed, Instant::now());
        let first = race.attempts.values().next().expect("an attempt").candidate;
        assert_eq!(first, 1);
        third[race.queue[0]] += 1;
    }
    assert!(third[2] > 50 && third[3] > 50, "{third:?}");
    assert_eq!(third[0], 0, "what failed here comes last");
}

proptest::proptest! {
    #[test]
    fn some_network_that_works_is_found(
        kinds in proptest::collection::vec(0_usize..4, 1..8),
        good in 0_usize..8,
        seed: u64,
    ) {
        let kind = |&kind: &usize| match kind {
            0 => REFUSING,
            1 => SILENT,
            2 => Network { freezes_at: 10_000, ..GOOD },
            _ => Network { fails: Some((80, Cause::Handshake)), ..GOOD },
        };
        let mut networks: Vec<Network> = kinds.iter().map(kind).collect();
        let good = good % networks.len();
        networks[good] = GOOD;
        let mut world = World::new(&networks);
        world.race.random = StdRng::seed_from_u64(seed);
        world.ask(true);
        world.run(120_000);
        proptest::prop_assert_eq!(world.used(), Some(good));
        proptest::prop_assert_eq!(world.open.len(), 1);
    }
}
