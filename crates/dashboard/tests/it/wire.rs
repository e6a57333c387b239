//! What a server must withstand: names that aren't its own, odd methods, paths that climb, too much, and too slow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use daylight_dashboard::{Data, Options};

use crate::client::{Answer, ask, get, raw};
use crate::{Served, now_ns, store, support};

/// What stands on every answer.
#[track_caller]
fn is_secured(path: &str, answer: &Answer) {
    let policy = answer.field("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {answer:?}");
    for part in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "connect-src 'self'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-robots-tag", "noindex, nofollow"),
    ] {
        assert_eq!(answer.fields(name), [value], "{path}: {name}");
    }
    assert!(answer.fields("access-control-allow-origin").is_empty(), "{path}");
    assert!(answer.fields("server").is_empty(), "{path}");
    let keep = answer.field("cache-control");
    assert!(keep == "no-store" || path.starts_with("/static/"), "{path}: {keep}");
}

#[test]
fn every_answer_is_secured() {
    let served = Served::over(support::day(now_ns(), 100));
    let page = served.get("/overview").body;
    let assets: Vec<&str> =
        page.split("\"/static/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for name in assets {
        let path = format!("/static/{name}");
        let answer = served.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.field("cache-control").contains("immutable"), "{path}");
        is_secured(&path, &answer);
        let etag = answer.field("etag").to_owned();
        assert_eq!(get(served.address, &path, &[("If-None-Match", &etag)]).status, 304);
    }
    for path in [
        "/",
        "/overview",
        "/hosts",
        "/query",
        "/nothing",
        "/static/nothing",
        "/api/v1/status",
        "/api/v1/nothing",
        "/api/v1/now",
        "/api/v1/hosts?format=csv",
        "/api/v1/query?q=DROP",
        "/%ff",
    ] {
        is_secured(path, &served.get(path));
    }
    is_secured("/hosts", &ask(served.address, "DELETE", "/hosts", &[], ""));
    is_secured("/login", &ask(served.address, "POST", "/login", &[], "a=b"));
    is_secured("/", &get(served.address, "/", &[("Host", "evil.example")]));
}

/// A page of a stranger's that has its own name lead to 127.0.0.1 gets nothing.
#[test]
fn other_names_are_refused() {
    let served = Served::over(Vec::new());
    let port = served.address.port();
    for host in [
        format!("evil.example:{port}"),
        "localhost.evil.example".into(),
        "127.0.0.1.evil.example".into(),
        "10.0.0.1".into(),
        String::new(),
    ] {
        for path in ["/", "/api/v1/status", "/static/app.js"] {
            let answer = get(served.address, path, &[("Host", &host)]);
            assert_eq!(answer.status, 421, "{host:?}: {answer:?}");
        }
    }
    for host in [format!("localhost:{port}"), "127.0.0.1".into(), format!("[::1]:{port}"), "LOCALHOST".into()]
    {
        assert_eq!(get(served.address, "/api/v1/status", &[("Host", &host)]).status, 200, "{host}");
    }
    assert_eq!(raw(served.address, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 421, "no name");
    let two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(matches!(raw(served.address, two).status, 400 | 421));
    let named = Options { names: vec!["flows.example.org".into()], ..Options::default() };
    let served = Served::start(named, Data::default());
    assert_eq!(get(served.address, "/now", &[("Host", "Flows.Example.org")]).status, 200);
    assert_eq!(get(served.address, "/now", &[("Host", "localhost")]).status, 421);
}

#[test]
fn methods() {
    let served = Served::over(support::day(now_ns(), 100));
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        for path in ["/", "/hosts", "/api/v1/hosts"] {
            let answer = ask(served.address, method, path, &[], "");
            assert_eq!((answer.status, answer.field("allow")), (405, "GET, HEAD"), "{method} {path}");
        }
    }
    for path in ["/hosts", "/api/v1/hosts", "/api/v1/hosts?format=csv", "/static/app.js"] {
        let (got, head) = (served.get(path), ask(served.address, "HEAD", path, &[], ""));
        assert_eq!((got.status, head.status), (200, 200), "{path}");
        assert_eq!(got.field("content-type"), head.field("content-type"));
        assert!(head.body.is_empty() && !got.body.is_empty(), "{path}");
    }
}

#[test]
fn no_path_leads_out() {
    let served = Served::over(Vec::new());
    for path in [
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/app.js/../../etc/passwd",
        "/../../etc/passwd",
        "/..%5c..%5cetc/passwd",
        "/static/style.css%00.js",
        "/api/v1/../../etc/passwd",
    ] {
        let answer = served.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:"), "{path}");
    }
}

#[test]
fn no_field_is_slipped_in() {
    let served = Served::over(Vec::new());
    for path in [
        "/nothing%0d%0aSet-Cookie:%20slipped=1",
        "/hosts?search=%0d%0aSet-Cookie:%20slipped=1",
        "/api/v1/hosts?format=csv&search=%0d%0aSet-Cookie:%20slipped=1",
    ] {
        let answer = served.get(path);
        assert!(
            answer.cookie("slipped").is_none() && !answer.head.contains("slipped"),
            "{path}: {}",
            answer.head
        );
    }
}

#[test]
fn too_much_is_refused() {
    let served = Served::over(Vec::new());
    // A server that has read enough closes, and what it said may be lost with what it didn't read: then the status is 0.
    let long = "x".repeat(200_000);
    assert!(matches!(served.get(&format!("/hosts?search={long}")).status, 0 | 400 | 414 | 431));
    assert!(matches!(get(served.address, "/", &[("X-Long", &long)]).status, 0 | 431));
    let many: Vec<(String, String)> = (0..200).map(|i| (format!("X-{i}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(get(served.address, "/", &many).status, 431);
    // A little more than a form may have.
    let form = "x".repeat(17_000);
    assert_eq!(ask(served.address, "POST", "/login", &[], &form).status, 413);
    let chunked = format!(
        "POST /login HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n",
        served.address,
        form.len()
    );
    assert_eq!(raw(served.address, chunked.as_bytes()).status, 413);
    for garbage in [
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        assert!(matches!(raw(served.address, garbage).status, 0 | 400 | 505), "{garbage:?}");
    }
    assert_eq!(served.get("/api/v1/status").status, 200, "it serves on");
}

/// Whoever sends a byte now and then holds a place for some seconds and no longer; others are served meanwhile.
#[test]
fn the_slow_are_let_go() {
    let served = Served::start(
        Options { connections_max: 8, ..Options::default() },
        Data { ask: store(Vec::new()), ..Data::default() },
    );
    let head =
        format!("POST /login HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nuser=", served.address);
    let slow: Vec<_> = ["", "GET / HT", "GET / HTTP/1.1\r\nX-Slow: ", head.as_str()]
        .into_iter()
        .map(|part| {
            let mut stream = TcpStream::connect(served.address).unwrap();
            stream.write_all(part.as_bytes()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            (part.to_owned(), stream)
        })
        .collect();
    assert_eq!(served.get("/api/v1/status").status, 200);
    for (part, mut stream) in slow {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap_or_else(|error| panic!("{part:?} is not let go: {error}"));
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{part:?}: {said}");
    }
}
