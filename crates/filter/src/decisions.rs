//! The operator's own log of decisions: a line of JSON for each. It is not public.
//!
//! Clients stand in it under pseudonyms that keep prefixes (`ipcrypt-pfx` of draft-denis-ipcrypt): what came from one network
//! still does, but only the key tells from which. Lines are written by a thread of their own; when it can't keep up,
//! lines are lost and counted, and packets don't wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use daylight_inspect::FlowRecord;
use daylight_policy::Policy;
use daylight_protocols::common;
use ipcrypt_rs::IpcryptPfx;
use jiff::Timestamp;
use serde::Serialize;

use crate::gate::{Ruling, Witness};

/// Lines that may wait to be written.
const WAITING_MAX: usize = 10_000;
/// How old a line gets before it is in the file.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// How clients are named.
#[derive(Clone)]
pub enum Clients {
    /// By pseudonyms.
    Pseudonyms(Arc<IpcryptPfx>),
    /// By their addresses: the operator has said so.
    Addresses,
}

impl Clients {
    /// Pseudonyms that nobody can undo, another each time the filter begins.
    pub fn random() -> Self {
        Self::Pseudonyms(Arc::new(IpcryptPfx::new_random()))
    }

    /// Pseudonyms that last, by the key in a file: 64 hexadecimal digits. If there is no such file, it is made.
    ///
    /// # Errors
    /// If the file can't be read or made, or holds no key.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let key = IpcryptPfx::generate_key();
                writeln!(file, "{}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let text = std::fs::read_to_string(path)?;
        let text = text.trim();
        let mut key = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad("holds no key of 64 hexadecimal digits; remove it for a new one"));
        }
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad("has other than hexadecimal digits"))?;
        }
        if key[..16] == key[16..] {
            return Err(bad("has two equal halves; remove it for a new key"));
        }
        Ok(Self::Pseudonyms(Arc::new(IpcryptPfx::new(key))))
    }

    fn name(&self, address: IpAddr) -> IpAddr {
        match self {
            Self::Pseudonyms(key) => key.encrypt_ipaddr(address),
            Self::Addresses => address,
        }
    }
}

/// A line.
#[derive(Serialize)]
struct Line {
    time: String,
    policy: String,
    rule: String,
    action: &'static str,
    client: IpAddr,
    server: IpAddr,
    server_port: u16,
    transport: &'static str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    packets: u64,
    bytes: u64,
}

/// The log.
pub struct Decisions {
    lines: SyncSender<Line>,
    clients: Clients,
    state: Arc<State>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Lines that were lost.
    lost: AtomicU64,
    /// The file is to be opened anew: somebody has moved it away.
    reopen: AtomicBool,
    end: AtomicBool,
}

impl Decisions {
    /// Begins to write to the end of a file, or to the standard output if there is none.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub fn open(file: Option<PathBuf>, clients: Clients) -> io::Result<Self> {
        let out = opened(file.as_deref())?;
        let state = Arc::new(State::default());
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let of_thread = Arc::clone(&state);
        let writer = std::thread::Builder::new()
            .name("decisions".into())
            .spawn(move || write(&waiting, out, file.as_deref(), &of_thread))?;
        Ok(Self { lines, clients, state, writer: Some(writer) })
    }

    /// For a worker.
    pub fn witness(&self) -> DecisionWitness {
        DecisionWitness {
            lines: self.lines.clone(),
            clients: self.clients.clone(),
            state: Arc::clone(&self.state),
        }
    }

    /// Goes on in a new file of the same name, if the old one was moved away.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Release);
    }

    /// Lines that were lost, as they came too fast or could not be written.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Decisions {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.state.end.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            // It has nothing to tell.
            let _ = writer.join();
        }
    }
}

fn opened(file: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    Ok(match file {
        Some(path) => {
            Box::new(io::BufWriter::new(File::options().append(true).create(true).mode(0o640).open(path)?))
        }
        None => Box::new(io::stdout()),
    })
}

fn write(lines: &Receiver<Line>, mut out: Box<dyn Write + Send>, file: Option<&Path>, state: &State) {
    let mut unsaid = 0;
    loop {
        let ending = state.end.load(Ordering::Acquire);
        if state.reopen.swap(false, Ordering::AcqRel) {
            let _ = out.flush();
            // If that fails, what was open still is.
            out = opened(file).unwrap_or(out);
        }
        let mut next = lines.recv_timeout(FLUSH_EVERY);
        while let Ok(line) = next {
            unsaid += 1;
            let written = serde_json::to_writer(&mut out, &line).map_err(io::Error::from);
            if written.and_then(|()| out.write_all(b"\n")).is_err() {
                state.lost.fetch_add(1, Ordering::Relaxed);
            }
            next = lines.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if out.flush().is_err() {
            state.lost.fetch_add(unsaid, Ordering::Relaxed);
        }
        unsaid = 0;
        if ending || matches!(next, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// Writes a line for each decision.
pub struct DecisionWitness {
    lines: SyncSender<Line>,
    clients: Clients,
    state: Arc<State>,
}

impl DecisionWitness {
    fn line(
        &self,
        policy: &Policy,
        record: &FlowRecord,
        rule: u32,
        action: &'static str,
        asked: Option<String>,
    ) {
        let Some(rule) = policy.rules().get(rule as usize) else { return };
        let ends = &record.ends;
        let hostname = asked.or_else(|| record.text(common::HOSTNAME).map(str::to_owned));
        let line = Line {
            time: Timestamp::from_nanosecond(record.end_ns.into()).unwrap_or_default().to_string(),
            policy: policy.name().to_string(),
            rule: rule.name.to_string(),
            action,
            client: self.clients.name(ends.src_ip),
            server: ends.dst_ip,
            server_port: ends.dst_port,
            transport: ends.transport(),
            protocol: record.protocol.name(),
            hostname: hostname.or_else(|| record.resolved_name.as_deref().map(str::to_owned)),
            packets: record.src.packets + record.dst.packets,
            bytes: record.src.bytes + record.dst.bytes,
        };
        if self.lines.try_send(line).is_err() {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Without a log, nothing is written.
impl Witness for Option<DecisionWitness> {
    fn ruled(&mut self, policy: &Policy, ruling: Ruling) {
        if let (Some(log), Some(rule)) = (self, ruling.rule) {
            log.line(policy, &ruling.record, rule, ruling.verdict.name(), ruling.asked);
        }
    }

    fn ended(&mut self, policy: &Policy, record: Box<FlowRecord>, logged: &[u32]) {
        if let Some(log) = self {
            logged.iter().for_each(|rule| log.line(policy, &record, *rule, "log", None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_keep_networks_and_last_as_long_as_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let clients = Clients::from_file(&path).unwrap();
        let name = |clients: &Clients, text: &str| clients.name(text.parse().unwrap());
        let (IpAddr::V4(a), IpAddr::V4(b)) = (name(&clients, "192.0.2.1"), name(&clients, "192.0.2.200"))
        else {
            panic!("IPv4 stays IPv4")
        };
        assert_eq!(a.octets()[..3], b.octets()[..3]);
        assert_ne!(a, b);
        assert_ne!(a.octets()[..3], [192, 0, 2]);
        assert_eq!(name(&Clients::from_file(&path).unwrap(), "192.0.2.1"), IpAddr::V4(a));
        assert_ne!(name(&Clients::random(), "2001:db8::1"), name(&clients, "2001:db8::1"));
        std::fs::write(&path, "short").unwrap();
        assert!(Clients::from_file(&path).err().unwrap().to_string().contains("64 hexadecimal"));
    }
}
