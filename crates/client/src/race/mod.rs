//! Which card and transport to use: a staggered race, then a watch over the winner.
//!
//! No socket and no clock is in here: whoever drives a [`Race`] tells it what happens and what time it is, does what
//! [`Race::poll_action`] says, and calls [`Race::handle_timeout`] at [`Race::poll_timeout`].
//!
//! A *candidate* is a card with one of its transports; an *attempt* is one connection of it. The first attempt that is
//! authenticated is used at once, so that nobody waits; it counts as working when [`Config::proof_bytes`] came through at a
//! fair rate, since censors let handshakes pass and freeze what follows. Fair is a quarter of the *control*: the most that
//! has come in a second on this network, or what the driver measured past the tunnel. An attempt that is used and not fair for
//! a second while bytes are waited for gets a challenger; if that does better it takes its place, and if not, the
//! network is slow and nobody is to blame. One by which nothing comes any more is closed as soon as there is another, since
//! what is under way by it is waited for.

mod meter;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::meter::Meter;
use crate::cause::{Cause, Stage};

/// Below this part of the control a rate is not fair.
const FAIR_PART: u64 = 4;
/// How much chance there is in the order: with it two clients of one card don't behave alike.
const CHANCE: f64 = 0.2;
/// The weight of a transport's preference beside what is remembered.
const PREFERENCE_WEIGHT: f64 = 0.3;
/// A watch looks so often, as a part of the window.
const LOOKS: u32 = 10;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time between two attempts' beginnings. Default 250 ms.
    pub stagger: Duration,
    /// Attempts at the same time, those that are used included: many connections at once are a sign. Default 3.
    pub at_once_max: usize,
    /// How long an attempt may take to be authenticated. Default 10 s.
    pub patience: Duration,
    /// Bytes after which an attempt counts as working. Default 64 KiB.
    pub proof_bytes: u64,
    /// How long an attempt may be unfair before it gets a challenger. Default 750 ms, so that another carries on within a
    /// second; it is found out within a tenth more.
    pub window: Duration,
    /// The highest control, in bytes a second: who gets a quarter of this is not complaining. Default 1 MiB/s.
    pub control_max: u64,
    /// The wait after a round in which every candidate failed; it doubles with each round. Default 1 s.
    pub round_wait: Duration,
    /// The longest such wait. Default 60 s.
    pub round_wait_max: Duration,
    /// The wait after a challenger did no better; it doubles each time, up to 64 times this. Default 10 s.
    pub challenge_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stagger: Duration::from_millis(250),
            at_once_max: 3,
            patience: Duration::from_secs(10),
            proof_bytes: 64 << 10,
            window: Duration::from_millis(750),
            control_max: 1 << 20,
            round_wait: Duration::from_secs(1),
            round_wait_max: Duration::from_secs(60),
            challenge_wait: Duration::from_secs(10),
        }
    }
}

/// A card with one of its transports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// How well it did on this network, 0 to 1; 0.5 if that is not known.
    pub remembered: f64,
    /// How much its transport is preferred where nothing is known, 0 to 1.
    pub preference: f64,
}

/// One connection; numbers are not used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttemptId(u64);

/// What is to be done, or known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Begin an attempt.
    Open {
        /// Its number.
        attempt: AttemptId,
        /// An index into the candidates.
        candidate: usize,
    },
    /// From now on new bytes go by this attempt.
    Use {
        /// Which.
        attempt: AttemptId,
    },
    /// End an attempt; the driver says no more about it.
    Close {
        /// Which.
        attempt: AttemptId,
    },
    /// An attempt has proved that it works: worth remembering.
    Proven {
        /// Which.
        attempt: AttemptId,
        /// Of which candidate.
        candidate: usize,
        /// Bytes a second.
        rate: u64,
    },
    /// An attempt has failed, or was replaced by a better one: worth remembering, and telling.
    Failed {
        /// Which.
        attempt: AttemptId,
        /// Of which candidate.
        candidate: usize,
        /// Why.
        cause: Cause,
        /// Whether it was the one in use.
        was_used: bool,
    },
    /// Every candidate has failed; all are tried again after this wait.
    Exhausted {
        /// How long.
        wait: Duration,
    },
}

#[derive(Debug)]
struct Attempt {
    candidate: usize,
    opened: Instant,
    /// Since when it is authenticated.
    ready: Option<Instant>,
    last: Instant,
    received: u64,
    is_proven: bool,
    meter: Meter,
}

/// Why the attempt in use has a challenger.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    cause: Cause,
    rate: u64,
}

/// A race over candidates; see the module.
#[derive(Debug)]
pub struct Race {
    config: Config,
    candidates: Vec<Candidate>,
    random: StdRng,
    /// Candidates of this round that were not tried yet.
    queue: VecDeque<usize>,
    attempts: BTreeMap<AttemptId, Attempt>,
    next_id: u64,
    /// When the next attempt may begin.
    next_open: Instant,
    /// Rounds in which every candidate failed, one after the other.
    rounds: u32,
    /// Such a round is over, and the next begins at `next_open`.
    is_resting: bool,
    used: Option<AttemptId>,
    used_since: Instant,
    /// What was used before, until the one in use has proved better, with what it was suspected of.
    replaced: Option<(AttemptId, Suspicion)>,
    suspicion: Option<Suspicion>,
    /// Bytes a second.
    control: Option<u64>,
    waiting_since: Option<Instant>,
    last_look: Instant,
    /// No challenges before.
    quiet_until: Instant,
    challenges_in_vain: u32,
    actions: VecDeque<Action>,
}

impl Race {
    /// Begins. `seed` decides what is left to chance.
    #[must_use]
    pub fn new(config: Config, candidates: Vec<Candidate>, seed: u64, now: Instant) -> Self {
        let mut race = Self {
            config,
            candidates,
            random: StdRng::seed_from_u64(seed),
            queue: VecDeque::new(),
            attempts: BTreeMap::new(),
            next_id: 0,
            next_open: now,
            rounds: 0,
            is_resting: false,
            used: None,
            used_since: now,
            last_look: now,
            replaced: None,
            suspicion: None,
            control: None,
            waiting_since: None,
            quiet_until: now,
            challenges_in_vain: 0,
            actions: VecDeque::new(),
        };
        race.fill_queue();
        race.advance(now);
        race
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Race::handle_timeout`] is to be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let opens =
            (self.wants_more() && self.has_room() && !self.queue.is_empty()).then_some(self.next_open);
        let gives_up = self.attempts.values().filter(|attempt| attempt.ready.is_none());
        let gives_up = gives_up.map(|attempt| attempt.opened + self.config.patience).min();
        let begins_round = self.is_resting.then_some(self.next_open);
        [opens, gives_up, begins_round, self.next_look()].into_iter().flatten().min()
    }

    /// Tells that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late =
            |attempt: &Attempt| attempt.ready.is_none() && now >= attempt.opened + self.config.patience;
        let late: Vec<AttemptId> =
            self.attempts.iter().filter(|(_, attempt)| late(attempt)).map(|(&id, _)| id).collect();
        for id in late {
            self.actions.push_back(Action::Close { attempt: id });
            self.handle_failed(now, id, Cause::Timeout { stage: Stage::Session });
        }
        self.look(now);
        self.advance(now);
    }

    /// An attempt is authenticated: the server holds the card's key.
    pub fn handle_authenticated(&mut self, now: Instant, id: AttemptId) {
        let window = self.config.window;
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.ready = Some(now);
        attempt.meter = Meter::new(now, window);
        if self.used.is_none() || self.suspicion.is_some() {
            self.switch(now, id);
        }
        self.advance(now);
    }

    /// Bytes of the session came by an attempt.
    pub fn handle_received(&mut self, now: Instant, id: AttemptId, bytes: u64) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.last = now;
        attempt.received += bytes;
        attempt.meter.add(now, bytes);
        let in_window = attempt.meter.bytes(now);
        if !attempt.is_proven && attempt.received >= self.config.proof_bytes {
            // What came in a moment says little of what comes in a second.
            let took =
                now.saturating_duration_since(attempt.ready.unwrap_or(now)).max(self.config.window / LOOKS);
            let rate = per_second(attempt.received, took).max(in_window);
            let candidate = attempt.candidate;
            if self.is_fair(rate) || self.replaced.is_some() {
                self.prove(now, id, candidate, rate);
            }
        }
        if self.used == Some(id) {
            self.raise_control(per_second(in_window, self.config.window));
        }
        self.advance(now);
    }

    /// Whether bytes are waited for: something was asked for by the attempt in use, and is not there yet.
    pub fn handle_demand(&mut self, now: Instant, is_waiting: bool) {
        match (is_waiting, self.waiting_since) {
            (true, None) => self.waiting_since = Some(now),
            (false, Some(_)) => self.waiting_since = None,
            _ => {}
        }
        self.advance(now);
    }

    /// What came past the tunnel, or through it earlier on this network, in bytes a second.
    pub fn handle_control(&mut self, rate: u64) {
        self.raise_control(rate);
    }

    /// An attempt has failed, or its connection ended.
    pub fn handle_failed(&mut self, now: Instant, id: AttemptId, cause: Cause) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        let was_used = self.used == Some(id);
        self.actions.push_back(Action::Failed { attempt: id, candidate: attempt.candidate, cause, was_used });
        self.replaced = self.replaced.filter(|&(replaced, _)| replaced != id);
        if was_used {
            (self.used, self.suspicion) = (None, None);
            let standby = self.attempts.iter().filter(|(_, other)| other.ready.is_some());
            if let Some(id) =
                standby.max_by_key(|(_, other)| (other.is_proven, other.ready)).map(|(&id, _)| id)
            {
                self.switch(now, id);
            }
            self.replaced = None;
            if attempt.is_proven {
                // It worked until now: all are worth a try again, and at once.
                self.fill_queue();
            }
        }
        // No reason to wait with the next.
        self.next_open = now;
        self.advance(now);
    }

    /// The attempt that is used.
    #[must_use]
    pub fn used(&self) -> Option<AttemptId> {
        self.used
    }

    fn prove(&mut self, now: Instant, id: AttemptId, candidate: usize, rate: u64) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.is_proven = true;
        }
        self.actions.push_back(Action::Proven { attempt: id, candidate, rate });
        self.rounds = 0;
        if self.used != Some(id) {
            return;
        }
        if let Some((old, suspicion)) = self.replaced.take() {
            if rate > suspicion.rate.saturating_mul(2) {
                self.blame(old, suspicion.cause);
                self.challenges_in_vain = 0;
            } else {
                // Both are slow: so is the network, and that is the control now.
                self.control = Some(rate.max(suspicion.rate));
                self.challenges_in_vain = (self.challenges_in_vain + 1).min(6);
                self.quiet_until = now + self.config.challenge_wait * (1 << self.challenges_in_vain);
            }
        }
        self.raise_control(rate);
        self.suspicion = None;
        self.close_others(id);
    }

    fn blame(&mut self, id: AttemptId, cause: Cause) {
        if let Some(attempt) = self.attempts.get(&id) {
            let candidate = attempt.candidate;
            self.actions.push_back(Action::Failed { attempt: id, candidate, cause, was_used: true });
        }
    }

    fn give_up(&mut self, id: AttemptId, cause: Cause) {
        self.blame(id, cause);
        self.attempts.remove(&id);
        self.actions.push_back(Action::Close { attempt: id });
    }

    fn close_others(&mut self, keep: AttemptId) {
        let others: Vec<AttemptId> = self.attempts.keys().copied().filter(|&id| id != keep).collect();
        for id in others {
            self.attempts.remove(&id);
            self.actions.push_back(Action::Close { attempt: id });
        }
    }

    fn switch(&mut self, now: Instant, to: AttemptId) {
        if let (Some(old), Some(suspicion)) = (self.used, self.suspicion.take()) {
            if matches!(suspicion.cause, Cause::Stalled { .. }) {
                // What is under way by it must go another way, at once.
                self.give_up(old, suspicion.cause);
            } else if let Some((older, suspicion)) = self.replaced.replace((old, suspicion)) {
                // Both before it were slow.
                self.give_up(older, suspicion.cause);
            }
        }
        (self.used, self.used_since) = (Some(to), now);
        self.actions.push_back(Action::Use { attempt: to });
    }

    /// Looks whether the attempt in use is fair.
    fn look(&mut self, now: Instant) {
        let (Some(id), Some(waiting)) = (self.used, self.waiting_since) else { return };
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        self.last_look = now;
        let since = self.used_since.max(waiting);
        if now < since + self.config.window {
            return;
        }
        let in_window = attempt.meter.bytes(now);
        let received_bytes = attempt.received;
        let is_silent = now.saturating_duration_since(attempt.last) >= self.config.window / 2;
        let rate = per_second(in_window, self.config.window);
        if self.is_fair(rate) && rate > 0 {
            if self.suspicion.take().is_some() {
                self.close_unready();
            }
            return;
        }
        if rate > 0 && (now < self.quiet_until || self.replaced.is_some()) {
            return;
        }
        let is_new = self.suspicion.is_none();
        let control = self.control.unwrap_or(0);
        let cause =
            if is_silent { Cause::Stalled { received_bytes } } else { Cause::Throttled { rate, control } };
        self.suspicion = Some(Suspicion { cause, rate });
        if is_new {
            self.challenge(now, id);
        }
    }

    fn challenge(&mut self, now: Instant, used: AttemptId) {
        let before = self.replaced.map(|(before, _)| before);
        let is_standby = |id| id != used && Some(id) != before;
        let ready = self.attempts.iter().filter(|(_, attempt)| attempt.ready.is_some());
        if let Some(id) = ready.map(|(&id, _)| id).find(|&id| is_standby(id)) {
            self.switch(now, id);
            return;
        }
        // What was not tried comes first, and last a new connection of the same: some are frozen one by one.
        if self.queue.is_empty() {
            let own = self.attempts.get(&used).map(|attempt| attempt.candidate);
            self.fill_queue();
            self.queue.retain(|&candidate| Some(candidate) != own);
            self.queue.extend(own);
        }
        self.next_open = now;
    }

    fn close_unready(&mut self) {
        let unready: Vec<AttemptId> =
            self.attempts.iter().filter(|(_, attempt)| attempt.ready.is_none()).map(|(&id, _)| id).collect();
        for id in unready {
            self.attempts.remove(&id);
            self.actions.push_back(Action::Close { attempt: id });
        }
    }

    fn is_fair(&self, rate: u64) -> bool {
        self.control.is_none_or(|control| rate.saturating_mul(FAIR_PART) >= control)
    }

    fn raise_control(&mut self, rate: u64) {
        let rate = rate.min(self.config.control_max);
        self.control = Some(self.control.unwrap_or(0).max(rate));
    }

    fn wants_more(&self) -> bool {
        self.used.is_none() || self.suspicion.is_some()
    }

    fn has_room(&self) -> bool {
        self.attempts.len() < self.config.at_once_max
    }

    fn next_look(&self) -> Option<Instant> {
        self.used?;
        let since = self.used_since.max(self.waiting_since?);
        Some((since + self.config.window).max(self.last_look + self.config.window / LOOKS))
    }

    /// Opens what may be opened.
    fn advance(&mut self, now: Instant) {
        if self.is_resting && now >= self.next_open {
            self.is_resting = false;
            self.fill_queue();
        }
        while self.wants_more() && self.has_room() && now >= self.next_open {
            let Some(candidate) = self.queue.pop_front() else { break };
            let attempt = AttemptId(self.next_id);
            self.next_id += 1;
            let meter = Meter::new(now, self.config.window);
            let new = Attempt {
                candidate,
                opened: now,
                ready: None,
                last: now,
                received: 0,
                is_proven: false,
                meter,
            };
            self.attempts.insert(attempt, new);
            self.next_open = now + self.config.stagger;
            self.actions.push_back(Action::Open { attempt, candidate });
        }
        if self.queue.is_empty()
            && self.attempts.is_empty()
            && !self.candidates.is_empty()
            && !self.is_resting
        {
            let wait = self.config.round_wait.saturating_mul(1 << self.rounds.min(16));
            let wait = wait.min(self.config.round_wait_max);
            // At no exact time.
            let wait = wait.mul_f64(1.0 + self.random.random::<f64>() / 2.0);
            (self.is_resting, self.next_open, self.rounds) = (true, now + wait, self.rounds + 1);
            self.actions.push_back(Action::Exhausted { wait });
        }
    }

    /// All candidates, the most promising first.
    fn fill_queue(&mut self) {
        let mut ranked: Vec<(f64, usize)> = Vec::with_capacity(self.candidates.len());
        for (index, candidate) in self.candidates.iter().enumerate() {
            let chance = self.random.random::<f64>() * CHANCE;
            ranked.push((candidate.remembered + candidate.preference * PREFERENCE_WEIGHT + chance, index));
        }
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
        self.queue = ranked.into_iter().map(|(_, index)| index).collect();
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}
