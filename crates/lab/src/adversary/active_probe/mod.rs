//! Active probing: a censor that connects to a server by himself, to find out what it is.
//!
//! [`imc20`] and [`frolov20`] are the published sets of probes; [`exchange`] sends one and notes what comes back, when, and
//! how the connection ends; [`compare`] says whether a server can be told by that from another that is above suspicion: an
//! ordinary site, or a port where nobody answers.

pub mod compare;
pub mod exchange;
pub mod frolov20;
pub mod imc20;
pub mod quic;

use super::detect::connection::{Carrier, Connection};
use crate::hop::random::Random;

/// What a censor sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name: the set's, and what it is within the set.
    pub name: String,
    /// By what.
    pub carrier: Carrier,
    /// The datagrams of UDP; of TCP one piece, which is empty if he only connects.
    pub pieces: Vec<Vec<u8>>,
}

impl Probe {
    fn tcp(name: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), carrier: Carrier::Tcp, pieces: vec![payload.into()] }
    }

    fn udp(name: impl Into<String>, pieces: Vec<Vec<u8>>) -> Self {
        Self { name: name.into(), carrier: Carrier::Udp, pieces }
    }
}

/// All probes, with replays of what genuine clients sent first: the same for the same seed. A server is asked by UDP if its
/// clients came so.
pub fn suite(genuine: &[&Connection], seed: u64) -> Vec<Probe> {
    let mut dice = Random::new(seed);
    let mut probes = imc20::random(&mut dice);
    probes.extend(frolov20::probes(&mut dice));
    if genuine.iter().any(|connection| connection.carrier == Carrier::Udp) {
        probes.extend(quic::probes(&mut dice));
    }
    for (n, connection) in genuine.iter().enumerate() {
        let replays = match connection.carrier {
            Carrier::Tcp => imc20::replays(connection.first(true).unwrap_or_default(), &mut dice),
            Carrier::Udp => quic::replays(&flight(connection), &mut dice),
        };
        let numbered = |probe: Probe| Probe { name: format!("{} {n}", probe.name), ..probe };
        probes.extend(replays.into_iter().map(numbered));
    }
    probes
}

/// What genuine clients sent first, as it was: R1 of [`imc20`].
pub fn exact_replays(genuine: &[&Connection]) -> Vec<Probe> {
    let mut probes = suite(genuine, 0);
    probes.retain(|probe| probe.name.contains(" R1 "));
    probes
}

/// What a client sent before the server said anything.
fn flight(connection: &Connection) -> Vec<Vec<u8>> {
    connection.packets.iter().take_while(|p| p.from_client).map(|p| p.payload.clone()).collect()
}

fn random_bytes(dice: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| dice.bits() as u8).collect()
}
