//! HPACK: header compression (RFC 7541). A decoder only, for one direction of a connection.
//!
//! The dynamic table holds what the sender put into it, at most [`TABLE_BYTES_MAX`]; a sender that asks for more
//! cannot be followed, and the direction is given up.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::huffman;

/// The largest dynamic table that is kept. Browsers ask for up to 64 KiB.
pub(super) const TABLE_BYTES_MAX: usize = 64 * 1024;
/// What an entry counts besides its bytes (RFC 7541 §4.1).
const ENTRY_BYTES: usize = 32;

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

type Entry = (Box<[u8]>, Box<[u8]>);

/// The decoder of one direction.
pub(crate) struct Decoder {
    /// The newest entry first.
    table: VecDeque<Entry>,
    bytes: usize,
    /// What the sender says it uses.
    bytes_max: usize,
}

/// The block cannot be decoded, and neither can any that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { table: VecDeque::new(), bytes: 0, bytes_max: 4096 }
    }

    /// Decodes a whole header block, and tells of each field in it.
    ///
    /// # Errors
    /// If it breaks the format.
    pub(crate) fn decode(&mut self, block: &[u8], mut field: impl FnMut(&[u8], &[u8])) -> Result<(), Broken> {
        let mut rest = block;
        while let Some(first) = rest.first() {
            match first {
                // §6.1: indexed
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    let (name, value) = self.entry(index)?;
                    field(name, value);
                }
                // §6.3: size of the table
                0x20..=0x3f => {
                    let size = integer(&mut rest, 5)?;
                    if size > TABLE_BYTES_MAX {
                        return Err(Broken);
                    }
                    self.bytes_max = size;
                    self.evict(0);
                }
                // §6.2: literal, with (0x40) or without a new entry in the table
                _ => {
                    let keep = first & 0x40 != 0;
                    let index = integer(&mut rest, if keep { 6 } else { 4 })?;
                    let name = if index == 0 {
                        string(&mut rest)?
                    } else {
                        Cow::Owned(self.entry(index)?.0.to_vec())
                    };
                    let value = string(&mut rest)?;
                    field(&name, &value);
                    if keep {
                        self.insert(&name, &value);
                    }
                }
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Broken> {
        let at = index.checked_sub(1).ok_or(Broken)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        self.table.get(at - STATIC.len()).map(|(name, value)| (&**name, &**value)).ok_or(Broken)
    }

    /// §4.4: an entry that is larger than the table empties it.
    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_BYTES;
        self.evict(size);
        if size <= self.bytes_max {
            self.bytes += size;
            self.table.push_front((name.into(), value.into()));
        }
    }

    fn evict(&mut self, room: usize) {
        while self.bytes + room > self.bytes_max {
            let Some((name, value)) = self.table.pop_back() else { return };
            self.bytes -= name.len() + value.len() + ENTRY_BYTES;
        }
    }
}

/// §5.1: a number whose first bits stand in the first byte.
fn integer(bytes: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let (first, mut rest) = bytes.split_first().ok_or(Broken)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        // Four more bytes make 28 bits: more than any length here.
        for shift in [0, 7, 14, 21] {
            let (byte, after) = rest.split_first().ok_or(Broken)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *bytes = rest;
                return Ok(value);
            }
        }
        return Err(Broken);
    }
    *bytes = rest;
    Ok(value)
}

/// §5.2
fn string<'a>(bytes: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, Broken> {
    let huffman = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(Broken)?;
    *bytes = rest;
    if huffman { huffman::decode(text).map(Cow::Owned).ok_or(Broken) } else { Ok(Cow::Borrowed(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    fn decoded(decoder: &mut Decoder, block: &str) -> Vec<String> {
        let mut found = Vec::new();
        decoder
            .decode(&hex(block), |n, v| {
                found.push(format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            })
            .unwrap();
        found
    }

    fn table(decoder: &Decoder) -> usize {
        decoder.bytes
    }

    #[test]
    fn integers() {
        // C.1: 10 with 5 bits, 1337 with 5 bits, 42 with 8 bits (as 7 here would not fit the example)
        assert_eq!(integer(&mut &[0x0a][..], 5), Ok(10));
        assert_eq!(integer(&mut &[0x1f, 0x9a, 0x0a][..], 5), Ok(1337));
        assert_eq!(integer(&mut &[0x2a][..], 8), Ok(42));
        assert_eq!(integer(&mut &[0x1f, 0x9a][..], 5), Err(Broken));
        assert_eq!(integer(&mut &[0xff; 12][..], 7), Err(Broken));
    }

    #[test]
    fn requests_without_huffman_code() {
        // C.3
        let mut d = Decoder::new();
        assert_eq!(
            decoded(&mut d, "828684410f7777772e6578616d706c652e636f6d"),
            [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]
        );
        assert_eq!(table(&d), 57);
        assert_eq!(
            decoded(&mut d, "828684be58086e6f2d6361636865"),
            [
                ":method: GET",
                ":scheme: http",
                ":path: /",
                ":authority: www.example.com",
                "cache-control: no-cache"
            ]
        );
        assert_eq!(table(&d), 110);
        assert_eq!(
            decoded(&mut d, "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
            [
                ":method: GET",
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value"
            ]
        );
        assert_eq!(table(&d), 164);
    }

    #[test]
    fn requests_with_huffman_code() {
        // C.4
        let mut d = Decoder::new();
        assert_eq!(
            decoded(&mut d, "828684418cf1e3c2e5f23a6ba0ab90f4ff"),
            [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"]
        );
        assert_eq!(decoded(&mut d, "828684be5886a8eb10649cbf")[4], "cache-control: no-cache");
        assert_eq!(
            decoded(&mut d, "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")[4],
            "custom-key: custom-value"
        );
        assert_eq!(table(&d), 164);
    }

    #[test]
    fn responses_and_eviction() {
        // C.6, with a table of 256 bytes (3f e1 01)
        let mut d = Decoder::new();
        let block = "3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        assert_eq!(
            decoded(&mut d, block),
            [
                ":status: 302",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com"
            ]
        );
        assert_eq!(table(&d), 222);
        assert_eq!(decoded(&mut d, "4883640effc1c0bf")[0], ":status: 307");
        assert_eq!(table(&d), 222);
        let last = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
        assert_eq!(
            decoded(&mut d, last)[5],
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        );
        assert_eq!(table(&d), 215);
    }

    #[test]
    fn broken_blocks() {
        for block in ["80", "be", "3fe1ff7f", "41", "410f77", "4182ffff"] {
            assert_eq!(Decoder::new().decode(&hex(block), |_, _| {}), Err(Broken), "{block}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_the_table_is_bounded(blocks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 0..20)) {
            let mut d = Decoder::new();
            for block in blocks {
                let _ = d.decode(&block, |_, _| {});
                proptest::prop_assert!(d.bytes <= d.bytes_max && d.bytes_max <= TABLE_BYTES_MAX);
            }
        }
    }
}
