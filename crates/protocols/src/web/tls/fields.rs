//! What TLS tells about a flow. DTLS and QUIC flows carry the same handshake and fill the same fields.

use crate::{ProtocolId, fields};

fields! { ProtocolId::Tls;
    SNI: Str "sni" "Server name that the client asks for, as it wrote it (RFC 6066)";
    ALPN_OFFERED: [Str] "alpn_offered" "Application protocols the client offers, in its order (RFC 7301)";
    ALPN_CHOSEN: Str "alpn_chosen" "Application protocol the server chose; in TLS 1.3 that is encrypted";
    VERSIONS_OFFERED: [Str] "versions_offered" "Versions in the client's supported_versions extension";
    CIPHERS_OFFERED: [Str] "ciphers_offered" "Cipher suites the client offers, in its order; at most 64";
    GROUPS_OFFERED: [Str] "groups_offered" "Named groups the client supports";
    SIGNATURES_OFFERED: [Str] "signature_algorithms" "Signature schemes the client accepts";
    ECH: Str "ech" "Encrypted ClientHello (RFC 9849): outer or inner. Browsers send a meaningless one too (GREASE)";
    ESNI: Bool "esni" "The client uses encrypted SNI, the forerunner of ECH";
    OFFERS_RESUMPTION: Bool "offers_resumption" "The client brings a session ticket or a pre-shared key";
    EARLY_DATA: Bool "early_data" "The client sends 0-RTT data";
    CIPHER: Str "cipher" "Cipher suite the server chose";
    GROUP: Str "group" "Named group (curve) of the key exchange";
    RESUMED: Bool "resumed" "An earlier session was resumed";
    ESTABLISHED: Bool "established" "Both ends were seen to encrypt";
    HELLO_RETRY: Bool "hello_retry" "The server asked for another ClientHello";
    ALERT: [Str] "alerts" "Alerts in clear text";
    LAST_ALERT: Str "last_alert" "The last alert in clear text";
    CERT_SUBJECT: Str "cert_subject" "Subject of the server's certificate (RFC 4514)";
    CERT_ISSUER: Str "cert_issuer" "Issuer of the server's certificate (RFC 4514)";
    CERT_CN: Str "cert_cn" "Common name of the subject";
    CERT_NAMES: [Str] "cert_names" "DNS names the certificate is for";
    CERT_ADDRESSES: [Ip] "cert_addresses" "Addresses the certificate is for";
    CERT_NOT_BEFORE: Time "cert_not_before" "Valid from";
    CERT_NOT_AFTER: Time "cert_not_after" "Valid until";
    CERT_SERIAL: Str "cert_serial" "Serial number in hexadecimal";
    CERT_KEY_ALGORITHM: Str "cert_key_algorithm" "Algorithm of the public key, by OpenSSL's name";
    CERT_KEY_TYPE: Str "cert_key_type" "rsa, ecdsa, dsa, ed25519 or ed448";
    CERT_KEY_BITS: Uint "cert_key_bits" "Length of the public key in bits";
    CERT_EXPONENT: Uint "cert_exponent" "Public exponent of an RSA key";
    CERT_CURVE: Str "cert_curve" "Curve of an elliptic-curve key";
    CERT_SIGNATURE_ALGORITHM: Str "cert_signature_algorithm" "Algorithm it was signed with, by OpenSSL's name";
    CERT_SELF_SIGNED: Bool "cert_self_signed" "Issuer and subject are the same name";
    CERT_SHA1: Str "cert_sha1" "SHA-1 of the certificate";
    CERT_SHA256: Str "cert_sha256" "SHA-256 of the certificate";
    CERT_CHAIN_LENGTH: Uint "cert_chain_length" "Certificates the server sent";
    CERT_VERSION: Uint "cert_version" "X.509 version, 1 to 3";
    CERT_CA: Bool "cert_ca" "It may sign certificates (BasicConstraints)";
    CERT_PATH_LEN: Uint "cert_path_len" "Authorities that may follow below it";
    CERT_HOST: Bool "cert_host" "It is the first of its chain";
    CERT_CLIENT: Bool "cert_client" "The client sent it";
    CLIENT_SUBJECT: Str "client_cert_subject" "Subject of the client's certificate";
    CLIENT_ISSUER: Str "client_cert_issuer" "Issuer of the client's certificate";
    CERT_CHAIN_FPS: [Str] "cert_chain_fps" "SHA-256 of the certificates the server sent";
    CLIENT_CHAIN_FPS: [Str] "client_cert_chain_fps" "SHA-256 of the certificates the client sent";
    SNI_MATCHES_CERT: Bool "sni_matches_cert" "The certificate is for the name the client asked for";
}

pub(super) const DECLARED: &[crate::Field] = FIELDS;
