//! Sending a probe, and noting what comes back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Carrier, Probe};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How much of an answer is kept.
const RESPONSE_BYTES_MAX: usize = 256 << 10;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// It could not be made.
    Refused,
    /// The server sent FIN.
    Fin,
    /// The server sent RST.
    Reset,
    /// It was still open when the prober had enough.
    Open,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Reaction {
    /// The bytes that came back by TCP.
    pub response: Vec<u8>,
    /// The datagrams that came back by UDP.
    pub datagrams: Vec<Vec<u8>>,
    /// How it ended.
    pub close: Close,
    /// From the end of sending to the first byte, in milliseconds.
    pub answered_ms: Option<f64>,
    /// From the end of sending to the server's end, in milliseconds.
    pub closed_ms: Option<f64>,
}

impl Reaction {
    /// Of a server that can't be reached.
    const REFUSED: Self = Self {
        response: Vec::new(),
        datagrams: Vec::new(),
        close: Close::Refused,
        answered_ms: None,
        closed_ms: None,
    };
}

/// Sends a probe, and waits for `patience` for whatever comes.
pub fn send(probe: &Probe, to: SocketAddr, patience: Duration) -> Reaction {
    match probe.carrier {
        Carrier::Tcp => send_stream(&probe.pieces.concat(), to, patience),
        Carrier::Udp => send_datagrams(&probe.pieces, to, patience).unwrap_or(Reaction::REFUSED),
    }
}

/// By UDP, from a port of its own. What the kernel says of a closed port is [`Close::Refused`].
fn send_datagrams(pieces: &[Vec<u8>], to: SocketAddr, patience: Duration) -> io::Result<Reaction> {
    let own = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0))?;
    socket.connect(to)?;
    for piece in pieces {
        socket.send(piece)?;
    }
    let start = Instant::now();
    let mut reaction = Reaction { close: Close::Open, ..Reaction::REFUSED };
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(reaction);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(count) => {
                reaction.answered_ms.get_or_insert_with(|| start.elapsed().as_secs_f64() * 1000.0);
                reaction.datagrams.push(buffer[..count].to_vec());
            }
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Err(e),
            // The time is over, or somebody interrupts.
            Err(_) => {}
        }
    }
}

fn send_stream(payload: &[u8], to: SocketAddr, patience: Duration) -> Reaction {
    let mut reaction = Reaction::REFUSED;
    let Ok(mut stream) = TcpStream::connect_timeout(&to, CONNECT_MAX) else { return reaction };
    // A server that closes while it is being sent to is read from all the same.
    let sent = stream.set_write_timeout(Some(patience)).and_then(|()| stream.write_all(payload));
    let start = Instant::now();
    let ms = || start.elapsed().as_secs_f64() * 1000.0;
    let mut buffer = vec![0; 16 << 10];
    reaction.close = loop {
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            break Close::Open;
        }
        if stream.set_read_timeout(Some(left)).is_err() {
            break Close::Reset;
        }
        match stream.read(&mut buffer) {
            Ok(0) => break Close::Fin,
            Ok(count) => {
                reaction.answered_ms.get_or_insert_with(ms);
                let room = RESPONSE_BYTES_MAX - reaction.response.len();
                reaction.response.extend(&buffer[..count.min(room)]);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                break Close::Open;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break Close::Reset,
        }
    };
    if sent.is_err() && reaction.response.is_empty() {
        reaction.close = Close::Reset;
    }
    if reaction.close != Close::Open {
        reaction.closed_ms = Some(ms());
    }
    reaction
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn datagrams_come_back_as_they_are() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let probe = Probe::udp("test", vec![b"one".to_vec(), b"two".to_vec()]);
        let asking = std::thread::spawn(move || send(&probe, at, Duration::from_secs(2)));
        let mut buffer = [0; 10];
        for _ in 0..2 {
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..count], from).unwrap();
        }
        let reaction = asking.join().unwrap();
        assert_eq!(reaction.datagrams, [b"one", b"two"]);
        assert!(reaction.answered_ms.is_some() && reaction.close == Close::Open);
        drop(server);
        let probe = Probe::udp("test", vec![b"one".to_vec()]);
        assert_eq!(send(&probe, at, Duration::from_secs(2)).close, Close::Refused);
    }

    #[test]
    fn tells_answers_ends_and_silence_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().take(3) {
                let mut stream = stream.unwrap();
                let mut first = [0; 1];
                stream.read_exact(&mut first).unwrap();
                match first[0] {
                    b'f' => stream.write_all(b"bye").unwrap(),
                    // What is unread makes the kernel send RST.
                    b'r' => std::thread::sleep(Duration::from_millis(50)),
                    _ => held.push(stream),
                }
            }
            held
        });
        let ask = |payload: &[u8], ms| send(&Probe::tcp("test", payload), at, Duration::from_millis(ms));
        let fin = ask(b"f", 20_000);
        assert_eq!((fin.response.as_slice(), fin.close), (&b"bye"[..], Close::Fin));
        assert!(fin.answered_ms.is_some() && fin.closed_ms >= fin.answered_ms);
        assert_eq!(ask(b"r and more", 20_000).close, Close::Reset);
        let silent = ask(b"s", 300);
        assert_eq!((silent.close, silent.answered_ms, silent.closed_ms), (Close::Open, None, None));
        drop(server.join().unwrap());
        assert_eq!(ask(b"f", 300).close, Close::Refused);
    }
}
