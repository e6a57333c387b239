//! From a scenario to namespaces, interfaces, addresses and routes, as text for `ip -batch`. Nothing here touches the
//! system.
//!
//! Each network is a router whose bridge `lan` holds the network's hosts. Links between networks are pairs of interfaces
//! with addresses out of 198.18.0.0/15 (RFC 2544) and fdda:1ab::/32, which no scenario's network should use. Routes are
//! the shortest ways, worked out once: a link that is cut is not routed around, as the timeline should show its loss.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use toml::Spanned;

use crate::scenario::Prefix;
use crate::scenario::model::{Host, Link, Network, Scenario};

/// What is to be built.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Namespaces: routers, hosts, and what stands in links.
    pub namespaces: Vec<String>,
    /// `ip -batch` for the interfaces of all.
    pub links: String,
    /// `ip -batch` inside each namespace.
    pub inside: BTreeMap<String, String>,
    /// The addresses of each host.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    /// For each link of the scenario: the namespace between its sides, if it needs one.
    pub boxes: BTreeMap<String, String>,
    /// For each link, those between hosts and their networks too: the namespace and interface of its side `a`, and of side
    /// `b` if something stands between them. Captures are taken there.
    pub taps: BTreeMap<String, Vec<(String, String)>>,
    /// Namespaces that route.
    pub routers: Vec<String>,
}

/// Whether something must stand in a link: it is shaped or watched over, or the timeline changes it.
fn needs_box(scenario: &Scenario, link: &Link) -> bool {
    let name = link.name();
    let shaped =
        [&link.delay_ms, &link.jitter_ms, &link.loss_percent, &link.rate_mbit].iter().any(|v| v.is_some());
    let told = scenario
        .event
        .iter()
        .any(|e| e.cut.iter().chain(&e.mend).chain(e.change.keys()).any(|n| *n.get_ref() == name));
    shaped || told || link.program.is_some() || !link.adversary.is_empty()
}

impl Plan {
    /// Lays a scenario out. It must have been checked.
    pub fn new(scenario: &Scenario) -> Self {
        let mut plan = Self::default();
        let mut networks: Vec<(&str, &Network)> =
            scenario.network.iter().map(|(n, v)| (n.get_ref().as_str(), v)).collect();
        networks.sort_unstable_by_key(|(n, _)| *n);
        for (name, network) in &networks {
            plan.router(name, network);
        }
        plan.addresses = addresses(scenario);
        let access: HashMap<&str, &Link> = scenario
            .link
            .iter()
            .filter_map(|l| {
                let host = l.between.iter().find(|e| scenario.host.contains_key(e.get_ref().as_str()))?;
                Some((host.get_ref().as_str(), l))
            })
            .collect();
        for (i, (name, host)) in scenario.host.iter().enumerate() {
            let Some(network) = scenario.network.get(host.network.get_ref().as_str()) else { continue };
            plan.host(
                scenario,
                i,
                name.get_ref(),
                host,
                network,
                access.get(name.get_ref().as_str()).copied(),
            );
        }
        let mut neighbours: HashMap<&str, Vec<Neighbour<'_>>> = HashMap::new();
        let between = scenario
            .link
            .iter()
            .filter(|l| l.between.iter().all(|e| scenario.network.contains_key(e.get_ref().as_str())));
        for (i, link) in between.enumerate() {
            plan.transit(scenario, i, link, &mut neighbours);
        }
        plan.routes(&networks, &neighbours);
        plan
    }

    fn say(&mut self, namespace: &str, command: std::fmt::Arguments<'_>) {
        let batch = self.inside.entry(namespace.to_owned()).or_default();
        let _ = writeln!(batch, "{command}");
    }

    fn namespace(&mut self, name: &str) {
        self.namespaces.push(name.to_owned());
        self.say(name, format_args!("link set dev lo up"));
    }

    fn router(&mut self, name: &str, network: &Network) {
        self.namespace(name);
        self.routers.push(name.to_owned());
        self.say(
            name,
            format_args!("link add name lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
        );
        self.say(name, format_args!("link set dev lan up"));
        for prefix in network.ipv4.iter().chain(&network.ipv6).map(Spanned::get_ref) {
            if let Some(gateway) = prefix.gateway() {
                self.say(
                    name,
                    format_args!("addr add {gateway}/{} dev lan{}", prefix.length, nodad(gateway)),
                );
            }
        }
    }

    /// A pair of interfaces, with something between them if the link needs it: gives nothing away of it to its ends.
    fn pair(&mut self, scenario: &Scenario, link: Option<&Link>, a: (&str, &str), b: (&str, &str)) {
        let mut veth = |(a_ns, a_if): (&str, &str), (b_ns, b_if): (&str, &str)| {
            let _ = writeln!(
                self.links,
                "link add name {a_if} netns {a_ns} type veth peer name {b_if} netns {b_ns}"
            );
        };
        match link.filter(|l| needs_box(scenario, l)) {
            Some(link) => {
                let between = format!("box-{}", link.name());
                veth(a, (&between, "a"));
                veth((&between, "b"), b);
                self.namespace(&between);
                for side in ["a", "b"] {
                    self.say(&between, format_args!("link set dev {side} up"));
                }
                self.boxes.insert(link.name(), between);
            }
            None => veth(a, b),
        }
        // Of a bare cable, both ends see the same.
        let ends = if link.is_some_and(|l| needs_box(scenario, l)) { &[a, b][..] } else { &[a][..] };
        let name = link.map_or_else(|| format!("{}--{}", a.0, b.0), Link::name);
        let taps =
            ends.iter().map(|(namespace, interface)| ((*namespace).to_owned(), (*interface).to_owned()));
        self.taps.insert(name, taps.collect());
    }

    fn host(
        &mut self,
        scenario: &Scenario,
        i: usize,
        name: &str,
        host: &Host,
        network: &Network,
        link: Option<&Link>,
    ) {
        let router = host.network.get_ref().as_str();
        self.namespace(name);
        let port = format!("port{i}");
        // Side a is what the scenario names first.
        match link {
            Some(l) if l.between[0].get_ref() == router => {
                self.pair(scenario, link, (router, &port), (name, "eth0"));
            }
            _ => self.pair(scenario, link, (name, "eth0"), (router, &port)),
        }
        self.say(router, format_args!("link set dev {port} master lan"));
        self.say(router, format_args!("link set dev {port} up"));
        self.say(name, format_args!("link set dev eth0 up"));
        for address in self.addresses.get(name).cloned().unwrap_or_default() {
            let prefix = if address.is_ipv4() { &network.ipv4 } else { &network.ipv6 };
            if let Some(prefix) = prefix {
                let length = prefix.get_ref().length;
                self.say(name, format_args!("addr add {address}/{length} dev eth0{}", nodad(address)));
            }
        }
        for (prefix, all) in
            network.ipv4.iter().map(|p| (p, "0.0.0.0/0")).chain(network.ipv6.iter().map(|p| (p, "::/0")))
        {
            if let Some(gateway) = prefix.get_ref().gateway() {
                self.say(name, format_args!("route add {all} via {gateway}"));
            }
        }
    }

    fn transit<'a>(
        &mut self,
        scenario: &Scenario,
        i: usize,
        link: &'a Link,
        neighbours: &mut HashMap<&'a str, Vec<Neighbour<'a>>>,
    ) {
        let [a, b] = [link.between[0].get_ref().as_str(), link.between[1].get_ref().as_str()];
        let name = format!("up{i}");
        self.pair(scenario, Some(link), (a, &name), (b, &name));
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + 4 * i as u32;
        let four = |n: u32| Ipv4Addr::from(base + n);
        let six = |n: u16| Ipv6Addr::new(0xfdda, 0x01ab, i as u16, 0, 0, 0, 0, n);
        for (own, other, n, m) in [(a, b, 1, 2), (b, a, 2, 1)] {
            self.say(own, format_args!("link set dev {name} up"));
            self.say(own, format_args!("addr add {}/30 dev {name}", four(n)));
            self.say(own, format_args!("addr add {}/64 dev {name} nodad", six(n as u16)));
            neighbours.entry(own).or_default().push(Neighbour {
                network: other,
                four: four(m),
                six: six(m as u16),
            });
        }
    }

    /// The shortest way from each router to each other network, found by breadth first search.
    fn routes(&mut self, networks: &[(&str, &Network)], neighbours: &HashMap<&str, Vec<Neighbour<'_>>>) {
        for (start, own) in networks {
            let mut first: HashMap<&str, &Neighbour<'_>> = HashMap::new();
            let mut seen = HashSet::from([*start]);
            let mut queue = VecDeque::from([*start]);
            while let Some(at) = queue.pop_front() {
                for next in neighbours.get(at).into_iter().flatten() {
                    if seen.insert(next.network) {
                        let way = first.get(at).copied().unwrap_or(next);
                        first.insert(next.network, way);
                        queue.push_back(next.network);
                    }
                }
            }
            // A router speaks as itself: nobody else has a way back to the addresses between routers.
            let source = |range: &Option<Spanned<Prefix>>| {
                range
                    .as_ref()
                    .and_then(|p| p.get_ref().gateway())
                    .map_or_else(String::new, |a| format!(" src {a}"))
            };
            let (source4, source6) = (source(&own.ipv4), source(&own.ipv6));
            for (name, network) in networks {
                let Some(way) = first.get(name) else { continue };
                for prefix in network.ipv4.iter().chain(&network.ipv6).map(Spanned::get_ref) {
                    match prefix.first {
                        IpAddr::V4(_) => {
                            self.say(start, format_args!("route add {prefix} via {}{source4}", way.four));
                        }
                        IpAddr::V6(_) => {
                            self.say(start, format_args!("route add {prefix} via {}{source6}", way.six));
                        }
                    }
                }
            }
        }
    }
}

struct Neighbour<'a> {
    network: &'a str,
    four: Ipv4Addr,
    six: Ipv6Addr,
}

/// Duplicate address detection would keep an address from use for a second or two.
fn nodad(address: IpAddr) -> &'static str {
    if address.is_ipv6() { " nodad" } else { "" }
}

/// The addresses of every host: what the scenario gives, else the next free one from `.10` on.
pub(crate) fn addresses(scenario: &Scenario) -> BTreeMap<String, Vec<IpAddr>> {
    let mut taken: HashSet<IpAddr> = HashSet::new();
    for host in scenario.host.values() {
        taken.extend(host.ipv4.iter().map(|a| IpAddr::V4(*a.get_ref())));
        taken.extend(host.ipv6.iter().map(|a| IpAddr::V6(*a.get_ref())));
        taken.extend(host.also.iter().map(|a| *a.get_ref()));
    }
    let mut free = |prefix: Prefix| {
        let address = (10..)
            .map_while(|n| prefix.nth(n))
            .find(|a| Some(*a) != prefix.broadcast() && !taken.contains(a))?;
        taken.insert(address);
        Some(address)
    };
    let mut hosts: Vec<(&Spanned<String>, &Host)> = scenario.host.iter().collect();
    hosts.sort_by_key(|(name, _)| name.span().start);
    hosts
        .into_iter()
        .map(|(name, host)| {
            let network = scenario.network.get(host.network.get_ref().as_str());
            let range = |six: bool| {
                network
                    .and_then(|n| if six { n.ipv6.as_ref() } else { n.ipv4.as_ref() })
                    .map(|p| *p.get_ref())
            };
            let four = host
                .ipv4
                .as_ref()
                .map(|a| IpAddr::V4(*a.get_ref()))
                .or_else(|| range(false).and_then(&mut free));
            let six = host
                .ipv6
                .as_ref()
                .map(|a| IpAddr::V6(*a.get_ref()))
                .or_else(|| range(true).and_then(&mut free));
            let also = host.also.iter().map(|a| *a.get_ref());
            (name.get_ref().clone(), four.into_iter().chain(six).chain(also).collect())
        })
        .collect()
}
