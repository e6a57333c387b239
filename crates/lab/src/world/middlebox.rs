//! What stands in a link: a hop with adversaries, or a bridge that can be cut with a program beside it.

use std::fmt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::hop_box::HopBox;
use super::program::Program;
use super::{Namespace, World};
use crate::LabError;
use crate::scenario::model::{Change, Link};

/// What a link does to packets, in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// It carries nothing.
    pub cut: bool,
    /// Added delay.
    pub delay_ms: f64,
    /// How far the delay varies to either side.
    pub jitter_ms: f64,
    /// Packets that get lost.
    pub loss_percent: f64,
    /// Its rate, if it is limited.
    pub rate_mbit: Option<f64>,
    /// How much waits when it is full.
    pub queue_kb: Option<f64>,
}

impl Shape {
    /// That of a link at the start.
    pub fn of(link: &Link) -> Self {
        let value = |v: &Option<toml::Spanned<f64>>| v.as_ref().map(|v| *v.get_ref());
        Self {
            cut: false,
            delay_ms: value(&link.delay_ms).unwrap_or(0.0),
            jitter_ms: value(&link.jitter_ms).unwrap_or(0.0),
            loss_percent: value(&link.loss_percent).unwrap_or(0.0),
            rate_mbit: value(&link.rate_mbit),
            queue_kb: value(&link.queue_kb),
        }
    }

    /// With what an event changes.
    pub fn changed(self, change: &Change) -> Self {
        Self {
            cut: self.cut,
            delay_ms: change.delay_ms.unwrap_or(self.delay_ms),
            jitter_ms: change.jitter_ms.unwrap_or(self.jitter_ms),
            loss_percent: change.loss_percent.unwrap_or(self.loss_percent),
            rate_mbit: change.rate_mbit.or(self.rate_mbit),
            queue_kb: change.queue_kb.or(self.queue_kb),
        }
    }

    /// Whether it does more than carry or cut.
    pub fn is_plain(&self) -> bool {
        Self { cut: false, ..*self } == Self::default()
    }
}

/// Something between a link's two sides: the interfaces `a` and `b` of a namespace.
pub trait Middlebox: fmt::Debug + Send {
    /// Changes what it does to packets.
    ///
    /// # Errors
    /// With what of it can't be done, in words.
    fn shape(&mut self, shape: &Shape) -> Result<(), String>;

    /// Switches an adversary on or off.
    ///
    /// # Errors
    /// With why it can't, in words.
    fn adversary(&mut self, name: &str, enabled: bool) -> Result<(), String>;

    /// The adversaries that are really there, by name.
    fn enacted(&self) -> Vec<String>;

    /// What it counted until now.
    fn counters(&self) -> Value;

    /// What went wrong by itself, in words: asked once, at the end of the timeline.
    fn trouble(&mut self) -> Option<String> {
        None
    }

    /// Ends it.
    fn finish(self: Box<Self>);
}

/// Starts what a link needs between its sides. `adversaries` are the scenario's tables, untouched.
///
/// # Errors
/// If a program can't be started; and with warnings where a link asks for what this build has not.
pub fn start_middlebox(
    world: &World,
    link: &Link,
    warnings: &mut Vec<String>,
) -> Result<Option<Box<dyn Middlebox>>, LabError> {
    let Some(name) = world.plan.boxes.get(&link.name()) else { return Ok(None) };
    let namespace = world.namespace(name)?.clone();
    // A program stands beside the kernel's bridge; everything else is done in user space.
    let mut bridge = if link.program.is_none() {
        let mut problems = Vec::new();
        let mut hop = HopBox::new(namespace, link, world.seed, &mut problems);
        problems.extend(hop.restart().err());
        warnings.extend(problems.iter().map(|why| format!("link {:?}: {why}", link.name())));
        return Ok(Some(Box::new(hop)));
    } else {
        Bridge::new(namespace)?
    };
    if let Err(why) = bridge.shape(&Shape::of(link)) {
        warnings.push(format!("link {:?}: {why}", link.name()));
    }
    if let Some(program) = &link.program {
        let log = world.folder.join(format!("link-{}.txt", link.name()));
        bridge.program = Some(Program::start(&bridge.namespace, program.get_ref(), &log)?);
    }
    Ok(Some(Box::new(bridge)))
}

/// The kernel's bridge between the two sides. It can be cut and its rate limited; a program may run beside it.
#[derive(Debug)]
pub struct Bridge {
    namespace: Namespace,
    program: Option<Program>,
}

impl Bridge {
    const NO_ADVERSARY: &'static str = "a plain bridge stands in this link";

    /// Bridges the interfaces `a` and `b` of a namespace.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn new(namespace: Namespace) -> Result<Self, LabError> {
        super::batch(
            &["-netns", &namespace.name],
            "link add name bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set dev bridge up\n\
             link set dev a master bridge\nlink set dev b master bridge\n",
        )?;
        Ok(Self { namespace, program: None })
    }

    /// Runs a short command in the namespace.
    fn tool(&self, command: &str) -> Result<(), String> {
        let mut words = command.split(' ');
        let mut tool = Command::new(words.next().unwrap_or_default());
        tool.args(words).stdin(Stdio::null());
        let output = self
            .namespace
            .run(move || tool.output())
            .and_then(|r| r)
            .map_err(|e| format!("{command}: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

impl Middlebox for Bridge {
    fn shape(&mut self, shape: &Shape) -> Result<(), String> {
        // A disabled port drops without a sound, as a cut fibre far away does; the interfaces stay up, and routes with them.
        self.tool(&format!("bridge link set dev a state {}", if shape.cut { 0 } else { 3 }))?;
        if let Some(rate) = shape.rate_mbit {
            let bytes = shape.queue_kb.unwrap_or(128.0) * 1000.0;
            let burst = (rate * 1e6 / 8.0 * 0.002).max(4000.0);
            for side in ["a", "b"] {
                self.tool(&format!(
                    "tc qdisc replace dev {side} root tbf rate {}kbit burst {burst:.0} limit {bytes:.0}",
                    (rate * 1000.0).round()
                ))?;
            }
        }
        let unable: Vec<&str> =
            [(shape.delay_ms > 0.0 || shape.jitter_ms > 0.0, "delay"), (shape.loss_percent > 0.0, "loss")]
                .into_iter()
                .filter_map(|(asked, what)| asked.then_some(what))
                .collect();
        if unable.is_empty() {
            return Ok(());
        }
        Err(format!("a plain bridge stands in this link, which has no {}", unable.join(" and no ")))
    }

    fn adversary(&mut self, name: &str, _enabled: bool) -> Result<(), String> {
        Err(format!("{name:?}: {}", Self::NO_ADVERSARY))
    }

    fn enacted(&self) -> Vec<String> {
        Vec::new()
    }

    fn counters(&self) -> Value {
        json!({})
    }

    fn trouble(&mut self) -> Option<String> {
        self.program.as_mut()?.trouble()
    }

    fn finish(mut self: Box<Self>) {
        if let Some(mut program) = self.program.take() {
            program.end();
        }
    }
}
