//! How the store's threads are woken, put to rest and stopped.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes a lock that guards nothing which a panic could leave half done: states are replaced whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread waits at its bell; who has work for it rings.
#[derive(Default)]
pub struct Bell {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    stopped: bool,
}

impl Bell {
    /// Wakes the thread now, or keeps it from its next wait. Ringing twice is ringing once.
    pub fn ring(&self) {
        lock(&self.state).rung = true;
        self.changed.notify_all();
    }

    /// From now on every wait ends at once.
    pub fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    pub fn stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Until rung or stopped. False when stopped.
    pub fn wait(&self) -> bool {
        let rung = self.changed.wait_while(lock(&self.state), |state| !state.rung && !state.stopped);
        let mut state = rung.unwrap_or_else(PoisonError::into_inner);
        state.rung = false;
        !state.stopped
    }

    /// The whole time, rung or not, unless stopped. False when stopped.
    pub fn rest(&self, time: Duration) -> bool {
        let rested = self.changed.wait_timeout_while(lock(&self.state), time, |state| !state.stopped);
        let (state, _) = rested.unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_not_lost_and_a_stop_ends_every_wait() {
        let bell = Bell::default();
        bell.ring();
        assert!(bell.wait());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| bell.wait());
            bell.stop();
            assert!(!waiting.join().expect("the waiter"));
        });
        assert!(!bell.wait() && !bell.rest(Duration::from_secs(3_600)) && bell.stopped());
    }
}
