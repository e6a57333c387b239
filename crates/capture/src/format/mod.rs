//! Capture formats: walking over bytes and noting where the frames lie. No I/O, no copies.

mod fetch;
mod pcap;
mod pcapng;

use daylight_packet::Frame;

use pcap::Pcap;
use pcapng::Pcapng;

/// A capture format, and where in it a walk is.
#[derive(Clone, Debug)]
pub struct Format(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Why bytes are not the start of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotACapture {
    /// They begin like one, but there are too few of them.
    CutShort,
    /// They begin with nothing that is known.
    Unknown,
    /// They are a capture of a version that is not read.
    Version,
}

/// Why a walk stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are as many frames as were asked for.
    Full,
    /// What comes next needs this many bytes, more than are left. At the end of the input: nothing is missing if
    /// nothing is left.
    More(usize),
    /// What comes next is not what it should be.
    Damaged(String),
}

/// What a walk did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Where it stopped: all before was understood.
    pub at: usize,
    /// Why.
    pub progress: Progress,
}

impl Format {
    /// Recognises a capture by its first bytes (24 are enough for pcap, 12 for pcapng), and gives the format and the
    /// offset at which its first walk starts.
    ///
    /// # Errors
    /// If it is no capture.
    pub fn detect(bytes: &[u8]) -> Result<(Self, usize), NotACapture> {
        if pcapng::is_section(bytes) {
            return Ok((Self(Kind::Pcapng(Pcapng::default())), 0));
        }
        let (pcap, at) = Pcap::new(bytes)?;
        Ok((Self(Kind::Pcap(pcap)), at))
    }

    /// Its name: `pcap` or `pcapng`.
    pub fn name(&self) -> &'static str {
        match self.0 {
            Kind::Pcap(_) => "pcap",
            Kind::Pcapng(_) => "pcapng",
        }
    }

    /// Walks over `bytes` from `at` on, adding frames (whose offsets are into `bytes`) until there are `frames_max`.
    pub fn walk(&mut self, bytes: &[u8], at: usize, frames: &mut Vec<Frame>, frames_max: usize) -> Walked {
        match &mut self.0 {
            Kind::Pcap(pcap) => pcap.walk(bytes, at, frames, frames_max),
            Kind::Pcapng(pcapng) => pcapng.walk(bytes, at, frames, frames_max),
        }
    }

    /// What to say of `rest`, with which a capture ends although `need` bytes should be there.
    pub(crate) fn cut_short(&self, rest: usize, need: usize) -> String {
        let what = match self.0 {
            Kind::Pcap(_) => "packet record",
            Kind::Pcapng(_) => "block",
        };
        format!("{what} cut short: {rest} of {need} bytes")
    }
}
