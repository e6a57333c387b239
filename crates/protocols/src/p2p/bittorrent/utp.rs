//! uTP, BitTorrent's transport over UDP (BEP 29): version 1, no magic.

use crate::cursor::Cursor;
use crate::{Earlier, Probe};

/// What a packet is for, in the upper half of its first byte.
pub(super) const SYN: u8 = 4;

/// The header, with what follows it and its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) kind: u8,
    pub(super) connection: u16,
    pub(super) timestamp: u32,
    pub(super) difference: u32,
    pub(super) sequence: u16,
    pub(super) payload: &'a [u8],
}

/// Reads a packet whose extensions have the lengths that are allowed, and which carries data only if its type may.
pub(super) fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    let mut c = Cursor::new(bytes);
    let first = c.u8()?;
    let (kind, version) = (first >> 4, first & 0x0f);
    let mut extension = c.u8()?;
    let connection = c.u16()?;
    let timestamp = c.u32()?;
    let difference = c.u32()?;
    let _window = c.u32()?;
    let sequence = c.u16()?;
    let _ack = c.u16()?;
    if version != 1 || kind > SYN {
        return None;
    }
    for _ in 0..4 {
        if extension == 0 {
            break;
        }
        let kind = extension;
        extension = c.u8()?;
        let value = c.vec8()?;
        // Selective acknowledgement; extension bits; close reason.
        let fits = match kind {
            1 => !value.is_empty() && value.len() <= 128 && value.len().is_multiple_of(4),
            2 => value.len() == 8,
            3 => value.len() == 4,
            _ => false,
        };
        fits.then_some(())?;
    }
    let payload = c.rest();
    let sound = extension == 0 && if kind == 0 { !payload.is_empty() } else { payload.is_empty() };
    sound.then_some(Packet { kind, connection, timestamp, difference, sequence, payload })
}

/// How sure it is. A SYN has fixed values in 80 bits; of the rest three packets of one connection must agree, or two
/// and one of the other side, whose connection ID is one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Sure,
    Perhaps,
    No,
}

pub(super) fn found(p: &Probe<'_>) -> Found {
    let Some(packet) = parse(p.payload) else { return Found::No };
    if packet.connection == 0 && packet.timestamp == 0 {
        return Found::No;
    }
    if packet.kind == SYN {
        // Version 1, sequence number 1, nothing to compare clocks with yet.
        let fresh = packet.sequence == 1 && packet.difference == 0 && packet.timestamp != 0;
        return if fresh { Found::Sure } else { Found::No };
    }
    let mut same = 0;
    let mut other = 0;
    for (connection, timestamp, e) in p.earlier.iter().filter_map(head) {
        let elapsed = packet.timestamp.wrapping_sub(timestamp);
        if e.dir == p.dir {
            // Microseconds: forward, and by less than ten seconds. Packets sent in one go may share a time stamp.
            same += u8::from(connection == packet.connection && elapsed < 10_000_000);
        } else {
            other += u8::from(connection.abs_diff(packet.connection) == 1);
        }
    }
    let moved = p.earlier.iter().filter_map(head).any(|(_, t, e)| e.dir == p.dir && t != packet.timestamp);
    if moved && (same >= 2 || (same >= 1 && other >= 1)) { Found::Sure } else { Found::Perhaps }
}

/// Connection ID and time stamp of an earlier datagram that can be uTP.
fn head(e: &Earlier) -> Option<(u16, u32, &Earlier)> {
    let h = &e.head;
    let plausible = e.len >= 20 && h[0] & 0x0f == 1 && h[0] >> 4 <= SYN && h[1] <= 3;
    plausible.then_some((u16::from_be_bytes([h[2], h[3]]), u32::from_be_bytes([h[4], h[5], h[6], h[7]]), e))
}
