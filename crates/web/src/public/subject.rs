//! What somebody asks about: a host's name, however it was written or pasted.

use std::net::IpAddr;

use daylight_policy::audit::HostName;
use serde::Serialize;
use url::{Host, Url};

/// Nothing longer is looked at.
pub(super) const INPUT_BYTES_MAX: usize = 2048;

const NO_NAME: &str = "it is not the name of a site, such as example.org";

/// What was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Nothing.
    Empty,
    /// A host.
    Host(AskedHost),
    /// An IP address, or the name of one.
    Address,
    /// Neither; why.
    Unclear(&'static str),
}

/// A host that was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AskedHost {
    /// As the wire and the log have it.
    pub(super) host: HostName,
    /// As people read it, if that is another way.
    pub(super) unicode: Option<String>,
}

impl Subject {
    /// Reads a name, a name with a port, a whole URL, a mail address.
    pub(super) fn read(input: &str) -> Self {
        let text = input.trim().trim_matches(['"', '\'', '<', '>', '“', '”', '«', '»']).trim();
        if text.is_empty() {
            return Self::Empty;
        }
        if text.len() > INPUT_BYTES_MAX {
            return Self::Unclear("it is too long");
        }
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        if address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Self::Address;
        }
        let text = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
        // Only what has a scheme and a host is a URL: `example.org:8080` has none, whatever the grammar says.
        let host = Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
        let rest = match &host {
            Some(host) => host.as_str(),
            None if text.contains("://") => return Self::Unclear(NO_NAME),
            None => text.strip_prefix("mailto:").or_else(|| text.strip_prefix("//")).unwrap_or(text),
        };
        match Url::parse(&format!("http://{rest}")).as_ref().map(Url::host) {
            Ok(Some(Host::Domain(name))) => Self::of_name(name),
            Ok(Some(Host::Ipv4(_) | Host::Ipv6(_))) => Self::Address,
            Ok(None) | Err(_) => Self::Unclear(NO_NAME),
        }
    }

    fn of_name(name: &str) -> Self {
        if name.trim_end_matches('.').ends_with(".arpa") && HostName::new(name).is_err() {
            return Self::Address;
        }
        let Ok(host) = HostName::new(name) else {
            return Self::Unclear("names of sites have letters, digits and hyphens, with dots between them");
        };
        let (unicode, valid) = idna::domain_to_unicode(host.as_str());
        let unicode = (valid.is_ok() && unicode != host.as_str()).then_some(unicode);
        Self::Host(AskedHost { host, unicode })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(input: &str) -> String {
        match Subject::read(input) {
            Subject::Host(asked) => asked.host.to_string(),
            other => panic!("{input:?} is read as {other:?}"),
        }
    }

    #[test]
    fn names_are_read_however_they_are_written() {
        for input in [
            "example.org",
            "  EXAMPLE.org. ",
            "https://example.org/path?q=1#part",
            "http://user:secret@Example.ORG:8080/",
            "example.org:8080",
            "example.org/path",
            "//example.org/x",
            "ftp://example.org",
            "wss://example.org/socket",
            "gemini://EXAMPLE.org/",
            "someone@example.org",
            "mailto:someone@example.org",
            "*.example.org",
            ".example.org",
            "<https://example.org>",
            "\"example.org\"",
            "ｅｘａｍｐｌｅ.org",
            "example。org",
        ] {
            assert_eq!(host(input), "example.org", "{input}");
        }
        assert_eq!(host("localhost"), "localhost");
        assert_eq!(host("_dmarc.example.org"), "_dmarc.example.org");
    }

    #[test]
    fn names_outside_ascii_are_read_both_ways() {
        let asked = AskedHost {
            host: HostName::new("xn--mnchen-3ya.example").unwrap(),
            unicode: Some("münchen.example".into()),
        };
        for input in
            ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "https://münchen.example/straße"]
        {
            assert_eq!(Subject::read(input), Subject::Host(asked.clone()), "{input}");
        }
    }

    #[test]
    fn addresses_are_known_in_every_notation() {
        for input in [
            "192.0.2.1",
            "192.0.2.0/24",
            "http://192.0.2.1/x",
            "2001:db8::1",
            "[2001:db8::1]:443",
            "2001:db8::/32",
            "https://[2001:db8::1]/",
            "3221225985",
            "0xc0000201",
            "0300.0.2.1",
            "192.0.513",
            "192.0.2.1:80",
            "1.2.0.192.in-addr.arpa",
            "8.b.d.0.1.0.0.2.ip6.arpa.",
        ] {
            assert_eq!(Subject::read(input), Subject::Address, "{input}");
        }
    }

    #[test]
    fn nonsense_is_said_to_be_that() {
        for input in [
            "<script>alert(1)</script>",
            "javascript:alert(1)",
            "a b",
            "example..org",
            "http://",
            "exa mple.org",
            "?",
            "mailto:",
            "xn--\u{fffd}",
            &"a".repeat(64),
            &format!("{}.org", "a.".repeat(200)),
            &"x".repeat(3000),
            "file:///etc/passwd",
            "a,b.org",
        ] {
            let read = Subject::read(input);
            assert!(matches!(read, Subject::Unclear(_)), "{input:?} is read as {read:?}");
        }
        for input in ["", "  ", "\"\"", "<>"] {
            assert_eq!(Subject::read(input), Subject::Empty, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(input in any::<String>()) {
            Subject::read(&input);
        }

        #[test]
        fn what_was_read_is_read_again_as_the_same(input in "[a-zA-ZäöüßЖ0-9_.-]{1,24}") {
            if let Subject::Host(asked) = Subject::read(&input) {
                prop_assert_eq!(Subject::read(asked.host.as_str()), Subject::Host(asked.clone()));
                if let Some(unicode) = &asked.unicode {
                    prop_assert_eq!(Subject::read(unicode), Subject::Host(asked));
                }
            }
        }
    }
}
