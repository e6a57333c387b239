//! What must hold for any bytes from outside, as functions over bytes: one for each reader. They assert properties,
//! not only that nothing panics: bounds, agreement with a simpler model, the same result on another way.
//!
//! `cargo xtask fuzz` runs them under libFuzzer. `cargo test --manifest-path fuzz/Cargo.toml` runs every seed (`seeds/`)
//! and every input that once failed (`regressions/`) through them, with the stable compiler alone.
#![forbid(unsafe_code)]

mod adversary;
mod audit;
mod capture;
mod catalog;
mod decode;
mod defragment;
mod engine;
mod expr;
mod indicators;
mod input;
mod nfqueue;
mod parsers;
mod policy;
mod reassemble;
mod scenario;
pub mod script;

use daylight_protocols::Family;

/// A target: its name, and what must hold.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("adversary", adversary::run),
    ("audit", audit::run),
    ("capture", capture::run),
    ("catalog", catalog::run),
    ("database", |data| parsers::run(Family::Database, data)),
    ("decode", decode::run),
    ("defragment", defragment::run),
    ("engine", engine::run),
    ("expr", expr::run),
    ("files", |data| parsers::run(Family::Files, data)),
    ("identity", |data| parsers::run(Family::Identity, data)),
    ("indicators", indicators::run),
    ("industrial", |data| parsers::run(Family::Industrial, data)),
    ("mail", |data| parsers::run(Family::Mail, data)),
    ("media", |data| parsers::run(Family::Media, data)),
    ("messaging", |data| parsers::run(Family::Messaging, data)),
    ("names", |data| parsers::run(Family::Names, data)),
    ("network", |data| parsers::run(Family::Network, data)),
    ("nfqueue", nfqueue::run),
    ("p2p", |data| parsers::run(Family::P2p, data)),
    ("policy", policy::run),
    ("reassemble", reassemble::run),
    ("remote", |data| parsers::run(Family::Remote, data)),
    ("scenario", scenario::run),
    ("vpn", |data| parsers::run(Family::Vpn, data)),
    ("web", |data| parsers::run(Family::Web, data)),
];

/// What takes long the first time: not to be counted as an input's.
pub fn prepare() {
    parsers::prepare();
    expr::run(b"");
}

/// Runs one target on one input.
///
/// # Panics
/// If something that must hold does not, or there is no such target.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no target {target}"));
    check(data);
}
