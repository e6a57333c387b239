//! What happens when.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Name;
use crate::scenario::Time;

/// Something that happens at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// When.
    pub at: Spanned<Time>,
    /// What the timeline says; without it, made from what happens.
    pub title: Option<String>,
    /// Adversaries to switch on, by name.
    #[serde(default)]
    pub enable: Vec<Name>,
    /// Adversaries to switch off, by name.
    #[serde(default)]
    pub disable: Vec<Name>,
    /// Links to cut: they carry nothing.
    #[serde(default)]
    pub cut: Vec<Name>,
    /// Links to mend.
    #[serde(default)]
    pub mend: Vec<Name>,
    /// Links to change, with what changes.
    #[serde(default)]
    pub change: BTreeMap<Name, Change>,
    /// Services to start.
    #[serde(default)]
    pub start: Vec<Name>,
    /// Services to stop.
    #[serde(default)]
    pub stop: Vec<Name>,
    /// A command to run on a host.
    pub run: Option<Run>,
}

/// A command on a host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// Where: a host, or a network for its router.
    pub host: Name,
    /// What.
    pub program: Spanned<Vec<String>>,
}

/// What changes of a link; the rest stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Link::delay_ms`](super::Link::delay_ms).
    pub delay_ms: Option<f64>,
    /// See [`Link::jitter_ms`](super::Link::jitter_ms).
    pub jitter_ms: Option<f64>,
    /// See [`Link::loss_percent`](super::Link::loss_percent).
    pub loss_percent: Option<f64>,
    /// See [`Link::rate_mbit`](super::Link::rate_mbit).
    pub rate_mbit: Option<f64>,
    /// See [`Link::queue_kb`](super::Link::queue_kb).
    pub queue_kb: Option<f64>,
}
