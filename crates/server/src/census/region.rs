//! Where an address is, as far as a country.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::Reader;
use serde::Deserialize;

use super::CensusError;

/// Two capital letters (ISO 3166-1), or `unknown`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Region(Option<[u8; 2]>);

impl Region {
    pub(super) const UNKNOWN: Self = Self(None);

    fn of_code(code: &str) -> Self {
        let code = <[u8; 2]>::try_from(code.as_bytes()).ok();
        Self(code.filter(|code| code.iter().all(u8::is_ascii_uppercase)))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref().and_then(|code| std::str::from_utf8(code).ok()) {
            Some(code) => f.write_str(code),
            None => f.write_str("unknown"),
        }
    }
}

/// What is read of a record. GeoLite2's and DB-IP's have `country.iso_code`, others `country_code`, or `country` alone.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
    country_code: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Country<'a> {
    Code(&'a str),
    Fields { iso_code: Option<&'a str> },
}

/// A database of countries.
#[derive(Debug)]
pub(super) struct Regions(Reader<Vec<u8>>);

impl Regions {
    pub(super) fn open(path: &Path) -> Result<Self, CensusError> {
        let wrong = |cause| CensusError::Regions { path: path.to_owned(), cause };
        Reader::open_readfile(path).map(Self).map_err(wrong)
    }

    pub(super) fn of(&self, address: IpAddr) -> Region {
        let found = self.0.lookup(address.to_canonical());
        let Ok(Some(record)) = found.and_then(|found| found.decode::<Record<'_>>()) else {
            return Region::UNKNOWN;
        };
        let code = match record.country {
            Some(Country::Code(code)) => Some(code),
            Some(Country::Fields { iso_code }) => iso_code,
            None => record.country_code,
        };
        code.map_or(Region::UNKNOWN, Region::of_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[0x40 | text.len() as u8], text.as_bytes()].concat()
    }

    fn u16(number: u16) -> Vec<u8> {
        [&[0xa0 | 2][..], &number.to_be_bytes()].concat()
    }

    fn u32(number: u32) -> Vec<u8> {
        [&[0xc0 | 4][..], &number.to_be_bytes()].concat()
    }

    fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let fields_bytes = fields.iter().flat_map(|(name, value)| [text(name), value.clone()].concat());
        std::iter::once(0xe0 | fields.len() as u8).chain(fields_bytes).collect()
    }

    /// A database as the format's specification has it (MaxMind DB 2.0), of prefixes of IPv6 and records.
    fn database(entries: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        enum Slot {
            Empty,
            Node(usize),
            Data(usize),
        }
        let mut nodes = vec![[Slot::Empty, Slot::Empty]];
        let mut data = Vec::new();
        for (prefix, len, record) in entries {
            let bits = u128::from(prefix.parse::<std::net::Ipv6Addr>().unwrap());
            let mut at = 0;
            for depth in 0..*len {
                let side = (bits >> (127 - depth) & 1) as usize;
                if depth + 1 == *len {
                    nodes[at][side] = Slot::Data(data.len());
                } else if let Slot::Node(next) = nodes[at][side] {
                    at = next;
                } else {
                    nodes.push([Slot::Empty, Slot::Empty]);
                    nodes[at][side] = Slot::Node(nodes.len() - 1);
                    at = nodes.len() - 1;
                }
            }
            data.extend(record);
        }
        let count = nodes.len();
        let value = |slot: &Slot| match slot {
            Slot::Empty => count,
            Slot::Node(node) => *node,
            Slot::Data(offset) => count + 16 + offset,
        };
        let tree = nodes.iter().flatten().flat_map(|slot| (value(slot) as u32).to_be_bytes()).collect();
        let metadata = map(&[
            ("binary_format_major_version", u16(2)),
            ("binary_format_minor_version", u16(0)),
            ("build_epoch", vec![4, 2, 0x65, 0, 0, 0]),
            ("database_type", text("Test-Country")),
            ("description", map(&[])),
            ("ip_version", u16(6)),
            ("languages", vec![0, 4]),
            ("node_count", u32(count as u32)),
            ("record_size", u16(32)),
        ]);
        [tree, vec![0; 16], data, b"\xab\xcd\xefMaxMind.com".to_vec(), metadata].concat()
    }

    #[test]
    fn countries_of_addresses() {
        let of_geolite = |code| map(&[("country", map(&[("geoname_id", u32(1)), ("iso_code", text(code))]))]);
        let database = database(&[
            ("::192.0.2.0", 120, of_geolite("BY")),
            ("::198.51.100.0", 120, map(&[("country", text("AM"))])),
            ("::203.0.113.0", 120, map(&[("continent", text("EU")), ("country_code", text("LT"))])),
            ("2001:db8::", 32, of_geolite("by")),
            ("2001:db9::", 32, of_geolite("PL")),
            ("2001:dba::", 32, map(&[("continent", text("EU"))])),
        ]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), database).unwrap();
        let regions = Regions::open(file.path()).unwrap();
        let of = |address: &str| regions.of(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "BY");
        assert_eq!(of("::ffff:192.0.2.7"), "BY");
        assert_eq!(of("198.51.100.200"), "AM");
        assert_eq!(of("203.0.113.1"), "LT");
        assert_eq!(of("2001:db9::1"), "PL");
        for unknown in ["2001:db8::1", "2001:dba::1", "192.0.3.1", "::1", "127.0.0.1"] {
            assert_eq!(of(unknown), "unknown", "{unknown}");
        }
    }

    #[test]
    fn what_is_no_database_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "countries").unwrap();
        let error = Regions::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("census.regions"), "{error}");
        let missing = Regions::open(Path::new("/nowhere/countries.mmdb")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/countries.mmdb: "), "{missing}");
    }
}
