//! Room: when the log refuses because the disk or the line behind it cannot follow.

use super::Settings;
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use crate::ports::event_log::AppendError;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Free space is asked for again after this many appended bytes, or this many nanoseconds.
const SAMPLE_EVERY_BYTES: u64 = 16 << 20;
const SAMPLE_EVERY_NS: i64 = 1_000_000_000;
/// Seconds after which a refused client may try again.
const RETRY_BACKLOG_S: u32 = 5;
const RETRY_DISK_FULL_S: u32 = 30;

/// What is known of the space left. Only sampled: an append costs no system call for it.
pub struct Room {
    backlog_bytes: AtomicU64,
    backlog_bytes_max: u64,
    free_bytes: AtomicU64,
    free_min_bytes: u64,
    sampled_at: AtomicI64,
    /// Appended since the sample.
    appended_since: AtomicU64,
}

impl Room {
    /// Samples the disk once, and derives the limit of the backlog when none is set.
    pub fn new(disk: &dyn Disk, settings: &Settings, now: Instant) -> Result<Self, Fault> {
        let asked = disk.free_bytes();
        let free =
            asked.map_err(|error| Fault::retry("log", format!("the disk does not tell its free space: {error}")))?;
        Ok(Self {
            backlog_bytes: AtomicU64::new(0),
            backlog_bytes_max: settings.backlog_bytes_max.unwrap_or(free / 2),
            free_bytes: AtomicU64::new(free),
            free_min_bytes: settings.disk_free_min_bytes,
            sampled_at: AtomicI64::new(now.nanos()),
            appended_since: AtomicU64::new(0),
        })
    }

    /// Whether there is room; the reason when not. While there is none the disk is asked again, once a second.
    pub fn check(&self, disk: &dyn Disk, now: impl FnOnce() -> Instant) -> Result<(), AppendError> {
        let backlog = self.backlog_bytes.load(Relaxed);
        if backlog > self.backlog_bytes_max {
            let reason = format!("{backlog} bytes of the log wait to be counted, {} may", self.backlog_bytes_max);
            return Err(AppendError::Refused { reason, retry_after_s: RETRY_BACKLOG_S });
        }
        if self.left() < self.free_min_bytes {
            self.sample_if_old(disk, now());
        }
        let left = self.left();
        if left < self.free_min_bytes {
            let reason = format!("the disk has {left} bytes left, {} must stay free", self.free_min_bytes);
            return Err(AppendError::Refused { reason, retry_after_s: RETRY_DISK_FULL_S });
        }
        Ok(())
    }

    fn left(&self) -> u64 {
        self.free_bytes.load(Relaxed).saturating_sub(self.appended_since.load(Relaxed))
    }

    /// Told by the committer after each group.
    pub fn appended(&self, bytes: u64, disk: &dyn Disk, now: Instant) {
        self.backlog_bytes.fetch_add(bytes, Relaxed);
        if self.appended_since.fetch_add(bytes, Relaxed) + bytes >= SAMPLE_EVERY_BYTES {
            self.sample(disk, now);
        } else {
            self.sample_if_old(disk, now);
        }
    }

    fn sample_if_old(&self, disk: &dyn Disk, now: Instant) {
        let age_ns = now.nanos().wrapping_sub(self.sampled_at.load(Relaxed));
        // A clock that went back makes the sample old.
        if !(0..SAMPLE_EVERY_NS).contains(&age_ns) {
            self.sample(disk, now);
        }
    }

    fn sample(&self, disk: &dyn Disk, now: Instant) {
        self.sampled_at.store(now.nanos(), Relaxed);
        // A disk that does not answer leaves the last sample standing, less what was appended since.
        if let Ok(free) = disk.free_bytes() {
            self.appended_since.store(0, Relaxed);
            self.free_bytes.store(free, Relaxed);
        }
    }

    /// Told whenever the line has moved on.
    pub fn set_backlog(&self, bytes: u64) {
        self.backlog_bytes.store(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded::disk::SimDisk;

    const SECOND: Instant = Instant::from_nanos(SAMPLE_EVERY_NS);

    #[test]
    fn a_full_disk_refuses_until_it_is_asked_again_and_has_space() {
        let disk = SimDisk::new(1);
        let start = Instant::from_nanos(0);
        let settings = Settings { disk_free_min_bytes: 100, ..Settings::default() };
        disk.set_free_bytes(1000);
        let room = Room::new(&disk, &settings, start).unwrap();
        room.appended(450, &disk, start);
        assert!(room.check(&disk, || start).is_ok());
        room.appended(450, &disk, start);
        room.set_backlog(0);
        assert!(room.check(&disk, || start).is_ok(), "100 are left: just enough");
        room.appended(1, &disk, start);
        room.set_backlog(0);
        assert!(matches!(room.check(&disk, || start), Err(AppendError::Refused { retry_after_s: 30, .. })));
        disk.set_free_bytes(5000);
        assert!(room.check(&disk, || start).is_err(), "asked a moment ago");
        assert!(room.check(&disk, || SECOND).is_ok());
    }

    #[test]
    fn a_backlog_over_its_limit_refuses_until_the_line_has_moved_on() {
        let disk = SimDisk::new(1);
        disk.set_free_bytes(1 << 30);
        let settings = Settings { backlog_bytes_max: None, disk_free_min_bytes: 0, ..Settings::default() };
        let room = Room::new(&disk, &settings, SECOND).unwrap();
        room.appended(1 << 29, &disk, SECOND);
        assert!(room.check(&disk, || SECOND).is_ok(), "half of the free disk may wait");
        room.appended(1, &disk, SECOND);
        assert!(matches!(room.check(&disk, || SECOND), Err(AppendError::Refused { retry_after_s: 5, .. })));
        room.set_backlog(3);
        assert!(room.check(&disk, || SECOND).is_ok());
    }
}
