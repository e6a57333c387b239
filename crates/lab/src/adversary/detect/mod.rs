//! Detectors of disguised traffic, as oracles: what a censor on the path could compute, applied to captured connections.
//!
//! Each stands in a file of its own with its source, its exact rule, and what it can't see; [`DETECTORS`] is the table of
//! them. A [`Detector`] compares the [`Evidence`] of one way to carry traffic with that of ordinary HTTPS, the control: a
//! rule that also hits the control tells a censor nothing, however often it hits.
//!
//! They exist to score Daylight's own tunnel. The inspector and the filter have none of them, and don't depend on this crate.

pub mod connection;
pub mod connection_count;
pub mod cross_layer_rtt;
pub mod entropy;
pub mod first_sizes;
pub mod fully_encrypted;
pub mod labels;
pub mod opcodes;
pub mod post_handshake;
pub mod quic_rules;
pub mod records;
#[cfg(test)]
mod testing;
pub mod tls_in_tls;
pub mod trojan;
pub mod wireguard;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

pub use connection::{Connection, Packet};
use labels::Label;
use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::statistics;

/// How improbable a difference has to be, if there is none, to count as one.
pub const SIGNIFICANCE: f64 = 0.01;

/// What was captured of one way to carry traffic.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Its connections.
    pub connections: Vec<Connection>,
    /// What Daylight's inspector calls them.
    pub inspected: Vec<Label>,
    /// What nDPI calls them, if it is installed.
    pub ndpi: Option<Vec<Label>>,
}

impl Evidence {
    /// Of a capture.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(capture: &Path) -> Result<Self, LabError> {
        let mut connections = connection::read(capture)?;
        connections.retain(|connection| !connection.packets.is_empty());
        // Connections that said nothing (a browser opens some in advance) have no label that means something.
        let spoke: BTreeSet<[SocketAddr; 2]> =
            connections.iter().flat_map(|c| [[c.client, c.server], [c.server, c.client]]).collect();
        let labels = |mut labels: Vec<Label>| {
            labels.retain(|label| spoke.contains(&label.ends));
            labels
        };
        let (inspected, ndpi) = (labels(labels::inspect(capture)?), labels::ndpi(capture)?.map(labels));
        Ok(Self { connections, inspected, ndpi })
    }
}

/// What a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// A rule that holds for some connections.
    Rate {
        /// For how many it holds.
        hits: usize,
        /// Of how many.
        total: usize,
        /// The same for the control.
        control_hits: usize,
        /// Of how many of the control.
        control_total: usize,
        /// The probability of so many hits or more if the control's rate held (Fisher, one-sided).
        p_value: f64,
    },
    /// A comparison of distributions.
    Difference {
        /// The probability of such a difference or a greater one if there is none.
        p_value: f64,
    },
    /// A number with a limit.
    Count {
        /// The number.
        value: usize,
        /// The control's.
        control: usize,
        /// What is safe.
        limit: usize,
    },
}

impl Finding {
    /// A rate with its probability.
    pub fn rate((hits, total): (usize, usize), (control_hits, control_total): (usize, usize)) -> Self {
        let p_value = statistics::fisher_greater(hits, total, control_hits, control_total);
        Self::Rate { hits, total, control_hits, control_total, p_value }
    }

    /// Whether a censor who uses the detector could tell this from the control.
    pub fn is_excess(&self) -> bool {
        match *self {
            Self::Rate { p_value, .. } | Self::Difference { p_value } => p_value < SIGNIFICANCE,
            Self::Count { value, control, limit } => value > limit && value > control,
        }
    }
}

/// How a detector judges.
#[derive(Clone, Copy, Debug)]
pub enum Judge {
    /// One connection after the other.
    Connection(fn(&Connection) -> bool),
    /// All of them, and the control; `None` if it has nothing to judge by.
    Group(fn(&Evidence, &Evidence) -> Option<Finding>),
}

/// A detector.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// Its name: short, lower case, hyphenated.
    pub name: &'static str,
    /// Where its rule comes from.
    pub source: &'static str,
    /// How it judges.
    pub judge: Judge,
}

impl Detector {
    /// What it finds; `None` if it has nothing to judge by.
    pub fn judge(&self, evidence: &Evidence, control: &Evidence) -> Option<Finding> {
        match self.judge {
            Judge::Connection(flags) => {
                let count =
                    |e: &Evidence| (e.connections.iter().filter(|c| flags(c)).count(), e.connections.len());
                Some(Finding::rate(count(evidence), count(control)))
            }
            Judge::Group(judge) => judge(evidence, control),
        }
    }
}

/// All of them, in the order of the table that is printed.
pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "fully-encrypted",
        source: "Wu et al., USENIX Security 2023, Algorithm 1",
        judge: Judge::Connection(fully_encrypted::flags),
    },
    Detector { name: "entropy", source: "nDPI, ndpi_entropy2risk", judge: Judge::Connection(entropy::flags) },
    Detector {
        name: "tls-in-tls",
        source: "Xue et al., USENIX Security 2024; nDPI's models",
        judge: Judge::Connection(tls_in_tls::flags),
    },
    Detector { name: "trojan-tree", source: "OpenGFW, trojan.go", judge: Judge::Connection(trojan::flags) },
    Detector {
        name: "cross-layer-rtt",
        source: "Xue et al., NDSS 2025",
        judge: Judge::Group(|evidence, control| {
            let values = |e: &Evidence| -> Vec<f64> {
                e.connections.iter().filter_map(cross_layer_rtt::difference_ms).collect()
            };
            let (values, control) = (values(evidence), values(control));
            (!values.is_empty() && !control.is_empty())
                .then(|| Finding::Difference { p_value: statistics::tends_higher(&values, &control) })
        }),
    },
    Detector {
        name: "first-sizes",
        source: "chi-square over the first ten packets",
        judge: Judge::Group(|evidence, control| {
            let p_value = first_sizes::compare(&evidence.connections, &control.connections);
            Some(Finding::Difference { p_value })
        }),
    },
    Detector {
        name: "post-handshake",
        source: "Aparecium, 2024",
        judge: Judge::Group(|evidence, control| {
            let is_tls = |e: &Evidence| e.connections.iter().any(records::is_tls);
            (is_tls(evidence) && is_tls(control)).then(|| Finding::Difference {
                p_value: post_handshake::compare(&evidence.connections, &control.connections),
            })
        }),
    },
    Detector {
        name: "openvpn",
        source: "Xue et al., USENIX Security 2022, Algorithm 1",
        judge: Judge::Connection(opcodes::flags),
    },
    Detector {
        name: "wireguard",
        source: "Donenfeld, NDSS 2017",
        judge: Judge::Connection(wireguard::flags),
    },
    Detector {
        name: "quic-china",
        source: "Zohaib et al., USENIX Security 2025",
        judge: Judge::Connection(quic_rules::read_in_china),
    },
    Detector {
        name: "quic-russia",
        source: "Xue et al., IMC 2022",
        judge: Judge::Connection(quic_rules::dropped_in_russia),
    },
    Detector {
        name: "connection-count",
        source: "net4people/bbs#546",
        judge: Judge::Group(|evidence, control| {
            let most = |e: &Evidence| connection_count::most_at_once(&e.connections);
            Some(Finding::Count {
                value: most(evidence),
                control: most(control),
                limit: connection_count::SAFE_MAX,
            })
        }),
    },
    Detector {
        name: "ja4",
        source: "FoxIO, JA4; against the control's client",
        judge: Judge::Group(|evidence, control| {
            let prints = |label: &Label| label.ja4.clone().into_iter().collect();
            unlike(&evidence.inspected, &control.inspected, prints)
        }),
    },
    Detector {
        name: "inspect-label",
        source: "Daylight's inspector",
        judge: Judge::Group(|evidence, control| unlike(&evidence.inspected, &control.inspected, protocol)),
    },
    Detector {
        name: "inspect-risk",
        source: "Daylight's inspector",
        judge: Judge::Group(|evidence, control| unlike(&evidence.inspected, &control.inspected, risks)),
    },
    Detector {
        name: "ndpi-label",
        source: "ndpiReader",
        judge: Judge::Group(|evidence, control| {
            unlike(evidence.ndpi.as_ref()?, control.ndpi.as_ref()?, protocol)
        }),
    },
    Detector {
        name: "ndpi-risk",
        source: "ndpiReader",
        judge: Judge::Group(|evidence, control| {
            unlike(evidence.ndpi.as_ref()?, control.ndpi.as_ref()?, risks)
        }),
    },
];

fn protocol(label: &Label) -> Vec<String> {
    vec![label.protocol.clone()]
}

fn risks(label: &Label) -> Vec<String> {
    label.risks.clone()
}

/// How many flows have something that none of the control has.
fn unlike(labels: &[Label], control: &[Label], of: fn(&Label) -> Vec<String>) -> Option<Finding> {
    let known: BTreeSet<String> = control.iter().flat_map(of).collect();
    let hits = labels.iter().filter(|label| of(label).iter().any(|one| !known.contains(one))).count();
    Some(Finding::rate((hits, labels.len()), (0, control.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_excess_of_itself() {
        let evidence = Evidence::read("../../testdata/tour.pcap".as_ref()).unwrap();
        for detector in DETECTORS {
            let finding = detector.judge(&evidence, &evidence);
            assert!(finding.is_none_or(|f| !f.is_excess()), "{}: {finding:?}", detector.name);
        }
    }

    #[test]
    fn an_excess_is_judged_by_the_control() {
        assert!(Finding::rate((10, 20), (0, 20)).is_excess());
        assert!(!Finding::rate((10, 20), (9, 20)).is_excess());
        assert!(!Finding::rate((0, 20), (20, 20)).is_excess(), "fewer hits than the control's");
        assert!(Finding::Count { value: 7, control: 6, limit: 6 }.is_excess());
        assert!(!Finding::Count { value: 7, control: 8, limit: 6 }.is_excess());
        assert!(!Finding::Count { value: 3, control: 1, limit: 6 }.is_excess());
    }

    #[test]
    fn names_are_short_enough_for_the_table() {
        for detector in DETECTORS {
            assert!(detector.name.len() <= 16 && !detector.source.is_empty(), "{}", detector.name);
        }
    }
}
