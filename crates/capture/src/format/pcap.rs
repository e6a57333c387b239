//! pcap: a file header, then records. <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/>

use daylight_packet::{Frame, LinkType};

use super::{NotACapture, Progress, Walked, fetch::Ahead};

const FILE_HEADER_LEN: usize = 24;

/// More bytes in a packet than any capturing program writes (libpcap's limit); a larger number is damage. Smaller ones
/// are believed even beyond the file's snap length, which many writers get wrong.
const CAP_LEN_MAX: u32 = 256 << 10;

#[derive(Clone, Debug)]
pub(super) struct Pcap {
    big_endian: bool,
    /// What a unit of the fraction is in nanoseconds: 1000 or 1.
    unit_ns: i64,
    /// 16; 24 in the format of Kuznetzov's patched libpcap.
    record_header_len: usize,
    lengths: Lengths,
    link: LinkType,
    ahead: Ahead,
}

/// In which order a record has its two lengths: before version 2.3 the wire's came first, and of 2.3 there are both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    SmallerIsCaptured,
}

impl Pcap {
    pub(super) fn new(bytes: &[u8]) -> Result<(Self, usize), NotACapture> {
        let Some(magic) = bytes.first_chunk::<4>() else { return Err(NotACapture::Unknown) };
        let (big_endian, unit_ns, record_header_len) = match u32::from_be_bytes(*magic) {
            0xa1b2_c3d4 => (true, 1000, 16),
            0xd4c3_b2a1 => (false, 1000, 16),
            0xa1b2_3c4d => (true, 1, 16),
            0x4d3c_b2a1 => (false, 1, 16),
            0xa1b2_cd34 => (true, 1000, 24),
            0x34cd_b2a1 => (false, 1000, 24),
            _ => return Err(NotACapture::Unknown),
        };
        let Some(header) = bytes.first_chunk::<FILE_HEADER_LEN>() else { return Err(NotACapture::CutShort) };
        let number = |at: usize| match big_endian {
            true => u16::from_be_bytes([header[at], header[at + 1]]),
            false => u16::from_le_bytes([header[at], header[at + 1]]),
        };
        // The upper half of the last field holds the length of a frame check sequence.
        let (major, minor, link) = (number(4), number(6), number(if big_endian { 22 } else { 20 }));
        if major != 2 {
            return Err(NotACapture::Version);
        }
        let lengths = match minor {
            0..=2 => Lengths::WireFirst,
            3 => Lengths::SmallerIsCaptured,
            _ => Lengths::CapturedFirst,
        };
        let link = LinkType(link);
        Ok((
            Self { big_endian, unit_ns, record_header_len, lengths, link, ahead: Ahead::default() },
            FILE_HEADER_LEN,
        ))
    }

    pub(super) fn walk(
        &mut self,
        bytes: &[u8],
        at: usize,
        frames: &mut Vec<Frame>,
        frames_max: usize,
    ) -> Walked {
        // Two instances of one loop, so that neither asks for the byte order at each packet.
        if self.big_endian {
            self.records::<true>(bytes, at, frames, frames_max)
        } else {
            self.records::<false>(bytes, at, frames, frames_max)
        }
    }

    fn records<const BIG_ENDIAN: bool>(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        frames: &mut Vec<Frame>,
        frames_max: usize,
    ) -> Walked {
        let number = |bytes: [u8; 4]| match BIG_ENDIAN {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        while frames.len() < frames_max {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() < self.record_header_len {
                return Walked { at, progress: Progress::More(self.record_header_len) };
            }
            let Some(&[s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3]) = rest.first_chunk()
            else {
                return Walked { at, progress: Progress::More(self.record_header_len) };
            };
            let (first, second) = (number([c0, c1, c2, c3]), number([w0, w1, w2, w3]));
            let (cap_len, wire_len) = match self.lengths {
                Lengths::CapturedFirst => (first, second),
                Lengths::WireFirst => (second, first),
                Lengths::SmallerIsCaptured => (first.min(second), first.max(second)),
            };
            if cap_len > CAP_LEN_MAX {
                return Walked {
                    at,
                    progress: Progress::Damaged(format!("packet record of {cap_len} bytes")),
                };
            }
            let len = self.record_header_len + cap_len as usize;
            if rest.len() < len {
                return Walked { at, progress: Progress::More(len) };
            }
            self.ahead.record(bytes, at, len);
            let seconds = i64::from(number([s0, s1, s2, s3]));
            let fraction = i64::from(number([f0, f1, f2, f3]));
            frames.push(Frame {
                ts_ns: seconds * 1_000_000_000 + fraction * self.unit_ns,
                offset: (at + self.record_header_len) as u32,
                cap_len,
                wire_len: wire_len.max(cap_len),
                link: self.link,
            });
            at += len;
        }
        Walked { at, progress: Progress::Full }
    }
}
