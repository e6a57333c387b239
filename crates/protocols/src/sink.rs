//! Where parsers put what they find.

use std::net::IpAddr;

use crate::risk::MALFORMED_PACKET;
use crate::{Dir, FieldRef, ProtocolId, Risk, Transport, Value, common, value};

/// How a label was come by, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Confidence {
    /// There is no label.
    #[default]
    None,
    /// From the port alone.
    Port,
    /// From the address.
    Address,
    /// Another flow named it: a DNS answer, an FTP command.
    Correlation,
    /// From the payload of one side.
    Payload,
    /// From the payload of both sides.
    Handshake,
}

impl Confidence {
    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Port => "port",
            Self::Address => "address",
            Self::Correlation => "correlation",
            Self::Payload => "payload",
            Self::Handshake => "handshake",
        }
    }
}

/// A risk that a flow has, with what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskFound {
    /// Which.
    pub risk: &'static Risk,
    /// Field and value, such as `tls.version=SSLv3`. Never a secret.
    pub evidence: Box<str>,
}

/// What was found out about a flow so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The fields in the order they were found. A list is one entry.
    pub fields: Vec<(FieldRef, Value)>,
    /// The risks, each at most once, with the first evidence.
    pub risks: Vec<RiskFound>,
    /// An application that the payload itself names, if any.
    pub application: Option<&'static str>,
}

impl Findings {
    /// The value of a field, if it was seen.
    pub fn value(&self, field: FieldRef) -> Option<&Value> {
        self.fields.iter().find(|(f, _)| *f == field).map(|(_, v)| v)
    }

    /// The text of a field, if it was seen and is text.
    pub fn text(&self, field: FieldRef) -> Option<&str> {
        self.value(field).and_then(Value::as_str)
    }

    /// True if the risk was raised.
    pub fn has_risk(&self, risk: &Risk) -> bool {
        self.risks.iter().any(|r| r.risk.name == risk.name)
    }
}

/// One transaction within a flow: a DNS query with its answer, an HTTP request with its response, a certificate, a
/// file. Only made if somebody wants them ([`Sink::wants_events`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What kind of transaction: `dns`, `http`, `files`, `x509` …
    pub kind: &'static str,
    /// When it began, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// What it holds, in terms of the protocol's fields.
    pub fields: Vec<(FieldRef, Value)>,
}

/// Something that a flow tells besides what it is itself: mostly about other flows.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The client was told that `name` is at these addresses.
    Named {
        /// The name that was asked for, lower case, without a trailing dot.
        name: Box<str>,
        /// The addresses in the answer.
        addresses: Vec<IpAddr>,
    },
    /// A flow to (or from) this endpoint is about to begin, and it will carry `protocol`.
    Expect {
        /// What will carry it.
        transport: Transport,
        /// The address that was announced.
        address: IpAddr,
        /// The port that was announced.
        port: u16,
        /// What will be carried.
        protocol: ProtocolId,
    },
    /// The client asks for something. Only made if somebody wants it ([`Sink::wants_questions`]).
    Asked(Box<Asked>),
}

/// One of the things that the client of a flow asks for by name: a DNS query, or the head of an HTTP request. It is told
/// of with the packet that completes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The name: lower case, without a port or a trailing dot.
    pub name: Box<str>,
    /// HTTP: the request's method.
    pub method: Box<str>,
    /// DNS: the message.
    pub message: Box<[u8]>,
    /// HTTP: how many requests before it wait for their response.
    pub behind: u32,
}

/// Which fields somebody wants. Those that cost much to work out are left out when nobody does.
#[derive(Clone, Debug)]
pub struct Wanted {
    bits: [u64; Self::WORDS],
    events: bool,
    questions: bool,
}

impl Wanted {
    const WORDS: usize = 320;
    /// A protocol may declare this many fields.
    pub const FIELDS_MAX: usize = 64;

    /// Every field and every event.
    pub fn all() -> Self {
        Self { bits: [u64::MAX; Self::WORDS], events: true, questions: false }
    }

    /// Nothing: start from here, and [`add`](Self::add).
    pub fn none() -> Self {
        Self { bits: [0; Self::WORDS], events: false, questions: false }
    }

    /// Wants this field too.
    pub fn add(&mut self, field: FieldRef) {
        if let Some(word) = self.bits.get_mut(field.protocol as usize) {
            *word |= 1 << (field.index & 63);
        }
    }

    /// Wants transactions, or not.
    pub fn set_events(&mut self, events: bool) {
        self.events = events;
    }

    /// What [`set_questions`](Self::set_questions) was given.
    pub fn questions(&self) -> bool {
        self.questions
    }

    /// Wants to know of each thing that is asked for, or not.
    pub fn set_questions(&mut self, questions: bool) {
        self.questions = questions;
    }

    /// True if the field is wanted. (Protocols beyond the table are always wanted.)
    #[inline]
    pub fn wants(&self, field: FieldRef) -> bool {
        self.bits.get(field.protocol as usize).is_none_or(|word| word >> (field.index & 63) & 1 == 1)
    }
}

/// A list holds at most this many values; the rest are dropped.
pub const LIST_MAX: usize = 64;
/// A text or byte value keeps at most this many bytes.
pub const VALUE_BYTES_MAX: usize = 4096;
/// A flow keeps at most this many fields.
pub const FIELDS_MAX: usize = 96;
/// A flow tells of at most this many events at a time between two packets.
pub const EVENTS_MAX: usize = 256;

/// Where a parser puts what it finds. Lives for one call.
pub struct Sink<'a> {
    /// What is known of the flow.
    pub found: &'a mut Findings,
    pub(crate) wanted: &'a Wanted,
    events: &'a mut Vec<Event>,
    facts: &'a mut Vec<Fact>,
    now_ns: i64,
    label: Option<ProtocolId>,
    confirmed: bool,
    incomplete: bool,
    ports: [u16; 2],
    addresses: [IpAddr; 2],
}

impl<'a> Sink<'a> {
    /// A sink for the bytes of one packet: `ports` and `addresses` are the client's and the server's.
    pub fn new(
        found: &'a mut Findings,
        wanted: &'a Wanted,
        events: &'a mut Vec<Event>,
        facts: &'a mut Vec<Fact>,
        now_ns: i64,
        addresses: [IpAddr; 2],
        ports: [u16; 2],
    ) -> Self {
        let (label, confirmed, incomplete) = (None, false, false);
        Self { found, wanted, events, facts, now_ns, label, confirmed, incomplete, ports, addresses }
    }

    /// Tells that the capture does not hold all there was: the datagram was cut, or bytes of the stream were lost before.
    /// What is odd may then be odd for want of them, so that `malformed-packet` is not raised.
    pub fn set_incomplete(&mut self, incomplete: bool) {
        self.incomplete = incomplete;
    }

    /// What [`set_incomplete`](Self::set_incomplete) was given.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The packet's time in nanoseconds since 1970: the only clock there is.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// The port of one end.
    pub fn port(&self, dir: Dir) -> u16 {
        self.ports[dir.index()]
    }

    /// The address of one end.
    pub fn address(&self, dir: Dir) -> IpAddr {
        self.addresses[dir.index()]
    }

    /// True if somebody wants this field. Ask before working out something dear.
    #[inline]
    pub fn wants(&self, field: FieldRef) -> bool {
        self.wanted.wants(field)
    }

    /// True if somebody wants transactions. If not, a parser can stop after the first.
    pub fn wants_events(&self) -> bool {
        self.wanted.events
    }

    /// True if somebody wants to know of each thing that is asked for, to the flow's end.
    pub fn wants_questions(&self) -> bool {
        self.wanted.questions
    }

    /// Sets a field, unless it is set already or nobody wants it.
    #[inline]
    pub fn set(&mut self, field: FieldRef, value: impl Into<Value>) {
        if self.wants(field) && self.is_open(field) {
            self.add(field, value.into());
        }
    }

    /// Sets a text field from the wire's bytes, unless it is set already or nobody wants it.
    #[inline]
    pub fn set_text(&mut self, field: FieldRef, text: &[u8]) {
        if self.wants(field) && self.is_open(field) {
            let text = text.get(..VALUE_BYTES_MAX).unwrap_or(text);
            self.add(field, Value::text(text));
        }
    }

    /// Sets a field, whatever it was before.
    pub fn replace(&mut self, field: FieldRef, value: impl Into<Value>) {
        self.found.fields.retain(|(f, _)| *f != field);
        self.set(field, value);
    }

    /// Adds a value to a list field, unless it is there already, the list is full, or nobody wants it.
    #[inline]
    pub fn push(&mut self, field: FieldRef, value: impl Into<Value>) {
        if self.wants(field) {
            self.add_to_list(field, value.into());
        }
    }

    /// The field is not set yet, and there is room for it.
    fn is_open(&self, field: FieldRef) -> bool {
        self.found.value(field).is_none() && self.found.fields.len() < FIELDS_MAX
    }

    fn add(&mut self, field: FieldRef, value: Value) {
        self.found.fields.push((field, bounded(value)));
    }

    fn add_to_list(&mut self, field: FieldRef, value: Value) {
        let value = bounded(value);
        let fields = &mut self.found.fields;
        match fields.iter().position(|(f, _)| *f == field) {
            Some(i) => {
                if let (_, Value::List(list)) = &mut fields[i]
                    && list.len() < LIST_MAX
                    && !list.contains(&value)
                {
                    list.push(value);
                }
            }
            None if fields.len() < FIELDS_MAX => fields.push((field, Value::List(Box::new(vec![value])))),
            None => {}
        }
    }

    /// Sets the flow's host name: what names the server, or, for name services, what was asked for. Lower-cased, and
    /// a trailing dot is dropped.
    pub fn hostname(&mut self, name: &[u8]) {
        let name = name.strip_suffix(b".").unwrap_or(name);
        if !name.is_empty() && self.found.value(common::HOSTNAME).is_none() {
            let name = name.get(..VALUE_BYTES_MAX).unwrap_or(name);
            let mut text = value::text(name);
            text.make_ascii_lowercase();
            self.set(common::HOSTNAME, text);
        }
    }

    /// Sets the host name to one that says more than what came before it: the name that a client asks for in TLS
    /// rather than the one in the greeting before STARTTLS.
    pub fn better_hostname(&mut self, name: &[u8]) {
        if name.iter().any(|b| *b != b'.') {
            self.found.fields.retain(|(f, _)| *f != common::HOSTNAME);
            self.hostname(name);
        }
    }

    /// Raises a risk. `evidence` is `field=value` and never holds a secret; it is only made the first time.
    pub fn risk(&mut self, risk: &'static Risk, evidence: impl FnOnce() -> String) {
        let excused = self.incomplete && risk.name == MALFORMED_PACKET.name;
        if !excused && !self.found.has_risk(risk) {
            self.found.risks.push(RiskFound { risk, evidence: evidence().into() });
        }
    }

    /// Refines the flow's label: what was `http` turns out to be `websocket`.
    pub fn relabel(&mut self, protocol: ProtocolId) {
        self.label = Some(protocol);
    }

    /// Takes a [`relabel`](Self::relabel) back.
    pub(crate) fn restore_label(&mut self, label: Option<ProtocolId>) {
        self.label = label;
    }

    /// Names the application, where the payload itself does.
    pub fn application(&mut self, name: &'static str) {
        self.found.application.get_or_insert(name);
    }

    /// Both sides were seen to speak the protocol: the label's confidence becomes `handshake`.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// Tells of a transaction, if somebody wants them.
    pub fn event(&mut self, event: Event) {
        if self.wanted.events && self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    /// Tells something about other flows, or what is asked for.
    pub fn fact(&mut self, fact: Fact) {
        // Of what is asked for nothing may be lost; a packet holds no more than it holds.
        if self.facts.len() < EVENTS_MAX || matches!(fact, Fact::Asked(_)) {
            self.facts.push(fact);
        }
    }

    /// What [`relabel`](Self::relabel) was last given.
    pub fn label(&self) -> Option<ProtocolId> {
        self.label
    }

    /// True once [`confirm`](Self::confirm) was called.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

/// Cuts a value to [`VALUE_BYTES_MAX`].
fn bounded(value: Value) -> Value {
    match value {
        Value::Str(s) if s.len() > VALUE_BYTES_MAX => {
            let end = (0..=VALUE_BYTES_MAX).rev().find(|i| s.is_char_boundary(*i)).unwrap_or(0);
            Value::Str(s[..end].into())
        }
        Value::Bytes(b) if b.len() > VALUE_BYTES_MAX => Value::Bytes(b[..VALUE_BYTES_MAX].into()),
        other => other,
    }
}
