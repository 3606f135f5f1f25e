//! Which runs are merged: size-tiered, so that every id is rewritten once per factor of growth and a lookup asks few
//! filters.
//!
//! Runs stand in the order they were sealed in and only neighbours are merged, so each run covers one stretch of
//! time and expiry can drop files whole. A run that could not take another of its size is full and stays as it is.

use std::ops::Range;

/// The runs to merge next, given the ids of all runs, oldest first.
pub(super) fn next_merge(ids: &[u64], factor: u64, run_ids_max: u64) -> Option<Range<usize>> {
    let tier = |ids: u64| ids.max(1).ilog(factor);
    let full = |ids: u64| ids > run_ids_max / 2;
    let mut tiers: Vec<u32> = ids.iter().filter(|ids| !full(**ids)).map(|ids| tier(*ids)).collect();
    tiers.sort_unstable();
    tiers.dedup();
    tiers.into_iter().find_map(|top| {
        let stretches = stretches(ids, |ids| !full(ids) && tier(ids) <= top);
        stretches.into_iter().find_map(|stretch| {
            // Smaller runs that stand between those of this tier go along with them.
            let members: Vec<usize> = stretch.filter(|run| tier(ids[*run]) == top).collect();
            if (members.len() as u64) < factor {
                return None;
            }
            let (first, last) = (members[0], members[factor as usize - 1]);
            let mut sum = 0u64;
            let fitting = ids[first..=last].iter().take_while(|ids| {
                sum = sum.saturating_add(**ids);
                sum <= run_ids_max
            });
            Some(first..first + fitting.count())
        })
    })
}

/// The longest stretches of neighbours that all satisfy `belongs`.
fn stretches(ids: &[u64], belongs: impl Fn(u64) -> bool) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for run in (0..ids.len()).filter(|run| belongs(ids[*run])) {
        match all.last_mut() {
            Some(last) if last.end == run => last.end = run + 1,
            _ => all.push(run..run + 1),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_neighbours_of_one_tier_are_merged_oldest_first() {
        #[rustfmt::skip]
        let table = [
            // ids of the runs, oldest first         run_ids_max    merged
            (vec![100, 100, 100],                    10_000,        None),
            (vec![100, 100, 100, 100],               10_000,        Some(0..4)),
            (vec![900, 100, 100, 100, 100, 100],     10_000,        Some(1..5)),
            (vec![900, 3, 900, 900, 900],            10_000,        Some(0..5)), // the small one goes along
            (vec![100, 100, 900, 100, 100],          10_000,        None),       // no neighbours
            (vec![900, 900, 900, 900],               2_000,         Some(0..2)), // no more fit
            (vec![900, 900, 900, 900],               1_500,         None),       // all full
            (vec![1_400, 100, 100, 100, 100],        1_500,         Some(1..5)),
        ];
        for (ids, run_ids_max, merged) in table {
            assert_eq!(next_merge(&ids, 4, run_ids_max), merged, "{ids:?} up to {run_ids_max}");
        }
    }

    #[test]
    fn however_many_runs_are_sealed_few_are_left_and_each_id_is_rewritten_once_a_tier() {
        let (mut runs, mut rewritten) = (Vec::<u64>::new(), 0);
        for sealed in 1..=4_096u64 {
            runs.push(131_072);
            while let Some(range) = next_merge(&runs, 4, 1 << 25) {
                let sum = runs[range.clone()].iter().sum();
                assert!(range.len() >= 2 && sum <= 1 << 25);
                rewritten += sum;
                runs.splice(range, [sum]);
            }
            let full = sealed * 131_072 / (1 << 25);
            assert!(runs.len() as u64 <= full + 3 * 4, "{} runs after {sealed} seals", runs.len());
        }
        assert_eq!(rewritten, 4 * 4_096 * 131_072, "four tiers up to full runs");
    }
}
