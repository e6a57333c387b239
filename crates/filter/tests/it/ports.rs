//! Connections on the ports of earlier ones: what those were told says nothing about these.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, Stream};
use socket2::{Domain, Socket, Type};

use crate::filtering::{policy, rule, with_filter};
use crate::hello;
use crate::namespace::entered;
use crate::net::{CLIENT, Net, SERVER, have};

const PORT: u16 = 40_404;

/// Connects from [`PORT`]; as it goes, the connection is aborted.
fn connect(from: &str, to: &str, port: u16) -> io::Result<TcpStream> {
    let ends = [(from, PORT), (to, port)].map(|(ip, port)| SocketAddr::new(ip.parse().unwrap(), port));
    let socket = Socket::new(Domain::for_address(ends[0]), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&ends[0].into())?;
    socket.connect_timeout(&ends[1].into(), Duration::from_secs(5))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(socket.into())
}

const REQUEST: &str = "GET /index.html HTTP/1.1\r\nConnection: close\r\nHost: ";

fn http(mut stream: impl io::Read + io::Write, name: &str) -> io::Result<String> {
    write!(stream, "{REQUEST}{name}\r\n\r\n")?;
    let mut page = Vec::new();
    let ended = stream.read_to_end(&mut page);
    let page = String::from_utf8_lossy(&page).into_owned();
    if page.is_empty() { ended.map(|_| page) } else { Ok(page) }
}

fn https(mut tcp: TcpStream, name: &str) -> io::Result<String> {
    let config = Arc::new(hello::client("http/1.1", 0));
    let mut tls = ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap();
    http(Stream::new(&mut tls, &mut tcp), name)
}

#[test]
fn a_new_connection_is_asked_anew() {
    if !have(&["nginx", "dnsmasq", "openssl", "ss"]) || !entered("ports::a_new_connection_is_asked_anew") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let rules = policy(&rule("names", r#"hostname == "blocked.example.org""#, "reject"));
    with_filter(&net, &rules, |filter| {
        for (from, to) in CLIENT.into_iter().zip(SERVER) {
            for (is_tls, port) in [(true, 443), (false, 80)] {
                let ask = |name: &str| {
                    net.client.within(|| {
                        let stream = connect(from, to, port)?;
                        if is_tls { https(stream, name) } else { http(&stream, name) }
                    })
                };
                let served = |turn: &str| {
                    let page = ask("www.example.org").unwrap_or_else(|error| error.to_string());
                    assert!(page.contains("the site itself"), "{to} {port} {turn}: {page}");
                };
                served("before");
                for turn in 0..3 {
                    let before = filter.stopped("blocked.example.org");
                    let said = ask("blocked.example.org").unwrap_or_default();
                    assert!(!said.contains("the site itself"), "{to} {port} {turn}");
                    assert_eq!(said.contains(" 451 "), !is_tls, "{said}");
                    assert_eq!(filter.stopped("blocked.example.org"), before + 1, "{to} {port} {turn}");
                    served("after");
                }
            }
        }
    });
}
