//! Which protocol is at home on which port.

use std::collections::HashMap;
use std::sync::OnceLock;

use daylight_packet::TransportKind;
use daylight_protocols::{ProtocolId, Transport};

/// The protocol at home on a port of an IP protocol (TCP, UDP), if there is one. Where several are, the first in the
/// table of protocols.
pub(crate) fn at_home(ip_protocol: u8, port: u16) -> Option<ProtocolId> {
    static PORTS: OnceLock<HashMap<(u8, u16), ProtocolId>> = OnceLock::new();
    let ports = PORTS.get_or_init(|| {
        let mut ports = HashMap::new();
        for id in ProtocolId::all() {
            for port in id.get().ports {
                let ip_protocol = match port.transport {
                    Transport::Tcp => TransportKind::TCP,
                    Transport::Udp => TransportKind::UDP,
                    Transport::Ip(number) => number,
                };
                ports.entry((ip_protocol, port.number)).or_insert(id);
            }
        }
        ports
    });
    ports.get(&(ip_protocol, port)).copied()
}
