//! Split tunnelling: what goes through the tunnel, what direct, and what nowhere.
//!
//! Rules are suffixes of names and prefixes of addresses; the longest that fits decides, wherever it stands. What goes
//! direct is seen by the network, its names included.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use daylight_session::Destination;
use daylight_tunnel::relay::Side;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::direct::{Direct, DirectAssociation};
use crate::{Association, ConnectError, Tunnel};

/// Ranges of local networks (RFC 6890), and names that DNS does not know (RFC 6761, 6762, 8375).
const PRIVATE: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
    "local",
    "localhost",
];
/// The same for names of home networks.
const HOME: &str = "home.arpa";
/// IPv4 addresses lie behind this many bits of IPv6 ones.
const MAPPED_BITS: u8 = 96;

/// Which way a connection takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Way {
    /// Through the tunnel.
    #[default]
    Tunnel,
    /// Past it.
    Direct,
    /// It is refused.
    Refuse,
}

/// A line of a list that can't be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{list}:{line}:{column}: {text:?} is neither a domain (example.org) nor addresses (192.0.2.0/24, 2001:db8::/32): {why}"
)]
pub struct ListError {
    /// The list's name.
    pub list: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What stands there.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What goes which way.
#[derive(Clone, Debug)]
pub struct Rules {
    otherwise: Way,
    /// Direct names without a dot, as routers give them to machines.
    bare_names: Option<Way>,
    /// By a suffix of whole labels, in lower case.
    names: HashMap<Box<str>, Way>,
    /// By prefixes of IPv6 addresses, or of IPv4 ones behind [`MAPPED_BITS`]: how long, and its bits.
    prefixes: HashMap<(u8, u128), Way>,
    /// Lengths of prefixes that there are, the longest first.
    lengths: Vec<u8>,
}

impl Rules {
    /// Rules for everything that no list names. With `direct_private`, local networks and their names go direct: printers,
    /// routers, and the like, which no server could reach.
    #[must_use]
    pub fn new(otherwise: Way, direct_private: bool) -> Self {
        let (names, prefixes) = (HashMap::new(), HashMap::new());
        let mut rules = Self { otherwise, bare_names: None, names, prefixes, lengths: Vec::new() };
        if direct_private {
            rules.bare_names = Some(Way::Direct);
            for pattern in PRIVATE.iter().chain([&HOME]).filter_map(|text| text.parse().ok()) {
                rules.add(pattern, Way::Direct);
            }
        }
        rules
    }

    /// Reads a list: a domain, an address or a prefix a line, blanks and `#` comments aside. A domain stands for all below
    /// it, too. What two lists name goes the way of the later one.
    ///
    /// # Errors
    /// At the first line that can't be read; nothing was added then.
    pub fn add_list(&mut self, list: &str, text: &str, way: Way) -> Result<(), ListError> {
        let mut patterns = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default();
            let (column, entry) = (entry.chars().take_while(|c| c.is_whitespace()).count() + 1, entry.trim());
            if !entry.is_empty() {
                let wrong =
                    |why| ListError { list: list.into(), line: at + 1, column, text: entry.into(), why };
                patterns.push(entry.parse::<Pattern>().map_err(wrong)?);
            }
        }
        for pattern in patterns {
            self.add(pattern, way);
        }
        Ok(())
    }

    fn add(&mut self, pattern: Pattern, way: Way) {
        match pattern {
            Pattern::Name(name) => {
                self.names.insert(name, way);
            }
            Pattern::Prefix(len, bits) => {
                self.prefixes.insert((len, bits), way);
                if let Err(at) = self.lengths.binary_search_by(|other| len.cmp(other)) {
                    self.lengths.insert(at, len);
                }
            }
        }
    }

    /// Which way a destination takes.
    #[must_use]
    pub fn way(&self, destination: &Destination) -> Way {
        match destination {
            Destination::Name(name, _) => self.way_of_name(name.as_str()),
            Destination::Address(address) => self.way_of_ip(address.ip()),
        }
    }

    fn way_of_name(&self, name: &str) -> Way {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut suffix = Some(name.as_str());
        while let Some(labels) = suffix {
            if let Some(&way) = self.names.get(labels) {
                return way;
            }
            suffix = labels.split_once('.').map(|(_, rest)| rest);
        }
        self.bare_names.filter(|_| !name.contains('.')).unwrap_or(self.otherwise)
    }

    fn way_of_ip(&self, ip: IpAddr) -> Way {
        let bits = bits(ip.to_canonical());
        let fits = |&len: &u8| self.prefixes.get(&(len, mask(bits, len)));
        self.lengths.iter().find_map(fits).copied().unwrap_or(self.otherwise)
    }

    /// Whether anything at all goes direct.
    #[must_use]
    pub fn has_direct(&self) -> bool {
        let mut ways = self.names.values().chain(self.prefixes.values());
        self.otherwise == Way::Direct || ways.any(|&way| way == Way::Direct)
    }
}

enum Pattern {
    Name(Box<str>),
    Prefix(u8, u128),
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => {
                (address, Some(len.parse::<u8>().map_err(|_| "the number behind the slash is none")?))
            }
            None => (text, None),
        };
        if let Ok(ip) = address.parse::<IpAddr>() {
            let (before, max) = if ip.is_ipv4() { (MAPPED_BITS, 32) } else { (0, 128) };
            let len = len.unwrap_or(max);
            if len > max {
                return Err("the number behind the slash is too large");
            }
            let (len, bits) = (before + len, bits(ip));
            if mask(bits, len) != bits {
                return Err("bits behind the prefix are set: did you mean a longer one?");
            }
            return Ok(Self::Prefix(len, bits));
        }
        if len.is_some() {
            return Err("what stands before the slash is no address");
        }
        let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
        let name = idna::domain_to_ascii(name.trim_end_matches('.')).map_err(|_| "it is no name")?;
        let is_label = |label: &str| !label.is_empty() && label.len() <= 63;
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.split('.').all(is_label) && name.bytes().all(is_char) {
            Ok(Self::Name(name.into()))
        } else {
            Err("a name has letters, digits, hyphens and dots between them")
        }
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
    .to_bits()
}

fn mask(bits: u128, len: u8) -> u128 {
    bits & Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)).to_bits()
}

/// A tunnel with rules before it.
#[derive(Clone, Debug)]
pub struct Split<T> {
    rules: Arc<Rules>,
    tunnel: T,
    direct: Direct,
}

impl<T> Split<T> {
    /// Puts rules before a tunnel.
    pub fn new(rules: Rules, tunnel: T, direct: Direct) -> Self {
        Self { rules: Arc::new(rules), tunnel, direct }
    }
}

impl<T: Tunnel> Tunnel for Split<T> {
    type Stream = SplitStream<T::Stream>;
    type Association = SplitAssociation<T::Association>;

    async fn connect(&self, destination: Destination) -> Result<Self::Stream, ConnectError> {
        match self.rules.way(&destination) {
            Way::Tunnel => self.tunnel.connect(destination).await.map(SplitStream::Tunnel),
            Way::Direct => self.direct.connect(destination).await.map(SplitStream::Direct),
            Way::Refuse => Err(ConnectError::NotAllowed),
        }
    }

    async fn associate(&self) -> Result<Self::Association, ConnectError> {
        let tunnel = self.tunnel.associate().await?;
        let direct = if self.rules.has_direct() { Some(self.direct.associate().await?) } else { None };
        Ok(SplitAssociation { rules: Arc::clone(&self.rules), tunnel, direct })
    }
}

/// A stream of either way.
#[derive(Debug)]
pub enum SplitStream<S> {
    /// Through the tunnel.
    Tunnel(S),
    /// Past it.
    Direct(TcpStream),
}

impl<S: AsyncRead + Unpin> AsyncRead for SplitStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Direct(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<S: Side> Side for SplitStream<S> {
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self {
            Self::Tunnel(stream) => stream.poll_read_bytes(cx),
            Self::Direct(stream) => stream.poll_read_bytes(cx),
        }
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        match self {
            Self::Tunnel(stream) => stream.poll_write_bytes(cx, data),
            Self::Direct(stream) => stream.poll_write_bytes(cx, data),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tunnel(stream) => stream.poll_flush(cx),
            Self::Direct(stream) => Side::poll_flush(stream, cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tunnel(stream) => stream.poll_shutdown(cx),
            Self::Direct(stream) => Side::poll_shutdown(stream, cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SplitStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tunnel(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Direct(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
            Self::Direct(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Direct(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Datagrams of both ways.
#[derive(Debug)]
pub struct SplitAssociation<A> {
    rules: Arc<Rules>,
    tunnel: A,
    /// If anything goes direct.
    direct: Option<DirectAssociation>,
}

impl<A: Association> Association for SplitAssociation<A> {
    async fn send(&self, destination: Destination, data: Bytes) -> Result<(), ConnectError> {
        match (self.rules.way(&destination), &self.direct) {
            (Way::Tunnel, _) => self.tunnel.send(destination, data).await,
            (Way::Direct, Some(direct)) => direct.send(destination, data).await,
            (Way::Direct | Way::Refuse, _) => Err(ConnectError::NotAllowed),
        }
    }

    async fn recv(&self) -> Option<(Destination, Bytes)> {
        let Some(direct) = &self.direct else { return self.tunnel.recv().await };
        tokio::select! {
            received = self.tunnel.recv() => received,
            received = direct.recv() => received,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn destination(text: &str) -> Destination {
        match text.parse::<IpAddr>() {
            Ok(ip) => Destination::Address((ip, 443).into()),
            Err(_) => Destination::Name(text.parse().expect("a name"), 443),
        }
    }

    #[test]
    fn the_longest_decides() {
        let mut rules = Rules::new(Way::Tunnel, true);
        let direct = "# domestic\nexample.by  # a bank\n\n 198.51.100.0/24\n*.Пример.Рф\n2001:db8::/32\n";
        rules.add_list("direct", direct, Way::Direct).expect("a list");
        let refused = "ads.example.by\r\n198.51.100.128/25\n192.168.7.7\nmuseum.local";
        rules.add_list("refused", refused, Way::Refuse).expect("a list");
        for (text, way) in [
            ("example.by", Way::Direct),
            ("www.EXAMPLE.by.", Way::Direct),
            ("notexample.by", Way::Tunnel),
            ("x.ads.example.by", Way::Refuse),
            ("xn--e1afmkfd.xn--p1ai", Way::Direct),
            ("198.51.100.1", Way::Direct),
            ("::ffff:198.51.100.1", Way::Direct),
            ("198.51.100.200", Way::Refuse),
            ("198.51.101.1", Way::Tunnel),
            ("2001:db8::1", Way::Direct),
            ("2001:db9::1", Way::Tunnel),
            ("192.168.7.8", Way::Direct),
            ("192.168.7.7", Way::Refuse),
            ("127.0.0.1", Way::Direct),
            ("::1", Way::Direct),
            ("fe80::1", Way::Direct),
            ("printer", Way::Direct),
            ("printer.local", Way::Direct),
            ("museum.local", Way::Refuse),
            ("example.org", Way::Tunnel),
            ("192.0.2.1", Way::Tunnel),
        ] {
            assert_eq!(rules.way(&destination(text)), way, "{text}");
        }
        let all = Rules::new(Way::Tunnel, false);
        assert!(!all.has_direct());
        for text in ["10.0.0.1", "printer", "printer.local"] {
            assert_eq!(all.way(&destination(text)), Way::Tunnel, "{text}");
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, line, column, why) in [
            ("a.org\n  10.0.0.1/8", 2, 3, "bits behind"),
            ("10.0.0.0/33", 1, 1, "too large"),
            ("10.0.0.0/x", 1, 1, "is none"),
            ("a.org/8", 1, 1, "no address"),
            ("#\n\n\ta..org", 3, 2, "name"),
            ("http://a.org", 1, 1, "slash"),
            ("a b", 1, 1, "name"),
        ] {
            let mut rules = Rules::new(Way::Tunnel, false);
            let error = rules.add_list("list.txt", text, Way::Direct).expect_err(text);
            assert_eq!((error.line, error.column), (line, column), "{text}");
            assert!(error.why.contains(why), "{text}: {error}");
            assert!(error.to_string().starts_with(&format!("list.txt:{line}:{column}: ")), "{error}");
            assert!(!rules.has_direct(), "{text}: nothing of a wrong list is taken");
        }
    }

    proptest! {
        #[test]
        fn prefixes_as_a_scan_finds_them(prefixes in prop::collection::vec((any::<[u8; 4]>(), 0_u8..=32), 0..20), ip: [u8; 4]) {
            let mut rules = Rules::new(Way::Tunnel, false);
            let mask = |ip: [u8; 4], len: u8| u32::from_be_bytes(ip) & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            let mut best = None;
            for (at, &(prefix, len)) in prefixes.iter().enumerate() {
                let way = if at % 2 == 0 { Way::Direct } else { Way::Refuse };
                let network = std::net::Ipv4Addr::from(mask(prefix, len));
                rules.add_list("", &format!("{network}/{len}"), way).expect("a prefix");
                if mask(ip, len) == mask(prefix, len) && best.is_none_or(|(longest, _)| len >= longest) {
                    best = Some((len, way));
                }
            }
            prop_assert_eq!(rules.way_of_ip(ip.into()), best.map_or(Way::Tunnel, |(_, way)| way));
        }
    }
}
