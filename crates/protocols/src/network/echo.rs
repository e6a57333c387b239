//! What ICMP and ICMPv6 share: watching echoes for tunnels, and reading the packet that an error quotes.

use std::net::IpAddr;

use crate::cursor::Cursor;

/// Requests that wait for their reply: the oldest are forgotten.
const PENDING_MAX: usize = 16;
/// So many replies whose data differ from their request's are a tunnel's.
pub(super) const ODD_REPLIES: u32 = 3;
/// So many different sizes of requests, each above [`LARGE_BYTES`], are a tunnel's (or those of a search for the
/// largest packet).
pub(super) const SIZES: usize = 8;
/// No ping sends more data than this unless told to (Windows sends 32, others 48 or 56).
const LARGE_BYTES: usize = 100;

/// One request.
#[derive(Clone, Copy)]
struct Request {
    id: u16,
    sequence: u16,
    len: usize,
    hash: u64,
}

/// Watches the echoes of a flow.
///
/// A host answers an echo with the very same data (RFC 792; RFC 4443 §4.2). A tunnel doesn't: the reply carries what
/// the other side has to say. That is the measure, besides the variety of sizes.
#[derive(Default)]
pub(super) struct Echo {
    pending: Vec<Request>,
    odd: u32,
    sizes: Vec<usize>,
}

impl Echo {
    /// A request with `id` and `sequence` (4 bytes) and its data. The evidence, once it looks like a tunnel.
    pub(super) fn request(&mut self, body: &[u8]) -> Option<String> {
        let request = Self::read(body)?;
        if self.pending.len() >= PENDING_MAX {
            self.pending.remove(0);
        }
        self.pending.push(request);
        if request.len > LARGE_BYTES && self.sizes.len() < SIZES && !self.sizes.contains(&request.len) {
            self.sizes.push(request.len);
        }
        (self.sizes.len() >= SIZES).then(|| format!("echo_sizes={SIZES}"))
    }

    /// A reply: the same.
    pub(super) fn reply(&mut self, body: &[u8]) -> Option<String> {
        let reply = Self::read(body)?;
        let asked = self.pending.iter().position(|r| (r.id, r.sequence) == (reply.id, reply.sequence))?;
        let request = self.pending.remove(asked);
        if (request.len, request.hash) != (reply.len, reply.hash) {
            self.odd += 1;
        }
        (self.odd >= ODD_REPLIES).then(|| format!("echo_replies_unlike_requests={}", self.odd))
    }

    fn read(body: &[u8]) -> Option<Request> {
        let mut c = Cursor::new(body);
        let (id, sequence) = (c.u16()?, c.u16()?);
        let data = c.rest();
        // FNV-1a: only to compare with itself, within one flow.
        let hash = data
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
        Some(Request { id, sequence, len: data.len(), hash })
    }
}

/// The packet that an error message quotes, as far as it goes.
#[derive(Debug, PartialEq)]
pub(super) struct Quoted {
    /// Its IP protocol.
    pub(super) protocol: u8,
    /// Its source and destination.
    pub(super) ends: [IpAddr; 2],
    /// Their ports, where it is TCP, UDP, or another protocol with ports at its start.
    pub(super) ports: Option<[u16; 2]>,
}

/// Reads the start of an IPv4 or IPv6 packet. Extension headers of IPv6 are not followed.
pub(super) fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let first = *bytes.first()?;
    let mut c = Cursor::new(bytes);
    let (protocol, ends) = match first >> 4 {
        4 => {
            c.skip(6)?;
            let fragment = c.u16()? & 0x1fff;
            c.skip(1)?;
            let protocol = c.u8()?;
            c.skip(2)?;
            let ends = [IpAddr::from(c.array::<4>()?), IpAddr::from(c.array::<4>()?)];
            c.skip((usize::from(first & 0xf) * 4).checked_sub(20)?)?;
            if fragment != 0 {
                return Some(Quoted { protocol, ends, ports: None });
            }
            (protocol, ends)
        }
        6 => {
            c.skip(6)?;
            let protocol = c.u8()?;
            c.skip(1)?;
            (protocol, [IpAddr::from(c.array::<16>()?), IpAddr::from(c.array::<16>()?)])
        }
        _ => return None,
    };
    // TCP, UDP, DCCP, SCTP, UDP-Lite.
    let ports = match protocol {
        6 | 17 | 33 | 132 | 136 => c.u16().zip(c.u16()).map(|(a, b)| [a, b]),
        _ => None,
    };
    Some(Quoted { protocol, ends, ports })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn quoted_packets() {
        let udp = hex("45000054 00004000 4011 0000 c0000201 c6336401 9c40 0035 0040 0000");
        let q = quoted(&udp).unwrap();
        assert_eq!((q.protocol, q.ports), (17, Some([40000, 53])));
        assert_eq!(q.ends[1].to_string(), "198.51.100.1");
        let later = hex("45000054 00000020 4011 0000 c0000201 c6336401 9c40 0035 0040 0000");
        assert_eq!(quoted(&later).unwrap().ports, None, "a later fragment has no ports");
        assert_eq!(quoted(&udp[..18]), None);
        let v6 =
            hex("60000000 0008 3a 40 20010db8000000000000000000000001 20010db8000000000000000000000002 8000");
        assert_eq!(quoted(&v6).unwrap().protocol, 58);
    }

    fn echo(sequence: u8, data: &[u8]) -> Vec<u8> {
        [&[0, 7, 0, sequence], data].concat()
    }

    #[test]
    fn replies_that_differ_are_counted() {
        let mut e = Echo::default();
        for n in 0..10 {
            assert_eq!(e.request(&echo(n, &[n; 56])), None);
            assert_eq!(e.reply(&echo(n, &[n; 56])), None);
        }
        let mut found = None;
        for n in 0..3 {
            assert_eq!(found, None);
            e.request(&echo(n, &[n; 56]));
            found = e.reply(&echo(n, b"something else"));
        }
        assert!(found.is_some());
        assert_eq!(Echo::default().reply(&echo(1, b"not asked for")), None);
    }

    #[test]
    fn sizes_are_counted() {
        let mut e = Echo::default();
        let found: Vec<_> =
            (0..10).filter_map(|n| e.request(&echo(n, &vec![0; 200 + usize::from(n)]))).collect();
        assert_eq!(found.len(), 3, "from the eighth size on");
        let mut small = Echo::default();
        assert!((0..20).all(|n| small.request(&echo(n, &vec![0; 40 + usize::from(n)])).is_none()));
    }
}
