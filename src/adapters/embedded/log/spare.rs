//! The spare: the next segment's file, with its blocks written ahead.
//!
//! Syncing an append to a file that grows also commits its new length and blocks to the file system's journal, along
//! with whatever else waits there. Into blocks that were written before, a sync writes the data alone: measured at half
//! the time, and steady under other load. So one thread fills the next file with zeros while the active one is half
//! full. `fallocate` does not help: unwritten blocks are converted at the sync.

use super::Settings;
use super::segment;
use crate::adapters::embedded::disk::Disk;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Written at once, in bytes: small beside what a sync of the log has to wait for at worst.
const STEP_BYTES: usize = 1 << 20;
/// A spare until it is whole.
const FILLING: &str = "filling.tmp";

/// Makes spares, one at a time, on a thread of its own that lives as long as that takes.
pub struct SpareMaker {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    is_on: bool,
    /// The segment during which one was asked for last: a disk that has no space is not asked again and again.
    asked_in: Option<u64>,
    is_ready: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SpareMaker {
    /// A spare that an earlier run left is used.
    pub fn new(disk: Arc<dyn Disk>, settings: &Settings) -> Self {
        let is_ready = Arc::new(AtomicBool::new(settings.preallocate && disk.exists(&segment::spare_path())));
        Self {
            disk,
            segment_bytes: settings.segment_bytes_max,
            is_on: settings.preallocate,
            asked_in: None,
            is_ready,
            stop: Arc::default(),
            thread: None,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// The spare is about to be used; whether there is one.
    pub fn take(&self) -> bool {
        self.is_ready.swap(false, Ordering::AcqRel)
    }

    /// Begins to make one, once per active segment, unless there is one or one is being made.
    pub fn want(&mut self, active_segment: u64) {
        let busy = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if !self.is_on || self.asked_in == Some(active_segment) || self.is_ready() || busy {
            return;
        }
        self.asked_in = Some(active_segment);
        let (disk, bytes) = (self.disk.clone(), self.segment_bytes);
        let (is_ready, stop) = (self.is_ready.clone(), self.stop.clone());
        let make = move || match fill(&*disk, bytes, &stop) {
            Ok(whole) => is_ready.store(whole, Ordering::Release),
            Err(error) => tracing::warn!(%error, "no blocks could be written ahead of the log"),
        };
        // Without a thread the next segment is begun in an empty file: slower, and as safe.
        self.thread = std::thread::Builder::new().name("log-spare".into()).spawn(make).ok();
    }

    /// Waits until nothing is written any more.
    pub fn stop(&mut self) {
        self.is_on = false;
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that writes blocks ahead of the log panicked");
        }
    }
}

impl Drop for SpareMaker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Fills the spare with zeros; false when it was told to stop.
fn fill(disk: &dyn Disk, bytes: u64, stop: &AtomicBool) -> io::Result<bool> {
    let dir = Path::new(segment::DIR);
    let filling = dir.join(FILLING);
    segment::remove_if_there(disk, &filling)?;
    let file = disk.create(&filling)?;
    let zeros = vec![0; STEP_BYTES];
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Acquire) {
            disk.remove(&filling)?;
            return Ok(false);
        }
        let step = usize::try_from((bytes - at).min(STEP_BYTES as u64)).map_err(io::Error::other)?;
        file.write_at(at, &zeros[..step])?;
        at += step as u64;
    }
    file.sync()?;
    disk.rename(&filling, &segment::spare_path())?;
    disk.sync_dir(dir)?;
    Ok(true)
}
