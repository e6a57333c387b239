//! UDP: each of a program's ports has an association with the tunnel, for as long as it is used.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daylight_session::Destination;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tun_rs::AsyncDevice;

use super::packet::{Flow, datagram};
use crate::{Association, Tunnel};

/// Ports at the same time; further datagrams are dropped.
const PORTS_MAX: usize = 1024;
/// Datagrams that wait for the tunnel, of each port; more are dropped.
const QUEUE_MAX: usize = 64;
/// A port that is silent for so long is forgotten (RFC 4787 §4.3 wants two minutes at least).
const IDLE: Duration = Duration::from_secs(150);
/// The same for one that only asks for names.
const IDLE_NAMES: Duration = Duration::from_secs(20);
const DNS: u16 = 53;

/// Where questions for names go that a program sends to a resolver of the local network: that one can't be reached through
/// the tunnel, and would see and tell every name.
pub(super) fn redirected(destination: SocketAddr, resolver: SocketAddr) -> SocketAddr {
    if destination.port() == DNS && is_local(destination.ip()) { resolver } else { destination }
}

fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => {
            ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback() || ip.is_unspecified()
        }
    }
}

/// Whether it is meant for many.
fn is_for_many(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

/// All ports that are used.
pub(super) struct Datagrams<T> {
    tunnel: T,
    device: Arc<AsyncDevice>,
    resolver: SocketAddr,
    ports: HashMap<SocketAddr, mpsc::Sender<(SocketAddr, Bytes)>>,
}

impl<T: Tunnel> Datagrams<T> {
    pub(super) fn new(tunnel: T, device: Arc<AsyncDevice>, resolver: SocketAddr) -> Self {
        Self { tunnel, device, resolver, ports: HashMap::new() }
    }

    /// Takes a datagram of a program's. As with UDP, it may be dropped.
    pub(super) fn take(&mut self, flow: Flow, data: Bytes) {
        if is_for_many(flow.destination.ip()) {
            return;
        }
        let known = self.ports.get(&flow.source).filter(|port| !port.is_closed());
        if let Some(port) = known {
            let _ = port.try_send((flow.destination, data));
            return;
        }
        if self.ports.len() >= PORTS_MAX {
            self.ports.retain(|_, port| !port.is_closed());
            if self.ports.len() >= PORTS_MAX {
                return;
            }
        }
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let _ = sender.try_send((flow.destination, data));
        self.ports.insert(flow.source, sender);
        let (tunnel, device) = (self.tunnel.clone(), Arc::clone(&self.device));
        tokio::spawn(serve(tunnel, device, flow.source, self.resolver, receiver));
    }
}

/// One port of a program's, until it is idle or the tunnel's side ends.
async fn serve<T: Tunnel>(
    tunnel: T,
    device: Arc<AsyncDevice>,
    program: SocketAddr,
    resolver: SocketAddr,
    mut from_program: mpsc::Receiver<(SocketAddr, Bytes)>,
) {
    let Ok(association) = tunnel.associate().await else { return };
    // Whom the program asked instead of the resolver.
    let mut asked = None;
    let mut idle = IDLE_NAMES;
    loop {
        tokio::select! {
            taken = timeout(idle, from_program.recv()) => {
                let Ok(Some((destination, data))) = taken else { return };
                let to = redirected(destination, resolver);
                if to != destination {
                    asked = Some(destination);
                }
                if destination.port() != DNS {
                    idle = IDLE;
                }
                let _ = association.send(to.into(), data).await;
            }
            received = association.recv() => {
                let Some((source, data)) = received else { return };
                let Destination::Address(source) = source else { continue };
                let source = asked.filter(|_| source == resolver).unwrap_or(source);
                if let Some(packet) = datagram(source, program, &data) {
                    let _ = device.send(&packet).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_local_resolvers_are_redirected() {
        let resolver: SocketAddr = "9.9.9.9:53".parse().expect("an address");
        for (to, is_redirected) in [
            ("192.168.1.1:53", true),
            ("100.64.0.1:53", true),
            ("[fe80::1]:53", true),
            ("[fd00::1]:53", true),
            ("192.168.1.1:54", false),
            ("8.8.8.8:53", false),
            ("[2001:db8::1]:53", false),
        ] {
            let to: SocketAddr = to.parse().expect("an address");
            assert_eq!(redirected(to, resolver), if is_redirected { resolver } else { to }, "{to}");
        }
        assert!(is_for_many("224.0.0.251".parse().expect("an address")));
        assert!(is_for_many("ff02::fb".parse().expect("an address")));
    }
}
