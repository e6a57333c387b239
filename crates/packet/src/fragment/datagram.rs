//! One datagram, as far as its fragments have come.

use super::reassembled::Reassembled;
use super::{OverlapPolicy, issues_of};
use crate::decoder::{Context, FragmentAt};
use crate::tunnels::Tunnels;

/// What a datagram counts for beyond its pieces: about what it and its places in the tables take.
pub(super) const DATAGRAM_OVERHEAD: usize = 512;
/// What a piece counts for beyond its bytes.
const PIECE_OVERHEAD: usize = 64;

/// The largest IP packet that a length field can tell.
const PACKET_LEN_MAX: u32 = 65535;

/// A range of the datagram's data that no other piece has a part of.
#[derive(Debug)]
struct Piece {
    start: u32,
    /// Where it ended on the wire; `data` may be shorter, if the capture cut it.
    end: u32,
    data: Vec<u8>,
}

impl Piece {
    fn part(&self, from: u32, to: u32) -> Self {
        Self { start: from, end: to, data: part(self.start, &self.data, from, to).to_vec() }
    }
}

/// What a fragment added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Overlap,
    Duplicate,
    Malformed,
}

#[derive(Debug)]
pub(super) struct Datagram {
    serial: u64,
    first_ts_ns: i64,
    last_ts_ns: i64,
    context: Context,
    tunnels: Tunnels,
    version: u8,
    /// What the packet will have in front: the IP header of the first fragment, for IPv6 up to the fragment header.
    header: Vec<u8>,
    /// In `header`: the byte that named the fragment header; and what it will name instead.
    next_header_at: usize,
    protocol: u8,
    /// In order of `start`.
    pieces: Vec<Piece>,
    /// The length of all the data, once the last fragment said.
    total: Option<u32>,
    overlapped: bool,
    /// How much of the data the pieces cover.
    covered: u32,
    bytes: usize,
    frame_len: u32,
}

impl Datagram {
    pub(super) fn new(serial: u64, ts_ns: i64, fragment: &FragmentAt, tunnels: Tunnels) -> Self {
        Self {
            serial,
            first_ts_ns: ts_ns,
            last_ts_ns: ts_ns,
            context: fragment.context,
            tunnels,
            version: fragment.version,
            header: Vec::new(),
            next_header_at: 0,
            protocol: fragment.protocol,
            pieces: Vec::new(),
            total: None,
            overlapped: false,
            covered: 0,
            bytes: 0,
            frame_len: 0,
        }
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn first_ts_ns(&self) -> i64 {
        self.first_ts_ns
    }

    /// What it holds, without its own overhead.
    pub(super) fn bytes_held(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// True if all of it has come (on the wire; the capture may have cut some).
    pub(super) fn is_complete(&self) -> bool {
        self.total == Some(self.covered) && !self.header.is_empty()
    }

    pub(super) fn add(
        &mut self,
        fragment: &FragmentAt,
        frame: &[u8],
        ts_ns: i64,
        frame_len: u32,
        policy: OverlapPolicy,
    ) -> Added {
        let extent = fragment.data;
        let mut len = extent.wire_end.saturating_sub(extent.at) as u32;
        if fragment.more {
            // All but the last are multiples of 8 bytes long; what is beyond is not placed by any receiver.
            len &= !7;
        }
        let (start, end) = (fragment.offset, fragment.offset.saturating_add(len));
        let header_len = (fragment.header_end - fragment.ip_at) as u32;
        if len == 0
            || end.saturating_add(header_len) > PACKET_LEN_MAX + if self.version == 6 { 40 } else { 0 }
        {
            return Added::Malformed;
        }
        let data = frame.get(extent.at..extent.end).unwrap_or_default();
        let data = part(start, data, start, end);
        self.last_ts_ns = ts_ns;
        self.frame_len = self.frame_len.saturating_add(frame_len);

        // What is held never reaches beyond the end that the last fragment told.
        let mut contradicts = false;
        if !fragment.more && (self.total.is_none() || policy == OverlapPolicy::LastWins) {
            contradicts = self.total.is_some_and(|total| total != end);
            contradicts |= self.cut_out(end, u32::MAX) == Added::Overlap;
            self.total = Some(end);
        }
        let total = self.total.unwrap_or(u32::MAX);
        contradicts |= end > total || !fragment.more && end != total;
        let end = end.min(total);
        if start >= end {
            self.overlapped = true;
            return Added::Overlap;
        }

        if start == 0 && (self.header.is_empty() || policy == OverlapPolicy::LastWins) {
            let header = frame.get(fragment.ip_at..fragment.header_end).unwrap_or_default().to_vec();
            self.bytes = self.bytes + header.len() - self.header.len();
            self.header = header;
            self.next_header_at = fragment.next_header_at - fragment.ip_at;
            self.protocol = fragment.protocol;
        }
        let added = if self.repeats(start, end, data) {
            Added::Duplicate
        } else {
            match policy {
                OverlapPolicy::FirstWins => self.fill(start, end, data),
                OverlapPolicy::LastWins => {
                    let overlap = self.cut_out(start, end);
                    self.fill(start, end, data);
                    overlap
                }
            }
        };
        if contradicts || added == Added::Overlap {
            self.overlapped = true;
            return Added::Overlap;
        }
        added
    }

    /// Where the furthest piece ends.
    fn reach(&self) -> u32 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// The first piece that ends after `start`.
    fn first_after(&self, start: u32) -> usize {
        self.pieces.partition_point(|piece| piece.end <= start)
    }

    /// True if all of `start..end` is held, with the same bytes.
    fn repeats(&self, start: u32, end: u32, data: &[u8]) -> bool {
        let mut at = start;
        for piece in self.pieces.iter().skip(self.first_after(start)) {
            if piece.start > at || at >= end {
                break;
            }
            let upto = piece.end.min(end);
            if part(piece.start, &piece.data, at, upto) != part(start, data, at, upto) {
                return false;
            }
            at = upto;
        }
        at >= end
    }

    /// Takes what is not held yet of `start..end`.
    fn fill(&mut self, start: u32, end: u32, data: &[u8]) -> Added {
        let mut added = Added::New;
        let mut at = start;
        let mut index = self.first_after(start);
        while at < end {
            let (next_start, next_end) =
                self.pieces.get(index).map_or((end, end), |piece| (piece.start.min(end), piece.end));
            if at < next_start {
                let data = part(start, data, at, next_start).to_vec();
                self.insert(index, Piece { start: at, end: next_start, data });
                index += 1;
            }
            if next_start < end {
                added = Added::Overlap;
            }
            at = next_end.max(next_start);
            index += 1;
        }
        added
    }

    /// Forgets what is held of `start..end`; says if anything was.
    fn cut_out(&mut self, start: u32, end: u32) -> Added {
        let first = self.first_after(start);
        let last = self.pieces.partition_point(|piece| piece.start < end);
        if first >= last {
            return Added::New;
        }
        let mut kept = Vec::new();
        for piece in self.pieces.drain(first..last) {
            self.covered -= piece.end - piece.start;
            self.bytes -= PIECE_OVERHEAD + piece.data.len();
            let before = (piece.start < start).then(|| piece.part(piece.start, start));
            let after = (piece.end > end).then(|| piece.part(end, piece.end));
            kept.extend(before.into_iter().chain(after));
        }
        for (index, piece) in kept.into_iter().enumerate() {
            self.insert(first + index, piece);
        }
        Added::Overlap
    }

    fn insert(&mut self, index: usize, piece: Piece) {
        self.covered += piece.end - piece.start;
        self.bytes += PIECE_OVERHEAD + piece.data.len();
        self.pieces.insert(index, piece);
    }

    /// The packet, as far as it has come without a gap. `None` without its first fragment.
    pub(super) fn finish(self) -> Option<Reassembled> {
        if self.header.is_empty() || self.pieces.first()?.start != 0 {
            return None;
        }
        let data_len = self.total.unwrap_or_else(|| self.reach());
        let mut bytes = self.header;
        let header_len = bytes.len();
        let mut at = 0;
        for piece in &self.pieces {
            if piece.start != at || at >= data_len {
                break;
            }
            let room = (data_len - at) as usize;
            bytes.extend_from_slice(piece.data.get(..room).unwrap_or(&piece.data));
            if (piece.data.len() as u32) < piece.end - piece.start {
                break;
            }
            at = piece.end;
        }
        let packet_len = header_len as u32 + data_len;
        patch_header(&mut bytes, header_len, self.version, packet_len, self.next_header_at, self.protocol);
        let mut context = self.context;
        context.issues = issues_of(context.issues, self.overlapped);
        Some(Reassembled {
            bytes,
            version: self.version,
            packet_len,
            frame_len: self.frame_len,
            ts_ns: self.last_ts_ns,
            context,
            outer_tunnels: self.tunnels,
        })
    }
}

/// The part `from..to` of data that starts at `start`, as far as it was captured.
fn part(start: u32, data: &[u8], from: u32, to: u32) -> &[u8] {
    let first = (from - start) as usize;
    let last = ((to - start) as usize).min(data.len());
    data.get(first..last).unwrap_or_default()
}

/// Makes a fragment's header the header of a packet that is none.
fn patch_header(
    bytes: &mut [u8],
    header_len: usize,
    version: u8,
    packet_len: u32,
    next_header_at: usize,
    protocol: u8,
) {
    if version == 4 {
        if let Some(header) = bytes.get_mut(..header_len)
            && header.len() >= 20
        {
            header[2..4].copy_from_slice(&(packet_len as u16).to_be_bytes());
            header[6..8].fill(0);
            header[10..12].fill(0);
            let checksum = crate::decoder::checksum(header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
    } else {
        if let Some(place) = bytes.get_mut(4..6) {
            place.copy_from_slice(&(packet_len.saturating_sub(40) as u16).to_be_bytes());
        }
        if let Some(place) = bytes.get_mut(next_header_at) {
            *place = protocol;
        }
    }
}
