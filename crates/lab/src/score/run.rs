//! The process in which a score is taken: the first of namespaces of its own, as a scenario's world.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::place::{COVER_NAME, Place, SERVER_NAME};
use super::subject::{COVER_PORT, Cover, SERVER_PORT, SUBJECTS, Subject, VISITED};
use super::visitor::{Guest, Route, Seen, Visitor, is_installed};
use super::{ProbeScore, Score, SubjectScore, site};
use crate::LabError;
use crate::adversary::active_probe::exchange::{self, Reaction};
use crate::adversary::active_probe::{self, Probe, compare};
use crate::adversary::detect::{Connection, DETECTORS, Evidence};
use crate::world::{Namespace, stage};

/// Visits by a browser beside those of the control, so that a browser's fingerprint is known.
const BROWSER_VISITS: usize = 3;
/// Genuine connections whose beginnings are replayed.
const REPLAYED: usize = 2;
/// The random bytes of probes are the same in every run.
const PROBES_SEED: u64 = 20_201_027;
/// How often each probe is sent.
const PROBE_ROUNDS: usize = 3;
/// How often those that tell the servers apart are sent again, so many times each.
const PROBE_DOUBTS: usize = 2;
/// Probes under way at once.
const PROBES_AT_ONCE: usize = 64;
/// How long a prober waits.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);
/// Where silence listens, on the host of the cover.
const SILENCE_PORT: u16 = 4433;

/// What is to be scored: the process's one line of input.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Job {
    pub(super) folder: PathBuf,
    pub(super) connections: usize,
    pub(super) visitor: Visitor,
    pub(super) subjects: Vec<String>,
    pub(super) probes: bool,
}

/// What the process says, one JSON object a line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    Progress(String),
    Done(Box<Score>),
    Failed(String),
}

fn say(said: &Said) {
    if let Ok(line) = serde_json::to_string(said) {
        // Nobody listens any more: the thread that watches the input will see it too.
        let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    }
}

/// The whole life of the process.
///
/// # Errors
/// If no score could be taken; that has been said as well.
pub fn score_process() -> Result<(), LabError> {
    let result = live();
    match &result {
        Ok(score) => say(&Said::Done(Box::new(score.clone()))),
        Err(error) => say(&Said::Failed(error.to_string())),
    }
    result.map(drop)
}

fn live() -> Result<Score, LabError> {
    stage::inner()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(LabError::file("read", "the job"))?;
    let job: Job =
        serde_json::from_str(&line).map_err(|e| LabError::Ended(format!("its job can't be read: {e}")))?;
    std::thread::spawn(|| {
        // When nobody is left to read the score, this ends, and the kernel ends what was started.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        #[expect(clippy::exit, reason = "nobody is left to return to")]
        std::process::exit(1);
    });
    let place = Place::build(&job.folder)?;
    let cover = site::start(&place, "cover", COVER_NAME)?;
    let inner = site::start(&place, "site", VISITED)?;
    let silence_at = SocketAddr::new(place.address("cover")?, SILENCE_PORT);
    silence(place.namespace("cover")?, silence_at)
        .map_err(|e| LabError::Failed { what: "the silent port".into(), message: e.to_string() })?;

    say(&Said::Progress(format!("control: {} visits by {}", job.connections, job.visitor.program())));
    let control = control(&place, &job)?;
    let mut subjects = Vec::new();
    for name in &job.subjects {
        let Some(subject) = SUBJECTS.iter().find(|subject| subject.name() == name) else { continue };
        say(&Said::Progress(format!("{name}: {}", subject.about())));
        subjects.push(match missing(*subject, job.visitor) {
            Some(why) => SubjectScore::skipped(*subject, job.visitor, why),
            None => scored(&place, &job, *subject, &control)?,
        });
    }
    drop((cover, inner));
    place.end();
    let visitor = job.visitor.program().to_owned();
    Ok(Score { visitor, connections: control.connections.len(), subjects })
}

/// Takes everything and says nothing, as long as the process lives.
fn silence(namespace: &Namespace, at: SocketAddr) -> io::Result<()> {
    let listener = namespace.run(move || TcpListener::bind(at))??;
    namespace.start("silence", move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
        }
    })?;
    Ok(())
}

/// Why a subject can't be scored here: a program is not installed, or a visitor can't come to its site as it does.
fn missing(subject: &dyn Subject, visitor: Visitor) -> Option<String> {
    if subject.seen() == Seen::Quic && visitor != Visitor::Chromium {
        return Some("its control is visits by HTTP/3, which curl does not have: install chromium".into());
    }
    let (program, package) = subject.needs().iter().find(|(program, _)| !is_installed(program))?;
    Some(format!("{program} is missing: install the Debian package {package}"))
}

/// Ordinary visits to an ordinary site.
fn control(place: &Place, job: &Job) -> Result<Evidence, LabError> {
    let mut evidence =
        visited(place, "control", ("cover", COVER_NAME), job.visitor, Seen::Tcp, job.connections)?;
    if Visitor::Chromium.is_installed() {
        // What is to pass for a browser is compared with one, also with one that comes back.
        let name = format!("{COVER_NAME}:{}", site::HASTY_PORT);
        let browser =
            visited(place, "browser", ("cover", &name), Visitor::Chromium, Seen::Tcp, BROWSER_VISITS)?;
        know(&mut evidence, &browser);
    }
    Ok(evidence)
}

/// Ordinary visits to the subject's own site, where its server has one: how servers differ is no tell of a tunnel. Browsers
/// are known from the general control.
fn own_control(
    place: &Place,
    job: &Job,
    subject: &dyn Subject,
    general: &Evidence,
) -> Result<Option<Evidence>, LabError> {
    let Some(locked) = subject.start_locked(place, "server", SERVER_PORT)? else { return Ok(None) };
    let name = format!("{}-control", subject.name());
    say(&Said::Progress(format!("{name}: visits to the server's own site")));
    let site = ("server", SERVER_NAME);
    let mut evidence = visited(place, &name, site, job.visitor, subject.seen(), job.connections)?;
    drop(locked);
    know(&mut evidence, general);
    Ok(Some(evidence))
}

/// What classifiers say of others is ordinary, too.
fn know(evidence: &mut Evidence, others: &Evidence) {
    evidence.inspected.extend(others.inspected.iter().cloned());
    if let (Some(ndpi), Some(of_others)) = (&mut evidence.ndpi, &others.ndpi) {
        ndpi.extend(of_others.iter().cloned());
    }
}

/// What a censor sees of visits to a host of this name.
fn visited(
    place: &Place,
    tap: &str,
    (host, name): (&str, &str),
    visitor: Visitor,
    seen: Seen,
    visits: usize,
) -> Result<Evidence, LabError> {
    let tap = place.tap(tap, place.address(host)?)?;
    let mut guest = Guest::new(visitor, place, name, Route::Direct, seen)?;
    for n in 0..visits {
        guest.visit(n)?;
        tell_progress(n, visits);
    }
    drop(guest);
    Evidence::read(&tap.finish())
}

/// Says how many visits are done, now and then.
fn tell_progress(n: usize, visits: usize) {
    if (n + 1).is_multiple_of(50) {
        say(&Said::Progress(format!("  {} of {visits} visits", n + 1)));
    }
}

fn scored(
    place: &Place,
    job: &Job,
    subject: &dyn Subject,
    control: &Evidence,
) -> Result<SubjectScore, LabError> {
    let own_control = own_control(place, job, subject, control)?;
    let control = own_control.as_ref().unwrap_or(control);
    let server = subject.start_server(place)?;
    let tap = place.tap(subject.name(), place.address("server")?)?;
    let (client, route) = subject.start_client(place, &server)?;
    let mut client = Some(client);
    // What goes through the subject is ordinary HTTPS.
    let mut guest = Guest::new(job.visitor, place, VISITED, route, Seen::Tcp)?;
    for n in 0..job.connections {
        if n > 0 && subject.is_multiplexed() {
            drop(client.take());
            client = Some(subject.start_client(place, &server)?.0);
        }
        guest.visit(n)?;
        tell_progress(n, job.connections);
    }
    drop((guest, client));
    let evidence = Evidence::read(&tap.finish())?;
    let findings = DETECTORS
        .iter()
        .filter_map(|detector| Some((detector.name.to_owned(), detector.judge(&evidence, control)?)))
        .collect();
    let mut score = SubjectScore::of(subject, job.visitor, evidence.connections.len(), findings);
    if job.probes {
        say(&Said::Progress(format!("{}: probes", subject.name())));
        let genuine: Vec<&Connection> = evidence.connections.iter().take(REPLAYED).collect();
        let mut probes = probed(place, subject, active_probe::suite(&genuine, PROBES_SEED))?;
        drop(server);
        // A memory of what came before has to outlive the server.
        let server = subject.start_server(place)?;
        let again = probed(place, subject, active_probe::exact_replays(&genuine))?;
        drop(server);
        probes.sent += again.sent;
        probes.told_apart.extend(again.told_apart.iter().map(|name| format!("{name} after a restart")));
        score.probes = Some(probes);
    }
    Ok(score)
}

/// One sending of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    /// Which probe, as an index.
    probe: usize,
    /// To the subject's server, and not to what it is to be taken for.
    subject: bool,
}

/// Probes a subject's server, and what it is to be taken for, with the same bytes at the same time.
fn probed(place: &Place, subject: &dyn Subject, probes: Vec<Probe>) -> Result<ProbeScore, LabError> {
    let server = SocketAddr::new(place.address("server")?, SERVER_PORT);
    let _locked = subject.start_locked(place, "cover", COVER_PORT)?;
    let cover_port = match subject.cover() {
        Cover::Site => SERVER_PORT,
        Cover::Silence => SILENCE_PORT,
        Cover::Locked => COVER_PORT,
    };
    let cover = SocketAddr::new(place.address("cover")?, cover_port);
    let probes = Arc::new(probes);
    let mut reactions: BTreeMap<Asked, Vec<Reaction>> = BTreeMap::new();
    let mut suspects: Vec<usize> = (0..probes.len()).collect();
    // What a race decides comes out either way: a difference has to hold when there is more to compare.
    for _ in 0..1 + PROBE_DOUBTS {
        // Neither is always asked first: delays are compared, too.
        let both = |(turn, probe)| {
            let is_first = turn % 2 == 0;
            [is_first, !is_first].map(|subject| Asked { probe, subject })
        };
        let turns = (0..PROBE_ROUNDS).flat_map(|round| suspects.iter().map(move |&n| (round + n, n)));
        let all: Vec<Asked> = turns.flat_map(both).collect();
        for some in all.chunks(PROBES_AT_ONCE) {
            for (asked, reaction) in send(place, &probes, some, server, cover)? {
                reactions.entry(asked).or_default().push(reaction);
            }
        }
        suspects.retain(|&probe| is_told_apart(of(&reactions, probe, true), of(&reactions, probe, false)));
    }
    let all = |subject| (0..probes.len()).flat_map(|n| of(&reactions, n, subject)).collect::<Vec<_>>();
    let (ours, theirs) = (all(true), all(false));
    Ok(ProbeScore {
        sent: probes.len(),
        told_apart: suspects.iter().map(|&n| probes[n].name.clone()).collect(),
        delay_p_value: compare::delays(ours.iter().copied(), theirs.iter().copied()),
    })
}

fn of(reactions: &BTreeMap<Asked, Vec<Reaction>>, probe: usize, subject: bool) -> &[Reaction] {
    reactions.get(&Asked { probe, subject }).map(Vec::as_slice).unwrap_or_default()
}

/// Whether a reaction of one server has none like it of the other.
fn is_told_apart(ours: &[Reaction], theirs: &[Reaction]) -> bool {
    let has_like =
        |one: &Reaction, others: &[Reaction]| others.iter().any(|other| compare::is_alike(one, other));
    ours.iter().any(|one| !has_like(one, theirs)) || theirs.iter().any(|one| !has_like(one, ours))
}

/// Sends some probes at once, from the visitor's host.
fn send(
    place: &Place,
    probes: &Arc<Vec<Probe>>,
    some: &[Asked],
    server: SocketAddr,
    cover: SocketAddr,
) -> Result<Vec<(Asked, Reaction)>, LabError> {
    let (give, take) = std::sync::mpsc::channel();
    for &asked in some {
        let (give, probes) = (give.clone(), Arc::clone(probes));
        let to = if asked.subject { server } else { cover };
        let work = move || {
            if let Some(probe) = probes.get(asked.probe) {
                let _ = give.send((asked, exchange::send(probe, to, PROBE_PATIENCE)));
            }
        };
        place.namespace("client")?.start("prober", work).map_err(LabError::file("start", "a prober"))?;
    }
    drop(give);
    Ok(take.into_iter().collect())
}

/// Starts the process, and follows it.
pub(super) fn follow(
    outer: &[String],
    job: &Job,
    interrupted: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Score, LabError> {
    let (program, arguments) =
        outer.split_first().ok_or_else(|| LabError::Ended("it has no program to start".into()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(LabError::file("start", program))?;
    let result = converse(&mut child, job, interrupted, tell);
    // The process ends when its input does.
    drop(child.stdin.take());
    let _ = child.wait();
    result
}

fn converse(
    child: &mut std::process::Child,
    job: &Job,
    interrupted: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Score, LabError> {
    let line = serde_json::to_string(job)
        .map_err(|e| LabError::Failed { what: "writing the job".into(), message: e.to_string() })?;
    let early = || LabError::Ended("it said nothing more".into());
    let input = child.stdin.as_mut().ok_or_else(early)?;
    writeln!(input, "{line}").map_err(LabError::file("write", "the job"))?;
    let output = child.stdout.take().ok_or_else(early)?;
    let (give, take) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in io::BufReader::new(output).lines().map_while(Result::ok) {
            let said = serde_json::from_str::<Said>(&line);
            if said.is_ok_and(|said| give.send(said).is_err()) {
                return;
            }
        }
    });
    loop {
        match take.recv_timeout(Duration::from_millis(100)) {
            Ok(Said::Progress(text)) => tell(&text),
            Ok(Said::Done(score)) => return Ok(*score),
            Ok(Said::Failed(message)) => return Err(LabError::Failed { what: "the score".into(), message }),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Err(early()),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if interrupted() => {
                return Err(LabError::Ended("it was interrupted".into()));
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}
