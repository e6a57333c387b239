//! Namespaces, links, addresses and routes: what a scenario runs in.
//!
//! **What keeps it apart, and what ends it.** A run is a process that is the first of its own PID, mount, network and
//! (without root) user namespaces ([`stage`]); each host is a thread of it in a network namespace of its own
//! ([`Namespace`]). Names are private to the run, so runs side by side can't clash. Nothing is registered with the system:
//! when that first process ends, for whatever reason, SIGKILL among them, the kernel ends every process of the
//! PID namespace, and interfaces and namespaces go with the last of them. Nothing has to be cleaned up.
//!
//! Interfaces are made with `ip -batch` rather than over netlink by a crate: it is one process for each namespace, takes
//! milliseconds, and what was done lies in the run's folder as text that a person can read and repeat.

mod filter;
mod hop_box;
mod middlebox;
mod namespace;
mod plan;
mod program;
pub mod registry;
mod router;
pub mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use middlebox::{Bridge, Middlebox, Shape, start_middlebox};
pub use namespace::Namespace;
pub use plan::Plan;
pub use router::Router;

use crate::LabError;
use crate::scenario::Scenario;

/// A built world.
#[derive(Debug)]
pub struct World {
    /// What it was built from.
    pub plan: Plan,
    /// Its namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// The folder of the run.
    pub folder: PathBuf,
    /// The scenario's seed.
    pub seed: u64,
}

impl World {
    /// Builds it. `folder` gets the batches.
    ///
    /// # Errors
    /// If the kernel or `ip` refuses.
    pub fn build(scenario: &Scenario, folder: &Path) -> Result<Self, LabError> {
        let plan = Plan::new(scenario);
        let mut namespaces = BTreeMap::new();
        for name in &plan.namespaces {
            namespaces.insert(name.clone(), Namespace::new(name, plan.routers.contains(name))?);
        }
        let mut text = format!("# ip -batch\n{}", plan.links);
        for (name, batch) in &plan.inside {
            text.push_str(&format!("\n# ip -netns {name} -batch\n{batch}"));
        }
        let file = folder.join("network.txt");
        fs::write(&file, text).map_err(LabError::file("write", &file))?;
        batch(&[], &plan.links)?;
        // Each takes some milliseconds in the kernel; together they take as long as a few.
        std::thread::scope(|scope| {
            let running: Vec<_> = plan
                .inside
                .iter()
                .map(|(name, commands)| scope.spawn(move || batch(&["-netns", name.as_str()], commands)))
                .collect();
            running.into_iter().try_for_each(|r| match r.join() {
                Ok(result) => result,
                Err(_) => Err(LabError::Failed { what: "ip".into(), message: "a thread panicked".into() }),
            })
        })?;
        Ok(Self { plan, namespaces, folder: folder.to_owned(), seed: scenario.seed })
    }

    /// Waits until packets pass between all networks and to each router, or for a second and a half: the kernel takes up to a
    /// second to notice that the ports of a bridge are up.
    pub(crate) fn settle(&self, scenario: &Scenario) {
        const PATIENCE: Duration = Duration::from_millis(1500);
        let end = Instant::now() + PATIENCE;
        let mut firsts: BTreeMap<&str, (&str, Option<std::net::IpAddr>)> = BTreeMap::new();
        for (name, host) in &scenario.host {
            let address = self.plan.addresses.get(name.get_ref()).and_then(|a| a.first().copied());
            firsts.entry(host.network.get_ref()).or_insert((name.get_ref(), address));
        }
        let mut waiting = Vec::new();
        for (name, host) in &scenario.host {
            let network = scenario.network.get(host.network.get_ref().as_str());
            let ranges = network.into_iter().flat_map(|n| n.ipv4.iter().chain(&n.ipv6));
            let mut to: Vec<_> = ranges.filter_map(|p| p.get_ref().gateway()).collect();
            if firsts.get(host.network.get_ref().as_str()).is_some_and(|(first, _)| first == name.get_ref()) {
                to.extend(firsts.values().filter_map(|(_, address)| *address));
            }
            let Some(namespace) = self.namespaces.get(name.get_ref()) else { continue };
            waiting.extend(
                namespace
                    .start("settle", move || {
                        for address in to {
                            while Instant::now() < end && !crate::client::answers_ping(address) {}
                        }
                    })
                    .ok(),
            );
        }
        for thread in waiting {
            let _ = thread.join();
        }
    }

    /// A namespace by its name.
    ///
    /// # Errors
    /// If the scenario has none of this name, which its check rules out.
    pub fn namespace(&self, name: &str) -> Result<&Namespace, LabError> {
        self.namespaces.get(name).ok_or_else(|| LabError::Failed {
            what: format!("namespace {name:?}"),
            message: "there is none".into(),
        })
    }
}

fn batch(options: &[&str], commands: &str) -> Result<(), LabError> {
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            LabError::Missing { program: "ip".into(), needs: "the lab".into(), package: "iproute2" }
        }
        _ => LabError::Failed { what: "ip".into(), message: error.to_string() },
    };
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes()).map_err(missing)?;
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // "Command failed -:7" names the line of the batch.
    let line = message
        .rsplit("-:")
        .next()
        .and_then(|n| n.trim().parse::<usize>().ok())
        .and_then(|n| commands.lines().nth(n.checked_sub(1)?));
    let what = format!("ip {}", line.unwrap_or("-batch"));
    Err(LabError::Failed { what, message })
}
