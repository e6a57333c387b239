//! SASL exchanges inside line protocols (RFC 4422): who logs in, by which mechanism, and whether it could be overheard.
//! Passwords are skipped over, never kept.

use super::lines::{self, shown};
use crate::{Sink, risk};

/// Five refused logins within one connection are remarkable.
const FAILURES_MAX: u8 = 5;

/// Counts refused logins, and raises the risk once there are too many.
#[derive(Debug, Default)]
pub(crate) struct Failures(u8);

impl Failures {
    /// A login was refused. `protocol` is the field prefix for the evidence.
    pub(crate) fn refused(&mut self, protocol: &str, out: &mut Sink<'_>) {
        self.0 = self.0.saturating_add(1);
        if self.0 >= FAILURES_MAX {
            out.risk(&risk::REPEATED_LOGIN_FAILURES, || format!("{protocol}.login_failures={}", self.0));
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Sasl {
    mechanism: String,
    responses: u8,
}

impl Sasl {
    /// The client named this mechanism.
    pub(crate) fn new(mechanism: &[u8]) -> Self {
        // RFC 4422 §3.1: at most 20 characters.
        Self { mechanism: shown(mechanism.get(..20).unwrap_or(mechanism)).to_ascii_uppercase(), responses: 0 }
    }

    /// The mechanism in upper case.
    pub(crate) fn mechanism(&self) -> &str {
        &self.mechanism
    }

    /// True if somebody who listens learns the password or can guess it at leisure. SCRAM, GSSAPI and certificates
    /// (EXTERNAL) withstand that, and ANONYMOUS has nothing to lose.
    pub(crate) fn is_exposed(&self) -> bool {
        let m = self.mechanism.as_str();
        !(m.starts_with("SCRAM-")
            || m.starts_with("GS2-")
            || matches!(m, "GSSAPI" | "GSS-SPNEGO" | "EXTERNAL" | "ANONYMOUS" | "KERBEROS_V4"))
    }

    /// The client is not expected to send more responses. (Where the server's side isn't seen, nothing else says so.)
    pub(crate) fn is_over(&self) -> bool {
        self.responses
            >= if matches!(self.mechanism.as_str(), "PLAIN" | "XOAUTH2" | "OAUTHBEARER") { 1 } else { 2 }
    }

    /// A response of the client, in Base64. Answers the user name, if this response has it.
    pub(crate) fn response(&mut self, line: &[u8]) -> Option<String> {
        self.responses = self.responses.saturating_add(1);
        let data = base64(line)?;
        let user = match (self.mechanism.as_str(), self.responses) {
            // authorisation identity NUL user NUL password (RFC 4616)
            ("PLAIN", 1) => data.split(|b| *b == 0).nth(1)?,
            ("LOGIN", 1) => &data,
            // user SP digest (RFC 2195)
            ("CRAM-MD5", 1) => lines::split(&data).0,
            // "user=" user 0x01 "auth=Bearer …", and RFC 7628: "n,a=" user "," 0x01 …
            ("XOAUTH2", 1) => data.strip_prefix(b"user=")?.split(|b| *b == 1).next()?,
            ("OAUTHBEARER", 1) => data.strip_prefix(b"n,a=")?.split(|b| *b == b',').next()?,
            _ => return None,
        };
        (!user.is_empty() && lines::is_text(user)).then(|| shown(user))
    }
}

/// Decodes Base64 (RFC 4648 §4), at most 1 KiB of it; `None` if it is something else.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let text = text.get(..1024).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for b in text.iter().take_while(|b| **b != b'=') {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_without_passwords() {
        // RFC 4616 §4: "\0tim\0tanstaaftanstaaf"
        assert_eq!(Sasl::new(b"plain").response(b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm").as_deref(), Some("tim"));
        // RFC 2195 §2
        let cram = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
        assert_eq!(Sasl::new(b"CRAM-MD5").response(cram).as_deref(), Some("tim"));
        let mut login = Sasl::new(b"LOGIN");
        assert_eq!(login.response(b"dGlt").as_deref(), Some("tim"));
        assert_eq!(login.response(b"c2VjcmV0"), None, "the password is not kept");
        assert!(login.is_over());
    }

    #[test]
    fn what_withstands_listening() {
        assert!(Sasl::new(b"PLAIN").is_exposed() && Sasl::new(b"CRAM-MD5").is_exposed());
        assert!(!Sasl::new(b"SCRAM-SHA-256").is_exposed() && !Sasl::new(b"GSSAPI").is_exposed());
    }

    #[test]
    fn base64_is_checked() {
        assert_eq!(base64(b"Zm9vYg=="), Some(b"foob".to_vec()));
        assert_eq!(base64(b"not base64!"), None);
    }
}
