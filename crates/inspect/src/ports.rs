//! Which protocol is at home on which port.

use std::collections::HashMap;
use std::sync::OnceLock;

use daylight_packet::TransportKind;
use daylight_protocols::{ProtocolId, Transport};
use foldhash::fast::RandomState;

#[derive(Default)]
struct Ports {
    /// One bit a port, of any transport: most ports are nobody's home, and this is asked for every new flow.
    some: Box<[u64]>,
    ids: HashMap<(u8, u16), ProtocolId, RandomState>,
}

/// The protocol at home on a port of an IP protocol (TCP, UDP), if there is one. Where several are, the first in the
/// table of protocols.
pub(crate) fn at_home(ip_protocol: u8, port: u16) -> Option<ProtocolId> {
    static PORTS: OnceLock<Ports> = OnceLock::new();
    let ports = PORTS.get_or_init(|| {
        let mut ports = Ports { some: vec![0; 1024].into(), ..Ports::default() };
        for id in ProtocolId::all() {
            for port in id.get().ports {
                let ip_protocol = match port.transport {
                    Transport::Tcp => TransportKind::TCP,
                    Transport::Udp => TransportKind::UDP,
                    Transport::Ip(number) => number,
                };
                ports.some[usize::from(port.number / 64)] |= 1 << (port.number % 64);
                ports.ids.entry((ip_protocol, port.number)).or_insert(id);
            }
        }
        ports
    });
    let any = ports.some[usize::from(port / 64)] >> (port % 64) & 1 == 1;
    any.then(|| ports.ids.get(&(ip_protocol, port)).copied()).flatten()
}
