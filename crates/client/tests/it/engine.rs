//! The engine, against a real server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_card::Transport;
use daylight_client::engine::{Config, Engine, EngineStream, Rotation};
use daylight_client::front::{Front, Reach};
use daylight_client::status::Phase;
use daylight_client::{Association, ConnectError, Tunnel};
use daylight_session::Destination;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::served::{Censor, Served, downloads, echoes, pattern, until};
use crate::world::{PATIENCE, echo};

const BOTH: [Transport; 2] = [Transport::Web, Transport::Plain];

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE * 3, future).await.expect("in time")
}

async fn connect(engine: &Engine, to: impl Into<Destination>) -> EngineStream {
    within(engine.connect(to.into())).await.expect("a stream")
}

/// Asks for so many MiB, and checks them.
async fn download(engine: &Engine, from: std::net::SocketAddr, mib: u64, mut progress: impl FnMut(u64)) {
    let mut stream = connect(engine, from).await;
    stream.write_u64(mib).await.expect("asked");
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let len = within(stream.read(&mut buffer)).await.expect("goes on");
        if len == 0 {
            break;
        }
        assert!(buffer[..len] == pattern(at, len), "wrong bytes at {at}");
        at += len as u64;
        progress(at);
    }
    assert_eq!(at, mib << 20);
}

fn start(config: Config) -> Engine {
    Engine::start(config).expect("an engine")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte() {
    let (served, echo) = (Served::start().await, echoes().await);
    for transport in BOTH {
        let began = Instant::now();
        let engine = start(served.config(&[transport]));
        let mut stream = connect(&engine, echo).await;
        stream.write_all(b"x").await.expect("written");
        within(stream.read_u8()).await.expect("a byte");
        println!("{transport}: the first byte came after {:?}", began.elapsed());
        let again = Instant::now();
        let mut stream = connect(&engine, echo).await;
        stream.write_all(b"x").await.expect("written");
        within(stream.read_u8()).await.expect("a byte");
        println!("{transport}: another stream's came after {:?}", again.elapsed());
        // A stream may be there before that is said.
        until("it says so", || engine.status().borrow().phase == Phase::Connected).await;
        let status = engine.status().borrow().clone();
        assert_eq!(status.route.expect("a route").transport, transport.to_string());
        engine.stop().await;
        until("the server has ended the session", || served.sessions() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_at_the_far_end_is_said() {
    let served = Served::start().await;
    let engine = start(served.config(&[Transport::Plain]));
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let refused = within(engine.connect(closed.into())).await.err();
    assert_eq!(refused, Some(ConnectError::Refused));
    let private = within(engine.connect(std::net::SocketAddr::from(([10, 0, 0, 1], 80)).into())).await.err();
    assert_eq!(private, Some(ConnectError::NotAllowed));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_another_way_where_one_is_cut() {
    for censor in [Censor::Resets(0), Censor::Resets(40 << 10), Censor::Freezes(0), Censor::Freezes(40 << 10)]
    {
        let (served, from) = (Served::start().await, downloads().await);
        served.web.set(censor);
        // On a busy machine the other way could be the first else, and nothing be switched.
        served.plain.set(Censor::Delays(Duration::from_secs(1)));
        let engine = start(served.config(&BOTH));
        let began = Instant::now();
        let (mut last, mut longest) = (began, Duration::ZERO);
        download(&engine, from, 8, |_| {
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        })
        .await;
        println!("{censor:?}: 8 MiB in {:?}, the longest pause was {longest:?}", began.elapsed());
        let status = engine.status().borrow().clone();
        println!("{:?}", status.notices);
        assert_eq!(status.route.expect("a route").transport, "plain", "{censor:?}");
        let is_told = status.notices.iter().any(|notice| notice.text.ends_with("switched to plain"));
        assert!(is_told || censor == Censor::Freezes(0), "{:?}", status.notices);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_survives_its_connections() {
    let (served, from) = (Served::start().await, downloads().await);
    for transport in BOTH {
        let engine = start(served.config(&[transport]));
        let wire = if transport == Transport::Web { &served.web } else { &served.plain };
        let mut next = 5 << 20;
        download(&engine, from, 32, |at| {
            if at > next {
                next += 9 << 20;
                wire.cut();
            }
        })
        .await;
        assert!(wire.connections() >= 3, "{}", wire.connections());
        engine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_loses_nothing() {
    let (served, from) = (Served::start().await, downloads().await);
    for transport in BOTH {
        let rotation = Rotation { bytes: 2 << 20..=4 << 20, ..Rotation::default() };
        let engine = start(Config { rotation, ..served.config(&[transport]) });
        let began = Instant::now();
        download(&engine, from, 48, |_| {}).await;
        let wire = if transport == Transport::Web { &served.web } else { &served.plain };
        println!(
            "{transport}: 48 MiB over {} connections, {} at once at most, in {:?}",
            wire.connections(),
            wire.open_max(),
            began.elapsed()
        );
        assert!(wire.connections() >= 4, "{}", wire.connections());
        assert_eq!(served.sessions(), 1);
        engine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_began_anew() {
    let (mut served, echo_tcp, echo_udp) = (Served::start().await, echoes().await, echo().await);
    let engine = start(served.config(&[Transport::Web]));
    let mut stream = connect(&engine, echo_tcp).await;
    let association = within(engine.associate()).await.expect("an association");
    exchange(&association, echo_udp).await;
    served.restart().await;
    served.web.cut();
    let began = Instant::now();
    // What the old server carried is over, and says so.
    within(async { while stream.read_u8().await.is_ok() {} }).await;
    let mut stream = connect(&engine, echo_tcp).await;
    stream.write_all(b"x").await.expect("written");
    within(stream.read_u8()).await.expect("a byte");
    println!("a new session after {:?}", began.elapsed());
    assert_eq!(served.sessions(), 1);
    exchange(&association, echo_udp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http3() {
    let (served, from, echo_udp) = (Served::start().await, downloads().await, echo().await);
    let engine = start(served.config(&[Transport::H3]));
    download(&engine, from, 8, |_| {}).await;
    exchange(&within(engine.associate()).await.expect("an association"), echo_udp).await;
    let status = engine.status().borrow().clone();
    assert_eq!(status.route.expect("a route").transport, "h3");
    engine.stop().await;
    until("the server has ended the session", || served.sessions() == 0).await;
}

/// A site that knows what it was asked for.
async fn site() -> (std::net::SocketAddr, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    const PAGE: &str = "<link rel=stylesheet href=/a.css><script src=/b.js></script><img src=/c.png>";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await?);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().expect("a lock").push(path);
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", PAGE.len());
                connection.write_all((head + PAGE).as_bytes()).await
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_begins_with_a_visit() {
    for transport in [Transport::Web, Transport::H3] {
        let (origin, asked) = site().await;
        let served = Served::start_before(&format!("origin = \"{origin}\"")).await;
        let engine = start(served.config(&[transport]));
        let mut stream = connect(&engine, echoes().await).await;
        stream.write_all(b"x").await.expect("written");
        within(stream.read_u8()).await.expect("a byte");
        let seen = || asked.lock().expect("a lock").clone();
        until("the page's pieces were asked for", || seen().len() >= 4).await;
        let mut paths = seen();
        assert_eq!(paths.remove(0), "/", "{transport}");
        paths.sort();
        assert_eq!(paths, ["/a.css", "/b.js", "/c.png"], "{transport}");
    }
}

/// Sends datagrams until one comes back.
async fn exchange(association: &impl Association, to: std::net::SocketAddr) {
    let exchange = async {
        loop {
            let _ = association.send(to.into(), Bytes::from_static(b"datagram")).await;
            let came = tokio::time::timeout(Duration::from_millis(500), association.recv()).await;
            if let Ok(came) = came {
                assert_eq!(came, Some((to.into(), Bytes::from_static(b"datagram"))));
                return;
            }
        }
    };
    within(exchange).await;
}

/// 100 MiB by curl, through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn curl_downloads() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is missing");
        return;
    }
    let served = Served::start().await;
    let site = files().await;
    let engine = start(served.config(&BOTH));
    let front = Front::bind(([127, 0, 0, 1], 0).into(), Reach::Loopback).await.expect("a port");
    let proxy = format!("socks5h://{}", front.address());
    tokio::spawn(front.serve(engine));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    let mut curl = tokio::process::Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "120",
        "--noproxy",
        "",
        "--proxy",
        &proxy,
    ]);
    curl.arg("--output").arg(&file).arg(format!("http://{site}/")).kill_on_drop(true);
    let began = Instant::now();
    assert!(curl.status().await.expect("curl").success());
    println!("100 MiB in {:?}", began.elapsed());
    let came = std::fs::read(file).expect("a file");
    assert_eq!(came.len(), 100 << 20);
    assert!(came.chunks(1 << 20).enumerate().all(|(at, part)| part == pattern((at as u64) << 20, 1 << 20)));
}

/// Answers HTTP with 100 MiB.
async fn files() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = connection.read(&mut head).await;
                let _ = connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 104857600\r\n\r\n").await;
                for at in 0..100 {
                    if connection.write_all(&pattern(at << 20, 1 << 20)).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
