//! Time-outs in capture time.

/// Entries fall into slots of one second; a slot holds entries of all laps.
const SLOTS: usize = 1024;

/// A timer wheel over flow numbers. Timers are not cancelled or moved: whoever is told that a flow is due looks at when
/// the flow was last seen and puts it back for later if need be. So a packet never touches the wheel.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<(u64, u32)>>,
    /// The second up to which (and with which) everything was handed out.
    now_s: Option<u64>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: vec![Vec::new(); SLOTS], now_s: None }
    }
}

impl Wheel {
    /// `flow` is due at the end of the second `due_s`, or at the next [`advance`](Self::advance) if that has passed.
    /// Gives the second that it was entered for.
    pub fn insert(&mut self, due_s: u64, flow: u32) -> u64 {
        let due_s = self.now_s.map_or(due_s, |now| due_s.max(now + 1));
        self.slots[due_s as usize % SLOTS].push((due_s, flow));
        due_s
    }

    /// Moves the time to `now_s` and gives all that became due as (second entered for, flow), in no particular order.
    pub fn advance(&mut self, now_s: u64, due: &mut Vec<(u64, u32)>) {
        let first = match self.now_s {
            Some(last) if now_s <= last => return,
            Some(last) => (last + 1).max(now_s.saturating_sub(SLOTS as u64 - 1)),
            None => now_s.saturating_sub(SLOTS as u64 - 1),
        };
        for second in first..=now_s {
            let slot = &mut self.slots[second as usize % SLOTS];
            slot.retain(|entry| {
                let later = entry.0 > now_s;
                if !later {
                    due.push(*entry);
                }
                later
            });
            if slot.capacity() > 4096 && slot.is_empty() {
                *slot = Vec::new();
            }
        }
        self.now_s = Some(now_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn everything_comes_out_once_and_in_its_time(
            dues in proptest::collection::vec(0u64..5000, 0..200),
            steps in proptest::collection::vec(1u64..2000, 1..10),
        ) {
            let mut wheel = Wheel::default();
            for (i, due) in dues.iter().enumerate() { wheel.insert(*due, i as u32); }
            let (mut now, mut out) = (0, Vec::new());
            for step in steps {
                now += step;
                wheel.advance(now, &mut out);
                let mut got: Vec<_> = out.iter().map(|(_, f)| *f).collect();
                got.sort_unstable();
                let want: Vec<_> = (0..dues.len() as u32).filter(|i| dues[*i as usize] <= now).collect();
                proptest::prop_assert_eq!(got, want);
            }
        }
    }
}
