//! How a sensor stands.

use std::sync::{Mutex, PoisonError};

use daylight_capture::live::{Means, TapCounters};
use daylight_inspect::FleetStatus;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// It is there and listened to.
    pub up: bool,
    /// By which means it is listened to.
    pub means: Means,
    /// Since the sensor was started, over all times it was there.
    pub counters: TapCounters,
    /// Why it can't be listened to, if it can't.
    pub problem: Option<String>,
    /// How often it came back.
    pub returned: u64,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The interfaces, as they were asked for.
    pub interfaces: Vec<InterfaceStatus>,
    /// The engines.
    pub fleet: FleetStatus,
    /// Records that the sink had no room for.
    pub records_lost: u64,
    /// Records that wait for the sink.
    pub records_waiting: usize,
}

/// What is known of one interface while it runs.
pub(crate) struct Interface {
    pub(crate) name: String,
    state: Mutex<State>,
}

struct State {
    /// The number it was opened under.
    index: Option<u32>,
    means: Means,
    problem: Option<String>,
    /// How often it was opened.
    times: u64,
    /// Of taps that are closed.
    past: TapCounters,
    /// Of each open tap, by its number.
    taps: Vec<TapCounters>,
}

impl Interface {
    pub(crate) fn new(name: &str) -> Self {
        let state = State {
            index: None,
            means: Means::Auto,
            problem: None,
            times: 0,
            past: TapCounters::default(),
            taps: Vec::new(),
        };
        Self { name: name.to_owned(), state: Mutex::new(state) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number under which it is listened to, if it is.
    pub(crate) fn index(&self) -> Option<u32> {
        self.with(|state| state.index)
    }

    /// It is open, with so many taps. How often it had been before, since taps of that time may still count.
    pub(crate) fn opened(&self, index: Option<u32>, means: Means, taps: usize) -> u64 {
        self.with(|state| {
            state.times += 1;
            let old = std::mem::replace(&mut state.taps, vec![TapCounters::default(); taps]);
            old.into_iter().for_each(|counters| state.past += counters);
            (state.index, state.means, state.problem) = (index, means, None);
            state.times - 1
        })
    }

    pub(crate) fn is_gone(&self, problem: String) {
        self.with(|state| (state.index, state.problem) = (None, Some(problem)));
    }

    /// What one of its taps has counted.
    pub(crate) fn counted(&self, time: u64, tap: usize, counters: TapCounters) {
        self.with(|state| {
            if let Some(place) = state.taps.get_mut(tap).filter(|_| time + 1 == state.times) {
                *place = counters;
            }
        });
    }

    pub(crate) fn status(&self) -> InterfaceStatus {
        self.with(|state| {
            let mut counters = state.past;
            state.taps.iter().for_each(|tap| counters += *tap);
            InterfaceStatus {
                name: self.name.clone(),
                up: state.index.is_some(),
                means: state.means,
                counters,
                problem: state.problem.clone(),
                returned: state.times.saturating_sub(1),
            }
        })
    }
}
