//! Names of IKE's numbers (IANA "Internet Key Exchange" registries), and which of them are weak.

/// An algorithm, and whether RFC 8247 (or, for groups, RFC 9142's reasoning) tells to avoid it.
pub(super) struct Algorithm {
    pub(super) name: &'static str,
    pub(super) weak: bool,
}

const fn fine(name: &'static str) -> Algorithm {
    Algorithm { name, weak: false }
}

const fn weak(name: &'static str) -> Algorithm {
    Algorithm { name, weak: true }
}

/// Encryption of IKEv2 (transform type 1).
pub(super) fn encryption_v2(id: u16) -> Algorithm {
    match id {
        1 => weak("DES-IV64"),
        2 => weak("DES"),
        3 => weak("3DES"),
        4 => weak("RC5"),
        5 => weak("IDEA"),
        6 => weak("CAST"),
        7 => weak("BLOWFISH"),
        9 => weak("DES-IV32"),
        11 => weak("NULL"),
        12 => fine("AES-CBC"),
        13 => fine("AES-CTR"),
        14 => fine("AES-CCM-8"),
        15 => fine("AES-CCM-12"),
        16 => fine("AES-CCM-16"),
        18 => fine("AES-GCM-8"),
        19 => fine("AES-GCM-12"),
        20 => fine("AES-GCM-16"),
        23 => fine("CAMELLIA-CBC"),
        24 => fine("CAMELLIA-CTR"),
        28 => fine("CHACHA20-POLY1305"),
        _ => fine("other"),
    }
}

/// Encryption of IKEv1 (phase 1 attribute 1).
pub(super) fn encryption_v1(id: u16) -> Algorithm {
    match id {
        1 => weak("DES"),
        2 => weak("IDEA"),
        3 => weak("BLOWFISH"),
        4 => weak("RC5"),
        5 => weak("3DES"),
        6 => weak("CAST"),
        7 => fine("AES-CBC"),
        8 => fine("CAMELLIA-CBC"),
        _ => fine("other"),
    }
}

/// Hash of IKEv1 (phase 1 attribute 2).
pub(super) fn hash_v1(id: u16) -> Algorithm {
    match id {
        1 => weak("MD5"),
        2 => fine("SHA1"),
        3 => weak("TIGER"),
        4 => fine("SHA2-256"),
        5 => fine("SHA2-384"),
        6 => fine("SHA2-512"),
        _ => fine("other"),
    }
}

/// Pseudo-random function of IKEv2 (transform type 2).
pub(super) fn prf(id: u16) -> Algorithm {
    match id {
        1 => weak("HMAC-MD5"),
        2 => fine("HMAC-SHA1"),
        3 => weak("HMAC-TIGER"),
        4 => fine("AES128-XCBC"),
        5 => fine("HMAC-SHA2-256"),
        6 => fine("HMAC-SHA2-384"),
        7 => fine("HMAC-SHA2-512"),
        8 => fine("AES128-CMAC"),
        _ => fine("other"),
    }
}

/// Integrity of IKEv2 (transform type 3).
pub(super) fn integrity(id: u16) -> Algorithm {
    match id {
        0 => fine("none"),
        1 => weak("HMAC-MD5-96"),
        2 => fine("HMAC-SHA1-96"),
        3 => weak("DES-MAC"),
        4 => weak("KPDK-MD5"),
        5 => fine("AES-XCBC-96"),
        12 => fine("HMAC-SHA2-256-128"),
        13 => fine("HMAC-SHA2-384-192"),
        14 => fine("HMAC-SHA2-512-256"),
        _ => fine("other"),
    }
}

/// Diffie-Hellman group or other key exchange (transform type 4, attribute 4).
pub(super) fn group(id: u16) -> Algorithm {
    match id {
        0 => fine("none"),
        1 => weak("MODP-768"),
        2 => weak("MODP-1024"),
        5 => weak("MODP-1536"),
        14 => fine("MODP-2048"),
        15 => fine("MODP-3072"),
        16 => fine("MODP-4096"),
        17 => fine("MODP-6144"),
        18 => fine("MODP-8192"),
        19 => fine("ECP-256"),
        20 => fine("ECP-384"),
        21 => fine("ECP-521"),
        22 => weak("MODP-1024-160"),
        23 => fine("MODP-2048-224"),
        24 => fine("MODP-2048-256"),
        25 => weak("ECP-192"),
        26 => fine("ECP-224"),
        27 => fine("BRAINPOOL-P224"),
        28 => fine("BRAINPOOL-P256"),
        29 => fine("BRAINPOOL-P384"),
        30 => fine("BRAINPOOL-P512"),
        31 => fine("CURVE25519"),
        32 => fine("CURVE448"),
        35 => fine("ML-KEM-512"),
        36 => fine("ML-KEM-768"),
        37 => fine("ML-KEM-1024"),
        _ => fine("other"),
    }
}

/// How the ends of IKEv1 prove themselves (phase 1 attribute 3).
pub(super) fn authentication_v1(id: u16) -> &'static str {
    match id {
        1 => "PSK",
        2 => "DSS",
        3 => "RSA",
        4 => "RSA-encryption",
        5 => "RSA-encryption-revised",
        9..=11 => "ECDSA",
        64221 | 64223 => "hybrid-RSA",
        65001 | 65002 => "XAUTH-PSK",
        65005 | 65006 => "XAUTH-RSA",
        _ => "other",
    }
}

/// Exchange types of both versions.
pub(super) fn exchange(id: u8) -> Option<&'static str> {
    Some(match id {
        1 => "base",
        2 => "main-mode",
        3 => "authentication-only",
        4 => "aggressive-mode",
        5 => "informational-v1",
        6 => "mode-config",
        32 => "quick-mode",
        33 => "new-group-mode",
        34 => "IKE_SA_INIT",
        35 => "IKE_AUTH",
        36 => "CREATE_CHILD_SA",
        37 => "INFORMATIONAL",
        38 => "IKE_SESSION_RESUME",
        39 => "GSA_AUTH",
        40 => "GSA_REGISTRATION",
        41 => "GSA_REKEY",
        43 => "IKE_INTERMEDIATE",
        44 => "IKE_FOLLOWUP_KE",
        _ => return None,
    })
}

/// Notify messages of IKEv2 that are worth telling: errors, and what is negotiated in the first exchange.
pub(super) fn notify(id: u16) -> Option<&'static str> {
    Some(match id {
        5 => "INVALID_MAJOR_VERSION",
        7 => "INVALID_SYNTAX",
        14 => "NO_PROPOSAL_CHOSEN",
        17 => "INVALID_KE_PAYLOAD",
        24 => "AUTHENTICATION_FAILED",
        16388 => "NAT_DETECTION_SOURCE_IP",
        16389 => "NAT_DETECTION_DESTINATION_IP",
        16390 => "COOKIE",
        16404 => "MULTIPLE_AUTH_SUPPORTED",
        16406 => "REDIRECT_SUPPORTED",
        16407 => "REDIRECT",
        16418 => "CHILDLESS_IKEV2_SUPPORTED",
        16430 => "IKEV2_FRAGMENTATION_SUPPORTED",
        16431 => "SIGNATURE_HASH_ALGORITHMS",
        16435 => "USE_PPK",
        16438 => "INTERMEDIATE_EXCHANGE_SUPPORTED",
        _ => return None,
    })
}

/// Vendor IDs: most are the MD5 of a text, some with a version after it.
const VENDORS: &[(&[u8], &str)] = &[
    (b"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57", "DPD"),
    (b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f", "NAT-T (RFC 3947)"),
    (b"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f", "NAT-T (draft 2)"),
    (b"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48", "NAT-T (draft 2)"),
    (b"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56", "NAT-T (draft 3)"),
    (b"\x44\x85\x15\x2d\x18\xb6\xbb\xcd\x0b\xe8\xa8\x46\x95\x79\xdd\xcc", "NAT-T (draft 0)"),
    (b"\x09\x00\x26\x89\xdf\xd6\xb7\x12", "XAUTH"),
    (b"\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc", "Cisco Unity"),
    (b"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3", "fragmentation"),
    (b"\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb", "strongSwan"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61", "Windows"),
    (b"\x26\x24\x4d\x38\xed\xdb\x61\xb3\x17\x2a\x36\xe3\xd0\xcf\xb8\x19", "Vid-Initial-Contact"),
    (b"\xfb\x1d\xe3\xcd\xf3\x41\xb7\xea\x16\xb7\xe5\xbe\x08\x55\xf1\x20", "MS-Negotiation Discovery Capable"),
    (b"\xe3\xa5\x96\x6a\x76\x37\x9f\xe7\x07\x22\x82\x31\xe5\xce\x86\x52", "IKE CGA version 1"),
];

/// What a vendor ID stands for: a known one's name, a text as it is, else hexadecimal.
pub(super) fn vendor(id: &[u8]) -> String {
    if let Some((_, name)) = VENDORS.iter().find(|(prefix, _)| id.starts_with(prefix)) {
        return (*name).to_owned();
    }
    let text = id.strip_suffix(b"\0").unwrap_or(id);
    if text.len() >= 4 && text.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        return String::from_utf8_lossy(text).into_owned();
    }
    id.iter().take(32).map(|b| format!("{b:02x}")).collect()
}
