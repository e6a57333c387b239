//! Connections made by hand, for the detectors' tests.

use super::connection::{Carrier, Connection, Packet};

/// A TCP connection of these packets, a millisecond apart.
pub(super) fn connection(packets: &[(bool, &[u8])]) -> Connection {
    let mut connection =
        Connection::new(Carrier::Tcp, "10.0.0.1:40000".parse().unwrap(), "10.0.0.2:443".parse().unwrap());
    connection.packets = packets
        .iter()
        .zip(0_i64..)
        .map(|(&(from_client, payload), n)| Packet {
            at_ns: n * 1_000_000,
            from_client,
            len: payload.len() as u32,
            payload: payload.to_vec(),
        })
        .collect();
    connection
}

/// TLS records of these types and lengths.
pub(super) fn tls(records: &[(u8, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(kind, len) in records {
        bytes.extend([kind, 3, 3]);
        bytes.extend((len as u16).to_be_bytes());
        bytes.extend(vec![1; len]);
    }
    bytes
}
