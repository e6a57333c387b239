//! pcapng: blocks in sections. <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/>

use daylight_packet::{Frame, LinkType};

use super::{Progress, Walked, fetch::Ahead};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// The largest block that is read (as with Wireshark); a larger one is damage.
const BLOCK_LEN_MAX: u32 = 16 << 20;

/// How many interfaces a section may have.
const INTERFACES_MAX: usize = 1 << 16;

/// How a timestamp's units become nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    Multiply(u64),
    Divide(u128),
    /// The unit is 2 to the minus this of a second.
    Binary(u32),
}

impl Resolution {
    /// if_tsresol: a power of ten, or of two if the highest bit is set.
    fn new(option: u8) -> Self {
        let exponent = u32::from(option & 0x7f);
        if option & 0x80 != 0 {
            return Self::Binary(exponent);
        }
        match exponent {
            0..=9 => Self::Multiply(10_u64.pow(9 - exponent)),
            // Beyond 10^38 every timestamp is 0 ns.
            _ => Self::Divide(10_u128.checked_pow(exponent - 9).unwrap_or(u128::MAX)),
        }
    }

    fn to_ns(self, units: u64) -> i64 {
        let ns = match self {
            Self::Multiply(by) => match units.checked_mul(by) {
                Some(ns) => return i64::try_from(ns).unwrap_or(i64::MAX),
                None => u128::MAX,
            },
            Self::Divide(by) => u128::from(units) / by,
            Self::Binary(exponent) => (u128::from(units) * 1_000_000_000) >> exponent,
        };
        i64::try_from(ns).unwrap_or(i64::MAX)
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snap_len: u32,
    resolution: Resolution,
    /// if_tsoffset, in nanoseconds.
    offset_ns: i64,
}

/// A walk through blocks: the state of the current section.
#[derive(Clone, Debug, Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// When the last packet was captured: simple packets don't say.
    last_ts_ns: i64,
    ahead: Ahead,
}

/// True if `bytes` begin with a section header block.
pub(super) fn is_section(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x1a, 0x2b, 0x3c, 0x4d, ..]
            | [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x4d, 0x3c, 0x2b, 0x1a, ..]
    )
}

/// Where the captured bytes of a packet lie in a block's body, and what else it says.
struct PacketBlock {
    interface: usize,
    ts: Option<u64>,
    data_at: usize,
    cap_len: u32,
    wire_len: u32,
}

impl Pcapng {
    pub(super) fn walk(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        frames: &mut Vec<Frame>,
        frames_max: usize,
    ) -> Walked {
        let damaged = |at, reason: String| Walked { at, progress: Progress::Damaged(reason) };
        while frames.len() < frames_max {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(header) = rest.first_chunk::<12>() else {
                return Walked { at, progress: Progress::More(12) };
            };
            if header[..4] == SECTION.to_be_bytes() {
                if !is_section(rest) {
                    return damaged(at, "section header without a byte-order magic".into());
                }
                self.big_endian = header[8] == 0x1a;
            }
            let kind = self.u32(header, 0);
            let said = self.u32(header, 4);
            if !(12..=BLOCK_LEN_MAX).contains(&said) {
                return damaged(at, format!("block of {said} bytes"));
            }
            // Some writers don't count the padding.
            let len = (said as usize).next_multiple_of(4);
            let Some(block) = rest.get(..len) else {
                return Walked { at, progress: Progress::More(len) };
            };
            self.ahead.record(bytes, at, len);
            if self.u32(block, len - 4) != said {
                return damaged(at, format!("block of {said} bytes whose end gives another length"));
            }
            let body = &block[8..len - 4];
            let done = match kind {
                SECTION => self.section(body),
                INTERFACE => self.interface(body),
                ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                    self.packet(kind, body).map(|(frame, data_at)| {
                        frames.push(Frame { offset: (at + 8 + data_at) as u32, ..frame });
                    })
                }
                // Name resolution, statistics, secrets, custom and unknown blocks.
                _ => Ok(()),
            };
            if let Err(reason) = done {
                return damaged(at, reason);
            }
            at += len;
        }
        Walked { at, progress: Progress::Full }
    }

    #[inline(always)]
    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) }
    }

    fn section(&mut self, body: &[u8]) -> Result<(), String> {
        self.interfaces.clear();
        match (body.len(), self.u16(body, 4)) {
            (16.., 1) => Ok(()),
            (16.., major) => Err(format!("section of pcapng version {major}, only 1 is known")),
            _ => Err("section header that is too short".into()),
        }
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), String> {
        if body.len() < 8 {
            return Err("interface description that is too short".into());
        }
        if self.interfaces.len() >= INTERFACES_MAX {
            return Err(format!("more than {INTERFACES_MAX} interfaces in a section"));
        }
        let mut interface = Interface {
            link: LinkType(self.u16(body, 0)),
            snap_len: self.u32(body, 4),
            resolution: Resolution::Multiply(1000),
            offset_ns: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while options.len() >= 4 {
            let (code, len) = (self.u16(options, 0), usize::from(self.u16(options, 2)));
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, value) {
                (0, _) => break,
                (OPTION_TSRESOL, [resolution, ..]) => interface.resolution = Resolution::new(*resolution),
                (OPTION_TSOFFSET, value) => {
                    if let Some(seconds) = value.first_chunk::<8>() {
                        let seconds = match self.big_endian {
                            true => i64::from_be_bytes(*seconds),
                            false => i64::from_le_bytes(*seconds),
                        };
                        interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                    }
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// A packet block's frame, and where in the body its bytes lie.
    fn packet(&mut self, kind: u32, body: &[u8]) -> Result<(Frame, usize), String> {
        let ts = |high, low| Some(u64::from(self.u32(body, high)) << 32 | u64::from(self.u32(body, low)));
        let block = match (kind, body.len()) {
            (ENHANCED_PACKET, 20..) => PacketBlock {
                interface: self.u32(body, 0) as usize,
                ts: ts(4, 8),
                data_at: 20,
                cap_len: self.u32(body, 12),
                wire_len: self.u32(body, 16),
            },
            (PACKET, 20..) => PacketBlock {
                interface: usize::from(self.u16(body, 0)),
                ts: ts(4, 8),
                data_at: 20,
                cap_len: self.u32(body, 12),
                wire_len: self.u32(body, 16),
            },
            (SIMPLE_PACKET, 4..) => {
                // What was captured is what fits: the snap length (0 is none) and the block both limit it.
                let wire_len = self.u32(body, 0);
                let snap_len = self.interfaces.first().map_or(0, |interface| interface.snap_len);
                let limit = if snap_len == 0 { u32::MAX } else { snap_len };
                let cap_len = wire_len.min(limit).min(body.len() as u32 - 4);
                PacketBlock { interface: 0, ts: None, data_at: 4, cap_len, wire_len }
            }
            _ => return Err("packet block that is too short".into()),
        };
        let Some(interface) = self.interfaces.get(block.interface) else {
            let count = self.interfaces.len();
            return Err(format!("packet of interface {}, of which there are {count}", block.interface));
        };
        if block.cap_len as usize > body.len() - block.data_at {
            return Err(format!("packet of {} bytes in a block of {}", block.cap_len, body.len() + 12));
        }
        if let Some(units) = block.ts {
            self.last_ts_ns = interface.resolution.to_ns(units).saturating_add(interface.offset_ns);
        }
        let frame = Frame {
            ts_ns: self.last_ts_ns,
            offset: 0,
            cap_len: block.cap_len,
            wire_len: block.wire_len.max(block.cap_len),
            link: interface.link,
        };
        Ok((frame, block.data_at))
    }
}

#[cfg(test)]
mod tests {
    use super::Resolution;

    #[test]
    fn resolutions() {
        assert_eq!(Resolution::new(6).to_ns(1_500_000), 1_500_000_000);
        assert_eq!(Resolution::new(9).to_ns(7), 7);
        assert_eq!(Resolution::new(0).to_ns(2), 2_000_000_000);
        assert_eq!(Resolution::new(12).to_ns(5_000), 5);
        assert_eq!(Resolution::new(0x80 | 1).to_ns(3), 1_500_000_000);
        assert_eq!(Resolution::new(127).to_ns(u64::MAX), 0);
        assert_eq!(Resolution::new(0xff).to_ns(u64::MAX), 0);
        assert_eq!(Resolution::new(0).to_ns(u64::MAX), i64::MAX);
        assert_eq!(Resolution::new(0x80).to_ns(u64::MAX), i64::MAX);
    }
}
