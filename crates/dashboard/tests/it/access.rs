//! Who may look: logging in and out, forged forms, guessing, and what cookies say.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daylight_dashboard::{Data, Options, Transport, set_password};
use rustls::pki_types::ServerName;
use tempfile::TempDir;

use crate::client::{Answer, ask, encoded, get};
use crate::{Served, now_ns, store, support};

const PASSWORD: &str = "correct horse battery";

/// A folder with a password file in it.
fn passwords() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwords");
    set_password(&path, "anna", PASSWORD).unwrap();
    (folder, path)
}

fn guarded(options: Options) -> (TempDir, PathBuf, Served) {
    let (folder, path) = passwords();
    let options = Options { passwords: Some(path.clone()), ..options };
    let data = Data { ask: store(support::day(now_ns(), 50)), ..Data::default() };
    (folder, path, Served::start(options, data))
}

/// The token of a page's first form.
pub(crate) fn token(page: &Answer) -> String {
    let rest = page.body.split("name=\"token\" value=\"").nth(1).expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

fn value(answer: &Answer, cookie: &str) -> String {
    let set = answer.cookie(cookie).unwrap_or_else(|| panic!("no {cookie}: {}", answer.head));
    set.split(';').next().unwrap().to_owned()
}

/// Someone before the form.
struct Visitor {
    address: SocketAddr,
    seed: String,
    token: String,
}

impl Visitor {
    fn new(address: SocketAddr) -> Self {
        let page = get(address, "/login", &[]);
        assert_eq!(page.status, 200);
        Self { address, seed: value(&page, "daylight-seed"), token: token(&page) }
    }

    fn log_in(&self, user: &str, password: &str, next: &str, fields: &[(&str, &str)]) -> Answer {
        let form = format!(
            "token={}&user={}&password={}&next={}",
            self.token,
            encoded(user),
            encoded(password),
            encoded(next)
        );
        let cookie = format!("daylight-seed={}", self.seed);
        let fields = [&[("Cookie", cookie.as_str())][..], fields].concat();
        ask(self.address, "POST", "/login", &fields, &form)
    }
}

/// Logs in: the cookie to send.
fn session(address: SocketAddr) -> String {
    let answer = Visitor::new(address).log_in("anna", PASSWORD, "/", &[]);
    assert_eq!(answer.status, 303, "{answer:?}");
    format!("daylight-session={}", value(&answer, "daylight-session"))
}

#[test]
fn in_and_out() {
    let (_folder, _, served) = guarded(Options::default());
    let address = served.address;
    let refused = get(address, "/hosts?range=7d", &[]);
    assert_eq!((refused.status, refused.field("location")), (303, "/login?next=%2Fhosts%3Frange%3D7d"));
    for path in ["/api/v1/hosts", "/api/v1/now", "/api/v1/live", "/api/v1/openapi.json", "/api/v1/nothing"] {
        let refused = get(address, path, &[]);
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.json()["error"], "login");
    }
    let visitor = Visitor::new(address);
    for (user, password) in [("anna", "wrong password"), ("nobody", PASSWORD), ("", ""), ("anna", "")] {
        let answer = visitor.log_in(user, password, "/", &[]);
        assert_eq!(answer.status, 401, "{user}");
        assert!(answer.cookie("daylight-session").is_none());
    }
    let answer = visitor.log_in("anna", PASSWORD, "/hosts?range=7d", &[]);
    assert_eq!((answer.status, answer.field("location")), (303, "/hosts?range=7d"));
    let set = answer.cookie("daylight-session").unwrap();
    for flag in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(flag), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Max-Age") && !set.contains("Domain"), "{set}");
    let cookie = format!("daylight-session={}", value(&answer, "daylight-session"));
    let page = get(address, "/hosts", &[("Cookie", &cookie)]);
    assert_eq!(page.status, 200);
    assert_eq!(get(address, "/api/v1/hosts", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(get(address, "/login", &[("Cookie", &cookie)]).status, 303, "who is in needs no form");
    // The token of before is the visitor's, not the session's.
    let old = format!("token={}", visitor.token);
    assert_eq!(ask(address, "POST", "/logout", &[("Cookie", &cookie)], &old).status, 403);
    assert_eq!(get(address, "/hosts", &[("Cookie", &cookie)]).status, 200);
    let form = format!("token={}", token(&page));
    let out = ask(address, "POST", "/logout", &[("Cookie", &cookie)], &form);
    assert_eq!((out.status, out.field("location")), (303, "/login"));
    assert!(out.cookie("daylight-session").unwrap().contains("Max-Age=0"));
    assert_eq!(get(address, "/hosts", &[("Cookie", &cookie)]).status, 303, "the session is over");
}

#[test]
fn nobody_is_sent_elsewhere() {
    let (_folder, _, served) = guarded(Options::default());
    for next in [
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "/a\r\nSet-Cookie: x=y",
        "javascript:alert(1)",
    ] {
        let answer = Visitor::new(served.address).log_in("anna", PASSWORD, next, &[]);
        assert_eq!((answer.status, answer.field("location")), (303, "/"), "{next}");
    }
}

#[test]
fn forged_forms_do_nothing() {
    let (_folder, _, served) = guarded(Options::default());
    let (one, other) = (Visitor::new(served.address), Visitor::new(served.address));
    let mixed = Visitor { token: other.token.clone(), ..Visitor::new(served.address) };
    assert_eq!(mixed.log_in("anna", PASSWORD, "/", &[]).status, 403, "another's token");
    let none = Visitor { token: String::new(), ..Visitor::new(served.address) };
    assert_eq!(none.log_in("anna", PASSWORD, "/", &[]).status, 403, "no token");
    let bare = format!("token={}&user=anna&password={}&next=/", one.token, encoded(PASSWORD));
    assert_eq!(ask(served.address, "POST", "/login", &[], &bare).status, 403, "no cookie");
    for fields in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "https://127.0.0.1"),
    ] {
        assert_eq!(one.log_in("anna", PASSWORD, "/", &[fields]).status, 403, "{fields:?}");
    }
    let own = format!("http://{}", served.address);
    let answer = one.log_in("anna", PASSWORD, "/", &[("Sec-Fetch-Site", "same-origin"), ("Origin", &own)]);
    assert_eq!(answer.status, 303);
    let cookie = session(served.address);
    for path in ["/logout", "/settings", "/login"] {
        assert_eq!(
            ask(served.address, "POST", path, &[("Cookie", &cookie)], "token=00").status,
            403,
            "{path}"
        );
    }
    assert_eq!(get(served.address, "/hosts", &[("Cookie", &cookie)]).status, 200);
    // A question that another site's page makes a browser ask.
    let fields = [("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(get(served.address, "/api/v1/query?q=SELECT+1", &fields).status, 403);
    assert!(get(served.address, "/query?q=SELECT+1", &fields).body.contains("role=\"status\""));
}

#[test]
fn a_session_is_given_and_not_taken() {
    let (_folder, _, served) = guarded(Options::default());
    let chosen = "ab".repeat(32);
    let fields = format!("daylight-session={chosen}");
    assert_eq!(get(served.address, "/hosts", &[("Cookie", &fields)]).status, 303);
    let visitor = Visitor::new(served.address);
    let answer = visitor.log_in("anna", PASSWORD, "/", &[("Cookie", &fields)]);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_ne!(value(&answer, "daylight-session"), chosen);
    assert_ne!(session(served.address), session(served.address));
}

#[test]
fn sessions_end_by_themselves() {
    for options in [
        Options { session_idle: Duration::ZERO, ..Options::default() },
        Options { session_absolute: Duration::ZERO, ..Options::default() },
    ] {
        let (_folder, _, served) = guarded(options);
        let cookie = session(served.address);
        assert_eq!(get(served.address, "/hosts", &[("Cookie", &cookie)]).status, 303);
        assert_eq!(get(served.address, "/api/v1/hosts", &[("Cookie", &cookie)]).status, 401);
    }
}

/// On a machine that is busy the first wait may be over before the next attempt: then guessing begins again.
#[test]
fn who_guesses_waits() {
    let (_folder, _, served) = guarded(Options::default());
    let visitor = Visitor::new(served.address);
    let waits = (0..20).find_map(|_| {
        for i in 0..5 {
            let answer = visitor.log_in("anna", &format!("guess number {i}"), "/", &[]);
            assert!(matches!(answer.status, 401 | 429), "{answer:?}");
        }
        // The right one, which claims to come from elsewhere: there is no proxy.
        let answer = visitor.log_in("anna", PASSWORD, "/", &[("X-Forwarded-For", "203.0.113.9")]);
        (answer.status == 429).then_some(answer)
    });
    let waits = waits.expect("also who has the right one waits");
    assert!(waits.field("retry-after").parse::<u32>().unwrap() >= 1);
    assert!(waits.cookie("daylight-session").is_none());
}

#[test]
fn a_changed_password_is_in_force_at_once() {
    let (_folder, path, served) = guarded(Options::default());
    set_password(&path, "anna", "another long password").unwrap();
    let visitor = Visitor::new(served.address);
    assert_eq!(visitor.log_in("anna", PASSWORD, "/", &[]).status, 401);
    assert_eq!(visitor.log_in("anna", "another long password", "/", &[]).status, 303);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(visitor.log_in("anna", "another long password", "/", &[]).status, 503);
}

#[test]
fn behind_a_proxy() {
    let options = Options { transport: Transport::BehindProxy, ..Options::default() };
    let (_folder, _, served) = guarded(options);
    let https = ("X-Forwarded-Proto", "https");
    let page = get(served.address, "/login", &[https]);
    assert!(page.cookie("__Host-daylight-seed").unwrap().contains("; Secure"));
    assert!(page.field("strict-transport-security").starts_with("max-age="));
    let cookie = format!("__Host-daylight-seed={}", value(&page, "__Host-daylight-seed"));
    let try_from = |user: &str, forwarded: &str| {
        let form = format!("token={}&user={user}&password=wrong-password&next=/", token(&page));
        let fields = [("Cookie", cookie.as_str()), https, ("X-Forwarded-For", forwarded)];
        ask(served.address, "POST", "/login", &fields, &form).status
    };
    // What a client claims stands before what the proxy adds.
    let statuses: Vec<u16> = (0..40)
        .map(|i| try_from(&format!("a{i}"), &format!("192.0.2.{i}, 203.0.113.1")))
        .take_while(|status| *status != 429)
        .collect();
    assert!(
        (5..40).contains(&statuses.len()) && statuses.iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    assert_eq!(try_from("c", "192.0.2.99, 203.0.113.2"), 401, "another reader doesn't wait");
}

#[test]
fn over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let (_kept, _, served) =
        guarded(Options { transport: Transport::Files { certificate, key }, ..Options::default() });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client =
        rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(served.address).unwrap());
    stream.write_all(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let seed = text.lines().find(|line| line.starts_with("set-cookie: __Host-daylight-seed=")).unwrap();
    for flag in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(seed.contains(flag), "{seed}");
    }
    assert!(text.contains("strict-transport-security: max-age=31536000"));
    assert_eq!(get(served.address, "/login", &[]).status, 0, "nothing is said in clear text");
}
