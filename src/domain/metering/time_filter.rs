//! Conditions on an instant, and the stretches of time that pass them: exact, so that whoever keeps events by time need
//! not look anywhere else.

use crate::domain::time::Instant;
use std::ops::Range;

/// A condition on an instant. An empty `And` accepts all, an empty `Or` none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFilter {
    /// After `bound`, or at it where `inclusive`.
    Above {
        bound: Instant,
        inclusive: bool,
    },
    /// Before `bound`, or at it where `inclusive`.
    Below {
        bound: Instant,
        inclusive: bool,
    },
    And(Vec<TimeFilter>),
    Or(Vec<TimeFilter>),
}

impl TimeFilter {
    pub fn accepts(&self, at: Instant) -> bool {
        match self {
            Self::Above { bound, inclusive } => at > *bound || (*inclusive && at == *bound),
            Self::Below { bound, inclusive } => at < *bound || (*inclusive && at == *bound),
            Self::And(all) => all.iter().all(|filter| filter.accepts(at)),
            Self::Or(any) => any.iter().any(|filter| filter.accepts(at)),
        }
    }

    /// Everything that is accepted, in nanoseconds: half-open, ascending, no two of them touching. The very last
    /// instant of 64 bits, in 2262, lies in none: nothing happens there.
    pub fn stretches(&self) -> Vec<Range<i64>> {
        let after = |bound: &Instant, too: bool| bound.nanos().saturating_add(i64::from(too));
        match self {
            Self::Above { bound, inclusive } => some(after(bound, !inclusive)..i64::MAX),
            Self::Below { bound, inclusive } => some(i64::MIN..after(bound, *inclusive)),
            Self::And(all) => {
                all.iter().fold(some(i64::MIN..i64::MAX), |known, filter| common(&known, &filter.stretches()))
            }
            Self::Or(any) => joined(any.iter().flat_map(TimeFilter::stretches).collect()),
        }
    }
}

/// What lies in `[from, to)` and passes all filters, as [`TimeFilter::stretches`] has it.
pub fn stretches(from: Option<Instant>, to: Option<Instant>, filters: &[TimeFilter]) -> Vec<Range<i64>> {
    let bounds = from.map_or(i64::MIN, Instant::nanos)..to.map_or(i64::MAX, Instant::nanos);
    filters.iter().fold(some(bounds), |known, filter| common(&known, &filter.stretches()))
}

fn some(stretch: Range<i64>) -> Vec<Range<i64>> {
    if stretch.is_empty() { Vec::new() } else { vec![stretch] }
}

/// What lies in a stretch of both; each list is ascending and disjoint.
fn common(a: &[Range<i64>], b: &[Range<i64>]) -> Vec<Range<i64>> {
    let (mut found, mut i, mut j) = (Vec::new(), 0, 0);
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        found.extend(some(left.start.max(right.start)..left.end.min(right.end)));
        if left.end < right.end { i += 1 } else { j += 1 }
    }
    found
}

/// The same instants, ascending, with stretches that overlap or touch made one.
pub fn joined(mut stretches: Vec<Range<i64>>) -> Vec<Range<i64>> {
    stretches.sort_unstable_by_key(|stretch| stretch.start);
    let mut joined: Vec<Range<i64>> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
            _ => joined.push(stretch),
        }
    }
    joined
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Filters over the instants that `tick` makes of 0 to 11.
    pub fn filter(tick: fn(i64) -> Instant) -> impl Strategy<Value = TimeFilter> {
        let leaf = (0i64..12, any::<bool>(), any::<bool>()).prop_map(move |(at, above, inclusive)| {
            let bound = tick(at);
            if above { TimeFilter::Above { bound, inclusive } } else { TimeFilter::Below { bound, inclusive } }
        });
        leaf.prop_recursive(2, 12, 3, |inner| {
            let several = proptest::collection::vec(inner, 0..4);
            (several, any::<bool>()).prop_map(|(parts, all)| match all {
                true => TimeFilter::And(parts),
                false => TimeFilter::Or(parts),
            })
        })
    }

    proptest! {
        #[test]
        fn an_instant_is_in_a_stretch_exactly_when_it_is_accepted(
            filters in proptest::collection::vec(filter(Instant::from_nanos), 0..3),
            (from, to) in (proptest::option::of(0i64..12), proptest::option::of(0i64..12)),
        ) {
            let found = stretches(from.map(Instant::from_nanos), to.map(Instant::from_nanos), &filters);
            prop_assert!(found.iter().all(|stretch| !stretch.is_empty()));
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
            for at in [i64::MIN, -1, i64::MAX - 1].into_iter().chain(0..13) {
                let is_accepted = filters.iter().all(|filter| filter.accepts(Instant::from_nanos(at)))
                    && from.is_none_or(|from| from <= at)
                    && to.is_none_or(|to| at < to);
                prop_assert_eq!(found.iter().any(|stretch| stretch.contains(&at)), is_accepted, "{}", at);
            }
        }
    }

    #[test]
    fn the_ends_of_time_are_no_exception() {
        let ends = [i64::MIN, i64::MAX].map(Instant::from_nanos);
        for (bound, inclusive) in ends.into_iter().flat_map(|end| [(end, false), (end, true)]) {
            let above = TimeFilter::Above { bound, inclusive }.stretches();
            let below = TimeFilter::Below { bound, inclusive }.stretches();
            assert!(above.len() + below.len() >= 1, "{bound:?} {inclusive}");
        }
    }
}
