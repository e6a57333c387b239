//! What client and server say to one another.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::net::{Host, Net};

/// How long something that should come is waited for.
const LONG: Duration = Duration::from_secs(10);
/// How long something that should not come is waited for.
const SHORT: Duration = Duration::from_millis(300);

fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse::<IpAddr>().unwrap(), port)
}

/// Sends `len` bytes from the client to the server over TCP, and asserts that the server got those.
pub(crate) fn transfer(net: &Net, server: &'static str, len: usize) {
    let listener = net.within(Host::Server, move || TcpListener::bind(address(server, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let data: Vec<u8> = (0..len).map(|at| (at / 7 % 251) as u8).collect();
    let sent = data.clone();
    net.within(Host::Client, move || {
        let mut stream = TcpStream::connect_timeout(&address(server, port), LONG).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.write_all(&sent).unwrap();
    });
    let received = reader.join().unwrap();
    assert!(received == data, "the server got {} bytes of {len}", received.len());
}

/// Numbers in UDP datagrams from the client to the server.
pub(crate) struct Numbers {
    receiver: UdpSocket,
    sender: UdpSocket,
}

impl Numbers {
    pub(crate) fn new(net: &Net, server: &'static str) -> Self {
        let receiver = net.within(Host::Server, move || UdpSocket::bind(address(server, 0)).unwrap());
        let to = receiver.local_addr().unwrap();
        let sender = net.within(Host::Client, move || {
            let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
            let socket = UdpSocket::bind(address(any, 0)).unwrap();
            socket.connect(to).unwrap();
            socket
        });
        Self { receiver, sender }
    }

    pub(crate) fn send(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.sender.send(&number.to_be_bytes()).unwrap();
        }
    }

    /// The next number, if one comes.
    pub(crate) fn receive(&self, timeout: Duration) -> Option<u32> {
        self.receiver.set_read_timeout(Some(timeout)).unwrap();
        let mut number = [0; 4];
        (self.receiver.recv(&mut number).ok()? == 4).then(|| u32::from_be_bytes(number))
    }

    /// The next `count` numbers, which must come.
    pub(crate) fn expect(&self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.receive(LONG).expect("a datagram comes")).collect()
    }

    /// Asserts that nothing comes.
    pub(crate) fn expect_none(&self) {
        assert_eq!(self.receive(SHORT), None, "nothing comes");
    }
}

/// The number in a queued packet, IPv4 or IPv6.
pub(crate) fn number_in(payload: &[u8]) -> u32 {
    u32::from_be_bytes(*payload.last_chunk().unwrap())
}

/// A TCP connection from the client to a server that sends back what it gets.
pub(crate) struct Echo {
    pub(crate) client: TcpStream,
    server: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn new(net: &Net, server: &'static str) -> Self {
        let listener = net.within(Host::Server, move || TcpListener::bind(address(server, 0)).unwrap());
        let port = listener.local_addr().unwrap().port();
        let server_thread = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut buffer = [0; 1024];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..len]).is_err() {
                    return;
                }
            }
        });
        let client = net
            .within(Host::Client, move || TcpStream::connect_timeout(&address(server, port), LONG).unwrap());
        Self { client, server: Some(server_thread) }
    }

    /// Whether `text` comes back.
    pub(crate) fn says(&mut self, text: &str) -> bool {
        self.client.set_read_timeout(Some(SHORT)).unwrap();
        self.client.write_all(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        self.client.read_exact(&mut back).is_ok() && back == text.as_bytes()
    }

    pub(crate) fn end(mut self) {
        drop(self.client);
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}
