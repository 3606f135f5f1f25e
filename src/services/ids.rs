//! New ids: ULIDs that grow within this process, also within a millisecond and when the clock goes back.

use crate::domain::time::Instant;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use ulid::{Generator, Ulid};

/// Makes ids.
#[derive(Default)]
pub struct Ids(Mutex<Generator>);

impl Ids {
    /// An id whose time part is `at`; an instant before 1970 counts as 1970.
    pub fn next(&self, at: Instant) -> Ulid {
        let since_epoch = Duration::from_nanos(u64::try_from(at.nanos()).unwrap_or_default());
        let mut generator = self.0.lock().expect("no code panics while it holds the generator");
        generator
            .generate_from_datetime(SystemTime::UNIX_EPOCH + since_epoch)
            .unwrap_or_else(|overflow| overflow.commit_overflow_increment())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_stands_or_goes_back() {
        let ids = Ids::default();
        let made: Vec<Ulid> = [5_000_000, 5_000_000, 9_000_000, 1_000_000, -7]
            .into_iter()
            .map(|nanos| ids.next(Instant::from_nanos(nanos)))
            .collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[0].timestamp_ms(), 5);
    }
}
