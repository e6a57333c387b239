//! What must hold for any bytes from outside, as functions over bytes: one for each reader. They assert properties,
//! not only that nothing panics: bounds, agreement with a simpler model, the same result on another way.
//!
//! `cargo xtask fuzz` runs them under libFuzzer. `cargo test --manifest-path fuzz/Cargo.toml` runs every seed (`seeds/`)
//! and every input that once failed (`regressions/`) through them, with the stable compiler alone.
#![forbid(unsafe_code)]

mod adversary;
mod audit;
mod capture;
mod card;
mod catalog;
mod decode;
mod defragment;
mod engine;
mod expr;
mod front;
mod handshake;
mod incident;
mod indicators;
mod input;
mod nfqueue;
mod packets;
mod parsers;
mod plain;
mod policy;
mod probe;
mod reassemble;
mod scenario;
pub mod script;
mod session;
mod tunnel;
mod verdict;

use daylight_protocols::Family;

/// A target: its name, and what must hold.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("adversary", adversary::run),
    ("answer", tunnel::answer),
    ("audit", audit::run),
    ("blockpages", verdict::fingerprints),
    ("bundle", incident::bundle),
    ("capture", capture::run),
    ("card", card::run),
    ("card-frame", card::frames),
    ("card-line", card::lines),
    ("catalog", catalog::run),
    ("control-pack", probe::pack),
    ("cookie", tunnel::cookie),
    ("database", |data| parsers::run(Family::Database, data)),
    ("decode", decode::run),
    ("defragment", defragment::run),
    ("dns-reply", probe::reply),
    ("engine", engine::run),
    ("expr", expr::run),
    ("files", |data| parsers::run(Family::Files, data)),
    ("front", front::run),
    ("handshake", handshake::run),
    ("helper-request", probe::request),
    ("identity", |data| parsers::run(Family::Identity, data)),
    ("indicators", indicators::run),
    ("industrial", |data| parsers::run(Family::Industrial, data)),
    ("injectors", packets::signatures),
    ("mail", |data| parsers::run(Family::Mail, data)),
    ("measurements", verdict::measurements),
    ("media", |data| parsers::run(Family::Media, data)),
    ("messaging", |data| parsers::run(Family::Messaging, data)),
    ("names", |data| parsers::run(Family::Names, data)),
    ("network", |data| parsers::run(Family::Network, data)),
    ("nfqueue", nfqueue::run),
    ("p2p", |data| parsers::run(Family::P2p, data)),
    ("packets", packets::packets),
    ("plain", plain::run),
    ("plugin-options", tunnel::options),
    ("policy", policy::run),
    ("reassemble", reassemble::run),
    ("remote", |data| parsers::run(Family::Remote, data)),
    ("report", tunnel::report),
    ("scenario", scenario::run),
    ("series", incident::series),
    ("server-config", tunnel::config),
    ("session", session::run),
    ("test-list", probe::list),
    ("verdict-rules", verdict::rules),
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
