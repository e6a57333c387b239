//! Fetching a URL with curl, and telling from its words how it ended.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::End;
use crate::scenario::model::Outcome;

/// Below this, a rate would measure the handshake.
pub(super) const RATE_BYTES_MIN: u64 = 16_000;

/// The parts of a URL that a fetch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) text: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Url {
    /// Reads `http://host[:port]/path` or `https://…`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no URL: write one as \"https://site.example/\"");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            other => return Err(format!("{other:?} can't be fetched: http or https")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() || authority.contains(['@', ' ']) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), host, port })
    }
}

/// How to fetch.
pub(super) struct How<'a> {
    pub(super) http: Option<&'a str>,
    pub(super) insecure: bool,
    pub(super) ca: &'a Path,
    pub(super) token: &'a str,
    pub(super) timeout: Duration,
}

/// Gets a URL from an address. `spent` is what resolving took.
pub(super) fn fetch(url: &Url, address: IpAddr, how: &How<'_>, spent: Duration) -> End {
    let at = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--output", "/dev/null", "--noproxy", "*"])
        .args(["--write-out", "%{json}\n%{header_json}"])
        .args([
            "--max-time",
            &how.timeout.saturating_sub(spent).max(Duration::from_millis(50)).as_secs_f64().to_string(),
        ])
        .args(["--resolve", &format!("{}:{}:{at}", url.host, url.port)])
        .arg("--cacert")
        .arg(how.ca)
        .stdin(Stdio::null());
    match how.http {
        Some("1.1") => drop(curl.arg("--http1.1")),
        Some("2") => drop(curl.arg("--http2")),
        _ => {}
    }
    if how.insecure {
        curl.arg("--insecure");
    }
    let output = match curl.arg(&url.text).output() {
        Ok(output) => output,
        Err(error) => {
            let what = format!("curl: {error}; it is in the Debian package curl");
            return End::new(Outcome::Failed, spent, what);
        }
    };
    let mut values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let report = values.next().and_then(Result::ok).unwrap_or_default();
    let headers = values.next().and_then(Result::ok).unwrap_or_default();
    judge(&report, &headers, output.status.code().unwrap_or(-1), how.token, spent)
}

/// How a fetch ended that brought a whole answer: from the site, or from somebody in its place.
pub(super) fn of_site(
    is_site: bool,
    status: u16,
    location: Option<&str>,
    link: Option<&str>,
) -> (Outcome, String) {
    match (is_site, link) {
        (true, _) if status < 400 => (Outcome::Ok, format!("status {status}")),
        (true, _) => (Outcome::HttpError, format!("status {status}")),
        (false, Some(link)) if status == 451 && link.contains("blocked-by") => {
            (Outcome::Http451, format!("status 451: {link}"))
        }
        (false, _) => {
            let to = location.map_or(String::new(), |to| format!(", to {to}"));
            (Outcome::BlockPage, format!("status {status}{to}: not the site's page"))
        }
    }
}

/// How a fetch ended, from curl's report.
fn judge(report: &Value, headers: &Value, exit: i32, token: &str, spent: Duration) -> End {
    let number = |key: &str| report.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let message = report.get("errormsg").and_then(Value::as_str).unwrap_or_default();
    let status = number("http_code") as u16;
    let header = |name: &str| headers.get(name).and_then(|v| v.get(0)).and_then(Value::as_str);
    let elapsed = spent + Duration::from_secs_f64(number("time_total").max(0.0));
    let connected = number("time_connect") > 0.0;
    let lower = message.to_ascii_lowercase();
    let reset = lower.contains("reset") || lower.contains("errno 104");
    let is_site = header(crate::service::SITE_HEADER) == Some(token);
    let (outcome, detail) = match exit {
        0 => of_site(is_site, status, header("location"), header("link")),
        7 if lower.contains("unreachable") || lower.contains("no route") => {
            (Outcome::Unreachable, message.into())
        }
        7 if lower.contains("timed out") => (Outcome::Timeout, message.into()),
        7 => (Outcome::Refused, message.into()),
        28 => {
            let what = if !connected {
                "no connection"
            } else if status > 0 {
                "stopped midway"
            } else {
                "no answer"
            };
            (Outcome::Timeout, format!("{what}: {message}"))
        }
        60 | 51 => (Outcome::TlsCertificate, message.into()),
        _ if reset => (Outcome::Reset, message.into()),
        35 if lower.contains("syscall") || lower.contains("eof") => (Outcome::Closed, message.into()),
        35 => (Outcome::TlsError, message.into()),
        52 | 18 => (Outcome::Closed, message.into()),
        56 | 92 => (Outcome::Closed, message.into()),
        _ => (Outcome::Failed, format!("curl {exit}: {message}")),
    };
    let mut end = End::new(outcome, elapsed, detail);
    let bytes = number("size_download") as u64;
    let transfer_s = number("time_total") - number("time_starttransfer");
    end.bytes = (bytes > 0).then_some(bytes);
    if bytes >= RATE_BYTES_MIN && transfer_s > 0.0 {
        end.rate_mbit = Some(bytes as f64 * 8.0 / transfer_s / 1e6);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls() {
        let url = Url::parse("https://Wiki.example/a?b").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("wiki.example", 443));
        let url = Url::parse("http://[fd00::1]:8080/").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("fd00::1", 8080));
        for wrong in ["wiki.example", "ftp://a.example/", "https:///", "http://a:b:c/", "http://u@a.example/"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn outcomes() {
        let site = json!({"daylight-site": ["secret"]});
        let say = |code: u32, message: &str| json!({"http_code": code, "errormsg": message, "time_total": 0.1, "time_connect": 0.01});
        let judged = |report: Value, headers: &Value, exit| {
            judge(&report, headers, exit, "secret", Duration::ZERO).outcome
        };
        assert_eq!(judged(say(200, ""), &site, 0), Outcome::Ok);
        assert_eq!(judged(say(404, ""), &site, 0), Outcome::HttpError);
        // Somebody else's page, even with status 200, and even with a header of that name.
        assert_eq!(judged(say(200, ""), &json!({}), 0), Outcome::BlockPage);
        assert_eq!(judged(say(200, ""), &json!({"daylight-site": ["guess"]}), 0), Outcome::BlockPage);
        // An honest notice says who blocks.
        let link = json!({"link": ["<https://filter.example/>; rel=\"blocked-by\""]});
        assert_eq!(judged(say(451, ""), &link, 0), Outcome::Http451);
        assert_eq!(judged(say(403, ""), &link, 0), Outcome::BlockPage);
        assert_eq!(judged(say(451, ""), &json!({}), 0), Outcome::BlockPage);
        assert_eq!(judged(say(0, "Recv failure: Connection reset by peer"), &json!({}), 35), Outcome::Reset);
        assert_eq!(judged(say(0, "OpenSSL SSL_connect: SSL_ERROR_SYSCALL"), &json!({}), 35), Outcome::Closed);
        assert_eq!(
            judged(say(0, "Failed to connect: No route to host"), &json!({}), 7),
            Outcome::Unreachable
        );
        assert_eq!(judged(say(0, "Connection refused"), &json!({}), 7), Outcome::Refused);
        assert_eq!(
            judged(say(0, "self-signed certificate in chain"), &json!({}), 60),
            Outcome::TlsCertificate
        );
        assert_eq!(judged(say(0, "timed out"), &json!({}), 28), Outcome::Timeout);
        assert_eq!(judged(say(0, "Empty reply from server"), &json!({}), 52), Outcome::Closed);
    }
}
