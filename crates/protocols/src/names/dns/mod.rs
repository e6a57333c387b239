//! Domain Name System over UDP and TCP (RFC 1035 and what came after it).
//!
//! Over UDP a message is a datagram; over TCP a two-byte length precedes it. The message has no magic: it is known by
//! a header whose bits and counts make sense for a query or a response, a question with a known type and class, and,
//! away from port 53, by names and records that end exactly where the message does. mDNS and LLMNR carry the same
//! messages and fill the same fields, `dns.*`; their files only say how to tell them apart.
//!
//! Every message of a flow is read, whether or not transactions are wanted: its addresses name other flows
//! ([`Fact::Named`](crate::Fact)). `message` reads the format, `rdata` and `edns` what records hold, `measure` and
//! `idn` judge names, `parser` puts it together.
//!
//! Limits: answers beyond 64 a flow and long data are cut in the text forms; transactions are paired by id and name
//! within a flow, at most 32 at a time; DNSSEC signatures are not checked.

pub mod codes;
pub mod edns;
pub mod idn;
pub mod measure;
pub mod message;
mod parser;
pub mod rdata;

use crate::{
    Dir, Family, Pattern, Probe, Protocol, ProtocolId, Transport, Verdict, byte, fields, masked, risks, tcp,
    udp,
};
use message::{Header, Reader, Trouble};
pub(crate) use parser::idn_risks;
pub(in crate::names) use parser::{Flavour, Messages};

fields! { ProtocolId::Dns;
    ID: Uint "id" "Transaction id";
    OPCODE: Str "opcode" "query, notify, update …";
    QUERY: [Str] "query" "Names that were asked for, lower case";
    QTYPE: [Str] "qtype" "Types that were asked for: A, AAAA, HTTPS …";
    QTYPE_CODE: Uint "qtype_code" "Number of the first type that was asked for";
    QCLASS: Str "qclass" "Class that was asked for: IN, CH …";
    QCLASS_CODE: Uint "qclass_code" "Number of the class that was asked for";
    RCODE: Str "rcode" "Response code of the first response: NOERROR, NXDOMAIN …";
    RCODE_CODE: Uint "rcode_code" "Number of the response code, with EDNS's upper bits";
    AA: Bool "aa" "The answer is authoritative";
    TC: Bool "tc" "The response was cut short";
    RD: Bool "rd" "Recursion is desired";
    RA: Bool "ra" "Recursion is available";
    AD: Bool "ad" "The server says that it validated the data (RFC 4035)";
    CD: Bool "cd" "The client wants no validation (RFC 4035)";
    Z: Uint "z" "The three bits that RFC 1035 reserves, of which two became AD and CD";
    ANSWERS: [Str] "answers" "Data of the records in the answer sections, as in zone files";
    TTLS: [Uint] "ttls" "Their times to live in seconds";
    ANSWER_COUNT: Uint "answer_count" "Records in the first response's answer section";
    ADDRESSES: [Ip] "addresses" "Addresses in the answers";
    CNAMES: [Str] "cnames" "Names that the answers say are the canonical ones";
    RTT: Float "rtt" "Seconds from the first query to its response";
    REJECTED: Bool "rejected" "The response has an error and no answer";
    EDNS_VERSION: Uint "edns_version" "EDNS version (RFC 6891)";
    EDNS_SIZE: Uint "edns_size" "Largest UDP message that the sender takes, in bytes";
    EDNS_DO: Bool "edns_do" "DNSSEC records are wanted";
    CLIENT_SUBNET: Str "client_subnet" "EDNS client subnet (RFC 7871)";
    COOKIE: Bytes "cookie" "EDNS cookie (RFC 7873)";
    NSID: Str "nsid" "Name of the server's instance (RFC 5001)";
    PADDING: Uint "padding" "Bytes of EDNS padding in the first message that has any (RFC 7830)";
    KEEPALIVE: Uint "keepalive" "Idle time-out that the server names, in units of 100 ms (RFC 7828)";
    EDE: [Str] "ede" "Extended DNS Errors (RFC 8914)";
    SVC_ALPN: [Str] "svc_alpn" "Protocols that SVCB and HTTPS records announce (RFC 9460)";
    SVC_ECH: Bool "svc_ech" "An SVCB or HTTPS record announces Encrypted Client Hello";
}

risks! {
    DGA_NAME: Medium Client "dga-name" "A registered name looks generated: 10 characters or more whose letter pairs cost over 5.6 bits on average by the table in names/dns/measure.rs, or 16 hexadecimal digits or more. Malware finds its servers so; a few services and trackers have such names too.";
    DNS_TUNNEL: Medium Client "dns-tunnel" "Queries look like they carry data: one with 52 bytes of encoded labels, three different ones with 24 each in a flow, or type NULL. The measure is in names/dns/measure.rs. Look-ups of file hashes by security products do the same.";
    DNS_LARGE_PACKET: Low Server "dns-large-packet" "A UDP message is larger than its receiver said it takes (512 bytes without EDNS), or than 4,096 bytes: used to amplify floods and to carry data. Harmless for signed zones behind old clients.";
    DNS_MISMATCH: Medium Server "dns-mismatch" "A response has the query's id but answers another question: spoofed, or from a broken server.";
    ERROR_CODE: Low Server "error-code" "The server answered with an error.";
    IDN_NAME: Low Both "idn-name" "A name is internationalised (Punycode). Ordinary for names in other scripts; the evidence shows how it looks.";
    IDN_HOMOGRAPH: Medium Server "idn-homograph" "An internationalised name mixes Latin letters with Cyrillic or Greek ones, or consists of letters that look Latin: it may pass itself off as another.";
    INVALID_CHARACTERS: Low Client "invalid-characters" "A host name holds characters that host names don't have (RFC 952, RFC 1123). Seen with tunnels, scanners and wrongly set-up clients.";
}

/// Domain Name System.
pub const PROTOCOL: Protocol = Protocol {
    name: "dns",
    title: "Domain Name System",
    family: Family::Names,
    source: "RFC 1035, 2181, 2308, 3596, 4034, 5155, 6891, 7766, 7871, 7873, 8914, 9460",
    ports: &[udp(53), tcp(53)],
    well_known: true,
    patterns: &[
        // Opcodes 0, 1, 4 and 5, and fewer than 256 of everything.
        Pattern::udp().min(12).tests(&[masked(2, 0x50, 0), byte(4, 0), byte(6, 0), byte(8, 0), byte(10, 0)]),
        Pattern::tcp().min(14).tests(&[masked(4, 0x50, 0), byte(6, 0), byte(8, 0), byte(10, 0), byte(12, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Messages::new(Flavour::Dns))),
    fields: FIELDS,
    risks: RISKS,
    idle_timeout_s: Some(10),
    ..Protocol::BASE
};

/// A first message over TCP that is longer is judged by its beginning.
const TCP_WAIT_MAX: usize = 2048;

fn identify(p: &Probe<'_>) -> Verdict {
    let home = p.port(53);
    if !home && p.transport == Transport::Udp && [137, 5353, 5355].iter().any(|port| p.port(*port)) {
        return Verdict::No;
    }
    let (message, whole) = if p.transport == Transport::Tcp {
        match tcp_message(p.payload, home) {
            Ok(found) => found,
            Err(verdict) => return verdict,
        }
    } else {
        (p.payload, p.whole)
    };
    let Some(header) = Header::read(message) else { return Verdict::No };
    if plausible(&header, home) && sound(message, &header, home, whole) {
        let reversed = header.is_response() == (p.dir == Dir::Client);
        return if reversed { Verdict::YesReversed } else { Verdict::Yes };
    }
    Verdict::No
}

/// The first message of a stream, and whether it is all there. Waits for the rest only if header and question make
/// sense: what one protocol waits for, the others wait for too.
pub(in crate::names) fn tcp_message(payload: &[u8], home: bool) -> Result<(&[u8], bool), Verdict> {
    let Some((length, rest)) = payload.split_first_chunk() else { return Err(Verdict::Need(2)) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < message::HEADER_BYTES {
        return Err(Verdict::No);
    }
    if let Some(message) = rest.get(..length) {
        return Ok((message, true));
    }
    let Some(header) = Header::read(rest) else { return Err(Verdict::Need(2 + message::HEADER_BYTES)) };
    if !plausible(&header, home) {
        return Err(Verdict::No);
    }
    if header.counts[0] > 0 {
        match Reader::new(rest).question() {
            Ok(q)
                if codes::class_name(q.qclass).is_some() && (home || codes::type_name(q.qtype).is_some()) => {
            }
            // A name has at most 255 bytes: this goes on for long only if the message does.
            Err(Trouble::Short) => return Err(Verdict::Need(payload.len() + 1)),
            _ => return Err(Verdict::No),
        }
    }
    if rest.len() >= TCP_WAIT_MAX {
        Ok((rest, false))
    } else {
        Err(Verdict::Need(2 + length.min(TCP_WAIT_MAX)))
    }
}

/// Does the header make sense? At home notifies, updates and unusual flags are taken too.
fn plausible(header: &Header, home: bool) -> bool {
    let [questions, answers, authorities, additionals] = header.counts;
    let (opcode, response) = (header.opcode(), header.is_response());
    if header.flags & 0x40 != 0 && !home || header.rcode() > 11 {
        return false;
    }
    match opcode {
        0 if response => questions == 1 || (questions == 0 && (home || answers > 0)),
        0 => {
            questions == 1
                && answers == 0
                && authorities <= 1
                && additionals <= 2
                && (home || (header.rcode() == 0 && header.flags & 0x0680 == 0))
        }
        4 | 5 => home && questions <= 1,
        _ => false,
    }
}

/// Does what follows the header make sense?
fn sound(message: &[u8], header: &Header, home: bool, whole: bool) -> bool {
    let mut reader = Reader::new(message);
    if header.counts[0] == 0 {
        // An error without its question, or the later messages of a zone transfer.
        return message::walk(message) == Ok(message.len()) && (home || header.counts[1] > 0);
    }
    let Ok(question) = reader.question() else { return false };
    let class = codes::class_name(question.qclass).is_some();
    if home {
        // The rest may be broken: it is DNS all the same.
        return class && question.qtype != 0;
    }
    // NetBIOS names look like this, and have types with the same numbers.
    let netbios = question
        .name
        .labels()
        .next()
        .is_some_and(|l| l.len() == 32 && l.iter().all(|b| matches!(b, b'A'..=b'P')));
    let printable = question.name.labels().flatten().all(|b| (0x21..0x7f).contains(b));
    let end = message::walk(message);
    class
        && !netbios
        && printable
        && codes::type_name(question.qtype).is_some()
        && (end == Ok(message.len()) || (!whole && end == Err(Trouble::Short)))
}

#[cfg(test)]
mod tests;
