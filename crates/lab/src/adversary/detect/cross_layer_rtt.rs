//! The round trip of requests against that of packets.
//!
//! Source: Xue et al., "The Discriminative Power of Cross-layer RTTs in Fingerprinting Proxy Traffic", NDSS 2025. A proxy
//! ends the transport's connection, and not the application's: packets are answered from nearby, requests from further
//! away. What is compared here, connection by connection, is the median time from a client's burst to the server's answer,
//! less the round trip of the TCP handshake. The paper's classifier is not published; this is its one feature, and the
//! comparison with the control says whether it is larger (Kolmogorov–Smirnov, one-sided).
//!
//! A site that has to ask another for its pages shows the same, so this tells proxies only from sites that don't.

use super::Connection;
use crate::statistics;

/// Exchanges that are looked at, at the beginning of a connection.
const EXCHANGES: usize = 10;

/// By how much requests take longer than packets, in milliseconds. `None` if either can't be told.
pub fn difference_ms(connection: &Connection) -> Option<f64> {
    let bursts = connection.bursts();
    let answers: Vec<f64> = bursts
        .windows(2)
        .filter(|pair| pair[0].from_client && !pair[1].from_client)
        .map(|pair| (pair[1].first_ns - pair[0].last_ns) as f64)
        .take(EXCHANGES)
        .collect();
    Some((statistics::median(&answers)? - connection.handshake_ns? as f64) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    #[test]
    fn a_relay_answers_later_than_its_kernel() {
        let mut direct =
            connection(&[(true, b"a"), (false, b"b"), (true, b"c"), (true, b"d"), (false, b"e")]);
        direct.handshake_ns = Some(1_000_000);
        assert_eq!(difference_ms(&direct), Some(0.0), "counted from a burst's last packet");
        for packet in direct.packets.iter_mut().filter(|p| !p.from_client) {
            packet.at_ns += 40_000_000;
        }
        assert_eq!(difference_ms(&direct), Some(40.0));
        direct.handshake_ns = None;
        assert_eq!(difference_ms(&direct), None);
    }
}
