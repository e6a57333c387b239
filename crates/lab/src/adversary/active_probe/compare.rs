//! Whether two servers can be told apart by their reactions.
//!
//! Reactions are alike if the connection ends in the same way and the answer is of the same kind: TLS records of the same types
//! and nearly the same lengths (signatures and tickets vary by some bytes), an HTTP answer of the same status with the same
//! headers, QUIC packets of the same kinds and nearly the same lengths, or the same bytes. Delays are compared over all probes together, by the test of Kolmogorov and Smirnov.

use super::exchange::Reaction;
use crate::statistics;

/// By how much records or datagrams of one kind may differ in length.
const LENGTH_SLACK: usize = 8;
/// How improbable a difference of delays has to be to count.
pub const DELAY_SIGNIFICANCE: f64 = 0.05;

/// The kind of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// Types and lengths.
    Tls(Vec<(u8, usize)>),
    /// What can be seen of the first bytes of datagrams, and lengths.
    Quic(Vec<([u8; 5], usize)>),
    /// The status line, and the names of the headers.
    Http(String, Vec<String>),
    Bytes(Vec<u8>),
}

/// Whether a censor would take both for reactions of the same server.
pub fn is_alike(one: &Reaction, other: &Reaction) -> bool {
    fn nearly<T: PartialEq>(one: &[(T, usize)], other: &[(T, usize)]) -> bool {
        one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= LENGTH_SLACK)
    }
    let kinds = match (kind(one), kind(other)) {
        (Kind::Tls(one), Kind::Tls(other)) => nearly(&one, &other),
        (Kind::Quic(one), Kind::Quic(other)) => nearly(&one, &other),
        (one, other) => one == other,
    };
    kinds && one.close == other.close
}

fn kind(reaction: &Reaction) -> Kind {
    if !reaction.datagrams.is_empty() {
        return Kind::Quic(reaction.datagrams.iter().map(|bytes| (invariants(bytes), bytes.len())).collect());
    }
    let response = &reaction.response;
    if response.is_empty() {
        return Kind::Nothing;
    }
    if let Some(records) = tls(response) {
        return Kind::Tls(records);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut http = httparse::Response::new(&mut headers);
    if http.parse(response).is_ok_and(|status| status.is_complete()) {
        let status = format!("HTTP/1.{} {}", http.version.unwrap_or(9), http.code.unwrap_or(0));
        return Kind::Http(status, http.headers.iter().map(|header| header.name.to_owned()).collect());
    }
    Kind::Bytes(response.to_vec())
}

/// The form, the kind of packet, and the version (RFC 8999; RFC 9000 §17.2): what is not masked and not random.
fn invariants(datagram: &[u8]) -> [u8; 5] {
    match *datagram {
        [first, a, b, c, d, ..] if first & 0x80 != 0 => {
            // The kind is random in version negotiation.
            let kind = if [a, b, c, d] == [0; 4] { 0x80 } else { first & 0xf0 };
            [kind, a, b, c, d]
        }
        _ => [0; 5],
    }
}

/// The records, if these are records.
fn tls(mut bytes: &[u8]) -> Option<Vec<(u8, usize)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (&[kind, 3, 0..=9, high, low], rest) = bytes.split_first_chunk()? else { return None };
        let len = usize::from(u16::from_be_bytes([high, low]));
        (20..=24).contains(&kind).then_some(())?;
        records.push((kind, len));
        bytes = rest.get(len..)?;
    }
    Some(records)
}

/// The probability of such delays, or more different ones, if both are the same server: of the first bytes of answers, and
/// of ends; the smaller one counts, twice (Bonferroni).
pub fn delays<'a>(
    one: impl Iterator<Item = &'a Reaction> + Clone,
    other: impl Iterator<Item = &'a Reaction> + Clone,
) -> f64 {
    let answered = |of: &Reaction| of.answered_ms;
    let closed = |of: &Reaction| of.closed_ms;
    [answered, closed]
        .iter()
        .map(|of| {
            let values = |from: Vec<&Reaction>| from.into_iter().filter_map(of).collect::<Vec<f64>>();
            statistics::kolmogorov_smirnov(&values(one.clone().collect()), &values(other.clone().collect()))
        })
        .fold(1.0, f64::min)
        .min(0.5)
        * 2.0
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Close;
    use super::*;

    fn reaction(response: &[u8], close: Close) -> Reaction {
        Reaction {
            response: response.to_vec(),
            datagrams: Vec::new(),
            close,
            answered_ms: None,
            closed_ms: None,
        }
    }

    #[test]
    fn kinds_of_answers() {
        let fin = |response: &[u8]| reaction(response, Close::Fin);
        let alert = [21, 3, 3, 0, 2, 2, 40];
        assert!(is_alike(&fin(&alert), &fin(&alert)));
        assert!(!is_alike(&fin(&alert), &fin(b"")), "silence");
        assert!(!is_alike(&fin(&alert), &reaction(&alert, Close::Reset)), "another end");
        let record = |len: u8| [vec![22, 3, 3, 0, len], vec![7; len.into()]].concat();
        assert!(is_alike(&fin(&record(70)), &fin(&record(72))), "a signature's length");
        assert!(!is_alike(&fin(&record(70)), &fin(&record(90))));
        assert!(!is_alike(&fin(&record(7)), &fin(&alert)), "another type");
        let http = |text: &str| fin(text.as_bytes());
        let page = http("HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nDate: now\r\n\r\n<html>");
        assert!(is_alike(
            &page,
            &http("HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nDate: later\r\n\r\n<html>")
        ));
        assert!(!is_alike(&page, &http("HTTP/1.1 400 Bad Request\r\nDate: now\r\n\r\n<html>")));
        assert!(!is_alike(&page, &http("HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nDate: now\r\n\r\n")));
        assert!(!is_alike(&fin(b"220 mail"), &fin(b"220 mails")));
    }

    #[test]
    fn kinds_of_datagrams() {
        let quic = |head: &[u8], len: usize| Reaction {
            datagrams: vec![[head, &vec![7; len - head.len()]].concat()],
            ..reaction(b"", Close::Open)
        };
        let initial = |len| quic(&[0xc3, 0, 0, 0, 1], len);
        assert!(
            is_alike(&initial(1200), &quic(&[0xcf, 0, 0, 0, 1], 1204)),
            "masked bits, a signature's length"
        );
        assert!(!is_alike(&initial(1200), &initial(1250)));
        assert!(!is_alike(&initial(1200), &quic(&[0xe3, 0, 0, 0, 1], 1200)), "another kind");
        assert!(is_alike(&quic(&[0x80, 0, 0, 0, 0], 43), &quic(&[0xff, 0, 0, 0, 0], 43)), "negotiation");
        assert!(!is_alike(&quic(&[0x41, 9, 8, 7, 6], 43), &reaction(b"", Close::Open)), "a reset");
    }

    #[test]
    fn delays_tell() {
        let after = |ms: f64| Reaction { closed_ms: Some(ms), ..reaction(b"", Close::Fin) };
        let (soon, late): (Vec<_>, Vec<_>) =
            (0..30).map(|n| (after(f64::from(n)), after(f64::from(n) + 100.0))).unzip();
        assert!(delays(soon.iter(), late.iter()) < DELAY_SIGNIFICANCE);
        assert!(delays(soon.iter(), soon.iter()) > 0.9);
        assert!(delays(soon.iter(), [].iter()) > 0.9, "there is nothing to compare");
    }
}
