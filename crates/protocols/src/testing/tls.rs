//! For tests: builds the handshakes that TLS, DTLS and QUIC peers send, cut and wrapped in every way that the wire allows.

use crate::Dir;
use crate::web::quic::crypto::Keys;
use crate::web::quic::version;

/// A ClientHello to be built. The fields are what it offers; change them as needed.
#[derive(Clone, Debug)]
pub struct ClientHello {
    /// The version field of the message (`0x0303` for TLS 1.2 and 1.3).
    pub legacy_version: u16,
    /// Up to 32 bytes.
    pub session_id: Vec<u8>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Server name; none if empty.
    pub sni: String,
    /// Application protocols; none if empty.
    pub alpn: Vec<&'static str>,
    /// The supported_versions extension; left out if empty.
    pub versions: Vec<u16>,
    /// Named groups.
    pub groups: Vec<u16>,
    /// Signature schemes.
    pub signatures: Vec<u16>,
    /// Bytes in the key share (32 for X25519, 1216 for X25519MLKEM768); left out if 0.
    pub key_share_len: usize,
    /// Bytes in a pre_shared_key identity, which makes a hello as large as one likes; left out if 0. At most 65 000.
    pub ticket_len: usize,
    /// Further extensions: type and data.
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl ClientHello {
    /// A TLS 1.3 client of today, asking for `sni`.
    pub fn new(sni: &str) -> Self {
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            ciphers: vec![0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f],
            sni: sni.to_owned(),
            alpn: vec!["h2", "http/1.1"],
            versions: vec![0x2a2a, 0x0304, 0x0303],
            groups: vec![0x3a3a, 0x001d, 0x0017],
            signatures: vec![0x0403, 0x0804, 0x0401],
            key_share_len: 32,
            ticket_len: 0,
            extra: Vec::new(),
        }
    }

    /// As [`new`](Self::new), with the post-quantum key share that makes it 1.3 KB larger (X25519MLKEM768), and a ticket.
    pub fn with_mlkem(sni: &str) -> Self {
        let mut hello = Self { key_share_len: 1216, ticket_len: 300, ..Self::new(sni) };
        hello.groups.insert(1, 0x11ec);
        hello
    }

    /// As [`new`](Self::new), with a ticket that makes it longer than a record may be.
    pub fn huge(sni: &str) -> Self {
        Self { ticket_len: 20_000, ..Self::new(sni) }
    }

    /// The extensions, without their length. The name comes last but for the ticket, where cuts hurt most.
    fn extensions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut extension = |kind: u16, data: &[u8]| {
            out.extend(kind.to_be_bytes());
            out.extend(vec16(data));
        };
        if !self.groups.is_empty() {
            extension(10, &vec16(&numbers(&self.groups)));
            extension(11, &[1, 0]);
        }
        if !self.signatures.is_empty() {
            extension(13, &vec16(&numbers(&self.signatures)));
        }
        if self.key_share_len > 0 {
            let group = self.groups.iter().copied().find(|g| g & 0x0f0f != 0x0a0a).unwrap_or(0x1d);
            extension(
                51,
                &vec16(&[&group.to_be_bytes()[..], &vec16(&vec![0x5a; self.key_share_len])].concat()),
            );
        }
        if !self.versions.is_empty() {
            extension(43, &vec8(&numbers(&self.versions)));
        }
        for (kind, data) in &self.extra {
            extension(*kind, data);
        }
        if !self.alpn.is_empty() {
            let list: Vec<u8> = self.alpn.iter().flat_map(|p| vec8(p.as_bytes())).collect();
            extension(16, &vec16(&list));
        }
        if !self.sni.is_empty() {
            extension(0, &vec16(&[&[0][..], &vec16(self.sni.as_bytes())].concat()));
        }
        if self.ticket_len > 0 {
            let identity = [vec16(&vec![0x71; self.ticket_len]), vec![0; 4]].concat();
            extension(41, &[vec16(&identity), vec16(&vec8(&[0x62; 32]))].concat());
        }
        out
    }

    fn body(&self, cookie: Option<&[u8]>) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend((0..32).map(|i| i * 7));
        body.extend(vec8(&self.session_id));
        body.extend(cookie.map(vec8).unwrap_or_default());
        body.extend(vec16(&numbers(&self.ciphers)));
        body.extend([1, 0]);
        let extensions = self.extensions();
        if !extensions.is_empty() {
            body.extend(vec16(&extensions));
        }
        body
    }

    /// The handshake message: type, length, body.
    pub fn message(&self) -> Vec<u8> {
        message(1, &self.body(None))
    }

    /// The body for DTLS, which has a cookie. It has no message header, as fragments bring their own.
    pub fn dtls_body(&self, cookie: &[u8]) -> Vec<u8> {
        self.body(Some(cookie))
    }
}

/// Numbers, big-endian.
fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn vec8(data: &[u8]) -> Vec<u8> {
    [&[data.len() as u8][..], data].concat()
}

fn vec16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes()[..], data].concat()
}

fn vec24(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes()[1..], data].concat()
}

/// A handshake message: type, length, body.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vec24(body)].concat()
}

/// A ServerHello message of TLS 1.3, choosing X25519.
pub fn server_hello_13(cipher: u16) -> Vec<u8> {
    let share = [&[0, 0x1d][..], &vec16(&[9; 32])].concat();
    let extensions = [&[0, 43, 0, 2, 3, 4, 0, 51][..], &vec16(&share)].concat();
    server_hello(0x0303, &[7; 32], cipher, &extensions)
}

/// A ServerHello message.
pub fn server_hello(version: u16, session_id: &[u8], cipher: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([0x55; 32]);
    body.extend(vec8(session_id));
    body.extend(cipher.to_be_bytes());
    body.push(0);
    if !extensions.is_empty() {
        body.extend(vec16(extensions));
    }
    message(2, &body)
}

/// A Certificate message of TLS 1.2 and before.
pub fn certificates(chain: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = chain.iter().flat_map(|der| vec24(der)).collect();
    message(11, &vec24(&list))
}

/// One TLS record.
pub fn record(kind: u8, version: u16, data: &[u8]) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &vec16(data)].concat()
}

/// Handshake records whose first ones hold as many bytes as `sizes` says; the rest goes into records as large as allowed.
pub fn records(messages: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = messages;
    let mut sizes = sizes.iter().copied();
    while !rest.is_empty() {
        let (data, more) = rest.split_at(sizes.next().unwrap_or(16_384).clamp(1, 16_384).min(rest.len()));
        out.extend(record(22, 0x0301, data));
        rest = more;
    }
    out
}

/// One DTLS record of epoch `epoch`.
pub fn dtls_record(kind: u8, version: u16, epoch: u16, sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(version.to_be_bytes());
    out.extend(epoch.to_be_bytes());
    out.extend([0, 0]);
    out.extend(sequence.to_be_bytes());
    out.extend(vec16(data));
    out
}

/// A fragment of a DTLS handshake message: bytes `range` of `body`.
pub fn dtls_fragment(kind: u8, sequence: u16, body: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let u24 = |n: usize| (n as u32).to_be_bytes()[1..].to_vec();
    [
        vec![kind],
        u24(body.len()),
        sequence.to_be_bytes().to_vec(),
        u24(range.start),
        u24(range.len()),
        body[range].to_vec(),
    ]
    .concat()
}

/// A QUIC variable-length integer.
pub fn varint(n: u64) -> Vec<u8> {
    match n {
        0..64 => vec![n as u8],
        64..16_384 => (n as u16 | 0x4000).to_be_bytes().to_vec(),
        16_384..1_073_741_824 => (n as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (n | 3 << 62).to_be_bytes().to_vec(),
    }
}

/// A CRYPTO frame.
pub fn crypto_frame(offset: usize, data: &[u8]) -> Vec<u8> {
    [vec![6], varint(offset as u64), varint(data.len() as u64), data.to_vec()].concat()
}

/// A QUIC Initial packet to be built.
#[derive(Clone, Debug)]
pub struct Initial<'a> {
    /// The version: 1, `0x6b3343cf`, `0xff00001d` …
    pub version: u32,
    /// The connection id that the keys follow from: the client's first destination.
    pub origin: &'a [u8],
    /// Destination connection id.
    pub dcid: &'a [u8],
    /// Source connection id.
    pub scid: &'a [u8],
    /// Token; most have none.
    pub token: &'a [u8],
    /// Packet number, written in as many bytes as `number_len` (1 to 4) says.
    pub number: u32,
    /// Bytes of the packet number.
    pub number_len: usize,
}

impl<'a> Initial<'a> {
    /// A client's first Initial of version 1.
    pub fn new(dcid: &'a [u8]) -> Self {
        Self { version: 1, origin: dcid, dcid, scid: &[], token: &[], number: 0, number_len: 2 }
    }

    /// The packet as `dir` sends it: the payload protected.
    ///
    /// # Panics
    /// If the version isn't known.
    #[allow(clippy::expect_used)] // for tests
    pub fn packet(&self, dir: Dir, payload: &[u8]) -> Vec<u8> {
        let salt = version::salts(self.version).first().expect("a known version");
        let kind = if self.version == version::VERSION_2 { 1 } else { 0 };
        let mut header = vec![0xc0 | kind << 4 | (self.number_len as u8 - 1)];
        header.extend(self.version.to_be_bytes());
        header.extend(vec8(self.dcid));
        header.extend(vec8(self.scid));
        header.extend(varint(self.token.len() as u64));
        header.extend(self.token);
        // Header protection samples 16 bytes from four after the packet number's start.
        let mut payload = payload.to_vec();
        payload.resize(payload.len().max(4), 0);
        header.extend(varint((self.number_len + payload.len() + 16) as u64));
        header.extend(&self.number.to_be_bytes()[4 - self.number_len..]);
        let keys = Keys::initial(self.version, salt, self.origin, dir).expect("a known version");
        keys.seal(&header, self.number.into(), &payload).expect("a payload of moderate size")
    }

    /// The packet in a datagram of its own, filled up to 1200 bytes with PADDING frames.
    pub fn datagram(&self, dir: Dir, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        let overhead = 64;
        payload.resize(payload.len().max(1200 - overhead), 0);
        let packet = self.packet(dir, &payload);
        let missing = 1200usize.saturating_sub(packet.len());
        payload.resize(payload.len() + missing, 0);
        self.packet(dir, &payload)
    }
}

/// A Retry packet of version 1, with a tag that is not a right one.
pub fn retry(dcid: &[u8], scid: &[u8], token: &[u8]) -> Vec<u8> {
    [vec![0xf0, 0, 0, 0, 1], vec8(dcid), vec8(scid), token.to_vec(), vec![0xee; 16]].concat()
}
