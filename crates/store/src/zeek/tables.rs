//! The columns of the logs of transactions, and where their values come from.

use super::rows;
use super::rows::Row;

/// A column.
pub(crate) struct Col {
    pub(crate) name: &'static str,
    pub(crate) ty: &'static str,
    pub(crate) from: From,
}

/// Where a column's value comes from. Fields are named as in the record.
pub(crate) enum From {
    /// The first of these fields that was seen, else this text.
    Field(&'static [&'static str], &'static str),
    /// The text of the first of these fields that was seen, in Zeek's spelling.
    Text(&'static [&'static str], fn(&str) -> String),
    /// Something else. `false` if there is nothing.
    Row(fn(&Row<'_>, &mut Vec<u8>) -> bool),
    /// Always this.
    Fixed(&'static str),
}

use From::{Fixed, Row as Call, Text};

const fn col(name: &'static str, ty: &'static str, from: From) -> Col {
    Col { name, ty, from }
}

/// A field, else unset.
const fn field(name: &'static str, ty: &'static str, fields: &'static [&'static str]) -> Col {
    Col { name, ty, from: From::Field(fields, "-") }
}

const fn unset(name: &'static str, ty: &'static str) -> Col {
    Col { name, ty, from: Fixed("-") }
}

macro_rules! columns {
    ($id:ident: $($rest:expr),* $(,)?) => {
        pub(super) const $id: &[Col] = &[col("ts", "time", Call(rows::ts)), $($rest),*];
    };
}

/// Those that tell of the flow stand after `ts` (in files.log, after `fuid`).
macro_rules! flow_columns {
    ($id:ident: [$($before:expr),*] $($rest:expr),* $(,)?) => {
        columns! { $id:
            $($before,)*
            col("uid", "string", Call(rows::uid)),
            col("id.orig_h", "addr", Call(rows::orig_h)),
            col("id.orig_p", "port", Call(rows::orig_p)),
            col("id.resp_h", "addr", Call(rows::resp_h)),
            col("id.resp_p", "port", Call(rows::resp_p)),
            $($rest),*
        }
    };
}

// base/protocols/ssl; validation_status is from policy/protocols/ssl/validate-certs, which Zeek's local.zeek loads.
flow_columns! { SSL: []
    col("version", "string", Text(&["tls_version"], rows::tls_version)),
    col("cipher", "string", Text(&["tls.cipher"], rows::code_point)),
    col("curve", "string", Text(&["tls.group"], rows::code_point)),
    field("server_name", "string", &["tls.sni", "hostname"]),
    col("resumed", "bool", From::Field(&["tls.resumed"], "F")),
    field("last_alert", "string", &["tls.last_alert"]),
    field("next_protocol", "string", &["tls.alpn_chosen"]),
    col("established", "bool", From::Field(&["tls.established"], "F")),
    unset("ssl_history", "string"),
    col("cert_chain_fps", "vector[string]", Call(rows::server_chain)),
    col("client_cert_chain_fps", "vector[string]", Call(rows::client_chain)),
    field("sni_matches_cert", "bool", &["tls.sni_matches_cert"]),
    unset("validation_status", "string"),
}

// base/files/x509
columns! { X509:
    field("fingerprint", "string", &["tls.cert_sha256"]),
    field("certificate.version", "count", &["tls.cert_version"]),
    col("certificate.serial", "string", Text(&["tls.cert_serial"], rows::serial)),
    field("certificate.subject", "string", &["tls.cert_subject"]),
    field("certificate.issuer", "string", &["tls.cert_issuer"]),
    field("certificate.not_valid_before", "time", &["tls.cert_not_before"]),
    field("certificate.not_valid_after", "time", &["tls.cert_not_after"]),
    field("certificate.key_alg", "string", &["tls.cert_key_algorithm"]),
    field("certificate.sig_alg", "string", &["tls.cert_signature_algorithm"]),
    field("certificate.key_type", "string", &["tls.cert_key_type"]),
    field("certificate.key_length", "count", &["tls.cert_key_bits"]),
    field("certificate.exponent", "string", &["tls.cert_exponent"]),
    field("certificate.curve", "string", &["tls.cert_curve"]),
    field("san.dns", "vector[string]", &["tls.cert_names"]),
    unset("san.uri", "vector[string]"),
    unset("san.email", "vector[string]"),
    field("san.ip", "vector[addr]", &["tls.cert_addresses"]),
    field("basic_constraints.ca", "bool", &["tls.cert_ca"]),
    field("basic_constraints.path_len", "count", &["tls.cert_path_len"]),
    col("host_cert", "bool", From::Field(&["tls.cert_host"], "F")),
    col("client_cert", "bool", From::Field(&["tls.cert_client"], "F")),
}

// base/protocols/dns
flow_columns! { DNS: []
    col("proto", "enum", Call(rows::proto)),
    field("trans_id", "count", &["dns.id"]),
    field("rtt", "interval", &["dns.rtt"]),
    field("query", "string", &["dns.query"]),
    field("qclass", "count", &["dns.qclass_code"]),
    col("qclass_name", "string", Text(&["dns.qclass"], rows::dns_class)),
    field("qtype", "count", &["dns.qtype_code"]),
    col("qtype_name", "string", Text(&["dns.qtype"], rows::dns_type)),
    field("rcode", "count", &["dns.rcode_code"]),
    col("rcode_name", "string", Text(&["dns.rcode"], rows::dns_rcode)),
    col("AA", "bool", From::Field(&["dns.aa"], "F")),
    col("TC", "bool", From::Field(&["dns.tc"], "F")),
    col("RD", "bool", From::Field(&["dns.rd"], "F")),
    col("RA", "bool", From::Field(&["dns.ra"], "F")),
    col("Z", "count", From::Field(&["dns.z"], "0")),
    field("answers", "vector[string]", &["dns.answers"]),
    field("TTLs", "vector[interval]", &["dns.ttls"]),
    col("rejected", "bool", From::Field(&["dns.rejected"], "F")),
}

// base/protocols/http. Passwords are never kept.
flow_columns! { HTTP: []
    field("trans_depth", "count", &["http.depth"]),
    field("method", "string", &["http.method"]),
    col("host", "string", Text(&["http.host"], rows::without_port)),
    field("uri", "string", &["http.uri"]),
    field("referrer", "string", &["http.referrer"]),
    field("version", "string", &["http.version"]),
    field("user_agent", "string", &["http.user_agent"]),
    field("origin", "string", &["http.origin"]),
    col("request_body_len", "count", From::Field(&["http.request_body_len"], "0")),
    col("response_body_len", "count", From::Field(&["http.response_body_len"], "0")),
    field("status_code", "count", &["http.status"]),
    field("status_msg", "string", &["http.reason"]),
    field("info_code", "count", &["http.info_code"]),
    field("info_msg", "string", &["http.info_reason"]),
    col("tags", "set[enum]", Fixed("(empty)")),
    field("username", "string", &["http.username"]),
    unset("password", "string"),
    field("proxied", "set[string]", &["http.proxied"]),
    col("orig_fuids", "vector[string]", Call(rows::request_file)),
    field("orig_filenames", "vector[string]", &["http.request_filenames"]),
    field("orig_mime_types", "vector[string]", &["http.request_mime_type"]),
    col("resp_fuids", "vector[string]", Call(rows::response_file)),
    field("resp_filenames", "vector[string]", &["http.response_filenames"]),
    field("resp_mime_types", "vector[string]", &["http.mime_type"]),
}

// base/frameworks/files. `depth` is how deep a file lies in others; bodies lie in none.
flow_columns! { FILES: [col("fuid", "string", Call(rows::fuid))]
    col("source", "string", Fixed("HTTP")),
    col("depth", "count", Fixed("0")),
    col("analyzers", "set[string]", Call(rows::analyzers)),
    field("mime_type", "string", &["http.file_mime_type"]),
    field("filename", "string", &["http.file_name"]),
    unset("duration", "interval"),
    unset("local_orig", "bool"),
    field("is_orig", "bool", &["http.file_from_client"]),
    col("seen_bytes", "count", From::Field(&["http.file_seen_bytes"], "0")),
    field("total_bytes", "count", &["http.file_total_bytes"]),
    col("missing_bytes", "count", From::Field(&["http.file_missing_bytes"], "0")),
    col("overflow_bytes", "count", Fixed("0")),
    col("timedout", "bool", Fixed("F")),
    unset("parent_fuid", "string"),
    unset("md5", "string"),
    field("sha1", "string", &["http.file_sha1"]),
    unset("sha256", "string"),
    unset("extracted", "string"),
    unset("extracted_cutoff", "bool"),
    unset("extracted_size", "count"),
}

// base/protocols/quic
flow_columns! { QUIC: []
    col("version", "string", Text(&["quic_version"], rows::quic_version)),
    field("client_initial_dcid", "string", &["quic.client_initial_dcid"]),
    field("client_scid", "string", &["quic.client_scid"]),
    field("server_scid", "string", &["quic.server_scid"]),
    field("server_name", "string", &["hostname", "tls.sni"]),
    col("client_protocol", "string", Call(rows::client_protocol)),
    col("history", "string", From::Field(&["quic.history"], "(empty)")),
}

// base/protocols/ssh. Whether a log-in succeeded, and how often it was tried, would have to be guessed from sizes; the
// host key's fingerprint is MD5 in Zeek.
flow_columns! { SSH: []
    field("version", "count", &["ssh.version"]),
    unset("auth_success", "bool"),
    col("auth_attempts", "count", Fixed("0")),
    unset("direction", "enum"),
    field("client", "string", &["ssh.client"]),
    field("server", "string", &["ssh.server"]),
    field("cipher_alg", "string", &["ssh.cipher_alg"]),
    field("mac_alg", "string", &["ssh.mac_alg"]),
    field("compression_alg", "string", &["ssh.compression_alg"]),
    field("kex_alg", "string", &["ssh.kex_alg"]),
    field("host_key_alg", "string", &["ssh.host_key_alg"]),
    unset("host_key", "string"),
}
