//! SOCKS, versions 4, 4a and 5: a client asks a proxy to connect it to somewhere, and then speaks through it.
//!
//! Version 5 begins with a few bytes that mean little by themselves (a version, a count, methods), so both sides are
//! asked for: the server must choose a method that was offered. Version 4's request must be answered, unless it has
//! the form of 4a with a name. After the server's reply the stream is somebody else's, and is identified anew; the
//! flow stays `socks`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    risk, tcp,
};

fields! { ProtocolId::Socks;
    VERSION: Uint "version" "4 or 5";
    METHODS: [Str] "methods" "Ways to authenticate that the client offers (version 5)";
    METHOD: Str "method" "The one that the server chose";
    USERNAME: Str "username" "User name, or user ID (version 4)";
    COMMAND: Str "command" "connect, bind or udp-associate";
    TARGET: Str "target" "Name that the client asks for";
    TARGET_ADDRESS: Ip "target_address" "Address that the client asks for";
    TARGET_PORT: Uint "target_port" "Port that the client asks for";
    REPLY: Str "reply" "What the server says to it";
}

/// SOCKS proxy protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "socks",
    title: "SOCKS proxy protocol",
    family: Family::Vpn,
    source: "RFC 1928, RFC 1929, SOCKS 4 and 4A",
    ports: &[tcp(1080)],
    patterns: &[
        // At most 31 methods, of numbers below 16 first: what clients send.
        Pattern::tcp().client().min(3).tests(&[masked(0, 0xff, 5), masked(1, 0xe0, 0), masked(2, 0x70, 0)]),
        Pattern::tcp().server().min(2).tests(&[masked(0, 0xff, 5)]),
        Pattern::tcp().client().min(9).tests(&[masked(0, 0xff, 4), masked(1, 0xfe, 0)]),
        Pattern::tcp().client().min(9).tests(&[masked(0, 0xff, 4), masked(1, 0xff, 2)]),
        Pattern::tcp().server().min(8).tests(&[masked(0, 0xff, 0), masked(1, 0xfc, 0x58)]),
        Pattern::tcp().server().min(8).tests(&[masked(0, 0xff, 0), masked(1, 0xfc, 0x5c)]),
    ],
    identify,
    parser: Some(|| Box::new(Socks::default())),
    fields: FIELDS,
    risks: &[&risk::CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

/// How many methods a greeting of version 5 offers, if that is what it is: each of a number that is assigned or
/// private, none twice.
fn greeting(bytes: &[u8]) -> Option<&[u8]> {
    let [5, count, rest @ ..] = bytes else { return None };
    let methods = rest.get(..usize::from(*count))?;
    let assigned = |m: &u8| matches!(m, 0..=9 | 0x80..=0xfe);
    let twice = methods.iter().enumerate().any(|(i, m)| methods[..i].contains(m));
    (!methods.is_empty() && methods.iter().all(assigned) && !twice).then_some(methods)
}

/// A destination: address or name, and port. Used by requests and replies of version 5.
fn destination(c: &mut Cursor<'_>) -> Option<(Host, u16)> {
    let host = match c.u8()? {
        1 => Host::Ip(Ipv4Addr::from(c.u32()?).into()),
        4 => Host::Ip(Ipv6Addr::from(c.array::<16>()?).into()),
        3 => Host::Name(c.vec8()?.to_vec()),
        _ => return None,
    };
    Some((host, c.u16()?))
}

enum Host {
    Ip(IpAddr),
    Name(Vec<u8>),
}

/// A request of version 4.
struct Request4<'a> {
    len: usize,
    user: &'a [u8],
    /// Only in 4a.
    name: Option<&'a [u8]>,
}

fn request4(bytes: &[u8]) -> Option<Request4<'_>> {
    let mut c = Cursor::new(bytes);
    let (4, 1 | 2) = (c.u8()?, c.u8()?) else { return None };
    let port = c.u16()?;
    let ip = c.u32()?;
    let user = c.until(0)?;
    let name = if (1..=255).contains(&ip) { Some(c.until(0)?) } else { None };
    (port != 0 && ip != 0).then_some(Request4 { len: c.position(), user, name })
}

fn is_name(text: &[u8]) -> bool {
    (3..=255).contains(&text.len())
        && text.contains(&b'.')
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let (client, server) = match p.dir {
        Dir::Client => (p.payload, p.other),
        Dir::Server => (p.other, p.payload),
    };
    match client.first() {
        Some(5) => version5(client, server),
        Some(4) => version4(client, server),
        // Something else, or the server spoke first.
        _ => Verdict::No,
    }
}

fn version5(client: &[u8], server: &[u8]) -> Verdict {
    let Some(methods) = greeting(client) else {
        let short = client.len() < 2 || client.len() < 2 + usize::from(client[1]);
        return if short && client.len() < 33 { Verdict::Later } else { Verdict::No };
    };
    let rest = &client[2 + methods.len()..];
    // The client waits for the answer; one that doesn't sends its request at once, and it must be a request.
    let request = matches!(rest, [5, 1..=3, 0, 1 | 3 | 4, ..]);
    let authentication = matches!(rest, [1, 1..=255, ..]) && methods.contains(&2);
    if !rest.is_empty() && !request && !authentication {
        return Verdict::No;
    }
    match server {
        [] | [5] => Verdict::Later,
        [5, chosen, ..] if methods.contains(chosen) || *chosen == 0xff => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn version4(client: &[u8], server: &[u8]) -> Verdict {
    let Some(Request4 { len, user, name }) = request4(client) else {
        let ends = client.iter().skip(8).filter(|b| **b == 0).count();
        let named = matches!(client, [_, _, _, _, 0, 0, 0, 1..=255, ..]);
        return if client.len() < 512 && ends < 1 + usize::from(named) {
            Verdict::Later
        } else {
            Verdict::No
        };
    };
    if user.len() > 255 || !user.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
        return Verdict::No;
    }
    match (name, server) {
        (Some(name), _) if !is_name(name) => Verdict::No,
        // 0.0.0.x, an empty or printable user and a name, each with its end: 24 bits and a domain name.
        (Some(_), []) if len == client.len() => Verdict::Yes,
        (_, [0, 0x5a..=0x5d, _, _, _, _, _, _, ..]) => Verdict::Yes,
        (_, [] | [0]) if len == client.len() => Verdict::Later,
        (_, [0, 0x5a..=0x5d, ..]) => Verdict::Later,
        _ => Verdict::No,
    }
}

/// Where each side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Greeting,
    Authentication,
    Request,
    /// The rest is not SOCKS'.
    Data,
}

/// Bytes of a client that does not wait for the reply, which are held until it comes.
const EARLY_MAX: usize = 16 * 1024;

#[derive(Default)]
struct Socks {
    client: State,
    server: State,
    /// The server was seen to choose user name and password.
    password: Option<bool>,
    version4: bool,
}

impl Parser for Socks {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let read = match dir {
            Dir::Client => self.client(bytes, out),
            Dir::Server => self.server(bytes, out),
        };
        read.unwrap_or_else(|| Step::Need(bytes.len() + 1))
    }
}

impl Socks {
    /// `None` if bytes are missing.
    fn client(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Option<Step> {
        let mut c = Cursor::new(bytes);
        match self.client {
            State::Greeting if bytes[0] == 4 => {
                let head = bytes.get(..=1024).unwrap_or(bytes);
                let Some(Request4 { len, user, name }) = request4(head) else {
                    return (head.len() > 1024).then_some(Step::Malformed(0));
                };
                self.version4 = true;
                self.client = State::Data;
                out.set(VERSION, 4u8);
                out.set(COMMAND, if bytes[1] == 1 { "connect" } else { "bind" });
                if !user.is_empty() {
                    out.set_text(USERNAME, user);
                }
                out.set(TARGET_PORT, u16::from_be_bytes([bytes[2], bytes[3]]));
                match name {
                    Some(name) => {
                        out.set_text(TARGET, name);
                        out.hostname(name);
                    }
                    None => out.set(TARGET_ADDRESS, Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7])),
                }
                return Some(Step::Consumed(len));
            }
            State::Greeting => {
                c.skip(1)?;
                let methods = c.vec8()?;
                out.set(VERSION, 5u8);
                for method in methods {
                    out.push(METHODS, method_name(*method));
                }
                // Whether a password follows is the server's choice; a client that does not wait shows it.
                self.client = State::Authentication;
            }
            State::Authentication => {
                match (self.password, c.u8()?) {
                    (Some(true), 1) | (None, 1) => {
                        let user = c.vec8()?;
                        c.vec8()?;
                        out.set_text(USERNAME, user);
                        out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || {
                            format!("socks.username={}", String::from_utf8_lossy(user))
                        });
                    }
                    (_, 5) => {
                        self.client = State::Request;
                        return self.client(bytes, out);
                    }
                    // Another way to authenticate, of which nothing is known here.
                    _ => return Some(Step::Finished),
                }
                self.client = State::Request;
            }
            State::Request => {
                if c.u8()? != 5 {
                    return Some(Step::Malformed(0));
                }
                let command = match c.u8()? {
                    1 => "connect",
                    2 => "bind",
                    3 => "udp-associate",
                    _ => return Some(Step::Malformed(1)),
                };
                c.skip(1)?;
                if !matches!(c.peek()?, 1 | 3 | 4) {
                    return Some(Step::Malformed(3));
                }
                let (host, port) = destination(&mut c)?;
                out.set(COMMAND, command);
                match host {
                    Host::Ip(ip) => out.set(TARGET_ADDRESS, ip),
                    Host::Name(name) => {
                        out.set_text(TARGET, &name);
                        out.hostname(&name);
                    }
                }
                out.set(TARGET_PORT, port);
                self.client = State::Data;
            }
            // Held until the server's reply; if none comes (its side was not captured), read on without.
            State::Data if bytes.len() >= EARLY_MAX => return Some(Step::Switch(0, None)),
            State::Data => return None,
        }
        Some(Step::Consumed(c.position()))
    }

    fn server(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Option<Step> {
        let mut c = Cursor::new(bytes);
        if self.version4 {
            let [0, code, ..] = *bytes.get(..8)? else { return Some(Step::Malformed(0)) };
            out.set(REPLY, reply4_name(code));
            out.confirm();
            return Some(if code == 0x5a { Step::Switch(8, None) } else { Step::Finished });
        }
        match self.server {
            State::Greeting => {
                let (5, method) = (c.u8()?, c.u8()?) else { return Some(Step::Malformed(0)) };
                out.set(METHOD, method_name(method));
                out.confirm();
                self.password = Some(method == 2);
                match method {
                    0 => self.server = State::Request,
                    2 => self.server = State::Authentication,
                    _ => return Some(Step::Finished),
                }
            }
            State::Authentication => {
                let (1, status) = (c.u8()?, c.u8()?) else { return Some(Step::Malformed(0)) };
                if status != 0 {
                    out.set(REPLY, "authentication-failed");
                    return Some(Step::Finished);
                }
                self.server = State::Request;
            }
            State::Request | State::Data => {
                let (version, code, _) = (c.u8()?, c.u8()?, c.u8()?);
                if version != 5 {
                    return Some(Step::Malformed(0));
                }
                out.set(REPLY, reply5_name(code));
                if code != 0 {
                    return Some(Step::Finished);
                }
                if !matches!(c.peek()?, 1 | 3 | 4) {
                    return Some(Step::Malformed(3));
                }
                destination(&mut c)?;
                // Relayed datagrams go elsewhere; a listener answers once more when somebody comes.
                let connected = out.found.text(COMMAND).is_none_or(|command| command == "connect");
                return Some(if connected { Step::Switch(c.position(), None) } else { Step::Finished });
            }
        }
        Some(Step::Consumed(c.position()))
    }
}

fn method_name(method: u8) -> Value {
    match method {
        0 => "none".into(),
        1 => "gssapi".into(),
        2 => "username-password".into(),
        3 => "chap".into(),
        5 => "cram".into(),
        6 => "tls".into(),
        0xff => "refused".into(),
        n => format!("{n}").into(),
    }
}

/// RFC 1928 §6.
fn reply5_name(code: u8) -> &'static str {
    match code {
        0 => "succeeded",
        1 => "general-failure",
        2 => "not-allowed",
        3 => "network-unreachable",
        4 => "host-unreachable",
        5 => "connection-refused",
        6 => "ttl-expired",
        7 => "command-not-supported",
        8 => "address-type-not-supported",
        _ => "other",
    }
}

fn reply4_name(code: u8) -> &'static str {
    match code {
        0x5a => "succeeded",
        0x5b => "rejected",
        0x5c => "no-identd",
        0x5d => "identd-mismatch",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn by_name(name: &[u8], port: u16) -> Vec<u8> {
        [&[5, 1, 0, 3, name.len() as u8], name, &port.to_be_bytes()].concat()
    }

    const REPLY_OK: &[u8] = &[5, 0, 0, 1, 192, 0, 2, 1, 0x10, 0x20];

    #[test]
    fn version_5_to_a_name_and_what_is_inside() {
        let request = by_name(b"Www.Example.org", 443);
        // What is inside: a BitTorrent handshake, which has a parser.
        let inside = [&b"\x13BitTorrent protocol"[..], &[0; 8], &[0xcc; 40]].concat();
        let seen = Flow::tcp(1080)
            .client(&[5, 2, 0, 1])
            .server(&[5, 0])
            .client(&request)
            .server(REPLY_OK)
            .client(&inside)
            .run_split();
        assert_eq!(seen.protocol, ProtocolId::Socks);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(METHODS), "none,gssapi");
        assert_eq!(seen.show(METHOD), "none");
        assert_eq!(seen.show(TARGET), "Www.Example.org");
        assert_eq!(seen.show(TARGET_PORT), "443");
        assert_eq!(seen.show(crate::common::HOSTNAME), "www.example.org");
        assert_eq!(seen.show(REPLY), "succeeded");
        assert_eq!(seen.show(crate::p2p::bittorrent::INFO_HASH), "cc".repeat(20));
        assert!(seen.found.risks.is_empty());
    }

    #[test]
    fn a_password_is_a_risk_and_is_not_kept() {
        let seen = Flow::tcp(1080)
            .client(&[5, 1, 2])
            .server(&[5, 2])
            .client(b"\x01\x03bob\x06secret")
            .server(&[1, 0])
            .client(&hex("05010004 20010db8000000000000000000000001 0050"))
            .server(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])
            .run_split();
        assert_eq!(seen.show(USERNAME), "bob");
        assert_eq!(seen.show(TARGET_ADDRESS), "2001:db8::1");
        assert_eq!(seen.show(REPLY), "connection-refused");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert_eq!(&*seen.found.risks[0].evidence, "socks.username=bob");
        assert!(!format!("{:?}", seen.found.fields).contains("secret"));
    }

    #[test]
    fn version_4_and_4a() {
        let plain = [&hex("0401 0050 c0000207")[..], b"fred\0"].concat();
        let granted = hex("005a 0050 c0000207");
        let seen = Flow::tcp(1080).client(&plain).server(&granted).run_split();
        assert_eq!(seen.protocol, ProtocolId::Socks);
        assert_eq!(seen.show(VERSION), "4");
        assert_eq!(seen.show(TARGET_ADDRESS), "192.0.2.7");
        assert_eq!(seen.show(USERNAME), "fred");
        assert_eq!(seen.show(REPLY), "succeeded");
        let named = [&hex("0401 01bb 00000001")[..], b"\0example.org\0"].concat();
        let seen = Flow::tcp(9050).client(&named).run();
        assert_eq!(seen.show(crate::common::HOSTNAME), "example.org");
    }

    #[test]
    fn one_side_alone_or_sides_that_disagree_are_not_claimed() {
        let unknown = |flow: Flow<'_>| assert_eq!(flow.run().protocol, ProtocolId::Unknown);
        unknown(Flow::tcp(1080).client(&[5, 1, 0]));
        unknown(Flow::tcp(1080).client(&[5, 1, 0]).server(&[5, 2]));
        unknown(Flow::tcp(1080).client(&[5, 2, 0, 0]).server(&[5, 0]));
        unknown(Flow::tcp(1080).client(&[5, 1, 0, 77, 77]).server(&[5, 0]));
        // The server's greeting says what this is.
        let seen = Flow::tcp(1080).client(&[5, 1, 0]).server(b"220 mail.example.org ESMTP\r\n").run();
        assert_eq!(seen.protocol, ProtocolId::Smtp);
        unknown(Flow::tcp(1080).client(&[4, 1, 0, 80, 192, 0, 2, 1, 0]));
        unknown(Flow::tcp(1080).client(&[4, 1, 0, 80, 192, 0, 2, 1, 0]).server(&[4, 0x5a, 0, 0, 0, 0, 0, 0]));
    }
}
