//! What speaks against answers to names.

use std::net::IpAddr;

use daylight_packet::is_special;
use daylight_protocols::names::dns::message::{Header, Reader};
use daylight_protocols::names::dns::rdata;

use crate::analysis::Looked;
use crate::benign::Benign;
use crate::connection::{Connection, Norm};
use crate::finding::{Kind, Told};
use crate::name::question;
use crate::packet::Seen;
use crate::tell::Tell;

/// Records of an answer that are looked at.
const RECORDS_MAX: u16 = 64;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: u16,
    pub(crate) question: Option<(String, u16)>,
    pub(crate) code: u8,
    pub(crate) addresses: Vec<IpAddr>,
    /// Seconds that the first address may be kept.
    pub(crate) ttl: Option<u32>,
}

/// Reads an answer.
pub(crate) fn read(message: &[u8]) -> Option<Answer> {
    let header = Header::read(message).filter(Header::is_response)?;
    let mut answer = Answer {
        id: header.id,
        question: question(message),
        code: header.rcode(),
        addresses: Vec::new(),
        ttl: None,
    };
    let mut reader = Reader::new(message);
    for _ in 0..header.counts[0] {
        if reader.question().is_err() {
            return Some(answer);
        }
    }
    for _ in 0..header.counts[1].min(RECORDS_MAX) {
        let Ok(record) = reader.record() else { break };
        if let Some(address) = rdata::address(&record) {
            answer.ttl.get_or_insert(record.ttl);
            answer.addresses.push(address);
        }
    }
    Some(answer)
}

impl Answer {
    fn is_bogon(&self) -> bool {
        self.addresses.iter().any(|address| is_special(*address))
    }

    /// Whether both can't be true: no address in common, or the name is there and is not.
    fn contradicts(&self, other: &Self) -> bool {
        self.code != other.code
            || self.addresses.is_empty() != other.addresses.is_empty()
            || !self.addresses.is_empty() && !self.addresses.iter().any(|own| other.addresses.contains(own))
    }
}

/// Whether a connection holds one answer, which then shows what the resolver's packets are like.
pub(crate) fn lone_answer(connection: &Connection) -> Option<&Seen> {
    let mut answers = connection.of_server();
    answers.next().filter(|_| answers.next().is_none())
}

/// What speaks against each answer, by its place in the connection. `norm` is of the resolver's other exchanges.
pub(crate) fn look(connection: &Connection, norm: Option<&Norm>) -> Vec<Looked> {
    let answers: Vec<(usize, &Seen, Answer)> = connection
        .packets
        .iter()
        .enumerate()
        .filter(|(_, seen)| !connection.is_client(seen))
        .filter_map(|(at, seen)| Some((at, seen, read(seen.payload())?)))
        .collect();
    let is_public = !is_special(connection.server_address());
    let gap = |seen: &Seen| norm.is_some_and(|norm| !norm.fits(seen.ttl));
    let is_odd = |seen: &Seen, answer: &Answer| answer.is_bogon() || gap(seen);
    let mut all = Vec::new();
    for (at, seen, answer) in &answers {
        let mut tells = Vec::new();
        let others: Vec<&(usize, &Seen, Answer)> = answers
            .iter()
            .filter(|(_, _, other)| {
                other.id == answer.id && other.question == answer.question && other.contradicts(answer)
            })
            .collect();
        if !others.is_empty() {
            tells.extend(disagreement(connection, seen, answer, &others, &is_odd));
        }
        if answer.is_bogon() && is_public {
            tells.push(Told::of(Tell::BogonAnswer, list(&answer.addresses), Vec::new()));
        }
        if let Some(norm) = norm.filter(|_| gap(seen) && !tells.is_empty()) {
            let values = format!("TTL {}, the {}'s {}", seen.ttl, norm.what, norm.ttl);
            tells.push(Told::of(Tell::TtlGap, values, vec![norm.number]));
        }
        all.push(Looked { at: *at, kind: Kind::DnsAnswer, tells });
    }
    all
}

fn disagreement(
    connection: &Connection,
    seen: &Seen,
    answer: &Answer,
    others: &[&(usize, &Seen, Answer)],
    is_odd: &dyn Fn(&Seen, &Answer) -> bool,
) -> Option<Told> {
    let own = is_odd(seen, answer);
    let theirs = others.iter().all(|(_, seen, answer)| is_odd(seen, answer));
    // Another one is the odd one out.
    if !own && others.iter().any(|(_, seen, answer)| is_odd(seen, answer)) {
        return None;
    }
    let asked = connection.of_client().filter(|query| {
        let id = Header::read(query.payload()).map(|header| header.id);
        id == Some(answer.id) && question(query.payload()) == answer.question
    });
    let mut benign = Vec::new();
    if asked.count() > 1 {
        benign.push(Benign::Rotation);
    }
    if !own || theirs {
        benign.push(Benign::WhichOne);
    }
    let values = others.iter().map(|(_, _, other)| list(&other.addresses)).collect::<Vec<_>>().join("; ");
    Some(Told {
        tell: Tell::AnswersDisagree,
        values: format!("{}, otherwise {values}", list(&answer.addresses)),
        witnesses: others.iter().map(|(_, seen, _)| seen.number).collect(),
        benign,
    })
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "no address".to_owned();
    }
    addresses.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
