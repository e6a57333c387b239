//! Names of DNS code points (IANA, "Domain Name System (DNS) Parameters").

/// Types that the code treats specially.
#[allow(missing_docs)] // IANA's own names
pub mod rtype {
    pub const A: u16 = 1;
    pub const CNAME: u16 = 5;
    pub const NULL: u16 = 10;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const ANY: u16 = 255;
    /// Private use; iodine's queries carry data in it.
    pub const PRIVATE: u16 = 65399;
}

/// The name of a type, if it has one.
pub fn type_name(rtype: u16) -> Option<&'static str> {
    Some(match rtype {
        1 => "A",
        2 => "NS",
        3 => "MD",
        4 => "MF",
        5 => "CNAME",
        6 => "SOA",
        7 => "MB",
        8 => "MG",
        9 => "MR",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        14 => "MINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        19 => "X25",
        20 => "ISDN",
        21 => "RT",
        22 => "NSAP",
        23 => "NSAP-PTR",
        24 => "SIG",
        25 => "KEY",
        26 => "PX",
        27 => "GPOS",
        28 => "AAAA",
        29 => "LOC",
        30 => "NXT",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        38 => "A6",
        39 => "DNAME",
        41 => "OPT",
        42 => "APL",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        49 => "DHCID",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        53 => "SMIMEA",
        55 => "HIP",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        62 => "CSYNC",
        63 => "ZONEMD",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        104 => "NID",
        105 => "L32",
        106 => "L64",
        107 => "LP",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        253 => "MAILB",
        254 => "MAILA",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        258 => "AVC",
        260 => "AMTRELAY",
        32768 => "TA",
        32769 => "DLV",
        _ => return None,
    })
}

/// The name of a class, if it has one.
pub fn class_name(class: u16) -> Option<&'static str> {
    Some(match class {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        _ => return None,
    })
}

/// The name of a response code, if it has one.
pub fn rcode_name(rcode: u16) -> Option<&'static str> {
    Some(match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        _ => return None,
    })
}

/// The name of an operation, if it has one.
pub fn opcode_name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        0 => "query",
        1 => "iquery",
        2 => "status",
        4 => "notify",
        5 => "update",
        6 => "dso",
        _ => return None,
    })
}

/// What an Extended DNS Error says (RFC 8914 §4 and IANA's later additions).
pub fn ede_name(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "other",
        1 => "unsupported-dnskey-algorithm",
        2 => "unsupported-ds-digest-type",
        3 => "stale-answer",
        4 => "forged-answer",
        5 => "dnssec-indeterminate",
        6 => "dnssec-bogus",
        7 => "signature-expired",
        8 => "signature-not-yet-valid",
        9 => "dnskey-missing",
        10 => "rrsigs-missing",
        11 => "no-zone-key-bit-set",
        12 => "nsec-missing",
        13 => "cached-error",
        14 => "not-ready",
        15 => "blocked",
        16 => "censored",
        17 => "filtered",
        18 => "prohibited",
        19 => "stale-nxdomain-answer",
        20 => "not-authoritative",
        21 => "not-supported",
        22 => "no-reachable-authority",
        23 => "network-error",
        24 => "invalid-data",
        25 => "signature-expired-before-valid",
        26 => "too-early",
        27 => "unsupported-nsec3-iterations",
        28 => "unable-to-conform-to-policy",
        29 => "synthesized",
        30 => "invalid-query-type",
        _ => return None,
    })
}
