//! Microsoft Teams' and Skype's transport relay over UDP.
//!
//! Most of a Teams call is STUN and TURN with Microsoft's attributes ([`stun`](super::stun) names the application
//! there) and SRTP. What is left is a protocol of its own to the relays' ports, 3478 to 3481, that Microsoft does not
//! document: the server answers the client's first datagram with the type 3 and a version-4 UUID in text. That answer,
//! to a datagram from the client, on one of those ports, is what is claimed here; everything else about it is opaque.

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields, udp,
};

fields! { ProtocolId::Teams;
    SESSION: Str "session" "UUID that the relay gives the session";
}

/// Microsoft Teams' and Skype's transport relay.
pub const PROTOCOL: Protocol = Protocol {
    name: "teams",
    title: "Microsoft Teams transport relay",
    family: Family::Media,
    source: "observed; not documented by Microsoft",
    ports: &[udp(3478), udp(3479), udp(3480), udp(3481)],
    patterns: &[Pattern::udp().len(37, 37).tests(&[
        byte(0, 3),
        byte(9, b'-'),
        byte(14, b'-'),
        byte(15, b'4'),
        byte(19, b'-'),
    ])],
    identify,
    parser: Some(|| Box::new(Teams)),
    fields: FIELDS,
    ..Protocol::BASE
};

/// The UUID of an answer.
fn session(bytes: &[u8]) -> Option<&[u8]> {
    let [3, uuid @ ..] = bytes else { return None };
    let sound = uuid.len() == 36
        && uuid.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    sound.then_some(uuid)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let relay = (3478..=3481).any(|port| p.port(port));
    let asked = p.earlier.iter().any(|e| e.dir != p.dir);
    if !relay || session(p.payload).is_none() {
        Verdict::No
    } else if asked {
        Verdict::Yes
    } else {
        Verdict::Later
    }
}

struct Teams;

impl Parser for Teams {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        out.application("teams");
        if let Some(uuid) = session(bytes) {
            out.set(SESSION, Value::text(uuid));
            if dir == Dir::Server {
                out.confirm();
            }
        }
        Step::Finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    const ANSWER: &[u8] = b"\x03123e4567-e89b-42d3-a456-426614174000";

    #[test]
    fn an_answer_on_the_relays_port() {
        let seen = Flow::udp(3478).client(&[6, 0x5d, 0xfe]).server(ANSWER).run();
        assert_eq!(seen.protocol, ProtocolId::Teams);
        assert_eq!(seen.found.application, Some("teams"));
        assert_eq!(seen.show(SESSION), "123e4567-e89b-42d3-a456-426614174000");
    }

    #[test]
    fn elsewhere_or_unasked_or_with_another_text_it_is_not_claimed() {
        let unknown = |flow: &Flow<'_>| assert_eq!(flow.run().protocol, ProtocolId::Unknown);
        unknown(&Flow::udp(5000).client(&[6, 0x5d, 0xfe]).server(ANSWER));
        unknown(&Flow::udp(3478).server(ANSWER));
        let mut odd = ANSWER.to_vec();
        odd[36] = b'g';
        unknown(&Flow::udp(3478).client(&[6, 0x5d, 0xfe]).server(&odd));
    }
}
