//! Where a score is taken: a client at home, servers abroad, and the sites that people want further away.
//!
//! ```text
//!   client ── home ──10 ms── abroad ──5 ms── far
//!               ▲              ├─ server: the other end of what is scored
//!            the censor        ├─ cover:  the ordinary site, the control
//!                              │          └─ site: what is fetched through a tunnel
//! ```
//!
//! The censor's tap is the router at home. Delays make bursts and round trips come apart as on the Internet.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::capture::tcpdump;
use crate::scenario::Scenario;
use crate::service::ca::Authority;
use crate::service::write;
use crate::world::{Middlebox, Namespace, World, start_middlebox};

const WORLD: &str = r#"
title = "Score"
duration = "1 s"
[network.home]
ipv4 = "10.1.0.0/24"
[network.abroad]
role = "hosting"
ipv4 = "10.2.0.0/24"
[network.far]
role = "hosting"
ipv4 = "10.3.0.0/24"
[host.client]
network = "home"
[host.server]
network = "abroad"
[host.cover]
network = "abroad"
[host.site]
network = "far"
[[link]]
name = "cable"
between = ["home", "abroad"]
delay_ms = 10
[[link]]
name = "backbone"
between = ["abroad", "far"]
delay_ms = 5
"#;

/// The name of the ordinary site.
pub(crate) const COVER_NAME: &str = "www.cover.example";
/// The name of the site that a tunnel's server has.
pub(crate) const SERVER_NAME: &str = "www.server.example";
/// The name of what is fetched through a tunnel.
pub(crate) const SITE_NAME: &str = "www.site.example";
/// How long a program may take to do what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The built place.
pub(crate) struct Place {
    world: World,
    middleboxes: Vec<Box<dyn Middlebox>>,
    pub(crate) authority: Authority,
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn build(folder: &Path) -> Result<Self, LabError> {
        let scenario = Scenario::parse(WORLD, "the score's world")?;
        let world = World::build(&scenario, folder)?;
        let mut problems = Vec::new();
        let mut middleboxes = Vec::new();
        for link in &scenario.link {
            middleboxes.extend(start_middlebox(&world, link, &mut problems)?);
        }
        if let Some(problem) = problems.pop() {
            return Err(LabError::Failed { what: "building the score's world".into(), message: problem });
        }
        let place =
            Self { world, middleboxes, authority: Authority::new(folder)?, folder: folder.to_owned() };
        place.name_hosts()?;
        place.world.settle(&scenario);
        Ok(place)
    }

    /// Everybody knows the three names and no other, and trusts the authority.
    fn name_hosts(&self) -> Result<(), LabError> {
        let hosts = self.folder.join("hosts");
        let (cover, server, site) = (self.address("cover")?, self.address("server")?, self.address("site")?);
        let names = format!("{cover} {COVER_NAME}\n{server} {SERVER_NAME}\n{site} {SITE_NAME}\n");
        write(&hosts, format!("127.0.0.1 localhost\n{names}"))?;
        // Nobody answers there, at once: a browser's own errands end soon.
        let resolver = self.folder.join("resolv.conf");
        write(&resolver, "nameserver 127.0.0.1\n")?;
        let trusted = "/etc/ssl/certs/ca-certificates.crt";
        for namespace in self.world.namespaces.values() {
            for (file, over) in
                [(&hosts, "/etc/hosts"), (&resolver, "/etc/resolv.conf"), (&self.authority.file, trusted)]
            {
                if Path::new(over).exists() {
                    namespace.cover(file, over.as_ref()).map_err(LabError::file("cover", over))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn address(&self, host: &str) -> Result<IpAddr, LabError> {
        let address = self.world.plan.addresses.get(host).and_then(|of| of.first());
        let none =
            || LabError::Failed { what: format!("host {host:?}"), message: "it has no address".into() };
        address.copied().ok_or_else(none)
    }

    pub(crate) fn namespace(&self, host: &str) -> Result<&Namespace, LabError> {
        self.world.namespace(host)
    }

    /// Starts a program on a host. What it says goes to `NAME.log`.
    pub(crate) fn start(&self, host: &str, name: &str, mut command: Command) -> Result<Running, LabError> {
        let log = self.folder.join(format!("{name}.log"));
        let out = File::create(&log).map_err(LabError::file("write", &log))?;
        let errors = out.try_clone().map_err(LabError::file("write", &log))?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = self
            .namespace(host)?
            .spawn(command)
            .map_err(|e| LabError::Failed { what: program, message: e.to_string() })?;
        Ok(Running { child, name: name.to_owned(), log })
    }

    /// Waits until somebody listens on a TCP port of a host. Nobody connects: some relays would connect on.
    pub(crate) fn wait_for(&self, host: &str, port: u16, of: &mut Running) -> Result<(), LabError> {
        let namespace = self.namespace(host)?.clone();
        of.wait(|_| namespace.run(move || is_listening(port)).unwrap_or(false).then_some(()))
    }

    /// What the censor sees of an address from now on.
    pub(crate) fn tap(&self, name: &str, address: IpAddr) -> Result<Tap, LabError> {
        let file = self.folder.join(format!("{name}.pcap"));
        let link = self.world.plan.taps.get("cable").and_then(|ends| ends.first());
        let Some((namespace, interface)) = link else {
            return Err(LabError::Failed { what: "the tap".into(), message: "the link has no side".into() });
        };
        let filter = format!("host {address}");
        let child = tcpdump(self.namespace(namespace)?, interface, &file, &[&filter])?;
        let mut running = Running { child, name: "tcpdump".into(), log: file.clone() };
        // The file's header is written when the socket is open.
        running.wait(|_| fs::metadata(&file).is_ok_and(|about| about.len() > 0).then_some(()))?;
        Ok(Tap { running, file })
    }

    pub(crate) fn end(self) {
        for middlebox in self.middleboxes {
            middlebox.finish();
        }
    }
}

/// Whether somebody listens on a TCP port in this thread's network, as the kernel lists it (proc(5)).
fn is_listening(port: u16) -> bool {
    const LISTEN: &str = "0A";
    let end = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        text.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&end)) && words.nth(1) == Some(LISTEN)
        })
    })
}

/// A capture under way.
pub(crate) struct Tap {
    running: Running,
    file: PathBuf,
}

impl Tap {
    /// Ends it. What was under way has half a second to come.
    pub(crate) fn finish(self) -> PathBuf {
        std::thread::sleep(Duration::from_millis(500));
        drop(self.running);
        self.file
    }
}

/// A program, ended when it is dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` gives something.
    pub(crate) fn wait<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T, LabError> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(result) = ready(self) {
                return Ok(result);
            }
            let ended = self.child.try_wait().ok().flatten();
            if let Some(status) = ended {
                let message = format!("it ended with {status}:\n{}", self.said());
                return Err(LabError::Failed { what: self.name.clone(), message });
            }
            if Instant::now() > end {
                let (service, waited_s) = (self.name.clone(), PATIENCE.as_secs());
                return Err(LabError::NotReady { service, waited_s, log: self.said() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        let _ = kill(nix::unistd::Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_in_the_kernels_list() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_listening(port));
        drop(listener);
        assert!(!is_listening(port));
    }
}
