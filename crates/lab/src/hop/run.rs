//! The thread: two packet sockets and a clock around a [`Core`].

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use daylight_capture::raw_socket::{BATCH_FRAMES_MAX, RawFrame, RawSocket};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use serde::Serialize;

use super::core::{Core, HopConfig, HopCounters};
use super::tap::Tap;
use super::{Direction, impairment};
use crate::adversary::AdversaryCounters;

/// Why a hop could not be built, or broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HopError {
    /// A packet socket could not be opened.
    #[error(
        "interface {interface}: {cause}: it must be in the namespace of the calling thread, and packet sockets need CAP_NET_RAW there"
    )]
    Interface {
        /// Which.
        interface: String,
        /// Why.
        cause: io::Error,
    },
    /// A line is described in a way that makes no sense.
    #[error("{direction} line: {cause}")]
    Impairment {
        /// `outbound` or `inbound`.
        direction: &'static str,
        /// What is wrong.
        cause: impairment::OutOfRange,
    },
    /// The capture file could not be written.
    #[error("{path}: {cause}: choose a folder that can be written to")]
    Capture {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The thread could not be started, or ended too soon.
    #[error("the hop between {left} and {right} has stopped: {cause}")]
    Stopped {
        /// The interface on the left.
        left: String,
        /// The interface on the right.
        right: String,
        /// Why.
        cause: io::Error,
    },
}

/// What a hop has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HopReport {
    /// By direction: outbound, inbound.
    pub directions: [HopCounters; 2],
    /// Frames that came faster than they were taken, at the left and the right interface.
    pub missed: [u64; 2],
    /// Frames that the interface they were to go out of did not take, by direction.
    pub unsent: [u64; 2],
    /// By adversary, in their order.
    pub adversaries: Vec<AdversaryCounters>,
}

/// A link at work. Dropping it stops it.
pub struct Hop {
    names: [String; 2],
    stop: Arc<OwnedFd>,
    report: Arc<Mutex<HopReport>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Hop {
    /// Bridges the interfaces `left` and `right` of the calling thread's network namespace, in a thread of its own. With
    /// `capture`, all that passes either of them is written to that file.
    ///
    /// # Errors
    /// If a line makes no sense, an interface is not there, or the file can't be written.
    pub fn start(
        left: &str,
        right: &str,
        config: HopConfig,
        capture: Option<PathBuf>,
    ) -> Result<Self, HopError> {
        for (direction, line) in [("outbound", &config.outbound), ("inbound", &config.inbound)] {
            line.check().map_err(|cause| HopError::Impairment { direction, cause })?;
        }
        let names = [left.to_owned(), right.to_owned()];
        let open = |interface: &str| {
            RawSocket::open(interface)
                .map_err(|cause| HopError::Interface { interface: interface.to_owned(), cause })
        };
        let sockets = [open(left)?, open(right)?];
        let tap = capture
            .map(|path| {
                Tap::create(&path, ["left", "right"]).map_err(|cause| HopError::Capture { path, cause })
            })
            .transpose()?;
        let broken =
            |cause: io::Error| HopError::Stopped { left: left.to_owned(), right: right.to_owned(), cause };
        let stop =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| broken(e.into()))?;
        let stop = Arc::new(stop);
        let report = Arc::new(Mutex::new(HopReport::default()));
        let mut run = Loop {
            sockets,
            core: Core::new(config),
            stop: Arc::clone(&stop),
            report: Arc::clone(&report),
            tap,
            start: Instant::now(),
            missed: [0; 2],
            unsent: [0; 2],
            outgoing: [Vec::new(), Vec::new()],
        };
        let thread = std::thread::Builder::new()
            .name(format!("hop {left}"))
            .spawn(move || run.run())
            .map_err(broken)?;
        Ok(Self { names, stop, report, thread: Some(thread) })
    }

    /// What was done, as of at most 100 ms ago.
    pub fn report(&self) -> HopReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops, and says what was done. Frames still on their way are gone.
    ///
    /// # Errors
    /// If the hop had stopped by itself: a socket failed, or the capture file can't be written. (An interface that is taken
    /// away does not stop it: nothing comes any more, and what is sent there counts as unsent.)
    pub fn stop(mut self) -> Result<HopReport, HopError> {
        self.end()?;
        Ok(self.report())
    }

    fn end(&mut self) -> Result<(), HopError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let written = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        let ended = match written {
            Ok(_) => thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))),
            Err(e) => Err(e.into()),
        };
        let [left, right] = self.names.clone();
        ended.map_err(|cause| HopError::Stopped { left, right, cause })
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = self.end();
    }
}

/// Frames up to this length are copied out of their receive buffer, so that those that wait take no more than they need.
const COPY_BYTES_MAX: usize = 2048;
/// Received from one side before the other is looked at.
const TURNS_MAX: usize = 4;
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// A full socket is waited for so long; then the frames are given up.
const SEND_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

struct Loop {
    sockets: [RawSocket; 2],
    core: Core,
    stop: Arc<OwnedFd>,
    report: Arc<Mutex<HopReport>>,
    tap: Option<Tap>,
    start: Instant,
    missed: [u64; 2],
    unsent: [u64; 2],
    /// By the end they go out of.
    outgoing: [Vec<RawFrame>; 2],
}

impl Loop {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut buffers = vec![RawFrame::default(); BATCH_FRAMES_MAX];
        let mut reported = Instant::now();
        loop {
            if self.wait()? {
                break;
            }
            for (end, direction) in [(0, Direction::Outbound), (1, Direction::Inbound)] {
                for _ in 0..TURNS_MAX {
                    let count = self.sockets[end].receive(&mut buffers)?;
                    let now_ns = self.now_ns();
                    for buffer in buffers.iter_mut().take(count) {
                        let frame = take(buffer);
                        if let Some(tap) = &mut self.tap {
                            tap.write(now_ns, end, &frame)?;
                        }
                        self.core.push(now_ns, direction, frame);
                    }
                    self.send()?;
                    self.give_back(&mut buffers);
                    if count < buffers.len() {
                        break;
                    }
                }
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.tell()?;
            }
        }
        self.tell()?;
        if let Some(tap) = &mut self.tap {
            tap.flush()?;
        }
        Ok(())
    }

    /// Waits until there is something to do. True if it is to stop.
    fn wait(&self) -> io::Result<bool> {
        let report_ns = REPORT_EVERY.as_nanos() as u64;
        let wait_ns =
            self.core.next_due().map_or(report_ns, |due| due.saturating_sub(self.now_ns()).min(report_ns));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait_ns).unwrap_or(0) };
        let [left, right] = &self.sockets;
        let mut fds = [
            PollFd::new(&*self.stop, PollFlags::IN),
            PollFd::from_borrowed_fd(left.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(right.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok(fds[0].revents().contains(PollFlags::IN)),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends all that is due.
    fn send(&mut self) -> io::Result<()> {
        let now_ns = self.now_ns();
        while let Some((direction, frame)) = self.core.poll(now_ns) {
            let end = 1 - direction.index();
            if let Some(tap) = &mut self.tap {
                tap.write(now_ns, end, &frame)?;
            }
            self.outgoing[end].push(frame);
        }
        for end in 0..2 {
            let mut at = 0;
            while let Some(rest) = self.outgoing[end].get(at..).filter(|rest| !rest.is_empty()) {
                let batch = &rest[..rest.len().min(BATCH_FRAMES_MAX)];
                match self.sockets[end].send(batch.iter()) {
                    Ok(0) => {
                        let mut fds = [PollFd::new(&self.sockets[end], PollFlags::OUT)];
                        if matches!(poll(&mut fds, Some(&SEND_WAIT)), Ok(0)) {
                            self.unsent[1 - end] += rest.len() as u64;
                            break;
                        }
                        // It may have been the interface that was down: one frame, not the others, pays for that.
                        at += 1;
                        self.unsent[1 - end] += 1;
                    }
                    Ok(sent) => at += sent,
                    Err(_) => {
                        at += 1;
                        self.unsent[1 - end] += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Large frames that were sent give their memory back to the receive buffers.
    fn give_back(&mut self, buffers: &mut [RawFrame]) {
        let mut empty = buffers.iter_mut().filter(|b| b.bytes.capacity() == 0);
        for sent in self.outgoing.iter_mut().flat_map(|o| o.drain(..)) {
            if sent.bytes.capacity() > COPY_BYTES_MAX
                && let Some(buffer) = empty.next()
            {
                buffer.bytes = sent.bytes;
            }
        }
    }

    fn tell(&mut self) -> io::Result<()> {
        for (missed, socket) in self.missed.iter_mut().zip(&self.sockets) {
            *missed += socket.missed()?;
        }
        let now = HopReport {
            directions: self.core.counters(),
            missed: self.missed,
            unsent: self.unsent,
            adversaries: self.core.adversary_counters(),
        };
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }
}

/// The frame, with the buffer left for the next one if the frame is short.
fn take(buffer: &mut RawFrame) -> RawFrame {
    if buffer.bytes.len() <= COPY_BYTES_MAX {
        RawFrame { offload: buffer.offload, bytes: buffer.bytes.as_slice().to_vec() }
    } else {
        std::mem::take(buffer)
    }
}
