//! TLS records, as far as they show: types, lengths and times (RFC 8446 §5.1).

use super::Connection;
use super::connection::Carrier;

/// The record type ChangeCipherSpec.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// The record type of everything that is encrypted, in TLS 1.3.
pub const APPLICATION_DATA: u8 = 23;

/// A record of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub kind: u8,
    /// Its length, without the header of five bytes.
    pub len: u16,
    /// Who sent it.
    pub from_client: bool,
    /// The packet its header began in, as an index into the connection's.
    pub packet: usize,
}

/// Whether both sides' streams begin as TLS.
pub fn is_tls(connection: &Connection) -> bool {
    let begins = |side| {
        matches!(connection.first(side), None | Some([20..=23] | [20..=23, 3] | [20..=23, 3, 0..=9, ..]))
    };
    connection.carrier == Carrier::Tcp && connection.first(true).is_some() && begins(true) && begins(false)
}

/// The records of a connection, in the order of their headers; none if it is not TLS. It ends where the kept bytes of a
/// direction end.
pub fn read(connection: &Connection) -> Vec<Record> {
    let mut records = Vec::new();
    if !is_tls(connection) {
        return records;
    }
    let mut sides = [Side::default(), Side::default()];
    for (packet, sent) in connection.packets.iter().enumerate() {
        let side = &mut sides[usize::from(!sent.from_client)];
        if side.over {
            continue;
        }
        side.over = (sent.payload.len() as u64) < u64::from(sent.len);
        let mut rest = sent.payload.as_slice();
        while let Some((&byte, more)) = rest.split_first() {
            if side.left > 0 {
                let skip = side.left.min(rest.len());
                (side.left, rest) = (side.left - skip, &rest[skip..]);
                continue;
            }
            if side.header.is_empty() {
                side.began_in = packet;
            }
            side.header.push(byte);
            rest = more;
            if let [kind, _, _, high, low] = side.header[..] {
                let len = u16::from_be_bytes([high, low]);
                records.push(Record { kind, len, from_client: sent.from_client, packet: side.began_in });
                side.left = len.into();
                side.header.clear();
            }
        }
    }
    records.sort_by_key(|record| record.packet);
    records
}

#[derive(Default)]
struct Side {
    header: Vec<u8>,
    /// The packet the header began in.
    began_in: usize,
    /// Bytes of the record that are still to come.
    left: usize,
    over: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::{connection, tls};

    #[test]
    fn records_are_found_across_packets() {
        let server = tls(&[(22, 90), (20, 1), (23, 1000)]);
        let hello = tls(&[(22, 512)]);
        for cut in [1, 3, 94, 97, 600] {
            let found =
                read(&connection(&[(true, &hello), (false, &server[..cut]), (false, &server[cut..])]));
            let shape: Vec<(u8, u16, bool)> = found.iter().map(|r| (r.kind, r.len, r.from_client)).collect();
            assert_eq!(
                shape,
                [(22, 512, true), (22, 90, false), (20, 1, false), (23, 1000, false)],
                "cut at {cut}"
            );
        }
        assert!(read(&connection(&[(true, b"GET / HTTP/1.1\r\n\r\n")])).is_empty());
    }
}
