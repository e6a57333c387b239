//! A page in the site's place: an answer forged in the server's name, or a redirection to a page of the censor's.
//!
//! **Models.** Iran's 403 with an iframe to 10.10.34.34 (Aryan, Aryan and Halderman, "Internet Censorship in Iran: A First
//! Look", FOCI 2013). Belarus 2020 (Qurium): Beltelecom redirects to 82.209.230.23 with window 32678 and IPID 1, Business
//! Network to 212.98.160.60.
//!
//! The forged answer carries FIN, so the client takes it for complete. In the path, the request is dropped, and with it the
//! rest of the connection, and the server gets a reset. On the path, the request goes through: the true answer comes too,
//! after the client has closed the connection.

use daylight_packet::TcpHeader;
use serde::{Deserialize, Serialize};

use super::either::Look;
use super::mark::{Fill, Mark};
use super::packet::Packet;
use super::residual::{Residual, ResidualConfig};
use super::tcp_reset::{Resetter, Signature};
use super::trigger::{Match, Reassembly, Trigger};
use super::{Adversary, AdversaryCounters, Out, Place};
use crate::hop::Direction;
use crate::hop::random::Random;
use daylight_packet::build::{self, Tcp};

/// An adversary that answers in the site's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpBlockPageConfig {
    /// What it looks for: `hosts`, `keywords`, `prefixes`, `ports`.
    #[serde(rename = "match")]
    pub matching: Match,
    /// Where it stands.
    #[serde(default)]
    pub place: Place,
    /// What it answers.
    pub page: Page,
    /// How it reads TCP.
    #[serde(default)]
    pub reassembly: Reassembly,
}

/// What is answered in the site's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Page {
    /// Iran: 403 with an iframe.
    Iran,
    /// Belarus, Beltelecom: redirection.
    Beltelecom,
    /// Belarus, Business Network: redirection.
    BusinessNetwork,
    /// As told.
    Custom {
        /// HTTP status.
        status: u16,
        /// Where to redirect to, for status 301, 302 and the like.
        #[serde(default)]
        location: Option<String>,
        /// HTML.
        #[serde(default)]
        body: String,
        /// Header fields of the packets.
        #[serde(default)]
        mark: Mark,
    },
}

impl Page {
    /// The answer's bytes and what its packets look like.
    fn render(&self) -> (Vec<u8>, Mark) {
        let redirect = |to: &str, mark| (answer(302, Some(to), ""), mark);
        match self {
            Self::Iran => {
                let body = "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; \
                            charset=windows-1256\"><title>M1-6</title></head><body><iframe \
                            src=\"http://10.10.34.34?type=Invalid Site&policy=MainPolicy\" style=\"width: 100%; \
                            height: 100%\" scrolling=\"no\" marginwidth=\"0\" marginheight=\"0\" frameborder=\"0\" \
                            vspace=\"0\" hspace=\"0\"></iframe></body></html>";
                (answer(403, None, body), Mark::default())
            }
            Self::Beltelecom => redirect(
                "http://82.209.230.23",
                Mark { ip_id: Fill::Fixed(1), window: Fill::Fixed(32_678), ..Mark::default() },
            ),
            Self::BusinessNetwork => redirect("http://212.98.160.60", Mark::default()),
            Self::Custom { status, location, body, mark } => {
                (answer(*status, location.as_deref(), body), *mark)
            }
        }
    }
}

fn answer(status: u16, location: Option<&str>, body: &str) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        403 => "Forbidden",
        404 => "Not Found",
        _ => "Blocked",
    };
    let location = location.map_or(String::new(), |to| format!("Location: {to}\r\n"));
    format!(
        "HTTP/1.1 {status} {reason}\r\n{location}Content-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Data of one forged segment; less than any path's MTU.
const SEGMENT_BYTES: usize = 1200;

/// An adversary that answers in a server's place.
pub(super) struct ForgedAnswer {
    trigger: Trigger,
    answer: Vec<u8>,
    mark: Mark,
    dice: Random,
    resetter: Resetter,
    blocked: Residual,
    in_path: bool,
    counters: AdversaryCounters,
}

impl HttpBlockPageConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        let (answer, mark) = self.page.render();
        let trigger = Trigger::new(self.matching.clone(), self.reassembly);
        ForgedAnswer::adversary("http-block-page", trigger, answer, mark, self.place, seed)
    }
}

impl ForgedAnswer {
    /// Answers what sets `trigger` off with these bytes, and ends the connection.
    pub(super) fn adversary(
        kind: &'static str,
        trigger: Trigger,
        answer: Vec<u8>,
        mark: Mark,
        place: Place,
        seed: u64,
    ) -> Adversary {
        let forged = Self {
            trigger,
            answer,
            mark,
            dice: Random::new(seed),
            resetter: Resetter::new(&Signature::Plain, 0.0, seed),
            blocked: Residual::new(ResidualConfig::CONNECTION),
            in_path: place == Place::InPath,
            counters: AdversaryCounters::of(kind),
        };
        Adversary::at(place, forged)
    }

    fn forge(&mut self, direction: Direction, packet: &Packet<'_>, out: &mut Out) {
        let Some(segment) = packet.tcp() else { return };
        let [client, server] = segment.ports;
        let count = self.answer.len().div_ceil(SEGMENT_BYTES);
        for (i, data) in self.answer.chunks(SEGMENT_BYTES).enumerate() {
            let stamp = self.mark.stamp(packet, &mut self.dice);
            let offset = u32::try_from(i * SEGMENT_BYTES).unwrap_or(0);
            let last = if i + 1 == count { TcpHeader::FIN | TcpHeader::PSH } else { 0 };
            let forged = Tcp {
                source: packet.destination,
                destination: packet.source,
                source_port: server,
                destination_port: client,
                seq: segment.ack.wrapping_add(offset),
                ack: segment.seq.wrapping_add(segment.sequence_len()),
                flags: TcpHeader::ACK | last,
                window: match self.mark.window(packet, &mut self.dice) {
                    0 => u16::MAX,
                    window => window,
                },
                ttl: stamp.ttl,
                ip_id: stamp.ip_id,
                dont_fragment: stamp.dont_fragment,
                payload: data,
            };
            out.inject(direction.reverse(), build::tcp(&forged), 0);
            self.counters.injected += 1;
        }
    }
}

impl Look for ForgedAnswer {
    fn look(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> bool {
        match (self.blocked.holds(now_ns, packet), self.trigger.check(now_ns, direction, packet)) {
            (Some(from_client), _) => {
                self.counters.residual += 1;
                // The client closes too, and wants that acknowledged; else it tries for a minute.
                if from_client && packet.tcp().is_some_and(|s| s.has(TcpHeader::FIN)) {
                    self.counters.injected += self.resetter.send(direction, packet, true, false, out);
                }
                true
            }
            (None, Some(find)) => {
                self.counters.matched += 1;
                self.forge(direction, packet, out);
                // The rest of the connection is only for those to stop who stand in its path.
                if self.in_path {
                    self.blocked.start(now_ns, &find.flow);
                    self.counters.injected += self.resetter.send(direction, packet, false, false, out);
                }
                true
            }
            (None, None) => false,
        }
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::Verdict;
    use crate::adversary::testing::{Talk, http};

    fn run(page: &str, talk: &mut Talk, host: &str) -> (Verdict, Vec<super::super::Injected>) {
        let text = format!("match.hosts = ['blocked.example']\n{page}");
        let mut adversary = toml::from_str::<HttpBlockPageConfig>(&text).unwrap().build(0);
        talk.handshake(&mut adversary, 0);
        let packet = talk.client(TcpHeader::ACK | TcpHeader::PSH, &http("/", host));
        talk.show(&mut adversary, 0, &packet)
    }

    #[test]
    fn the_redirection_of_beltelecom() {
        let mut talk = Talk::v4(80);
        let (verdict, injected) = run("page = 'beltelecom'", &mut talk, "www.blocked.example");
        assert_eq!((verdict, injected.len()), (Verdict::Drop, 2));
        let packet = Packet::from_ip(&injected[0].ip).unwrap();
        let segment = packet.tcp().unwrap();
        assert_eq!((packet.ip_id, segment.window, segment.flags), (Some(1), 32_678, 0x19));
        assert_eq!((segment.seq, segment.ack), (talk.next[1], talk.next[0]));
        let text = String::from_utf8_lossy(segment.payload);
        assert!(text.starts_with("HTTP/1.1 302 Found\r\nLocation: http://82.209.230.23\r\n"), "{text}");
        // The server is told to forget it.
        assert_eq!(injected[1].direction, Direction::Outbound);
        assert!(Packet::from_ip(&injected[1].ip).unwrap().tcp().unwrap().has(TcpHeader::RST));
    }

    #[test]
    fn the_page_of_iran_on_both_kinds_of_ip() {
        for mut talk in [Talk::v4(80), Talk::v6(80)] {
            let (_, injected) = run("page = 'iran'\nplace = 'on-path'", &mut talk, "blocked.example");
            let packet = Packet::from_ip(&injected[0].ip).unwrap();
            let text = String::from_utf8_lossy(packet.tcp().unwrap().payload).into_owned();
            assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("10.10.34.34"), "{text}");
            assert_eq!(injected.len(), 1);
        }
    }

    #[test]
    fn a_long_page_comes_in_order_and_other_names_are_left_alone() {
        let page = format!("page.custom = {{ status = 200, body = '{}' }}", "x".repeat(3000));
        let mut talk = Talk::v4(80);
        let (_, injected) = run(&page, &mut talk, "blocked.example");
        let segments: Vec<_> = injected[..3].iter().map(|i| Packet::from_ip(&i.ip).unwrap()).collect();
        let segments: Vec<_> = segments.iter().map(|p| p.tcp().unwrap()).collect();
        let whole: Vec<u8> = segments.iter().flat_map(|s| s.payload.to_vec()).collect();
        assert!(whole.ends_with(&[b'x'; 3000]));
        assert_eq!(segments.iter().map(|s| s.flags & TcpHeader::FIN).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(segments[1].seq - segments[0].seq, 1200);
        assert_eq!(run(&page, &mut Talk::v4(80), "fine.example"), (Verdict::Pass, vec![]));
    }
}
