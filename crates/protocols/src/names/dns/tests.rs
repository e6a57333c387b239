use std::net::IpAddr;

use super::*;
use crate::testing::{Flow, Seen, hex};
use crate::{Confidence, Fact, Wanted, common};

/// A name on the wire.
fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|l| !l.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn query(id: u16, host: &str, qtype: u16) -> Vec<u8> {
    let mut m = id.to_be_bytes().to_vec();
    m.extend(hex("0100 0001 0000 0000 0000"));
    m.extend(name(host));
    m.extend(qtype.to_be_bytes());
    m.extend([0, 1]);
    m
}

/// The response to a query, with these records (each with `c00c` or a name of its own).
fn response(query: &[u8], flags: u16, records: &[&str]) -> Vec<u8> {
    let mut m = query.to_vec();
    m[2..4].copy_from_slice(&flags.to_be_bytes());
    m[7] = records.len() as u8;
    records.iter().for_each(|r| m.extend(hex(r)));
    m
}

fn tcp_framed(messages: &[&[u8]]) -> Vec<u8> {
    messages.iter().flat_map(|m| [&(m.len() as u16).to_be_bytes()[..], m].concat()).collect()
}

const CNAME_WWW: &str = "c00c 0005 0001 0000003c 0006 03777777 c010";
const A_ANSWER: &str = "c029 0001 0001 0000001e 0004 c0000201";

fn lookup() -> (Vec<u8>, Vec<u8>) {
    let q = query(0x1234, "web.example.com", 1);
    // The CNAME's data stands at 12 + 17 + 4 + 12 = 45: www.example.com; the address belongs to it.
    let r = response(&q, 0x8180, &[CNAME_WWW, "c02d 0001 0001 0000001e 0004 c0000201"]);
    (q, r)
}

#[test]
fn a_query_and_its_answer() {
    let (q, r) = lookup();
    let seen = Flow::udp(53).client(&q).server(&r).run();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Dns, Confidence::Handshake));
    for (field, value) in [
        (common::HOSTNAME, "web.example.com"),
        (QUERY, "web.example.com"),
        (QTYPE, "A"),
        (QCLASS, "IN"),
        (ID, "4660"),
        (RCODE, "NOERROR"),
        (RD, "true"),
        (RA, "true"),
        (AA, "false"),
        (TC, "false"),
        (ANSWERS, "www.example.com,192.0.2.1"),
        (TTLS, "60,30"),
        (ANSWER_COUNT, "2"),
        (ADDRESSES, "192.0.2.1"),
        (CNAMES, "www.example.com"),
        (RTT, "0"),
        (REJECTED, "false"),
    ] {
        assert_eq!(seen.show(field), value, "{}", field.field().name);
    }
    // The address is called by the name that was asked for, not by its alias.
    let fact = Fact::Named { name: "web.example.com".into(), addresses: vec![IpAddr::from([192, 0, 2, 1])] };
    assert_eq!(seen.facts, [fact]);
    assert!(seen.risks().is_empty());
}

#[test]
fn a_transaction_in_terms_of_zeek() {
    let (q, r) = lookup();
    let seen =
        Flow::udp(53).client(&q).client(&q).server(&r).client(&query(9, "later.example.com", 28)).run();
    assert_eq!(seen.events.len(), 2);
    let value = |n: usize, field| {
        let event: &crate::Event = &seen.events[n];
        event.fields.iter().find(|(f, _)| *f == field).map(|(_, v)| v.to_string()).unwrap_or_default()
    };
    assert_eq!(seen.events[0].kind, "dns");
    for (field, text) in [
        (ID, "4660"),
        (QUERY, "web.example.com"),
        (QTYPE_CODE, "1"),
        (QTYPE, "A"),
        (QCLASS_CODE, "1"),
        (QCLASS, "IN"),
        (RCODE_CODE, "0"),
        (RCODE, "NOERROR"),
        (AA, "false"),
        (TC, "false"),
        (RD, "true"),
        (RA, "true"),
        (Z, "0"),
        (ANSWERS, "www.example.com,192.0.2.1"),
        (TTLS, "60,30"),
        (REJECTED, "false"),
        (RTT, "0"),
    ] {
        assert_eq!(value(0, field), text, "{}", field.field().name);
    }
    // One without an answer comes at the end of the flow.
    assert_eq!((value(1, QUERY).as_str(), value(1, RCODE).as_str()), ("later.example.com", ""));
}

#[test]
fn facts_come_when_nothing_else_is_wanted() {
    let (q, r) = lookup();
    let seen = Flow::udp(53).client(&q).server(&r).run_wanting(&Wanted::none());
    assert_eq!(seen.facts.len(), 1);
    assert!(seen.events.is_empty() && seen.found.fields.is_empty());
}

#[test]
fn over_tcp_split_anywhere() {
    let (q, r) = lookup();
    let q2 = query(7, "b.example.com", 28);
    let r2 = response(&q2, 0x8180, &["c00c 001c 0001 0000003c 0010 20010db8000000000000000000000001"]);
    let (client, server) = (tcp_framed(&[&q, &q2]), tcp_framed(&[&r, &r2]));
    let seen = Flow::tcp(53).client(&client).server(&server).run_split();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Dns, Confidence::Handshake));
    assert_eq!(seen.show(QUERY), "web.example.com,b.example.com");
    assert_eq!(seen.facts.len(), 2);
    assert_eq!(seen.events.len(), 2);
}

#[test]
fn the_response_alone() {
    let (_, r) = lookup();
    let seen = Flow::udp(53).server(&r).run();
    assert_eq!(seen.protocol, ProtocolId::Dns);
    assert_eq!(seen.show(common::HOSTNAME), "web.example.com");
    assert_eq!((seen.facts.len(), seen.events.len()), (1, 1));
    let probe = Probe { payload: &r, ..crate::testing::probe(Transport::Udp, &r) };
    assert_eq!(identify(&probe), Verdict::YesReversed);
}

#[test]
fn others_need_not_wait_for_what_cannot_be_dns() {
    // The beginning of an ONC RPC record, which is long if it were DNS.
    let rpc = hex("80000080 12005678 00000000 00000002 000186a3");
    let verdict = |n: usize| identify(&crate::testing::probe(Transport::Tcp, &rpc[..n]));
    assert_eq!(verdict(1), Verdict::Need(2));
    assert!((14..=20).all(|n| verdict(n) == Verdict::No));
}

#[test]
fn on_another_port_it_must_be_perfect() {
    let (q, r) = lookup();
    assert_eq!(Flow::udp(5300).client(&q).server(&r).run().protocol, ProtocolId::Dns);
    assert_eq!(Flow::tcp(5300).client(&tcp_framed(&[&q])).run().protocol, ProtocolId::Dns);
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut q = q.clone();
        change(&mut q);
        assert_ne!(Flow::udp(5300).client(&q).run().protocol, ProtocolId::Dns, "{q:02x?}");
    };
    refused(&|q| q.push(0)); // a byte too many
    refused(&|q| q.truncate(q.len() - 1)); // one too few
    refused(&|q| q[5] = 2); // two questions
    refused(&|q| q[3] |= 0x40); // a reserved bit
    refused(&|q| q[3] |= 0x03); // an error in a query
    refused(&|q| *q.last_mut().unwrap() = 9); // a class that does not exist
    refused(&|q| q[13] = 7); // an unprintable name
    refused(&|q| q[2] = 0x28); // an update
}

#[test]
fn edns_and_its_options() {
    let mut q = query(1, "example.com", 1);
    q[11] = 1;
    q.extend(hex("00 0029 04d0 00008000 0018 0008 0007 0001 18 00 c00002 000a 0008 0102030405060708"));
    q[11] = 1;
    let length = q.len();
    let at = length - 25;
    q[at..at + 2].copy_from_slice(&23u16.to_be_bytes());
    let mut r = response(&query(1, "example.com", 1), 0x8182, &[]);
    r[11] = 1;
    r.extend(hex("00 0029 1000 00000000 0006 000f 0002 0016"));
    let seen = Flow::udp(53).client(&q).server(&r).run();
    for (field, value) in [
        (EDNS_VERSION, "0"),
        (EDNS_SIZE, "1232"),
        (EDNS_DO, "true"),
        (CLIENT_SUBNET, "192.0.2.0/24"),
        (COOKIE, "0102030405060708"),
        (EDE, "no-reachable-authority"),
        (RCODE, "SERVFAIL"),
        (REJECTED, "true"),
    ] {
        assert_eq!(seen.show(field), value, "{}", field.field().name);
    }
    assert_eq!(seen.risks(), ["error-code"]);
}

#[test]
fn https_records() {
    let q = query(3, "example.com", 65);
    let r = response(
        &q,
        0x8180,
        &["c00c 0041 0001 0000012c 001c 0001 00 0001 0006 026832 026833 0004 0004 c0000207 0005 0003 aabbcc"],
    );
    let seen = Flow::udp(53).client(&q).server(&r).run();
    assert_eq!(seen.show(SVC_ALPN), "h2,h3");
    assert_eq!(seen.show(SVC_ECH), "true");
    assert_eq!(
        seen.facts,
        [Fact::Named { name: "example.com".into(), addresses: vec![IpAddr::from([192, 0, 2, 7])] }]
    );
    assert!(!seen.risks().contains(&"malformed-packet"), "{:?}", seen.found.risks);
}

#[test]
fn a_broken_response_is_malformed_but_still_dns() {
    let q = query(3, "example.com", 1);
    let looping = response(&q, 0x8180, &["c01d 0001 0001 0000001e 0004 c0000201"]);
    let seen = Flow::udp(53).client(&q).server(&looping).run();
    assert_eq!(seen.risks(), ["malformed-packet"]);
    assert_eq!(seen.show(RCODE), "NOERROR");
    assert!(seen.facts.is_empty());
    let cut = response(&q, 0x8180, &["c00c 0001 0001 0000001e 0004 c00002"]);
    assert_eq!(Flow::udp(53).client(&q).server(&cut).run().risks(), ["malformed-packet"]);
}

#[test]
fn addresses_in_answers_to_other_questions_name_nothing() {
    let q = query(3, "example.com", 252);
    let r = response(&q, 0x8180, &["c00c 0001 0001 0000001e 0004 c0000201"]);
    let seen = Flow::tcp(53).client(&tcp_framed(&[&q])).server(&tcp_framed(&[&r])).run();
    assert!(seen.facts.is_empty());
}

fn risks_of(host: &str, qtype: u16) -> Seen {
    Flow::udp(53).client(&query(1, host, qtype)).run()
}

#[test]
fn risks_of_names() {
    assert_eq!(risks_of("qxkzvjwtphgm.com", 1).risks(), ["dga-name"]);
    assert_eq!(
        risks_of("nbswy3dpeb3w64tmmqqho2dfeb4ha5jzmvxgk4tbnrqw2ytfmnuw4zzooq.t.example.com", 16).risks(),
        ["dns-tunnel"]
    );
    assert_eq!(risks_of("www.xn--bcher-kva.example", 1).risks(), ["idn-name"]);
    assert_eq!(risks_of("www.xn--80ak6aa92e.com", 1).risks(), ["idn-name", "idn-homograph"]);
    assert_eq!(risks_of("a b.example.com", 1).risks(), ["invalid-characters"]);
    for fine in [
        "d1a2b3c4x5q6z7.cloudfront.net",
        "1.0.0.127.in-addr.arpa",
        "lb._dns-sd._udp.0.1.168.192.in-addr.arpa",
        "www.example.com",
    ] {
        assert!(risks_of(fine, 12).risks().is_empty(), "{fine}");
    }
}

#[test]
fn a_response_to_another_question() {
    let (q, _) = lookup();
    let r =
        response(&query(0x1234, "evil.example.net", 1), 0x8180, &["c00c 0001 0001 0000001e 0004 c0000263"]);
    let seen = Flow::udp(53).client(&q).server(&r).run();
    assert_eq!(seen.risks(), ["dns-mismatch"]);
    assert_eq!(seen.confidence, Confidence::Payload);
}

#[test]
fn large_responses() {
    let q = query(3, "example.com", 16);
    let record = format!("c00c 0010 0001 0000001e 0100 ff {}", "41".repeat(255));
    let r = response(&q, 0x8180, &[&record, &record]);
    assert_eq!(Flow::udp(53).client(&q).server(&r).run().risks(), ["dns-large-packet"]);
    // With EDNS that the client announced it is in order; over TCP anything is.
    let mut edns = q.clone();
    edns[11] = 1;
    edns.extend(hex("00 0029 04d0 00000000 0000"));
    assert!(Flow::udp(53).client(&edns).server(&r).run().risks().is_empty());
    let seen = Flow::tcp(53).client(&tcp_framed(&[&q])).server(&tcp_framed(&[&r])).run();
    assert!(seen.risks().is_empty());
}

#[test]
fn an_address_answer_for_a_name_elsewhere_in_the_message() {
    // A pointer that leads to a name before it, not to the question.
    let q = query(5, "example.com", 1);
    let r = response(&q, 0x8180, &["c00c 0005 0001 0000001e 0004 01 62 c00c", A_ANSWER]);
    let seen = Flow::udp(53).client(&q).server(&r).run();
    assert_eq!(seen.facts.len(), 1);
    assert_eq!(seen.show(ANSWERS), "b.example.com,192.0.2.1");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn random_bytes_are_not_dns_and_nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..200)) {
        proptest::prop_assert_ne!(Flow::udp(5300).client(&bytes).run().protocol, ProtocolId::Dns);
        let (q, r) = lookup();
        let mut broken = r.clone();
        let n = bytes.len().min(broken.len() - 12);
        broken[12..12 + n].copy_from_slice(&bytes[..n]);
        let _ = Flow::udp(53).client(&q).server(&broken).run();
    }
}
