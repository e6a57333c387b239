//! Which part of the ClientHello each of the first two datagrams has.
//!
//! Chrome sends the beginning and the end of it in the first datagram and the middle in the second. Quinn cuts a stream in
//! its order; so it is given the bytes in another order, and its offsets are put right when a packet is sealed. What it
//! remembers of packets, to send lost ones again, stays right: an offset always means the same bytes.

use std::ops::Range;

/// The header of a CRYPTO frame in the first datagram in bytes: type, offset 0, a length of two bytes (RFC 9000 §19.6).
const FIRST_FRAME_HEADER_LEN: usize = 4;
/// In the second one.
const SECOND_FRAME_HEADER_LEN: usize = 5;
/// The middle is longer than the rest by so many bytes, half of them on each side.
const MIDDLE_EXTRA: usize = 2;

/// What quinn sends, and where that belongs:
///
/// ```text
/// quinn's   beginning ‖ end ‖ filler ‖ middle ‖ what TLS says later
/// true      beginning ‖ middle ‖ end ‖ what TLS says later
/// ```
///
/// The filler makes the first part so long that no byte of the middle finds room in the first datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    hello_len: usize,
    /// Where the middle is.
    middle: Range<usize>,
    filler_len: usize,
}

impl Layout {
    /// That of a ClientHello whose first `beginning` bytes come before the middle; `None` if it is too short for that.
    pub(super) fn new(hello_len: usize, beginning: usize) -> Option<Self> {
        let middle_len = hello_len.div_ceil(2) + MIDDLE_EXTRA;
        let middle = beginning..beginning + middle_len;
        if middle.end >= hello_len {
            return None;
        }
        // Room for the middle's frame is room for the first frame with this much more.
        let filler_len =
            middle_len + SECOND_FRAME_HEADER_LEN - FIRST_FRAME_HEADER_LEN - (hello_len - middle_len);
        Some(Self { hello_len, middle, filler_len })
    }

    /// The room for frames in each datagram by which quinn comes to these parts, in bytes.
    pub(super) fn room(&self) -> usize {
        self.middle.len() + SECOND_FRAME_HEADER_LEN
    }

    /// The ClientHello in quinn's order.
    pub(super) fn arrange(&self, hello: &[u8]) -> Vec<u8> {
        let (beginning, rest) = hello.split_at(self.middle.start);
        let (middle, end) = rest.split_at(self.middle.len());
        [beginning, end, &vec![0; self.filler_len], middle].concat()
    }

    /// Where bytes of quinn's order belong: parts of the range, and the offset of each.
    pub(super) fn true_offsets(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let Self { hello_len, ref middle, filler_len } = *self;
        let first_len = hello_len - middle.len();
        let parts = [
            (0..middle.start, 0),
            (middle.start..first_len, middle.end),
            (first_len + filler_len..hello_len + filler_len, middle.start),
            (hello_len + filler_len..usize::MAX, hello_len),
        ];
        parts.into_iter().filter_map(move |(part, offset)| {
            let common = part.start.max(range.start)..part.end.min(range.end);
            (!common.is_empty()).then(|| (common.clone(), offset + common.start - part.start))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_where_it_belongs() {
        for hello_len in [200, 1875, 1984, 2301] {
            let hello: Vec<u8> = (0..hello_len).map(|at| at as u8).collect();
            let layout = Layout::new(hello_len, 60).unwrap();
            let arranged = layout.arrange(&hello);
            let mut came = vec![None; hello_len];
            for start in (0..arranged.len()).step_by(37) {
                let end = arranged.len().min(start + 37);
                for (part, offset) in layout.true_offsets(start..end) {
                    for (at, &byte) in arranged[part].iter().enumerate() {
                        assert_eq!(came[offset + at].replace(byte), None);
                    }
                }
            }
            assert!(came.into_iter().eq(hello.into_iter().map(Some)));
            // What comes after it follows it.
            let after = arranged.len();
            assert_eq!(
                layout.true_offsets(after..after + 9).collect::<Vec<_>>(),
                [(after..after + 9, hello_len)]
            );
        }
        assert_eq!(Layout::new(130, 66), None);
    }

    #[test]
    fn the_parts_are_those_of_chromium() {
        // Captured: length, beginning, end of the middle.
        for (hello_len, beginning, end) in
            [(1984, 68, 1062), (1975, 76, 1066), (1884, 59, 1003), (1875, 55, 995)]
        {
            assert_eq!(Layout::new(hello_len, beginning).unwrap().middle, beginning..end);
        }
    }
}
