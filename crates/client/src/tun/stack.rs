//! TCP at the near end of the tunnel: segments of the device become streams.
//!
//! The TCP is smoltcp's: it does no input or output of its own, lets a program send no more than was read, and has been
//! tried for years. (The crate ipstack, made for this very purpose, acknowledges what nobody has read yet and keeps it all, has
//! no window scaling, and gives segments up after three tries.) A connection is accepted only when its destination has been reached; until then its first segment waits,
//! so that a program sees a refusal as what it is.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rand::RngExt;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{HardwareAddress, IpEndpoint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::packet::Flow;

/// The largest packet of the device. Nothing of this length is ever on a wire: fewer, larger packets cost less.
pub(super) const MTU: u16 = 16_000;
/// Buffers of each direction of a connection; the memory is only used as far as it is filled.
const BUFFER_LEN: usize = 128 << 10;
/// Connections at the same time; further ones are refused.
const CONNECTIONS_MAX: usize = 1024;
/// Packets that wait for the device.
const OUT_MAX: usize = 1024;
/// A program that does not take its bytes, and is not there any more, is waited for so long.
const PATIENCE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);

/// The device's end of smoltcp.
#[derive(Default)]
struct Queues {
    arriving: VecDeque<Vec<u8>>,
    out: VecDeque<Vec<u8>>,
}

impl phy::Device for Queues {
    type RxToken<'a> = Arriving;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Arriving, Leaving<'_>)> {
        self.arriving.pop_front().map(|packet| (Arriving(packet), Leaving(&mut self.out)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Leaving<'_>> {
        (self.out.len() < OUT_MAX).then_some(Leaving(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, MTU.into());
        // The kernel made what arrives.
        (capabilities.checksum.ipv4, capabilities.checksum.tcp) = (Checksum::Tx, Checksum::Tx);
        capabilities
    }
}

struct Arriving(Vec<u8>);

impl phy::RxToken for Arriving {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push_back(packet);
        result
    }
}

struct Inner {
    interface: Interface,
    queues: Queues,
    sockets: SocketSet<'static>,
    /// Connections, and those whose destination is being asked.
    flows: HashMap<Flow, Option<SocketHandle>>,
    /// Connections that nobody holds any more, until their last segment.
    leaving: Vec<(Flow, SocketHandle)>,
    begin: Instant,
}

impl Inner {
    fn now(&self) -> smoltcp::time::Instant {
        let micros = i64::try_from(self.begin.elapsed().as_micros()).unwrap_or(i64::MAX);
        smoltcp::time::Instant::from_micros(micros)
    }

    fn poll(&mut self) {
        let now = self.now();
        self.interface.poll(now, &mut self.queues, &mut self.sockets);
    }
}

/// All connections of the device.
#[derive(Clone)]
pub(super) struct Stack {
    inner: Arc<Mutex<Inner>>,
    /// There is something to be sent.
    wake: Arc<Notify>,
}

impl Stack {
    pub(super) fn new() -> Self {
        let mut queues = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = rand::rng().random();
        let mut interface = Interface::new(config, &mut queues, smoltcp::time::Instant::ZERO);
        // Every address is taken for this end's own.
        interface.set_any_ip(true);
        let (sockets, flows) = (SocketSet::new(Vec::new()), HashMap::new());
        let inner = Inner { interface, queues, sockets, flows, leaving: Vec::new(), begin: Instant::now() };
        Self { inner: Arc::new(Mutex::new(inner)), wake: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a segment of a connection that is there, for the next [`Stack::poll`].
    pub(super) fn segment(&self, packet: Vec<u8>) {
        self.lock().queues.arriving.push_back(packet);
    }

    /// Whether the first segment of a connection is a new one's: then [`Stack::accept`] or [`Stack::refuse`] must follow.
    pub(super) fn begin(&self, flow: Flow) -> Begun {
        let mut inner = self.lock();
        let len = inner.flows.len();
        match inner.flows.get(&flow) {
            Some(None) => Begun::Waiting,
            Some(Some(_)) => Begun::Known,
            None if len >= CONNECTIONS_MAX => Begun::Full,
            None => {
                inner.flows.insert(flow, None);
                Begun::New
            }
        }
    }

    /// Answers the first segment of a connection.
    pub(super) fn accept(&self, flow: Flow, first: Vec<u8>) -> io::Result<Connection> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_LEN]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // Bytes come in large pieces already, and whoever reads tells at once.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let listening = socket.listen(IpEndpoint::from(flow.destination));
        let mut inner = self.lock();
        if let Err(error) = listening {
            inner.flows.remove(&flow);
            return Err(io::Error::other(error));
        }
        let handle = inner.sockets.add(socket);
        inner.flows.insert(flow, Some(handle));
        // It is the only one that listens, as this is done before the next.
        inner.queues.arriving.push_back(first);
        inner.poll();
        drop(inner);
        self.wake.notify_one();
        Ok(Connection { stack: self.clone(), flow, handle })
    }

    /// Refuses a connection: nobody listens, so the answer to its first segment is a reset.
    pub(super) fn refuse(&self, flow: Flow, first: Vec<u8>) {
        let mut inner = self.lock();
        inner.flows.remove(&flow);
        inner.queues.arriving.push_back(first);
        inner.poll();
        drop(inner);
        self.wake.notify_one();
    }

    /// Moves on, and gives what is to be sent; and how long until it is to be called again at the latest.
    pub(super) fn poll(&self, out: &mut VecDeque<Vec<u8>>) -> Option<Duration> {
        let mut inner = self.lock();
        inner.poll();
        out.append(&mut inner.queues.out);
        let Inner { sockets, flows, leaving, .. } = &mut *inner;
        leaving.retain(|&(flow, handle)| {
            let state = sockets.get::<tcp::Socket<'_>>(handle).state();
            let is_over = matches!(state, State::Closed | State::TimeWait);
            if is_over {
                sockets.remove(handle);
                flows.remove(&flow);
            }
            !is_over
        });
        let now = inner.now();
        let Inner { interface, sockets, .. } = &mut *inner;
        interface.poll_delay(now, sockets).map(Into::into)
    }

    /// Waits until there is something to be sent.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// What a first segment begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begun {
    New,
    /// Its destination is being asked.
    Waiting,
    /// It is answered already.
    Known,
    /// There are too many.
    Full,
}

/// A connection of a program's. Dropped before both sides have ended it is reset.
pub(super) struct Connection {
    stack: Stack,
    flow: Flow,
    handle: SocketHandle,
}

impl Connection {
    fn with<R>(&self, act: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        act(self.stack.lock().sockets.get_mut(self.handle))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = self.with(|socket| match socket.recv_slice(buffer.initialize_unfilled()) {
            Ok(0) if buffer.remaining() > 0 => {
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            }
            Ok(len) => Poll::Ready(Ok(len)),
            Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(tcp::RecvError::InvalidState) => match socket.state() {
                // The handshake's last segment is still to come.
                State::Listen | State::SynReceived => {
                    socket.register_recv_waker(cx.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            },
        });
        outcome.map_ok(|len| {
            buffer.advance(len);
            if len > 0 {
                // There is room again.
                self.stack.wake.notify_one();
            }
        })
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.with(|socket| match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Ok(len) => Poll::Ready(Ok(len)),
            Err(_) if matches!(socket.state(), State::Listen | State::SynReceived) => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        });
        if outcome.is_ready() {
            self.stack.wake.notify_one();
        }
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(tcp::Socket::close);
        self.stack.wake.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.with(|socket| match socket.state() {
            // What is on its way is still brought there.
            State::LastAck | State::Closing => socket.set_timeout(Some(PATIENCE)),
            State::TimeWait | State::Closed => {}
            _ => socket.abort(),
        });
        self.stack.lock().leaving.push((self.flow, self.handle));
        self.stack.wake.notify_one();
    }
}
