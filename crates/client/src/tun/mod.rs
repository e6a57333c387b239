//! Carries the whole machine: a device takes its packets, and nothing gets past it.
//!
//! Packets of programs come to the device by routes of `lock`; TCP becomes streams in `stack`, UDP datagrams
//! of associations in `datagrams`. DNS is carried like the rest; questions to a resolver of the local network go to another
//! one, through the tunnel. Other protocols, ICMP among them, are dropped.
//!
//! The tunnel's own connections must carry [`MARK`] as `SO_MARK`, or they come back to the device; and it must know its
//! servers' addresses beforehand, since names are looked up through the device.

mod datagrams;
mod lock;
mod packet;
mod stack;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tun_rs::{AsyncDevice, DeviceBuilder};

use self::datagrams::{Datagrams, redirected};
pub use self::lock::{LockError, MARK, restore};
use self::packet::{Flow, Kind, classify};
use self::stack::{Begun, MTU, Stack};
use crate::Tunnel;
use crate::relay::relay;

/// Packets that are taken one after the other before answers go out.
const BATCH: usize = 64;
/// Quad9: it filters nothing but malware, and keeps no addresses.
const RESOLVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)), 53);

/// What can be set.
#[derive(Clone, Debug)]
pub struct TunConfig {
    /// The device's name. Default `daylight0`.
    pub device: String,
    /// Whether local networks are reached directly: printers, routers, and the like, but not their resolvers. Default true.
    pub direct_lan: bool,
    /// Who is asked for names instead of a resolver of the local network. Default 9.9.9.9:53.
    pub resolver: SocketAddr,
}

impl Default for TunConfig {
    fn default() -> Self {
        Self { device: "daylight0".into(), direct_lan: true, resolver: RESOLVER }
    }
}

/// The machine can't be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunError {
    /// The device can't be made.
    #[error("can't make the device {device}: {cause} (it takes root, and /dev/net/tun)")]
    Device {
        /// Its name.
        device: String,
        /// Why not.
        cause: io::Error,
    },
    /// The routes can't be set.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The device is gone, or has failed. Nothing gets out.
    #[error("the device has failed: {0}: start again, or give up with `daylight tunnel client restore`")]
    Gone(io::Error),
}

/// The device and its routes. Dropped it leaves the routes as they are, so that nothing gets out; [`Tun::close`] takes
/// them back.
pub struct Tun {
    device: Arc<AsyncDevice>,
    resolver: SocketAddr,
}

impl Tun {
    /// Makes the device and turns everything to it. From then on nothing gets past it.
    ///
    /// # Errors
    /// If this process may not, or a program is missing; then everything is as before.
    pub fn open(config: &TunConfig) -> Result<Self, TunError> {
        let failed = |cause| TunError::Device { device: config.device.clone(), cause };
        let device = DeviceBuilder::new().name(&config.device).mtu(MTU).build_async().map_err(failed)?;
        lock::install(&config.device, config.direct_lan)?;
        Ok(Self { device: Arc::new(device), resolver: config.resolver })
    }

    /// Carries everything, until the device fails.
    ///
    /// # Errors
    /// Always at the end.
    pub async fn run<T: Tunnel>(&self, tunnel: T) -> Result<std::convert::Infallible, TunError> {
        let stack = Stack::new();
        let mut datagrams = Datagrams::new(tunnel.clone(), Arc::clone(&self.device), self.resolver);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let mut out = VecDeque::new();
        loop {
            for _ in 0..BATCH {
                let len = match self.device.try_recv(&mut buffer) {
                    Ok(len) => len,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(TunError::Gone(error)),
                };
                let packet = buffer.get(..len).unwrap_or_default();
                match classify(packet) {
                    Kind::Udp(flow, data) => datagrams.take(flow, data),
                    Kind::Tcp => stack.segment(packet.to_vec()),
                    Kind::Syn(flow) => begin(&stack, &tunnel, flow, packet.to_vec(), self.resolver),
                    Kind::Other => {}
                }
            }
            let delay = stack.poll(&mut out);
            while let Some(packet) = out.pop_front() {
                // What the device does not take TCP sends again.
                let _ = self.device.try_send(&packet);
            }
            tokio::select! {
                ready = self.device.readable() => ready.map_err(TunError::Gone)?,
                () = stack.woken() => {}
                () = after(delay) => {}
            }
        }
    }

    /// Gives the machine its own routes back.
    ///
    /// # Errors
    /// If they can't be taken back; then nothing gets out.
    pub fn close(self) -> Result<(), TunError> {
        Ok(restore()?)
    }
}

async fn after(delay: Option<Duration>) {
    match delay {
        Some(delay) => sleep(delay).await,
        None => pending().await,
    }
}

/// Asks for the destination of a new connection, and answers it then.
fn begin<T: Tunnel>(stack: &Stack, tunnel: &T, flow: Flow, first: Vec<u8>, resolver: SocketAddr) {
    match stack.begin(flow) {
        Begun::New => {}
        // It comes again if it is still wanted.
        Begun::Waiting | Begun::Full => return,
        Begun::Known => return stack.segment(first),
    }
    let (stack, tunnel) = (stack.clone(), tunnel.clone());
    tokio::spawn(async move {
        match tunnel.connect(redirected(flow.destination, resolver).into()).await {
            Ok(mut stream) => {
                if let Ok(mut connection) = stack.accept(flow, first) {
                    // Whoever is cut off sees it: both are dropped.
                    let _ = relay(&mut connection, &mut stream).await;
                }
            }
            Err(_) => stack.refuse(flow, first),
        }
    });
}
