//! What hides a name from a filter that looks at packets one by one, and hides it from no server. For each, the name is
//! stopped, and another name on the same address and port, hidden in the same way, is not.

mod decoys;
mod dns;
mod fragments;
mod http;
mod quic;
mod tls;

use crate::raw::Wire;

/// The name that policies stop, and one of the same length that they don't.
const NAMES: [&str; 2] = ["blocked.example.org", "allowed.example.org"];

/// Plays each case over IPv4 and IPv6 for both names, and tells of all that went wrong together.
fn each<C>(
    cases: impl Iterator<Item = (&'static str, C)>,
    wires: &[Wire],
    play: impl Fn(&Wire, &C, &str) -> Result<(), String>,
) {
    let mut failed = Vec::new();
    for (case, way) in cases {
        for (wire, name) in wires.iter().flat_map(|wire| NAMES.map(|name| (wire, name))) {
            if let Err(error) = play(wire, &way, name) {
                eprintln!("{case}, {name}, {}: {error}", wire.to);
                failed.push(format!("{case}, {name}, {}: {error}", wire.to));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn ensure(holds: bool, or: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(or()) }
}
