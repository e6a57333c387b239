//! How a record lies in a segment of the spool.
//!
//! A segment begins with eight letters and the sequence number of its first record. Each record is its length, a CRC-32, and
//! the body: a byte of flags, the record's name, the flow's `uid`, the line. The sum covers the record's sequence number
//! too, which is not written: what was left of something older in the same place is not taken for a record.

use crate::record::{Entry, RecordId};

/// The first bytes of a segment.
pub(super) const MAGIC: &[u8; 8] = b"DLSPOOL1";
/// The magic and the first sequence number.
pub(super) const HEADER_BYTES: u64 = 16;
/// Length and sum.
const PREFIX_BYTES: usize = 8;
/// Flags, name and `uid`.
const FIXED_BYTES: usize = 1 + 16 + 19;
/// The longest line that is kept, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

const HAS_RISKS: u8 = 1;

/// The start of a segment.
pub(super) fn header(base: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (magic, number) = bytes.split_at_mut(8);
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&base.to_le_bytes());
    bytes
}

/// Writes a record but for its sum, which wants the sequence number.
pub(super) fn begin(
    id: RecordId,
    uid: &str,
    has_risks: bool,
    line: &[u8],
    to: &mut Vec<u8>,
) -> crc32fast::Hasher {
    to.clear();
    to.extend_from_slice(&((FIXED_BYTES + line.len()) as u32).to_le_bytes());
    to.extend_from_slice(&[0; 4]);
    to.push(if has_risks { HAS_RISKS } else { 0 });
    to.extend_from_slice(&id.0);
    let mut name = [0; 19];
    name.iter_mut().zip(uid.bytes()).for_each(|(to, from)| *to = from);
    to.extend_from_slice(&name);
    to.extend_from_slice(line);
    let mut sum = crc32fast::Hasher::new();
    sum.update(to.get(PREFIX_BYTES..).unwrap_or_default());
    sum
}

/// Completes what [`begin`] began.
pub(super) fn complete(frame: &mut [u8], mut sum: crc32fast::Hasher, sequence: u64) {
    sum.update(&sequence.to_le_bytes());
    if let Some(place) = frame.get_mut(4..PREFIX_BYTES) {
        place.copy_from_slice(&sum.finalize().to_le_bytes());
    }
}

/// What stands at the beginning of these bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A record, and how many bytes it takes.
    Entry(Entry, usize),
    /// More bytes are needed: so many in all.
    Short(usize),
    /// A record was here that can't be read; the next one begins so many bytes on.
    Spoilt(usize),
    /// No record begins here: where the next one does can't be told.
    Lost,
}

/// Reads the record with this sequence number.
pub(super) fn read(bytes: &[u8], sequence: u64) -> Read {
    let word = |at: usize| {
        let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_le_bytes)
    };
    let (Some(len), Some(sum)) = (word(0), word(4)) else { return Read::Short(PREFIX_BYTES) };
    let len = len as usize;
    if !(FIXED_BYTES..=FIXED_BYTES + LINE_BYTES_MAX).contains(&len) {
        return Read::Lost;
    }
    let total = PREFIX_BYTES + len;
    let Some(body) = bytes.get(PREFIX_BYTES..total) else { return Read::Short(total) };
    let mut hash = crc32fast::Hasher::new();
    hash.update(body);
    hash.update(&sequence.to_le_bytes());
    let parts = || {
        let (flags, rest) = body.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (uid, line) = rest.split_first_chunk::<19>()?;
        let has_risks = flags & HAS_RISKS != 0;
        Some(Entry { sequence, id: RecordId(*id), uid: *uid, has_risks, line: line.into() })
    };
    match parts() {
        Some(entry) if hash.finalize() == sum => Read::Entry(entry, total),
        _ => Read::Spoilt(total),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(sequence: u64, id: [u8; 16], has_risks: bool, line: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let sum = begin(RecordId(id), "Cabcdefghi123456789", has_risks, line, &mut frame);
        complete(&mut frame, sum, sequence);
        frame
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sequence: u64, id: [u8; 16], has_risks: bool, line in prop::collection::vec(any::<u8>(), 0..500),
            behind in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut bytes = frame(sequence, id, has_risks, &line);
            let len = bytes.len();
            bytes.extend(behind);
            let uid = *b"Cabcdefghi123456789";
            let entry = Entry { sequence, id: RecordId(id), uid, has_risks, line: line.into() };
            prop_assert_eq!(read(&bytes, sequence), Read::Entry(entry, len));
            prop_assert_eq!(read(&bytes, sequence.wrapping_add(1)), Read::Spoilt(len), "of another place");
            for cut in 0..len {
                prop_assert!(matches!(read(&bytes[..cut], sequence), Read::Short(n) if n > cut && n <= len));
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in 0usize..100, bit in 0u8..8) {
            let mut bytes = frame(5, [7; 16], false, &[b'x'; 80]);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(read(&bytes, 5), Read::Entry(..)));
        }

        #[test]
        fn strange_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), sequence: u64) {
            let _ = read(&bytes, sequence);
        }
    }
}
