//! A site that is another web server's.

use std::net::SocketAddr;

use daylight_server::site::{Public, Site, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::net::{PATIENCE, comparable, exchange, listen, serve};

async fn before(origin: SocketAddr) -> SocketAddr {
    let source = Source::Origin(origin.to_string().parse().unwrap());
    let site = Site::open(&source, "nginx", Public::default()).unwrap();
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener, site, false));
    address
}

/// Reads a head and no more.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn accept(listener: TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    (stream, head)
}

#[tokio::test]
async fn a_request_and_its_answer_pass_through() {
    let (listener, origin) = listen().await;
    let address = before(origin).await;
    let origin = tokio::spawn(async move {
        let (mut stream, head) = accept(listener).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"hello");
        let answer = "HTTP/1.1 201 Created\r\nServer: own/1\r\nDate: never\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
                      Connection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
        head
    });
    let request = "POST /form?q=1 HTTP/1.1\r\nHost: www.example.org\r\nCookie: c=d\r\nConnection: close, X-Mine\r\n\
                   X-Mine: 1\r\nTE: trailers\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello";
    let answer = comparable(&exchange(address, request.as_bytes()).await);
    let expected = "HTTP/1.1 201 Created\nserver: nginx\ndate: …\nx-own: 1\nset-cookie: a=b\ncontent-length: 2\n\
                    connection: close\n\nok";
    assert_eq!(answer, expected);
    let head = origin.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /form?q=1 http/1.1\r\n"), "{head}");
    for field in [
        "host: www.example.org\r\n",
        "cookie: c=d\r\n",
        "x-forwarded-proto: https\r\n",
        "content-length: 5\r\n",
    ] {
        assert!(head.contains(field), "{head}");
    }
    for name in ["x-forwarded-for", "x-mine", "te:", "upgrade", "connection: close"] {
        assert!(!head.contains(name), "{head}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (listener, origin) = listen().await;
    let address = before(origin).await;
    let (came, coming) = oneshot::channel();
    let (go_on, going_on) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = accept(listener).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        came.send(()).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour").await.unwrap();
        going_on.await.unwrap();
        stream.write_all(b"more").await.unwrap();
    });
    let run = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "PUT / HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 10\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"first").await.unwrap();
        // The first half is at the origin before the second one is sent; so it is on the way back.
        coming.await.unwrap();
        read_head(&mut stream).await;
        let mut half = [0; 4];
        stream.read_exact(&mut half).await.unwrap();
        assert_eq!(&half, b"four");
        go_on.send(()).unwrap();
        stream.read_exact(&mut half).await.unwrap();
        assert_eq!(&half, b"more");
    };
    tokio::time::timeout(PATIENCE, run).await.expect("both halves");
}

#[tokio::test]
async fn an_origin_that_is_down_is_502() {
    // Free a moment ago.
    let (_, origin) = listen().await;
    let address = before(origin).await;
    let request = b"GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n";
    let answer = comparable(&exchange(address, request).await);
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\nserver: nginx\n"), "{answer}");
}

/// Time is not waited for: it goes on by itself when there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn an_origin_that_is_silent_is_504() {
    let (listener, origin) = listen().await;
    let address = before(origin).await;
    tokio::spawn(async move {
        let _silent = accept(listener).await;
        std::future::pending::<()>().await;
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 504 Gateway Time-out\r\n"), "{}", comparable(&answer));
}
