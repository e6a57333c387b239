//! Servers on loopback, and a client that sees every byte.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use daylight_server::site::Site;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Serves a site on a port of loopback, with HTTP/1.1 or HTTP/2.
pub(crate) async fn serve(listener: TcpListener, site: Site, http2: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        let site = site.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            let io = TokioIo::new(stream);
            // A connection that a test ends is no failure.
            if http2 {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new()
                    .title_case_headers(true)
                    .serve_connection(io, service)
                    .await;
            }
        });
    }
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends bytes, and reads until the other side ends the connection.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let told = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            // nginx resets a connection on which it has left a body unread.
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => answer,
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("an answer")
}

/// An answer as it can be compared: names of header fields in small letters, the date left out.
pub(crate) fn comparable(answer: &[u8]) -> String {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an end of the head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut text = lines.next().unwrap().to_owned();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = name.to_ascii_lowercase();
        let value = match name.as_str() {
            "date" => "…",
            _ => value,
        };
        text.push_str(&format!("\n{name}: {value}"));
    }
    format!("{text}\n\n{}", String::from_utf8_lossy(&answer[end + 4..]))
}
