//! What user agents and servers say that they are. Every rule is in a list below.

use std::sync::LazyLock;

use super::matcher::Matcher;
use crate::names::dns::measure::{GENERATED, cost};

/// Longer user agents are padding or payload; the longest of ordinary browsers' in-app views have some 400 bytes.
const USER_AGENT_BYTES_MAX: usize = 768;

/// Vulnerability scanners and attack tools, as they name themselves.
const SCANNERS: &[&str] = &[
    "sqlmap",
    "nikto",
    "nmap",
    "masscan",
    "zgrab",
    "nessus",
    "openvas",
    "acunetix",
    "netsparker",
    "dirbuster",
    "gobuster",
    "dirb ",
    "wpscan",
    "havij",
    "arachni",
    "w3af",
    "nuclei",
    "ffuf",
    "feroxbuster",
    "zmeu",
    "morfeus",
    "jorgee",
    "whatweb",
    "skipfish",
    "commix",
    "xsser",
    "l9explore",
    "l9tcpid",
    "fuzz faster",
    "hydra",
    "burp",
    "owasp",
    "metasploit",
    "muieblackcat",
    "sysscan",
    "python-shodan",
    "hello, world",
    "hello world",
    "jndi:",
];

/// Programs and libraries that fetch without a person before them.
const SCRIPTS: &[&str] = &[
    "curl/",
    "wget/",
    "python-requests/",
    "python-urllib/",
    "python/",
    "aiohttp/",
    "httpx/",
    "libwww-perl/",
    "lwp::simple",
    "go-http-client/",
    "node-fetch",
    "axios/",
    "ruby",
    "perl",
    "php/",
    "guzzlehttp",
    "scrapy/",
];

/// What a user agent is besides a browser or an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A scanner, or what only attacks send; the rule that found it.
    Suspicious(&'static str),
    /// A search engine's or archive's crawler, as it says.
    Crawler(&'static str),
    /// A script or a command-line tool.
    Script(&'static str),
}

const CRAWLERS: &[&str] = &["bot/", "bot;", "bot)", "-bot", "crawler", "spider", "slurp"];

/// Tools that name themselves after the name of a browser.
const TOOLS: &[&str] = &["windowspowershell/", "certutil url agent"];

static AGENTS: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&[SCANNERS, CRAWLERS, TOOLS]));

/// Judges a user agent.
pub fn agent(value: &[u8]) -> Option<Agent> {
    if value.is_empty() {
        return Some(Agent::Suspicious("empty"));
    }
    if value.len() > USER_AGENT_BYTES_MAX {
        return Some(Agent::Suspicious("too long"));
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Some(Agent::Suspicious("control characters"));
    }
    if !value.iter().any(u8::is_ascii_alphanumeric) {
        return Some(Agent::Suspicious("no letters"));
    }
    // One word without meaning: malware makes up such names.
    if value.len() >= 12 && value.iter().all(u8::is_ascii_alphabetic) && cost(value) > GENERATED {
        return Some(Agent::Suspicious("random letters"));
    }
    match AGENTS.find(value) {
        Some((tool, 0)) => return Some(Agent::Suspicious(tool)),
        Some((tool, 2)) => return Some(Agent::Script(tool)),
        // Phones by Cubot name themselves too.
        Some((word, _)) if !value.windows(5).any(|w| w.eq_ignore_ascii_case(b"cubot")) => {
            return Some(Agent::Crawler(word));
        }
        _ => {}
    }
    // Libraries put their name first; browsers have it nowhere.
    let starts = |p: &str| value.get(..p.len()).is_some_and(|v| v.eq_ignore_ascii_case(p.as_bytes()));
    SCRIPTS.iter().copied().find(|p| starts(p)).map(Agent::Script)
}

/// Servers that nobody mends any more: product, and the first version that is still maintained or was until 2023.
const MAINTAINED: &[(&str, [u32; 2], &str)] = &[
    ("apache/", [2, 4], "2.2 ended in 2017"),
    ("nginx/", [1, 20], "1.18 ended in 2021"),
    ("microsoft-iis/", [8, 0], "7.5 ended in 2020"),
    ("php/", [7, 4], "7.3 ended in 2021"),
    ("openssl/", [1, 1], "1.0 ended in 2019"),
    ("lighttpd/", [1, 4], "1.4 is from 2005"),
    ("apache-coyote/", [2, 0], "Tomcat up to 8.0, which ended in 2018"),
    ("thttpd/", [2, 26], "2.25 is from 2003"),
    ("boa/", [0, 95], "0.94 is from 2005"),
    ("goahead-webs", [1, 0], "GoAhead before 3 (2012)"),
    ("squid/", [4, 0], "3.5 ended in 2018"),
];

/// The obsolete product in a `Server` or `X-Powered-By` header, and why it is that.
pub fn obsolete(value: &[u8]) -> Option<(String, &'static str)> {
    let lower = value.get(..256).unwrap_or(value).to_ascii_lowercase();
    MAINTAINED.iter().find_map(|(product, first, why)| {
        let at = lower.windows(product.len()).position(|w| w == product.as_bytes())?;
        if at > 0 && lower[at - 1].is_ascii_alphanumeric() {
            return None;
        }
        let version = &lower[at + product.len()..];
        // A major version alone says nothing about the minor.
        let unknown = if product.ends_with('/') { u32::MAX } else { 0 };
        let mut parts = version.split(|b| !b.is_ascii_digit()).take(2).map(number);
        let found = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), minor) => [major, minor.unwrap_or(unknown)],
            (None, _) if !product.ends_with('/') => [0, 0],
            _ => return None,
        };
        let end = version.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(version.len());
        (found < *first)
            .then(|| (String::from_utf8_lossy(&lower[at..at + product.len() + end]).into_owned(), *why))
    })
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents() {
        assert_eq!(agent(b"sqlmap/1.7"), Some(Agent::Suspicious("sqlmap")));
        assert_eq!(agent(b"Mozilla/5.00 (Nikto/2.1.6)"), Some(Agent::Suspicious("nikto")));
        assert_eq!(agent(b""), Some(Agent::Suspicious("empty")));
        assert_eq!(agent(b"vQxKzbjWtpHgmXqr"), Some(Agent::Suspicious("random letters")));
        assert_eq!(agent(b"MicroMessengerClient"), None);
        assert_eq!(agent(b"**"), Some(Agent::Suspicious("no letters")));
        assert_eq!(agent(&[b'a'; 1000]), Some(Agent::Suspicious("too long")));
        assert!(matches!(
            agent(b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            Some(Agent::Crawler(_))
        ));
        assert_eq!(agent(b"curl/8.1"), Some(Agent::Script("curl/")));
        for browser in [
            &b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/102.0.0.0 Safari/537.36"[..],
            b"Mozilla/5.0 (Linux; Android 9; CUBOT_NOTE Build/PPR1; wv)", b"Dalvik/2.1.0 (Linux; U; Android 11)", b"iTunes/12",
        ] {
            assert_eq!(agent(browser), None, "{}", String::from_utf8_lossy(browser));
        }
    }

    #[test]
    fn servers() {
        for old in [
            "Apache/2.2.15 (CentOS)",
            "nginx/1.4.6",
            "Microsoft-IIS/6.0",
            "PHP/5.6.40",
            "Apache/2.4.6 OpenSSL/1.0.2k-fips",
            "Apache-Coyote/1.1",
            "GoAhead-Webs",
        ] {
            assert!(obsolete(old.as_bytes()).is_some(), "{old}");
        }
        for fine in [
            "Apache/2.4.57",
            "Apache",
            "nginx",
            "nginx/1.24.0",
            "Microsoft-IIS/10.0",
            "cloudflare",
            "PHP/8.2.1",
            "AmazonS3",
            "Apache/2",
            "myphp/1.0",
        ] {
            assert_eq!(obsolete(fine.as_bytes()), None, "{fine}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = (agent(&text), obsolete(&text));
        }
    }
}
