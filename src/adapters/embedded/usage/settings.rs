//! Settings of the embedded usage store. Every bound has a name and a unit.

use serde::Deserialize;

/// What may be set; every field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Records in memory that make a seal: written as an event file and a run. Bounds what a restart reads again,
    /// together with `pending_seals_max`.
    pub seal_events_max: u64,
    /// Bytes of records in memory that make a seal.
    pub seal_bytes_max: u64,
    /// Seals that may wait for the sealing thread before `apply` waits too: the line's backpressure.
    pub pending_seals_max: usize,
    /// Minute rows older than this, counted from the newest accepted-at, are merged away: older MINUTE windows are
    /// read from raw events.
    pub minute_keep_days: u32,
    /// How long raw events are kept, counted from the newest accepted-at; absent: for ever.
    pub retention_raw_days: Option<u32>,
    /// Runs of one size class that are merged into one.
    pub merge_runs_min: usize,
    /// Neighbouring event files of like size that are merged into one.
    pub merge_files_min: usize,
    /// Event files at or above this many events are not merged any further.
    pub file_events_max: u64,
    /// Bytes a second that merging may write, on average; what a merge writes faster it rests for.
    pub merge_bytes_per_s_max: u64,
    /// Events of one meter below which its series are never found to be nearly unique.
    pub near_unique_min_events: u64,
    /// Decoded blocks kept for readers, in bytes.
    pub cache_bytes_max: usize,
    /// Rows in one answer; a query that would have more is refused.
    pub rows_max: usize,
    /// Queries that run at once; others wait.
    pub queries_max: usize,
    /// Rows that a backfill holds in memory before it writes them as a run.
    pub backfill_rows_max: usize,
    /// First wait after a fault of the disk, in milliseconds; doubled up to a hundredfold.
    pub retry_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seal_events_max: 131_072,
            seal_bytes_max: 64 << 20,
            pending_seals_max: 2,
            minute_keep_days: 7,
            retention_raw_days: None,
            merge_runs_min: 4,
            merge_files_min: 8,
            file_events_max: 1 << 20,
            merge_bytes_per_s_max: 64 << 20,
            near_unique_min_events: 1_000_000,
            cache_bytes_max: 64 << 20,
            rows_max: 1_000_000,
            queries_max: 8,
            backfill_rows_max: 250_000,
            retry_ms: 100,
        }
    }
}

impl Settings {
    /// Every number that makes no sense, by name.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let at_least = [
            ("seal_events_max", self.seal_events_max, 1),
            ("seal_bytes_max", self.seal_bytes_max, 1),
            ("pending_seals_max", self.pending_seals_max as u64, 1),
            ("merge_runs_min", self.merge_runs_min as u64, 2),
            ("merge_files_min", self.merge_files_min as u64, 2),
            ("file_events_max", self.file_events_max, 1),
            ("merge_bytes_per_s_max", self.merge_bytes_per_s_max, 1),
            ("rows_max", self.rows_max as u64, 1),
            ("queries_max", self.queries_max as u64, 1),
            ("backfill_rows_max", self.backfill_rows_max as u64, 1),
            ("retry_ms", self.retry_ms, 1),
        ];
        let wrong: Vec<String> = at_least
            .into_iter()
            .filter(|(_, value, least)| value < least)
            .map(|(name, value, least)| format!("{name} is {value}; it must be at least {least}"))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// What stops working with these settings, in words for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let shortened = self.retention_raw_days.map(|days| {
            format!(
                "raw events older than {days} days are removed: for that past new meters are not backfilled, ranges \
                 that cut an hour, MINUTE windows and deleted meters are not answered, and proofs and rebuilds end there"
            )
        });
        shortened.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_warn_of_nothing() {
        assert_eq!(Settings::default().validate(), Ok(()));
        assert!(Settings::default().warnings().is_empty());
    }

    #[test]
    fn every_wrong_number_is_named_at_once() {
        let wrong = Settings { rows_max: 0, merge_runs_min: 1, ..Settings::default() };
        let names = wrong.validate().expect_err("two are wrong").join("; ");
        assert!(names.contains("rows_max is 0") && names.contains("merge_runs_min is 1"), "{names}");
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let refused = serde_json::from_str::<Settings>(r#"{"seal_event_max": 5}"#);
        assert!(refused.expect_err("a misspelt name").to_string().contains("seal_event_max"));
    }
}
