//! How much a connection holds that was not acknowledged.

use quinn::Connection;

/// At least, and at most, in bytes: of a slow line a tenth of a second at 10 Mbit/s, of a fast one 640 Mbit/s at 100 ms.
const LEN_MIN: u64 = 128 << 10;
pub(super) const LEN_MAX: u64 = 8 << 20;

/// Keeps what waits in a connection to as much again as is under way: what waits there can't be overtaken by other streams of the
/// session, nor go by another path.
pub(super) struct Window {
    connection: Connection,
    len: u64,
}

impl Window {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, len: LEN_MAX }
    }

    /// Follows the congestion window.
    pub(super) fn fit(&mut self) {
        let len = (2 * self.connection.stats().path.cwnd).clamp(LEN_MIN, LEN_MAX);
        // Small changes are not worth a lock.
        if len > self.len || len < self.len / 2 {
            self.len = len;
            self.connection.set_send_window(len);
        }
    }
}
