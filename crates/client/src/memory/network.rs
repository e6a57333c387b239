//! Which network this machine is on, from what the kernel and the network's own settings say. Nothing is asked of anybody.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Flags of routes (`linux/route.h`).
const RTF_UP: u32 = 1;
const RTF_GATEWAY: u32 = 2;

/// What tells one network from another. It stays on this machine, and is written down only as a keyed hash.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// The hardware address of the default gateway, as the kernel writes it.
    pub gateway_mac: Option<String>,
    /// The default gateway's IPv6 address, which is link-local and mostly as good as a hardware address.
    pub gateway_v6: Option<Ipv6Addr>,
    /// The name of the network's domain.
    pub domain: Option<String>,
    /// The interface, where there is no gateway: a modem or another tunnel.
    pub interface: Option<String>,
}

impl Identity {
    /// Of the network that this machine is on now.
    #[must_use]
    pub fn current() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::of_tables(
            &read("/proc/net/route"),
            &read("/proc/net/arp"),
            &read("/proc/net/ipv6_route"),
            &read("/etc/resolv.conf"),
        )
    }

    /// By the kernel's tables of routes and of neighbours, and `resolv.conf`.
    #[must_use]
    pub fn of_tables(route: &str, arp: &str, route6: &str, resolv: &str) -> Self {
        let default = default_route(route);
        let gateway = default.and_then(|route| route.gateway).map(|gateway| gateway.to_string());
        let gateway_mac = gateway.and_then(|gateway| {
            let columns = arp.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let found = columns.filter(|columns| columns.first() == Some(&gateway.as_str()));
            let macs = found.filter_map(|columns| columns.get(3).map(ToString::to_string));
            // One that is being asked for has no address yet.
            macs.filter(|mac| mac.as_str() != "00:00:00:00:00:00").max()
        });
        let gateway_v6 = default_gateway_v6(route6);
        let domain = resolv.lines().rev().find_map(|line| {
            let mut words = line.split_whitespace();
            matches!(words.next(), Some("search" | "domain")).then(|| words.next()).flatten()
        });
        let domain = domain.map(|domain| domain.trim_end_matches('.').to_ascii_lowercase());
        let no_gateway = gateway_mac.is_none() && gateway_v6.is_none();
        let interface = default.filter(|_| no_gateway).map(|route| route.interface.into());
        Self { gateway_mac, gateway_v6, domain: domain.filter(|domain| !domain.is_empty()), interface }
    }

    /// Whether nothing is known: this machine seems to be offline.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self { domain: self.domain.clone(), ..Self::default() }
    }

    /// Its parts, so that no two identities have the same bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let gateway_v6 = self.gateway_v6.map(|ip| ip.to_string());
        let parts = [&self.gateway_mac, &gateway_v6, &self.domain, &self.interface];
        parts.into_iter().flat_map(|part| format!("{part:?}\n").into_bytes()).collect()
    }
}

#[derive(Clone, Copy)]
struct Route<'a> {
    interface: &'a str,
    gateway: Option<Ipv4Addr>,
    metric: u32,
}

fn default_route(table: &str) -> Option<Route<'_>> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = columns[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = destination == "00000000" && mask == "00000000" && flags & RTF_UP != 0;
        // The kernel writes addresses as numbers in its own byte order.
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        let gateway = (flags & RTF_GATEWAY != 0).then_some(gateway);
        is_default.then_some(Route { interface, gateway, metric: metric.parse().ok()? })
    });
    routes.min_by_key(|route| route.metric)
}

fn default_gateway_v6(table: &str) -> Option<Ipv6Addr> {
    let routes = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [destination, len, _, _, gateway, metric, ..] = columns[..] else { return None };
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        let is_default =
            destination.bytes().all(|digit| digit == b'0') && len == "00" && !gateway.is_unspecified();
        is_default.then_some((u32::from_str_radix(metric, 16).ok()?, gateway))
    });
    routes.min().map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
";
    const ARP: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         aa:aa:aa:aa:aa:aa     *        wlan0
10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0
10.0.0.12        0x1         0x2         02:00:00:00:00:12     *        eth0
";
    const ROUTE6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000000a 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_gateway_with_the_lowest_metric() {
        let identity =
            Identity::of_tables(ROUTE, ARP, ROUTE6, "# x\nnameserver 10.0.0.1\nsearch Cafe.example. b\n");
        let expected = Identity {
            gateway_mac: Some("02:00:00:00:00:01".into()),
            gateway_v6: Some("fe80::a".parse().expect("an address")),
            domain: Some("cafe.example".into()),
            interface: None,
        };
        assert_eq!(identity, expected);
        assert!(!identity.is_unknown());
    }

    #[test]
    fn what_is_missing_or_odd_is_left_out() {
        let unknown = Identity::of_tables("", "", "", "");
        assert!(unknown.is_unknown());
        assert_eq!(Identity::of_tables("x\na b\n\u{0}", "x", "zz 00 \n", "search\n"), unknown);
        let modem = "h\nppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(Identity::of_tables(modem, "", "", "").interface.as_deref(), Some("ppp0"));
    }
}
