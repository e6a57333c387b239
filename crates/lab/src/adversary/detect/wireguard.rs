//! WireGuard, by the sizes and first bytes of its handshake.
//!
//! Source: the protocol (Donenfeld, "WireGuard", NDSS 2017, §5.4), as nDPI and OpenGFW look for it: over UDP a message of
//! type 1 and 148 bytes, answered by one of type 2 and 92 bytes, or of type 3 and 64 bytes.

use super::Connection;
use super::connection::Carrier;

/// Whether the connection begins with WireGuard's handshake.
pub fn flags(connection: &Connection) -> bool {
    let begins = |side, sizes: &[(u8, usize)]| {
        let first = connection.first(side);
        first.is_some_and(|bytes| {
            sizes.iter().any(|(kind, len)| bytes.len() == *len && bytes.starts_with(&[*kind, 0, 0, 0]))
        })
    };
    connection.carrier == Carrier::Udp && begins(true, &[(1, 148)]) && begins(false, &[(2, 92), (3, 64)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    #[test]
    fn the_handshake_is_found() {
        let message = |kind: u8, len: usize| [vec![kind, 0, 0, 0], vec![7; len - 4]].concat();
        let udp = |client: &[u8], server: &[u8]| Connection {
            carrier: Carrier::Udp,
            ..connection(&[(true, client), (false, server)])
        };
        assert!(flags(&udp(&message(1, 148), &message(2, 92))));
        assert!(flags(&udp(&message(1, 148), &message(3, 64))));
        assert!(!flags(&udp(&message(1, 149), &message(2, 92))));
        assert!(!flags(&connection(&[(true, &message(1, 148)), (false, &message(2, 92))])), "over TCP");
    }
}
