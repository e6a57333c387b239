//! The largest of each kind over the last seconds and minutes.
//!
//! Time is cut into panes: a second, five seconds, a minute. Each second's pane is counted as it passes and then added
//! to the longer one it belongs to, so that a record is counted once however many windows are kept. A pane that is over
//! never changes again and is shared: who asks for a window takes the panes' handles and adds them up on its own time.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frequent::{Amount, Frequent, Key, Measure};

/// Names kept for each kind and measure in a pane: a count is too small by at most 1/512 of the pane's total.
pub const NAMES_MAX: usize = 1024;
/// Names kept of kinds whose names are ours. There are fewer of them, unless a catalog holds more.
pub const OWN_NAMES_MAX: usize = 8192;

/// What names are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What flows speak.
    Protocols,
    /// Applications and services.
    Applications,
    /// Kinds of applications.
    Categories,
    /// Names of servers.
    Hosts,
    /// Addresses of clients.
    Talkers,
    /// Addresses of servers.
    Servers,
    /// Risks.
    Risks,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Protocols,
        Self::Applications,
        Self::Categories,
        Self::Hosts,
        Self::Talkers,
        Self::Servers,
        Self::Risks,
    ];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocols => "protocols",
            Self::Applications => "applications",
            Self::Categories => "categories",
            Self::Hosts => "hosts",
            Self::Talkers => "talkers",
            Self::Servers => "servers",
            Self::Risks => "risks",
        }
    }

    /// The column of a record that has the name: what to filter by.
    pub fn column(self) -> &'static str {
        match self {
            Self::Protocols => "protocol",
            Self::Applications => "application",
            Self::Categories => "category",
            Self::Hosts => "hostname",
            Self::Talkers => "src_ip",
            Self::Servers => "dst_ip",
            Self::Risks => "risks",
        }
    }

    /// True if the names come from tables of ours, not from the network.
    fn is_ours(self) -> bool {
        !matches!(self, Self::Hosts | Self::Talkers | Self::Servers)
    }

    /// Which sketch answers for a measure. One is enough where nothing is ever dropped.
    fn sketch(self, by: Measure) -> usize {
        if self.is_ours() { self as usize * 3 } else { self as usize * 3 + by as usize }
    }
}

/// How long a time tops are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Window {
    /// The last 10 seconds.
    #[serde(rename = "10s")]
    Seconds10,
    /// The last minute.
    #[default]
    #[serde(rename = "1m")]
    Minute,
    /// The last 15 minutes.
    #[serde(rename = "15m")]
    Minutes15,
}

impl Window {
    /// From the shortest to the longest.
    pub const ALL: [Self; 3] = [Self::Seconds10, Self::Minute, Self::Minutes15];

    /// `10 s`, `1 min`, `15 min`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds10 => "10 s",
            Self::Minute => "1 min",
            Self::Minutes15 => "15 min",
        }
    }

    /// Its length.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Seconds10 => 10,
            Self::Minute => 60,
            Self::Minutes15 => 900,
        }
    }
}

/// What was counted in a while.
#[derive(Clone, Debug)]
pub(crate) struct Pane {
    sketches: Vec<Frequent>,
}

impl Default for Pane {
    fn default() -> Self {
        let sketches = Kind::ALL.into_iter().flat_map(|kind| {
            let entries_max = if kind.is_ours() { OWN_NAMES_MAX } else { NAMES_MAX };
            Measure::ALL.map(|by| Frequent::new(by, entries_max))
        });
        Self { sketches: sketches.collect() }
    }
}

impl Pane {
    pub(crate) fn add(&mut self, kind: Kind, key: Key, amount: Amount) {
        if amount.is_zero() {
            return;
        }
        let first = kind as usize * 3;
        let sketches = if kind.is_ours() { first..first + 1 } else { first..first + 3 };
        for sketch in self.sketches.get_mut(sketches).unwrap_or_default() {
            sketch.add(key.clone(), amount);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (sketch, other) in self.sketches.iter_mut().zip(&other.sketches) {
            sketch.merge(other);
        }
    }
}

/// Panes of one length.
struct Tier {
    pane_s: u32,
    panes_max: usize,
    past: VecDeque<Arc<Pane>>,
    now: Arc<Pane>,
    /// Seconds that are in the pane.
    now_s: u32,
}

impl Tier {
    fn new(pane_s: u32, panes_max: usize) -> Self {
        Self { pane_s, panes_max, past: VecDeque::new(), now: Arc::default(), now_s: 0 }
    }

    /// Ends the pane, and gives it out.
    fn seal(&mut self) -> Arc<Pane> {
        let pane = std::mem::take(&mut self.now);
        self.now_s = 0;
        self.past.push_back(Arc::clone(&pane));
        if self.past.len() > self.panes_max {
            self.past.pop_front();
        }
        pane
    }
}

/// All panes.
pub(crate) struct Windows {
    /// What is counted now.
    pub(crate) now: Pane,
    tiers: [Tier; 3],
}

impl Default for Windows {
    fn default() -> Self {
        Self { now: Pane::default(), tiers: [Tier::new(1, 10), Tier::new(5, 12), Tier::new(60, 15)] }
    }
}

impl Windows {
    /// A second is over.
    pub(crate) fn second(&mut self) {
        let [seconds, fives, minutes] = &mut self.tiers;
        seconds.now = Arc::new(std::mem::take(&mut self.now));
        let second = seconds.seal();
        Arc::make_mut(&mut fives.now).merge(&second);
        fives.now_s += 1;
        if fives.now_s < fives.pane_s {
            return;
        }
        let five = fives.seal();
        Arc::make_mut(&mut minutes.now).merge(&five);
        minutes.now_s += fives.pane_s;
        if minutes.now_s >= minutes.pane_s {
            minutes.seal();
        }
    }

    /// The panes of a window, and how many seconds they cover.
    pub(crate) fn panes(&self, window: Window) -> (Vec<Arc<Pane>>, u32) {
        let [seconds, fives, minutes] = &self.tiers;
        let (tier, open): (_, &[&Tier]) = match window {
            Window::Seconds10 => (seconds, &[]),
            Window::Minute => (fives, &[fives]),
            Window::Minutes15 => (minutes, &[minutes, fives]),
        };
        // A pane that is not over takes the place of the oldest that is.
        let is_open = open.iter().any(|tier| tier.now_s > 0);
        let skip = usize::from(is_open && tier.past.len() == tier.panes_max);
        let mut panes: Vec<_> = tier.past.iter().skip(skip).cloned().collect();
        let mut covered_s = panes.len() as u32 * tier.pane_s;
        for tier in open.iter().filter(|tier| tier.now_s > 0) {
            panes.push(Arc::clone(&tier.now));
            covered_s += tier.now_s;
        }
        (panes, covered_s)
    }

    /// Names that are held, over all panes.
    pub(crate) fn names(&self) -> usize {
        let held = |pane: &Pane| pane.sketches.iter().map(Frequent::len).sum::<usize>();
        let tier = |tier: &Tier| tier.past.iter().map(|pane| held(pane)).sum::<usize>() + held(&tier.now);
        held(&self.now) + self.tiers.iter().map(tier).sum::<usize>()
    }
}

/// A kind's counts over several panes.
pub(crate) fn sum(panes: &[Arc<Pane>], kind: Kind, by: Measure) -> Frequent {
    let entries_max = if kind.is_ours() { OWN_NAMES_MAX } else { NAMES_MAX };
    let mut sum = Frequent::new(by, entries_max);
    for pane in panes {
        if let Some(sketch) = pane.sketches.get(kind.sketch(by)) {
            sum.merge(sketch);
        }
    }
    sum
}

/// The most names that all panes can hold together.
pub const NAMES_HELD_MAX: usize = (10 + 12 + 15 + 4) * (9 * NAMES_MAX + 4 * OWN_NAMES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Amount = Amount { bytes: 100, packets: 1, flows: 1 };

    fn bytes(windows: &Windows, window: Window) -> (u64, u32) {
        let (panes, covered_s) = windows.panes(window);
        (sum(&panes, Kind::Hosts, Measure::Bytes).total().bytes, covered_s)
    }

    #[test]
    fn windows_slide() {
        let mut windows = Windows::default();
        for second in 1..=2000u32 {
            windows.now.add(Kind::Hosts, Key::Text("a.example".into()), ONE);
            windows.second();
            for window in Window::ALL {
                let (bytes, covered_s) = bytes(&windows, window);
                assert_eq!(bytes, u64::from(covered_s) * 100, "{window:?} after {second} s");
                let pane_s = [1, 5, 60][window as usize];
                assert!(covered_s <= window.seconds() && covered_s + pane_s > window.seconds().min(second));
            }
        }
        assert!(windows.names() <= NAMES_HELD_MAX);
    }

    #[test]
    fn each_measure_has_its_own_largest() {
        let mut windows = Windows::default();
        for i in 0..5000u32 {
            let address = Key::Address(std::net::Ipv4Addr::from_bits(i).into());
            windows.now.add(Kind::Servers, address, Amount { bytes: 60, packets: 1, flows: 1 });
        }
        let heavy = Key::Address([192, 0, 2, 1].into());
        windows.now.add(Kind::Servers, heavy.clone(), Amount { bytes: 1 << 30, packets: 10, flows: 1 });
        let chatty = Key::Address([192, 0, 2, 2].into());
        windows.now.add(Kind::Servers, chatty.clone(), Amount { bytes: 60_000, packets: 900, flows: 300 });
        windows.second();
        let (panes, _) = windows.panes(Window::Seconds10);
        let first = |by| sum(&panes, Kind::Servers, by).top(by, 1)[0].0.clone();
        assert_eq!((first(Measure::Bytes), first(Measure::Flows)), (heavy, chatty));
    }
}
