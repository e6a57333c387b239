//! Two sides, the paths between them, and a clock that jumps to whatever happens next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use daylight_session::{
    Acceptor, ChannelBinding, ClientConfig, Event, HandshakeError, Incoming, Limits, PathId, Progress,
    ServerConfig, Session, public_key,
};

pub(crate) const PRIVATE_KEY: [u8; 32] = [0x11; 32];
pub(crate) const ACCESS_SECRET: [u8; 32] = [0x22; 32];

/// Numbers for the simulation's decisions (SplitMix64).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.roll().to_be_bytes()));
        seed
    }
}

/// How a path carries bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) latency: Duration,
    /// Bytes per second.
    pub(crate) rate: u64,
    /// Bytes that a socket takes before it says to wait.
    pub(crate) buffer: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { latency: Duration::from_millis(20), rate: 10_000_000, buffer: 256 << 10 }
    }
}

/// One direction of a path.
pub(crate) struct Pipe {
    shape: Shape,
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    free_at: Instant,
    /// Nothing arrives before.
    stalled_until: Instant,
}

impl Pipe {
    fn new(shape: Shape, now: Instant) -> Self {
        Self { shape, queue: VecDeque::new(), queued: 0, free_at: now, stalled_until: now }
    }

    fn room(&self) -> usize {
        self.shape.buffer.saturating_sub(self.queued)
    }

    fn push(&mut self, now: Instant, bytes: Vec<u8>) {
        let took = Duration::from_nanos(bytes.len() as u64 * 1_000_000_000 / self.shape.rate);
        self.free_at = self.free_at.max(now) + took;
        self.queued += bytes.len();
        self.queue.push_back((self.free_at + self.shape.latency, bytes));
    }

    fn next_at(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| (*at).max(self.stalled_until))
    }

    fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_at()? > now {
            return None;
        }
        let (_, bytes) = self.queue.pop_front()?;
        self.queued -= bytes.len();
        Some(bytes)
    }
}

/// The server's end of a path.
pub(crate) enum Served {
    Incoming(Box<Incoming>),
    Session(PathId),
    Gone,
}

pub(crate) struct Link {
    pub(crate) path: PathId,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    pub(crate) served: Served,
    /// Bytes vanish, and nobody is told.
    pub(crate) silent: bool,
    /// The client knows that it is over.
    pub(crate) closed: bool,
    /// The client's first bytes, to be sent again by an eavesdropper.
    pub(crate) first: Vec<u8>,
    pub(crate) rejected: Option<HandshakeError>,
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) dice: Dice,
    pub(crate) client: Session,
    pub(crate) acceptor: Acceptor,
    pub(crate) server: Option<Session>,
    pub(crate) links: Vec<Link>,
    pub(crate) client_events: VecDeque<Event>,
    pub(crate) server_events: VecDeque<Event>,
    /// Bytes that went over all links.
    pub(crate) wire_bytes: u64,
    pub(crate) limits: [Limits; 2],
    out: BytesMut,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default(), Limits::default())
    }

    pub(crate) fn with_limits(seed: u64, of_client: Limits, of_server: Limits) -> Self {
        let mut dice = Dice(seed);
        let start = Instant::now();
        let limits = [of_client.clone(), of_server.clone()];
        let mut client = ClientConfig::new(public_key(&PRIVATE_KEY), ACCESS_SECRET);
        client.limits = of_client;
        let mut server = ServerConfig::new(PRIVATE_KEY);
        server.limits = of_server;
        Self {
            now: start,
            start,
            client: Session::client(Arc::new(client), start, dice.seed()),
            acceptor: Acceptor::new(Arc::new(server), dice.seed()),
            dice,
            server: None,
            links: Vec::new(),
            client_events: VecDeque::new(),
            server_events: VecDeque::new(),
            wire_bytes: 0,
            limits,
            out: BytesMut::new(),
        }
    }

    /// A new path, if the client may open one.
    pub(crate) fn connect(&mut self, shape: Shape) -> Option<usize> {
        self.connect_bound(shape, Some([5; 32]), Some([5; 32]))
    }

    pub(crate) fn connect_bound(
        &mut self,
        shape: Shape,
        of_client: ChannelBinding,
        of_server: ChannelBinding,
    ) -> Option<usize> {
        let padding = self.dice.below(600) as usize;
        let path = self.client.open_path(self.now, of_client, padding).ok()?;
        self.links.push(Link {
            path,
            up: Pipe::new(shape, self.now),
            down: Pipe::new(shape, self.now),
            served: Served::Incoming(Box::new(Incoming::new(ACCESS_SECRET, of_server, padding))),
            silent: false,
            closed: false,
            first: Vec::new(),
            rejected: None,
        });
        Some(self.links.len() - 1)
    }

    /// Both sides, or one of them, learn that a path is over; what is under way is lost.
    pub(crate) fn cut(&mut self, link: usize, client_knows: bool, server_knows: bool) {
        let (now, link) = (self.now, &mut self.links[link]);
        link.silent = true;
        if client_knows && !link.closed {
            link.closed = true;
            self.client.path_lost(link.path, now);
        }
        if server_knows
            && let Served::Session(path) = std::mem::replace(&mut link.served, Served::Gone)
            && let Some(server) = &mut self.server
        {
            server.path_lost(path, now);
        }
    }

    /// Nothing arrives by this path for a time.
    pub(crate) fn stall(&mut self, link: usize, time: Duration) {
        let link = &mut self.links[link];
        for pipe in [&mut link.up, &mut link.down] {
            pipe.stalled_until = self.now + time;
        }
    }

    /// Takes from both sides what their paths have room for.
    pub(crate) fn transmit(&mut self) {
        for link in &mut self.links {
            if !link.closed {
                let len = self.client.poll_transmit(link.path, self.now, link.up.room(), &mut self.out);
                if len > 0 && link.first.is_empty() {
                    link.first = self.out.to_vec();
                }
                self.wire_bytes += len as u64;
                push(link.silent, &mut link.up, self.now, &mut self.out);
            }
            if let (Served::Session(path), Some(server)) = (&link.served, &mut self.server) {
                let len = server.poll_transmit(*path, self.now, link.down.room(), &mut self.out);
                self.wire_bytes += len as u64;
                push(link.silent, &mut link.down, self.now, &mut self.out);
            }
        }
        self.collect_events();
    }

    fn collect_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            if let Event::PathClosed(path, _) = event
                && let Some(link) = self.links.iter_mut().find(|link| link.path == path)
            {
                link.closed = true;
            }
            self.client_events.push_back(event);
        }
        if let Some(server) = &mut self.server {
            self.server_events.extend(std::iter::from_fn(|| server.poll_event()));
            for event in &self.server_events {
                if let Event::PathClosed(path, _) = event {
                    let link = self
                        .links
                        .iter_mut()
                        .find(|link| matches!(link.served, Served::Session(served) if served == *path));
                    // What it sent last is still under way.
                    link.into_iter().for_each(|link| link.served = Served::Gone);
                }
            }
        }
    }

    /// Goes on to the next thing that happens, but no later than `until`; whether there was one.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.transmit();
        let pipes = self.links.iter().flat_map(|link| [link.up.next_at(), link.down.next_at()]).flatten();
        let timers = [self.client.poll_timeout(), self.server.as_ref().and_then(Session::poll_timeout)];
        let next = pipes.chain(timers.into_iter().flatten()).min();
        let happens = next.is_some_and(|next| next <= until);
        self.now = self.now.max(next.unwrap_or(until).min(until));
        self.client.handle_timeout(self.now);
        if let Some(server) = &mut self.server {
            server.handle_timeout(self.now);
        }
        for link in 0..self.links.len() {
            while let Some(bytes) = self.links[link].up.pop(self.now) {
                self.arrive_at_server(link, &bytes);
            }
            while let Some(bytes) = self.links[link].down.pop(self.now) {
                if !self.links[link].silent && !self.links[link].closed {
                    self.arrive_at_client(link, &bytes);
                }
            }
        }
        self.collect_events();
        self.check_bounds();
        happens
    }

    fn arrive_at_client(&mut self, link: usize, bytes: &[u8]) {
        // As a transport would: in pieces that have nothing to do with records.
        for piece in bytes.chunks(self.dice.between(1, 40_000) as usize) {
            self.client.handle_bytes(self.links[link].path, self.now, piece);
        }
    }

    fn arrive_at_server(&mut self, link: usize, bytes: &[u8]) {
        let link = &mut self.links[link];
        if link.silent {
            return;
        }
        for piece in bytes.chunks(self.dice.between(1, 40_000) as usize) {
            match &mut link.served {
                Served::Gone => return,
                Served::Session(path) => {
                    if let Some(server) = &mut self.server {
                        server.handle_bytes(*path, self.now, piece);
                    }
                }
                Served::Incoming(incoming) => match self.acceptor.handle_bytes(incoming, self.now, piece) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Answer(answer)) => link.down.push(self.now, answer),
                    Ok(Progress::Refuse(answer)) => {
                        link.down.push(self.now, answer);
                        link.served = Served::Gone;
                    }
                    Ok(Progress::New(session, path)) => {
                        assert!(self.server.is_none(), "one session for each client");
                        self.server = Some(*session);
                        link.served = Served::Session(path);
                    }
                    Ok(Progress::Attach(id, path)) => {
                        let server = self.server.as_mut().expect("the acceptor knows it");
                        assert_eq!(server.id(), Some(id));
                        link.served = server.attach(self.now, path).map_or(Served::Gone, Served::Session);
                    }
                    Err(error) => {
                        link.rejected = Some(error);
                        link.served = Served::Gone;
                    }
                },
            }
        }
    }

    /// What is promised always.
    fn check_bounds(&self) {
        for (side, limits) in
            [Some(&self.client), self.server.as_ref()].into_iter().flatten().zip(&self.limits)
        {
            assert!(side.receive_buffered() <= limits.session_window);
            assert!(side.send_buffered() <= limits.session_send_buffer);
        }
    }

    /// Goes on for a time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step(until);
        }
    }

    /// Goes on until the session is established.
    pub(crate) fn establish(&mut self, shape: Shape) -> usize {
        let link = self.connect(shape).expect("a path");
        let until = self.now + Duration::from_secs(20);
        while self.server.is_none() && self.now < until {
            self.step(until);
        }
        assert!(self.server.is_some() && self.client.id().is_some(), "{:?}", self.client_events);
        link
    }
}

fn push(silent: bool, pipe: &mut Pipe, now: Instant, out: &mut BytesMut) {
    let bytes = out.split();
    if !silent && !bytes.is_empty() {
        pipe.push(now, bytes.to_vec());
    }
}
