//! What is measured: one URL, or one TCP endpoint.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// No target is longer: what a browser takes in its address bar.
pub const TARGET_BYTES_MAX: usize = 2048;

/// Something to measure.
///
/// Written as a URL (`https://example.org/page`), a host (`example.org`, taken for `https://example.org/`), a host and a
/// port (`example.org:8443`; port 80 is taken for `http`), or an endpoint that isn't a web server: `tcp://192.0.2.1:5222`
/// is connected to, and with `tls://chat.example:443` a TLS handshake is made too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    url: Url,
    host: String,
    port: u16,
}

/// How far up the layers a target is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// DNS, TCP, HTTP.
    Http,
    /// DNS, TCP, TLS, HTTP, and QUIC.
    Https,
    /// DNS and TCP alone.
    Tcp,
    /// DNS, TCP, TLS: for servers with certificates of a private authority, which say nothing about blocking.
    Tls,
}

impl Target {
    /// The URL as it stands in a measurement's `input`.
    #[must_use]
    pub fn input(&self) -> &str {
        self.url.as_str()
    }

    /// The parsed URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.url.scheme() {
            "http" => Scheme::Http,
            "tcp" => Scheme::Tcp,
            "tls" => Scheme::Tls,
            _ => Scheme::Https,
        }
    }

    /// The host in lower case and in its ASCII form; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address, if the host is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, given or the scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The target that a redirect leads to.
    ///
    /// # Errors
    /// If `location` is no URL that can be measured.
    pub fn redirected(&self, location: &str) -> Result<Self, TargetError> {
        let url = self.url.join(location).map_err(|error| TargetError::new(location, &error.to_string()))?;
        Self::of(url, location)
    }

    fn of(url: Url, written: &str) -> Result<Self, TargetError> {
        if !matches!(url.scheme(), "http" | "https" | "tcp" | "tls") {
            return Err(TargetError::new(
                written,
                "write an http, https, tcp or tls URL, a host, or host:port",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::new(
                written,
                "leave user name and password out: they would be sent and kept",
            ));
        }
        let host = match url.host() {
            // The crate knows the hosts of http and https only; for tcp it keeps an address as a name.
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        if host.is_empty() || host.len() > 253 {
            return Err(TargetError::new(written, "it names no host"));
        }
        let port = url
            .port_or_known_default()
            .ok_or_else(|| TargetError::new(written, "a tcp or tls target needs a port"))?;
        if port == 0 {
            return Err(TargetError::new(written, "port 0 can't be reached"));
        }
        Ok(Self { url, host, port })
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::new(text, "write a URL, a host, or host:port"));
        }
        let bounded = |length: usize| {
            let why = "no more than 2048 bytes are taken, percent-encoded";
            if length > TARGET_BYTES_MAX { Err(TargetError::new(text, why)) } else { Ok(()) }
        };
        bounded(text.len())?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(TargetError::new(text, "take the blanks out of it"));
        }
        let parse = |url: &str| Url::parse(url).map_err(|error| TargetError::new(text, &error.to_string()));
        let target = |url: Url| {
            let target = Self::of(url, text)?;
            // As it is written into measurements and read from them: encoding makes three bytes of one.
            bounded(target.input().len())?;
            Ok(target)
        };
        if text.contains("://") {
            return target(parse(text)?);
        }
        // A bare IPv6 address has colons but no port.
        let bare = match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => text.to_owned(),
        };
        let url = parse(&format!("https://{bare}"))?;
        if url.port() == Some(80) {
            return target(parse(&format!("http://{bare}"))?);
        }
        target(url)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.input())
    }
}

/// Why something is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} can't be measured: {why}")]
pub struct TargetError {
    written: String,
    why: String,
}

impl TargetError {
    fn new(written: &str, why: &str) -> Self {
        let written = written.chars().take(80).collect();
        Self { written, why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_hosts_and_endpoints() {
        for (written, input, host, port, scheme) in [
            ("https://Example.org/A?b=c", "https://example.org/A?b=c", "example.org", 443, Scheme::Https),
            ("example.org", "https://example.org/", "example.org", 443, Scheme::Https),
            ("example.org:80", "http://example.org/", "example.org", 80, Scheme::Http),
            ("example.org:8443", "https://example.org:8443/", "example.org", 8443, Scheme::Https),
            ("http://192.0.2.7", "http://192.0.2.7/", "192.0.2.7", 80, Scheme::Http),
            ("2001:db8::7", "https://[2001:db8::7]/", "2001:db8::7", 443, Scheme::Https),
            ("[2001:db8::7]:80", "http://[2001:db8::7]/", "2001:db8::7", 80, Scheme::Http),
            ("tcp://192.0.2.7:5222", "tcp://192.0.2.7:5222", "192.0.2.7", 5222, Scheme::Tcp),
            ("tls://chat.example:443", "tls://chat.example:443", "chat.example", 443, Scheme::Tls),
            (
                "https://bücher.example/",
                "https://xn--bcher-kva.example/",
                "xn--bcher-kva.example",
                443,
                Scheme::Https,
            ),
            ("  example.org\t", "https://example.org/", "example.org", 443, Scheme::Https),
        ] {
            let target: Target = written.parse().unwrap();
            assert_eq!(
                (target.input(), target.host(), target.port(), target.scheme()),
                (input, host, port, scheme),
                "{written}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (written, part) in [
            ("", "write a URL"),
            ("ftp://example.org/", "write an http"),
            ("https://", "empty host"),
            ("tcp://example.org", "needs a port"),
            ("tls://example.org", "needs a port"),
            ("https://me:secret@example.org/", "leave user name"),
            ("example.org:0", "port 0"),
            ("two words.example", "blanks"),
            ("example.org:70000", "invalid port"),
        ] {
            let error = written.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(part), "{written}: {error}");
        }
        for long in ["a".repeat(3000), format!("https://example.org/{}", "ä".repeat(500))] {
            let error = long.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("2048 bytes") && error.len() < 300, "{error}");
        }
    }

    #[test]
    fn follows_redirects() {
        let target: Target = "http://example.org/a/b".parse().unwrap();
        assert_eq!(target.redirected("c").unwrap().input(), "http://example.org/a/c");
        assert_eq!(target.redirected("//www.example.org/").unwrap().input(), "http://www.example.org/");
        assert!(target.redirected("javascript:alert(1)").is_err());
        assert!(target.redirected("http://").is_err());
    }
}
