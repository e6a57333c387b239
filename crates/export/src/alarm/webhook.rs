//! Alarms by POST to a URL, signed as [Standard Webhooks](https://www.standardwebhooks.com) has it.
//!
//! `webhook-id` is the alarm's, the same however often it is sent; `webhook-timestamp` is when this request was made;
//! `webhook-signature` is `v1,` and the HMAC-SHA256 over the two and the body, joined by dots, in Base64. Redirects are not
//! followed: a signed message goes to the place that was configured, or nowhere.

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::hmac;
use serde_json::json;

use super::{Alarm, Outlet};
use crate::carry::SendError;
use crate::http::Http;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};

/// Where to, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// The URL.
    pub url: String,
    /// The key to sign with, 24 to 64 bytes; without one there is no signature.
    pub secret: Option<Secret<Vec<u8>>>,
    /// Certificates.
    pub tls: Tls,
}

/// Posts alarms.
pub struct Webhook {
    url: String,
    key: Option<hmac::Key>,
    http: Http,
}

impl Webhook {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used.
    pub fn new(options: &WebhookOptions) -> Result<Self, TlsError> {
        Ok(Self {
            url: options.url.clone(),
            key: options.secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)),
            http: Http::new(&options.tls, Duration::from_secs(15))?,
        })
    }
}

/// What is posted.
pub fn body(alarm: &Alarm) -> String {
    let mut data = json!({
        "id": alarm.id,
        "risk": alarm.risk,
        "severity": alarm.severity.name(),
        "side": alarm.side,
        "evidence": alarm.evidence,
        "sensor": alarm.sensor,
        "uid": alarm.uid,
        "src_ip": alarm.src_ip,
        "src_port": alarm.src_port,
        "dst_ip": alarm.dst_ip,
        "dst_port": alarm.dst_port,
        "transport": alarm.transport,
        "protocol": alarm.protocol,
        "count": alarm.count,
        "left_out": alarm.left_out,
    });
    for (name, text) in [("hostname", &alarm.hostname), ("application", &alarm.application)] {
        if !text.is_empty() {
            data[name] = text.as_str().into();
        }
    }
    json!({ "type": "daylight.risk", "timestamp": alarm.time, "data": data }).to_string()
}

/// The value of `webhook-signature`.
fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

impl Outlet for Webhook {
    fn send(&mut self, alarms: &[Alarm]) -> Result<usize, SendError> {
        let Some(alarm) = alarms.first() else { return Ok(0) };
        let body = body(alarm);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let timestamp = now.as_secs().to_string();
        let mut headers = vec![
            ("content-type", "application/json"),
            ("webhook-id", &*alarm.id),
            ("webhook-timestamp", &*timestamp),
        ];
        let signature = self.key.as_ref().map(|key| signature(key, &alarm.id, &timestamp, &body));
        if let Some(signature) = &signature {
            headers.push(("webhook-signature", signature));
        }
        self.http.post(&self.url, &headers, body.as_bytes()).map(|_| 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NASTY, nasty};
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn signs_as_others_do() {
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_body() {
        let body = body(&nasty());
        assert!(!body.bytes().any(|b| b < 0x20), "one line: {body}");
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["data"]["hostname"], NASTY);
        insta::assert_snapshot!(body);
    }
}
