//! A DNS query over UDP that sees every answer (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::scenario::model::Outcome;

/// How long after the first answer another one is waited for: injectors race the true one, which comes late.
pub(crate) const LINGER: Duration = Duration::from_millis(60);

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const OPTION_EDE: u16 = 15;
/// Compression pointers in one name: more is a loop.
const LABELS_MAX: usize = 128;

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    /// The response code.
    pub(crate) code: u8,
    /// Addresses of the asked family.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) elapsed: Duration,
    /// An Extended DNS Error: its code, and what was said with it.
    pub(crate) extended: Option<(u16, String)>,
    /// What a further, different answer said.
    pub(crate) other: Option<String>,
}

/// Blocked, Censored, Filtered (RFC 8914 §4.16 to §4.18).
const BLOCKED: RangeInclusive<u16> = 15..=17;

impl Reply {
    pub(crate) fn code_name(&self) -> String {
        match self.code {
            0 => "no address".into(),
            2 => "SERVFAIL".into(),
            3 => "NXDOMAIN".into(),
            5 => "REFUSED".into(),
            code => format!("response code {code}"),
        }
    }

    /// Whether it says that somebody blocks the name; in his words.
    pub(crate) fn blocked(&self) -> Option<String> {
        let (code, text) = self.extended.as_ref().filter(|(code, _)| BLOCKED.contains(code))?;
        Some(format!("{}, extended error {code} {text}", self.code_name()).trim_end().to_owned())
    }
}

/// Asks for a name's addresses. Gives the first answer, and notes whether another followed within `linger`.
pub(crate) fn ask(
    server: SocketAddr,
    name: &str,
    ipv6: bool,
    timeout: Duration,
    linger: Duration,
) -> Result<Reply, (Outcome, Duration)> {
    let start = Instant::now();
    let failed = |_: std::io::Error| (Outcome::Unreachable, start.elapsed());
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.connect(server).map_err(failed)?;
    // The port the kernel chose is as good an identifier as any: it is new for each query.
    let id = socket.local_addr().map_err(failed)?.port();
    let qtype = if ipv6 { TYPE_AAAA } else { TYPE_A };
    let query = query(id, name, qtype);
    socket.send(&query).map_err(failed)?;
    let mut buffer = [0; 4096];
    let mut first: Option<Reply> = None;
    let mut resent = false;
    loop {
        let end = match &first {
            Some(reply) => reply.elapsed + linger,
            None => timeout,
        };
        let left = end.saturating_sub(start.elapsed());
        if left.is_zero() {
            return first.ok_or_else(|| (Outcome::DnsTimeout, start.elapsed()));
        }
        // As stub resolvers do, ask again when nothing comes.
        let again = timeout.mul_f64(0.4);
        let wait = if first.is_none() && !resent { left.min(again) } else { left };
        if socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).is_err() {
            return first.ok_or_else(|| (Outcome::Failed, start.elapsed()));
        }
        match socket.recv(&mut buffer) {
            Ok(n) => {
                let Some((code, addresses, extended)) = parse(buffer.get(..n).unwrap_or_default(), id, qtype)
                else {
                    continue;
                };
                match &mut first {
                    None => {
                        first =
                            Some(Reply { code, addresses, elapsed: start.elapsed(), extended, other: None })
                    }
                    Some(reply) if !resent && (reply.code, &reply.addresses) != (code, &addresses) => {
                        let said: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                        reply.other =
                            Some(if said.is_empty() { format!("code {code}") } else { said.join(", ") });
                    }
                    Some(_) => {}
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                if first.is_none() && !resent {
                    resent = true;
                    let _ = socket.send(&query);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return first.ok_or_else(|| (Outcome::DnsRefused, start.elapsed()));
            }
            Err(_) => return first.ok_or_else(|| (Outcome::Unreachable, start.elapsed())),
        }
    }
}

fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 18);
    bytes.extend(id.to_be_bytes());
    // Recursion desired; one question, and EDNS.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.trim_end_matches('.').split('.') {
        let label = label.as_bytes().get(..label.len().min(63)).unwrap_or_default();
        bytes.push(label.len() as u8);
        bytes.extend(label);
    }
    bytes.push(0);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend([0, 1]);
    // Without EDNS (RFC 6891) nobody may tell us an extended error: the root's name, OPT, 1232 bytes, no flags, no options.
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// What an answer says: its code, addresses of the asked kind, and an extended error.
type Said = (u8, Vec<IpAddr>, Option<(u16, String)>);

/// The answer to the query with this identifier.
fn parse(bytes: &[u8], id: u16, qtype: u16) -> Option<Said> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if word(0)? != id || bytes.get(2)? & 0x80 == 0 {
        return None;
    }
    let code = bytes.get(3)? & 15;
    let (questions, answers, more) = (word(4)?, word(6)?, [word(8)?, word(10)?]);
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        at = skip_name(bytes, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        if kind == qtype {
            match data.len() {
                4 => addresses.push(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
                16 => addresses.push(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
                _ => return None,
            }
        }
        at += 10 + length;
    }
    let mut extended = None;
    for _ in 0..more.iter().map(|n| u32::from(*n)).sum() {
        at = skip_name(bytes, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        if kind == TYPE_OPT && extended.is_none() {
            extended = extended_error(data);
        }
        at += 10 + length;
    }
    Some((code, addresses, extended))
}

/// The Extended DNS Error among EDNS options: its code, and its text (RFC 8914 §2).
fn extended_error(mut options: &[u8]) -> Option<(u16, String)> {
    while let [a, b, c, d, rest @ ..] = options {
        let (code, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        let value = rest.get(..length)?;
        if let (OPTION_EDE, [high, low, text @ ..]) = (code, value) {
            return Some((u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(text).into_owned()));
        }
        options = rest.get(length..)?;
    }
    None
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..LABELS_MAX {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a query, with this after its question.
    fn answer(query: &[u8], answers: u8, more: u8, after: &[u8]) -> Vec<u8> {
        let mut answer = query[..query.len() - 11].to_vec();
        answer[2] |= 0x80;
        (answer[7], answer[11]) = (answers, more);
        answer.extend(after);
        answer
    }

    const ADDRESS: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 1, 2, 3];

    #[test]
    fn reads_an_answer_and_refuses_others() {
        let answer = answer(&query(7, "a.example", TYPE_A), 1, 0, &ADDRESS);
        assert_eq!(parse(&answer, 7, TYPE_A), Some((0, vec!["10.1.2.3".parse().unwrap()], None)));
        assert_eq!(parse(&answer, 8, TYPE_A), None);
        assert_eq!(parse(&answer, 7, TYPE_AAAA), Some((0, vec![], None)));
        for cut in 0..answer.len() {
            assert_eq!(parse(&answer[..cut], 7, TYPE_A), None, "cut at {cut}");
        }
    }

    #[test]
    fn reads_who_blocks() {
        // An OPT record with a cookie and an extended error: RFC 8914, figure 1.
        let options = [0, 10, 0, 2, 1, 2, 0, 15, 0, 5, 0, 15, b'l', b'a', b'w'];
        let opt = [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8][..], &options].concat();
        let mut answer = answer(&query(7, "a.example", TYPE_A), 0, 1, &opt);
        answer[3] |= 5;
        let (code, addresses, extended) = parse(&answer, 7, TYPE_A).unwrap();
        let reply = Reply { code, addresses, elapsed: Duration::ZERO, extended, other: None };
        assert_eq!(reply.blocked().unwrap(), "REFUSED, extended error 15 law");
        // Stale data (3) is nobody's doing.
        let reply = Reply { extended: Some((3, String::new())), ..reply };
        assert_eq!(reply.blocked(), None);
        for cut in 0..answer.len() {
            assert_eq!(parse(&answer[..cut], 7, TYPE_A), None, "cut at {cut}");
        }
    }

    #[test]
    fn sees_the_second_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (n, from) = server.recv_from(&mut buffer).unwrap();
            for last in [66, 1] {
                let mut record = ADDRESS;
                record[15] = last;
                let answer = answer(&buffer[..n], 1, 0, &record);
                server.send_to(&answer, from).unwrap();
            }
        });
        let reply = ask(at, "a.example", false, Duration::from_secs(2), Duration::from_millis(500)).unwrap();
        answering.join().unwrap();
        assert_eq!(reply.addresses, ["10.1.2.66".parse::<IpAddr>().unwrap()]);
        assert_eq!(reply.other.as_deref(), Some("10.1.2.1"));
    }
}
