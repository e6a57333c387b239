//! The proxies, as the real curl and clients of our own see them.

use std::net::SocketAddr;

use daylight_client::front::{Front, FrontError, Reach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::time::timeout;

use crate::world::{NAME, PATIENCE, proxy};

/// What curl prints, and its exit code.
async fn curl(arguments: &[&str]) -> Option<(String, i32)> {
    let mut command = Command::new("curl");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(["-q", "--silent", "--show-error", "--max-time", "60"]).args(arguments).kill_on_drop(true);
    match command.output().await {
        Ok(output) => {
            Some((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1)))
        }
        Err(error) => {
            println!("skipped: no curl: {error}");
            None
        }
    }
}

#[tokio::test]
async fn curl_through_each_proxy() {
    let proxy = proxy().await;
    let url = format!("http://{NAME}/page?q=1");
    for kind in ["socks5h", "socks4a", "http"] {
        let proxy = format!("{kind}://{proxy}");
        let Some((answer, code)) = curl(&["-x", &proxy, &url]).await else { return };
        assert_eq!(code, 0, "{kind}");
        assert!(answer.starts_with("GET /page?q=1 HTTP/1.1\r\n"), "{kind}: {answer}");
        assert!(answer.contains(&format!("Host: {NAME}\r\n")), "{kind}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("proxy-"), "{kind}: {answer}");
    }
    let Some((answer, _)) = curl(&["-p", "-x", &format!("http://{proxy}"), &url]).await else { return };
    assert!(answer.starts_with("GET /page?q=1 HTTP/1.1\r\n"), "CONNECT: {answer}");
    let body = "x".repeat(300_000);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &body).expect("written");
    let data = format!("@{}", file.path().display());
    let arguments = ["-x", &format!("http://{proxy}"), "--data-binary", &data, &url];
    let Some((answer, _)) = curl(&arguments).await else { return };
    assert!(answer.starts_with("POST /page?q=1 HTTP/1.1\r\n"), "a body is forwarded");
    assert!(answer.ends_with(&body), "a body is forwarded");
}

#[tokio::test]
async fn curl_is_told_why() {
    let proxy = proxy().await;
    let (socks, http) = (format!("socks5h://{proxy}"), format!("http://{proxy}"));
    // RFC 1928 §6.
    for (name, reply) in [("forbidden", 2), ("unknown", 4), ("refused", 5), ("slow", 6), ("down", 1)] {
        let url = format!("http://{name}.test/");
        let arguments = ["-x", &socks, "-w", "%{proxy_ssl_verify_result} %{errormsg}", &url];
        let Some((answer, code)) = curl(&arguments).await else { return };
        assert_eq!(code, 97, "{name}: curl says that the proxy failed");
        assert!(answer.contains(&format!("({reply})")), "{name}: {answer}");
    }
    for (name, status, error) in [
        ("forbidden", "403", "destination_ip_prohibited"),
        ("unknown", "502", "dns_error"),
        ("refused", "502", "connection_refused"),
        ("slow", "504", "connection_timeout"),
        ("down", "503", "proxy_internal_error"),
    ] {
        let url = format!("http://{name}.test/");
        let Some((answer, _)) = curl(&["-i", "-x", &http, &url]).await else { return };
        assert!(answer.contains(&format!(" {status} ")), "{name}: {answer}");
        assert!(answer.contains(&format!("proxy-status: daylight; error={error}\r\n")), "{name}: {answer}");
        let arguments = ["-p", "-w", "%{http_connect}", "-x", &http, &url];
        let Some((answer, _)) = curl(&arguments).await else { return };
        assert_eq!(answer, status, "{name} by CONNECT");
    }
}

#[tokio::test]
async fn pac_file_and_nothing_else() {
    let proxy = proxy().await;
    let Some((answer, _)) = curl(&["-i", &format!("http://{proxy}/proxy.pac")]).await else { return };
    assert!(answer.contains("application/x-ns-proxy-autoconfig"), "{answer}");
    assert!(answer.contains(&format!("SOCKS5 {proxy}; SOCKS {proxy}; PROXY {proxy}")), "{answer}");
    let Some((answer, _)) = curl(&["-i", &format!("http://{proxy}/")]).await else { return };
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn loopback_only_unless_shared() {
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    let refused = Front::bind(everywhere, Reach::Loopback).await;
    assert!(matches!(refused, Err(FrontError::NotLoopback(address)) if address == everywhere));
    assert!(Front::bind(everywhere, Reach::Network).await.is_ok());
    let front = Front::bind(([127, 0, 0, 1], 0).into(), Reach::Loopback).await.expect("a port");
    assert!(matches!(Front::bind(front.address(), Reach::Loopback).await, Err(FrontError::Listen { .. })));
}

/// A program's connection to `to` by SOCKS 5.
async fn socks(proxy: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut connection = TcpStream::connect(proxy).await.expect("the proxy");
    let SocketAddr::V4(to) = to else { panic!("IPv4 only") };
    let mut request = vec![5, 1, 0, 5, 1, 0, 1];
    request.extend(to.ip().octets());
    request.extend(to.port().to_be_bytes());
    connection.write_all(&request).await.expect("sent");
    let mut reply = [0; 12];
    connection.read_exact(&mut reply).await.expect("a reply");
    assert_eq!(reply[..5], [5, 0, 5, 0, 0]);
    connection
}

#[tokio::test]
async fn nothing_is_lost_at_a_close() {
    const LEN: usize = 3 << 20;
    let proxy = proxy().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut program = socks(proxy, listener.local_addr().expect("an address")).await;
    let (mut server, _) = listener.accept().await.expect("a connection");
    // The server sends and closes at once; the program still sends, and reads late.
    tokio::spawn(async move {
        server.write_all(&vec![7; LEN]).await.expect("sent");
        server.shutdown().await.expect("closed");
        let mut request = Vec::new();
        server.read_to_end(&mut request).await.expect("read");
        assert_eq!(request.len(), LEN);
    });
    program.write_all(&vec![9; LEN]).await.expect("sent");
    program.shutdown().await.expect("closed");
    let mut answer = Vec::new();
    timeout(PATIENCE, program.read_to_end(&mut answer)).await.expect("in time").expect("read");
    assert_eq!(answer.len(), LEN);
}

#[tokio::test]
async fn a_cut_looks_like_one() {
    let proxy = proxy().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut program = socks(proxy, listener.local_addr().expect("an address")).await;
    let (mut server, _) = listener.accept().await.expect("a connection");
    server.write_all(b"half a f").await.expect("sent");
    let mut half = [0; 8];
    program.read_exact(&mut half).await.expect("half");
    server.set_zero_linger().expect("set");
    drop(server);
    let outcome = timeout(PATIENCE, program.read(&mut half)).await.expect("in time");
    assert_eq!(outcome.expect_err("not a clean end").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn udp_by_name_and_without_fragments() {
    let proxy = proxy().await;
    let mut asked = TcpStream::connect(proxy).await.expect("the proxy");
    asked.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("sent");
    let mut reply = [0; 12];
    asked.read_exact(&mut reply).await.expect("a reply");
    assert_eq!(reply[..6], [5, 0, 5, 0, 0, 1]);
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[10], reply[11]])));
    let program = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let datagram = |fragment: u8, data: &[u8]| {
        let mut datagram = vec![0, 0, fragment, 3, NAME.len() as u8];
        datagram.extend(NAME.as_bytes());
        datagram.extend([0, 7]);
        datagram.extend(data);
        datagram
    };
    let mut buffer = [0; 2000];
    program.send_to(&datagram(0, b"one"), relay).await.expect("sent");
    let (len, _) =
        timeout(PATIENCE, program.recv_from(&mut buffer)).await.expect("in time").expect("an answer");
    assert_eq!(buffer[..8], [0, 0, 0, 1, 127, 0, 0, 1], "the answer says where it came from");
    assert_eq!(&buffer[10..len], b"one");
    // Neither a fragment, nor what is cut, nor a stranger's is carried: the next answer is to the last.
    program.send_to(&datagram(1, b"two"), relay).await.expect("sent");
    program.send_to(&datagram(0, b"")[..9], relay).await.expect("sent");
    stranger.send_to(&datagram(0, b"three"), relay).await.expect("sent");
    program.send_to(&datagram(0, b"four"), relay).await.expect("sent");
    let (len, _) =
        timeout(PATIENCE, program.recv_from(&mut buffer)).await.expect("in time").expect("an answer");
    assert_eq!(&buffer[10..len], b"four");
    drop(asked);
    let closed = async {
        loop {
            let _ = program.send_to(&datagram(0, b"five"), relay).await;
            match timeout(std::time::Duration::from_millis(50), program.recv_from(&mut buffer)).await {
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return,
                _ => {}
            }
        }
    };
    // A socket that is connected learns of the closed port.
    program.connect(relay).await.expect("connected");
    timeout(PATIENCE, closed).await.expect("the association ends with its connection");
}
