//! Hearing packets, and keeping those of ports that measurements have named.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use daylight_capture::listener::{Heard, Listener};
use daylight_packet::{Decoded, Decoder, LinkType, Packet, TcpHeader, TransportKind};

/// So many bytes of a packet are kept: more than a link's MTU; what the kernel has joined is cut.
const PACKET_BYTES_MAX: usize = 2048;
/// So many bytes of one measurement's packets are kept.
const BOOK_BYTES_MAX: usize = 32 << 20;
/// How long the thread sleeps, if nothing comes, before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What was sent or received is waited for no longer than this.
const CATCH_UP: Duration = Duration::from_millis(500);

/// What a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn of(protocol: u8) -> Option<Self> {
        match protocol {
            TransportKind::TCP => Some(Self::Tcp),
            TransportKind::UDP => Some(Self::Udp),
            _ => None,
        }
    }
}

/// A packet that was kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) ts_ns: i64,
    pub(crate) wire_len: u32,
    /// From the IP header on.
    pub(crate) bytes: Vec<u8>,
    /// The probe's own address in it.
    pub(crate) own: IpAddr,
}

/// Which measurement a port is of.
type Ports = HashMap<(Transport, u16), Arc<Mutex<Pages>>>;

#[derive(Debug, Default)]
struct Shared {
    ports: Mutex<Ports>,
    stop: AtomicBool,
    /// How often everything that was there had been read.
    rounds: AtomicU64,
}

#[derive(Debug, Default)]
struct Pages {
    packets: Vec<Kept>,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears packets in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins to listen, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`, or if there can be no thread.
    pub fn start() -> io::Result<Self> {
        let listener = Listener::open()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("packets".to_owned())
            .spawn(move || listen(&listener, &of_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A book for a measurement's packets.
    pub(crate) fn open_book(&self) -> Arc<Book> {
        Arc::new(Book { shared: Arc::clone(&self.shared), pages: Arc::default() })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(listener: &Listener, shared: &Shared) {
    let mut buffer = [0; PACKET_BYTES_MAX];
    while !shared.stop.load(Ordering::Relaxed) {
        while let Ok(Some(heard)) = listener.receive(&mut buffer) {
            let bytes = buffer.get(..heard.cap_len).unwrap_or_default();
            keep(shared, &heard, bytes);
        }
        shared.rounds.fetch_add(1, Ordering::Release);
        if listener.wait(LOOK).is_err() {
            return;
        }
    }
}

fn decode(bytes: &[u8], ts_ns: i64, wire_len: u32) -> Option<Packet> {
    match Decoder::new().decode(LinkType::RAW, bytes, ts_ns, wire_len) {
        Decoded::Packet(packet) => Some(packet),
        _ => None,
    }
}

fn keep(shared: &Shared, heard: &Heard, bytes: &[u8]) {
    let Some(packet) = decode(bytes, heard.ts_ns, heard.wire_len) else { return };
    let Some(transport) = Transport::of(packet.key.protocol) else { return };
    let ports = lock(&shared.ports);
    let end = |end: usize| Some((end, ports.get(&(transport, *packet.key.ports.get(end)?))?));
    let Some((end, pages)) = end(0).or_else(|| end(1)) else { return };
    let mut pages = lock(pages);
    if pages.bytes + bytes.len() <= BOOK_BYTES_MAX {
        pages.bytes += bytes.len();
        pages.packets.push(Kept {
            ts_ns: heard.ts_ns,
            wire_len: heard.wire_len,
            bytes: bytes.to_vec(),
            own: packet.key.address(end),
        });
    }
}

/// The packets of one measurement. Its ports are its own as long as it lives.
#[derive(Debug)]
pub(crate) struct Book {
    shared: Arc<Shared>,
    pages: Arc<Mutex<Pages>>,
}

impl Book {
    /// Says that a port is this measurement's.
    pub(crate) fn own(&self, transport: Transport, port: u16) {
        lock(&self.shared.ports).insert((transport, port), Arc::clone(&self.pages));
    }

    /// Whether the thread has read everything that was there at a moment: when `rounds` was this.
    fn has_caught_up(&self, since: u64) -> bool {
        // The round that was under way may have looked before.
        self.shared.rounds.load(Ordering::Acquire) >= since + 2
    }

    /// Gives the packets away, when all of them have been read that were sent or received until now.
    pub(crate) async fn take(&self) -> Vec<Kept> {
        let (since, end) = (self.shared.rounds.load(Ordering::Acquire), Instant::now() + CATCH_UP);
        while !self.has_caught_up(since) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut lock(&self.pages).packets)
    }

    /// The TTL of the last packet that came from `server` to a port, of those that carry data, end or reset the
    /// connection. For threads that may wait.
    pub(crate) fn last_ttl(&self, server: SocketAddr, port: u16) -> Option<u8> {
        let (since, end) = (self.shared.rounds.load(Ordering::Acquire), Instant::now() + CATCH_UP);
        while !self.has_caught_up(since) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let pages = lock(&self.pages);
        pages.packets.iter().rev().find_map(|kept| {
            let packet = decode(&kept.bytes, kept.ts_ns, kept.wire_len)?;
            let from = usize::from(!packet.from_low);
            let ports = packet.key.ports;
            let (source, destination) = (ports.get(from)?, ports.get(1 - from)?);
            let is_such = packet.key.address(from) == server.ip()
                && *source == server.port()
                && *destination == port
                && packet.key.protocol == TransportKind::TCP
                && (packet.payload_wire_len > 0 || packet.tcp.flags & (TcpHeader::RST | TcpHeader::FIN) != 0);
            is_such.then_some(packet.ttl)
        })
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        lock(&self.shared.ports).retain(|_, pages| !Arc::ptr_eq(pages, &self.pages));
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[tokio::test]
    async fn only_named_ports_are_kept() {
        let Ok(recorder) = Recorder::start() else {
            eprintln!("skipped: it needs CAP_NET_RAW");
            return;
        };
        let book = recorder.open_book();
        let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        book.own(Transport::Udp, ports[0]);
        for from in [0, 1] {
            sockets[from].send_to(&[from as u8; 9], ("127.0.0.1", ports[2])).unwrap();
        }
        let kept = book.take().await;
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(kept[0].bytes[28..], [0; 9]);
        assert_eq!(kept[0].own, "127.0.0.1".parse::<IpAddr>().unwrap());
        drop(book);
        assert!(lock(&recorder.shared.ports).is_empty());
    }
}
