//! Clients that want too much, and the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use daylight_policy::audit::Action;
use daylight_web::public::Settings;

use crate::common::{Filter, PATIENCE, Running, rule};

fn filter() -> Filter {
    Filter::running(vec![rule("no-games", Action::Reject, "hostname in $games")], vec![])
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, and reads what comes until the other side ends. Whether it ends by a reset does not matter.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn with(change: impl FnOnce(&mut Settings)) -> (Filter, Running) {
    let filter = filter();
    let page = filter.page_with(change);
    (filter, page)
}

#[test]
fn only_questions_are_answered() {
    let (_filter, page) = with(|_| ());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let request =
            format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        let answer = exchange(page.address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("allow: get, head"), "{method}");
    }
    let head = exchange(page.address, b"HEAD /rules HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(exchange(page.address, b"\x16\x03\x01\x02\x00\x01\x00\x01").starts_with("HTTP/1.1 400 "));
}

#[test]
fn heads_are_bounded() {
    let (_filter, page) = with(|_| ());
    let long = format!("GET /is-blocked?host={} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1 << 20));
    let wide = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for request in [long, wide, many] {
        let answer = exchange(page.address, request.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let fair =
        format!("GET /is-blocked?host={} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "a".repeat(4000));
    assert!(exchange(page.address, fair.as_bytes()).contains("it is too long"));
    assert_eq!(page.get("/").status, 200, "others are served on");
}

#[test]
fn nobody_holds_a_connection_by_being_slow() {
    let (_filter, page) = with(|settings| {
        settings.limits.head_time = Duration::from_millis(300);
        settings.limits.connection_time = Duration::from_millis(900);
        settings.limits.grace = Duration::from_millis(300);
    });
    // One who never finishes the head, one who never says anything, one who asks and asks and does not read.
    for request in ["GET / HTTP/1.1\r\nHost: a\r\nX: ", ""] {
        let mut stream = connect(page.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // The read's own patience is longer: it ends because the server does.
        let ended = stream.read_to_end(&mut rest);
        assert!(
            !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{request:?}"
        );
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    let mut greedy = connect(page.address);
    let begin = Instant::now();
    while greedy.write_all(b"GET /style.css HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it is let go on for ever");
    }
    assert_eq!(page.get("/").status, 200);
}

#[test]
fn a_connection_whose_time_is_over_ends_between_two_answers() {
    let (_filter, page) = with(|settings| settings.limits.connection_time = Duration::from_millis(500));
    let mut stream = connect(page.address);
    let begin = Instant::now();
    let mut answers = 0;
    while stream.write_all(b"GET /icon.svg HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it is let go on for ever");
        match read_answer(&mut stream) {
            Some(body) => {
                assert!(body.ends_with("</svg>\n"), "an answer that began is read to its end: {body}")
            }
            None => break,
        }
        answers += 1;
    }
    assert!(answers > 0);
}

/// One answer on a connection that stays open; none if the other side has ended.
fn read_answer(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ if head.is_empty() => return None,
            other => panic!("the head is cut off: {other:?}"),
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    Some(String::from_utf8(body).unwrap())
}

#[test]
fn connections_are_bounded_and_the_others_wait() {
    let (_filter, page) = with(|settings| {
        settings.limits.connections = 4;
        settings.limits.head_time = Duration::from_secs(3);
    });
    let idle: Vec<TcpStream> = (0..12).map(|_| connect(page.address)).collect();
    // All places are taken by those who say nothing; when their time is over, this one has its turn.
    assert_eq!(page.get("/").status, 200);
    drop(idle);
    assert_eq!(page.get("/rules").status, 200);
}

#[test]
fn many_readers_at_once_are_all_answered() {
    let (_filter, page) = with(|_| ());
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let page = &page;
            scope.spawn(move || {
                for round in 0..25_usize {
                    let path =
                        ["/", "/rules", "/log.json", "/is-blocked?host=a.example"][(reader + round) % 4];
                    assert_eq!(page.get(path).status, 200);
                }
            });
        }
    });
    assert_eq!(*page.told.lock().unwrap(), Vec::<String>::new(), "nothing about readers is told");
}

#[test]
fn the_end_lets_answers_under_way_be_read() {
    let (_filter, mut page) = with(|_| ());
    let mut kept = connect(page.address);
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    page.end();
    // The answer arrives whole, and then the connection ends by itself.
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("</html>"));
    assert!(TcpStream::connect(page.address).is_err(), "nobody listens any more");
}

#[test]
fn an_address_that_is_taken_is_said_to_be() {
    let (filter, page) = with(|_| ());
    let mut settings = filter.settings();
    settings.listen = page.address;
    let error = daylight_web::public::Page::bind(settings).unwrap_err().to_string();
    assert!(error.contains(&format!("can't listen on {}", page.address)), "{error}");
}
