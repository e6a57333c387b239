//! Names of TLS code points (IANA "TLS Parameters"), and what is known to be weak.

use super::ciphers::CIPHERS;
use crate::Value;

/// GREASE (RFC 8701): values that mean nothing, sent to keep implementations tolerant.
pub(crate) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// A protocol version. Drafts of TLS 1.3 are told apart from the final one.
pub(crate) fn version(value: u16) -> Value {
    Value::Name(match value {
        0x0002 => "SSLv2",
        0x0300 => "SSLv3",
        0x0301 => "TLSv1.0",
        0x0302 => "TLSv1.1",
        0x0303 => "TLSv1.2",
        0x0304 => "TLSv1.3",
        // OpenSSL's pre-standard DTLS, which Cisco AnyConnect still speaks.
        0x0100 => "DTLSv0.9",
        0xfeff => "DTLSv1.0",
        0xfefd => "DTLSv1.2",
        0xfefc => "DTLSv1.3",
        0x7f00..=0x7fff => return Value::from(format!("TLSv1.3-draft{}", value & 0xff)),
        0xfb00..=0xfbff => return Value::from(format!("TLSv1.3-fb{}", value & 0xff)),
        v if is_grease(v) => "GREASE",
        v => return Value::from(format!("0x{v:04x}")),
    })
}

/// Where a version stands among all, oldest first: DTLS counts downwards on the wire. 0 for what is not known.
pub(crate) fn rank(value: u16) -> u8 {
    match value {
        0x0002 => 1,
        0x0300 => 2,
        0x0301 | 0x0100 => 3,
        0x0302 | 0xfeff => 4,
        0x0303 | 0xfefd => 5,
        0x7f00..=0x7fff | 0xfb00..=0xfbff => 6,
        0x0304 | 0xfefc => 7,
        _ => 0,
    }
}

/// True for TLS 1.3, its drafts, and DTLS 1.3: what follows the ServerHello is encrypted.
pub(crate) fn is_13(value: u16) -> bool {
    rank(value) >= 6
}

/// True for versions that RFC 8996 (and before it RFC 7568, RFC 6176) forbid.
pub(crate) fn is_obsolete(value: u16) -> bool {
    (1..5).contains(&rank(value))
}

/// The name of a cipher suite.
pub(crate) fn cipher(value: u16) -> Value {
    match cipher_name(value) {
        Some(name) => Value::Name(name),
        None if is_grease(value) => Value::Name("GREASE"),
        None => Value::from(format!("0x{value:04x}")),
    }
}

fn cipher_index(value: u16) -> Option<usize> {
    CIPHERS.binary_search_by_key(&value, |(code, _)| *code).ok()
}

fn cipher_name(value: u16) -> Option<&'static str> {
    CIPHERS.get(cipher_index(value)?).map(|(_, name)| *name)
}

/// What makes a cipher suite weak, by a part of its name. The first that fits counts.
const WEAK: [(&str, &str); 8] = [
    ("_WITH_NULL_", "no encryption"),
    ("_anon_", "no authentication"),
    ("EXPORT", "export-grade"),
    ("_RC4_", "RC4"),
    ("_RC2_", "RC2"),
    ("3DES", "64-bit block (3DES)"),
    ("_DES", "DES"),
    ("_IDEA_", "64-bit block (IDEA)"),
];

/// For every cipher suite, what is weak about it. Worked out by the compiler, as every handshake asks for it.
static WEAKNESSES: [Option<&str>; CIPHERS.len()] = {
    let mut found = [None; CIPHERS.len()];
    let mut i = 0;
    while i < found.len() {
        let (code, name) = CIPHERS[i];
        let mut weak = 0;
        while weak < WEAK.len() && found[i].is_none() {
            let (part, why) = WEAK[weak];
            // The two suites of RFC 9150 are integrity only.
            if matches!(code, 0xc0b4 | 0xc0b5) {
                found[i] = Some("no encryption");
            } else if contains(name.as_bytes(), part.as_bytes()) {
                found[i] = Some(why);
            }
            weak += 1;
        }
        i += 1;
    }
    found
};

const fn contains(text: &[u8], part: &[u8]) -> bool {
    let mut at = 0;
    while at + part.len() <= text.len() {
        let mut same = 0;
        while same < part.len() && text[at + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return true;
        }
        at += 1;
    }
    false
}

/// Why a cipher suite is weak: no encryption, no authentication, export-grade, or a broken cipher.
pub(crate) fn weakness(value: u16) -> Option<&'static str> {
    WEAKNESSES.get(cipher_index(value)?).copied().flatten()
}

/// The name of a named group (curve).
pub(crate) fn group(value: u16) -> Value {
    Value::Name(match value {
        0x0001 => "sect163k1",
        0x0003 => "sect163r2",
        0x0006 => "sect233k1",
        0x0007 => "sect233r1",
        0x0009 => "sect283k1",
        0x000a => "sect283r1",
        0x000b => "sect409k1",
        0x000c => "sect409r1",
        0x000d => "sect571k1",
        0x000e => "sect571r1",
        0x0012 => "secp192k1",
        0x0013 => "secp192r1",
        0x0014 => "secp224k1",
        0x0015 => "secp224r1",
        0x0016 => "secp256k1",
        0x0017 => "secp256r1",
        0x0018 => "secp384r1",
        0x0019 => "secp521r1",
        0x001a => "brainpoolP256r1",
        0x001b => "brainpoolP384r1",
        0x001c => "brainpoolP512r1",
        0x001d => "x25519",
        0x001e => "x448",
        0x0029 => "curveSM2",
        0x0100 => "ffdhe2048",
        0x0101 => "ffdhe3072",
        0x0102 => "ffdhe4096",
        0x0103 => "ffdhe6144",
        0x0104 => "ffdhe8192",
        0x0200 => "mlkem512",
        0x0201 => "mlkem768",
        0x0202 => "mlkem1024",
        0x11eb => "secp256r1mlkem768",
        0x11ec => "x25519mlkem768",
        0x11ed => "secp384r1mlkem1024",
        0x6399 => "x25519kyber768draft00",
        0x639a => "secp256r1kyber768draft00",
        0xff01 => "arbitrary_explicit_prime_curves",
        0xff02 => "arbitrary_explicit_char2_curves",
        v if is_grease(v) => "GREASE",
        v => return Value::from(format!("0x{v:04x}")),
    })
}

/// The name of a signature scheme; those of TLS 1.2 are a hash and a signature algorithm.
pub(crate) fn signature(value: u16) -> Value {
    Value::Name(match value {
        0x0101 => "rsa_pkcs1_md5",
        0x0201 => "rsa_pkcs1_sha1",
        0x0202 => "dsa_sha1",
        0x0203 => "ecdsa_sha1",
        0x0301 => "rsa_pkcs1_sha224",
        0x0302 => "dsa_sha224",
        0x0303 => "ecdsa_sha224",
        0x0401 => "rsa_pkcs1_sha256",
        0x0402 => "dsa_sha256",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0502 => "dsa_sha384",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0602 => "dsa_sha512",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0708 => "sm2sig_sm3",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        0x0808 => "ed448",
        0x0809 => "rsa_pss_pss_sha256",
        0x080a => "rsa_pss_pss_sha384",
        0x080b => "rsa_pss_pss_sha512",
        0x081a => "ecdsa_brainpoolP256r1tls13_sha256",
        0x081b => "ecdsa_brainpoolP384r1tls13_sha384",
        0x081c => "ecdsa_brainpoolP512r1tls13_sha512",
        0x0904 => "mldsa44",
        0x0905 => "mldsa65",
        0x0906 => "mldsa87",
        v if is_grease(v) => "GREASE",
        v => return Value::from(format!("0x{v:04x}")),
    })
}

/// The name of an alert (RFC 8446 §6 and its forerunners), if it is known.
pub(crate) fn alert(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "close_notify",
        1 => "end_of_early_data",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        52 => "too_many_cids_requested",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
}

/// Application protocols (ALPN) that are registered or widely seen. A name ending in `*` stands for all that begin so.
static ALPNS: &[&str] = &[
    "h2*",
    "h3*",
    "hq*",
    "http/*",
    "spdy/*",
    "h1q-fb",
    "grpc-exp",
    "dot",
    "doq*",
    "imap",
    "pop3",
    "ftp",
    "managesieve",
    "xmpp-client",
    "xmpp-server",
    "stun.turn",
    "stun.nat-discovery",
    "webrtc",
    "c-webrtc",
    "acme-tls/1",
    "mqtt",
    "ntske/1",
    "sunrpc",
    "smb",
    "irc",
    "nntp",
    "nnsp",
    "sip/2",
    "tds/8.0",
    "dicom",
    "postgresql",
    "radius/1.*",
    "coap",
    "co",
    "apns*",
    "perf*",
    "moq*",
    "netperfmeter/*",
    "siren",
    "irc",
];

/// True if an application protocol is registered or widely seen.
pub(crate) fn is_common_alpn(alpn: &[u8]) -> bool {
    let known = |name: &&str| match name.strip_suffix('*') {
        Some(start) => alpn.starts_with(start.as_bytes()),
        None => alpn == name.as_bytes(),
    };
    ALPNS.iter().any(known) || matches!(alpn, [a, b] if is_grease(u16::from_be_bytes([*a, *b])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_are_sorted_and_found() {
        assert!(CIPHERS.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(cipher(0x1301).as_str(), Some("TLS_AES_128_GCM_SHA256"));
        assert_eq!(cipher(0xc02f).as_str(), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!(cipher(0x2a2a).as_str(), Some("GREASE"));
        assert_eq!(cipher(0xfefe).as_str(), Some("0xfefe"));
    }

    #[test]
    fn weak_ciphers_have_a_reason_and_strong_ones_none() {
        for (code, why) in [
            (0x0000, "no encryption"),
            (0x0005, "RC4"),
            (0x0009, "DES"),
            (0x000a, "64-bit block (3DES)"),
            (0x0003, "export-grade"),
            (0x0034, "no authentication"),
            (0xc0b4, "no encryption"),
        ] {
            assert_eq!(weakness(code), Some(why), "{code:04x}");
        }
        for code in [0x002f, 0x0035, 0x009c, 0x1301, 0x1303, 0xc013, 0xc02b, 0xcca8] {
            assert_eq!(weakness(code), None, "{code:04x}");
        }
    }

    #[test]
    fn grease_is_told_from_its_neighbours() {
        assert!([0x0a0a, 0x1a1a, 0xfafa].into_iter().all(is_grease));
        assert!(![0x0a1a, 0x1301, 0x0a0b, 0xaa0a].into_iter().any(is_grease));
        assert!(
            is_common_alpn(b"h3-29")
                && is_common_alpn(b"http/1.1")
                && !is_common_alpn(b"anydesk/6.2.0/linux")
        );
    }
}
