//! Lets workers wait until there may be something to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// How often a worker looks before it goes to sleep: some hundreds of microseconds, in which a chunk is read. Waking up takes
/// as long on a virtual machine.
const LOOKS: u32 = 20_000;

/// Counts what happened. Whoever finds nothing to do waits for the count to change.
#[derive(Default)]
pub(crate) struct Bell {
    rings: AtomicU64,
    sleepers: AtomicUsize,
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl Bell {
    /// How often it rang. To be asked before looking for work, so that no ring after the look is missed.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(Ordering::SeqCst)
    }

    /// There may be something to do for somebody.
    pub(crate) fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        // Who is about to sleep either is counted already, or will see the new count.
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.mutex.lock());
            self.condvar.notify_all();
        }
    }

    /// Waits until it has rung more often than `seen`.
    pub(crate) fn wait(&self, seen: u64) {
        for _ in 0..LOOKS {
            if self.rings() != seen {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.rings() == seen {
            guard = self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sleeps_through_a_ring() {
        const TURNS: u64 = 2000;
        let (bell, turn) = (Bell::default(), AtomicU64::new(0));
        // Two take turns, so that each has to be woken by the other, now before it sleeps and now after.
        std::thread::scope(|scope| {
            for me in 0..2 {
                let (bell, turn) = (&bell, &turn);
                scope.spawn(move || {
                    loop {
                        let seen = bell.rings();
                        let now = turn.load(Ordering::SeqCst);
                        if now == TURNS {
                            return;
                        }
                        if now % 2 != me {
                            bell.wait(seen);
                            continue;
                        }
                        if now % 100 < 2 {
                            std::thread::sleep(std::time::Duration::from_micros(300));
                        }
                        turn.store(now + 1, Ordering::SeqCst);
                        bell.ring();
                    }
                });
            }
        });
        assert_eq!(bell.rings(), TURNS);
    }
}
