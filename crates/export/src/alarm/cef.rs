//! The Common Event Format, version 0: what SIEMs read from syslog.
//!
//! In the header `\` and `|` are escaped and line breaks not allowed; in the extension `\` and `=` are, and line breaks are
//! `\n` and `\r`. IPv4 addresses stand in `src` and `dst`, IPv6 in `c6a2` and `c6a3`, as the format wants it. Control
//! characters, which mean nothing there, become `�`.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Alarm, Severity, plain};

/// The longest value that is written, in characters; the format allows 1023 for most.
const CHARS_MAX: usize = 512;

/// The alarm as one line, without a line feed.
pub fn line(alarm: &Alarm) -> String {
    let severity = match alarm.severity {
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Severe => 10,
    };
    let name = alarm.risk.replace('-', " ");
    let mut line = format!(
        "CEF:0|Daylight|Daylight|{}|{}|{}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        header(&alarm.risk),
        header(&name)
    );
    let mut separator = "";
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String can't fail.
            let _ = write!(line, "{separator}{key}={}", extension(value));
            separator = " ";
        }
    };
    put("rt", &(alarm.time_ns / 1_000_000).to_string());
    put("externalId", &alarm.id);
    put("deviceExternalId", &alarm.sensor);
    for (address, v4, v6, label) in [
        (&alarm.src_ip, "src", "c6a2", "Source IPv6 Address"),
        (&alarm.dst_ip, "dst", "c6a3", "Destination IPv6 Address"),
    ] {
        match address.parse() {
            Ok(IpAddr::V4(_)) => put(v4, address),
            Ok(IpAddr::V6(_)) => {
                put(v6, address);
                put(&format!("{v6}Label"), label);
            }
            Err(_) => {}
        }
    }
    put("spt", &alarm.src_port.to_string());
    put("dpt", &alarm.dst_port.to_string());
    put("dhost", &alarm.hostname);
    put("proto", &alarm.transport.to_uppercase());
    put("app", &alarm.protocol);
    put("cnt", &alarm.count.to_string());
    put("msg", &alarm.evidence);
    let mut labelled = |n: u8, label: &str, value: &str| {
        if !value.is_empty() {
            put(&format!("cs{n}"), value);
            put(&format!("cs{n}Label"), label);
        }
    };
    labelled(1, "uid", &alarm.uid);
    labelled(2, "side", &alarm.side);
    labelled(3, "application", &alarm.application);
    if alarm.left_out > 0 {
        put("cn1", &alarm.left_out.to_string());
        put("cn1Label", "leftOut");
    }
    line
}

fn header(text: &str) -> String {
    plain(text, CHARS_MAX).replace('\\', "\\\\").replace('|', "\\|")
}

fn extension(text: &str) -> String {
    let text: String = text.chars().take(CHARS_MAX).collect();
    let lines: Vec<String> = text
        .replace("\r\n", "\n")
        .split('\n')
        .map(|line| plain(line, CHARS_MAX).replace('\\', "\\\\").replace('=', "\\="))
        .collect();
    lines.join("\\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{NASTY, nasty};
    use super::*;

    type Read = (Vec<String>, Vec<(String, String)>);

    /// A reader of CEF after its guide, not after our writer: header fields and extension.
    fn read(line: &str) -> Option<Read> {
        let mut rest = line.strip_prefix("CEF:")?;
        let mut fields = Vec::new();
        while fields.len() < 7 {
            let (mut field, mut escaped, mut end) = (String::new(), false, None);
            for (i, c) in rest.char_indices() {
                match c {
                    '\\' if !escaped => escaped = true,
                    '|' if !escaped => {
                        end = Some(i);
                        break;
                    }
                    c => {
                        field.push(c);
                        escaped = false;
                    }
                }
            }
            fields.push(field);
            rest = &rest[end? + 1..];
        }
        // A key is the word before an `=` that is not escaped; its value goes to the space before the next key.
        let bytes = rest.as_bytes();
        let equals: Vec<usize> = (0..bytes.len())
            .filter(|i| bytes[*i] == b'=')
            .filter(|i| bytes[..*i].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0)
            .collect();
        let key_start = |eq: usize| rest[..eq].rfind(' ').map_or(0, |at| at + 1);
        let mut pairs = Vec::new();
        for (n, eq) in equals.iter().enumerate() {
            let end = equals.get(n + 1).map_or(rest.len(), |next| key_start(*next).saturating_sub(1));
            let (mut value, mut escaped) = (String::new(), false);
            for c in rest.get(eq + 1..end)?.chars() {
                match c {
                    '\\' if !escaped => escaped = true,
                    c => {
                        value.push(if escaped && c == 'n' { '\n' } else { c });
                        escaped = false;
                    }
                }
            }
            pairs.push((rest[key_start(*eq)..*eq].to_owned(), value));
        }
        Some((fields, pairs))
    }

    #[test]
    fn a_hostile_name_stays_in_its_field() {
        let line = line(&nasty());
        insta::assert_snapshot!(line.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let (fields, pairs) = read(&line).unwrap();
        assert_eq!(fields[..3], ["0", "Daylight", "Daylight"]);
        assert_eq!(fields[4..], ["clear-text-credentials", "clear text credentials", "8"]);
        let value = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| &**v);
        assert_eq!(value("src"), Some("192.0.2.1"));
        assert_eq!(value("c6a3"), Some("2001:db8::5"));
        assert_eq!(value("dst"), None);
        assert_eq!(value("dhost"), value("msg"));
        let expected: Vec<String> = NASTY.replace("\r\n", "\n").split('\n').map(|l| plain(l, 999)).collect();
        assert_eq!(value("msg"), Some(&*expected.join("\n")));
        assert_eq!(pairs.len(), 17, "{pairs:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(risk in "\\PC{0,20}", evidence: String, hostname in "[a-z=|\\\\\n\r ]{0,30}") {
            let alarm = Alarm { risk, evidence, hostname, ..nasty() };
            let line = line(&alarm);
            prop_assert!(!line.chars().any(char::is_control));
            let (fields, pairs) = read(&line).unwrap();
            prop_assert_eq!(&fields[4], &plain(&alarm.risk, 512));
            let keys: Vec<_> = pairs.iter().map(|(key, _)| &**key).collect();
            prop_assert!(keys.contains(&"rt") && keys.contains(&"cs2Label"), "{:?}", keys);
            for (key, text) in [("dhost", &alarm.hostname), ("msg", &alarm.evidence)] {
                let lines: Vec<_> = text.replace("\r\n", "\n").split('\n').map(|l| plain(l, 999)).collect();
                let found = pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
                prop_assert_eq!(found.unwrap_or_default(), lines.join("\n"));
            }
        }
    }
}
