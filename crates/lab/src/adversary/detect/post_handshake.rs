//! What a server sends right after the handshake: session tickets and settings, by the sizes of their records.
//!
//! Source: Aparecium, a public detector of TLS camouflage (2024): servers that borrow another's handshake forget what that
//! one sends after the client's Finished (NewSessionTicket, RFC 8446 §4.6.1), or send it in another size. The types and
//! lengths of the server's first two records after the client's ChangeCipherSpec and Finished are compared with the
//! control's, as categories, by Pearson's χ² test.

use super::Connection;
use super::records::{self, CHANGE_CIPHER_SPEC};
use crate::statistics;

/// Records that are compared.
const RECORDS: usize = 2;

/// The types and lengths of the server's first records after the client's part of the handshake.
pub fn shape(connection: &Connection) -> Vec<(u8, u16)> {
    let records = records::read(connection);
    let Some(finished) = records.iter().position(|r| r.from_client && r.kind == CHANGE_CIPHER_SPEC) else {
        return Vec::new();
    };
    let later = records.iter().skip(finished).filter(|r| !r.from_client);
    later.take(RECORDS).map(|r| (r.kind, r.len)).collect()
}

/// The probability of such differences, or greater ones, if there is none.
pub fn compare(connections: &[Connection], control: &[Connection]) -> f64 {
    statistics::chi_square(connections.iter().map(shape), control.iter().map(shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::{connection, tls};

    #[test]
    fn a_missing_ticket_shows() {
        let visit = |after: &[(u8, usize)]| {
            let packets = [
                (true, tls(&[(22, 500)])),
                (false, tls(&[(22, 120), (20, 1), (23, 900)])),
                (true, tls(&[(20, 1), (23, 53)])),
                (false, tls(after)),
            ];
            connection(&packets.iter().map(|(side, bytes)| (*side, &bytes[..])).collect::<Vec<_>>())
        };
        let ordinary = visit(&[(23, 250), (23, 250), (23, 60)]);
        assert_eq!(shape(&ordinary), [(23, 250), (23, 250)]);
        let (with, without) = (vec![ordinary; 10], vec![visit(&[(23, 60)]); 10]);
        assert!(compare(&without, &with) < 0.001);
        assert!(compare(&with, &with) >= 1.0);
    }
}
