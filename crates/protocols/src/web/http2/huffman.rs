//! HPACK's Huffman code (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers, given to the symbols in their order. So the
//! lengths and the order of the symbols are all that need be kept, and a code is decoded by comparing it with the first
//! code of each length.

/// Symbols by length of their codes, and within a length by number. 256 is the end of the string.
const SYMBOLS: [u16; 257] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95,
    98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77,
    78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122, 38, 42, 44, 59, 88,
    90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64, 91, 93, 126, 94, 125, 60, 96, 123, 92, 195, 208,
    128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230,
    129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
    196, 198, 228, 232, 233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158,
    165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159, 171, 206,
    215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242,
    243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254,
    2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127,
    220, 249, 10, 13, 22, 256,
];

/// How many codes there are of each length, from 0 to 30 bits.
const COUNTS: [u16; 31] =
    [0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4];

/// Decodes a string. `None` if it holds the end-of-string symbol, or ends in anything but fewer than 8 one bits.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
    // The code so far, its length, the first code of that length, and the place of that code's symbol.
    let (mut code, mut length, mut first, mut place) = (0u32, 0usize, 0u32, 0u32);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let count = u32::from(*COUNTS.get(length)?);
            if code < first + count {
                let symbol = *SYMBOLS.get((place + code - first) as usize)?;
                out.push(u8::try_from(symbol).ok()?);
                (code, length, first, place) = (0, 0, 0, 0);
            } else {
                place += count;
                first = (first + count) << 1;
            }
        }
    }
    // Padding: the most significant bits of the end-of-string symbol, all ones, less than a byte.
    (length < 8 && code + 1 == 1 << length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn examples_of_the_rfc() {
        // RFC 7541 C.4 and C.6
        for (code, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
            (
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            assert_eq!(decode(&hex(code)).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn the_code_is_complete() {
        // Kraft's sum over all lengths is one: every sequence of bits decodes.
        let sum: u64 =
            COUNTS.iter().enumerate().map(|(length, count)| u64::from(*count) << (30 - length)).sum();
        assert_eq!(sum, 1 << 30);
        let mut sorted = SYMBOLS.to_vec();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..=256));
    }

    #[test]
    fn wrong_padding_is_refused() {
        assert_eq!(decode(&hex("a8eb10649cbe")), None); // a zero bit
        assert_eq!(decode(&hex("a8eb10649cbfff")), None); // a whole byte
        assert_eq!(decode(&hex("ffffffff")), None); // the end of the string
    }
}
