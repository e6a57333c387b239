//! Servers: real programs (nginx, unbound, sshd, the user's) and a few small ones of our own, each on its host.
//!
//! A service is started, polled until it answers, stopped and started again by the timeline, and ended with the run. Its
//! configuration and its log lie in the run's folder.

pub(crate) mod ca;
mod dns;
mod own;
mod quic;
mod ssh;
mod web;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LabError;
use crate::scenario::Scenario;
use crate::scenario::check::ports_of;
use crate::scenario::model::{Service, ServiceKind};
use crate::world::{Namespace, World};
use ca::Authority;
pub(crate) use dns::truth;
pub(crate) use quic::{ECHO_ALPN, H3_ALPN};
pub(crate) use web::SITE_HEADER;

/// How long a service may take to answer.
const READY_MAX: Duration = Duration::from_secs(10);
/// How long a program may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(2);
/// How much of a log an error shows.
const LOG_LINES: usize = 8;

/// What services need to know of the world.
pub(crate) struct Context<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) addresses: &'a BTreeMap<String, Vec<IpAddr>>,
    pub(crate) authority: &'a Authority,
    /// What a page of the scenario's sites carries in its header, and nobody else knows.
    pub(crate) token: &'a str,
    /// The folder of the run.
    pub(crate) folder: &'a Path,
    /// The folder that relative paths in the scenario start from.
    pub(crate) base: &'a Path,
}

/// A service that may be running.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    kind: ServiceKind,
    /// What it calls itself, where its protocol has servers do so.
    called: String,
    namespace: Namespace,
    command: Option<Vec<String>>,
    /// A QUIC server: beside the program of a site, or by itself.
    quic: Option<quic::Config>,
    log: PathBuf,
    /// The addresses and ports that must answer.
    at: Vec<SocketAddr>,
    /// Those of the QUIC server.
    at_quic: Vec<SocketAddr>,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    Program {
        child: Child,
        /// It ends with the program.
        _quic: Option<quic::Server>,
    },
    Own(own::Server),
    Quic(quic::Server),
}

impl Server {
    /// Writes its configuration.
    pub(crate) fn new(
        name: &str,
        service: &Service,
        world: &World,
        context: &Context<'_>,
    ) -> Result<Self, LabError> {
        let folder = context.folder.join("services").join(name);
        fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        let command = match service.kind.get_ref() {
            ServiceKind::DnsAuthoritative => Some(dns::authoritative(name, service, context, &folder)?),
            ServiceKind::DnsRecursive => Some(dns::recursive(service, context, &folder)?),
            ServiceKind::Web => Some(web::configure(name, service, context, &folder)?),
            ServiceKind::Ssh => Some(ssh::configure(service, &folder)?),
            ServiceKind::Program => {
                service.program.as_ref().map(|p| expanded(p.get_ref(), context.folder)).transpose()?
            }
            ServiceKind::Mail | ServiceKind::UdpEcho | ServiceKind::TcpEcho | ServiceKind::QuicEcho => None,
        };
        let quic = match service.kind.get_ref() {
            ServiceKind::Web if service.http3 => Some(web::over_quic(context, &folder)?),
            ServiceKind::QuicEcho => {
                let names: Vec<String> = service.names.iter().map(|n| n.get_ref().clone()).collect();
                let (certificate, key) = context.authority.certify(&names, &folder)?;
                Some(quic::Config { certificate, key, speaks: quic::Speaks::Echo })
            }
            _ => None,
        };
        let addresses = context.addresses.get(service.host.get_ref()).cloned().unwrap_or_default();
        let at = |udp: bool| -> Vec<SocketAddr> {
            let ports = ports_of(service).into_iter().filter(|port| port.udp == udp);
            ports.flat_map(|p| addresses.iter().map(move |a| SocketAddr::new(*a, p.number))).collect()
        };
        Ok(Self {
            name: name.to_owned(),
            kind: *service.kind.get_ref(),
            called: service.names.first().map_or("mail.daylight.invalid", |n| n.get_ref()).to_owned(),
            namespace: world.namespace(service.host.get_ref())?.clone(),
            command,
            at_quic: if quic.is_some() { at(true) } else { Vec::new() },
            quic,
            log: folder.join("log.txt"),
            at: at(service.kind.get_ref().is_udp()),
            running: None,
        })
    }

    /// Starts it; [`wait_ready`](Self::wait_ready) says when it answers.
    pub(crate) fn start(&mut self) -> Result<(), LabError> {
        if self.running.is_some() {
            return Ok(());
        }
        let failed = |e: std::io::Error| LabError::Failed {
            what: format!("service {:?}", self.name),
            message: e.to_string(),
        };
        let quic =
            self.quic.as_ref().map(|config| quic::Server::start(config, &self.at_quic, &self.namespace));
        let quic = quic.transpose().map_err(failed)?;
        let Some(command) = &self.command else {
            self.running = Some(match quic {
                Some(quic) => Running::Quic(quic),
                None => Running::Own(
                    own::Server::start(self.kind, &self.called, &self.at, &self.namespace, &self.log)
                        .map_err(failed)?,
                ),
            });
            return Ok(());
        };
        let Some((program, arguments)) = command.split_first() else { return Ok(()) };
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(LabError::file("write", &self.log))?;
        let errors = log.try_clone().map_err(LabError::file("write", &self.log))?;
        let mut start = Command::new(program);
        start.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = self.namespace.spawn(start).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => LabError::Missing {
                program: program.clone(),
                needs: format!("service {:?}", self.name),
                package: package(program),
            },
            _ => LabError::Failed { what: program.clone(), message: e.to_string() },
        })?;
        self.running = Some(Running::Program { child, _quic: quic });
        Ok(())
    }

    /// Waits until it answers at all its addresses.
    pub(crate) fn wait_ready(&mut self) -> Result<(), LabError> {
        let end = Instant::now() + READY_MAX;
        let (at, kind) = (self.at.clone(), self.kind);
        loop {
            let asked = at.clone();
            let ready = match self.running {
                None => return Ok(()),
                Some(Running::Own(_) | Running::Quic(_)) => true,
                Some(Running::Program { .. }) => {
                    self.namespace.run(move || asked.iter().all(|a| answers(kind, *a))).unwrap_or(false)
                }
            };
            if ready {
                return Ok(());
            }
            let ended = match &mut self.running {
                Some(Running::Program { child, .. }) => child.try_wait().ok().flatten(),
                _ => None,
            };
            if let Some(status) = ended {
                self.running = None;
                return Err(LabError::Failed {
                    what: format!("service {:?}", self.name),
                    message: format!("its program ended with {status}:\n{}", self.log_end()),
                });
            }
            if Instant::now() > end {
                return Err(LabError::NotReady {
                    service: self.name.clone(),
                    waited_s: READY_MAX.as_secs(),
                    log: self.log_end(),
                });
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    /// Stops it: asks first, and kills after two seconds.
    pub(crate) fn stop(&mut self) {
        match self.running.take() {
            Some(Running::Program { mut child, _quic }) => {
                let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
                let end = Instant::now() + END_MAX;
                while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let _ = child.kill();
                let _ = child.wait();
            }
            Some(Running::Own(server)) => server.stop(),
            Some(Running::Quic(server)) => drop(server),
            None => {}
        }
    }
}

/// Whether something answers at an address.
fn answers(kind: ServiceKind, at: SocketAddr) -> bool {
    let patience = Duration::from_millis(300);
    match kind {
        ServiceKind::DnsAuthoritative | ServiceKind::DnsRecursive => {
            let server = SocketAddr::new(at.ip(), at.port());
            crate::client::dns::ask(server, "ready.daylight.invalid", false, patience, Duration::ZERO).is_ok()
        }
        _ => TcpStream::connect_timeout(&at, patience).is_ok(),
    }
}

/// The Debian package that has a program.
fn package(program: &str) -> &'static str {
    match program.rsplit('/').next().unwrap_or_default() {
        "nginx" => "nginx-light",
        "unbound" => "unbound",
        "sshd" => "openssh-server",
        "curl" => "curl",
        "ping" => "iputils-ping",
        "tcpdump" => "tcpdump",
        "python3" => "python3",
        _ => "that has it (apt-file search)",
    }
}

/// The full name of a program that lies where a user's PATH may not look.
/// Where programs of a run leave files that are to be kept: below the run's folder, and then in the report.
pub(crate) const FILES: &str = "files";

/// A scenario's command as it is run: `{daylight}` in its words is this very program, `{files}` the folder of files that are
/// kept.
///
/// # Errors
/// If this program's own file can't be found.
pub(crate) fn expanded(words: &[String], folder: &Path) -> Result<Vec<String>, LabError> {
    let own = std::env::current_exe().map_err(LabError::file("find", "this program"))?;
    let (own, files) = (own.display().to_string(), folder.join(FILES).display().to_string());
    Ok(words.iter().map(|word| word.replace("{daylight}", &own).replace("{files}", &files)).collect())
}

pub(crate) fn system_program(name: &str) -> String {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| name.to_owned())
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), LabError> {
    fs::write(path, text).map_err(LabError::file("write", path))
}
