//! Captures of links: taken by tcpdump at both ends, kept as one pcapng, and read for packets worth a look.

mod interest;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daylight_capture::PcapngWriter;
use daylight_packet::{Batch, Frame, FrameSource};
use interest::Reader;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LabError;
use crate::record::PacketRecord;
use crate::service::system_program;
use crate::world::{Namespace, World};

/// How long tcpdump may take until it sees packets.
const READY_MAX: Duration = Duration::from_secs(20);

/// A capture that is being taken.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) link: String,
    /// Its ends: side `a`, and side `b` if something stands between them.
    ends: Vec<End>,
    /// What will be left of it.
    to: PathBuf,
}

#[derive(Debug)]
struct End {
    /// As Wireshark shows the interface: the namespace and its interface.
    name: String,
    file: PathBuf,
    tcpdump: Child,
}

impl Capture {
    /// Starts; [`wait_ready`](Self::wait_ready) says when it sees packets.
    pub(crate) fn start(link: &str, world: &World, folder: &Path) -> Result<Self, LabError> {
        let mut ends = Vec::new();
        for (i, (namespace, interface)) in world.plan.taps.get(link).into_iter().flatten().enumerate() {
            let file = folder.join(format!("{link}.{i}.pcap"));
            let tcpdump = tcpdump(world.namespace(namespace)?, interface, &file, &[])?;
            ends.push(End { name: format!("{namespace} {interface}"), file, tcpdump });
        }
        Ok(Self { link: link.to_owned(), ends, to: folder.join(format!("{link}.pcapng")) })
    }

    /// Waits until packets are seen at all its ends.
    pub(crate) fn wait_ready(&mut self) -> Result<(), LabError> {
        let patience = Instant::now() + READY_MAX;
        for end in &mut self.ends {
            // The file's header is written when the socket is open.
            while fs::metadata(&end.file).map_or(0, |m| m.len()) == 0 {
                if Instant::now() > patience || !matches!(end.tcpdump.try_wait(), Ok(None)) {
                    let message = format!("it does not capture on link {:?} at {}", self.link, end.name);
                    return Err(LabError::Failed { what: "tcpdump".into(), message });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Ends it, and turns what was written into one pcapng, in the order of time, with an interface for each end. Of
    /// packets that two processors stamped at once, the one that tcpdump saw first stands first. Gives the file's name, and the packets worth a look at side `a`.
    pub(crate) fn finish(mut self, start_ns: i64) -> Result<(String, Vec<PacketRecord>), LabError> {
        for end in &self.ends {
            let _ = kill(Pid::from_raw(end.tcpdump.id().cast_signed()), Signal::SIGTERM);
        }
        let name = self.to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |e: io::Error| LabError::File { what: "write", path: self.to.clone(), source: e };
        let out = BufWriter::new(File::create(&self.to).map_err(failed)?);
        let mut writer = PcapngWriter::new(out, "daylight lab", Some(&self.link)).map_err(failed)?;
        let mut feeds = Vec::new();
        for end in &mut self.ends {
            let _ = end.tcpdump.wait();
            let source = daylight_capture::open(&end.file).map_err(|e| LabError::Failed {
                what: format!("capture {}", self.link),
                message: e.to_string(),
            })?;
            feeds.push(Feed { source, batch: None, at: 0, interface: None });
        }
        let mut reader = Reader::new(&self.link, start_ns);
        while let Some((end, _)) = feeds
            .iter_mut()
            .enumerate()
            .filter_map(|(i, feed)| Some((i, feed.next_ts_ns()?)))
            .min_by_key(|(i, ts_ns)| (*ts_ns, *i))
        {
            let (Some(feed), Some(of)) = (feeds.get_mut(end), self.ends.get(end)) else { break };
            let interface = &mut feed.interface;
            let Some((frame, batch)) = feed.batch.as_ref().and_then(|b| Some((b.frames.get(feed.at)?, b)))
            else {
                break;
            };
            let bytes = batch.frame_bytes(frame);
            let own = match *interface {
                Some(own) => own,
                None => writer.interface(frame.link, 0, Some(&of.name)).map_err(failed)?,
            };
            *interface = Some(own);
            writer.write(own, frame.ts_ns, frame.wire_len, bytes, None).map_err(failed)?;
            reader.number += 1;
            if end == 0 {
                reader.frame(frame, bytes);
            }
            feed.at += 1;
        }
        let mut out = writer.into_inner();
        out.flush().map_err(failed)?;
        for end in &self.ends {
            let _ = fs::remove_file(&end.file);
        }
        Ok((name, reader.found))
    }
}

/// The frames of one end, one after the other.
struct Feed {
    source: Box<dyn FrameSource>,
    batch: Option<Batch>,
    at: usize,
    /// Its number in the file that is written, once it has one.
    interface: Option<u32>,
}

impl Feed {
    /// When the next frame was captured; it is `batch.frames[at]` then.
    fn next_ts_ns(&mut self) -> Option<i64> {
        let next = |this: &Self| -> Option<Frame> { this.batch.as_ref()?.frames.get(this.at).copied() };
        while next(self).is_none() {
            // What tcpdump was killed in the middle of ends the file.
            self.batch = Some(self.source.next_batch(1024).ok().flatten()?);
            self.at = 0;
        }
        next(self).map(|frame| frame.ts_ns)
    }
}

/// Starts tcpdump on an interface; `filter` are words of a capture filter.
pub(crate) fn tcpdump(
    namespace: &Namespace,
    interface: &str,
    file: &Path,
    filter: &[&str],
) -> Result<Child, LabError> {
    let mut command = Command::new(system_program("tcpdump"));
    command
        .args(["-n", "-U", "--immediate-mode", "--time-stamp-precision=nano", "-Z", "root"])
        .args(["-i", interface, "-w"])
        .arg(file)
        .args(filter)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    namespace.spawn(command).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            LabError::Missing { program: "tcpdump".into(), needs: "a capture".into(), package: "tcpdump" }
        }
        _ => LabError::Failed { what: "tcpdump".into(), message: e.to_string() },
    })
}
