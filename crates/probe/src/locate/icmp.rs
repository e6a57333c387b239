//! What routers say of a connection that is no more.
//!
//! A reset ends a connection, and the kernel has nobody left to tell that a router dropped what was sent on it. Where raw
//! sockets may be had, the router is heard all the same: it tells a box beside the path, which lets the original go on, from
//! one in the path.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

const TIME_EXCEEDED_V4: u8 = 11;
const TIME_EXCEEDED_V6: u8 = 3;
const HEADER_LEN: usize = 8;
const TCP: u8 = 6;

/// Hears ICMP.
pub(super) struct Listener(Socket);

impl Listener {
    /// For the family of an address, if that is allowed.
    pub(super) fn open(to: SocketAddr) -> Option<Self> {
        let protocol = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)).ok().map(Self)
    }

    /// Waits until a router says that the TTL of a TCP packet from this port to there ran out; whether one did.
    pub(super) fn hears_exceeded(&self, port: u16, to: SocketAddr, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        let mut buffer = [0; 1024];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.0.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match (&self.0).read(&mut buffer) {
                Ok(len) if quotes(buffer.get(..len).unwrap_or_default(), port, to) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// Whether a message, as a raw socket gives it, says "time exceeded" of a TCP packet from this port to there.
fn quotes(message: &[u8], port: u16, to: SocketAddr) -> bool {
    let quoted = |message: &[u8]| -> Option<bool> {
        match to {
            SocketAddr::V4(to) => {
                // IPv4's raw sockets give the header too (raw(7)).
                let icmp = message.get(header_len(message)?..)?;
                let packet = icmp.get(HEADER_LEN..)?;
                let ports = packet.get(header_len(packet)?..)?;
                let is_tcp = *packet.get(9)? == TCP && packet.get(16..20)? == to.ip().octets();
                Some(*icmp.first()? == TIME_EXCEEDED_V4 && is_tcp && are(ports, port, to.port())?)
            }
            SocketAddr::V6(to) => {
                let packet = message.get(HEADER_LEN..)?;
                let is_tcp = *packet.get(6)? == TCP && packet.get(24..40)? == to.ip().octets();
                let ports = packet.get(40..)?;
                Some(*message.first()? == TIME_EXCEEDED_V6 && is_tcp && are(ports, port, to.port())?)
            }
        }
    };
    quoted(message).unwrap_or(false)
}

fn header_len(packet: &[u8]) -> Option<usize> {
    packet.first().map(|first| usize::from(first & 15) * 4)
}

fn are(ports: &[u8], source: u16, destination: u16) -> Option<bool> {
    Some(ports.get(..2)? == source.to_be_bytes() && ports.get(2..4)? == destination.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_its_own_packets_in_what_routers_quote() {
        let to: SocketAddr = "192.0.2.7:443".parse().expect("an address");
        let mut message = vec![0x45; 20];
        message.extend([11, 0, 0, 0, 0, 0, 0, 0]);
        // Quoted with options: a header of 24 bytes.
        let mut packet = vec![0; 24];
        (packet[0], packet[9]) = (0x46, 6);
        packet[16..20].copy_from_slice(&[192, 0, 2, 7]);
        packet.extend([0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1]);
        message.extend(packet);
        assert!(quotes(&message, 40_000, to));
        assert!(!quotes(&message, 40_001, to));
        assert!(!quotes(&message, 40_000, "192.0.2.8:443".parse().expect("an address")));
        assert!(!quotes(&message, 40_000, "192.0.2.7:80".parse().expect("an address")));
        let mut unreachable = message.clone();
        unreachable[20] = 3;
        assert!(!quotes(&unreachable, 40_000, to));
        for len in 0..message.len() - 4 {
            assert!(!quotes(&message[..len], 40_000, to), "{len}");
        }

        let to: SocketAddr = "[2001:db8::7]:443".parse().expect("an address");
        let mut message = vec![3, 0, 0, 0, 0, 0, 0, 0];
        let mut packet = vec![0; 40];
        packet[6] = 6;
        packet[24..40].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        packet.extend([0x9c, 0x40, 0x01, 0xbb]);
        message.extend(packet);
        assert!(quotes(&message, 40_000, to) && !quotes(&message, 40_001, to));
        assert!(!quotes(&message[..40], 40_000, to));
    }
}
