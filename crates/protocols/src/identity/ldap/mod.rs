//! Lightweight Directory Access Protocol: who binds how, and what is searched for.
//!
//! Each message is a BER sequence of a message number and an operation whose tag says which (RFC 4511). What
//! identifies one is that both lengths agree and the operation's first members are of the right types. Over UDP
//! (CLDAP, as Active Directory's clients find their controllers) a datagram holds one or more messages.
//!
//! After StartTLS the stream is TLS; after a SASL bind with a security layer it can't be read. Entries are not kept.

use crate::ber::{self, Ber, ENUMERATED, Header, INTEGER, OCTET_STRING, SEQUENCE};
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Value, Verdict, byte,
    fields, masked, tcp, udp,
};

mod filter;
mod names;

use names::{operation, result_name};

fields! { ProtocolId::Ldap;
    VERSION: Uint "version" "Protocol version of the bind: 2 or 3";
    BIND_DN: Str "bind_dn" "Distinguished name (or other name) of the first bind that has one";
    AUTH: Str "auth" "How the client binds: anonymous, unauthenticated (a name without a password), simple, sasl or sicily";
    SASL_MECHANISM: Str "sasl_mechanism" "SASL mechanism of the bind";
    RESULT_CODE: Uint "result_code" "Result of the bind, else the last result that was not success";
    RESULT: Str "result" "Its name in RFC 4511 §4.1.9";
    DIAGNOSTIC: Str "diagnostic" "The server's diagnostic message with that result";
    OPERATIONS: [Str] "operations" "Operations seen: bind, search, modify, add, delete, modify-dn, compare, abandon, extended, unbind";
    SEARCH_BASE: [Str] "search_base" "Base objects of the searches";
    SEARCH_SCOPE: [Str] "search_scope" "Scopes of the searches: base, one, subtree or children";
    SEARCH_FILTER: [Str] "search_filter" "Filters of the searches (RFC 4515), each cut to 512 bytes";
    OBJECT: [Str] "object" "Names of entries that are added, changed, compared or deleted";
    EXTENDED: [Str] "extended" "Object identifiers of extended requests";
    REFERRAL: [Str] "referral" "Where the server refers the client to";
    STARTTLS: Bool "starttls" "The client asked for TLS, and whether the server agreed";
    SASL_LAYER: Bool "sasl_layer" "Messages after the bind are wrapped by the SASL mechanism and can't be read";
}

/// Lightweight Directory Access Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ldap",
    title: "Lightweight Directory Access Protocol",
    family: Family::Identity,
    source: "RFC 4511; MS-ADTS §6.3.3 (CLDAP)",
    ports: &[tcp(389), tcp(3268), udp(389)],
    well_known: true,
    patterns: &[
        // SEQUENCE, its length in 1, 2, 3 or 5 bytes, INTEGER of 1 to 4 bytes.
        Pattern::tcp().min(7).tests(&[byte(0, 0x30), masked(1, 0x80, 0), byte(2, 2), masked(3, 0xf8, 0)]),
        Pattern::tcp().min(7).tests(&[byte(0, 0x30), byte(1, 0x81), byte(3, 2), masked(4, 0xf8, 0)]),
        Pattern::tcp().min(7).tests(&[byte(0, 0x30), byte(1, 0x82), byte(4, 2), masked(5, 0xf8, 0)]),
        Pattern::tcp().min(8).tests(&[byte(0, 0x30), byte(1, 0x83), byte(5, 2), masked(6, 0xf8, 0)]),
        Pattern::tcp().min(9).tests(&[byte(0, 0x30), byte(1, 0x84), byte(6, 2), masked(7, 0xf8, 0)]),
        Pattern::udp().min(16).tests(&[byte(0, 0x30), masked(1, 0x80, 0), byte(2, 2), masked(3, 0xf8, 0)]),
        Pattern::udp().min(16).tests(&[byte(0, 0x30), byte(1, 0x81), byte(3, 2), masked(4, 0xf8, 0)]),
        Pattern::udp().min(16).tests(&[byte(0, 0x30), byte(1, 0x82), byte(4, 2), masked(5, 0xf8, 0)]),
        Pattern::udp().min(16).tests(&[byte(0, 0x30), byte(1, 0x84), byte(6, 2), masked(7, 0xf8, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Ldap::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

/// A message larger than this is skipped, not read.
const MESSAGE_MAX: usize = 32 * 1024;
/// After this many messages of a flow it is left alone.
const MESSAGES_MAX: u32 = 256;
/// Nothing larger is asked for before the flow has a label.
const IDENTIFY_MAX: usize = 4096;
/// The extended operation that starts TLS (RFC 4511 §4.14).
const STARTTLS_OID: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// One `LDAPMessage`.
struct Message<'a> {
    id: u32,
    op: u8,
    body: &'a [u8],
}

fn read<'a>(ber: &mut Ber<'a>) -> Option<Message<'a>> {
    let mut message = ber.within(SEQUENCE)?;
    let id = message.uint().filter(|id| *id <= 0x7fff_ffff)? as u32;
    let (op, body) = message.element()?;
    // Only controls may follow.
    let whole = message.is_empty() || (message.expect(0xa0).is_some() && message.is_empty());
    (whole && operation(op).is_some()).then_some(Message { id, op, body })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Header::Whole { tag: SEQUENCE, head, len } = ber::header(p.payload) else {
        return match ber::header(p.payload) {
            Header::Need(n) => Verdict::Need(n),
            _ => Verdict::No,
        };
    };
    let total = head.saturating_add(len);
    if !(7..=16 << 20).contains(&total) {
        return Verdict::No;
    }
    let udp = p.transport == Transport::Udp;
    if !udp && p.payload.len() < total.min(IDENTIFY_MAX) {
        // A wrong message number or operation shows in the first bytes: don't wait for the rest.
        return if start(&p.payload[head..]) == Some(false) {
            Verdict::No
        } else {
            Verdict::Need(total.min(IDENTIFY_MAX))
        };
    }
    let sender = if total > p.payload.len() {
        // Too large to wait for, or cut by the snap length: the lengths of message and operation must agree.
        if udp && p.whole || start(&p.payload[head..]) != Some(true) || !large(&p.payload[head..], len) {
            return Verdict::No;
        }
        None
    } else {
        let Some(message) = read(&mut Ber::new(p.payload)) else { return Verdict::No };
        if !well_formed(&message) || udp && !matches!(message.op, 0x63 | 0x64 | 0x65 | 0x42 | 0x50) {
            return Verdict::No;
        }
        operation(message.op).map(|(_, sender)| sender)
    };
    if sender.is_none_or(|s| s == p.dir) { Verdict::Yes } else { Verdict::YesReversed }
}

/// Does the message start with a number and a known operation? `None` if it is too short to tell.
fn start(bytes: &[u8]) -> Option<bool> {
    let size = match bytes.get(..2)? {
        [INTEGER, n @ 1..=5] => usize::from(*n),
        _ => return Some(false),
    };
    Some(operation(*bytes.get(2 + size)?).is_some())
}

/// Does the operation of a message with `len` bytes of value fill it but for controls?
fn large(bytes: &[u8], len: usize) -> bool {
    let at = 2 + usize::from(bytes.get(1).copied().unwrap_or_default());
    match ber::header(bytes.get(at..).unwrap_or_default()) {
        Header::Whole { head, len: inner, .. } => {
            let used = at + head + inner;
            used == len || used + 4096 > len && used < len
        }
        _ => false,
    }
}

/// Are the members of the operation of the right types? This is what tells LDAP from other BER.
fn well_formed(m: &Message<'_>) -> bool {
    members(m).unwrap_or(false)
}

/// `None` if a member is missing.
fn members(m: &Message<'_>) -> Option<bool> {
    let mut b = Ber::new(m.body);
    Some(match m.op {
        // Nothing but tag and length: the message as a whole is then 7 fixed bytes but for its number.
        0x42 => m.body.is_empty(),
        0x60 => {
            let version = b.uint()?;
            b.expect(OCTET_STRING)?;
            (1..=3).contains(&version) && matches!(b.element()?.0, 0x80 | 0xa3 | 0x89 | 0x8a | 0x8b)
        }
        0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x78 => {
            let code = b.expect(ENUMERATED).and_then(ber::uint)?;
            b.expect(OCTET_STRING)?;
            b.expect(OCTET_STRING)?;
            code <= 4096
        }
        0x63 => {
            b.expect(OCTET_STRING)?;
            let scope = b.expect(ENUMERATED).and_then(ber::uint)?;
            let aliases = b.expect(ENUMERATED).and_then(ber::uint)?;
            b.uint()?;
            b.uint()?;
            let types_only = b.expect(ber::BOOLEAN)?;
            let (filter, _) = b.element()?;
            b.expect(SEQUENCE)?;
            scope <= 3 && aliases <= 3 && types_only.len() == 1 && matches!(filter, 0xa0..=0xa9 | 0x87)
        }
        0x64 | 0x66 | 0x68 | 0x6e => {
            b.expect(OCTET_STRING)?;
            b.expect(SEQUENCE)?;
            b.is_empty()
        }
        0x6c => {
            b.expect(OCTET_STRING)?;
            b.expect(OCTET_STRING)?;
            b.expect(ber::BOOLEAN)?.len() == 1
        }
        0x73 => b.expect(OCTET_STRING)?.starts_with(b"ldap"),
        0x77 | 0x79 => dotted(b.expect(0x80)?),
        // A name: too little of a shape of its own unless it looks like one.
        0x4a => m.body.len() > 3 && m.body.contains(&b'='),
        _ => false,
    })
}

fn dotted(oid: &[u8]) -> bool {
    oid.len() >= 5 && oid.contains(&b'.') && oid.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

#[derive(Default)]
struct Ldap {
    messages: u32,
    seen: [bool; 2],
    /// Number of the request to start TLS.
    starttls: Option<u32>,
    /// A SASL bind succeeded: what follows may be wrapped.
    sasl_done: bool,
}

/// What a message asks the parser to do next.
enum Next {
    On,
    Tls,
}

impl Parser for Ldap {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.sasl_done && bytes[0] != SEQUENCE {
            out.set(SASL_LAYER, true);
            return Step::Finished;
        }
        let total = match ber::header(bytes) {
            Header::Whole { tag: SEQUENCE, head, len } => head.saturating_add(len),
            Header::Need(n) => return Step::Need(n),
            _ => return self.broken(dir),
        };
        if total > MESSAGE_MAX {
            return if self.seen[dir.index()] || start(&bytes[2..]).is_some() {
                Step::Skip(total as u64)
            } else {
                Step::Done
            };
        }
        let Some(whole) = bytes.get(..total) else { return Step::Need(total) };
        match read(&mut Ber::new(whole)) {
            None => self.broken(dir),
            Some(message) => match self.message(dir, &message, out) {
                Next::Tls => Step::Switch(total, Some(ProtocolId::Tls)),
                Next::On if self.messages >= MESSAGES_MAX => Step::Finished,
                Next::On => Step::Consumed(total),
            },
        }
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut ber = Ber::new(bytes);
        while let Some(message) = read(&mut ber) {
            let _ = self.message(dir, &message, out);
        }
        if !ber.is_empty() && bytes.len() == ber.rest().len() {
            return self.broken(dir);
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

impl Ldap {
    /// A direction picked up in mid-stream starts with anything: that isn't LDAP's fault.
    fn broken(&self, dir: Dir) -> Step {
        if self.seen[dir.index()] { Step::Malformed(0) } else { Step::Done }
    }

    fn message(&mut self, dir: Dir, m: &Message<'_>, out: &mut Sink<'_>) -> Next {
        self.messages += 1;
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        if let Some((name, Dir::Client)) = operation(m.op) {
            out.push(OPERATIONS, name);
        }
        let mut b = Ber::new(m.body);
        match m.op {
            0x60 => bind(b, out),
            0x61 => {
                let code = result(b, true, out);
                self.sasl_done |= code == Some(0) && matches!(out.found.text(AUTH), Some("sasl") | None);
            }
            0x63 => search(b, out),
            0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f => {
                result(b, false, out);
            }
            0x66 | 0x68 | 0x6c | 0x6e => {
                if let Some(name) = b.expect(OCTET_STRING) {
                    out.push(OBJECT, Value::text(name));
                }
            }
            0x4a => out.push(OBJECT, Value::text(m.body)),
            0x73 => {
                if let Some(uri) = b.expect(OCTET_STRING) {
                    out.push(REFERRAL, Value::text(uri));
                }
            }
            0x77 => {
                if let Some(oid) = b.expect(0x80) {
                    out.push(EXTENDED, Value::text(oid));
                    if oid == STARTTLS_OID {
                        self.starttls = Some(m.id);
                        out.set(STARTTLS, false);
                    }
                }
            }
            0x78 => {
                let code = result(b, false, out);
                let names_it = b.find(0x8a) == Some(STARTTLS_OID);
                if code == Some(0) && (self.starttls == Some(m.id) || names_it) {
                    out.replace(STARTTLS, true);
                    return Next::Tls;
                }
            }
            _ => {}
        }
        Next::On
    }
}

fn bind(mut b: Ber<'_>, out: &mut Sink<'_>) {
    let (Some(version), Some(name)) = (b.uint(), b.expect(OCTET_STRING)) else { return };
    out.set(VERSION, version);
    if !name.is_empty() {
        out.set_text(BIND_DN, name);
    }
    let Some((tag, secret)) = b.element() else { return };
    match tag {
        0x80 => {
            let kind = match (name.is_empty(), secret.is_empty()) {
                (_, false) => "simple",
                (true, true) => "anonymous",
                // RFC 4513 §5.1.2: the server may treat it as anonymous.
                (false, true) => "unauthenticated",
            };
            out.set(AUTH, kind);
            if !secret.is_empty() {
                out.risk(&CLEAR_TEXT_CREDENTIALS, || {
                    format!("ldap.auth=simple ldap.bind_dn={}", String::from_utf8_lossy(name))
                });
            }
        }
        0xa3 => {
            out.set(AUTH, "sasl");
            let mut sasl = Ber::new(secret);
            let Some(mechanism) = sasl.expect(OCTET_STRING) else { return };
            out.set_text(SASL_MECHANISM, mechanism);
            let credentials = sasl.expect(OCTET_STRING).unwrap_or_default();
            let clear = mechanism.eq_ignore_ascii_case(b"PLAIN") || mechanism.eq_ignore_ascii_case(b"LOGIN");
            if clear && !credentials.is_empty() {
                out.risk(&CLEAR_TEXT_CREDENTIALS, || {
                    format!("ldap.sasl_mechanism={}", String::from_utf8_lossy(mechanism))
                });
            }
        }
        // Microsoft's own NTLM bind (MS-ADTS §5.1.1.1.3).
        _ => out.set(AUTH, "sicily"),
    }
}

fn search(mut b: Ber<'_>, out: &mut Sink<'_>) {
    let (Some(base), Some(scope)) = (b.expect(OCTET_STRING), b.expect(ENUMERATED).and_then(ber::uint)) else {
        return;
    };
    out.push(SEARCH_BASE, Value::text(base));
    let scope = ["base", "one", "subtree", "children"].get(scope as usize).copied().unwrap_or("unknown");
    out.push(SEARCH_SCOPE, scope);
    // Aliases, size limit, time limit, types only.
    for _ in 0..4 {
        b.element();
    }
    if out.wants(SEARCH_FILTER)
        && let Some((tag, value)) = b.element()
    {
        out.push(SEARCH_FILTER, Value::from(filter::text(tag, value)));
    }
}

/// `LDAPResult`: keeps the code of a bind, and of anything that failed.
fn result(mut b: Ber<'_>, bind: bool, out: &mut Sink<'_>) -> Option<u64> {
    let code = b.expect(ENUMERATED).and_then(ber::uint)?;
    b.expect(OCTET_STRING)?;
    let diagnostic = b.expect(OCTET_STRING)?;
    // 14 (saslBindInProgress) is a step, no result.
    if code != 14 && (bind || code != 0) {
        out.replace(RESULT_CODE, code);
        out.replace(RESULT, result_name(code));
        if !diagnostic.is_empty() {
            out.set_text(DIAGNOSTIC, diagnostic.get(..256).unwrap_or(diagnostic));
        }
    }
    if let Some(referrals) = b.find(0xa3) {
        let mut referrals = Ber::new(referrals);
        while let Some(uri) = referrals.expect(OCTET_STRING) {
            out.push(REFERRAL, Value::text(uri));
        }
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::build::{int, octets, tlv};
    use crate::testing::{Flow, hex};

    fn message(id: u8, op: u8, parts: &[&[u8]]) -> Vec<u8> {
        tlv(0x30, &[&int(id), &tlv(op, parts)])
    }

    fn result(id: u8, op: u8, code: u8) -> Vec<u8> {
        message(id, op, &[&tlv(0x0a, &[&[code]]), &octets(b""), &octets(b"")])
    }

    fn search(id: u8) -> Vec<u8> {
        let filter = tlv(
            0xa0,
            &[
                &tlv(0xa3, &[&octets(b"objectClass"), &octets(b"person")]),
                &tlv(0xa4, &[&octets(b"cn"), &tlv(0x30, &[&tlv(0x80, &[b"A"]), &tlv(0x82, &[b"e*"])])]),
                &tlv(0xa2, &[&tlv(0x87, &[b"mail"])]),
            ],
        );
        message(
            id,
            0x63,
            &[
                &octets(b"dc=example,dc=org"),
                &tlv(0x0a, &[&[2]]),
                &tlv(0x0a, &[&[0]]),
                &int(0),
                &int(30),
                &tlv(0x01, &[&[0]]),
                &filter,
                &tlv(0x30, &[&octets(b"cn")]),
            ],
        )
    }

    #[test]
    fn a_simple_bind_and_a_search_however_they_are_cut() {
        let bind =
            message(1, 0x60, &[&int(3), &octets(b"cn=admin,dc=example,dc=org"), &tlv(0x80, &[b"hunter2"])]);
        let ask = [bind, search(2), hex("3005020103 4200")].concat();
        let entry = message(2, 0x64, &[&octets(b"cn=Alice,dc=example,dc=org"), &tlv(0x30, &[])]);
        let tell = [result(1, 0x61, 0), entry, result(2, 0x65, 4)].concat();
        let seen = Flow::tcp(389).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Ldap);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(BIND_DN), "cn=admin,dc=example,dc=org");
        assert_eq!(seen.show(AUTH), "simple");
        assert_eq!(seen.show(OPERATIONS), "bind,search,unbind");
        assert_eq!(seen.show(SEARCH_BASE), "dc=example,dc=org");
        assert_eq!(seen.show(SEARCH_SCOPE), "subtree");
        assert_eq!(seen.show(SEARCH_FILTER), "(&(objectClass=person)(cn=A*e\\2a)(!(mail=*)))");
        assert_eq!(seen.show(RESULT), "sizeLimitExceeded");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{:?}", seen.found).contains("hunter2"), "the password is nowhere kept");
    }

    #[test]
    fn anonymous_and_sasl_binds_are_no_clear_text() {
        let anonymous = message(1, 0x60, &[&int(3), &octets(b""), &tlv(0x80, &[])]);
        let seen = Flow::tcp(389).client(&anonymous).server(&result(1, 0x61, 0)).run();
        assert_eq!((seen.show(AUTH), seen.risks().len()), ("anonymous".into(), 0));
        let sasl =
            message(1, 0x60, &[&int(3), &octets(b""), &tlv(0xa3, &[&octets(b"GSS-SPNEGO"), &octets(b"x")])]);
        let wrapped = hex("00000040 05040600");
        let seen = Flow::tcp(389).client(&sasl).server(&result(1, 0x61, 0)).client(&wrapped).run_split();
        assert_eq!((seen.show(SASL_MECHANISM), seen.risks().len()), ("GSS-SPNEGO".into(), 0));
        assert_eq!(seen.show(SASL_LAYER), "true");
        let plain =
            message(1, 0x60, &[&int(3), &octets(b""), &tlv(0xa3, &[&octets(b"PLAIN"), &octets(b"\0a\0b")])]);
        assert_eq!(Flow::tcp(389).client(&plain).run().risks(), ["clear-text-credentials"]);
    }

    #[test]
    fn starttls_only_if_the_server_agrees() {
        let ask = message(7, 0x77, &[&tlv(0x80, &[STARTTLS_OID])]);
        let seen = Flow::tcp(389).client(&ask).server(&result(7, 0x78, 0)).run_split();
        assert_eq!(seen.show(STARTTLS), "true");
        let seen = Flow::tcp(389).client(&ask).server(&result(7, 0x78, 2)).client(&search(8)).run_split();
        assert_eq!(seen.show(STARTTLS), "false");
        assert_eq!(seen.show(RESULT), "protocolError");
        assert_eq!(seen.show(SEARCH_BASE), "dc=example,dc=org", "LDAP goes on");
    }

    #[test]
    fn cldap() {
        let tell = [
            message(
                2,
                0x64,
                &[&octets(b""), &tlv(0x30, &[&tlv(0x30, &[&octets(b"netlogon"), &tlv(0x31, &[])])])],
            ),
            result(2, 0x65, 0),
        ]
        .concat();
        let seen = Flow::udp(389).client(&search(2)).server(&tell).run();
        assert_eq!(seen.protocol, ProtocolId::Ldap);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
    }

    #[test]
    fn an_answer_in_mid_stream_turns_the_ends_round() {
        let tell = result(3, 0x61, 49);
        let probe = crate::testing::probe(Transport::Tcp, &tell);
        assert_eq!(identify(&probe), Verdict::YesReversed);
        // Lengths of four bytes, as Active Directory writes them.
        let wide = hex("3084 00000010 020103 6184 00000007 0a0100 0400 0400");
        assert_eq!(identify(&crate::testing::probe(Transport::Tcp, &wide)), Verdict::YesReversed);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(389).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(unknown(&message(1, 0x6a, &[&int(3)])), "no such operation");
        assert!(unknown(&message(1, 0x60, &[&int(9), &octets(b""), &tlv(0x80, &[])])), "version 9");
        assert!(unknown(&tlv(
            0x30,
            &[&int(1), &tlv(0x60, &[&int(3), &octets(b""), &tlv(0x80, &[])]), b"junk"]
        )));
        // SNMP's first bytes are alike.
        let snmp =
            hex("302902010004067075626c6963a11c02044b781a6e020100020100300e300c06082b060102010105000500");
        assert!(unknown(&snmp));
    }

    #[test]
    fn garbage_after_a_message_is_malformed() {
        let bytes = [search(2), vec![0xff; 8]].concat();
        assert_eq!(Flow::tcp(389).client(&bytes).run_split().risks(), ["malformed-packet"]);
    }
}
