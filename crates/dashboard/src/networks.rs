//! Which network an address belongs to, by the operator's own files in MaxMind's format; without them, by its prefix.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::Reader;
use serde::{Deserialize, Serialize};

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't read {} as a MaxMind database: {cause}; give an ASN or country file in MaxMind's format (.mmdb)", path.display())]
pub struct NetworksError {
    path: PathBuf,
    cause: maxminddb::MaxMindDbError,
}

/// Networks and countries of addresses. Addresses of clients that are pseudonyms belong to none; servers' do.
pub struct Networks {
    files: Vec<Reader<Vec<u8>>>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").field("files", &self.files.len()).finish()
    }
}

/// What a file says of an address: those for networks and those for countries name other parts of it.
#[derive(Deserialize)]
struct Entry<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
    // The names that other makers of such files use.
    #[serde(borrow)]
    asn: Option<&'a str>,
    #[serde(borrow)]
    as_name: Option<&'a str>,
    #[serde(borrow)]
    country: Option<Country<'a>>,
    #[serde(borrow)]
    country_code: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Country<'a> {
    Nested {
        #[serde(borrow)]
        iso_code: Option<&'a str>,
    },
    Code(&'a str),
}

/// Where an address belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Network {
    /// `AS64500`, or without a file the prefix.
    pub(crate) network: String,
    /// Who it is.
    pub(crate) organisation: Option<String>,
    /// Two letters (ISO 3166-1).
    pub(crate) country: Option<String>,
}

impl Networks {
    /// Reads these files, as a whole into memory: one for networks (ASN), one for countries, or one for both.
    ///
    /// # Errors
    /// If one can't be read, or isn't such a file.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self, NetworksError> {
        let open = |path: &_| {
            let path: &Path = AsRef::as_ref(path);
            Reader::open_readfile(path).map_err(|cause| NetworksError { path: path.to_owned(), cause })
        };
        Ok(Self { files: paths.iter().map(open).collect::<Result<_, _>>()? })
    }

    fn find(&self, address: IpAddr) -> Network {
        let mut found = Network::default();
        for file in &self.files {
            let Ok(Some(entry)) = file.lookup(address).and_then(|at| at.decode::<Entry<'_>>()) else {
                continue;
            };
            let number = entry.autonomous_system_number.map(|number| format!("AS{number}"));
            if let Some(network) = number.or_else(|| entry.asn.map(str::to_owned)) {
                found.network = network;
            }
            let organisation = entry.autonomous_system_organization.or(entry.as_name);
            found.organisation = organisation.map(str::to_owned).or(found.organisation);
            let nested = match entry.country {
                Some(Country::Nested { iso_code }) => iso_code,
                Some(Country::Code(code)) => Some(code),
                None => None,
            };
            let code = nested.or(entry.country_code).filter(|code| code.len() == 2);
            found.country = code.map(str::to_ascii_uppercase).or(found.country);
        }
        found
    }
}

/// The network of an address by the files, or else by what is known without: its kind, or its prefix.
pub(crate) fn network_of(files: Option<&Networks>, address: IpAddr) -> Network {
    let address = address.to_canonical();
    if let Some(kind) = special(address) {
        return Network { network: kind.to_owned(), ..Network::default() };
    }
    let mut found = files.map(|files| files.find(address)).unwrap_or_default();
    if found.network.is_empty() {
        found.network = prefix(address);
    }
    found
}

/// Addresses that belong to nobody in particular.
fn special(address: IpAddr) -> Option<&'static str> {
    let is_unique_local = |v6: std::net::Ipv6Addr| v6.segments()[0] & 0xfe00 == 0xfc00;
    let is_link_local = |v6: std::net::Ipv6Addr| v6.segments()[0] & 0xffc0 == 0xfe80;
    match address {
        ip if ip.is_multicast() => Some("multicast"),
        ip if ip.is_loopback() || ip.is_unspecified() => Some("loopback"),
        IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() || v4.is_broadcast() => Some("private"),
        IpAddr::V6(v6) if is_unique_local(v6) || is_link_local(v6) => Some("private"),
        _ => None,
    }
}

/// What is mostly one holder's: /24 and /48 are the longest that are announced everywhere.
fn prefix(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => format!("{}/48", std::net::Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
    }
}

/// What servers' networks have sent and got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct NetworkRow {
    #[serde(flatten)]
    pub(crate) network: Network,
    /// Addresses of servers in it.
    pub(crate) servers: u64,
    pub(crate) flows: u64,
    pub(crate) bytes: u64,
    /// The server with the most bytes.
    pub(crate) largest: String,
}

/// Puts servers (address, flows, bytes; the largest first) together by their networks.
pub(crate) fn by_network(
    files: Option<&Networks>,
    servers: impl Iterator<Item = (IpAddr, u64, u64)>,
) -> Vec<NetworkRow> {
    let mut rows: BTreeMap<String, NetworkRow> = BTreeMap::new();
    for (address, flows, bytes) in servers {
        let network = network_of(files, address);
        let row = rows.entry(network.network.clone()).or_insert_with(|| NetworkRow {
            network,
            servers: 0,
            flows: 0,
            bytes: 0,
            largest: address.to_string(),
        });
        row.servers += 1;
        row.flows += flows;
        row.bytes += bytes;
    }
    let mut rows: Vec<NetworkRow> = rows.into_values().collect();
    rows.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.network.cmp(&b.network)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file() {
        let of = |ip: &str| network_of(None, ip.parse().unwrap()).network;
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2::3"), "2001:db8:1::/48");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("10.1.2.3"), "private");
        assert_eq!(of("ff02::fb"), "multicast");
        let rows = by_network(
            None,
            [("192.0.2.1", 1, 100), ("198.51.100.1", 1, 50), ("192.0.2.2", 2, 7)]
                .into_iter()
                .map(|(ip, flows, bytes)| (ip.parse().unwrap(), flows, bytes)),
        );
        assert_eq!((rows[0].servers, rows[0].flows, rows[0].bytes), (2, 3, 107));
        assert_eq!(rows[0].largest, "192.0.2.1");
    }

    #[test]
    fn what_is_no_file() {
        let error = Networks::open(&["/dev/null"]).unwrap_err().to_string();
        assert!(error.contains("/dev/null") && error.contains(".mmdb"), "{error}");
    }
}
