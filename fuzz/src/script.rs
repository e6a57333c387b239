//! A flow as bytes: what the targets of the protocol families read, and what their seeds are written in.
//!
//! | bytes | |
//! |---|---|
//! | 1 | 0: the protocol is to be identified; else the number, from 1 on, of a protocol of the family whose parser is started |
//! | 1 | 0 TCP, 1 UDP, 2 another IP protocol |
//! | 2, 2 | the client's port and the server's (of another IP protocol: its number) |
//! | … | records: two bytes (0x8000: from the server; 0x4000: a gap; the rest: its length), then the payload |
//!
//! Numbers are big-endian.

use daylight_protocols::{Dir, Family, ProtocolId, Transport};

use crate::input::Input;

/// A payload, or bytes of it that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What was sent.
    Bytes(&'a [u8]),
    /// So many bytes were sent and are not there.
    Gap(u16),
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// The protocol whose parser is started at once, or none: then the dispatcher finds it.
    pub forced: Option<ProtocolId>,
    /// What carries it.
    pub transport: Transport,
    /// The client's port and the server's.
    pub ports: [u16; 2],
    /// What is sent.
    pub pieces: Vec<(Dir, Piece<'a>)>,
}

/// The protocols of a family that have a parser.
fn parsed(family: Family) -> Vec<ProtocolId> {
    ProtocolId::all().filter(|id| id.get().family == family && id.get().parser.is_some()).collect()
}

impl<'a> Script<'a> {
    /// Reads a script. Any bytes are one.
    pub fn read(family: Family, data: &'a [u8]) -> Self {
        let mut input = Input::new(data);
        let (forced, transport) = (usize::from(input.u8()), input.u8());
        let ports = [input.u16(), input.u16()];
        let protocols = parsed(family);
        let forced = forced.checked_sub(1).map(|n| protocols[n % protocols.len()]);
        let transport = match transport % 3 {
            0 => Transport::Tcp,
            1 => Transport::Udp,
            _ => Transport::Ip(ports[1] as u8),
        };
        let mut pieces = Vec::new();
        while !input.is_empty() {
            let head = input.u16();
            let dir = if head & 0x8000 == 0 { Dir::Client } else { Dir::Server };
            let len = head & 0x3fff;
            pieces.push(match (head & 0x4000, transport) {
                (0x4000, Transport::Tcp) => (dir, Piece::Gap(len)),
                _ => (dir, Piece::Bytes(input.take(len.into()))),
            });
        }
        pieces.retain(|(_, piece)| !matches!(piece, Piece::Gap(0) | Piece::Bytes([])));
        Self { forced, transport, ports, pieces }
    }
}
