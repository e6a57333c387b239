//! Captures of links: taken by tcpdump at a link's side `a`, kept as pcapng, and read for packets worth a look.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daylight_capture::PcapngWriter;
use daylight_packet::{Decoded, Decoder, Packet};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LabError;
use crate::record::PacketRecord;
use crate::service::system_program;
use crate::world::Namespace;

/// Packets that a report shows of one link.
const SHOWN_MAX: usize = 40;

/// A capture that is being taken.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) link: String,
    file: PathBuf,
    tcpdump: Child,
}

impl Capture {
    /// Starts, and returns when tcpdump sees packets.
    pub(crate) fn start(
        link: &str,
        namespace: &Namespace,
        interface: &str,
        folder: &Path,
    ) -> Result<Self, LabError> {
        let file = folder.join(format!("{link}.pcap"));
        let mut command = Command::new(system_program("tcpdump"));
        command
            .args([
                "-n",
                "-U",
                "--immediate-mode",
                "--time-stamp-precision=nano",
                "-Z",
                "root",
                "-i",
                interface,
                "-w",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let tcpdump = namespace.spawn(command).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                LabError::Missing { program: "tcpdump".into(), needs: "a capture".into(), package: "tcpdump" }
            }
            _ => LabError::Failed { what: "tcpdump".into(), message: e.to_string() },
        })?;
        let mut this = Self { link: link.to_owned(), file, tcpdump };
        let end = Instant::now() + Duration::from_secs(5);
        // The file's header is written when the socket is open.
        while fs::metadata(&this.file).map_or(0, |m| m.len()) == 0 {
            if Instant::now() > end || !matches!(this.tcpdump.try_wait(), Ok(None)) {
                let message = format!("it does not capture on link {link:?}");
                return Err(LabError::Failed { what: "tcpdump".into(), message });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(this)
    }

    /// Ends it, and turns what it wrote into pcapng. Gives the file's name and the packets worth a look.
    pub(crate) fn finish(mut self, start_ns: i64) -> Result<(String, Vec<PacketRecord>), LabError> {
        let _ = kill(Pid::from_raw(self.tcpdump.id().cast_signed()), Signal::SIGTERM);
        let _ = self.tcpdump.wait();
        let to = self.file.with_extension("pcapng");
        let name = to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |e: io::Error| LabError::File { what: "write", path: to.clone(), source: e };
        let mut source = daylight_capture::open(&self.file).map_err(|e| LabError::Failed {
            what: format!("capture {}", self.link),
            message: e.to_string(),
        })?;
        let out = BufWriter::new(File::create(&to).map_err(failed)?);
        let mut writer = PcapngWriter::new(out, "daylight lab", Some(&self.link)).map_err(failed)?;
        let mut interface = None;
        let mut reader = Reader::new(&self.link, start_ns);
        while let Ok(Some(batch)) = source.next_batch(1024) {
            for frame in &batch.frames {
                let bytes = batch.frame_bytes(frame);
                let own = match interface {
                    Some(own) => own,
                    None => writer.interface(frame.link, 0, Some(&self.link)).map_err(failed)?,
                };
                interface = Some(own);
                writer.write(own, frame.ts_ns, frame.wire_len, bytes, None).map_err(failed)?;
                reader.number += 1;
                if let Decoded::Packet(packet) =
                    reader.decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len)
                {
                    reader.packet(&packet, bytes);
                }
            }
        }
        let mut out = writer.into_inner();
        out.flush().map_err(failed)?;
        let _ = fs::remove_file(&self.file);
        Ok((name, reader.found))
    }
}

/// Looks for what a person would look for.
struct Reader<'a> {
    link: &'a str,
    start_ns: i64,
    number: u64,
    decoder: Decoder,
    found: Vec<PacketRecord>,
    /// Where the first of a kind stands in `found`.
    kinds: HashMap<(String, String), usize>,
    /// Answers to a DNS query: what the first one said.
    answers: HashMap<(daylight_packet::FlowKey, u16), Vec<u8>>,
}

impl<'a> Reader<'a> {
    fn new(link: &'a str, start_ns: i64) -> Self {
        Self {
            link,
            start_ns,
            number: 0,
            decoder: Decoder::new(),
            found: Vec::new(),
            kinds: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    fn packet(&mut self, packet: &Packet, bytes: &[u8]) {
        let start = packet.payload_offset as usize;
        let payload = bytes.get(start..start + packet.payload_len as usize).unwrap_or_default();
        let (from, to) = if packet.from_low { (0, 1) } else { (1, 0) };
        let source_port = packet.key.ports[from];
        let what = match packet.key.protocol {
            6 if packet.tcp.flags & 4 != 0 => Some(format!("TCP reset, TTL {}", packet.ttl)),
            6 if payload.starts_with(b"HTTP/1.") => http(payload),
            17 if source_port == 53 => self.dns(packet, payload),
            1 if matches!(packet.key.ports, [3, _] | [_, 3]) => Some("ICMP unreachable".into()),
            1 if matches!(packet.key.ports, [11, _] | [_, 11]) => Some("ICMP time exceeded".into()),
            _ => None,
        };
        let Some(what) = what else { return };
        let who = format!("{} → {}", packet.key.address(from), packet.key.address(to));
        if let Some(at) = self.kinds.get(&(who.clone(), what.clone())) {
            if let Some(record) = self.found.get_mut(*at) {
                record.count += 1;
            }
            return;
        }
        if self.found.len() < SHOWN_MAX {
            self.kinds.insert((who.clone(), what.clone()), self.found.len());
            self.found.push(PacketRecord {
                at_s: (packet.ts_ns - self.start_ns) as f64 / 1e9,
                link: self.link.to_owned(),
                who,
                what,
                count: 1,
                number: self.number,
            });
        }
    }

    fn dns(&mut self, packet: &Packet, payload: &[u8]) -> Option<String> {
        let [a, b, _, flags, ..] = payload else { return None };
        let id = u16::from_be_bytes([*a, *b]);
        if let Some(first) = self.answers.get(&(packet.key, id)) {
            return (first != payload).then(|| "a second, different DNS answer to one query".into());
        }
        self.answers.insert((packet.key, id), payload.to_vec());
        match flags & 15 {
            3 => Some(format!("DNS NXDOMAIN, TTL {}", packet.ttl)),
            5 => Some(format!("DNS REFUSED, TTL {}", packet.ttl)),
            _ => None,
        }
    }
}

/// A status that sites of the scenario don't give.
fn http(payload: &[u8]) -> Option<String> {
    let line = payload.split(|b| *b == b'\r').next()?;
    let text = String::from_utf8_lossy(line.get(..line.len().min(60))?);
    let status: u16 = text.split(' ').nth(1)?.parse().ok()?;
    (status >= 300).then(|| text.into_owned())
}
