//! Forged DNS answers.
//!
//! **Models.**
//! - The Great Firewall: on the path, so the true answer arrives too, only later; public addresses that belong to others;
//!   three injectors at once, one of which copies the TTL of the query (Anonymous, "Towards a Comprehensive Picture of the
//!   Great Firewall's DNS Censorship", FOCI 2014; Anonymous et al., "Triplet Censors", FOCI 2020). Triggered from outside too.
//! - Turkmenistan: A 127.0.0.1, TTL 300, both ways (Nourin et al., WWW 2023; net4people/bbs#80).
//! - Belarus, MTS: the provider's resolver names 134.17.0.7 (Qurium 2020). Seen from the client, a resolver that lies is an
//!   adversary in the path: there is one answer, from the right address, and it is wrong.
//! - Others answer NXDOMAIN, REFUSED, SERVFAIL or an address nobody can have, or let queries for a name starve.
//!
//! Queries over UDP only, to port 53. A query without a question, or with more than one, is let through.

use std::net::IpAddr;

use daylight_protocols::names::dns::message::{Header, Reader};
use serde::{Deserialize, Serialize};

use super::either::Look;
use super::mark::Mark;
use super::names::{Names, Prefix};
use super::packet::Packet;
use super::{Adversary, AdversaryCounters, Out, Place};
use crate::hop::Direction;
use crate::hop::random::Random;
use daylight_packet::build;

/// An adversary that forges DNS answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsInjectionConfig {
    /// Names whose queries are answered.
    pub names: Names,
    /// What is answered.
    pub answer: DnsAnswer,
    /// On the path: the true answer comes as well, and the client has to choose. In the path: the query is gone.
    #[serde(default = "on_path")]
    pub place: Place,
    /// Only queries to these addresses; none is all.
    #[serde(default)]
    pub resolvers: Vec<Prefix>,
    /// Time to live of the records, in seconds.
    #[serde(default = "ttl_s")]
    pub ttl_s: u32,
    /// One forged answer for each injector, with what its packets look like. One, by default.
    #[serde(default = "one_injector")]
    pub injectors: Vec<Mark>,
    /// How long after the query the first is sent, in milliseconds.
    #[serde(default)]
    pub after_ms: f64,
    /// Queries from the right are answered too.
    #[serde(default)]
    pub bidirectional: bool,
}

fn on_path() -> Place {
    Place::OnPath
}

fn ttl_s() -> u32 {
    300
}

fn one_injector() -> Vec<Mark> {
    vec![Mark::default()]
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsAnswer {
    /// The name does not exist.
    Nxdomain,
    /// The server refuses (REFUSED).
    Refused,
    /// The server fails (SERVFAIL).
    Servfail,
    /// Nothing: in the path alone, where the query is gone.
    Silence,
    /// One of these addresses, of the kind that was asked for, drawn anew each time. If there is none of that kind, or neither
    /// A nor AAAA was asked for, the answer is that there is no such record.
    Addresses(Vec<IpAddr>),
}

/// The adversary.
pub struct DnsInjection {
    config: DnsInjectionConfig,
    dice: Random,
    counters: AdversaryCounters,
}

impl DnsInjectionConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        let injection = DnsInjection {
            config: self.clone(),
            dice: Random::new(seed),
            counters: AdversaryCounters::of("dns-injection"),
        };
        Adversary::at(self.place, injection)
    }
}

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const RECURSION_DESIRED: u16 = 0x0100;
/// QR and RA.
const RESPONSE: u16 = 0x8080;
const NXDOMAIN: u16 = 3;
const SERVFAIL: u16 = 2;
const REFUSED: u16 = 5;
/// Between two injectors' answers. The papers give no figure; this keeps their order on the lab's links.
const BETWEEN_INJECTORS_NS: u64 = 300_000;

impl Look for DnsInjection {
    /// True if this is a query for a name on the list, which was answered.
    fn look(&mut self, _: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> bool {
        let config = &self.config;
        let Some(datagram) = packet.udp().filter(|d| d.ports[1] == 53) else { return false };
        let wanted = (direction == Direction::Outbound || config.bidirectional)
            && (config.resolvers.is_empty() || config.resolvers.iter().any(|p| p.has(packet.destination)));
        let Some(query) = Query::read(datagram.payload).filter(|_| wanted) else { return false };
        if !config.names.has(&query.name) {
            return false;
        }
        self.counters.matched += 1;
        if config.answer == DnsAnswer::Silence {
            return true;
        }
        let [client, server] = datagram.ports;
        let mut after_ns = (config.after_ms.max(0.0) * 1e6) as u64;
        for mark in &config.injectors {
            let message = query.answer(&config.answer, config.ttl_s, &mut self.dice);
            let stamp = mark.stamp(packet, &mut self.dice);
            let ip = build::udp(packet.destination, packet.source, [server, client], &stamp, &message);
            out.inject(direction.reverse(), ip, after_ns);
            after_ns += BETWEEN_INJECTORS_NS;
            self.counters.injected += 1;
        }
        true
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

/// A query with one question.
struct Query<'a> {
    header: Header,
    name: String,
    qtype: u16,
    /// The question as it was sent, names in their case: clients check that.
    question: &'a [u8],
}

impl<'a> Query<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let header = Header::read(message)?;
        if header.is_response() || header.opcode() != 0 || header.counts[0] != 1 {
            return None;
        }
        let mut reader = Reader::new(message);
        let start = reader.position();
        let question = reader.question().ok()?;
        let (name, qtype) = (question.name.lower(), question.qtype);
        Some(Self { header, name, qtype, question: message.get(start..reader.position())? })
    }

    fn answer(&self, answer: &DnsAnswer, ttl_s: u32, dice: &mut Random) -> Vec<u8> {
        let mut flags = RESPONSE | self.header.flags & RECURSION_DESIRED;
        let mut record = Vec::new();
        match answer {
            DnsAnswer::Nxdomain => flags |= NXDOMAIN,
            DnsAnswer::Refused => flags |= REFUSED,
            DnsAnswer::Servfail => flags |= SERVFAIL,
            // Nobody asks for a message that isn't sent.
            DnsAnswer::Silence => {}
            DnsAnswer::Addresses(addresses) => {
                let fitting: Vec<_> = addresses
                    .iter()
                    .filter(|a| match self.qtype {
                        TYPE_A => a.is_ipv4(),
                        TYPE_AAAA => a.is_ipv6(),
                        _ => false,
                    })
                    .collect();
                if let Some(address) = fitting.get(dice.below(fitting.len())) {
                    let rdata = match address {
                        IpAddr::V4(a) => a.octets().to_vec(),
                        IpAddr::V6(a) => a.octets().to_vec(),
                    };
                    // The name is that of the question, 12 bytes into the message (RFC 1035 §4.1.4).
                    record.extend_from_slice(&[0xc0, 12]);
                    record.extend_from_slice(&self.qtype.to_be_bytes());
                    record.extend_from_slice(&[0, 1]);
                    record.extend_from_slice(&ttl_s.to_be_bytes());
                    record.extend_from_slice(&[0, rdata.len() as u8]);
                    record.extend_from_slice(&rdata);
                }
            }
        }
        let mut message = self.header.id.to_be_bytes().to_vec();
        message.extend_from_slice(&flags.to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, u8::from(!record.is_empty()), 0, 0, 0, 0]);
        message.extend_from_slice(self.question);
        message.extend_from_slice(&record);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::Talk;
    use crate::adversary::{Injected, Verdict};

    fn query(name: &str, qtype: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend([(qtype >> 8) as u8, qtype as u8, 0, 1]);
        message
    }

    fn ask(config: &str, talk: &Talk, name: &str, qtype: u16) -> (Verdict, Vec<Injected>) {
        let text = format!("names = ['blocked.example']\n{config}");
        let mut adversary = toml::from_str::<DnsInjectionConfig>(&text).unwrap().build(5);
        talk.show(&mut adversary, 0, &talk.udp(0, &query(name, qtype)))
    }

    /// Return code, and the addresses with their times to live.
    fn read(injected: &Injected) -> (u8, Vec<(u32, Vec<u8>)>) {
        let packet = Packet::from_ip(&injected.ip).unwrap();
        let message = packet.udp().unwrap().payload;
        let header = Header::read(message).unwrap();
        assert!(header.is_response() && header.recursion_available() && header.id == 0x1234);
        let mut reader = Reader::new(message);
        reader.question().unwrap();
        let records = (0..header.counts[1]).map(|_| {
            let record = reader.record().unwrap();
            (record.ttl, record.rdata.to_vec())
        });
        (header.rcode(), records.collect())
    }

    #[test]
    fn turkmenistan() {
        let config = "answer.addresses = ['127.0.0.1']\nbidirectional = true";
        for talk in [Talk::v4(53), Talk::v6(53)] {
            let (verdict, injected) = ask(config, &talk, "www.Blocked.example", 1);
            assert_eq!(verdict, Verdict::Pass);
            assert_eq!(read(&injected[0]), (0, vec![(300, vec![127, 0, 0, 1])]));
            let packet = Packet::from_ip(&injected[0].ip).unwrap();
            // The question comes back letter for letter.
            assert!(packet.udp().unwrap().payload.windows(7).any(|w| w == b"Blocked"));
            assert_eq!((packet.source, packet.ports()), (talk.server_address, [53, 50_000]));
            assert_eq!(read(&ask(config, &talk, "blocked.example", 28).1[0]), (0, vec![]));
            assert_eq!(ask(config, &talk, "fine.example", 1), (Verdict::Pass, vec![]));
        }
        let other_way = Talk {
            client_address: "198.51.100.7".parse().unwrap(),
            server_address: "192.0.2.1".parse().unwrap(),
            ..Talk::v4(53)
        };
        assert_eq!(ask(config, &other_way, "blocked.example", 1).1.len(), 1);
    }

    /// FOCI 2020: three answers to one query, one with the TTL of the query.
    #[test]
    fn triplet_censors() {
        let config = "answer.addresses = ['31.13.94.37', '2001::1']\n\
            injectors = [{ ttl = 'random', ip_id = 0 }, { ttl = 'random', dont_fragment = false }, { ttl = 'copied' }]";
        let (_, injected) = ask(config, &Talk::v4(53), "blocked.example", 28);
        assert_eq!(injected.len(), 3);
        assert!(injected.iter().all(|i| read(i).1.len() == 1));
        assert_eq!(Packet::from_ip(&injected[2].ip).unwrap().ttl, 61);
        assert!(injected[0].after_ns < injected[1].after_ns);
    }

    #[test]
    fn a_resolver_that_lies() {
        let config = "answer.addresses = ['134.17.0.7']\nplace = 'in-path'\nresolvers = ['198.51.100.0/24']";
        let (verdict, injected) = ask(config, &Talk::v4(53), "blocked.example", 1);
        assert_eq!((verdict, read(&injected[0]).1[0].1.as_slice()), (Verdict::Drop, &[134, 17, 0, 7][..]));
        let elsewhere = Talk { server_address: "203.0.113.1".parse().unwrap(), ..Talk::v4(53) };
        assert_eq!(ask(config, &elsewhere, "blocked.example", 1), (Verdict::Pass, vec![]));
        assert_eq!(read(&ask("answer = 'nxdomain'", &Talk::v4(53), "blocked.example", 1).1[0]).0, 3);
        assert_eq!(read(&ask("answer = 'refused'", &Talk::v4(53), "blocked.example", 65).1[0]).0, 5);
        assert_eq!(read(&ask("answer = 'servfail'", &Talk::v4(53), "blocked.example", 1).1[0]).0, 2);
        let silent = "answer = 'silence'\nplace = 'in-path'";
        assert_eq!(ask(silent, &Talk::v4(53), "blocked.example", 1), (Verdict::Drop, vec![]));
        assert_eq!(ask(silent, &Talk::v4(53), "fine.example", 1), (Verdict::Pass, vec![]));
    }

    #[test]
    fn what_is_no_query_is_let_through() {
        let text = "names = ['blocked.example']\nanswer = 'nxdomain'";
        let mut adversary = toml::from_str::<DnsInjectionConfig>(text).unwrap().build(0);
        let talk = Talk::v4(53);
        let (mut response, mut two) = (query("blocked.example", 1), query("blocked.example", 1));
        response[2] |= 0x80;
        two[5] = 2;
        for message in [&response[..], &two, b"", &query("blocked.example", 1)[..20]] {
            assert_eq!(talk.show(&mut adversary, 0, &talk.udp(0, message)), (Verdict::Pass, vec![]));
        }
    }
}
