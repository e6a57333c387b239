//! What happened, in words for the person before the screen: what the network does, not what a program felt.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Stage};

/// A way to a server, as people name it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Route {
    /// The server's name or address.
    pub server: String,
    /// The transport's name.
    pub transport: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.server, self.transport)
    }
}

/// Why a route does not carry, as a whole sentence without a full stop.
#[must_use]
pub fn explain(route: &Route, cause: &Cause) -> String {
    let server = &route.server;
    match *cause {
        Cause::Alert { alert } => {
            format!("somebody ended the TLS handshake with {server} (alert {alert})")
        }
        Cause::Busy => format!("{server} is at its limit"),
        Cause::Certificate => {
            format!(
                "{server} showed a wrong certificate: this network may be in between, or the site has moved"
            )
        }
        Cause::Handshake => {
            format!("{server} answered, but not to this card: it may have expired, or somebody is in between")
        }
        Cause::Name => format!("this network does not find the name {server}"),
        Cause::Refused => format!("connections to {server} are refused"),
        Cause::Reset { stage: Stage::Name | Stage::Connect, .. } => {
            format!("this network cuts connections to {server} at once")
        }
        Cause::Reset { stage: Stage::Tls, .. } => {
            format!("this network cuts connections to {server} in the TLS handshake")
        }
        Cause::Reset { stage: Stage::Session, .. } => {
            format!("this network cuts connections to {server} after the TLS handshake")
        }
        Cause::Reset { stage: Stage::Data, received_bytes } => {
            format!(
                "this network cuts connections to {server} after the handshake ({} in)",
                Bytes(received_bytes)
            )
        }
        Cause::Stalled { received_bytes } => {
            format!("this network freezes connections to {server} after {}", Bytes(received_bytes))
        }
        Cause::Throttled { rate, control } => format!(
            "this network slows {server} down to {}/s, where {}/s would be possible",
            Bytes(rate),
            Bytes(control)
        ),
        Cause::Timeout { stage: Stage::Name } => {
            format!("this network does not answer for the name {server}")
        }
        Cause::Timeout { stage: Stage::Connect } => {
            format!("{server} does not answer: it is down, or blocked by its address")
        }
        Cause::Timeout { stage: Stage::Tls } => {
            format!("this network swallows the TLS handshake with {server}")
        }
        Cause::Timeout { stage: Stage::Session | Stage::Data } => {
            format!("{server} is reached, but the tunnel's handshake does not come through")
        }
        Cause::Unreachable => format!("there is no way to {server}: is this machine online?"),
        Cause::Unsupported => format!("this version can't use {route}: a newer one may"),
    }
}

/// That one route took another's place.
#[must_use]
pub fn switched(from: &Route, cause: &Cause, to: &Route) -> String {
    if from.server == to.server {
        format!("{}; switched to {}", explain(from, cause), to.transport)
    } else {
        format!("{}; switched to {to}", explain(from, cause))
    }
}

/// That nothing works, with what each route met.
#[must_use]
pub fn exhausted(failures: &[(Route, Cause)], wait_s: u64) -> String {
    let is_offline = |(_, cause): &(Route, Cause)| matches!(cause, Cause::Unreachable | Cause::Name);
    if !failures.is_empty() && failures.iter().all(is_offline) {
        return format!("this machine seems to be offline; trying again in {wait_s} s");
    }
    let refuses_card = |(_, cause): &(Route, Cause)| *cause == Cause::Handshake;
    if !failures.is_empty() && failures.iter().all(refuses_card) {
        return "every server refuses these cards: ask for new ones where you got them".into();
    }
    let routes = failures.len();
    format!("none of {routes} routes works on this network; trying again in {wait_s} s")
}

/// So many bytes, in units of 1024.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let (mut value, mut unit) = (self.0 as f64 / 1024.0, 0);
        while value >= 1000.0 && unit + 1 < UNITS.len() {
            (value, unit) = (value / 1024.0, unit + 1);
        }
        let digits = usize::from(value < 10.0);
        write!(f, "{value:.digits$} {}", UNITS.get(unit).unwrap_or(&"TiB"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_understands() {
        let web = Route { server: "example.org".into(), transport: "web".into() };
        let plain = Route { transport: "plain".into(), ..web.clone() };
        let other = Route { server: "192.0.2.1".into(), ..web.clone() };
        let cut = Cause::Reset { stage: Stage::Data, received_bytes: 16 << 10 };
        assert_eq!(
            switched(&web, &cut, &plain),
            "this network cuts connections to example.org after the handshake (16 KiB in); switched to plain"
        );
        assert_eq!(
            switched(&web, &Cause::Throttled { rate: 17_000, control: 3 << 20 }, &other),
            "this network slows example.org down to 17 KiB/s, where 3.0 MiB/s would be possible; switched to 192.0.2.1 (web)"
        );
        assert_eq!(
            exhausted(&[(web.clone(), Cause::Name), (other.clone(), Cause::Unreachable)], 4),
            "this machine seems to be offline; trying again in 4 s"
        );
        assert_eq!(
            exhausted(&[(web, Cause::Refused), (other, Cause::Unreachable)], 4),
            "none of 2 routes works on this network; trying again in 4 s"
        );
    }

    #[test]
    fn bytes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_023_999, "1000 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
