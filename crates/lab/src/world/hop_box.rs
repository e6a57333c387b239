//! A link in user space: a [`Hop`] with the scenario's adversaries between its sides.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::Namespace;
use super::middlebox::{Middlebox, Shape};
use crate::adversary::Built;
use crate::hop::{Hop, HopConfig, Impairment};
use crate::scenario::adversary::Placed;
use crate::scenario::model::Link;

/// What stands in the link: what was asked for, and the hop that does it now.
///
/// A change ends the hop and starts another at once; what was on its way is gone, and adversaries forget what they had
/// seen.
pub(super) struct HopBox {
    namespace: Namespace,
    shape: Shape,
    adversaries: BTreeMap<String, Placed>,
    hop: Option<Hop>,
    /// What hops that have ended counted.
    before: Vec<Value>,
    seed: u64,
}

impl HopBox {
    /// For a link; with why an adversary can't stand in it, for each that can't.
    pub(super) fn new(namespace: Namespace, link: &Link, seed: u64, problems: &mut Vec<String>) -> Self {
        let mut adversaries = BTreeMap::new();
        for table in &link.adversary {
            match Placed::read(table.get_ref()) {
                Ok(placed) => _ = adversaries.insert(placed.name.clone(), placed),
                Err(why) => problems.push(why),
            }
        }
        // The same scenario loses the same packets, and each link its own.
        let seed = link
            .name()
            .bytes()
            .fold(7 ^ seed.rotate_left(17), |seed: u64, byte| seed.wrapping_mul(31) ^ u64::from(byte));
        Self { namespace, shape: Shape::of(link), adversaries, hop: None, before: Vec::new(), seed }
    }

    /// Ends the hop, and starts one that does what is asked for now.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.stop();
        if self.shape.cut {
            return Ok(());
        }
        let mut adversaries = Vec::new();
        for placed in self.adversaries.values().filter(|placed| placed.enabled) {
            if let Built::Packets(adversary) = placed.config.build(self.seed).map_err(|e| e.to_string())? {
                adversaries.push(adversary);
            }
        }
        let line = self.shape.line();
        let config = HopConfig { outbound: line.clone(), inbound: line, adversaries, seed: self.seed };
        let started = self.namespace.run(move || Hop::start("a", "b", config, None));
        let hop = started.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        self.hop = Some(hop);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(hop) = self.hop.take() {
            self.before.push(hop.stop().map_or_else(|e| json!({ "error": e.to_string() }), |r| json!(r)));
        }
    }
}

impl Shape {
    /// The same for a hop, in one direction.
    fn line(&self) -> Impairment {
        Impairment {
            delay_ms: self.delay_ms,
            jitter_ms: self.jitter_ms,
            loss: self.loss_percent / 100.0,
            rate_mbit_per_s: self.rate_mbit,
            queue_bytes: self.queue_kb.map(|kb| (kb * 1000.0) as u64),
            ..Impairment::default()
        }
    }
}

impl Middlebox for HopBox {
    fn shape(&mut self, shape: &Shape) -> Result<(), String> {
        self.shape = *shape;
        self.restart()
    }

    fn adversary(&mut self, name: &str, enabled: bool) -> Result<(), String> {
        let Some(placed) = self.adversaries.get_mut(name) else {
            return Err(format!("adversary {name:?} does not stand in this link"));
        };
        placed.enabled = enabled;
        self.restart()
    }

    fn enacted(&self) -> Vec<String> {
        self.adversaries.keys().cloned().collect()
    }

    fn counters(&self) -> Value {
        let now = self.hop.as_ref().map(|hop| json!(hop.report()));
        json!(self.before.iter().cloned().chain(now).collect::<Vec<_>>())
    }

    fn finish(mut self: Box<Self>) {
        self.stop();
    }
}

impl fmt::Debug for HopBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.adversaries.keys().collect();
        f.debug_struct("HopBox").field("shape", &self.shape).field("adversaries", &names).finish()
    }
}
