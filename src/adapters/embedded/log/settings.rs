//! What can be set about the embedded log.

use serde::Deserialize;

/// Settings of the embedded log; every limit has its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A segment that is this long is closed, and a new one begun.
    pub segment_bytes_max: u64,
    /// What one sync makes durable at most; a single append may be longer.
    pub group_bytes_max: usize,
    /// Appends that may wait for their sync; more are refused.
    pub queue_appends_max: usize,
    /// Bytes that may wait for their sync; more are refused.
    pub queue_bytes_max: usize,
    /// Bytes in the log that the line has not applied; beyond it appends are refused. Absent: half of the disk space
    /// that is free at start.
    pub backlog_bytes_max: Option<u64>,
    /// Free space below which appends are refused.
    pub disk_free_min_bytes: u64,
    /// Recent records kept in memory, so that the line rarely reads the disk.
    pub tail_bytes_max: usize,
    /// Whether the next segment's blocks are written ahead, so that a sync need not commit metadata.
    pub preallocate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            queue_appends_max: 16_384,
            queue_bytes_max: 64 << 20,
            backlog_bytes_max: None,
            disk_free_min_bytes: 512 << 20,
            tail_bytes_max: 64 << 20,
            preallocate: true,
        }
    }
}

/// The longest group that may be set, in bytes: places in a group are 32-bit numbers.
const GROUP_BYTES_CAP: usize = 1 << 30;
/// The longest segment that may be set, in bytes: open reads the last one whole.
const SEGMENT_BYTES_CAP: u64 = 4 << 30;

impl Settings {
    /// Everything that is wrong, each as `field: reason`.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        #[rustfmt::skip]
        let rules = [
            ((4_096..=SEGMENT_BYTES_CAP).contains(&self.segment_bytes_max), "segment_bytes_max: must lie in 4096 to 4 GiB"),
            ((1..=GROUP_BYTES_CAP).contains(&self.group_bytes_max), "group_bytes_max: must lie in 1 to 1 GiB"),
            (self.queue_appends_max > 0, "queue_appends_max: must be at least 1"),
            (self.queue_bytes_max > 0, "queue_bytes_max: must be at least 1"),
            (self.backlog_bytes_max != Some(0), "backlog_bytes_max: must be at least 1"),
        ];
        let wrong: Vec<String> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, text)| (*text).to_string()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}
