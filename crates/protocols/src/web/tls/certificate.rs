//! X.509 certificates (RFC 5280), read in one pass over the DER without copying or allocating. Names and numbers become
//! text only when somebody wants them.

use std::net::IpAddr;

use super::der::{Der, oid_text, tag, time};
use super::fingerprint::hex;
use crate::Value;

/// What a certificate says. Signatures are not checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Certificate<'a> {
    /// 1 to 3.
    pub(crate) version: u8,
    pub(crate) serial: &'a [u8],
    pub(crate) signature_algorithm: &'a [u8],
    /// The names as DER, with tag and length.
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) key_algorithm: &'a [u8],
    /// For elliptic curves: the curve's identifier.
    pub(crate) curve: Option<&'a [u8]>,
    /// Bits of the key; 0 if it is not known how to count them.
    pub(crate) key_bits: u32,
    /// RSA: the public exponent.
    pub(crate) exponent: Option<u64>,
    /// SubjectAltName: the GeneralNames as DER.
    pub(crate) alt_names: &'a [u8],
    /// BasicConstraints, if there: is it a CA, and how many CAs may follow.
    pub(crate) is_ca: Option<bool>,
    pub(crate) path_len: Option<u64>,
}

/// Object identifiers, without tag and length.
mod oid {
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub(super) const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    pub(super) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    pub(super) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
    pub(super) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(super) const ED448: &[u8] = &[0x2b, 0x65, 0x71];
}

/// Elliptic curves: identifier, name, bits.
static CURVES: &[(&[u8], &str, u32)] = &[
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01], "prime192v1", 192),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "prime256v1", 256),
    (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1", 256),
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], "secp224r1", 224),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], "secp384r1", 384),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "secp521r1", 521),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], "brainpoolP256r1", 256),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], "brainpoolP384r1", 384),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], "brainpoolP512r1", 512),
];

/// Signature and key algorithms by the names that OpenSSL, and so Zeek, gives them; and the hash, if it is MD2, MD5 or SHA-1.
static ALGORITHMS: &[(&[u8], &str, Option<&str>)] = &[
    (oid::RSA, "rsaEncryption", None),
    (oid::RSA_PSS, "rsassaPss", None),
    (oid::DSA, "dsaEncryption", None),
    (oid::EC, "id-ecPublicKey", None),
    (oid::ED25519, "ED25519", None),
    (oid::ED448, "ED448", None),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x02], "md2WithRSAEncryption", Some("MD2")),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], "md5WithRSAEncryption", Some("MD5")),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], "sha1WithRSAEncryption", Some("SHA-1")),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], "sha256WithRSAEncryption", None),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], "sha384WithRSAEncryption", None),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], "sha512WithRSAEncryption", None),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e], "sha224WithRSAEncryption", None),
    (&[0x2b, 0x0e, 0x03, 0x02, 0x1d], "sha1WithRSA", Some("SHA-1")),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03], "dsaWithSHA1", Some("SHA-1")),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x02], "dsa_with_SHA256", None),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], "ecdsa-with-SHA1", Some("SHA-1")),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], "ecdsa-with-SHA256", None),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], "ecdsa-with-SHA384", None),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], "ecdsa-with-SHA512", None),
];

/// Short names of the attributes in a distinguished name (RFC 4514 and what OpenSSL adds).
static ATTRIBUTES: &[(&[u8], &str)] = &[
    (oid::COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "street"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x0c], "title"),
    (&[0x55, 0x04, 0x0f], "businessCategory"),
    (&[0x55, 0x04, 0x11], "postalCode"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (&[0x55, 0x04, 0x61], "organizationIdentifier"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x01], "jurisdictionL"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x02], "jurisdictionST"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x03], "jurisdictionC"),
];

/// The name of an algorithm, or its identifier in numbers.
pub(crate) fn algorithm(oid: &[u8]) -> Value {
    match ALGORITHMS.iter().find(|(o, ..)| *o == oid) {
        Some((_, name, _)) => Value::Name(name),
        None => Value::from(oid_text(oid).unwrap_or_else(|| hex(oid))),
    }
}

/// Bits of a number's magnitude.
fn bits(number: &[u8]) -> u32 {
    let number = &number[number.iter().take_while(|b| **b == 0).count()..];
    number.first().map_or(0, |first| number.len() as u32 * 8 - first.leading_zeros())
}

fn small_number(bytes: &[u8]) -> Option<u64> {
    let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

impl<'a> Certificate<'a> {
    /// Reads one. `None` if it is not a certificate, or cut.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let certificate = Der::new(der).expect(tag::SEQUENCE)?;
        let mut tbs = Der::new(Der::new(certificate).expect(tag::SEQUENCE)?);
        let version = match tbs.optional(0xa0) {
            Some(explicit) => {
                Der::new(explicit).expect(tag::INTEGER)?.last().map_or(1, |v| v.saturating_add(1))
            }
            None => 1,
        };
        let serial = tbs.expect(tag::INTEGER)?;
        let signature_algorithm = Der::new(tbs.expect(tag::SEQUENCE)?).expect(tag::OID)?;
        let (tag::SEQUENCE, issuer) = tbs.next_whole()? else { return None };
        let mut validity = Der::new(tbs.expect(tag::SEQUENCE)?);
        let (before, after) = (validity.next()?, validity.next()?);
        let (tag::SEQUENCE, subject) = tbs.next_whole()? else { return None };
        let mut certificate = Self {
            version,
            serial,
            signature_algorithm,
            issuer,
            subject,
            not_before: time(before.0, before.1)?,
            not_after: time(after.0, after.1)?,
            ..Self::default()
        };
        certificate.read_key(tbs.expect(tag::SEQUENCE)?)?;
        while let Some((element, contents)) = tbs.next() {
            if element == 0xa3 {
                certificate.read_extensions(contents);
            }
        }
        Some(certificate)
    }

    /// SubjectPublicKeyInfo.
    fn read_key(&mut self, info: &'a [u8]) -> Option<()> {
        let mut info = Der::new(info);
        let mut algorithm = Der::new(info.expect(tag::SEQUENCE)?);
        self.key_algorithm = algorithm.expect(tag::OID)?;
        let key = info.expect(tag::BIT_STRING)?.get(1..)?;
        match self.key_algorithm {
            oid::RSA | oid::RSA_PSS => {
                let mut key = Der::new(Der::new(key).expect(tag::SEQUENCE)?);
                self.key_bits = bits(key.expect(tag::INTEGER)?);
                self.exponent = small_number(key.expect(tag::INTEGER)?);
            }
            oid::EC => {
                self.curve = algorithm.expect(tag::OID);
                // Of a curve that is given by its parameters: an uncompressed point is 04, x, y.
                let by_point = if key.first() == Some(&4) { (key.len() as u32 - 1) * 4 } else { 0 };
                let known = CURVES.iter().find(|(oid, ..)| Some(*oid) == self.curve);
                self.key_bits = known.map_or(by_point, |(_, _, bits)| *bits);
            }
            oid::DSA => {
                let p = algorithm.expect(tag::SEQUENCE).and_then(|p| Der::new(p).expect(tag::INTEGER));
                self.key_bits = p.map_or(0, bits);
            }
            oid::ED25519 => self.key_bits = 256,
            oid::ED448 => self.key_bits = 456,
            _ => {}
        }
        Some(())
    }

    fn read_extensions(&mut self, explicit: &'a [u8]) -> Option<()> {
        let mut list = Der::new(Der::new(explicit).expect(tag::SEQUENCE)?);
        while let Some(extension) = list.expect(tag::SEQUENCE) {
            let mut extension = Der::new(extension);
            let id = extension.expect(tag::OID)?;
            extension.optional(tag::BOOLEAN);
            let value = extension.expect(tag::OCTET_STRING)?;
            match id {
                oid::ALT_NAME => self.alt_names = Der::new(value).expect(tag::SEQUENCE)?,
                oid::BASIC_CONSTRAINTS => {
                    let mut constraints = Der::new(Der::new(value).expect(tag::SEQUENCE)?);
                    self.is_ca = Some(constraints.optional(tag::BOOLEAN).is_some_and(|b| b != [0]));
                    self.path_len = constraints.optional(tag::INTEGER).and_then(small_number);
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Issuer and subject are the same name.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// `rsa`, `ecdsa`, `dsa`, `ed25519` …
    pub(crate) fn key_type(&self) -> &'static str {
        match self.key_algorithm {
            oid::RSA | oid::RSA_PSS => "rsa",
            oid::EC => "ecdsa",
            oid::DSA => "dsa",
            oid::ED25519 => "ed25519",
            oid::ED448 => "ed448",
            _ => "unknown",
        }
    }

    /// The smallest key of its type that still passes: RSA and DSA 2048 bits, elliptic curves 224 (SP 800-131A).
    pub(crate) fn is_weak_key(&self) -> bool {
        let least = match self.key_algorithm {
            oid::RSA | oid::RSA_PSS | oid::DSA => 2048,
            oid::EC => 224,
            _ => 0,
        };
        (1..least).contains(&self.key_bits)
    }

    /// The hash it was signed with, if that is MD2, MD5 or SHA-1.
    pub(crate) fn weak_hash(&self) -> Option<&'static str> {
        ALGORITHMS.iter().find(|(oid, ..)| *oid == self.signature_algorithm)?.2
    }

    /// The name of the curve.
    pub(crate) fn curve_name(&self) -> Option<Value> {
        let oid = self.curve?;
        Some(match CURVES.iter().find(|(o, ..)| *o == oid) {
            Some((_, name, _)) => Value::Name(name),
            None => Value::from(oid_text(oid)?),
        })
    }

    /// The DNS names in SubjectAltName.
    pub(crate) fn dns_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.alt_names_of(0x82)
    }

    /// The addresses in SubjectAltName.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.alt_names_of(0x87).filter_map(|bytes| {
            <[u8; 4]>::try_from(bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
                .ok()
        })
    }

    fn alt_names_of(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut names = Der::new(self.alt_names);
        std::iter::from_fn(move || names.next())
            .filter(move |(kind, _)| *kind == wanted)
            .map(|(_, name)| name)
    }

    /// The subject's common name, if there is one.
    pub(crate) fn common_name(&self) -> Option<String> {
        let found = attributes(self.subject).filter(|(oid, ..)| *oid == oid::COMMON_NAME).last();
        found.map(|(_, tag, value)| string(tag, value))
    }

    /// True if a common name of the subject or the issuer passes `test`.
    pub(crate) fn has_common_name(&self, test: impl Fn(&[u8]) -> bool) -> bool {
        let mut names = [self.subject, self.issuer].into_iter().flat_map(attributes);
        names.any(|(oid, _, value)| oid == oid::COMMON_NAME && test(value))
    }

    /// True if the certificate is for this host: a name or an address in SubjectAltName, or, where it has no names
    /// there, the common name. A `*` stands for exactly one label, the leftmost (RFC 9525).
    pub(crate) fn is_for(&self, host: &[u8]) -> bool {
        if let Some(address) = host_address(host)
            && self.addresses().any(|a| a == address)
        {
            return true;
        }
        let mut any = false;
        for name in self.dns_names() {
            any = true;
            if matches_host(name, host) {
                return true;
            }
        }
        !any && self.common_name().is_some_and(|name| matches_host(name.as_bytes(), host))
    }
}

/// The address that a host is named by, if it is.
pub(super) fn host_address(host: &[u8]) -> Option<IpAddr> {
    // Nearly all names end in a letter, and no IPv4 address does.
    let may_be = host.last().is_some_and(u8::is_ascii_digit) || host.contains(&b':');
    if may_be { std::str::from_utf8(host).ok()?.parse().ok() } else { None }
}

/// Does a name from a certificate cover a host?
fn matches_host(name: &[u8], host: &[u8]) -> bool {
    let [name, host] = [name, host].map(|n| n.strip_suffix(b".").unwrap_or(n));
    match name.strip_prefix(b"*.") {
        Some(parent) => host
            .iter()
            .position(|b| *b == b'.')
            .is_some_and(|dot| dot > 0 && host[dot + 1..].eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// The attributes of a distinguished name in their order: identifier, tag of the value, value.
fn attributes(name: &[u8]) -> impl Iterator<Item = (&[u8], u8, &[u8])> {
    let mut sets = Der::new(Der::new(name).expect(tag::SEQUENCE).unwrap_or_default());
    let mut set = Der::new(&[]);
    std::iter::from_fn(move || {
        loop {
            if let Some(attribute) = set.expect(tag::SEQUENCE) {
                let mut attribute = Der::new(attribute);
                let oid = attribute.expect(tag::OID)?;
                let (tag, value) = attribute.next()?;
                return Some((oid, tag, value));
            }
            set = Der::new(sets.expect(tag::SET)?);
        }
    })
}

/// The text of a string of any of the types that directory names use.
fn string(kind: u8, value: &[u8]) -> String {
    match kind {
        tag::BMP_STRING => {
            let units = value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        tag::UNIVERSAL_STRING => value
            .chunks_exact(4)
            .map(|c| {
                char::from_u32(u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            })
            .collect(),
        // T.61 is read as Latin-1, which is what is in it in practice, unless it is UTF-8.
        _ => match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|b| char::from(*b)).collect(),
        },
    }
}

/// A distinguished name as RFC 4514 writes it: last attribute first, commas between them, special characters escaped.
pub(crate) fn name_text(name: &[u8]) -> String {
    let mut parts: Vec<String> = attributes(name)
        .take(64)
        .map(|(oid, tag, value)| {
            let key = ATTRIBUTES.iter().find(|(o, _)| *o == oid).map(|(_, short)| (*short).to_owned());
            let key = key.or_else(|| oid_text(oid)).unwrap_or_default();
            format!("{key}={}", escaped(&string(tag, value)))
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        let edge = (i == 0 && matches!(c, ' ' | '#')) || (c == ' ' && i + 1 == text.len());
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made with OpenSSL; see testdata/README.md.
    pub(crate) const RSA_LEAF: &[u8] = include_bytes!("../../../../../testdata/certificates/rsa-leaf.der");
    pub(crate) const EC_SELF_SIGNED: &[u8] =
        include_bytes!("../../../../../testdata/certificates/ec-self-signed.der");
    pub(crate) const WEAK: &[u8] = include_bytes!("../../../../../testdata/certificates/weak.der");
    pub(crate) const CA: &[u8] = include_bytes!("../../../../../testdata/certificates/ca.der");

    #[test]
    fn a_leaf_with_names() {
        let c = Certificate::parse(RSA_LEAF).unwrap();
        assert_eq!((c.version, hex(c.serial).as_str()), (3, "1001"));
        assert_eq!(algorithm(c.signature_algorithm).as_str(), Some("sha256WithRSAEncryption"));
        assert_eq!(name_text(c.subject), "CN=www.example.org,O=Example\\, Inc.,C=DE");
        assert_eq!(name_text(c.issuer), "CN=Example Test CA,O=Example,C=DE");
        assert_eq!((c.not_before, c.not_after), (1_704_067_200, 1_711_843_200));
        assert_eq!((c.key_type(), c.key_bits, c.exponent), ("rsa", 2048, Some(65537)));
        let names: Vec<_> = c.dns_names().collect();
        assert_eq!(names, [&b"www.example.org"[..], b"*.cdn.example.org"]);
        assert_eq!(c.addresses().collect::<Vec<_>>(), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(c.is_ca, Some(false));
        assert!(!c.is_self_issued() && !c.is_weak_key() && c.weak_hash().is_none());
    }

    #[test]
    fn a_ca_a_curve_and_a_weak_one() {
        let ca = Certificate::parse(CA).unwrap();
        assert_eq!((ca.is_ca, ca.path_len), (Some(true), Some(1)));
        let ec = Certificate::parse(EC_SELF_SIGNED).unwrap();
        assert!(ec.is_self_issued());
        assert_eq!((ec.key_type(), ec.key_bits), ("ecdsa", 256));
        assert_eq!(ec.curve_name(), Some(Value::Name("prime256v1")));
        assert_eq!(algorithm(ec.signature_algorithm).as_str(), Some("ecdsa-with-SHA256"));
        let weak = Certificate::parse(WEAK).unwrap();
        assert_eq!((weak.key_bits, weak.is_weak_key(), weak.weak_hash()), (1024, true, Some("SHA-1")));
        assert_eq!(weak.common_name().as_deref(), Some("Grüße.example"));
    }

    #[test]
    fn names_cover_hosts_as_rfc_9525_says() {
        let c = Certificate::parse(RSA_LEAF).unwrap();
        for host in ["www.example.org", "WWW.EXAMPLE.ORG.", "a.cdn.example.org", "192.0.2.7"] {
            assert!(c.is_for(host.as_bytes()), "{host}");
        }
        for host in ["example.org", "cdn.example.org", "a.b.cdn.example.org", "192.0.2.8", ".cdn.example.org"]
        {
            assert!(!c.is_for(host.as_bytes()), "{host}");
        }
        // No SubjectAltName: the common name counts.
        assert!(Certificate::parse(EC_SELF_SIGNED).unwrap().is_for(b"self.example"));
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics(at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index) {
            let mut der = RSA_LEAF.to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            der.truncate(cut.index(der.len()) + 1);
            if let Some(c) = Certificate::parse(&der) {
                let _ = (name_text(c.subject), name_text(c.issuer), c.is_for(b"a.example"), c.dns_names().count());
            }
        }
    }
}
