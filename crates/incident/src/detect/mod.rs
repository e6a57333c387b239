//! From rows to changes: what began when, where, and whether it ended.
//!
//! Three detectors, one cumulative sum ([`cusum`]). `interference` looks at each target on each network, and counts
//! probes; `silence` looks at each network, and counts the probes that measure at all; `slowness` looks at how long
//! connecting takes. A detector turns rows into steps, and segments into [`Change`]s.

pub(crate) mod adaptive;
pub mod baseline;
pub mod cusum;
mod interference;
pub mod likelihood;
pub mod run_length;
mod silence;
mod slowness;

use daylight_verdict::record::{Layer, State};
use serde::Serialize;

use crate::rows::Rows;
use crate::when::{HOUR_S, Moment};
use cusum::Thresholds;
pub(crate) use interference::{end_of, seen};
use likelihood::Shares;

/// What the detectors go by. The reference (`docs/reference/incidents.md`) has their sources and what they cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Shares of probes that meet interference.
    pub shares: Shares,
    /// Thresholds for interference.
    pub interference: Thresholds,
    /// Thresholds for silence, slowness and series.
    pub series: Thresholds,
    /// The fraction of the usual number of probes that a silence is taken to leave.
    pub silence_fraction: f64,
    /// A step of a count weighs at most this, so that one hour alone is no change.
    pub step_max: f64,
    /// A network is watched for silence if at least so many different probes measured from it.
    pub silence_probes_min: u32,
    /// Robust standard deviations that a change of a series is taken to move it by.
    pub shift: f64,
    /// Deviations beyond this count as this.
    pub deviations_max: f64,
    /// How long nothing must have been measured before the end of the data for a change to be "not measured since"
    /// rather than "continues".
    pub unmeasured_s: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            shares: Shares { before: 0.05, after: 0.5, probes_per_hour_max: 4.0 },
            interference: Thresholds { onset: 11.5, end: 6.9 },
            series: Thresholds { onset: 11.5, end: 11.5 },
            silence_fraction: 0.25,
            step_max: 6.0,
            silence_probes_min: 3,
            shift: 3.0,
            deviations_max: 5.0,
            unmeasured_s: 48 * HOUR_S,
        }
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A target is interfered with on a network, at a layer.
    Interference,
    /// Fewer probes than usual measure from a network.
    Silence,
    /// Connecting takes longer than usual on a network.
    Slowness,
}

impl Kind {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interference => "interference",
            Self::Silence => "silence",
            Self::Slowness => "slowness",
        }
    }
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was back to what it had been.
    At(Moment),
    /// It is so at the end of the data.
    Continues,
    /// Nobody measured it any more after this time (seconds since 1970): whether it goes on isn't known.
    NotMeasuredSince(i64),
}

impl End {
    /// The last time that it is known to have been so; `until` is the end of the data.
    pub fn known_until(&self, until: i64) -> i64 {
        match self {
            Self::At(moment) => moment.best,
            Self::Continues => until,
            Self::NotMeasuredSince(at) => *at,
        }
    }
}

/// A mechanism, as it was seen within a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The mechanism's number in [`Rows`], or `u32::MAX` where none was named.
    pub mechanism: u32,
    /// The strongest state that came with it.
    pub state: State,
    /// How many measurements.
    pub measurements: u32,
    /// How many different probes.
    pub probes: u32,
    /// When it was first seen, in seconds since 1970.
    pub first: u32,
    /// When it was last seen.
    pub last: u32,
    /// SHA-256 of the first measurement that it was seen in.
    #[serde(serialize_with = "as_hex")]
    pub witness: [u8; 32],
}

fn as_hex<S: serde::Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::rows::hex(hash))
}

/// A change: when something began, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What changed.
    pub kind: Kind,
    /// The target's number, for interference.
    pub target: Option<u32>,
    /// The network's number.
    pub network: u32,
    /// The layer, for interference.
    pub layer: Option<Layer>,
    /// The resolver's autonomous system, for interference with names.
    pub resolver: Option<u32>,
    /// When it began.
    pub onset: Moment,
    /// When the sum passed the threshold, in seconds since 1970.
    pub alarm: i64,
    /// How it ended.
    pub end: End,
    /// For interference the share of probes that met it; for silence the share of the usual probes that are missing; for
    /// slowness by what factor connecting took longer.
    pub share: f64,
    /// Different probes that measured while it lasted.
    pub probes: u32,
    /// Measurements while it lasted.
    pub measurements: u32,
    /// The mechanisms, the most frequent first.
    pub mechanisms: Vec<Seen>,
}

/// What the detectors made of the rows.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// The changes, in the order of their beginning.
    pub changes: Vec<Change>,
    /// How many series of shares were looked at.
    pub streams: u64,
    /// How many probe-hours were in them: what a false alarm's average run length is counted in.
    pub probe_hours: u64,
}

/// Finds all changes in rows. `until` is the end of the data, in seconds since 1970: from the last measurement to it there
/// was none.
pub fn detect(rows: &Rows, until: i64, parameters: &Parameters) -> Detected {
    let mut detected = interference::detect(rows, until, parameters);
    detected.changes.extend(silence::detect(rows, until, parameters));
    detected.changes.extend(slowness::detect(rows, until, parameters));
    // By numbers that stand for sorted names: the order of the input makes no difference.
    detected.changes.sort_by_key(|c| (c.onset.best, c.kind, c.network, c.target, c.layer, c.resolver));
    detected
}
