//! What classifiers call the connections: Daylight's own inspector, and nDPI.
//!
//! Neither names circumvention tools, nor is meant to; the question is whether something is called otherwise than ordinary
//! HTTPS, or gets a risk that ordinary HTTPS lacks.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use daylight_expr::ValueRef;
use daylight_inspect::{Config, Control, FlowRecord, column};
use daylight_protocols::Confidence;

use crate::LabError;

/// What a classifier says of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// One of its ends, and the other; nDPI's order is not always client first.
    pub ends: [SocketAddr; 2],
    /// The protocol, as the classifier calls it.
    pub protocol: String,
    /// Names of risks.
    pub risks: Vec<String>,
    /// The JA4 fingerprint of the client, if the classifier tells.
    pub ja4: Option<String>,
}

/// By Daylight's inspector.
///
/// # Errors
/// If the capture can't be read.
pub fn inspect(capture: &Path) -> Result<Vec<Label>, LabError> {
    let failed = |e: daylight_packet::SourceError| LabError::Failed {
        what: format!("inspecting {}", capture.display()),
        message: e.to_string(),
    };
    let mut source = daylight_capture::open(capture).map_err(failed)?;
    let mut records: Vec<FlowRecord> = Vec::new();
    let config = Arc::new(Config { threads: 1, ..Config::default() });
    let name = capture.display().to_string();
    daylight_inspect::inspect(source.as_mut(), &name, &config, &Control::default(), &mut records)
        .map_err(failed)?;
    let ja4 = column("ja4").map(|column| column.id);
    let text = |value| if let ValueRef::Str(text) = value { Some(text.to_owned()) } else { None };
    Ok(records
        .iter()
        .map(|record| Label {
            ends: [
                SocketAddr::new(record.ends.src_ip, record.ends.src_port),
                SocketAddr::new(record.ends.dst_ip, record.ends.dst_port),
            ],
            // A label by the port alone says nothing of what was sent.
            protocol: match record.confidence {
                Confidence::Port => "unknown".to_owned(),
                _ => record.protocol.name().to_owned(),
            },
            risks: record.risks().iter().map(|found| found.risk.name.to_owned()).collect(),
            ja4: ja4.and_then(|id| record.values(id).next()).and_then(text),
        })
        .collect())
}

/// By nDPI, as Debian's `ndpiReader` says it, without guesses by port; `None` if that is not installed.
///
/// # Errors
/// If it is, and fails.
pub fn ndpi(capture: &Path) -> Result<Option<Vec<Label>>, LabError> {
    let failed = |message: String| LabError::Failed { what: "ndpiReader".into(), message };
    let output = match Command::new("ndpiReader").args(["-d", "-v", "2", "-i"]).arg(capture).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| failed(e.to_string()))?,
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).lines().filter_map(ndpi_line).collect()))
}

/// A flow's line of `ndpiReader -v 2`.
fn ndpi_line(line: &str) -> Option<Label> {
    let (head, rest) = line.split_once(" [proto: ")?;
    // `1  TCP 192.0.2.10:46928 <-> 192.0.2.1:443`; `->` if nothing came back.
    let words: Vec<&str> = head.split_whitespace().collect();
    let [_, _, first, "<->" | "->", second] = words[..] else { return None };
    let ends = [first.parse().ok()?, second.parse().ok()?];
    let (number_and_name, _) = rest.split_once(']')?;
    let protocol = number_and_name.split_once('/').map_or(number_and_name, |(_, name)| name);
    // The names stand between pairs of asterisks: `[Risk: ** One **** Another **]`.
    let risks =
        rest.split_once("[Risk: ").and_then(|(_, risks)| risks.split_once(']')).map(|(risks, _)| risks);
    let risks = risks.unwrap_or_default().split("**").map(str::trim).filter(|risk| !risk.is_empty());
    let risks = risks.map(str::to_owned).collect();
    Some(Label { ends, protocol: protocol.to_owned(), risks, ja4: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ndpi_says() {
        let line = "\t2\tTCP [2001:db8::10]:36694 <-> [2001:db8::1]:80 [proto: 7/HTTP][ClearText][Confidence: DPI]\
                    [20 pkts/1854 bytes <-> 18 pkts/21798 bytes][StatusCode: 200]\
                    [Risk: ** HTTP Suspicious Content **** Clear-Text Credentials **][Risk Score: 200]";
        let label = ndpi_line(line).unwrap();
        assert_eq!(
            label.ends,
            ["[2001:db8::10]:36694".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()]
        );
        assert_eq!(label.protocol, "HTTP");
        assert_eq!(label.risks, ["HTTP Suspicious Content", "Clear-Text Credentials"]);
        let line = "\t1\tTCP 192.0.2.10:46928 <-> 192.0.2.1:443 [proto: 91/TLS][Encrypted][cat: Web/5]";
        let label = ndpi_line(line).unwrap();
        assert_eq!((label.protocol.as_str(), label.risks.len()), ("TLS", 0));
        assert_eq!(ndpi_line("Traffic statistics: [proto: 1/none]"), None);
    }

    #[test]
    fn the_inspector_labels_the_tour() {
        let found = inspect("../../testdata/tour.pcap".as_ref()).unwrap();
        let web = found.iter().find(|label| label.protocol == "tls" && label.ja4.is_some()).unwrap();
        assert!(web.ja4.as_ref().unwrap().starts_with("t1"), "{web:?}");
        assert!(found.iter().any(|label| label.risks.iter().any(|risk| risk == "clear-text-credentials")));
    }
}
