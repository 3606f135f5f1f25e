//! Stretches of minutes: which buckets a scan wants.

use crate::domain::metering::plan::Minutes;

/// The first wanted minute at or after `minute`; `None` when nothing is wanted from there on.
pub(super) fn wanted_from(stretches: &[Minutes], minute: i64) -> Option<i64> {
    let next = stretches.partition_point(|stretch| stretch.end <= minute);
    stretches.get(next).map(|stretch| stretch.start.max(minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_wanted_minute_is_here_or_at_the_next_stretch() {
        let stretches = [10..20, 30..31];
        for (minute, wanted) in [(0, Some(10)), (10, Some(10)), (19, Some(19)), (20, Some(30)), (31, None)] {
            assert_eq!(wanted_from(&stretches, minute), wanted, "{minute}");
        }
    }
}
