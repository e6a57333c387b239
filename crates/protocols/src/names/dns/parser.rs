//! Reads the messages of one flow: DNS, mDNS or LLMNR.

use std::net::IpAddr;

use super::message::{Header, Name, Question, Reader, Record, Section, Trouble};
use super::rdata::{self, type_text};
use super::*;
use super::{codes::rtype, edns, edns::EdnsOption, edns::Opt, measure};
use crate::common::HOSTNAME;
use crate::driver::PENDING_MAX;
use crate::{Event, Fact, LIST_MAX, Parser, Sink, Step, Value, risk};

/// Queries that wait for their response. The oldest is told of without one when there are more.
const WAITING_MAX: usize = 32;
/// The largest message that may cross a network in UDP without raising an eyebrow.
const LARGE_BYTES: usize = 4096;
/// One response names at most so many addresses to the other flows.
const FACTS_MAX: usize = 32;

/// Whose messages they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::names) enum Flavour {
    Dns,
    Mdns,
    Llmnr,
}

/// What was last asked.
#[derive(Clone, Copy)]
struct Asked {
    id: u16,
    name: u32,
    at_ns: i64,
}

/// A transaction in the making.
struct Waiting {
    asked: Asked,
    fields: Vec<(crate::FieldRef, Value)>,
}

/// What one message's records come to.
#[derive(Default)]
struct Answers<'a> {
    texts: Vec<Value>,
    ttls: Vec<Value>,
    /// How many addresses the other flows were told of.
    told: usize,
    /// Addresses of one name that they are still to be told of.
    named: Option<(Name<'a>, Vec<IpAddr>)>,
    /// The OPT record's message size and the upper bits of the response code.
    opt: Option<(u16, u8)>,
}

impl<'a> Answers<'a> {
    /// Takes in what an address is called.
    fn name(&mut self, name: Name<'a>, address: IpAddr, out: &mut Sink<'_>) {
        if self.told >= FACTS_MAX || name.is_root() {
            return;
        }
        self.told += 1;
        match &mut self.named {
            Some((same, addresses)) if same.position() == name.position() => addresses.push(address),
            _ => {
                self.tell(out);
                // An answer has few addresses, but mostly more than one.
                let mut addresses = Vec::with_capacity(4);
                addresses.push(address);
                self.named = Some((name, addresses));
            }
        }
    }

    /// Tells the other flows.
    fn tell(&mut self, out: &mut Sink<'_>) {
        if let Some((name, addresses)) = self.named.take() {
            out.fact(Fact::Named { name: name.lower().into(), addresses });
        }
    }
}

/// The parser.
pub(in crate::names) struct Messages {
    flavour: Flavour,
    asked: Option<Asked>,
    /// The response to it was seen.
    answered: bool,
    /// What the client's OPT record says, once there was one.
    announced: Option<u16>,
    tunnel: measure::Tunnel,
    waiting: Vec<Waiting>,
}

impl Messages {
    pub(in crate::names) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            asked: None,
            answered: false,
            announced: None,
            tunnel: measure::Tunnel::default(),
            waiting: Vec::new(),
        }
    }

    fn message(&mut self, bytes: &[u8], datagram: bool, out: &mut Sink<'_>) -> Result<(), Trouble> {
        let header = Header::read(bytes).ok_or(Trouble::Short)?;
        let mut reader = Reader::new(bytes);
        let first = if header.counts[0] > 0 { Some(reader.question()?) } else { None };
        let name = first.map_or(0, |q| q.name.hash());
        let known = self.asked.is_some_and(|a| a.id == header.id && a.name == name);
        header_fields(&header, out);
        if let Some(question) = first {
            // The response repeats the question: it was looked at already.
            if !(known && header.is_response()) {
                self.question(&question, out);
            }
            if self.flavour == Flavour::Dns && !header.is_response() && out.wants_questions() {
                let (name, message) = (question.name.lower().into(), bytes.into());
                out.fact(Fact::Asked(Box::new(crate::Asked { name, message, ..crate::Asked::default() })));
            }
        }
        let mut read = || -> Result<(), Trouble> {
            for _ in 1..header.counts[0] {
                let question = reader.question()?;
                self.question(&question, out);
            }
            Ok(())
        };
        let mut trouble = read();
        let mut answers = Answers::default();
        if trouble.is_ok() {
            trouble = self.records(&header, first, &mut reader, &mut answers, out);
            answers.tell(out);
        }
        let opt = answers.opt;
        if header.is_response() {
            self.response(&header, first, name, answers, out);
            self.large(bytes.len(), datagram, opt.is_some(), out);
            self.answered |= known;
        } else {
            if self.flavour == Flavour::Dns && datagram && bytes.len() > 512 {
                out.risk(&DNS_LARGE_PACKET, || format!("query.bytes={}", bytes.len()));
            }
            self.asked = Some(Asked { id: header.id, name, at_ns: out.now_ns() });
            self.answered = false;
            self.announced = opt.map(|(size, _)| size).or(self.announced);
            self.wait(&header, first, out);
        }
        trouble
    }

    /// True once the query was answered and nothing else is worth remembering: most flows have no second one.
    fn is_at_rest(&self) -> bool {
        self.answered && self.waiting.is_empty() && self.tunnel == measure::Tunnel::default()
    }

    /// Takes in what a question tells.
    fn question(&mut self, question: &Question<'_>, out: &mut Sink<'_>) {
        if out.wants(QUERY) || out.found.value(HOSTNAME).is_none() {
            let text = question.name.lower();
            if out.wants(QUERY) {
                out.push(QUERY, text.clone());
            }
            if !question.name.is_root() {
                out.set(HOSTNAME, text);
            }
        }
        if out.wants(QTYPE) {
            out.push(QTYPE, type_value(question.qtype));
        }
        out.set(QTYPE_CODE, question.qtype);
        let class = self.class(question.qclass);
        out.set(QCLASS_CODE, class);
        out.set(QCLASS, class_value(class));
        match self.flavour {
            Flavour::Dns => self.judge(question, out),
            // Names of hosts and services are free UTF-8 there (RFC 6762 §16, RFC 4795 §2): control characters are not.
            Flavour::Mdns | Flavour::Llmnr => {
                let odd = |label: &[u8]| {
                    label.iter().any(u8::is_ascii_control) || std::str::from_utf8(label).is_err()
                };
                if question.name.labels().any(odd) {
                    out.risk(&INVALID_CHARACTERS, || {
                        format!("dns.query={}", question.name.lower().escape_debug())
                    });
                }
            }
        }
    }

    /// Raises what a name that was asked for gives away.
    fn judge(&mut self, question: &Question<'_>, out: &mut Sink<'_>) {
        let look = measure::look(&question.name);
        let name = || question.name.lower();
        if look.generated {
            out.risk(&DGA_NAME, || format!("dns.query={}", name()));
        }
        if look.invalid {
            out.risk(&INVALID_CHARACTERS, || format!("dns.query={}", name().escape_debug()));
        }
        if look.punycode {
            for label in question.name.labels() {
                idn_risks(label, out);
            }
        }
        if self.tunnel.query(&question.name, question.qtype, look) {
            out.risk(&DNS_TUNNEL, || format!("dns.query={} dns.qtype={}", name(), type_text(question.qtype)));
        }
    }

    /// In mDNS the highest bit of a class is a flag (RFC 6762 §10.2, §5.4).
    fn class(&self, class: u16) -> u16 {
        if self.flavour == Flavour::Mdns { class & 0x7fff } else { class }
    }

    /// Reads the records.
    fn records<'a>(
        &mut self,
        header: &Header,
        first: Option<Question<'a>>,
        reader: &mut Reader<'a>,
        answers: &mut Answers<'a>,
        out: &mut Sink<'_>,
    ) -> Result<(), Trouble> {
        for (count, section) in
            header.counts[1..].iter().zip([Section::Answer, Section::Authority, Section::Additional])
        {
            for _ in 0..*count {
                let record = reader.record()?;
                match section {
                    _ if record.rtype == rtype::OPT => {
                        let read = Opt::read(&record);
                        answers.opt = Some((read.udp_size, read.rcode_high));
                        edns_fields(&read, out);
                    }
                    Section::Answer if header.is_response() => self.answer(first, &record, answers, out),
                    // A host's addresses come along with its services (RFC 6763 §12).
                    Section::Additional if self.flavour == Flavour::Mdns && header.is_response() => {
                        self.named(None, &record, answers, out);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn answer<'a>(
        &mut self,
        first: Option<Question<'a>>,
        record: &Record<'a>,
        answers: &mut Answers<'a>,
        out: &mut Sink<'_>,
    ) {
        if first.is_none() && self.flavour == Flavour::Mdns {
            out.hostname(record.name.text().as_bytes());
        }
        self.named(first, record, answers, out);
        if let Some((priority, params)) = rdata::service(record) {
            for param in params {
                param.alpn().for_each(|id| out.push(SVC_ALPN, Value::text(id)));
                if param.is_ech() && priority > 0 {
                    out.set(SVC_ECH, true);
                }
            }
        }
        if record.rtype == rtype::CNAME
            && out.wants(CNAMES)
            && let Ok((name, _)) = Name::read(record.message, record.rdata_at)
        {
            out.push(CNAMES, name.lower());
        }
        let room = answers.texts.len() < LIST_MAX;
        if room && (out.wants_events() || out.wants(ANSWERS)) {
            let text: Box<str> = rdata::text(record).into();
            out.push(ANSWERS, text.clone());
            answers.texts.push(Value::Str(text));
            answers.ttls.push(Value::from(record.ttl));
        }
        out.push(TTLS, record.ttl);
    }

    /// Tells the other flows what an address is called: the name that was asked for, whatever aliases led to it.
    fn named<'a>(
        &self,
        first: Option<Question<'a>>,
        record: &Record<'a>,
        answers: &mut Answers<'a>,
        out: &mut Sink<'_>,
    ) {
        let name = match first {
            // In answers to other questions (a zone transfer, a mail server) the addresses are somebody else's.
            Some(q)
                if matches!(q.qtype, rtype::A | rtype::AAAA | rtype::HTTPS | rtype::SVCB | rtype::ANY) =>
            {
                q.name
            }
            Some(_) => return,
            None => record.name,
        };
        let mut tell = |address, out: &mut Sink<'_>| {
            answers.name(name, address, out);
            out.push(ADDRESSES, Value::Ip(address));
        };
        if let Some(address) = rdata::address(record) {
            tell(address, out);
        } else if let Some((_, params)) = rdata::service(record) {
            params.flat_map(rdata::SvcParam::hints).for_each(|address| tell(address, out));
        }
    }

    /// Takes in what a response as a whole tells, and completes its transaction.
    fn response(
        &mut self,
        header: &Header,
        first: Option<Question<'_>>,
        name: u32,
        answers: Answers<'_>,
        out: &mut Sink<'_>,
    ) {
        let rcode_high = answers.opt.map_or(0, |(_, high)| u16::from(high));
        let rcode = rcode_high << 4 | u16::from(header.rcode());
        out.set(RCODE_CODE, rcode);
        out.set(RCODE, rcode_value(rcode));
        out.set(ANSWER_COUNT, header.counts[1]);
        let rejected = rcode != 0 && header.counts[1] == 0;
        out.set(REJECTED, rejected);
        if rcode != 0 {
            out.risk(&ERROR_CODE, || format!("dns.rcode={}", rcode_value(rcode)));
        }
        let asked = self.asked.filter(|a| a.id == header.id);
        if let Some(asked) = asked {
            if asked.name == name {
                out.set(RTT, seconds(asked.at_ns, out.now_ns()));
                out.confirm();
            } else if first.is_some() && self.flavour == Flavour::Dns {
                out.risk(&DNS_MISMATCH, || {
                    format!(
                        "dns.id={} dns.query={}",
                        header.id,
                        first.map(|q| q.name.lower()).unwrap_or_default()
                    )
                });
            }
        } else if self.flavour != Flavour::Dns && self.asked.is_some() {
            out.confirm();
        }
        if !out.wants_events() {
            return;
        }
        let waiting = self.waiting.iter().position(|w| w.asked.id == header.id && w.asked.name == name);
        let (ts_ns, mut fields, rtt) = match waiting.map(|i| self.waiting.remove(i)) {
            Some(w) => (w.asked.at_ns, w.fields, Some(seconds(w.asked.at_ns, out.now_ns()))),
            None => (out.now_ns(), self.event_fields(header, first), None),
        };
        fields.retain(|(field, _)| !matches!(*field, AA | TC | RA | Z));
        fields.extend([
            (RCODE_CODE, Value::from(rcode)),
            (RCODE, rcode_value(rcode)),
            (AA, Value::Bool(header.authoritative())),
            (TC, Value::Bool(header.truncated())),
            (RA, Value::Bool(header.recursion_available())),
            (Z, Value::from(header.z())),
            (REJECTED, Value::Bool(rejected)),
        ]);
        fields.extend(rtt.map(|rtt| (RTT, Value::Float(rtt))));
        if !answers.texts.is_empty() {
            fields.push((ANSWERS, Value::List(Box::new(answers.texts))));
            fields.push((TTLS, Value::List(Box::new(answers.ttls))));
        }
        out.event(Event { kind: "dns", ts_ns, fields });
    }

    fn large(&self, bytes: usize, datagram: bool, edns: bool, out: &mut Sink<'_>) {
        let allowed = match self.announced {
            Some(size) => usize::from(size).max(512),
            // The query was not seen, but the server would not speak EDNS unasked.
            None if self.asked.is_none() && edns => LARGE_BYTES,
            None => 512,
        };
        if self.flavour == Flavour::Dns && datagram && bytes > allowed.min(LARGE_BYTES) {
            out.risk(&DNS_LARGE_PACKET, || format!("response.bytes={bytes} allowed={allowed}"));
        }
    }

    /// Keeps a query until its response is there.
    fn wait(&mut self, header: &Header, first: Option<Question<'_>>, out: &mut Sink<'_>) {
        let (true, Some(asked)) = (out.wants_events(), self.asked) else { return };
        let fields = self.event_fields(header, first);
        if self.flavour == Flavour::Mdns {
            // Nobody need answer, and who does answers everybody: no pairs.
            out.event(Event { kind: "dns", ts_ns: asked.at_ns, fields });
            return;
        }
        // A repeated query is one transaction.
        if self.waiting.iter().any(|w| w.asked.id == asked.id && w.asked.name == asked.name) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            let oldest = self.waiting.remove(0);
            out.event(Event { kind: "dns", ts_ns: oldest.asked.at_ns, fields: oldest.fields });
        }
        self.waiting.push(Waiting { asked, fields });
    }

    fn event_fields(&self, header: &Header, first: Option<Question<'_>>) -> Vec<(crate::FieldRef, Value)> {
        let mut fields = vec![
            (ID, Value::from(header.id)),
            (AA, Value::Bool(header.authoritative())),
            (TC, Value::Bool(header.truncated())),
            (RD, Value::Bool(header.recursion_desired())),
            (RA, Value::Bool(header.recursion_available())),
            (Z, Value::from(header.z())),
        ];
        if let Some(q) = first {
            let class = self.class(q.qclass);
            fields.extend([
                (QUERY, Value::from(q.name.lower())),
                (QTYPE_CODE, Value::from(q.qtype)),
                (QTYPE, type_value(q.qtype)),
                (QCLASS_CODE, Value::from(class)),
                (QCLASS, class_value(class)),
            ]);
        }
        fields
    }
}

impl Parser for Messages {
    fn datagram(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        match self.message(bytes, true, out) {
            Ok(()) if self.is_at_rest() => return Step::Rest,
            Ok(()) => {}
            // One broken datagram says nothing about the next: go on.
            Err(Trouble::Short) => {
                out.risk(&risk::MALFORMED_PACKET, || format!("datagram.offset={}", bytes.len()));
            }
            Err(Trouble::Bad(at)) => out.risk(&risk::MALFORMED_PACKET, || format!("datagram.offset={at}")),
        }
        Step::Consumed(bytes.len())
    }

    fn stream(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, rest)) = bytes.split_first_chunk() else { return Step::Need(2) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < message::HEADER_BYTES {
            return Step::Malformed(0);
        }
        if length + 2 > PENDING_MAX {
            return Step::Skip(length as u64 + 2);
        }
        let Some(message) = rest.get(..length) else { return Step::Need(length + 2) };
        match self.message(message, false, out) {
            Ok(()) => Step::Consumed(length + 2),
            Err(Trouble::Short) => Step::Malformed(length + 2),
            Err(Trouble::Bad(at)) => Step::Malformed(at + 2),
        }
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        for waiting in self.waiting.drain(..) {
            out.event(Event { kind: "dns", ts_ns: waiting.asked.at_ns, fields: waiting.fields });
        }
    }
}

/// Raises the risks of an internationalised label; others raise none.
pub(crate) fn idn_risks(label: &[u8], out: &mut Sink<'_>) {
    if !label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--")) {
        return;
    }
    let decoded = idn::decode(label);
    let shown = || format!("{}={}", String::from_utf8_lossy(label), decoded.as_deref().unwrap_or("?"));
    out.risk(&IDN_NAME, shown);
    if decoded.as_deref().is_some_and(idn::is_homograph) {
        out.risk(&IDN_HOMOGRAPH, shown);
    }
}

fn header_fields(header: &Header, out: &mut Sink<'_>) {
    out.set(ID, header.id);
    if let Some(name) = codes::opcode_name(header.opcode()) {
        out.set(OPCODE, name);
    }
    out.set(RD, header.recursion_desired());
    out.set(CD, header.checking_disabled());
    if header.is_response() {
        out.set(AA, header.authoritative());
        out.set(TC, header.truncated());
        out.set(RA, header.recursion_available());
        out.set(AD, header.authentic_data());
        out.set(Z, header.z());
    }
}

fn edns_fields(opt: &Opt<'_>, out: &mut Sink<'_>) {
    out.set(EDNS_VERSION, opt.version);
    out.set(EDNS_SIZE, opt.udp_size);
    out.set(EDNS_DO, opt.dnssec_ok);
    for option in opt.options() {
        match option {
            EdnsOption::Nsid(id) if !id.is_empty() => out.set_text(NSID, id),
            EdnsOption::ClientSubnet(ip, bits) if out.wants(CLIENT_SUBNET) => {
                out.set(CLIENT_SUBNET, format!("{ip}/{bits}"));
            }
            EdnsOption::Cookie(cookie) => out.set(COOKIE, cookie),
            EdnsOption::Keepalive(Some(time)) => out.set(KEEPALIVE, time),
            EdnsOption::Padding(bytes) => out.set(PADDING, bytes),
            EdnsOption::Error(code, extra) if out.wants(EDE) => {
                out.push(EDE, edns::error_text(code, extra));
            }
            _ => {}
        }
    }
}

fn type_value(code: u16) -> Value {
    codes::type_name(code).map_or_else(|| Value::from(type_text(code)), Value::Name)
}

fn class_value(class: u16) -> Value {
    codes::class_name(class).map_or_else(|| Value::from(format!("CLASS{class}")), Value::Name)
}

fn rcode_value(rcode: u16) -> Value {
    codes::rcode_name(rcode).map_or_else(|| Value::from(format!("RCODE{rcode}")), Value::Name)
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns).max(0) as f64 / 1e9
}
