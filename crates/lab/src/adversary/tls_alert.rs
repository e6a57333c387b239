//! A TLS alert in the server's place: the handshake fails as if the server refused the name.
//!
//! **Model.** Filters that end TLS in the words of TLS: the alert is fatal and in the clear, as everything before the ServerHello's keys
//! is (RFC 8446 §6.2), and FIN follows it. The user sees a handshake failure, which looks like a server's own; a prober tells it
//! apart by where it comes from, and by a ClientHello in two segments, which such a box doesn't put together. CenTrace (Raman et
//! al., CoNEXT 2022) counts answers of TLS among what terminates a trace.

use serde::{Deserialize, Serialize};

use super::http_block_page::ForgedAnswer;
use super::mark::Mark;
use super::trigger::{Match, Reassembly, Trigger};
use super::{Adversary, Place};

/// An adversary that answers with an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsAlertConfig {
    /// What it looks for: `sni`, `prefixes`, `ports`.
    #[serde(rename = "match")]
    pub matching: Match,
    /// Where it stands.
    #[serde(default)]
    pub place: Place,
    /// Which alert (RFC 8446 §6): 40 handshake_failure, 49 access_denied, 112 unrecognized_name.
    #[serde(default = "handshake_failure")]
    pub alert: u8,
    /// What its packets look like.
    #[serde(default)]
    pub mark: Mark,
    /// How it reads TCP.
    #[serde(default = "no_reassembly")]
    pub reassembly: Reassembly,
}

fn handshake_failure() -> u8 {
    40
}

fn no_reassembly() -> Reassembly {
    Reassembly::None
}

impl TlsAlertConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        let record = vec![ALERT, 3, 3, 0, 2, FATAL, self.alert];
        let trigger = Trigger::new(self.matching.clone(), self.reassembly);
        ForgedAnswer::adversary("tls-alert", trigger, record, self.mark, self.place, seed)
    }
}

#[cfg(test)]
mod tests {
    use daylight_packet::TcpHeader;

    use super::*;
    use crate::adversary::Verdict;
    use crate::adversary::packet::Packet;
    use crate::adversary::testing::{Talk, hello};

    #[test]
    fn a_fatal_alert_and_the_end() {
        let text = "match.sni = ['blocked.example']\nalert = 112";
        for (name, forged) in [("www.blocked.example", 2), ("fine.example", 0)] {
            let mut adversary = toml::from_str::<TlsAlertConfig>(text).unwrap().build(0);
            let mut talk = Talk::v4(443);
            talk.handshake(&mut adversary, 0);
            let packet = talk.client(TcpHeader::ACK | TcpHeader::PSH, &hello(name));
            let (verdict, injected) = talk.show(&mut adversary, 0, &packet);
            assert_eq!(injected.len(), forged, "{name}");
            let Some(first) = injected.first() else {
                assert_eq!(verdict, Verdict::Pass);
                continue;
            };
            let answer = Packet::from_ip(&first.ip).unwrap();
            let segment = answer.tcp().unwrap();
            assert_eq!(segment.payload, [21, 3, 3, 0, 2, 2, 112]);
            assert!(segment.has(TcpHeader::FIN) && verdict == Verdict::Drop);
        }
    }
}
