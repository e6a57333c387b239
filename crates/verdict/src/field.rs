//! The fields of observations: what rules may ask for.

use std::fmt;

use daylight_expr::{FieldType, Kind, Row, Schema, ValueRef};

use crate::record::Scalar;

macro_rules! fields {
    ($($variant:ident $name:literal $kind:ident $help:literal,)*) => {
        /// A field, by what rules call it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub(crate) enum Field {
            $($variant,)*
        }

        /// Name, kind and meaning of every field, in the order of [`Field`].
        pub(crate) const FIELDS: &[(Field, &str, Kind, &str)] =
            &[$((Field::$variant, $name, Kind::$kind, $help),)*];
    };
}

fields! {
    Control "visit.control" Bool "a control was asked and answered",
    ControlDns "visit.control_dns" Str "what the control's lookup gave: `addresses`, `loopback`, `none`, `nxdomain`, `failed`, `unknown`",
    ControlHttp "visit.control_http" Str "what the control's visit gave: `ok`, `failed`, `unknown`",
    Reached "visit.reached" Bool "the page came by the way that the system's resolver names, and nothing shows it to be another",
    Page "visit.page" Str "how it came: `https`, `http`, `none`",
    NetworkDown "visit.network_down" Bool "visits to what is never blocked failed, before and after",
    Portal "visit.portal" Bool "visits to what is never blocked gave something else: a captive portal",
    ResolverBroken "visit.resolver_broken" Bool "the system's resolver doesn't resolve a name that is never blocked either",
    ResolverWorks "visit.resolver_works" Bool "the system's resolver resolves a name that is never blocked",
    ResolverAnswers "visit.resolver_answers" Bool "the system's resolver, asked for the target by UDP, gives an address: where the system's lookup failed, packets were lost",
    Wildcard "visit.wildcard" Bool "the system's resolver has an address for a name made up at random",
    ElsewhereResolves "visit.other_resolver" Bool "another resolver, asked from here, agrees with the control",
    InjectedReset "visit.injected_reset" Bool "a reset in the server's name, in a handshake with the target's name, is not the server's: no one harmless cause explains what speaks against it",
    DnsResolver "dns.resolver" Str "what was asked: `system`, `udp`, `tcp`, `dot`, `doh`, `non-resolver`",
    DnsQuery "dns.query" Str "what was asked for: `target`, `control`, `random`",
    DnsFailure "dns.failure" Str "why it failed, in OONI's words",
    DnsNxdomain "dns.nxdomain" Bool "the name is said not to exist",
    DnsTimeout "dns.timeout" Bool "no reply came",
    DnsAnswered "dns.answered" Bool "there were addresses",
    DnsRedirect "dns.redirect" Bool "the name is one that the page redirects to",
    DnsBogon "dns.bogon" Bool "an address cannot belong to a public name (loopback, private, reserved)",
    DnsAgrees "dns.agrees" Bool "an address or its network is the control's, or proved to be the target's by a valid certificate",
    DnsCertificate "dns.wrong_certificate" Bool "the address answers with a certificate that doesn't fit the name",
    DnsDead "dns.dead" Bool "nothing could be done at the addresses",
    DnsExtended "dns.extended_error" Uint "Extended DNS Error (RFC 8914)",
    DnsReplies "dns.replies" Uint "how many replies one UDP query got",
    DnsConflict "dns.conflict" Bool "replies to one query name addresses that have nothing in common",
    TcpFailure "tcp.failure" Str "why it failed, in OONI's words",
    TcpTimeout "tcp.timeout" Bool "nothing came",
    TcpReset "tcp.reset" Bool "refused or reset",
    TcpUnreachable "tcp.unreachable" Bool "a router says that the host can't be reached",
    TcpIpv6 "tcp.ipv6" Bool "over IPv6",
    TcpTrusted "tcp.trusted" Bool "the address is the target's, by the control, its network or a valid certificate",
    TcpControl "tcp.control_ok" Bool "the control connected to the same address and port, or for a redirect got there",
    TcpElsewhere "tcp.other_ok" Bool "another address of the target took a connection",
    TlsFailure "tls.failure" Str "why it failed, in OONI's words",
    TlsReset "tls.reset" Bool "reset",
    TlsClosed "tls.closed" Bool "closed without an alert",
    TlsTimeout "tls.timeout" Bool "nothing came",
    TlsAlert "tls.alert" Bool "failed otherwise, such as by an alert",
    TlsForged "tls.wrong_certificate" Bool "a certificate for another name, or by an authority that nobody trusts",
    TlsExpired "tls.expired" Bool "a certificate that isn't valid at this time",
    TlsTrusted "tls.trusted" Bool "the address is the target's, by the control, its network or the resolvers' agreement",
    TlsControl "tls.control_ok" Bool "the control's handshake at the same address was completed, or for a redirect it got there",
    TlsElsewhere "tls.other_ok" Bool "a handshake with the same name was completed at another address",
    HttpFailure "http.failure" Str "why it failed, in OONI's words",
    HttpTimeout "http.timeout" Bool "it didn't come to an end",
    HttpReset "http.reset" Bool "reset",
    HttpClosed "http.closed" Bool "closed too early",
    HttpStarted "http.started" Bool "a status line came",
    HttpBadRedirect "http.bad_redirect" Bool "it redirects to what is no host, or without end",
    HttpSecure "http.secure" Bool "over TLS",
    HttpFinal "http.final" Bool "a response that is no redirect",
    HttpSystem "http.system" Bool "at an address that the system's resolver named",
    HttpStatus "http.status" Uint "the status code",
    HttpSame "http.same" Bool "the page that the control got: the same status, and a body, title or uncommon headers alike",
    HttpShared "http.own_server" Bool "it has uncommon headers that the control's response has too: the site's own server speaks",
    HttpElsewhere "http.elsewhere" Str "what the target's name gets in a request to the control's address: the `same` page, an `other` one, or none (`failed`)",
    HttpWaiting "http.waiting" Bool "a waiting page, a CAPTCHA, or a refusal by the site's own provider",
    HttpBlockpage "http.blockpage" Str "the fingerprint of a block page that it fits",
    HttpVendor "http.blockpage_vendor" Str "the product that the fingerprint is of",
    SniTargetHere "sni.target_here" Str "the target's name at its own address: `ok`, `reset`, `closed`, `timeout`, `alert`, `connect`, `mixed`",
    SniTargetElsewhere "sni.target_elsewhere" Str "the target's name at the control's address",
    SniControlHere "sni.control_here" Str "an innocuous name at the target's address",
    SniControlElsewhere "sni.control_elsewhere" Str "an innocuous name at the control's address",
    SniSplitHere "sni.split_here" Str "the target's name in a split ClientHello, at its own address",
    SniForged "sni.forged" Bool "the target's name, at its own address, gets a certificate that doesn't fit it",
    QuicTargetHere "quic.target_here" Str "a handshake with the target's name at its own address: `ok`, `timeout`, `failed`",
    QuicControlHere "quic.control_here" Str "a handshake with an innocuous name at the target's address",
    QuicTargetElsewhere "quic.target_elsewhere" Str "a handshake with the target's name at the control's address",
    QuicNegotiationHere "quic.negotiation_here" Str "version negotiation at the target's address",
    QuicControlElsewhere "quic.control_elsewhere" Str "a handshake with an innocuous name at the control's address",
    QuicControl "quic.control_ok" Bool "the control's handshake at the target's address was completed, if it tried one",
    PairCount "pair.count" Uint "how many pairs of transfers were made",
    PairRatio "pair.ratio" Float "the median of the target's rate over the control's",
    PairSlow "pair.slow" Uint "in how many pairs the target's rate was a quarter of the control's or less",
    PairStalls "pair.stalls" Uint "in how many the target's transfer stalled and the control's did not",
    PacketStep "packet.step" Str "what the client had asked for when a packet came in the server's name that seems not to be the server's: `dns`, `tcp`, `tls`, `http`, `quic`",
    PacketKind "packet.kind" Str "what kind of packet: `rst`, `rst-ack`, `fin-ack`, `fin-data`, `data`, `dns-answer`",
    PacketInjected "packet.injected" Bool "no one harmless cause explains all that speaks against it",
    PacketTarget "packet.target" Bool "the connection was for the target's name",
    PacketReset "packet.reset" Bool "a reset",
    PacketPage "packet.page" Bool "data, or an end with data",
    PacketTells "packet.tells" Str "what speaks against it, by name",
    PairPathSame "pair.path_same" Bool "round-trip time and loss are alike in both",
}

/// One value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Uint(u64),
    Float(f64),
    Str(String),
}

impl Value {
    pub(crate) fn scalar(&self) -> Scalar {
        match self {
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Uint(value) => i64::try_from(*value).map_or(Scalar::Float(*value as f64), Scalar::Int),
            Self::Float(value) => Scalar::Float(*value),
            Self::Str(value) => Scalar::Text(value.clone()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Str(value) => value.fmt(f),
        }
    }
}

impl Field {
    pub(crate) fn name(self) -> &'static str {
        FIELDS[self as usize].1
    }

    pub(crate) fn from_id(id: u32) -> Option<Self> {
        FIELDS.get(id as usize).map(|field| field.0)
    }

    pub(crate) fn from_name(name: &str) -> Option<(Self, Kind)> {
        FIELDS.iter().find(|field| field.1 == name).map(|field| (field.0, field.2))
    }

    /// What comes before the dot: the kind of observation it is of.
    pub(crate) fn group(self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }
}

/// The fields, to the language of expressions.
pub(crate) struct Fields;

impl Schema for Fields {
    fn field(&self, name: &str) -> Option<FieldType> {
        Field::from_name(name).map(|(field, kind)| FieldType { id: field as u32, kind, list: false })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(FIELDS.iter().map(|field| field.1))
    }
}

/// What was observed, in one step or of the whole visit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observation {
    /// Where it stands, relative to `test_keys`.
    pub(crate) path: String,
    pub(crate) values: Vec<(Field, Value)>,
}

impl Observation {
    pub(crate) fn at(path: String) -> Self {
        Self { path, values: Vec::new() }
    }

    pub(crate) fn set(&mut self, field: Field, value: impl Into<Value>) {
        self.values.push((field, value.into()));
    }

    /// Only if it is known.
    pub(crate) fn set_some(&mut self, field: Field, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(field, value);
        }
    }

    pub(crate) fn get(&self, field: Field) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == field).map(|(_, value)| value)
    }

    pub(crate) fn group(&self) -> Option<&'static str> {
        self.values.first().map(|(field, _)| field.group())
    }
}

/// An observation and what holds for the whole visit.
pub(crate) struct Seen<'a> {
    pub(crate) visit: &'a Observation,
    pub(crate) one: &'a Observation,
}

impl Seen<'_> {
    pub(crate) fn get(&self, field: Field) -> Option<&Value> {
        self.one.get(field).or_else(|| self.visit.get(field))
    }
}

impl Row for Seen<'_> {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        Field::from_id(id).and_then(|field| self.get(field)).into_iter().map(|value| match value {
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Uint(value) => ValueRef::Uint(*value),
            Value::Float(value) => ValueRef::Float(*value),
            Value::Str(value) => ValueRef::Str(value),
        })
    }
}
