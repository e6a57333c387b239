//! Which of several workers a flow belongs to.

use crate::{FlowKey, TransportKind};

/// Spreads flows over workers by a rule so plain that a classic BPF program can follow it: the kernel then hands each
/// packet to the socket of the worker that its flow belongs to.
///
/// The share of a flow is `((x · factor) mod 2³² >> 16) mod workers`, where `x` is the exclusive or of `seed`, of the 32-bit
/// words of both addresses and, for TCP, UDP, UDP-Lite and SCTP, of both ports. Both directions of a flow have the same.
/// It is no good hash: it only spreads. Who knows seed and factor could aim flows at one worker, so they are random.
///
/// The kernel looks at the outermost headers, and finds no ports in fragments and behind extension headers. So who takes
/// a packet asks again, here, and passes on what belongs to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Any number.
    pub seed: u32,
    /// An odd number with bits in its upper half.
    pub factor: u32,
}

impl Spread {
    /// From a random number.
    pub fn new(random: u64) -> Self {
        // The golden ratio sees to it that the factor is never small.
        Self { seed: random as u32, factor: ((random >> 32) as u32 ^ 0x9e37_79b1) | 1 | 1 << 30 }
    }

    /// The worker, of so many, that a flow belongs to.
    #[inline]
    pub fn share(self, key: &FlowKey, workers: usize) -> usize {
        let [[a, b], [c, d]] = key.addresses;
        let addresses = match key.ip_version {
            // The words before the last are the prefix of mapped addresses, twice.
            4 => b ^ d,
            _ => a ^ b ^ c ^ d,
        };
        let folded = addresses as u32 ^ if key.ip_version == 4 { 0 } else { (addresses >> 32) as u32 };
        let ports = match key.protocol {
            TransportKind::TCP | TransportKind::UDP | TransportKind::UDP_LITE | TransportKind::SCTP => {
                u32::from(key.ports[0] ^ key.ports[1])
            }
            _ => 0,
        };
        let mixed = (self.seed ^ folded ^ ports).wrapping_mul(self.factor) >> 16;
        mixed as usize % workers.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: u32, port: u16) -> FlowKey {
        FlowKey {
            addresses: [[0, 0xffff_0a00_0000 | u64::from(client)], [0, 0xffff_c633_6401]],
            ports: [port, 443],
            protocol: TransportKind::TCP,
            ip_version: 4,
            ..FlowKey::default()
        }
    }

    #[test]
    fn neighbours_go_to_all_workers() {
        for random in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let spread = Spread::new(random);
            for workers in [2, 3, 8] {
                let mut of = vec![0u32; workers];
                for n in 0..8000 {
                    of[spread.share(&key(n % 40, 32768 + (n / 40) as u16), workers)] += 1;
                }
                let fair = 8000 / workers as u32;
                assert!(of.iter().all(|n| *n > fair / 2 && *n < fair * 3 / 2), "{random}: {of:?}");
            }
        }
    }

    #[test]
    fn both_ends_count_alike() {
        let spread = Spread::new(7);
        let mut turned = key(3, 40000);
        turned.addresses.swap(0, 1);
        turned.ports.swap(0, 1);
        assert_eq!(spread.share(&key(3, 40000), 1 << 16), spread.share(&turned, 1 << 16));
    }
}
