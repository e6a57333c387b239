//! The name that a client asked for, read from its first bytes by the parsers of `daylight-protocols`.

use std::net::{IpAddr, Ipv4Addr};

use daylight_protocols::common::HOSTNAME;
use daylight_protocols::names::dns::message::{Header, Reader};
use daylight_protocols::{Dir, Findings, Parser, ProtocolId, Sink, Wanted};

use crate::finding::Step;

/// Bytes of a client's stream that are looked at: a ClientHello with post-quantum keys takes several segments.
pub(crate) const STREAM_BYTES_MAX: usize = 8192;

/// The step that a client's first bytes begin, and the name in them.
pub(crate) fn of_stream(stream: &[u8]) -> (Step, Option<String>) {
    match stream {
        [] => (Step::Tcp, None),
        [22, 3, ..] => (
            Step::Tls,
            read(ProtocolId::Tls, |parser, sink| {
                let _ = parser.stream(Dir::Client, stream, sink);
            }),
        ),
        [b'A'..=b'Z', ..] => (
            Step::Http,
            read(ProtocolId::Http, |parser, sink| {
                let _ = parser.stream(Dir::Client, stream, sink);
            }),
        ),
        _ => (Step::Tcp, None),
    }
}

/// The step that a client's datagrams begin, and the name in them.
pub(crate) fn of_datagrams<'a>(
    server_port: u16,
    datagrams: impl IntoIterator<Item = &'a [u8]>,
) -> (Step, Option<String>) {
    let mut datagrams = datagrams.into_iter();
    if server_port == 53 {
        return (Step::Dns, datagrams.next().and_then(question).map(|(name, _)| name));
    }
    let name = read(ProtocolId::Quic, |parser, sink| {
        for datagram in datagrams {
            let _ = parser.datagram(Dir::Client, datagram, sink);
        }
    });
    (Step::Quic, name)
}

/// The first question of a DNS message: its name in lower case, and its type.
pub(crate) fn question(message: &[u8]) -> Option<(String, u16)> {
    Header::read(message).filter(|header| header.counts[0] > 0)?;
    let question = Reader::new(message).question().ok()?;
    Some((question.name.lower(), question.qtype))
}

fn read(protocol: ProtocolId, feed: impl FnOnce(&mut dyn Parser, &mut Sink<'_>)) -> Option<String> {
    let mut parser = (protocol.get().parser?)();
    let (mut found, mut wanted) = (Findings::default(), Wanted::none());
    wanted.add(HOSTNAME);
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut sink = Sink::new(&mut found, &wanted, &mut events, &mut facts, 0, [nobody; 2], [40_000, 443]);
    feed(parser.as_mut(), &mut sink);
    found.text(HOSTNAME).map(str::to_ascii_lowercase)
}
