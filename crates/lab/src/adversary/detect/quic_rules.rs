//! What censors are known to look at before they read a QUIC Initial, or instead of it.
//!
//! - **China**: Zohaib et al., "Exposing and Circumventing SNI-based QUIC Censorship of the Great Firewall of China", USENIX
//!   Security 2025. Initials are decrypted only if the source port is larger than the destination port, and only the first
//!   datagram of a flow is looked at; version 2 is let pass. A hit here means the name would be read, not that it is blocked.
//! - **Russia**: Xue et al., "TSPU: Russia's Decentralized Censorship System", IMC 2022. From March 2022 on, datagrams
//!   to port 443 of 1001 bytes or more with version 1 at bytes 1 to 4 were dropped, whatever the name.

use super::Connection;
use super::connection::Carrier;

/// QUIC version 1, as it stands on the wire (RFC 9000 §15).
const VERSION_1: [u8; 4] = [0, 0, 0, 1];
/// The shortest datagram that Russia's filter looks at.
const RUSSIA_LEN_MIN: usize = 1001;

/// Whether China's firewall would read the name of this connection.
pub fn read_in_china(connection: &Connection) -> bool {
    let is_initial = |first: &[u8]| {
        first.first().is_some_and(|byte| byte & 0xf0 == 0xc0) && first.get(1..5) == Some(&VERSION_1)
    };
    connection.carrier == Carrier::Udp
        && connection.client.port() > connection.server.port()
        && connection.packets.first().is_some_and(|p| p.from_client && is_initial(&p.payload))
}

/// Whether Russia's filter would have dropped this connection in 2022.
pub fn dropped_in_russia(connection: &Connection) -> bool {
    connection.carrier == Carrier::Udp
        && connection.server.port() == 443
        && connection.packets.iter().any(|p| {
            p.from_client && p.payload.len() >= RUSSIA_LEN_MIN && p.payload.get(1..5) == Some(&VERSION_1)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    fn quic(first: &[u8]) -> Connection {
        Connection { carrier: Carrier::Udp, ..connection(&[(true, first)]) }
    }

    fn initial(version: u8, len: usize) -> Vec<u8> {
        [vec![0xc3, 0, 0, 0, version], vec![9; len - 5]].concat()
    }

    #[test]
    fn by_the_papers() {
        let hello = quic(&initial(1, 1200));
        assert!(read_in_china(&hello) && dropped_in_russia(&hello));
        // Not blocked: a source port that is not larger, version 2, another datagram first.
        let low = Connection { client: "10.0.0.1:400".parse().unwrap(), ..hello.clone() };
        assert!(!read_in_china(&low) && dropped_in_russia(&low));
        let second = quic(&[0x6b, 0x33, 0x43, 0xcf]);
        assert!(!read_in_china(&second) && !dropped_in_russia(&second));
        let late = Connection { packets: [quic(b"junk").packets, hello.packets.clone()].concat(), ..hello };
        assert!(!read_in_china(&late) && dropped_in_russia(&late));
        // TSPU: 1001 bytes are dropped, 1000 are not.
        assert!(dropped_in_russia(&quic(&initial(1, 1001))) && !dropped_in_russia(&quic(&initial(1, 1000))));
    }
}
