//! ClientHello and ServerHello, read in one pass without copying.

use super::names::{is_grease, rank};
use crate::cursor::Cursor;

/// The random value by which a ServerHello says that it is a HelloRetryRequest (RFC 8446 §4.1.3).
const HELLO_RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Extension types that are looked into.
mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const GROUPS: u16 = 10;
    pub(super) const POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURES: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const SESSION_TICKET: u16 = 35;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
    /// Before draft-ietf-tls-tls13-23.
    pub(super) const KEY_SHARE_OLD: u16 = 40;
    pub(super) const ECH: u16 = 0xfe0d;
    /// Encrypted SNI, given up for ECH in 2020 (draft-ietf-tls-esni-06 and before).
    pub(super) const ESNI: u16 = 0xffce;
}

/// What a client says first. Lists are as on the wire, without their length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientHello<'a> {
    /// The version field of the message itself (TLS 1.3 says 1.2 here).
    pub(crate) legacy_version: u16,
    pub(crate) session_id: &'a [u8],
    /// Cipher suites, two bytes each.
    pub(crate) ciphers: &'a [u8],
    /// All extensions: type, length, data.
    pub(crate) extensions: &'a [u8],
    /// There is an SNI extension, whatever is in it.
    pub(crate) has_sni: bool,
    /// The first host name in the SNI extension.
    pub(crate) sni: Option<&'a [u8]>,
    /// There is an ALPN extension.
    pub(crate) has_alpn: bool,
    /// Application protocols: one byte length and name each.
    pub(crate) alpn: &'a [u8],
    /// Two bytes each; empty if there is no such extension.
    pub(crate) versions: &'a [u8],
    pub(crate) groups: &'a [u8],
    pub(crate) point_formats: &'a [u8],
    pub(crate) signatures: &'a [u8],
    /// Encrypted ClientHello: 0 outer, 1 inner (RFC 9849).
    pub(crate) ech: Option<u8>,
    pub(crate) esni: bool,
    /// A session ticket or a pre-shared key is offered.
    pub(crate) offers_resumption: bool,
    pub(crate) early_data: bool,
    /// False if the message ended early: what was read is right, but it is not all.
    pub(crate) whole: bool,
}

/// What the server answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerHello<'a> {
    /// The version of the message itself.
    pub(crate) legacy_version: u16,
    /// The version that was chosen: from the extension, if there is one.
    pub(crate) version: u16,
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher: u16,
    pub(crate) extensions: &'a [u8],
    pub(crate) alpn: Option<&'a [u8]>,
    /// The group of the key share (TLS 1.3).
    pub(crate) group: Option<u16>,
    /// A pre-shared key was accepted.
    pub(crate) psk: bool,
    /// It asks for another ClientHello.
    pub(crate) retry: bool,
}

/// The big-endian numbers of a list.
pub(crate) fn u16s(list: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
    list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The elements of a list with one byte of length each.
pub(crate) fn vec8s(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone + '_ {
    let mut cursor = Cursor::new(list);
    std::iter::from_fn(move || cursor.vec8())
}

/// The extensions of a hello: type and data.
pub(crate) fn extensions(list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone + '_ {
    let mut cursor = Cursor::new(list);
    std::iter::from_fn(move || Some((cursor.u16()?, cursor.vec16()?)))
}

/// As much as there is of a slice with a two-byte length, and whether that is all of it.
fn vec16_lenient<'a>(c: &mut Cursor<'a>) -> Option<(&'a [u8], bool)> {
    let wanted = usize::from(c.u16()?);
    let there = wanted.min(c.remaining());
    Some((c.take(there)?, there == wanted))
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a ClientHello; `datagram` if it is DTLS. If it ends early, what was there is in the answer;
    /// `None` if not even the cipher suites are.
    pub(crate) fn parse(body: &'a [u8], datagram: bool) -> Option<Self> {
        let mut c = Cursor::new(body);
        let mut hello = Self { legacy_version: c.u16()?, ..Self::default() };
        c.skip(32)?;
        hello.session_id = c.vec8()?;
        if datagram {
            c.vec8()?;
        }
        let (ciphers, whole) = vec16_lenient(&mut c)?;
        hello.ciphers = ciphers;
        if !whole || c.vec8().is_none() {
            return Some(hello);
        }
        if c.is_empty() {
            // SSL 3.0 and bare TLS 1.0 have no extensions.
            hello.whole = true;
            return Some(hello);
        }
        let Some((extensions, whole)) = vec16_lenient(&mut c) else { return Some(hello) };
        hello.extensions = extensions;
        hello.whole = hello.read_extensions() && whole;
        Some(hello)
    }

    /// False if an extension is cut short.
    fn read_extensions(&mut self) -> bool {
        let mut c = Cursor::new(self.extensions);
        while let Some(kind) = c.u16() {
            let Some((data, whole)) = vec16_lenient(&mut c) else { return false };
            self.read_extension(kind, data);
            if !whole {
                return false;
            }
        }
        c.is_empty()
    }

    fn read_extension(&mut self, kind: u16, data: &'a [u8]) {
        let mut c = Cursor::new(data);
        match kind {
            extension::SERVER_NAME => {
                self.has_sni = true;
                c.skip(2);
                // Only host_name (0) was ever defined.
                while let Some(name_type) = c.u8() {
                    match (name_type, c.vec16()) {
                        (0, Some(name)) if !name.is_empty() => {
                            self.sni.get_or_insert(name);
                        }
                        (_, Some(_)) => {}
                        _ => break,
                    }
                }
            }
            extension::ALPN => {
                self.has_alpn = true;
                self.alpn = vec16_lenient(&mut c).map_or(&[], |(list, _)| list);
            }
            extension::VERSIONS => self.versions = c.vec8().unwrap_or_default(),
            extension::GROUPS => self.groups = c.vec16().unwrap_or_default(),
            extension::POINT_FORMATS => self.point_formats = c.vec8().unwrap_or_default(),
            extension::SIGNATURES => self.signatures = c.vec16().unwrap_or_default(),
            extension::SESSION_TICKET => self.offers_resumption |= !data.is_empty(),
            extension::PRE_SHARED_KEY => self.offers_resumption = true,
            extension::EARLY_DATA => self.early_data = true,
            extension::ECH => self.ech = c.u8(),
            extension::ESNI => self.esni = true,
            _ => {}
        }
    }

    /// The newest version on offer.
    pub(crate) fn newest_version(&self) -> u16 {
        u16s(self.versions).filter(|v| !is_grease(*v)).max_by_key(|v| rank(*v)).unwrap_or(self.legacy_version)
    }
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a ServerHello. `None` if it ends early.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(body);
        let legacy_version = c.u16()?;
        let random: [u8; 32] = c.array()?;
        // Drafts of TLS 1.3 before the 22nd have neither session id nor compression here.
        let old_draft = legacy_version >> 8 == 0x7f;
        let session_id = if old_draft { &[][..] } else { c.vec8()? };
        let cipher = c.u16()?;
        if !old_draft {
            c.u8()?;
        }
        let mut hello = Self {
            legacy_version,
            version: legacy_version,
            session_id,
            cipher,
            retry: random == HELLO_RETRY,
            ..Self::default()
        };
        if c.is_empty() {
            return Some(hello);
        }
        hello.extensions = c.vec16()?;
        for (kind, data) in extensions(hello.extensions) {
            let mut c = Cursor::new(data);
            match kind {
                extension::VERSIONS => hello.version = c.u16().unwrap_or(legacy_version),
                extension::KEY_SHARE | extension::KEY_SHARE_OLD => hello.group = c.u16(),
                extension::PRE_SHARED_KEY => hello.psk = true,
                extension::ALPN => hello.alpn = c.vec16().and_then(|list| vec8s(list).next()),
                _ => {}
            }
        }
        Some(hello)
    }
}
