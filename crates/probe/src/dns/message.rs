//! A query, and what answers it (RFC 1035).

use std::net::IpAddr;

use daylight_protocols::names::dns::codes::rtype;
use daylight_protocols::names::dns::edns::{EdnsOption, Opt};
use daylight_protocols::names::dns::message::{Header, Name, RECORDS_MAX, Reader, Section};
use daylight_protocols::names::dns::rdata;

use daylight_verdict::ooni::Failure;

/// No message is longer.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Records of one answer that are kept.
pub const ANSWERS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the types' names
pub enum RecordType {
    A,
    Aaaa,
}

impl RecordType {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::A => rtype::A,
            Self::Aaaa => rtype::AAAA,
        }
    }
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An address.
    Address {
        /// The address.
        address: IpAddr,
        /// Seconds it may be kept.
        ttl: u32,
    },
    /// Another name for the asked one.
    Alias {
        /// The other name, in lower case.
        name: String,
        /// Seconds it may be kept.
        ttl: u32,
    },
}

/// An answer that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The transaction's identifier.
    pub id: u16,
    /// The response code, with EDNS's upper bits (RFC 6891 §6.1.3).
    pub code: u16,
    /// AA: the server says that it is the authority.
    pub authoritative: bool,
    /// TC: the whole answer can be had by TCP.
    pub truncated: bool,
    /// Records of the answer section: A, AAAA, CNAME.
    pub answers: Vec<Answer>,
    /// Whether the question is repeated as it was asked.
    pub repeats_question: bool,
    /// An Extended DNS Error: its code, and what was said with it (RFC 8914).
    pub extended_error: Option<(u16, String)>,
}

impl Message {
    /// The addresses, without repetitions.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all = Vec::new();
        for answer in &self.answers {
            if let Answer::Address { address, .. } = answer
                && !all.contains(address)
            {
                all.push(*address);
            }
        }
        all
    }

    /// The other names, in their order.
    #[must_use]
    pub fn aliases(&self) -> Vec<String> {
        let names = self.answers.iter().filter_map(|answer| match answer {
            Answer::Alias { name, .. } => Some(name.clone()),
            Answer::Address { .. } => None,
        });
        names.collect()
    }

    /// What it means for a stub resolver, as OONI names it.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self.code {
            0 if !self.repeats_question => Some(Failure::DnsServerMisbehaving),
            0 if self.addresses().is_empty() => Some(Failure::DnsNoAnswer),
            0 => None,
            2 => Some(Failure::DnsServfail),
            3 => Some(Failure::DnsNxdomain),
            5 => Some(Failure::DnsRefused),
            _ => Some(Failure::DnsServerMisbehaving),
        }
    }
}

/// A query for a name's records, with recursion desired and EDNS: without it nobody may send an extended error.
///
/// `None` if the name has empty or long labels, or more than 253 bytes.
#[must_use]
pub fn query(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut bytes = Vec::with_capacity(name.len() + 29);
    bytes.extend(id.to_be_bytes());
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.code().to_be_bytes());
    bytes.extend([0, 1]);
    // The root's name, OPT, 1232 bytes, no flags, no options (RFC 6891; the size is that of the DNS flag day 2020).
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    Some(bytes)
}

/// Reads an answer to a query for `name`. `None` for what is no response.
///
/// What can't be read to its end still tells something: it is an answer that misbehaves.
#[must_use]
pub fn read(bytes: &[u8], name: &str, kind: RecordType) -> Option<Message> {
    let header = Header::read(bytes).filter(Header::is_response)?;
    let mut message = Message {
        id: header.id,
        code: header.rcode().into(),
        authoritative: header.authoritative(),
        truncated: header.truncated(),
        answers: Vec::new(),
        repeats_question: false,
        extended_error: None,
    };
    fill(bytes, &header, name, kind, &mut message);
    Some(message)
}

fn fill(bytes: &[u8], header: &Header, name: &str, kind: RecordType, message: &mut Message) {
    let mut reader = Reader::new(bytes);
    for n in 0..header.counts[0] {
        let Ok(question) = reader.question() else { return };
        let same = question.name.text().eq_ignore_ascii_case(name.trim_end_matches('.'));
        message.repeats_question = n == 0 && same && question.qtype == kind.code();
    }
    let sections = [Section::Answer, Section::Authority, Section::Additional];
    let mut left = RECORDS_MAX;
    for (section, count) in sections.into_iter().zip(header.counts.into_iter().skip(1)) {
        for _ in 0..count {
            let Ok(record) = reader.record() else { return };
            if left == 0 {
                return;
            }
            left -= 1;
            if section == Section::Answer && message.answers.len() < ANSWERS_MAX {
                if let Some(address) = rdata::address(&record) {
                    message.answers.push(Answer::Address { address, ttl: record.ttl });
                } else if record.rtype == rtype::CNAME
                    && let Ok((name, _)) = Name::read(bytes, record.rdata_at)
                {
                    message.answers.push(Answer::Alias { name: name.lower(), ttl: record.ttl });
                }
            }
            if section == Section::Additional && record.rtype == rtype::OPT {
                let opt = Opt::read(&record);
                message.code |= u16::from(opt.rcode_high) << 4;
                message.extended_error = opt.options().find_map(|option| match option {
                    EdnsOption::Error(code, extra) => {
                        Some((code, String::from_utf8_lossy(extra).into_owned()))
                    }
                    _ => None,
                });
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The answer to a query, with these addresses.
    pub(crate) fn answer(query: &[u8], code: u8, addresses: &[IpAddr]) -> Vec<u8> {
        let mut answer = query[..query.len() - 11].to_vec();
        answer[2] |= 0x80;
        answer[3] = code;
        answer[7] = addresses.len() as u8;
        answer[11] = 0;
        for address in addresses {
            answer.extend([0xc0, 12, 0]);
            match address {
                IpAddr::V4(v4) => {
                    answer.extend([1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    answer.extend(v4.octets());
                }
                IpAddr::V6(v6) => {
                    answer.extend([28, 0, 1, 0, 0, 0, 60, 0, 16]);
                    answer.extend(v6.octets());
                }
            }
        }
        answer
    }

    #[test]
    fn an_answer_is_read() {
        let query = query(7, "A.example.", RecordType::A).unwrap();
        let bytes = answer(&query, 0, &["10.1.2.3".parse().unwrap(), "10.1.2.4".parse().unwrap()]);
        let message = read(&bytes, "a.example", RecordType::A).unwrap();
        assert_eq!(message.addresses(), ["10.1.2.3".parse::<IpAddr>().unwrap(), "10.1.2.4".parse().unwrap()]);
        assert_eq!((message.id, message.failure()), (7, None));
        // Of another question, or none: no resolver says that.
        let other = read(&bytes, "b.example", RecordType::A).unwrap();
        assert_eq!(other.failure(), Some(Failure::DnsServerMisbehaving));
        assert_eq!(read(&query, "a.example", RecordType::A), None);
        for cut in 0..bytes.len() {
            let _ = read(&bytes[..cut], "a.example", RecordType::A);
        }
    }

    #[test]
    fn codes_have_their_words() {
        let query = query(7, "a.example", RecordType::Aaaa).unwrap();
        for (code, failure) in [
            (0, Failure::DnsNoAnswer),
            (2, Failure::DnsServfail),
            (3, Failure::DnsNxdomain),
            (5, Failure::DnsRefused),
            (9, Failure::DnsServerMisbehaving),
        ] {
            let message = read(&answer(&query, code, &[]), "a.example", RecordType::Aaaa).unwrap();
            assert_eq!(message.failure(), Some(failure));
        }
    }

    #[test]
    fn extended_errors_are_kept() {
        let query = query(7, "a.example", RecordType::A).unwrap();
        let mut bytes = answer(&query, 3, &[]);
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 15, 0, 5, 0, 16, b'l', b'a', b'w']);
        let message = read(&bytes, "a.example", RecordType::A).unwrap();
        assert_eq!(message.extended_error, Some((16, "law".to_owned())));
        assert_eq!(message.code, 3);
    }

    #[test]
    fn only_names_can_be_asked_for() {
        assert_eq!(query(1, "", RecordType::A), None);
        assert_eq!(query(1, "a..b", RecordType::A), None);
        assert_eq!(query(1, &"x".repeat(64), RecordType::A), None);
        assert_eq!(query(1, &"x.".repeat(130), RecordType::A), None);
    }
}
