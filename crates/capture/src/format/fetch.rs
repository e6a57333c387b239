//! Asking for memory before it is looked at.

/// Records of at least this length are bulk; shorter ones come with the cache lines of their neighbours.
const BULK_MIN: usize = 256;

/// Guesses where the next records begin, and fetches their headers. In a mapped file each record is found by the length of
/// the one before, so that the processor would otherwise wait for memory once for each packet.
///
/// Bulk transfers have one length, that of their path's full packets; two of them at a time cover most of what is seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// The lengths of the last bulk record, and of the last that had another.
    last: usize,
    other: usize,
}

impl Ahead {
    /// Notes a record of `len` bytes, and fetches what may come two and three records after it.
    #[inline]
    pub(super) fn record(&mut self, bytes: &[u8], at: usize, len: usize) {
        if len >= BULK_MIN && len != self.last {
            self.other = self.last;
            self.last = len;
        }
        let Self { last, other } = *self;
        for ahead in [last, other, last + last, last + other] {
            // A record's header, and those of Ethernet, IP and TCP.
            fetch(bytes, at + len + ahead);
            fetch(bytes, at + len + ahead + 64);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
fn fetch(bytes: &[u8], at: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    if let Some(byte) = bytes.get(at) {
        // SAFETY: a hint, which reads nothing that the program could see; the address is within `bytes`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
    }
}

/// There is no stable way to ask on other processors.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_bytes: &[u8], _at: usize) {}
