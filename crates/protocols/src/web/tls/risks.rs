//! What is wrong with a handshake or a certificate, and by which measure.

use std::fmt;

use super::certificate::{Certificate, host_address};
use super::der::{date_since_1970, days_since_1970};
use super::hello::{ClientHello, vec8s};
use super::names;
use crate::{Sink, risks};

risks! {
    TLS_OBSOLETE_VERSION: Medium Both "tls-obsolete-version" "SSL, TLS 1.0 or 1.1, or DTLS 1.0 was negotiated (or, where no server was seen, is the best on offer): RFC 8996 forbids them.";
    TLS_WEAK_CIPHER: High Server "tls-weak-cipher" "The server chose a cipher suite without encryption or authentication, an export-grade one, or RC4, RC2, DES, 3DES or IDEA (RFC 9325 §4.1).";
    TLS_CERT_EXPIRED: High Server "tls-cert-expired" "The server's certificate had expired by the time of the capture.";
    TLS_CERT_NOT_YET_VALID: Medium Server "tls-cert-not-yet-valid" "The server's certificate was not valid yet by the time of the capture. A wrong clock on the capturing machine looks the same.";
    TLS_CERT_SELF_SIGNED: Medium Server "tls-cert-self-signed" "Issuer and subject of the server's certificate are the same name. Common and harmless among machines that know one another by fingerprint.";
    TLS_CERT_TOO_LONG: Low Server "tls-cert-validity-too-long" "The server's certificate is valid longer than public authorities may issue: 825 days from 2018-03-01, 398 from 2020-09-01, 200 from 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15 (CA/Browser Forum). Private authorities are free to.";
    TLS_CERT_ABOUT_TO_EXPIRE: Low Server "tls-cert-about-to-expire" "The server's certificate expires within 30 days of the capture, or within a third of its lifetime where that is shorter.";
    TLS_CERT_NAME_MISMATCH: Medium Server "tls-cert-name-mismatch" "The server's certificate is not for the name that the client asked for (SNI), by the rules of RFC 9525.";
    TLS_CERT_WEAK_KEY: High Server "tls-cert-weak-key" "The key of the server's certificate is too short: RSA or DSA below 2048 bits, elliptic curves below 224 (NIST SP 800-131A).";
    TLS_CERT_WEAK_SIGNATURE: High Server "tls-cert-weak-signature" "The server's certificate is signed with MD2, MD5 or SHA-1, whose collisions are practical.";
    TLS_MISSING_SNI: Low Client "tls-missing-sni" "The client names no server (no SNI). Usual for connections to an address; old clients can't.";
    TLS_ALPN_WITHOUT_SNI: Medium Client "tls-alpn-without-sni" "The client speaks HTTP/2 or HTTP/3 but names no server: browsers always do. Usual for resolvers that are known by address.";
    TLS_NUMERIC_SNI: Low Client "tls-numeric-sni" "The client names the server by an address, which RFC 6066 §3 forbids.";
    TLS_UNCOMMON_ALPN: Low Client "tls-uncommon-alpn" "The client offers an application protocol (ALPN) that is neither registered nor widely seen.";
    TLS_FATAL_ALERT: Low Both "tls-fatal-alert" "The handshake failed with a fatal alert in clear text.";
    TLS_ESNI: Low Client "tls-esni" "The client uses encrypted SNI, which was given up for Encrypted ClientHello in 2020.";
    TLS_HEARTBLEED: Severe Client "tls-heartbleed" "A heartbeat asks for more bytes than it brings (CVE-2014-0160). Requests in clear text only.";
}

const DAY: i64 = 86_400;

/// The longest life that a public authority may give a leaf: issued from that day on, so many days.
const LIFETIMES: [(i64, i64); 5] = [
    (days_since_1970(2029, 3, 15), 47),
    (days_since_1970(2027, 3, 15), 100),
    (days_since_1970(2026, 3, 15), 200),
    (days_since_1970(2020, 9, 1), 398),
    (days_since_1970(2018, 3, 1), 825),
];

/// Looks at a ClientHello.
pub(super) fn client_hello(hello: &ClientHello<'_>, out: &mut Sink<'_>) {
    if hello.esni {
        out.risk(&TLS_ESNI, || "tls.esni=true".to_owned());
    }
    let modern = |p: &&[u8]| *p == b"h2" || p.starts_with(b"h3");
    match hello.sni {
        Some(name) => {
            if host_address(name).is_some() {
                out.risk(&TLS_NUMERIC_SNI, || format!("tls.sni={}", String::from_utf8_lossy(name)));
            }
        }
        // With encrypted SNI there is nothing to see.
        None if hello.esni => {}
        None => match vec8s(hello.alpn).find(modern) {
            Some(alpn) => out.risk(&TLS_ALPN_WITHOUT_SNI, || evidence_alpn(alpn)),
            None if hello.whole => out.risk(&TLS_MISSING_SNI, || "tls.sni=".to_owned()),
            None => {}
        },
    }
    if let Some(odd) = vec8s(hello.alpn).find(|p| !names::is_common_alpn(p)) {
        out.risk(&TLS_UNCOMMON_ALPN, || evidence_alpn(odd));
    }
}

fn evidence_alpn(alpn: &[u8]) -> String {
    format!("tls.alpn_offered={}", String::from_utf8_lossy(alpn))
}

/// Looks at the version that was agreed on, or at the best on offer.
pub(super) fn version(version: u16, out: &mut Sink<'_>) {
    if names::is_obsolete(version) {
        out.risk(&TLS_OBSOLETE_VERSION, || format!("tls_version={}", names::version(version)));
    }
}

/// Looks at the cipher suite that the server chose.
pub(super) fn cipher(cipher: u16, out: &mut Sink<'_>) {
    if let Some(why) = names::weakness(cipher) {
        out.risk(&TLS_WEAK_CIPHER, || format!("tls.cipher={} ({why})", names::cipher(cipher)));
    }
}

/// Looks at the server's own certificate.
pub(super) fn certificate(c: &Certificate<'_>, sni: &[u8], out: &mut Sink<'_>) {
    let now = out.now_ns().div_euclid(1_000_000_000);
    let lifetime = c.not_after - c.not_before;
    // A capture without a clock is at 1970.
    if now > 0 {
        if now > c.not_after {
            let days = (now - c.not_after) / DAY;
            out.risk(&TLS_CERT_EXPIRED, || {
                format!("tls.cert_not_after={} ({days} days before)", Date(c.not_after))
            });
        } else if now < c.not_before {
            out.risk(&TLS_CERT_NOT_YET_VALID, || format!("tls.cert_not_before={}", Date(c.not_before)));
        } else if c.not_after - now < (30 * DAY).min(lifetime / 3) {
            let days = (c.not_after - now) / DAY;
            out.risk(&TLS_CERT_ABOUT_TO_EXPIRE, || {
                format!("tls.cert_not_after={} (in {days} days)", Date(c.not_after))
            });
        }
    }
    let limit = LIFETIMES.iter().find(|(from, _)| c.not_before >= from * DAY).map(|(_, days)| *days);
    if let Some(limit) = limit
        && lifetime > limit * DAY
        && c.is_ca != Some(true)
    {
        let days = lifetime / DAY;
        out.risk(&TLS_CERT_TOO_LONG, || {
            format!("tls.cert_not_after={} ({days} days, {limit} allowed)", Date(c.not_after))
        });
    }
    if c.is_self_issued() {
        out.risk(&TLS_CERT_SELF_SIGNED, || {
            format!("tls.cert_subject={}", super::certificate::name_text(c.subject))
        });
    }
    if c.is_weak_key() {
        out.risk(&TLS_CERT_WEAK_KEY, || format!("tls.cert_key_bits={}", c.key_bits));
    }
    if let Some(hash) = c.weak_hash() {
        out.risk(&TLS_CERT_WEAK_SIGNATURE, || {
            format!(
                "tls.cert_signature_algorithm={} ({hash})",
                super::certificate::algorithm(c.signature_algorithm)
            )
        });
    }
    if !sni.is_empty() && !c.is_for(sni) {
        out.risk(&TLS_CERT_NAME_MISMATCH, || {
            let first = c.dns_names().next().map(|n| String::from_utf8_lossy(n).into_owned());
            let name = first.or_else(|| c.common_name()).unwrap_or_default();
            format!("tls.sni={} tls.cert_names={name}", String::from_utf8_lossy(sni))
        });
    }
}

/// The day of a time in seconds since 1970, in the form of ISO 8601. A certificate's years have four digits.
struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_since_1970(self.0.div_euclid(DAY));
        let mut text = *b"0000-00-00";
        let digits = [(3, year), (2, year / 10), (1, year / 100), (0, year / 1000)];
        let digits = digits.into_iter().chain([(6, month), (5, month / 10), (9, day), (8, day / 10)]);
        digits.for_each(|(at, n)| text[at] += (n.unsigned_abs() % 10) as u8);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_dates() {
        for (seconds, want) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (1_704_067_199, "2023-12-31"),
            (1_704_067_200, "2024-01-01"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(Date(seconds).to_string(), want);
        }
    }
}
