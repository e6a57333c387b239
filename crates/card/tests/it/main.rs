//! Cards, lists, fliers and drives as their users meet them.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod cards;
mod drives;
mod fliers;
mod lists;
mod scanning;

use daylight_card::{
    Address, Card, Certificate, Day, Issuer, Offer, Secret, SecretKey, Server, Transport, Trust, Validity,
};

/// 2026-11-23.
const TODAY_S: u64 = 1_795_392_000;

fn today() -> Day {
    Day::of_unix_s(TODAY_S)
}

/// A root, an issuer for whom it vouches, and who believes the root and knows the certificate.
struct World {
    root: SecretKey,
    issuer: SecretKey,
    certificate: Certificate,
    trust: Trust,
}

fn world() -> World {
    let root = SecretKey::from_seed([1; 32]).unwrap();
    let issuer = SecretKey::from_seed([2; 32]).unwrap();
    let body = Issuer { key: issuer.public() };
    let certificate = Certificate::sign(&body, Validity::new(today(), 120), &root).unwrap();
    let mut trust = Trust::new([root.public()]);
    trust.add_certificate(certificate.clone()).unwrap();
    World { root, issuer, certificate, trust }
}

/// A server as most are: a name, an IPv4 address, all transports.
fn server(number: u8) -> Server {
    Server {
        addresses: vec![
            Address::Ip([192, 0, 2, number].into()),
            Address::Name(format!("s{number}.example.org")),
        ],
        port: 443,
        offers: vec![
            Offer::new(Transport::Web),
            Offer::new(Transport::H3),
            Offer { port: Some(8388), ..Offer::new(Transport::Plain) },
        ],
        key: std::array::from_fn(|at| number.wrapping_mul(31).wrapping_add(at as u8)),
        secret: Secret::new(vec![number; 16]).unwrap(),
    }
}

fn card(number: u8) -> Card {
    Card::sign(&server(number), Validity::new(today(), 90), &world().issuer).unwrap()
}

/// Runs a program; `None`, with a word to whoever reads, if it isn't there.
fn run(program: &str, args: &[&str], folder: &std::path::Path) -> Option<std::process::Output> {
    match std::process::Command::new(program).args(args).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(why) => {
            eprintln!("skipped: {program} does not run: {why}");
            None
        }
    }
}
