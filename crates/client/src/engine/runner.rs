//! Joins the race and the attempts: tells the one what happens to the others, and does what it says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daylight_session::code;
use rand::RngExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::attempt::{self, Common, Ready};
use super::meter::Meter;
use super::session::Session;
use crate::cause::Cause;
use crate::memory::{Identity, Memory, NetworkId};
use crate::race::{self, Action, AttemptId, Candidate, Race};
use crate::status::{Phase, Status};
use crate::words::{Route, exhausted, explain, switched};

/// How often meters are read while bytes move.
const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_S: usize = 10;
/// How many are remembered.
const TICKS: usize = 3 * TICKS_PER_S;
/// Who sends so many bytes in a second is sending, and not waiting.
const SENDING: u64 = 32 << 10;
/// So long streams go on over a server that is not the one in use any more.
const RETIREMENT: Duration = Duration::from_secs(600);
/// So long the server has to be told that a session is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// What attempts tell.
enum Report {
    /// A path carries.
    Ready(AttemptId, Ready),
    /// There is no more to be had.
    Failed(AttemptId, Cause),
}

struct Running {
    way: usize,
    meter: Arc<Meter>,
    ready: Option<Ready>,
    _task: AbortOnDropHandle<()>,
    /// What the meter said last.
    received: u64,
    sent: u64,
}

pub(super) struct Runner {
    common: Arc<Common>,
    race_config: race::Config,
    race: Race,
    attempts: HashMap<AttemptId, Running>,
    /// Those whose server is not the one in use any more, and since when.
    retired: Vec<(Running, Instant)>,
    reports: mpsc::UnboundedReceiver<Report>,
    report: mpsc::UnboundedSender<Report>,
    memory: Arc<Mutex<Memory>>,
    identity: Identity,
    network: NetworkId,
    /// Why ways failed since the last one that was used, by their number.
    failures: BTreeMap<usize, Cause>,
    /// The way that was used last.
    route: Option<Route>,
    use_session: watch::Sender<Option<Arc<Session>>>,
    status: Arc<watch::Sender<Status>>,
    stop: mpsc::Receiver<()>,
    woken: Arc<Notify>,
    is_awake: bool,
    traffic: Traffic,
    /// The answer that the path in use owes, as the race was told.
    owed: Option<Instant>,
}

/// Bytes in all, and of the last ticks.
#[derive(Default)]
struct Traffic {
    received: u64,
    sent: u64,
    ticks: std::collections::VecDeque<(u64, u64)>,
}

impl Traffic {
    fn add(&mut self, received: u64, sent: u64) {
        self.received += received;
        self.sent += sent;
        self.ticks.push_front((received, sent));
        self.ticks.truncate(TICKS);
    }

    /// Of the last three seconds, received and sent: what a program takes in gulps is not to flicker.
    fn per_s(&self) -> (u64, u64) {
        let (received, sent) = self.ticks.iter().fold((0, 0), |sum, tick| (sum.0 + tick.0, sum.1 + tick.1));
        let ticks = self.ticks.len().max(TICKS_PER_S) as u64;
        (received * TICKS_PER_S as u64 / ticks, sent * TICKS_PER_S as u64 / ticks)
    }

    /// In the last second.
    fn sent_lately(&self) -> u64 {
        self.ticks.iter().take(TICKS_PER_S).map(|(_, sent)| sent).sum()
    }
}

/// Now, by tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    pub(super) fn new(
        common: Arc<Common>,
        race_config: race::Config,
        memory: Arc<Mutex<Memory>>,
        use_session: watch::Sender<Option<Arc<Session>>>,
        status: Arc<watch::Sender<Status>>,
        stop: mpsc::Receiver<()>,
    ) -> Self {
        let identity = Identity::current();
        let network = locked(&memory).network(&identity);
        let race = begin_race(&common, &race_config, &locked(&memory), &network);
        let (report, reports) = mpsc::unbounded_channel();
        status.send_modify(|status| status.since_s = now_s());
        Self {
            common,
            race_config,
            race,
            attempts: HashMap::new(),
            retired: Vec::new(),
            reports,
            report,
            memory,
            identity,
            network,
            failures: BTreeMap::new(),
            route: None,
            use_session,
            status,
            stop,
            woken: Arc::new(Notify::new()),
            is_awake: true,
            traffic: Traffic::default(),
            owed: None,
        }
    }

    /// Until it is told to end, or nobody has the engine any more.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.act();
            let due = self.race.poll_timeout();
            let due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(Report::Ready(id, ready)) => self.handle_ready(id, ready),
                    Some(Report::Failed(id, cause)) => {
                        self.attempts.remove(&id);
                        self.race.handle_failed(now(), id, cause);
                    }
                    // There is always one sender: this.
                    None => return,
                },
                () = due => self.race.handle_timeout(now()),
                _ = tick.tick(), if self.is_awake => self.measure(),
                () = self.woken.notified(), if !self.is_awake => {
                    self.is_awake = true;
                    tick.reset();
                }
                _ = self.stop.recv() => return self.end().await,
            }
        }
    }

    /// Ends all sessions, of which the servers are told.
    async fn end(mut self) {
        self.enter(Phase::Stopping);
        self.common.sessions.all().for_each(|session| session.driver.close(code::NONE));
        self.attempts.retain(|_, running| running.ready.is_some());
        // Attempts end by themselves when their last bytes are sent.
        let told = async {
            while !self.attempts.is_empty() {
                if let Some(Report::Failed(id, _)) = self.reports.recv().await {
                    self.attempts.remove(&id);
                }
            }
        };
        // Servers that can't be told find out.
        let _ = timeout(FAREWELL, told).await;
    }

    fn act(&mut self) {
        while let Some(action) = self.race.poll_action() {
            match action {
                Action::Open { attempt, candidate } => self.open(attempt, candidate),
                Action::Use { attempt } => self.use_attempt(attempt),
                Action::Close { attempt } => self.close(attempt),
                Action::Proven { candidate, rate, .. } => {
                    self.learn(candidate, |memory, network, card, transport| {
                        memory.worked(network, card, transport, rate, now_s());
                    });
                }
                Action::Failed { candidate, cause, was_used, .. } => {
                    self.handle_failed(candidate, cause, was_used);
                }
                Action::Exhausted { wait } => self.handle_exhausted(wait),
            }
        }
    }

    fn open(&mut self, id: AttemptId, way: usize) {
        let meter = Arc::new(Meter::new(Arc::clone(&self.woken)));
        let (common, report, metering) = (Arc::clone(&self.common), self.report.clone(), Arc::clone(&meter));
        let task = tokio::spawn(async move {
            let tell = |ready| {
                // The runner may have ended.
                let _ = report.send(Report::Ready(id, ready));
            };
            let cause = attempt::run(&common, way, &metering, tell).await;
            let _ = report.send(Report::Failed(id, cause));
        });
        let task = AbortOnDropHandle::new(task);
        let running = Running { way, meter, ready: None, _task: task, received: 0, sent: 0 };
        self.attempts.insert(id, running);
        if self.race.used().is_none() {
            self.enter(Phase::Connecting);
        }
    }

    fn handle_ready(&mut self, id: AttemptId, ready: Ready) {
        let Some(running) = self.attempts.get_mut(&id) else { return };
        let is_first = running.ready.replace(ready).is_none();
        if is_first {
            self.race.handle_authenticated(now(), id);
        } else if self.race.used() == Some(id) {
            self.use_session_of(id);
        }
    }

    fn use_attempt(&mut self, id: AttemptId) {
        let Some(running) = self.attempts.get(&id) else { return };
        let Some(way) = self.common.ways.get(running.way) else { return };
        let route = way.route.clone();
        let failed = self.failures.iter().find(|(other, _)| **other != running.way);
        let failed = failed.or_else(|| self.failures.iter().next());
        let notice = failed.and_then(|(other, cause)| {
            let from = &self.common.ways.get(*other)?.route;
            Some(match *from == route {
                true => format!("{}; connected again", explain(from, cause)),
                false => switched(from, cause, &route),
            })
        });
        self.failures.clear();
        self.owed = None;
        self.use_session_of(id);
        self.route = Some(route.clone());
        self.status.send_modify(|status| {
            status.route = Some(route);
            if let Some(text) = notice {
                status.note(now_s(), text);
            }
        });
        self.enter(Phase::Connected);
    }

    fn use_session_of(&mut self, id: AttemptId) {
        let ready = self.attempts.get(&id).and_then(|running| running.ready.as_ref());
        let Some(session) = ready.map(|ready| Arc::clone(&ready.session)) else { return };
        self.use_session.send_if_modified(|current| {
            let is_same = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session));
            if !is_same {
                *current = Some(session);
            }
            !is_same
        });
    }

    fn close(&mut self, id: AttemptId) {
        let Some(running) = self.attempts.remove(&id) else { return };
        let Some(ready) = &running.ready else { return };
        let is_current = self.is_current(&ready.session);
        if !is_current && ready.session.streams() > 0 {
            self.retired.push((running, now()));
        } else if !is_current {
            farewell(running);
        }
        // Of the session in use a path less: what is under way by it goes by others, at once.
    }

    fn is_current(&self, session: &Arc<Session>) -> bool {
        self.use_session.borrow().as_ref().is_some_and(|current| Arc::ptr_eq(current, session))
    }

    fn learn(&self, way: usize, change: impl FnOnce(&mut Memory, &NetworkId, &[u8], &str)) {
        let Some(way) = self.common.ways.get(way) else { return };
        let Some(server) = self.common.servers.get(way.server) else { return };
        change(&mut locked(&self.memory), &self.network, &server.id, &way.route.transport);
        let memory = Arc::clone(&self.memory);
        tokio::task::spawn_blocking(move || {
            // What can't be kept is not remembered: the tunnel goes on.
            let _ = locked(&memory).save();
        });
    }

    fn handle_failed(&mut self, way: usize, cause: Cause, was_used: bool) {
        self.failures.insert(way, cause);
        // These say nothing of the way.
        if !matches!(cause, Cause::Unreachable | Cause::Busy) {
            self.learn(way, |memory, network, card, transport| {
                memory.failed(network, card, transport, now_s());
            });
        }
        if was_used && self.race.used().is_none() {
            self.enter(Phase::Connecting);
        }
        if was_used {
            self.look_at_network();
        }
    }

    fn handle_exhausted(&mut self, wait: Duration) {
        let failures: Vec<(Route, Cause)> = self
            .failures
            .iter()
            .filter_map(|(way, cause)| Some((self.common.ways.get(*way)?.route.clone(), *cause)))
            .collect();
        let text = exhausted(&failures, wait.as_secs().max(1));
        self.status.send_modify(|status| {
            for (route, cause) in &failures {
                let text = explain(route, cause);
                if status.notices.last().is_none_or(|last| last.text != text) {
                    status.note(now_s(), text);
                }
            }
            status.note(now_s(), text);
        });
        self.failures.clear();
        self.enter(Phase::Waiting);
        self.look_at_network();
    }

    /// On another network another race begins, with what is known there.
    fn look_at_network(&mut self) {
        let identity = Identity::current();
        if identity == self.identity || identity.is_unknown() {
            return;
        }
        self.network = locked(&self.memory).network(&identity);
        self.identity = identity;
        self.attempts.clear();
        self.race = begin_race(&self.common, &self.race_config, &locked(&self.memory), &self.network);
    }

    fn enter(&self, phase: Phase) {
        self.status.send_if_modified(|status| {
            let is_new = status.phase != phase && status.phase != Phase::Stopping;
            if is_new {
                (status.phase, status.since_s) = (phase, now_s());
            }
            is_new
        });
    }

    /// Reads the meters.
    fn measure(&mut self) {
        let now = now();
        let (mut received, mut sent) = (0, 0);
        for (id, running) in &mut self.attempts {
            let came =
                running.meter.received() - std::mem::replace(&mut running.received, running.meter.received());
            received += came;
            sent += running.meter.sent() - std::mem::replace(&mut running.sent, running.meter.sent());
            if came > 0 {
                self.race.handle_received(now, *id, came);
            }
        }
        self.traffic.add(received, sent);
        self.tell_demand(now);
        self.end_retired(now);
        let streams: usize = self.common.sessions.all().map(|session| session.streams()).sum();
        let is_moving = self.traffic.ticks.iter().any(|&tick| tick != (0, 0));
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.streams = streams as u64;
            (status.received_bytes, status.sent_bytes) = (self.traffic.received, self.traffic.sent);
            (status.received_bytes_per_s, status.sent_bytes_per_s) = self.traffic.per_s();
            *status != before
        });
        if !is_moving && self.owed.is_none() && self.retired.is_empty() {
            self.is_awake = false;
            self.attempts.values().for_each(|running| running.meter.rest());
        }
    }

    /// Tells the race whether the path in use owes an answer, and since when. One and the same answer must be missing for
    /// long: programs that wait for their far end (as most do, most of the time) don't make a path slow.
    fn tell_demand(&mut self, now: Instant) {
        let used = self.race.used().and_then(|id| self.attempts.get(&id));
        let ready = used.and_then(|running| running.ready.as_ref());
        let owed = ready.and_then(|ready| ready.session.driver.owed_since(ready.path));
        // What is sent as fast as the connection takes it keeps answers waiting.
        let owed = owed.filter(|_| self.traffic.sent_lately() < SENDING);
        if owed == self.owed {
            return;
        }
        self.owed = owed;
        self.race.handle_demand(now, false);
        if let Some(since) = owed {
            self.race.handle_demand(since, true);
        }
    }

    fn end_retired(&mut self, now: Instant) {
        let is_over = |(running, since): &mut (Running, Instant)| {
            let session = running.ready.as_ref().map(|ready| &ready.session);
            let is_idle = session.is_none_or(|session| session.streams() == 0 || session.is_over());
            is_idle || now > *since + RETIREMENT
        };
        self.retired.extract_if(.., is_over).for_each(|(running, _)| farewell(running));
    }
}

fn begin_race(common: &Common, config: &race::Config, memory: &Memory, network: &NetworkId) -> Race {
    let candidates = common.ways.iter().map(|way| {
        let id = common.servers.get(way.server).map_or(&[][..], |server| &server.id);
        let remembered = memory.remembered(network, id, &way.route.transport, now_s());
        Candidate { remembered, preference: way.by.preference() }
    });
    let mut race = Race::new(config.clone(), candidates.collect(), rand::rng().random(), now());
    if let Some(control) = memory.control(network) {
        race.handle_control(control);
    }
    race
}

/// Ends the session of an attempt that nobody uses any more, and then the attempt.
fn farewell(running: Running) {
    if let Some(ready) = &running.ready {
        ready.session.driver.close(code::NONE);
        tokio::spawn(async move {
            sleep(FAREWELL).await;
            drop(running);
        });
    }
}
