//! Kerberos 5: who asks for a ticket, to what, and with which ciphers.
//!
//! Messages are DER with an application tag of their own (RFC 4120 §5); over TCP a four-byte length stands before each
//! (§7.2.2). What identifies one is the tag, a length that fits to the byte, the version 5 and the message type, which
//! repeats the tag. Encrypted parts stay closed. Not read: FAST armour, PKINIT certificates.

use crate::ber::{self, Ber, Header, SEQUENCE, application, context};
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Value, Verdict, byte,
    fields, masked, risks, tcp, udp,
};

mod names;

use names::{error_name, etype_name};

fields! { ProtocolId::Kerberos;
    MESSAGES: [Str] "messages" "Message types seen: as-req, as-rep, tgs-req, tgs-rep, ap-req, ap-rep, safe, priv, cred, error";
    REALM: Str "realm" "Realm of the client, or the one that is asked";
    CNAME: Str "cname" "Principal of the client";
    SNAME: [Str] "sname" "Principals of the services that tickets are asked for";
    ETYPES: [Str] "etypes" "Encryption types that the client offers, in its order";
    TICKET_ETYPE: Str "ticket_etype" "Encryption type of the ticket that was granted or presented";
    REPLY_ETYPE: Str "reply_etype" "Encryption type of the reply's own part: that of the client's key";
    PREAUTH: Bool "preauth" "The client's AS request carried pre-authentication";
    ERROR_CODE: Uint "error_code" "The last error";
    ERROR: Str "error" "Its name in RFC 4120 §7.5.9";
    ADDRESSES: [Str] "addresses" "NetBIOS names among the addresses that the client binds the ticket to";
}

risks! {
    WEAK_ETYPE: Medium Both "kerberos-weak-encryption" "A ticket or reply is encrypted with DES, triple DES or RC4, or the client offers nothing better: it can be cracked off line (RFC 6649, RFC 8429). Harmless only where the principal's key is random and long.";
    NO_PREAUTH: Medium Server "kerberos-no-preauth" "The KDC answered an AS request that carried no pre-authentication: anybody can ask for this principal's reply and crack its password off line. Found only where the request was seen too.";
}

/// Kerberos 5.
pub const PROTOCOL: Protocol = Protocol {
    name: "kerberos",
    title: "Kerberos 5",
    family: Family::Identity,
    source: "RFC 4120",
    ports: &[tcp(88), udp(88)],
    well_known: true,
    patterns: &[
        // [APPLICATION 8..15], [APPLICATION 20..23], [APPLICATION 30]; lengths from 128 on take a byte or two more.
        Pattern::udp().min(131).tests(&[masked(0, 0xf8, 0x68), masked(1, 0xfc, 0x80)]),
        Pattern::udp().min(131).tests(&[masked(0, 0xfc, 0x74), masked(1, 0xfc, 0x80)]),
        Pattern::udp().min(131).tests(&[byte(0, 0x7e), masked(1, 0xfc, 0x80)]),
        Pattern::udp().len(20, 129).tests(&[masked(0, 0xf8, 0x68), byte(2, 0x30)]),
        Pattern::udp().len(20, 129).tests(&[masked(0, 0xfc, 0x74), byte(2, 0x30)]),
        Pattern::udp().len(20, 129).tests(&[byte(0, 0x7e), byte(2, 0x30)]),
        Pattern::tcp().min(5).tests(&[byte(0, 0), masked(1, 0xf0, 0), masked(4, 0xf8, 0x68)]),
        Pattern::tcp().min(5).tests(&[byte(0, 0), masked(1, 0xf0, 0), masked(4, 0xfc, 0x74)]),
        Pattern::tcp().min(5).tests(&[byte(0, 0), masked(1, 0xf0, 0), byte(4, 0x7e)]),
        // A segment with nothing but the length.
        Pattern::tcp().len(1, 4).tests(&[byte(0, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Kerberos::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// A message larger than this is skipped, not read.
const MESSAGE_MAX: usize = 60 * 1024;
/// After this many messages of a flow nothing new is expected.
const MESSAGES_MAX: u32 = 16;
/// Stands in for a list that is missing.
const EMPTY: Ber<'static> = Ber::new(&[]);
/// Lists within a message are read this far.
const ITEMS_MAX: usize = 32;

/// The tags of whole messages are their message types.
fn message(tag: u8) -> Option<(&'static str, Option<Dir>)> {
    Some(match tag.wrapping_sub(0x60) {
        10 => ("as-req", Some(Dir::Client)),
        11 => ("as-rep", Some(Dir::Server)),
        12 => ("tgs-req", Some(Dir::Client)),
        13 => ("tgs-rep", Some(Dir::Server)),
        14 => ("ap-req", Some(Dir::Client)),
        15 => ("ap-rep", Some(Dir::Server)),
        20 => ("safe", None),
        21 => ("priv", None),
        22 => ("cred", None),
        30 => ("error", Some(Dir::Server)),
        _ => return None,
    })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let body = if p.transport == Transport::Tcp {
        let Some((length, rest)) = p.payload.split_first_chunk::<4>() else { return Verdict::Need(4) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(16..1 << 20).contains(&length) {
            return Verdict::No;
        }
        match plausible(rest, Some(length)) {
            None => return if rest.len() < 24 { Verdict::Need(28) } else { Verdict::No },
            Some(false) => return Verdict::No,
            Some(true) => rest,
        }
    } else {
        if plausible(p.payload, p.whole.then_some(p.payload.len())) != Some(true) {
            return Verdict::No;
        }
        p.payload
    };
    match body.first().and_then(|tag| message(*tag)) {
        Some((_, Some(sender))) if sender != p.dir => Verdict::YesReversed,
        Some(_) => Verdict::Yes,
        None => Verdict::No,
    }
}

/// True if the message starts with a consistent head: tag, lengths, `pvno` 5, `msg-type` equal to the tag. `None` if
/// it is too short to tell.
fn plausible(bytes: &[u8], total: Option<usize>) -> Option<bool> {
    let tag = *bytes.first()?;
    if message(tag).is_none() {
        return Some(false);
    }
    let outer = match ber::header(bytes) {
        Header::Whole { head, len, .. } => (head, len),
        Header::Need(_) => return None,
        Header::Bad => return Some(false),
    };
    let inner = match ber::header(&bytes[outer.0.min(bytes.len())..]) {
        Header::Whole { tag: SEQUENCE, head, len } => (head, len),
        Header::Need(_) => return None,
        _ => return Some(false),
    };
    if total.is_some_and(|n| n != outer.0 + outer.1) || inner.0 + inner.1 != outer.1 {
        return Some(false);
    }
    let head = bytes.get(outer.0 + inner.0..outer.0 + inner.0 + 10)?;
    // KDC requests number their members from [1], all others from [0].
    let first = if matches!(tag, 0x6a | 0x6c) { 0xa1 } else { 0xa0 };
    Some(head == [first, 3, 2, 1, 5, first + 1, 3, 2, 1, tag & 0x1f])
}

#[derive(Default)]
struct Kerberos {
    messages: u32,
    /// An AS request without pre-authentication awaits its answer.
    bare_as_req: bool,
    seen: [bool; 2],
}

impl Parser for Kerberos {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Step::Need(4) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MESSAGE_MAX {
            if !self.seen[dir.index()] {
                return Step::Done;
            }
            return Step::Skip(4 + length as u64);
        }
        let Some(body) = rest.get(..length).filter(|b| !b.is_empty()) else {
            return if length == 0 { Step::Consumed(4) } else { Step::Need(4 + length) };
        };
        if self.message(dir, body, out).is_none() {
            return self.broken(dir);
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Consumed(4 + length) }
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.message(dir, bytes, out).is_none() {
            return self.broken(dir);
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

impl Kerberos {
    /// A direction picked up in mid-stream starts with anything: that isn't Kerberos' fault.
    fn broken(&self, dir: Dir) -> Step {
        if self.seen[dir.index()] { Step::Malformed(0) } else { Step::Done }
    }

    fn message(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let (tag, value) = Ber::new(bytes).element()?;
        let (name, _) = message(tag)?;
        let body = Ber::new(value).within(SEQUENCE)?;
        self.messages += 1;
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        out.push(MESSAGES, name);
        match name {
            "as-req" | "tgs-req" => self.request(name, body, out),
            "as-rep" | "tgs-rep" => self.reply(name, body, out),
            "ap-req" => {
                let mut body = body;
                ticket(body.find(context(3)).unwrap_or_default(), out);
            }
            "error" => error(body, out),
            _ => {}
        }
        Some(())
    }

    fn request(&mut self, name: &str, mut body: Ber<'_>, out: &mut Sink<'_>) {
        let mut preauth = false;
        while let Some((tag, value)) = body.element() {
            match tag {
                0xa3 => {
                    let mut padata = Ber::new(value).within(SEQUENCE).unwrap_or(EMPTY);
                    for _ in 0..ITEMS_MAX {
                        let Some(mut pa) = padata.within(SEQUENCE) else { break };
                        let kind = pa.find(context(1)).and_then(|v| Ber::new(v).expect(ber::INTEGER));
                        // PA-ENC-TIMESTAMP, PA-PK-AS-REQ (old and new), PA-FX-FAST, PA-ENCRYPTED-CHALLENGE.
                        preauth |= matches!(kind.and_then(ber::uint), Some(2 | 14 | 16 | 136 | 138));
                    }
                }
                0xa4 => {
                    if let Some(body) = Ber::new(value).within(SEQUENCE) {
                        request_body(body, out);
                    }
                }
                _ => {}
            }
        }
        if name == "as-req" {
            self.bare_as_req = !preauth;
            out.replace(PREAUTH, preauth);
        }
    }

    fn reply(&mut self, name: &str, mut body: Ber<'_>, out: &mut Sink<'_>) {
        while let Some((tag, value)) = body.element() {
            match tag {
                0xa3 => out.set_text(REALM, string(value)),
                0xa4 => {
                    if let Some(name) = principal(value) {
                        out.set(CNAME, name);
                    }
                }
                0xa5 => ticket(value, out),
                0xa6 => {
                    if let Some(etype) = encrypted(Ber::new(value)) {
                        out.set(REPLY_ETYPE, etype_name(etype));
                        weak(etype, "kerberos.reply_etype", out);
                    }
                }
                _ => {}
            }
        }
        if name == "as-rep" && self.bare_as_req {
            let cname = out.found.text(CNAME).unwrap_or_default().to_owned();
            out.risk(&NO_PREAUTH, || format!("kerberos.preauth=false kerberos.cname={cname}"));
        }
    }
}

/// `KDC-REQ-BODY`
fn request_body(mut body: Ber<'_>, out: &mut Sink<'_>) {
    while let Some((tag, value)) = body.element() {
        match tag {
            0xa1 => {
                if let Some(name) = principal(value) {
                    out.set(CNAME, name);
                }
            }
            0xa2 => out.set_text(REALM, string(value)),
            0xa3 => {
                if let Some(name) = principal(value) {
                    out.push(SNAME, Value::Str(name.into()));
                }
            }
            0xa8 => offered(value, out),
            0xa9 => addresses(value, out),
            _ => {}
        }
    }
}

fn offered(value: &[u8], out: &mut Sink<'_>) {
    let mut list = Ber::new(value).within(SEQUENCE).unwrap_or(EMPTY);
    let (mut strong, mut weakest) = (false, None);
    for _ in 0..ITEMS_MAX {
        let Some(etype) = list.expect(ber::INTEGER).and_then(ber::int) else { break };
        out.push(ETYPES, etype_name(etype));
        if is_weak(etype) {
            weakest = weakest.or(Some(etype));
        } else {
            strong = true;
        }
    }
    if let (false, Some(etype)) = (strong, weakest) {
        weak(etype, "kerberos.etypes", out);
    }
}

/// `HostAddresses`: Windows puts its NetBIOS name (type 20) there.
fn addresses(value: &[u8], out: &mut Sink<'_>) {
    let mut list = Ber::new(value).within(SEQUENCE).unwrap_or(EMPTY);
    for _ in 0..ITEMS_MAX {
        let Some(mut address) = list.within(SEQUENCE) else { break };
        let kind = address.find(context(0)).and_then(|v| Ber::new(v).uint());
        let name = address.find(context(1)).and_then(|v| Ber::new(v).expect(ber::OCTET_STRING));
        if let (Some(20), Some(name)) = (kind, name) {
            out.push(ADDRESSES, Value::text(name.trim_ascii_end()));
        }
    }
}

/// `Ticket`
fn ticket(value: &[u8], out: &mut Sink<'_>) {
    let Some(mut body) = Ber::new(value).within(application(1)).and_then(|mut t| t.within(SEQUENCE)) else {
        return;
    };
    while let Some((tag, value)) = body.element() {
        match tag {
            0xa1 => out.set_text(REALM, string(value)),
            0xa2 => {
                if let Some(name) = principal(value) {
                    out.push(SNAME, Value::Str(name.into()));
                }
            }
            0xa3 => {
                if let Some(etype) = encrypted(Ber::new(value)) {
                    out.set(TICKET_ETYPE, etype_name(etype));
                    weak(etype, "kerberos.ticket_etype", out);
                }
            }
            _ => {}
        }
    }
}

fn error(mut body: Ber<'_>, out: &mut Sink<'_>) {
    while let Some((tag, value)) = body.element() {
        match tag {
            0xa6 => {
                if let Some(code) = Ber::new(value).uint() {
                    out.replace(ERROR_CODE, code);
                    out.replace(ERROR, error_name(code));
                }
            }
            0xa7 => out.set_text(REALM, string(value)),
            0xa8 => {
                if let Some(name) = principal(value) {
                    out.set(CNAME, name);
                }
            }
            0xa9 => out.set_text(REALM, string(value)),
            0xaa => {
                if let Some(name) = principal(value) {
                    out.push(SNAME, Value::Str(name.into()));
                }
            }
            _ => {}
        }
    }
}

/// The one string in an explicit tag; old implementations use other string types than GeneralString.
fn string(value: &[u8]) -> &[u8] {
    Ber::new(value).element().map(|(_, text)| text).unwrap_or_default()
}

/// `PrincipalName`: its parts with `/` between them.
fn principal(value: &[u8]) -> Option<String> {
    let mut name = Ber::new(value).within(SEQUENCE)?;
    let mut parts = Ber::new(name.find(context(1))?).within(SEQUENCE)?;
    let mut text = String::new();
    for _ in 0..ITEMS_MAX {
        let Some((_, part)) = parts.element() else { break };
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(&String::from_utf8_lossy(part));
    }
    (!text.is_empty()).then_some(text)
}

/// The encryption type of an `EncryptedData`.
fn encrypted(mut value: Ber<'_>) -> Option<i32> {
    let mut data = value.within(SEQUENCE)?;
    Ber::new(data.find(context(0))?).expect(ber::INTEGER).and_then(ber::int)
}

fn weak(etype: i32, field: &str, out: &mut Sink<'_>) {
    if is_weak(etype) {
        out.risk(&WEAK_ETYPE, || format!("{field}={}", etype_name(etype)));
    }
}

/// DES (RFC 6649), triple DES and RC4 (RFC 8429), and Microsoft's older RC4 variants.
fn is_weak(etype: i32) -> bool {
    matches!(etype, 1 | 2 | 3 | 5 | 7 | 16 | 23 | 24 | -135..=-128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::build::{int, octets, tlv};
    use crate::testing::Flow;

    fn principal(kind: u8, parts: &[&str]) -> Vec<u8> {
        let parts: Vec<u8> = parts.iter().flat_map(|p| tlv(0x1b, &[p.as_bytes()])).collect();
        tlv(0x30, &[&tlv(0xa0, &[&int(kind)]), &tlv(0xa1, &[&tlv(0x30, &[&parts])])])
    }

    fn request(tag: u8, padata: &[u8], etypes: &[u8]) -> Vec<u8> {
        let etypes: Vec<u8> = etypes.iter().flat_map(|e| int(*e)).collect();
        let body = tlv(
            0x30,
            &[
                &tlv(0xa0, &[&tlv(0x03, &[&[0, 0x40, 0x81, 0, 0x10]])]),
                &tlv(0xa1, &[&principal(1, &["alice"])]),
                &tlv(0xa2, &[&tlv(0x1b, &[b"EXAMPLE.ORG"])]),
                &tlv(0xa3, &[&principal(2, &["krbtgt", "EXAMPLE.ORG"])]),
                &tlv(0xa5, &[&tlv(0x18, &[b"20370913024805Z"])]),
                &tlv(0xa7, &[&tlv(0x02, &[&[1, 2, 3, 4]])]),
                &tlv(0xa8, &[&tlv(0x30, &[&etypes])]),
                &tlv(
                    0xa9,
                    &[&tlv(
                        0x30,
                        &[&tlv(
                            0x30,
                            &[&tlv(0xa0, &[&int(20)]), &tlv(0xa1, &[&octets(b"WS01            ")])],
                        )],
                    )],
                ),
            ],
        );
        let mut members = vec![tlv(0xa1, &[&int(5)]), tlv(0xa2, &[&int(tag - 0x60)])];
        if !padata.is_empty() {
            members.push(tlv(0xa3, &[&tlv(0x30, &[padata])]));
        }
        members.push(tlv(0xa4, &[&body]));
        tlv(tag, &[&tlv(0x30, &[&members.concat()])])
    }

    fn padata(kind: u8) -> Vec<u8> {
        tlv(0x30, &[&tlv(0xa1, &[&int(kind)]), &tlv(0xa2, &[&octets(b"xxxx")])])
    }

    fn encrypted(etype: u8) -> Vec<u8> {
        tlv(0x30, &[&tlv(0xa0, &[&int(etype)]), &tlv(0xa2, &[&octets(&[7; 80])])])
    }

    fn reply(tag: u8, ticket_etype: u8, etype: u8) -> Vec<u8> {
        let ticket = tlv(
            0x61,
            &[&tlv(
                0x30,
                &[
                    &tlv(0xa0, &[&int(5)]),
                    &tlv(0xa1, &[&tlv(0x1b, &[b"EXAMPLE.ORG"])]),
                    &tlv(0xa2, &[&principal(2, &["krbtgt", "EXAMPLE.ORG"])]),
                    &tlv(0xa3, &[&encrypted(ticket_etype)]),
                ],
            )],
        );
        tlv(
            tag,
            &[&tlv(
                0x30,
                &[
                    &tlv(0xa0, &[&int(5)]),
                    &tlv(0xa1, &[&int(tag - 0x60)]),
                    &tlv(0xa3, &[&tlv(0x1b, &[b"EXAMPLE.ORG"])]),
                    &tlv(0xa4, &[&principal(1, &["alice"])]),
                    &tlv(0xa5, &[&ticket]),
                    &tlv(0xa6, &[&encrypted(etype)]),
                ],
            )],
        )
    }

    fn refusal(code: u8) -> Vec<u8> {
        tlv(
            0x7e,
            &[&tlv(
                0x30,
                &[
                    &tlv(0xa0, &[&int(5)]),
                    &tlv(0xa1, &[&int(30)]),
                    &tlv(0xa4, &[&tlv(0x18, &[b"20240101000000Z"])]),
                    &tlv(0xa5, &[&int(1)]),
                    &tlv(0xa6, &[&int(code)]),
                    &tlv(0xa9, &[&tlv(0x1b, &[b"EXAMPLE.ORG"])]),
                    &tlv(0xaa, &[&principal(2, &["krbtgt", "EXAMPLE.ORG"])]),
                ],
            )],
        )
    }

    fn framed(message: Vec<u8>) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes()[..], &message].concat()
    }

    #[test]
    fn a_login_over_tcp_however_it_is_cut() {
        let ask = [
            framed(request(0x6a, &padata(128), &[18, 17, 23])),
            framed(request(0x6a, &padata(2), &[18, 17, 23])),
        ]
        .concat();
        let tell = [framed(refusal(25)), framed(reply(0x6b, 18, 18))].concat();
        let seen = Flow::tcp(88).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Kerberos);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(MESSAGES), "as-req,error,as-rep");
        assert_eq!(seen.show(CNAME), "alice");
        assert_eq!(seen.show(REALM), "EXAMPLE.ORG");
        assert_eq!(seen.show(SNAME), "krbtgt/EXAMPLE.ORG");
        assert_eq!(seen.show(ETYPES), "aes256-cts-hmac-sha1-96,aes128-cts-hmac-sha1-96,rc4-hmac");
        assert_eq!(seen.show(ERROR), "KDC_ERR_PREAUTH_REQUIRED");
        assert_eq!(seen.show(PREAUTH), "true");
        assert_eq!(seen.show(TICKET_ETYPE), "aes256-cts-hmac-sha1-96");
        assert_eq!(seen.show(ADDRESSES), "WS01");
        assert!(seen.risks().is_empty(), "{:?}", seen.risks());
    }

    #[test]
    fn rc4_and_no_preauth_are_risks() {
        let (ask, tell) = (request(0x6a, &[], &[18, 23]), reply(0x6b, 18, 23));
        let seen = Flow::udp(88).client(&ask).server(&tell).run();
        assert_eq!(seen.risks(), ["kerberos-weak-encryption", "kerberos-no-preauth"]);
        assert_eq!(&*seen.found.risks[0].evidence, "kerberos.reply_etype=rc4-hmac");
        // A ticket request has no pre-authentication of this sort, and offering RC4 last is no risk.
        let (ask, tell) = (request(0x6c, &[], &[18, 23]), reply(0x6d, 18, 18));
        assert!(Flow::udp(88).client(&ask).server(&tell).run().risks().is_empty());
        // Offering nothing but RC4 is.
        let ask = request(0x6c, &[], &[23]);
        assert_eq!(Flow::udp(88).client(&ask).run().risks(), ["kerberos-weak-encryption"]);
    }

    #[test]
    fn a_reply_from_the_presumed_client_is_reversed() {
        let tell = reply(0x6b, 18, 18);
        let probe = crate::testing::probe(Transport::Udp, &tell);
        assert_eq!(identify(&probe), Verdict::YesReversed);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let ask = request(0x6a, &padata(2), &[18]);
        let mut version = ask.clone();
        let at = version.windows(5).position(|w| w == [0xa1, 3, 2, 1, 5]).unwrap();
        version[at + 4] = 4;
        assert_eq!(Flow::udp(88).client(&version).run().protocol, ProtocolId::Unknown);
        let mut kind = ask.clone();
        kind[0] = 0x6c; // tag and msg-type disagree
        assert_eq!(Flow::udp(88).client(&kind).run().protocol, ProtocolId::Unknown);
        assert_eq!(Flow::udp(88).client(&ask[..ask.len() - 1]).run().protocol, ProtocolId::Unknown);
        let mut long = framed(ask);
        long[3] += 1;
        assert_eq!(Flow::tcp(88).client(&long).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn a_broken_second_message_is_malformed() {
        let mut bytes = framed(request(0x6a, &[], &[18]));
        bytes.extend(framed(vec![0xff; 20]));
        let seen = Flow::tcp(88).client(&bytes).run_split();
        assert_eq!(seen.risks(), ["malformed-packet"]);
    }
}
