//! A DNS answer that refuses, with an Extended DNS Error (RFC 8914) that says why.

use daylight_policy::Basis;
use daylight_protocols::names::dns::message::{Header, Reader};

use super::{Refusal, shortened};

const HEADER_LEN: usize = 12;
const TYPE_OPT: u16 = 41;
const OPTION_EDE: u16 = 15;
const RCODE_REFUSED: u8 = 5;

/// So that the answer fits into any path's datagrams.
const TEXT_LEN_MAX: usize = 400;

/// RFC 8914 §4.16 to §4.18: Blocked, Censored, Filtered.
fn error_code(basis: Basis) -> u16 {
    match basis {
        Basis::Operator => 15,
        Basis::External => 16,
        Basis::Client => 17,
    }
}

/// The answer to `query` (a message without TCP's length). `None` if it is not a query that can be answered; then it can
/// only be dropped.
///
/// The code is REFUSED. The reason comes along if the query has an OPT record: whoever sends none could not read it
/// (RFC 6891 §7).
pub fn refuse(query: &[u8], refusal: &Refusal<'_>) -> Option<Vec<u8>> {
    let header = Header::read(query)?;
    if header.is_response() || header.counts[0] != 1 {
        return None;
    }
    let mut reader = Reader::new(query);
    reader.question().ok()?;
    let question = query.get(HEADER_LEN..reader.position())?;
    let records: usize = header.counts[1..].iter().map(|count| usize::from(*count)).sum();
    // What can't be read as a record holds no OPT either.
    let opt = (0..records).map_while(|_| reader.record().ok()).find(|record| record.rtype == TYPE_OPT);
    let mut answer = Vec::with_capacity(512);
    answer.extend(query.get(..2)?);
    // QR, the query's opcode and RD; RA, the query's CD.
    answer.extend([0x80 | query[2] & 0x79, 0x80 | query[3] & 0x10 | RCODE_REFUSED]);
    answer.extend([0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    answer.extend(question);
    if let Some(opt) = opt {
        let text = text(refusal);
        let option_len = 2 + text.len();
        answer.extend([0, 0, TYPE_OPT as u8]);
        answer.extend(1232_u16.to_be_bytes());
        // Extended code and version 0; DO as in the query.
        answer.extend([0, 0, (opt.ttl >> 8) as u8 & 0x80, 0]);
        answer.extend(((4 + option_len) as u16).to_be_bytes());
        answer.extend(OPTION_EDE.to_be_bytes());
        answer.extend((option_len as u16).to_be_bytes());
        answer.extend(error_code(refusal.basis).to_be_bytes());
        answer.extend(text.as_bytes());
    }
    Some(answer)
}

/// For people: what the option's EXTRA-TEXT says.
fn text(refusal: &Refusal<'_>) -> String {
    let Refusal { rule, reason, authority, until, .. } = refusal;
    let mut text = format!("{reason}. By {authority}, rule {rule}, until {until}");
    for (what, which) in [("appeal", refusal.appeal), ("see", refusal.page)] {
        if let Some(which) = which {
            text.push_str(&format!("; {what}: {which}"));
        }
    }
    shortened(&text, TEXT_LEN_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use daylight_protocols::names::dns::edns::{EdnsOption, Opt};

    use super::*;

    pub(super) const REFUSAL: Refusal<'_> = Refusal {
        rule: "malware",
        reason: "Spreads malware",
        authority: "The example school",
        until: "2027-01-01",
        appeal: Some("mailto:it@school.test"),
        page: None,
        basis: Basis::External,
    };

    fn query(opt: bool) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, u8::from(opt)];
        query.extend(b"\x03wWw\x07example\x03org\0\0\x01\0\x01");
        if opt {
            query.extend([0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0]);
        }
        query
    }

    #[test]
    fn the_reason_comes_to_whoever_can_read_it() {
        let answer = refuse(&query(true), &REFUSAL).unwrap();
        let header = Header::read(&answer).unwrap();
        assert!(header.is_response() && header.recursion_desired() && header.checking_disabled());
        assert_eq!((answer[..2].to_vec(), header.rcode(), header.counts[1]), (vec![0xab, 0xcd], 5, 0));
        let mut reader = Reader::new(&answer);
        assert_eq!(reader.question().unwrap().name.text(), "wWw.example.org", "as it was asked");
        let record = reader.record().unwrap();
        assert_eq!((record.rtype, reader.position()), (TYPE_OPT, answer.len()));
        let opt = Opt::read(&record);
        assert!(opt.dnssec_ok);
        let options: Vec<_> = opt.options().collect();
        let [EdnsOption::Error(16, text)] = options[..] else { panic!("{options:?}") };
        assert_eq!(
            std::str::from_utf8(text).unwrap(),
            "Spreads malware. By The example school, rule malware, until 2027-01-01; appeal: mailto:it@school.test"
        );
        let short = refuse(&query(false), &REFUSAL).unwrap();
        assert_eq!((Header::read(&short).unwrap().counts[3], short.len()), (0, query(false).len()));
    }

    #[test]
    fn the_code_says_whose_will_it_is() {
        for (basis, code) in [(Basis::Operator, 15), (Basis::External, 16), (Basis::Client, 17)] {
            let answer = refuse(&query(true), &Refusal { basis, ..REFUSAL }).unwrap();
            let mut reader = Reader::new(&answer);
            reader.question().unwrap();
            let record = reader.record().unwrap();
            let found = Opt::read(&record).options().next().unwrap();
            assert!(matches!(found, EdnsOption::Error(found, _) if found == code), "{found:?}");
        }
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        for cut in 0..query(false).len() {
            assert_eq!(refuse(&query(false)[..cut], &REFUSAL), None);
        }
        let mut response = query(true);
        response[2] |= 0x80;
        assert_eq!(refuse(&response, &REFUSAL), None);
        // An OPT that is cut off: answered without one.
        let cut = query(true);
        assert!(refuse(&cut[..cut.len() - 3], &REFUSAL).is_some());
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "ü".repeat(1000);
        let answer = refuse(&query(true), &Refusal { reason: &reason, ..REFUSAL }).unwrap();
        assert!(answer.len() < 512);
        assert!(std::str::from_utf8(&answer[answer.len() - TEXT_LEN_MAX..]).is_ok());
    }
}
