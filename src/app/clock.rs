//! The system's clock: the only place where weir asks what time it is.

use crate::domain::time::Instant;
use crate::ports::Clock;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the machine's clock is past 1970");
        Instant::from_nanos(i64::try_from(since.as_nanos()).expect("the machine's clock is before 2262"))
    }
}
