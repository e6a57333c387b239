//! Google's QUIC before TLS: Q024 to Q046 in clear text, Q050 beneath the protection of its drafts. Its handshake messages
//! are lists of tags (CHLO, REJ, SHLO) with little-endian offsets.
//!
//! Source: "QUIC Wire Layout Specification" and "QUIC Crypto" (Google, 2013 to 2016).

use super::version::{self, Rules};
use crate::cursor::Cursor;

/// A handshake message lies within so many bytes of the payload: after other frames.
const SEARCH_MAX: usize = 160;
/// Tags in a message; Chrome sends some 30.
const TAGS_MAX: usize = 128;

/// A packet's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) version: Option<u32>,
    pub(crate) cid: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// The server lists the versions it speaks.
    pub(crate) versions: Option<&'a [u8]>,
    pub(crate) reset: bool,
}

/// Reads a header of Q043 or before: public flags, connection id of 8 bytes, version, packet number.
pub(crate) fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let mut c = Cursor::new(bytes);
    let flags = c.u8()?;
    // Of the two upper bits, one was never used and one was for multipath, which never came.
    if flags & 0xc0 != 0 {
        return None;
    }
    let cid = if flags & 0x08 != 0 { c.take(8)? } else { &[][..] };
    let mut header = Header { version: None, cid, payload: &[], versions: None, reset: flags & 0x02 != 0 };
    if header.reset {
        header.payload = c.rest();
        return Some(header);
    }
    if flags & 0x01 != 0 {
        header.version = Some(c.u32()?);
    }
    // A diversification nonce of 32 bytes may follow from the server; it does no harm to the search.
    c.skip([1, 2, 4, 6][usize::from(flags >> 4 & 3)])?;
    header.payload = c.rest();
    Some(header)
}

/// Reads the server's answer to a version it doesn't speak: the same flags, then versions until the end.
pub(crate) fn negotiation(bytes: &[u8]) -> Option<Header<'_>> {
    let flags = *bytes.first()?;
    let (cid, list) = (bytes.get(1..9)?, bytes.get(9..)?);
    let all_known = !list.is_empty()
        && list.len().is_multiple_of(4)
        && list.len() >= 8
        && list.chunks_exact(4).all(|v| {
            let v = u32::from_be_bytes([v[0], v[1], v[2], v[3]]);
            version::rules(v).is_some() || version::is_reserved(v) || v >> 16 == 0x5130 || v >> 16 == 0x5430
        });
    (flags & 0x0b == 0x09 && all_known).then_some(Header {
        version: None,
        cid,
        payload: &[],
        versions: Some(list),
        reset: false,
    })
}

/// Reads a long header of Q046: the lengths of both connection ids share a byte, the packet number follows.
pub(crate) fn header_q046(bytes: &[u8]) -> Option<Header<'_>> {
    let mut c = Cursor::new(bytes);
    let first = c.u8()?;
    let version = c.u32()?;
    if first & 0xc0 != 0xc0 || version::rules(version) != Some(Rules::Q046) {
        return None;
    }
    let lengths = c.u8()?;
    // Four bits each: 0, or the length less three.
    let [dcid, scid] = [lengths >> 4, lengths & 15].map(|n| if n == 0 { 0 } else { usize::from(n) + 3 });
    let (dcid, scid) = (c.take(dcid)?, c.take(scid)?);
    c.skip(usize::from(first & 3) + 1)?;
    let cid = if dcid.is_empty() { scid } else { dcid };
    Some(Header { version: Some(version), cid, payload: c.rest(), versions: None, reset: false })
}

/// What a handshake message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// `CHLO`, `REJ\0` or `SHLO`.
    pub(crate) kind: [u8; 4],
    pub(crate) sni: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) version: Option<&'a [u8]>,
}

/// Finds a handshake message near the start of a packet's payload, and reads its tags. A message may be longer than the
/// packet: the values that are there are read.
pub(crate) fn message(payload: &[u8]) -> Option<Message<'_>> {
    let search = payload.get(..SEARCH_MAX).unwrap_or(payload);
    [*b"CHLO", *b"REJ\0", *b"SHLO"].into_iter().find_map(|kind| {
        let at = search.windows(4).position(|w| w == kind)?;
        tags(kind, &payload[at + 4..])
    })
}

/// The tags: how many, then tag and end offset each, then the values.
fn tags(kind: [u8; 4], bytes: &[u8]) -> Option<Message<'_>> {
    let mut c = Cursor::new(bytes);
    let (count, zero) = (usize::from(c.u16_le()?), c.u16_le()?);
    if count == 0 || count > TAGS_MAX || zero != 0 {
        return None;
    }
    let index = c.take(count * 8)?;
    let values = c.rest();
    let mut message = Message { kind, ..Message::default() };
    let mut start = 0;
    for entry in index.chunks_exact(8) {
        let end = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]) as usize;
        // The offsets never fall.
        if end < start {
            return None;
        }
        let value = values.get(start..end);
        match &entry[..4] {
            b"SNI\0" => message.sni = value,
            b"UAID" => message.user_agent = value,
            b"VER\0" => message.version = value,
            _ => {}
        }
        start = end;
    }
    Some(message)
}
