//! Sizes and directions of the first ten packets.
//!
//! Fixed sizes give protocols away (WireGuard's 148, 92 and 64 bytes; the lengths by which Shadowsocks was picked out for
//! probes, Alice et al., IMC 2020). Sizes are put into classes of 64 bytes; for each of the first ten places, classes here and in
//! the control are compared by Pearson's χ² test, and the smallest of the ten probabilities counts tenfold (Bonferroni).
//! It finds any difference, also one that no censor looks for.

use super::Connection;
use crate::statistics;

/// Places that are compared.
const PLACES: usize = 10;
/// Bytes to a class.
const CLASS_BYTES: u32 = 64;

/// The probability of such differences, or greater ones, if there is none.
pub fn compare(connections: &[Connection], control: &[Connection]) -> f64 {
    (0..PLACES)
        .map(|place| {
            let classes = |of: &[Connection]| of.iter().map(|c| class(c, place)).collect::<Vec<_>>();
            statistics::chi_square(classes(connections), classes(control))
        })
        .fold(1.0, f64::min)
        .min(1.0 / PLACES as f64)
        * PLACES as f64
}

/// Whether the client sent the packet at this place, and its class; `None` if there is no such packet.
fn class(connection: &Connection, place: usize) -> Option<(bool, u32)> {
    connection.packets.get(place).map(|p| (p.from_client, p.len / CLASS_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    #[test]
    fn fixed_sizes_differ_from_varied_ones() {
        let of = |sizes: &dyn Fn(usize) -> usize| -> Vec<Connection> {
            (0..40).map(|n| connection(&[(true, &vec![1; sizes(n)]), (false, &[2; 500])])).collect()
        };
        let (fixed, varied) = (of(&|_| 148), of(&|n| 100 + 37 * (n % 20)));
        assert!(compare(&fixed, &varied) < 0.002 && compare(&varied, &fixed) < 0.002);
        assert!(compare(&fixed, &fixed) >= 1.0 && compare(&varied, &varied) >= 1.0);
    }
}
