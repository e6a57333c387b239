//! Fields that belong to no single protocol: they stand at the top of a record, under no prefix.

use crate::{Protocol, ProtocolId, fields};

fields! { ProtocolId::Unknown;
    HOSTNAME: Str "hostname" "Name of the server: TLS SNI, HTTP Host, the name a DNS query asked for, …";
    ALPN: Str "alpn" "Application protocol that was negotiated, else the first that was offered (RFC 7301)";
    JA3: Str "ja3" "JA3 fingerprint of the TLS client: MD5 in hexadecimal";
    JA3S: Str "ja3s" "JA3S fingerprint of the TLS server: MD5 in hexadecimal";
    JA4: Str "ja4" "JA4 fingerprint of the TLS client";
    TLS_VERSION: Str "tls_version" "TLS or DTLS version that was negotiated, else the highest that was offered";
    QUIC_VERSION: Str "quic_version" "QUIC version of the first Initial packet";
    USER_AGENT: Str "user_agent" "What the client says it is (HTTP User-Agent, SIP User-Agent, SSDP …)";
}

/// The stand-in for "not known": it owns the common fields.
pub const PROTOCOL: Protocol =
    Protocol { name: "unknown", title: "Not identified", source: "", fields: FIELDS, ..Protocol::BASE };
