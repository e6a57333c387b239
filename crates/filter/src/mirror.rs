//! Listening to a mirror port: nothing can be held back here, and what is forbidden is ended by resets.
//!
//! A reset races with the server. What is lost of that race goes on until its next packet is seen.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daylight_capture::raw_socket::{BATCH_FRAMES_MAX, Offload, RawFrame, RawSocket};
use daylight_inspect::Config;
use daylight_packet::{Batch, Frame, LinkType, is_damaged};

use crate::gate::{Gate, Witness};
use crate::send::NoticeSender;
use crate::worker::{Shared, now_ns};

/// How long nobody looks whether frames have come, when none had.
const REST: Duration = Duration::from_millis(1);

/// What listens to an interface.
pub struct Listener<W> {
    /// The interface's socket.
    pub socket: RawSocket,
    /// Its name.
    pub interface: String,
    /// How flows are read.
    pub config: Config,
    /// Sends resets.
    pub sender: NoticeSender,
    /// Is told of decisions.
    pub witness: W,
}

impl<W: Witness> Listener<W> {
    /// Listens until it is stopped.
    ///
    /// # Errors
    /// If the interface can't be listened to any more.
    pub fn run(mut self, shared: &Shared) -> io::Result<()> {
        let mut loads = shared.loads();
        let gate = || Gate::new(shared.policy(), &self.config, &self.interface, None).passive();
        let mut gate = gate();
        let mut frames = vec![RawFrame::default(); BATCH_FRAMES_MAX];
        let (mut outcomes, mut notices) = (Vec::new(), Vec::new());
        while !shared.is_stopped() {
            if loads != shared.loads() {
                loads = shared.loads();
                gate.exchange(shared.policy());
            }
            let received = self.socket.receive(&mut frames)?;
            let now_ns = now_ns();
            if received == 0 {
                gate.advance(now_ns, &mut self.witness);
                std::thread::sleep(REST);
                continue;
            }
            let frames = frames.get(..received).unwrap_or_default();
            gate.packets(batch(frames, now_ns), &mut outcomes, &mut notices, &mut self.witness);
            for notice in notices.drain(..) {
                let sent = self.sender.send(&notice.packet, notice.to).is_ok();
                shared.counters.noticed(sent);
            }
            shared.count(&mut gate, &outcomes);
            let missed = self.socket.missed()?;
            shared.counters.unread.fetch_add(missed, Ordering::Relaxed);
        }
        gate.finish(&mut self.witness);
        Ok(())
    }
}

fn batch(frames: &[RawFrame], now_ns: i64) -> Batch {
    let mut data = Vec::with_capacity(frames.iter().map(|frame| frame.bytes.len()).sum());
    let frames = frames.iter().filter(|frame| !is_thrown_away(frame)).map(|frame| {
        let len = frame.bytes.len() as u32;
        let offset = data.len() as u32;
        data.extend_from_slice(&frame.bytes);
        Frame { ts_ns: now_ns, offset, cap_len: len, wire_len: len, link: LinkType::ETHERNET }
    });
    let frames = frames.collect();
    Batch { data: Arc::new(data), frames }
}

/// True for what its receiver will not read.
fn is_thrown_away(frame: &RawFrame) -> bool {
    // What the kernel has verified, and what a sender on this machine leaves to the network card.
    let trusted = frame.offload.flags & (Offload::NEEDS_CHECKSUM | Offload::VALID_DATA) != 0;
    let mut kind_at = 12;
    while let Some([0x81, 0] | [0x88, 0xa8]) = frame.bytes.get(kind_at..kind_at + 2) {
        kind_at += 4;
    }
    !trusted && !frame.offload.is_large() && frame.bytes.get(kind_at + 2..).is_some_and(is_damaged)
}
