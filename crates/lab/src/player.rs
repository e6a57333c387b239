//! Builds a scenario, plays its timeline, and records what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use toml::Spanned;

use crate::LabError;
use crate::capture::Capture;
use crate::client::{Action, Context as ClientContext};
use crate::play::{Job, Message, say};
use crate::record::{EventRecord, Observation, Record};
use crate::scenario::draw::event_title;
use crate::scenario::model::{Client, Event, Network, Outcome};
use crate::scenario::{Scenario, adversary};
use crate::service::ca::Authority;
use crate::service::{self, Server};
use crate::world::{Middlebox, Router, Shape, World, start_middlebox};

/// A built scenario, and what has come of it until now.
pub(crate) struct Player<'a> {
    scenario: &'a Scenario,
    world: World,
    middleboxes: BTreeMap<String, (Box<dyn Middlebox>, Shape)>,
    /// Networks with adversaries in their routers.
    routers: BTreeMap<String, Router>,
    servers: BTreeMap<String, Server>,
    captures: Vec<Capture>,
    ca: PathBuf,
    token: String,
    warnings: Vec<String>,
    events: Vec<EventRecord>,
    observations: Vec<Observation>,
    /// When each adversary was switched on and off.
    switched: BTreeMap<String, Vec<(f64, bool)>>,
    started_ns: i64,
    played_s: f64,
    build_ms: f64,
    ready_ms: f64,
}

impl<'a> Player<'a> {
    pub(crate) fn build(scenario: &'a Scenario, job: &Job) -> Result<Self, LabError> {
        let begin = Instant::now();
        let files = job.folder.join(service::FILES);
        std::fs::create_dir_all(&files).map_err(LabError::file("make", &files))?;
        let world = World::build(scenario, &job.folder)?;
        let mut warnings = Vec::new();
        let mut middleboxes = BTreeMap::new();
        for link in &scenario.link {
            if let Some(middlebox) = start_middlebox(&world, link, &mut warnings)? {
                middleboxes.insert(link.name(), (middlebox, Shape::of(link)));
            }
        }
        let mut routers = BTreeMap::new();
        let has = |n: &Network| !n.adversary.is_empty() || n.middlebox().is_some();
        for (name, network) in scenario.network.iter().filter(|(_, n)| has(n)) {
            let name = name.get_ref();
            let namespace = world.namespace(name)?.clone();
            let router = Router::new(namespace, network, &job.folder, &job.base, &mut warnings)?;
            routers.insert(name.clone(), router);
        }
        let build_ms = begin.elapsed().as_secs_f64() * 1000.0;
        say(&Message::Built { ms: build_ms });
        for text in &warnings {
            say(&Message::Warning { text: text.clone() });
        }
        let threads: BTreeMap<&str, i32> =
            world.namespaces.iter().map(|(name, ns)| (name.as_str(), ns.thread_id)).collect();
        let file = job.folder.join("namespaces.json");
        service::write(&file, serde_json::to_vec(&threads).unwrap_or_default())?;

        let authority = Authority::new(&job.folder)?;
        cover(&world, scenario, &authority, &job.folder)?;
        let mut captures = Vec::new();
        let wanted =
            |name: &String| job.capture_all || scenario.link.iter().any(|l| l.capture && l.name() == *name);
        for name in world.plan.taps.keys().filter(|name| wanted(name)) {
            captures.push(Capture::start(name, &world, &job.folder)?);
        }
        for capture in &mut captures {
            capture.wait_ready()?;
        }
        let token = token();
        let context = service::Context {
            scenario,
            addresses: &world.plan.addresses,
            authority: &authority,
            token: &token,
            folder: &job.folder,
            base: &job.base,
        };
        let mut servers = BTreeMap::new();
        for (name, service) in &scenario.service {
            let mut server = Server::new(name.get_ref(), service, &world, &context)?;
            if service.started {
                server.start()?;
            }
            servers.insert(name.get_ref().clone(), server);
        }
        for server in servers.values_mut() {
            server.wait_ready()?;
        }
        world.settle(scenario);
        let ready_ms = begin.elapsed().as_secs_f64() * 1000.0;
        say(&Message::Ready { ms: ready_ms });
        let ca = authority.file.clone();
        Ok(Self {
            scenario,
            world,
            middleboxes,
            routers,
            servers,
            captures,
            ca,
            token,
            warnings,
            events: Vec::new(),
            observations: Vec::new(),
            switched: at_first(scenario),
            started_ns: 0,
            played_s: 0.0,
            build_ms,
            ready_ms,
        })
    }

    pub(crate) fn play(&mut self, stop: &Arc<AtomicBool>) {
        let duration = self.scenario.duration.get_ref().seconds;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.started_ns = i64::try_from(since_1970.as_nanos()).unwrap_or(0);
        let start = Instant::now();
        let (give, take) = channel();
        for client in &self.scenario.client {
            self.start_client(client, start, &give, stop);
        }
        drop(give);
        let mut events: Vec<&Event> = self.scenario.event.iter().collect();
        events.sort_by(|a, b| a.at.get_ref().seconds.total_cmp(&b.at.get_ref().seconds));
        let mut events = events.into_iter().peekable();
        let mut last: BTreeMap<String, Outcome> = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            let now = start.elapsed().as_secs_f64();
            if let Some(event) = events.next_if(|e| e.at.get_ref().seconds <= now) {
                self.happen(event, now);
                continue;
            }
            if now >= duration {
                break;
            }
            let next = events.peek().map_or(duration, |e| e.at.get_ref().seconds.min(duration));
            self.collect(&take, Duration::from_secs_f64((next - now).clamp(0.0, 0.1)), &mut last);
        }
        self.played_s = start.elapsed().as_secs_f64().min(duration);
        // Actions that are under way end by themselves, by their own timeouts.
        let patience = self
            .scenario
            .client
            .iter()
            .map(|c| c.timeout.as_ref().map_or(crate::expect::TIMEOUT, |t| *t.get_ref()).seconds)
            .fold(0.0, f64::max);
        let end = Instant::now() + Duration::from_secs_f64(patience + 1.0);
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            if !self.collect(&take, Duration::from_millis(100), &mut last) {
                break;
            }
        }
        self.observations.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    }

    /// Takes what clients saw; false when all of them are done.
    fn collect(
        &mut self,
        take: &Receiver<Observation>,
        wait: Duration,
        last: &mut BTreeMap<String, Outcome>,
    ) -> bool {
        let observation = match take.recv_timeout(wait) {
            Ok(observation) => observation,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait);
                return false;
            }
        };
        let from = last.insert(observation.client.clone(), observation.outcome);
        if from != Some(observation.outcome) {
            let (client, to, at_s) = (observation.client.clone(), observation.outcome, observation.at_s);
            say(&Message::Changed { at_s, client, from, to });
        }
        self.observations.push(observation);
        true
    }

    fn start_client(
        &mut self,
        client: &Client,
        start: Instant,
        give: &Sender<Observation>,
        stop: &Arc<AtomicBool>,
    ) {
        let context = ClientContext {
            scenario: self.scenario,
            addresses: &self.world.plan.addresses,
            ca: &self.ca,
            folder: &self.world.folder,
            token: &self.token,
        };
        let action = Action::new(client, &context);
        let end = self.scenario.duration.get_ref().seconds;
        let until = client.until.as_ref().map_or(end, |t| t.get_ref().seconds).min(end);
        let every = client.every.as_ref().map(|t| t.get_ref().seconds);
        let (mut next, give, stop) = (client.from.seconds, give.clone(), Arc::clone(stop));
        let run = move || {
            while next < until {
                while start.elapsed().as_secs_f64() < next {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let left = next - start.elapsed().as_secs_f64();
                    std::thread::sleep(Duration::from_secs_f64(left.clamp(0.0, 0.05)));
                }
                let at_s = start.elapsed().as_secs_f64();
                if stop.load(Ordering::Relaxed) || give.send(action.perform(at_s)).is_err() {
                    return;
                }
                let Some(every) = every else { return };
                // An action that took longer than a turn misses that turn; it is not made up for.
                let now = start.elapsed().as_secs_f64();
                next += every * ((now - next) / every).floor().max(0.0) + every;
            }
        };
        let started = self
            .world
            .namespace(client.host.get_ref())
            .and_then(|ns| ns.start("client", run).map_err(LabError::file("start", "a client")));
        if let Err(error) = started {
            self.warn(error.to_string());
        }
    }

    fn warn(&mut self, text: String) {
        say(&Message::Warning { text: text.clone() });
        self.warnings.push(text);
    }

    fn happen(&mut self, event: &Event, now: f64) {
        let title = event_title(event);
        say(&Message::Event { at_s: now, title: title.clone() });
        let mut problems = Vec::new();
        for (names, on) in [(&event.enable, true), (&event.disable, false)] {
            for name in names {
                let name = name.get_ref();
                self.switched.entry(name.clone()).or_default().push((now, on));
                problems.extend(self.switch(name, on).err());
            }
        }
        let mut shape = |name: &Spanned<String>, change: &dyn Fn(&mut Shape)| {
            if let Some((middlebox, shape)) = self.middleboxes.get_mut(name.get_ref()) {
                change(shape);
                problems.extend(middlebox.shape(shape).err());
            }
        };
        for name in &event.cut {
            shape(name, &|s| s.cut = true);
        }
        for name in &event.mend {
            shape(name, &|s| s.cut = false);
        }
        for (name, change) in &event.change {
            shape(name, &|s| *s = s.changed(change));
        }
        for name in &event.stop {
            if let Some(server) = self.servers.get_mut(name.get_ref()) {
                server.stop();
            }
        }
        for name in &event.start {
            if let Some(server) = self.servers.get_mut(name.get_ref()) {
                problems.extend(server.start().err().map(|e| e.to_string()));
            }
        }
        if let Some(run) = &event.run
            && let Some((program, arguments)) = run.program.get_ref().split_first()
        {
            let mut command = std::process::Command::new(program);
            command.args(arguments).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            let spawned = self
                .world
                .namespace(run.host.get_ref())
                .and_then(|ns| ns.spawn(command).map_err(LabError::file("start", program)));
            problems.extend(spawned.err().map(|e| e.to_string()));
        }
        for problem in &problems {
            self.warn(format!("at {now:.1} s: {problem}"));
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        self.events.push(EventRecord { at_s: event.at.get_ref().seconds, title, problem });
    }

    /// Switches an adversary on or off, wherever it stands.
    fn switch(&mut self, name: &str, on: bool) -> Result<(), String> {
        let is_there = |tables| adversary::named(tables).any(|(n, _, _)| n == name);
        if let Some(link) = self.scenario.link.iter().find(|l| is_there(&l.adversary))
            && let Some((middlebox, _)) = self.middleboxes.get_mut(&link.name())
        {
            return middlebox.adversary(name, on);
        }
        match self.scenario.network.iter().find(|(_, n)| is_there(&n.adversary)) {
            Some((network, _)) => match self.routers.get_mut(network.get_ref()) {
                Some(router) => router.adversary(name, on),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    pub(crate) fn finish(&mut self, job: &Job, keep: bool) -> Result<Record, LabError> {
        let mut packets = Vec::new();
        let mut files = BTreeMap::new();
        for capture in std::mem::take(&mut self.captures) {
            let link = capture.link.clone();
            let (file, found) = capture.finish(self.started_ns)?;
            files.insert(link, file);
            packets.extend(found);
        }
        packets.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        for (name, (middlebox, _)) in &mut self.middleboxes {
            let trouble = middlebox.trouble().map(|why| format!("link {name:?}: {why}"));
            self.warnings.extend(trouble);
        }
        for (name, router) in &mut self.routers {
            self.warnings.extend(router.trouble().into_iter().map(|why| format!("network {name:?}: {why}")));
            if !keep {
                router.end_programs();
            }
        }
        let mut counters = BTreeMap::new();
        let mut enacted = Vec::new();
        for (name, (middlebox, _)) in &self.middleboxes {
            counters.insert(name.clone(), middlebox.counters());
            enacted.extend(middlebox.enacted());
        }
        enacted.extend(self.routers.values().flat_map(Router::enacted));
        let mut record = Record::of_scenario(self.scenario, &self.world.plan.addresses);
        record.started = jiff::Timestamp::from_nanosecond(i128::from(self.started_ns))
            .map(|t| t.to_string())
            .unwrap_or_default();
        record.played_s =
            if self.played_s >= record.duration_s - 0.001 { record.duration_s } else { self.played_s };
        record.privilege = job.privilege.clone();
        record.build_ms = self.build_ms;
        record.ready_ms = self.ready_ms;
        record.captures = files.values().cloned().collect();
        for link in &mut record.links {
            link.capture = files.get(&link.name).cloned();
            link.counters = counters.remove(&link.name).unwrap_or_default();
        }
        for network in &mut record.networks {
            network.counters = self.routers.get(&network.name).map(Router::counters).unwrap_or_default();
        }
        let on_links = record.links.iter_mut().flat_map(|link| &mut link.adversaries);
        for adversary in
            on_links.chain(record.networks.iter_mut().flat_map(|network| &mut network.adversaries))
        {
            adversary.enacted = enacted.contains(&adversary.name);
            adversary.on = spans(self.switched.get(&adversary.name), record.played_s);
        }
        record.events.clone_from(&self.events);
        record.expectations = crate::expect::evaluate(self.scenario, &self.observations);
        record.observations = std::mem::take(&mut self.observations);
        record.packets = packets;
        record.warnings.clone_from(&self.warnings);
        Ok(record)
    }

    pub(crate) fn end(self) {
        for (middlebox, _) in self.middleboxes.into_values() {
            middlebox.finish();
        }
        for router in self.routers.into_values() {
            router.finish();
        }
        let mut servers: Vec<Server> = self.servers.into_values().collect();
        std::thread::scope(|scope| {
            for server in &mut servers {
                scope.spawn(|| server.stop());
            }
        });
    }
}

fn at_first(scenario: &Scenario) -> BTreeMap<String, Vec<(f64, bool)>> {
    adversary::all(scenario).map(|(name, _, on)| (name.to_owned(), vec![(0.0, on)])).collect()
}

/// From switches to spans in which it was on.
fn spans(switched: Option<&Vec<(f64, bool)>>, end: f64) -> Vec<(f64, f64)> {
    let mut spans = Vec::new();
    let mut since = None;
    for &(at, on) in switched.into_iter().flatten() {
        match (since, on) {
            (None, true) => since = Some(at),
            (Some(from), false) => {
                spans.push((from, at));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|from| (from, end)));
    spans
}

/// Gives each host its resolver, and makes its programs trust the scenario's CA.
fn cover(world: &World, scenario: &Scenario, authority: &Authority, folder: &Path) -> Result<(), LabError> {
    for (name, host) in &scenario.host {
        let namespace = world.namespace(name.get_ref())?;
        let mut text = String::from("# made by daylight lab\noptions timeout:2 attempts:2\n");
        let resolver = host.resolver.as_ref().and_then(|r| world.plan.addresses.get(r.get_ref()));
        for address in resolver.into_iter().flatten() {
            text.push_str(&format!("nameserver {address}\n"));
        }
        let file = folder.join(format!("resolv-{}.conf", name.get_ref()));
        service::write(&file, text)?;
        for (from, over) in
            [(&file, "/etc/resolv.conf"), (&authority.file, "/etc/ssl/certs/ca-certificates.crt")]
        {
            // A link would be followed out of what is ours; a missing file has nobody who reads it.
            let over = Path::new(over);
            if over.exists() {
                namespace.cover(from, over).map_err(LabError::file("cover", over))?;
            }
        }
    }
    Ok(())
}

/// 128 bits that nobody guesses, in hexadecimal.
fn token() -> String {
    use std::hash::{BuildHasher, Hasher};
    // Each has keys of its own from the system's random numbers.
    let word = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}
