//! The namespace, and frames to send.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daylight_capture::live::Tap;
use daylight_capture::raw_socket::{Offload, RawFrame, RawSocket};
use daylight_packet::{Batch, Decoded, Decoder, LinkType, Packet};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The end that is sent on, and the one that is listened to.
pub(crate) const NEAR: &str = "near";
pub(crate) const FAR: &str = "far";

pub(crate) struct Net {
    name: String,
}

static BUILT: AtomicU32 = AtomicU32::new(0);

impl Net {
    /// Builds it and moves the thread into it, or says why the test is skipped.
    pub(crate) fn enter() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces take root");
            return None;
        }
        if Command::new("ip").arg("-V").output().is_err() {
            eprintln!("skipped: ip is missing (Debian: iproute2)");
            return None;
        }
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let net = Self { name: format!("dl-live-{}-{number}", std::process::id()) };
        ip(&["netns", "add", &net.name]);
        let namespace = std::fs::File::open(format!("/run/netns/{}", net.name)).unwrap();
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
            .unwrap();
        // Neighbour discovery would send frames of its own.
        for which in ["all", "default"] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
        net.link();
        Some(net)
    }

    /// Makes the pair.
    pub(crate) fn link(&self) {
        ip(&["link", "add", NEAR, "type", "veth", "peer", "name", FAR]);
        ip(&["link", "set", NEAR, "up"]);
        ip(&["link", "set", FAR, "up"]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

pub(crate) fn ip(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A UDP datagram over IPv4 in an Ethernet frame, with these tags outside.
pub(crate) fn datagram(tags: &[u16], from: ([u8; 4], u16), to: ([u8; 4], u16), payload: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((28 + payload as u16).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend((8 + payload as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.resize(frame.len() + payload, 7);
    frame
}

/// Sends frames on the near end.
pub(crate) fn send(frames: &[Vec<u8>]) {
    let socket = RawSocket::open(NEAR).unwrap();
    for group in frames.chunks(32) {
        let group: Vec<_> = group
            .iter()
            .map(|bytes| RawFrame { offload: Offload::default(), bytes: bytes.clone() })
            .collect();
        let mut sent = 0;
        while sent < group.len() {
            sent += socket.send(group[sent..].iter()).unwrap();
        }
    }
}

/// Takes what comes until nothing has come for a while: the batches of each tap.
pub(crate) fn take(taps: &mut [Box<dyn Tap>]) -> Vec<Vec<Batch>> {
    let mut batches: Vec<Vec<Batch>> = taps.iter().map(|_| Vec::new()).collect();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        for (tap, batches) in taps.iter_mut().zip(&mut batches) {
            while let Some(batch) = tap.take().unwrap() {
                batches.push(batch);
                last = Instant::now();
            }
        }
        daylight_capture::live::wait(taps, Duration::from_millis(50)).unwrap();
    }
    batches
}

/// The frames, and the packets in them.
pub(crate) fn packets(batches: &[Batch]) -> Vec<(Vec<u8>, Packet)> {
    let decoder = Decoder::default();
    let frames = batches.iter().flat_map(|batch| batch.frames.iter().map(move |frame| (batch, frame)));
    frames
        .map(|(batch, frame)| {
            let bytes = batch.frame_bytes(frame).to_vec();
            assert_eq!(frame.link, LinkType::ETHERNET);
            let Decoded::Packet(packet) = decoder.decode(frame.link, &bytes, frame.ts_ns, frame.wire_len)
            else {
                panic!("no packet: {bytes:?}");
            };
            (bytes, packet)
        })
        .collect()
}
