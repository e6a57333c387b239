//! Answers to names.

use std::net::Ipv4Addr;

use daylight_injection::{Step, Tell, Verdict};

use crate::talk::{MS, Talk, told};

fn query(id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend(b"\x07blocked\x07example\x00\x00\x01\x00\x01");
    query
}

fn answer(id: u16, address: [u8; 4], ttl: u32) -> Vec<u8> {
    let mut answer = query(id);
    answer[2] = 0x81;
    answer[3] = 0x80;
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1]);
    answer.extend(ttl.to_be_bytes());
    answer.extend([0, 4]);
    answer.extend(Ipv4Addr::from(address).octets());
    answer
}

/// 198.51.100.0/24 and 203.0.113.0/24 are for documentation, and so special: these are not.
const PUBLIC: [u8; 4] = [93, 184, 216, 34];
const OTHER: [u8; 4] = [31, 13, 94, 37];

#[test]
fn one_answer_is_no_finding() {
    let mut talk = Talk::new(53);
    talk.datagram(true, 64, &query(1));
    talk.wait(20 * MS).datagram(false, 52, &answer(1, PUBLIC, 60));
    // The same again, as networks do, and one with the addresses turned.
    talk.wait(MS).datagram(false, 52, &answer(1, PUBLIC, 60));
    assert_eq!(told(&talk.report()), []);
}

#[test]
fn of_two_answers_the_bogon_is_the_injectors() {
    let mut talk = Talk::new(53);
    talk.datagram(true, 64, &query(1));
    let forged = talk.wait(5 * MS).datagram(false, 90, &answer(1, [127, 0, 0, 1], 300));
    talk.wait(20 * MS).datagram(false, 52, &answer(1, PUBLIC, 60));
    let report = talk.report();
    let found = told(&report);
    let [(number, Verdict::Injected, tells)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*number, tells[0]), (forged, Tell::AnswersDisagree));
    let finding = &report.findings[0];
    assert_eq!((finding.step, finding.name.as_deref()), (Step::Dns, Some("blocked.example")));
    assert_eq!(finding.signatures[0].id, "turkmenistan-dns");
    assert_eq!(finding.signatures[0].vendor, None);
}

#[test]
fn of_two_answers_with_public_addresses_nothing_tells_which() {
    let mut talk = Talk::new(53);
    talk.datagram(true, 64, &query(1));
    talk.wait(5 * MS).datagram(false, 52, &answer(1, OTHER, 60));
    talk.wait(20 * MS).datagram(false, 52, &answer(1, PUBLIC, 60));
    let found = told(&talk.report());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(_, verdict, _)| *verdict == Verdict::Suspect));
}

/// The resolver's other answers show which of the two is its own.
#[test]
fn the_resolvers_other_answers_tell_which() {
    let mut talk = Talk::new(53);
    talk.port = 53;
    talk.datagram(true, 64, &query(1));
    let forged = talk.wait(5 * MS).datagram(false, 90, &answer(1, OTHER, 60));
    talk.wait(20 * MS).datagram(false, 52, &answer(1, PUBLIC, 60));
    let mut other = query(2);
    other[13] = b'x';
    let packet = |from_client: bool, payload: &[u8]| {
        let ends = ["192.0.2.7", "203.0.113.80"].map(|end| end.parse().unwrap());
        let stamp = daylight_packet::build::Stamp { ttl: 52, ..Default::default() };
        let (from, to) = if from_client { (0, 1) } else { (1, 0) };
        let ports = if from_client { [50_001, 53] } else { [53, 50_001] };
        daylight_packet::build::udp(ends[from], ends[to], ports, &stamp, payload)
    };
    talk.wait(MS).raw(&packet(true, &other));
    let mut lone = answer(2, PUBLIC, 60);
    lone[13] = b'x';
    talk.wait(20 * MS).raw(&packet(false, &lone));
    let found = told(&talk.report());
    let [(number, Verdict::Injected, tells)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*number, tells.as_slice()), (forged, &[Tell::AnswersDisagree, Tell::TtlGap][..]));
}
