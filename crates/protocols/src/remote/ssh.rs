//! Secure Shell (RFC 4253): each side says its version in a line, then offers its algorithms (KEXINIT); the key exchange
//! shows the server's host key, and from then on all is encrypted. Read here: versions, offers, what comes out of them,
//! HASSH and HASSHServer, the host key. Protocol 1 is recognised by its version and not read further.
//!
//! Risks follow lists that are written down here, so that they can be argued with: `WEAK` for algorithms,
//! `OBSOLETE` for software.

use md5::{Digest, Md5};

use crate::cursor::Cursor;
use crate::mail::lines::{self, Line};
use crate::{
    Dir, Event, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict,
    common, fields, risks, tcp,
};

fields! { ProtocolId::Ssh;
    VERSION: Uint "version" "Protocol version both sides can do: 1 or 2";
    CLIENT: Str "client" "The client's version line";
    SERVER: Str "server" "The server's version line";
    CLIENT_SOFTWARE: Str "client_software" "Software and comment from the client's version line";
    SERVER_SOFTWARE: Str "server_software" "Software and comment from the server's version line";
    KEX_ALG: Str "kex_alg" "Key exchange method that was chosen";
    HOST_KEY_ALG: Str "host_key_alg" "Host key algorithm that was chosen";
    CIPHER_ALG: Str "cipher_alg" "Cipher from client to server that was chosen";
    MAC_ALG: Str "mac_alg" "MAC from client to server that was chosen; without meaning for ciphers with their own (GCM, ChaCha20-Poly1305)";
    COMPRESSION_ALG: Str "compression_alg" "Compression from client to server that was chosen";
    HASSH: Str "hassh" "HASSH fingerprint of the client: MD5 in hexadecimal";
    HASSH_SERVER: Str "hassh_server" "HASSHServer fingerprint of the server: MD5 in hexadecimal";
    HOST_KEY_TYPE: Str "host_key_type" "Type of the host key that the server sent";
    HOST_KEY_BITS: Uint "host_key_bits" "Length of the host key's modulus, for RSA and DSA";
    HOST_KEY_SHA256: Bytes "host_key_sha256" "SHA-256 fingerprint of the host key";
}

risks! {
    SSH_OBSOLETE_CLIENT: Medium Client "ssh-obsolete-client" "The client speaks SSH protocol 1, or its software is out of date: OpenSSH before 7.0 (2015), Dropbear before 2016.74, PuTTY before 0.71 (2019), libssh 0.6 to 0.8.3 (CVE-2018-10933), going by the version it names. Distributors mend old versions without renaming them.";
    SSH_OBSOLETE_SERVER: Medium Server "ssh-obsolete-server" "The server speaks SSH protocol 1 (also if only besides 2: version 1.99), or its software is out of date, by the same list as for clients.";
    SSH_WEAK_CLIENT: Medium Client "ssh-weak-client" "The client made a weak algorithm be chosen: it offered nothing better, or preferred it. Weak are: 1024-bit groups and SHA-1 group exchange (RFC 9142), DSA keys, RC4, DES, triple DES, Blowfish, CAST and IDEA ciphers, MD5 and 96-bit SHA-1 MACs, and none at all.";
    SSH_WEAK_SERVER: Medium Server "ssh-weak-server" "The server offers nothing but weak algorithms of a kind, by the same list as for clients, or its RSA or DSA host key is shorter than 2048 bits.";
}

/// Secure Shell.
pub const PROTOCOL: Protocol = Protocol {
    name: "ssh",
    title: "Secure Shell",
    family: Family::Remote,
    source: "RFC 4253",
    ports: &[tcp(22)],
    well_known: true,
    patterns: &[Pattern::tcp().starts(b"SSH-")],
    identify,
    parser: Some(|| Box::new(Ssh::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// `SSH-protoversion-softwareversion`
fn identify(p: &Probe<'_>) -> Verdict {
    let head = p.payload.get(..10.min(p.payload.len())).unwrap_or_default();
    let Some(rest) = head.strip_prefix(b"SSH-") else { return Verdict::No };
    let version = rest.iter().position(|b| *b == b'-');
    let shape = rest.iter().take(version.unwrap_or(rest.len())).enumerate().all(|(i, b)| match i {
        0 => matches!(b, b'1' | b'2'),
        1 => *b == b'.',
        _ => b.is_ascii_digit(),
    });
    match (shape, version) {
        (true, Some(3..=5)) => Verdict::Yes,
        (true, None) if head.len() < 10 => Verdict::Need(10),
        _ => Verdict::No,
    }
}

/// The eight lists of a KEXINIT that matter, in the order of RFC 4253 §7.1.
struct Offer {
    lists: [Box<[u8]>; 8],
}

const KEX: usize = 0;
const HOST_KEY: usize = 1;
const CIPHER: usize = 2;
const MAC: usize = 4;
const COMPRESSION: usize = 6;

impl Offer {
    /// The names of a list.
    fn names(&self, list: usize) -> impl Iterator<Item = &[u8]> {
        self.lists[list].split(|b| *b == b',').filter(|n| !n.is_empty())
    }

    /// HASSH: the lists of one direction, `0` from client to server, `1` from server to client.
    fn hassh(&self, direction: usize) -> String {
        let lists = [KEX, CIPHER + direction, MAC + direction, COMPRESSION + direction];
        let joined = lists.map(|i| &*self.lists[i]).join(&b';');
        Md5::digest(&joined).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// True if there are names in the list, and all are weak.
    fn only_weak(&self, list: usize) -> bool {
        let mut names = self.names(list).filter(|n| !is_marker(n)).peekable();
        names.peek().is_some() && names.all(|n| is_weak(list, n))
    }
}

/// Names in the list of key exchanges that are none: they announce extensions (RFC 8308, strict key exchange).
fn is_marker(name: &[u8]) -> bool {
    name.starts_with(b"ext-info-") || name.starts_with(b"kex-strict-")
}

/// The kinds of algorithm that risks are raised for: the list, its name in evidence, and what starts a weak one's name.
const WEAK: &[(usize, &str, &[&str])] = &[
    (
        KEX,
        "kex_alg",
        // RFC 9142 §4: SHOULD NOT and MUST NOT.
        &[
            "diffie-hellman-group1-sha1",
            "diffie-hellman-group-exchange-sha1",
            "rsa1024-sha1",
            "gss-group1-sha1-",
            "gss-gex-sha1-",
        ],
    ),
    (HOST_KEY, "host_key_alg", &["ssh-dss", "null"]),
    (
        CIPHER,
        "cipher_alg",
        &["none", "arcfour", "des-cbc", "3des-cbc", "3des-ctr", "blowfish-", "cast128-", "idea-"],
    ),
    (MAC, "mac_alg", &["none", "hmac-md5", "hmac-sha1-96"]),
];

fn is_weak(list: usize, name: &[u8]) -> bool {
    WEAK.iter().any(|(l, _, starts)| *l == list && starts.iter().any(|s| name.starts_with(s.as_bytes())))
}

/// Ciphers that bring their own MAC, so that the one negotiated is not used.
fn is_aead(cipher: &[u8]) -> bool {
    cipher.starts_with(b"chacha20-poly1305") || cipher.windows(3).any(|w| w == b"gcm")
}

/// Software that is out of date: how its version line begins, and the first version that is not. (For libssh, which has
/// two lines of versions, see the code.)
const OBSOLETE: &[(&str, [u32; 3])] = &[
    ("OpenSSH_", [7, 0, 0]),
    ("dropbear_", [2016, 74, 0]),
    ("PuTTY_Release_", [0, 71, 0]),
    ("libssh-", [0, 8, 4]),
    ("libssh_", [0, 8, 4]),
];

fn is_obsolete(software: &[u8]) -> bool {
    let Some((name, first)) = OBSOLETE.iter().find(|(name, _)| software.starts_with(name.as_bytes())) else {
        return false;
    };
    let mut version = [0u32; 3];
    let digits = &software[name.len()..];
    let end = digits.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(digits.len());
    for (part, text) in version.iter_mut().zip(digits[..end].split(|b| *b == b'.')) {
        *part = lines::number(text).map_or(0, |n| n.min(u32::MAX.into()) as u32);
    }
    // libssh mended CVE-2018-10933 in 0.7.6 too, and versions before 0.6 don't have it.
    if name.starts_with("libssh") && (version < [0, 6, 0] || (version[1] == 7 && version[2] >= 6)) {
        return false;
    }
    version != [0; 3] && version < *first
}

/// How far one side has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Version,
    Packets,
    Over,
}

/// RFC 4253 §6.1 demands that 35000 bytes be possible; what is longer than this is no packet.
const PACKET_MAX: u32 = 60_000;
/// Lines before the server's version (RFC 4253 §4.2).
const LINES_MAX: u8 = 20;

#[derive(Default)]
struct Ssh {
    stages: [Stage; 2],
    lines: u8,
    offers: [Option<Box<Offer>>; 2],
    /// Major and minor version of the protocol by side.
    versions: [Option<(u8, u8)>; 2],
    began_ns: Option<i64>,
    logged: bool,
}

impl Parser for Ssh {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.began_ns.get_or_insert_with(|| out.now_ns());
        let step = match self.stages[dir.index()] {
            Stage::Version => self.version(dir, bytes, out),
            Stage::Packets => self.packet(dir, bytes, out),
            Stage::Over => Step::Done,
        };
        if self.stages == [Stage::Over; 2] {
            self.log(out);
            return Step::Finished;
        }
        step
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        self.log(out);
    }
}

impl Ssh {
    fn version(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let (line, used) = match lines::next(bytes) {
            Line::Whole(line, used) => (line, used),
            Line::Partial(n) => return Step::Need(n),
            Line::TooLong => return self.over(dir, Step::Malformed(0)),
        };
        let Some(rest) = line.strip_prefix(b"SSH-") else {
            self.lines += 1;
            return if self.lines <= LINES_MAX {
                Step::Consumed(used)
            } else {
                self.over(dir, Step::Malformed(0))
            };
        };
        let mut parts = rest.splitn(2, |b| *b == b'-');
        let (protocol, software) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut numbers =
            protocol.splitn(2, |b| *b == b'.').map(|n| lines::number(n).unwrap_or(0).min(255) as u8);
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.versions[dir.index()] = Some(version);
        let line = line.get(..255).unwrap_or(line);
        let (whole, short, obsolete) = match dir {
            Dir::Client => (CLIENT, CLIENT_SOFTWARE, &SSH_OBSOLETE_CLIENT),
            Dir::Server => (SERVER, SERVER_SOFTWARE, &SSH_OBSOLETE_SERVER),
        };
        out.set_text(whole, line);
        out.set_text(short, software);
        if dir == Dir::Client {
            out.set_text(common::USER_AGENT, software);
        }
        if version.0 < 2 || is_obsolete(software) {
            let side = if dir == Dir::Client { "client" } else { "server" };
            out.risk(obsolete, || format!("ssh.{side}={}", lines::shown(line)));
        }
        // 1.99 is a server's way to say "both" (RFC 4253 §5.1).
        let two = |v: (u8, u8)| v.0 == 2 || v == (1, 99);
        if let [Some(client), Some(server)] = self.versions {
            out.set(VERSION, if two(client) && two(server) { 2u8 } else { 1 });
            out.confirm();
        }
        if self.versions.iter().flatten().all(|v| two(*v)) {
            self.stages[dir.index()] = Stage::Packets;
            Step::Consumed(used)
        } else {
            // Protocol 1 has other packets.
            self.stages = self.stages.map(|s| if s == Stage::Packets { Stage::Over } else { s });
            self.over(dir, Step::Done)
        }
    }

    fn over(&mut self, dir: Dir, step: Step) -> Step {
        self.stages[dir.index()] = Stage::Over;
        step
    }

    /// A packet before encryption: length, length of padding, type, content, padding (RFC 4253 §6).
    fn packet(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        let (Some(len), Some(padding), Some(kind)) = (c.u32(), c.u8(), c.u8()) else { return Step::Need(6) };
        // "Protocol mismatch." and the like.
        if bytes[..6].iter().all(|b| (0x20..0x7f).contains(b)) {
            return self.over(dir, Step::Done);
        }
        if !(2..=PACKET_MAX).contains(&len) || u32::from(padding) + 2 > len {
            return self.over(dir, Step::Malformed(0));
        }
        let whole = 4 + len as usize;
        let reply = if self.group_exchange() { 33 } else { 31 };
        let wanted = kind == 20 || (kind == reply && dir == Dir::Server);
        match kind {
            _ if wanted && bytes.len() < whole => return Step::Need(whole),
            20 => {
                let Some(offer) = offer(&bytes[6..whole - padding as usize]) else {
                    return self.over(dir, Step::Malformed(6));
                };
                self.offered(dir, offer, out);
            }
            // SSH_MSG_NEWKEYS: from here on encrypted.
            21 => return self.over(dir, Step::Done),
            _ if wanted => {
                if let Some(key) = Cursor::new(&bytes[6..whole]).u32().and_then(|n| {
                    let end = 10usize.checked_add(n as usize)?;
                    bytes.get(10..end.min(whole)).filter(|key| key.len() == n as usize)
                }) {
                    host_key(key, out);
                }
                // Nothing more is wanted from the server, and nothing from the client after its offer.
                self.stages = [Stage::Over; 2];
                return Step::Finished;
            }
            _ => {}
        }
        Step::Skip(whole as u64)
    }

    fn chosen(&self, list: usize) -> Option<&[u8]> {
        let [Some(client), Some(server)] = &self.offers else { return None };
        client.names(list).find(|name| !is_marker(name) && server.names(list).any(|n| n == *name))
    }

    fn group_exchange(&self) -> bool {
        self.chosen(KEX).is_some_and(|k| k.starts_with(b"diffie-hellman-group-exchange-"))
    }

    fn offered(&mut self, dir: Dir, offer: Offer, out: &mut Sink<'_>) {
        let fingerprint = if dir == Dir::Client { HASSH } else { HASSH_SERVER };
        if out.wants(fingerprint) {
            out.set(fingerprint, offer.hassh(dir.index()));
        }
        let (risk, side) = match dir {
            Dir::Client => (&SSH_WEAK_CLIENT, "client"),
            Dir::Server => (&SSH_WEAK_SERVER, "server"),
        };
        for (list, name, _) in WEAK {
            if offer.only_weak(*list) {
                out.risk(risk, || format!("ssh.{side}.{name}={}", lines::shown(&offer.lists[*list])));
            }
        }
        let kept = &mut self.offers[dir.index()];
        if kept.is_none() {
            *kept = Some(Box::new(offer));
        }
        let algorithms: [(usize, FieldRef); 5] = [
            (KEX, KEX_ALG),
            (HOST_KEY, HOST_KEY_ALG),
            (CIPHER, CIPHER_ALG),
            (MAC, MAC_ALG),
            (COMPRESSION, COMPRESSION_ALG),
        ];
        for (list, field) in algorithms {
            if let Some(name) = self.chosen(list) {
                out.set_text(field, name);
            }
        }
        // A weak choice that the server did not force: the client's list decides the order (RFC 4253 §7.1).
        let aead = self.chosen(CIPHER).is_some_and(is_aead);
        for (list, name, _) in WEAK {
            if let Some(chosen) = self.chosen(*list)
                && is_weak(*list, chosen)
                && !(aead && *list == MAC)
                && self.offers[Dir::Server.index()].as_ref().is_some_and(|o| !o.only_weak(*list))
            {
                out.risk(&SSH_WEAK_CLIENT, || format!("ssh.{name}={}", lines::shown(chosen)));
            }
        }
    }

    fn log(&mut self, out: &mut Sink<'_>) {
        if self.logged || !out.wants_events() {
            return;
        }
        self.logged = true;
        let fields: Vec<(FieldRef, Value)> =
            out.found.fields.iter().filter(|(f, _)| f.protocol == ProtocolId::Ssh).cloned().collect();
        if !fields.is_empty() {
            out.event(Event { kind: "ssh", ts_ns: self.began_ns.unwrap_or_else(|| out.now_ns()), fields });
        }
    }
}

/// The lists of a KEXINIT after its type byte: a cookie of 16 bytes, ten lists, and five bytes that don't matter here.
fn offer(bytes: &[u8]) -> Option<Offer> {
    let mut c = Cursor::new(bytes);
    c.skip(16)?;
    let mut lists: [Box<[u8]>; 8] = Default::default();
    for list in &mut lists {
        let n = c.u32()?;
        let text = c.take(n as usize)?;
        if !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        *list = text.into();
    }
    Some(Offer { lists })
}

/// A host key blob (RFC 4253 §6.6): its type, then for RSA the exponent and the modulus, for DSA the modulus first.
fn host_key(key: &[u8], out: &mut Sink<'_>) {
    if out.wants(HOST_KEY_SHA256) {
        out.set(HOST_KEY_SHA256, sha2::Sha256::digest(key).to_vec());
    }
    let mut c = Cursor::new(key);
    let mut string = || c.u32().and_then(|n| c.take(n as usize));
    let Some(kind) = string() else { return };
    out.set_text(HOST_KEY_TYPE, kind.get(..64).unwrap_or(kind));
    let modulus = match kind {
        b"ssh-rsa" => string().and_then(|_| string()),
        b"ssh-dss" => string(),
        _ => None,
    };
    let Some(modulus) = modulus else { return };
    let leading = modulus.iter().take_while(|b| **b == 0).count();
    let Some(first) = modulus.get(leading) else { return };
    let bits = (modulus.len() - leading) * 8 - first.leading_zeros() as usize;
    out.set(HOST_KEY_BITS, bits);
    // 2047: some makers of keys are one bit short of what they promise.
    if bits < 2047 {
        out.risk(&SSH_WEAK_SERVER, || format!("ssh.host_key_bits={bits}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::{Flow, Seen};

    fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
        let padding = 4;
        let mut p = ((content.len() + 2 + padding) as u32).to_be_bytes().to_vec();
        p.extend([padding as u8, kind]);
        p.extend_from_slice(content);
        p.extend([0; 4]);
        p
    }

    fn string(text: &[u8]) -> Vec<u8> {
        [&(text.len() as u32).to_be_bytes(), text].concat()
    }

    fn kexinit(kex: &str, key: &str, cipher: &str, mac: &str) -> Vec<u8> {
        let mut c = vec![7; 16];
        for list in [kex, key, cipher, cipher, mac, mac, "none", "none", "", ""] {
            c.extend(string(list.as_bytes()));
        }
        c.extend([0; 5]);
        packet(20, &c)
    }

    fn session(client: (&str, &[u8]), server: (&str, &[u8])) -> Seen {
        let blob =
            [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&[&[0, 0x80][..], &[1; 255]].concat())].concat();
        let reply = packet(31, &[string(&blob), string(b"e"), string(b"sig")].concat());
        Flow::tcp(22)
            .server(server.0.as_bytes())
            .client(client.0.as_bytes())
            .client(client.1)
            .server(server.1)
            .client(&packet(30, &string(b"x")))
            .server(&reply)
            .server(&packet(21, b""))
            .client(&packet(21, b""))
            .client(&[9; 100])
            .run_split()
    }

    #[test]
    fn a_handshake() {
        let client = kexinit(
            "curve25519-sha256,ext-info-c",
            "ssh-ed25519,rsa-sha2-512",
            "aes128-ctr,3des-cbc",
            "hmac-sha2-256,hmac-md5",
        );
        let server = kexinit("curve25519-sha256", "rsa-sha2-512", "3des-cbc,aes128-ctr", "hmac-sha2-256");
        let seen =
            session(("SSH-2.0-OpenSSH_9.6\r\n", &client), ("SSH-2.0-OpenSSH_8.9p1 Ubuntu\r\n", &server));
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Ssh, Confidence::Handshake));
        assert_eq!(seen.show(VERSION), "2");
        assert_eq!(seen.show(SERVER_SOFTWARE), "OpenSSH_8.9p1 Ubuntu");
        assert_eq!(seen.show(KEX_ALG), "curve25519-sha256");
        assert_eq!(seen.show(HOST_KEY_ALG), "rsa-sha2-512");
        assert_eq!(seen.show(CIPHER_ALG), "aes128-ctr");
        assert_eq!(seen.show(HOST_KEY_TYPE), "ssh-rsa");
        assert_eq!(seen.show(HOST_KEY_BITS), "2048");
        // MD5("curve25519-sha256,ext-info-c;aes128-ctr,3des-cbc;hmac-sha2-256,hmac-md5;none")
        assert_eq!(seen.show(HASSH), "f73e10d463debcac8e513177e8699a5e");
        assert_eq!(seen.show(HASSH_SERVER).len(), 32);
        assert!(seen.risks().is_empty(), "{:?}", seen.risks());
        assert_eq!(seen.events.len(), 1);
    }

    #[test]
    fn weak_algorithms_and_whose_they_are() {
        let good = kexinit(
            "curve25519-sha256,diffie-hellman-group1-sha1",
            "ssh-ed25519",
            "aes128-ctr",
            "hmac-sha2-256",
        );
        let weak = kexinit("diffie-hellman-group1-sha1", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256");
        let prefers = kexinit(
            "diffie-hellman-group1-sha1,curve25519-sha256",
            "ssh-ed25519",
            "aes128-ctr",
            "hmac-sha2-256",
        );
        let v = "SSH-2.0-x\r\n";
        assert_eq!(session((v, &good), (v, &weak)).risks(), ["ssh-weak-server"]);
        assert_eq!(session((v, &weak), (v, &good)).risks(), ["ssh-weak-client"]);
        assert_eq!(session((v, &prefers), (v, &good)).risks(), ["ssh-weak-client"]);
        assert_eq!(session((v, &good), (v, &prefers)).risks(), Vec::<&str>::new());
    }

    #[test]
    fn obsolete_versions() {
        let one = Flow::tcp(22)
            .server(b"SSH-1.99-Cisco-1.25\n")
            .client(b"SSH-1.5-1.2.26\n")
            .client(&[1; 40])
            .run_split();
        assert_eq!(one.risks(), ["ssh-obsolete-server", "ssh-obsolete-client"]);
        assert_eq!(one.show(VERSION), "1");
        for (software, old) in [
            ("OpenSSH_6.9p1", true),
            ("OpenSSH_7.0", false),
            ("OpenSSH_10.0", false),
            ("OpenSSH_for_Windows_8.1", false),
            ("dropbear_2015.67", true),
            ("dropbear_2020.81", false),
            ("dropbear", false),
            ("PuTTY_Release_0.70", true),
            ("libssh_0.8.1", true),
            ("libssh_0.7.6", false),
            ("libssh_0.10.6", false),
            ("libssh2_1.4.3", false),
        ] {
            assert_eq!(is_obsolete(software.as_bytes()), old, "{software}");
        }
    }

    #[test]
    fn near_misses_and_broken_packets() {
        for payload in [&b"SSH-x.0-a\r\n"[..], b"SSH 2.0-a\r\n", b"SSH-2.00000000-\r\n", b"SSH-20-abcdef\r\n"]
        {
            assert_eq!(Flow::tcp(22).client(payload).run().protocol, ProtocolId::Unknown, "{payload:?}");
        }
        let refused = Flow::tcp(22)
            .server(b"SSH-2.0-a\r\n")
            .client(b"\r\n")
            .server(b"Protocol mismatch.\n")
            .run_split();
        assert!(refused.risks().is_empty());
        for bytes in [&[0, 0, 0, 1, 0, 20][..], &[0xff; 6], &[0, 0, 0, 9, 4, 20, 1, 2, 3, 4, 5, 6, 7]] {
            let seen = Flow::tcp(22).client(b"SSH-2.0-a\r\n").client(bytes).run_split();
            assert_eq!(seen.risks(), ["malformed-packet"], "{bytes:?}");
        }
    }
}
