//! The rule against fully encrypted traffic of China's firewall, November 2021 to March 2023.
//!
//! Source: Wu et al., "How the Great Firewall of China Detects and Blocks Fully Encrypted Traffic", USENIX Security 2023,
//! Algorithm 1. The first TCP payload of the client decides. What no exemption holds for is blocked; then only with a
//! probability of 26.3 %, and only to some addresses, which is left out here: a hit is a hit.
//!
//! The paper's simulator lets pass 00 to 0f as the third byte of TLS; the paper says 00 to 09, and so does this.

use super::Connection;
use super::connection::Carrier;

/// Why a first payload is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// Ex1: 3.4 bits a byte or fewer are set, or 4.6 or more.
    Bits,
    /// Ex2: the first six bytes or more are printable.
    PrintableStart,
    /// Ex3: more than half of the bytes are printable.
    PrintableShare,
    /// Ex4: more than twenty printable bytes stand together.
    PrintableRun,
    /// Ex5: it begins as TLS or as an HTTP request.
    Protocol,
}

/// The first exemption that holds; `None` means it is taken for fully encrypted. An empty payload is not judged.
pub fn exemption(payload: &[u8]) -> Option<Exemption> {
    let total = payload.len();
    let bits: u32 = payload.iter().map(|byte| byte.count_ones()).sum();
    // In tenths, so that the thresholds are exact.
    if u64::from(bits) * 10 <= 34 * total as u64 || u64::from(bits) * 10 >= 46 * total as u64 {
        return Some(Exemption::Bits);
    }
    let runs = || payload.split(|byte| !is_printable(*byte)).map(<[u8]>::len);
    if runs().next().is_some_and(|run| run >= 6) {
        return Some(Exemption::PrintableStart);
    }
    if runs().sum::<usize>() * 2 > total {
        return Some(Exemption::PrintableShare);
    }
    if runs().any(|run| run > 20) {
        return Some(Exemption::PrintableRun);
    }
    let is_tls = matches!(payload, [0x16 | 0x17, 3, 0..=9, ..]);
    let is_http = [&b"GET "[..], b"PUT ", b"POST ", b"HEAD "].iter().any(|verb| payload.starts_with(verb));
    (is_tls || is_http).then_some(Exemption::Protocol)
}

fn is_printable(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte)
}

/// Whether the connection would be blocked.
pub fn flags(connection: &Connection) -> bool {
    connection.carrier == Carrier::Tcp
        && connection.first(true).is_some_and(|first| exemption(first).is_none())
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Bytes with four bits set, none printable.
    fn encrypted(len: usize) -> Vec<u8> {
        vec![0b1111_0000; len]
    }

    #[test]
    fn by_the_paper() {
        assert_eq!(exemption(&encrypted(200)), None);
        // Ex1, at the edges: of ten bytes 34 and 35 bits, 45 and 46.
        let weighed = |bits: usize| -> Vec<u8> {
            let mut bytes = vec![0b1000_0111; 10];
            let mut have = 40;
            for i in 0.. {
                let byte = &mut bytes[i % 10];
                match have {
                    n if n == bits => break,
                    n if n > bits => (*byte, have) = (*byte & (*byte - 1), have - 1),
                    _ => (*byte, have) = (*byte | (*byte + 1), have + 1),
                }
            }
            bytes
        };
        assert_eq!(exemption(&weighed(34)), Some(Exemption::Bits));
        assert_eq!((exemption(&weighed(35)), exemption(&weighed(45))), (None, None));
        assert_eq!(exemption(&weighed(46)), Some(Exemption::Bits));
        // Ex2: six printable bytes at the start, not five.
        let after = |start: &[u8]| [start, &encrypted(200)].concat();
        assert_eq!(exemption(&after(b"SSH-2.")), Some(Exemption::PrintableStart));
        assert_eq!(exemption(&after(b"SSH-2")), None);
        // Ex3: more than half, scattered.
        let half: Vec<u8> = (0..200).map(|i| if i % 2 == 0 { b'k' } else { 0xf0 }).collect();
        assert_eq!(exemption(&half), None);
        assert_eq!(exemption(&[&half[..], b"k"].concat()), Some(Exemption::PrintableShare));
        // Ex4: twenty-one together, not twenty.
        let run = |n| [encrypted(100), vec![b'k'; n], encrypted(100)].concat();
        assert_eq!((exemption(&run(20)), exemption(&run(21))), (None, Some(Exemption::PrintableRun)));
        // Ex5; the paper's bound for the third byte, not that of its simulator.
        assert_eq!(exemption(&after(&[0x16, 3, 1])), Some(Exemption::Protocol));
        assert_eq!(exemption(&after(&[0x17, 3, 9])), Some(Exemption::Protocol));
        assert_eq!(exemption(&after(&[0x16, 3, 0x0a])), None);
        for verb in [&b"GET "[..], b"PUT ", b"POST ", b"HEAD "] {
            assert_eq!(exemption(&after(verb)), Some(Exemption::Protocol));
        }
        assert_eq!(exemption(&after(b"DEL ")), None);
    }

    #[test]
    fn random_bytes_are_found_and_the_plain_transport_is_not() {
        let mut random = StdRng::seed_from_u64(1);
        let mut noise = || -> Vec<u8> {
            let mut bytes = vec![0; 300];
            random.fill_bytes(&mut bytes);
            bytes
        };
        assert!((0..1000).filter(|_| exemption(&noise()).is_none()).count() > 950);

        use daylight_tunnel::transports::plain::{Access, ClientHello, Listener, Suite};
        let mut random = StdRng::seed_from_u64(2);
        let hits = (0..10_000_u32)
            .filter(|n| {
                // Every server has a dress of its own: a hundred servers, a hundred flights to each.
                let mut key = [0; 32];
                key[..4].copy_from_slice(&(n / 100).to_be_bytes());
                let listener = Listener::new(key).unwrap();
                let access = Access { id: *b"flier 17", secret: [9; 32] };
                let early = vec![0; (n % 100) as usize * 5];
                let (_, wire) = ClientHello::new(
                    listener.public(),
                    &access,
                    Suite::Aes128Gcm,
                    1_795_000_000,
                    &early,
                    &mut random,
                )
                .unwrap();
                // What the kernel puts into the first packet.
                exemption(&wire[..wire.len().min(1448)]).is_none()
            })
            .count();
        assert_eq!(hits, 0, "of 10,000 first packets");
    }
}
