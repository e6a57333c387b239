//! The header blocks of one direction of an HTTP/2 connection, in clear.

use crate::web::http2::hpack::Decoder;

/// Decodes one block after the other; each changes the table that the next is read with.
pub struct HeaderBlocks(Decoder);

impl Default for HeaderBlocks {
    fn default() -> Self {
        Self(Decoder::new())
    }
}

impl HeaderBlocks {
    /// The names and values of a whole block, in their order; `None` if it can't be decoded.
    pub fn decode(&mut self, block: &[u8]) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut fields = Vec::new();
        self.0.decode(block, |name, value| fields.push((text(name), text(value)))).ok()?;
        Some(fields)
    }
}
