//! What a protocol's file declares: one [`Protocol`] value says what its first bytes look like, how to be sure, how to
//! read it, and everything that `daylight protocols` and the reference pages tell about it.

use crate::{Kind, ProtocolId, Risk, Sink};

/// The folder a protocol lives in, and its heading in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names say it all
pub enum Family {
    Network,
    Names,
    Web,
    Mail,
    Files,
    Remote,
    Identity,
    Database,
    Messaging,
    Media,
    Vpn,
    P2p,
    Industrial,
}

impl Family {
    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Names => "names",
            Self::Web => "web",
            Self::Mail => "mail",
            Self::Files => "files",
            Self::Remote => "remote",
            Self::Identity => "identity",
            Self::Database => "database",
            Self::Messaging => "messaging",
            Self::Media => "media",
            Self::Vpn => "vpn",
            Self::P2p => "p2p",
            Self::Industrial => "industrial",
        }
    }
}

/// What carries the payload. `Ip(n)` is everything that is neither TCP nor UDP, by its IANA protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP: the payload is a stream, and parsers never see where its segments ended.
    Tcp,
    /// UDP (and UDP-Lite): the payload is a datagram.
    Udp,
    /// Any other IP protocol: the payload is what follows the IP headers (for ICMP, from its type byte on).
    Ip(u8),
}

/// Which end sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dir {
    /// From the client to the server.
    Client,
    /// From the server to the client.
    Server,
}

impl Dir {
    /// 0 for the client, 1 for the server.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One thing that a protocol tells about a flow.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name under the protocol's, such as `sni` for `tls.sni`: lower case, `_` between words.
    pub name: &'static str,
    /// The kind of its value(s).
    pub kind: Kind,
    /// True if it can hold several values ([`Sink::push`]).
    pub list: bool,
    /// What it is, in one line, with the unit and the source where they aren't plain.
    pub help: &'static str,
}

/// A field of a protocol: which protocol, and the place in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldRef {
    /// The protocol that declares it.
    pub protocol: ProtocolId,
    /// The index into [`Protocol::fields`].
    pub index: u8,
}

impl FieldRef {
    /// The declaration.
    pub fn field(self) -> &'static Field {
        &self.protocol.get().fields[self.index as usize]
    }
}

/// Bytes that must stand at an offset of the first payload: `payload[offset] & mask == value`.
#[derive(Clone, Copy, Debug)]
pub struct ByteTest {
    /// Offset from the start of the payload, below [`OFFSET_MAX`].
    pub offset: u8,
    /// Which bits count.
    pub mask: u8,
    /// What they must be.
    pub value: u8,
}

/// Patterns look at this many bytes of the first payload, no further.
pub const OFFSET_MAX: usize = 24;

/// One shape that the first payload of one direction can have. A protocol may list several. The dispatcher compiles
/// all patterns of all protocols into bit vectors; only protocols with a matching pattern have their `identify` asked.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// What must carry it.
    pub transport: Transport,
    /// The direction that can send it, if only one can.
    pub dir: Option<Dir>,
    /// Smallest payload (for TCP: of the first segment) that fits.
    pub len_min: u16,
    /// Largest payload that fits.
    pub len_max: u16,
    /// Literal bytes from offset 0 on. Letters in it match both cases if `fold` is set.
    pub prefix: &'static [u8],
    /// Letters of `prefix` match in either case.
    pub fold: bool,
    /// Further tests.
    pub tests: &'static [ByteTest],
}

impl Pattern {
    /// Any TCP payload, of either direction: narrow it down with the methods below.
    pub const fn tcp() -> Self {
        Self::new(Transport::Tcp)
    }

    /// Any UDP payload, of either direction.
    pub const fn udp() -> Self {
        Self::new(Transport::Udp)
    }

    /// Any payload of the IP protocol `number`.
    pub const fn ip(number: u8) -> Self {
        Self::new(Transport::Ip(number))
    }

    const fn new(transport: Transport) -> Self {
        Self { transport, dir: None, len_min: 1, len_max: u16::MAX, prefix: b"", fold: false, tests: &[] }
    }

    /// Only from the client.
    pub const fn client(self) -> Self {
        Self { dir: Some(Dir::Client), ..self }
    }

    /// Only from the server.
    pub const fn server(self) -> Self {
        Self { dir: Some(Dir::Server), ..self }
    }

    /// The payload is at least `min` bytes long.
    pub const fn min(self, min: u16) -> Self {
        Self { len_min: min, ..self }
    }

    /// The payload is between `min` and `max` bytes long, both included.
    pub const fn len(self, min: u16, max: u16) -> Self {
        Self { len_min: min, len_max: max, ..self }
    }

    /// The payload starts with these bytes.
    pub const fn starts(self, prefix: &'static [u8]) -> Self {
        assert!(prefix.len() <= OFFSET_MAX);
        Self { prefix, ..self }
    }

    /// The payload starts with this text, in any mixture of cases.
    pub const fn starts_fold(self, prefix: &'static [u8]) -> Self {
        assert!(prefix.len() <= OFFSET_MAX);
        Self { prefix, fold: true, ..self }
    }

    /// Further bytes that must match.
    pub const fn tests(self, tests: &'static [ByteTest]) -> Self {
        Self { tests, ..self }
    }
}

/// `payload[offset] == value`
pub const fn byte(offset: u8, value: u8) -> ByteTest {
    masked(offset, 0xff, value)
}

/// `payload[offset] & mask == value`
pub const fn masked(offset: u8, mask: u8, value: u8) -> ByteTest {
    assert!((offset as usize) < OFFSET_MAX && value & mask == value);
    ByteTest { offset, mask, value }
}

/// What a datagram seen before this one looked like.
#[derive(Clone, Copy, Debug)]
pub struct Earlier {
    /// Who sent it.
    pub dir: Dir,
    /// Its length in bytes.
    pub len: u16,
    /// Its first bytes; zeros follow where it was shorter.
    pub head: [u8; 16],
}

/// What `identify` may look at.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// What carries it.
    pub transport: Transport,
    /// Who sent `payload`.
    pub dir: Dir,
    /// TCP: the stream of this direction from its start, as far as it is there. Else: this datagram.
    pub payload: &'a [u8],
    /// TCP: the stream of the other direction from its start, as far as it was kept (4 KiB). Else: empty.
    pub other: &'a [u8],
    /// Datagrams of this flow before this one, oldest first, at most four. Empty for TCP.
    pub earlier: &'a [Earlier],
    /// The client's port; 0 where there are no ports.
    pub client_port: u16,
    /// The server's port; 0 where there are no ports.
    pub server_port: u16,
    /// False if a part of the payload was not captured (snaplen).
    pub whole: bool,
}

impl Probe<'_> {
    /// True if either end uses `port`. A port is never evidence: it may only decide how much evidence is asked for.
    pub fn port(&self, port: u16) -> bool {
        self.client_port == port || self.server_port == port
    }
}

/// What `identify` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is this protocol: this payload could not well be anything else.
    Yes,
    /// It is this protocol, and `dir` was guessed wrong: the sender of this payload is the other end (a server's
    /// banner on a flow whose start was not seen).
    YesReversed,
    /// It cannot be said before this many bytes of the stream are there. Only for TCP.
    Need(usize),
    /// It looks right, but it takes another payload, or the other direction, to be sure.
    Later,
    /// It is something else. The question is not asked again for this flow.
    No,
}

/// What a parser made of the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It used this many bytes (more than 0); it is called again with what follows.
    Consumed(usize),
    /// It cannot go on before at least this many bytes (more than it was given) are there, counted from the start of
    /// what it was given. It gets them all again.
    Need(usize),
    /// The next so many bytes, counted from the start of what it was given, are of no interest (a body). They may
    /// never be looked at; the parser is called again with what follows them.
    Skip(u64),
    /// Datagrams: it read this one and has nothing in mind. Whatever comes next, a new parser does as well, so this one
    /// need not be kept until then.
    Rest,
    /// Nothing more is wanted from this direction.
    Done,
    /// Nothing more is wanted from this flow.
    Finished,
    /// It used this many bytes, and from here on both directions carry another protocol (STARTTLS, CONNECT): this one,
    /// or, if `None`, one to be identified. The flow keeps its label.
    Switch(usize, Option<ProtocolId>),
    /// It is not this protocol after all: the label is withdrawn and the flow goes back to the dispatcher.
    NotMine,
    /// It is this protocol, but broken at this offset. The label stays, the risk `malformed-packet` is raised (unless the
    /// capture does not hold all there was), and nothing more is read from this direction.
    Malformed(usize),
}

/// Reads one flow of one protocol. Made anew for each flow.
///
/// A parser may not panic, allocate by a length from the wire, or loop without using bytes. It keeps little: what it
/// finds goes into the [`Sink`].
pub trait Parser: Send {
    /// TCP: the unused bytes of one direction, from where the last call left off. Never called with an empty slice.
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let _ = (dir, bytes, out);
        Step::Finished
    }

    /// Everything but TCP: one datagram. `Consumed` and `Need` mean that more datagrams are wanted.
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let _ = (dir, bytes, out);
        Step::Finished
    }

    /// TCP: this many bytes of one direction are missing for good (lost by the capture, or over budget).
    fn gap(&mut self, dir: Dir, missing: u64, out: &mut Sink<'_>) -> Step {
        let _ = (dir, missing, out);
        Step::Done
    }

    /// The flow has ended: last chance to tell of something unfinished.
    fn finish(&mut self, out: &mut Sink<'_>) {
        let _ = out;
    }
}

/// A port that the protocol is at home on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Tcp or Udp.
    pub transport: Transport,
    /// The number.
    pub number: u16,
}

/// A TCP port.
pub const fn tcp(number: u16) -> Port {
    Port { transport: Transport::Tcp, number }
}

/// A UDP port.
pub const fn udp(number: u16) -> Port {
    Port { transport: Transport::Udp, number }
}

/// Everything the project knows of a protocol. Each file of a family folder declares one as `PROTOCOL`.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// The record's name for it: lower case, hyphenated.
    pub name: &'static str,
    /// Its full name, for people.
    pub title: &'static str,
    /// Its folder.
    pub family: Family,
    /// RFC, specification or description that the code follows.
    pub source: &'static str,
    /// Where it is at home: hints that order candidates, and the base of the risk `non-standard-port` (if
    /// `well_known` is set).
    pub ports: &'static [Port],
    /// True if it is remarkable to find it on another port.
    pub well_known: bool,
    /// True if it sends data or credentials in clear that should not be: the base of the risk `unsafe-protocol`.
    pub cleartext: bool,
    /// What its first payload can look like. Empty for protocols that only refine another's label.
    pub patterns: &'static [Pattern],
    /// Is it this? Asked only when a pattern matched. Must be strict: a label at `payload` confidence is a promise.
    pub identify: fn(&Probe<'_>) -> Verdict,
    /// A parser for a flow of it, if there is anything to read.
    pub parser: Option<fn() -> Box<dyn Parser>>,
    /// What it tells about a flow.
    pub fields: &'static [Field],
    /// The risks that its parser raises.
    pub risks: &'static [&'static Risk],
    /// Idle time-out of its flows over datagrams in seconds, if another than the default.
    pub idle_timeout_s: Option<u32>,
}

impl Protocol {
    /// A base to declare the rest over: `Protocol { name: "ntp", …, ..Protocol::BASE }`.
    pub const BASE: Self = Self {
        name: "",
        title: "",
        family: Family::Network,
        source: "",
        ports: &[],
        well_known: false,
        cleartext: false,
        patterns: &[],
        identify: |_| Verdict::No,
        parser: None,
        fields: &[],
        risks: &[],
        idle_timeout_s: None,
    };
}

/// Declares the fields of a protocol, and a constant for each.
///
/// ```ignore
/// fields! { ProtocolId::Ntp;
///     VERSION: Uint "version" "Protocol version, 1 to 4";
///     SERVERS: [Ip] "servers" "Addresses it offers";
/// }
/// ```
/// expands to `pub const VERSION: FieldRef`, `pub const SERVERS: FieldRef` and `const FIELDS: &[Field]`.
#[macro_export]
macro_rules! fields {
    ($proto:expr; $($rest:tt)*) => {
        $crate::fields!(@ $proto; 0u8; []; $($rest)*);
    };
    (@ $proto:expr; $n:expr; [$($acc:tt)*]; $id:ident : [$kind:ident] $name:literal $help:literal; $($rest:tt)*) => {
        #[doc = $help]
        pub const $id: $crate::FieldRef = $crate::FieldRef { protocol: $proto, index: $n };
        $crate::fields!(@ $proto; $n + 1u8; [$($acc)* $crate::Field { name: $name, kind: $crate::Kind::$kind, list: true, help: $help },]; $($rest)*);
    };
    (@ $proto:expr; $n:expr; [$($acc:tt)*]; $id:ident : $kind:ident $name:literal $help:literal; $($rest:tt)*) => {
        #[doc = $help]
        pub const $id: $crate::FieldRef = $crate::FieldRef { protocol: $proto, index: $n };
        $crate::fields!(@ $proto; $n + 1u8; [$($acc)* $crate::Field { name: $name, kind: $crate::Kind::$kind, list: false, help: $help },]; $($rest)*);
    };
    (@ $proto:expr; $n:expr; [$($acc:tt)*];) => {
        const FIELDS: &[$crate::Field] = &[$($acc)*];
    };
}
