//! A client that makes its packets by hand, one by one, against real servers.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use daylight_capture::raw_socket::{Offload, RawFrame, RawSocket};
use daylight_packet::build::{self, Stamp, Tcp};
use daylight_packet::{Decoded, Decoder, LinkType, Packet, TcpHeader, TransportKind};

use crate::namespace::run;
use crate::net::{CLIENT, Net, SERVER};

/// How long is waited for what is to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client's end of its link, below the kernel's stack.
pub(crate) struct Wire {
    socket: RawSocket,
    ethernet: Vec<u8>,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    port: Cell<u16>,
}

/// A packet that came.
pub(crate) struct Got {
    pub(crate) packet: Packet,
    bytes: Vec<u8>,
}

impl Got {
    pub(crate) fn payload(&self) -> &[u8] {
        let from = self.packet.payload_offset as usize;
        &self.bytes[from..from + self.packet.payload_len as usize]
    }
}

impl Wire {
    /// Over IPv4 or IPv6. The client's own stack, which knows nothing of these connections, is kept from resetting them.
    pub(crate) fn new(net: &Net, v6: bool) -> Self {
        let (tables, family) = if v6 { ("ip6tables", "ipv6") } else { ("iptables", "ipv4") };
        let quiet = format!("{tables} -A OUTPUT -p tcp --tcp-flags RST RST -j DROP");
        assert!(net.client.sh(&quiet).status.success());
        let address = |of: &str| -> Vec<u8> {
            let text = of.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
            text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
        };
        let own = String::from_utf8(net.client.sh("ip -o link show eth0").stdout).unwrap();
        let ether_type = if v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let ethernet = [address(&run("ip -o link show client")), address(&own), ether_type.to_vec()].concat();
        let this = Self {
            socket: net.client.within(|| RawSocket::open("eth0").unwrap()),
            ethernet,
            from: CLIENT[usize::from(v6)].parse().unwrap(),
            to: SERVER[usize::from(v6)].parse().unwrap(),
            port: Cell::new(if v6 { 20_000 } else { 30_000 }),
        };
        // The router learns where the client is, and the other way round.
        let ping = format!("ping -c 1 -W 5 {}", this.to);
        assert!(net.client.sh(&ping).status.success(), "no way over {family}");
        this
    }

    /// A port that was not used yet.
    pub(crate) fn port(&self) -> u16 {
        self.port.set(self.port.get() + 1);
        self.port.get()
    }

    /// Sends IP packets, in this order.
    pub(crate) fn send(&self, packets: &[Vec<u8>]) {
        for packet in packets {
            let bytes = [&self.ethernet[..], packet].concat();
            let frame = [RawFrame { offload: Offload::default(), bytes }];
            let start = Instant::now();
            while self.socket.send(frame.iter()).unwrap() == 0 {
                assert!(start.elapsed() < PATIENCE, "the link takes nothing");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// What has come to this port since the last call, if it is from the server.
    pub(crate) fn receive(&self, protocol: u8, port: u16) -> Vec<Got> {
        let mut frames = vec![RawFrame::default(); 32];
        let count = self.socket.receive(&mut frames).unwrap();
        let decoder = Decoder::default();
        let frames = frames.into_iter().take(count).map(|frame| frame.bytes);
        let decoded = frames.filter_map(|bytes| {
            match decoder.decode(LinkType::ETHERNET, &bytes, 0, bytes.len() as u32) {
                Decoded::Packet(packet) => Some(Got { packet, bytes }),
                _ => None,
            }
        });
        let mine = |got: &Got| {
            let key = &got.packet.key;
            let [from, to] = if got.packet.from_low { [0, 1] } else { [1, 0] };
            key.protocol == protocol && key.ports[to] == port && key.address(from) == self.to
        };
        decoded.filter(mine).collect()
    }

    /// A datagram as a whole IP packet.
    pub(crate) fn udp(&self, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
        let stamp = Stamp { dont_fragment: false, ip_id: self.port(), ..Stamp::default() };
        build::udp(self.from, self.to, ports, &stamp, payload)
    }

    /// Waits for an answer to a datagram from `port`. None if nothing comes before `give_up` holds, and a little longer.
    pub(crate) fn answer(&self, port: u16, give_up: impl Fn() -> bool) -> Option<Vec<u8>> {
        let start = Instant::now();
        let mut last = false;
        loop {
            if let Some(got) = self.receive(TransportKind::UDP, port).first() {
                return Some(got.payload().to_vec());
            }
            if last || start.elapsed() > PATIENCE {
                return None;
            }
            last = give_up();
            std::thread::sleep(Duration::from_millis(if last { GRACE_MS } else { 1 }));
        }
    }
}

/// Servers are not left with half a connection.
impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let seq = self.first.wrapping_add(self.acknowledged as u32);
        self.wire.send(&[self.built(seq, TcpHeader::RST | TcpHeader::ACK, b"")]);
    }
}

/// How much longer is waited for what must not come.
const GRACE_MS: u64 = 60;

/// A TCP connection whose segments are the test's to choose.
pub(crate) struct Stream<'a> {
    wire: &'a Wire,
    ports: [u16; 2],
    /// The sequence number of the stream's first byte.
    first: u32,
    /// The next byte of the server's.
    next: u32,
    /// What the server sent, in order.
    pub(crate) got: Vec<u8>,
    /// The server, or somebody in its name, reset the connection.
    pub(crate) is_reset: bool,
    is_open: bool,
    /// Where what was sent ends.
    sent: Cell<usize>,
    /// What was sent, to be sent again if it isn't acknowledged.
    segments: RefCell<Vec<(usize, Vec<u8>)>>,
    acknowledged: usize,
}

impl<'a> Stream<'a> {
    /// Connects.
    pub(crate) fn open(wire: &'a Wire, port: u16) -> Self {
        Self::with_data_on_syn(wire, port, b"")
    }

    /// Connects, with data on the SYN.
    pub(crate) fn with_data_on_syn(wire: &'a Wire, port: u16, data: &[u8]) -> Self {
        let ports = [wire.port(), port];
        let first = u32::from(ports[0]).wrapping_mul(0x0001_0003);
        let mut stream = Self {
            wire,
            ports,
            first,
            next: 0,
            got: Vec::new(),
            is_reset: false,
            is_open: false,
            sent: Cell::new(0),
            segments: RefCell::default(),
            acknowledged: 0,
        };
        let start = Instant::now();
        while !stream.is_open && !stream.is_reset && start.elapsed() < PATIENCE {
            if start.elapsed().as_millis() % 1000 < 2 {
                wire.send(&[stream.built(first.wrapping_sub(1), TcpHeader::SYN, data)]);
            }
            stream.poll();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(stream.is_open, "no connection to port {port}");
        stream
    }

    fn built(&self, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        build::tcp(&self.header(seq, flags, payload))
    }

    fn header<'p>(&self, seq: u32, flags: u8, payload: &'p [u8]) -> Tcp<'p> {
        Tcp {
            source: self.wire.from,
            destination: self.wire.to,
            source_port: self.ports[0],
            destination_port: self.ports[1],
            seq,
            ack: if flags & TcpHeader::ACK == 0 { 0 } else { self.next },
            flags,
            window: 65_535,
            dont_fragment: false,
            ip_id: self.wire.port(),
            payload,
            ..Tcp::default()
        }
    }

    /// As [`segment`](Self::segment), but changed, and no part of the stream: it is not sent again.
    pub(crate) fn made(&self, at: usize, bytes: &[u8], change: impl FnOnce(&mut Tcp<'_>)) -> Vec<u8> {
        let seq = self.first.wrapping_add(at as u32);
        let mut header = self.header(seq, TcpHeader::ACK | TcpHeader::PSH, bytes);
        change(&mut header);
        build::tcp(&header)
    }

    /// The IP packet with these bytes at that place of the stream.
    pub(crate) fn segment(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        self.sent.set(self.sent.get().max(at + bytes.len()));
        if !bytes.is_empty() {
            self.segments.borrow_mut().push((at, bytes.to_vec()));
        }
        self.built(self.first.wrapping_add(at as u32), TcpHeader::ACK | TcpHeader::PSH, bytes)
    }

    /// Sends bytes of the stream from that place on.
    pub(crate) fn send(&self, at: usize, bytes: &[u8]) {
        let pieces = bytes.chunks(1200).enumerate();
        let packets: Vec<_> = pieces.map(|(i, piece)| self.segment(at + i * 1200, piece)).collect();
        self.transmit(&packets);
    }

    /// Sends packets that were made before.
    pub(crate) fn transmit(&self, packets: &[Vec<u8>]) {
        self.wire.send(packets);
    }

    /// … so slowly that the filter has looked at some before the next ones come.
    pub(crate) fn transmit_slowly(&mut self, packets: &[Vec<u8>]) {
        for some in packets.chunks(16) {
            self.wire.send(some);
            std::thread::sleep(Duration::from_millis(4));
            self.poll();
        }
    }

    /// How long the stream is, as far as it was sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.get()
    }

    /// Takes in what has come, and acknowledges it.
    pub(crate) fn poll(&mut self) {
        for got in self.wire.receive(TransportKind::TCP, self.ports[0]) {
            let TcpHeader { seq, flags, .. } = got.packet.tcp;
            if flags & TcpHeader::RST != 0 {
                self.is_reset = true;
                continue;
            }
            if flags & TcpHeader::SYN != 0 {
                self.next = seq.wrapping_add(1);
                self.is_open = true;
            }
            let acknowledged = got.packet.tcp.ack.wrapping_sub(self.first);
            if acknowledged < 1 << 30 {
                self.acknowledged = self.acknowledged.max(acknowledged as usize);
            }
            let payload = got.payload();
            let known = self.next.wrapping_sub(seq) as usize;
            if let Some(new) = payload.get(known..) {
                self.got.extend_from_slice(new);
                self.next = self.next.wrapping_add(new.len() as u32);
            }
            if flags & TcpHeader::SYN != 0 || !payload.is_empty() {
                // Of what was sent, the kernel wants the latest sequence number it acknowledged; that will do.
                self.wire.send(&[self.built(got.packet.tcp.ack, TcpHeader::ACK, b"")]);
            }
        }
    }

    /// Sends again what the server has not acknowledged, in the same pieces, the first first.
    fn again(&self) {
        let mut segments = self.segments.borrow().clone();
        segments.sort_by_key(|(at, _)| *at);
        let missing = segments.iter().filter(|(at, bytes)| at + bytes.len() > self.acknowledged);
        for (at, bytes) in missing {
            let seq = self.first.wrapping_add(*at as u32);
            self.wire.send(&[self.built(seq, TcpHeader::ACK | TcpHeader::PSH, bytes)]);
        }
    }

    /// Waits until `enough` holds, and sends again meanwhile what the server doesn't acknowledge; false if it doesn't in
    /// good time.
    pub(crate) fn wait(&mut self, enough: impl Fn(&Self) -> bool) -> bool {
        let start = Instant::now();
        let mut again = Duration::from_millis(200);
        while !enough(self) {
            if start.elapsed() > again && self.is_open {
                again = start.elapsed() * 2;
                self.again();
            }
            if start.elapsed() > PATIENCE {
                return false;
            }
            self.poll();
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Takes in what still comes, for a moment.
    pub(crate) fn settle(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(GRACE_MS) {
            self.poll();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
