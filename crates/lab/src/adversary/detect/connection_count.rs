//! Connections to one name and address at the same time.
//!
//! Source: reports from Russia since November 2025 (net4people/bbs#546, XTLS/Xray-core#5332): of many parallel TLS
//! connections to one name at one address, those beyond about twelve fail; six are safe, which is also what browsers
//! open to one site over HTTP/1.1.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Connection;

/// So many at once are safe.
pub const SAFE_MAX: usize = 6;

/// The most connections that were open to one address and port at once.
pub fn most_at_once(connections: &[Connection]) -> usize {
    let mut changes: BTreeMap<SocketAddr, Vec<(i64, i32)>> = BTreeMap::new();
    for connection in connections {
        let (start, end) = connection.span_ns;
        changes.entry(connection.server).or_default().extend([(start, 1), (end, -1)]);
    }
    let most = |mut changes: Vec<(i64, i32)>| {
        // What ends and begins at once was not open together.
        changes.sort_unstable();
        changes
            .iter()
            .scan(0, |open, (_, change)| {
                Some({
                    *open += change;
                    *open
                })
            })
            .max()
            .unwrap_or(0)
    };
    changes.into_values().map(most).max().map_or(0, |most| usize::try_from(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    #[test]
    fn counts_what_is_open_together() {
        let open = |start, end| Connection { span_ns: (start, end), ..connection(&[]) };
        assert_eq!(most_at_once(&[]), 0);
        assert_eq!(most_at_once(&[open(0, 10), open(10, 20), open(20, 30)]), 1);
        assert_eq!(most_at_once(&[open(0, 10), open(5, 20), open(6, 7), open(15, 30)]), 3);
        let elsewhere = Connection { server: "10.0.0.9:443".parse().unwrap(), ..open(0, 10) };
        assert_eq!(most_at_once(&[open(0, 10), elsewhere]), 1);
    }
}
