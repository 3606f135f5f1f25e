//! The embedded event log: segment files, checksummed frames, group commit.
//!
//! [`committer`] is the one thread that writes; [`recover`] decides at open which bytes count; [`reader`] serves the
//! line from memory ([`tail`]) or from disk; [`room`] refuses before the disk is full; [`check`](check()) goes through
//! everything for `weir doctor`. What is promised: storage.md, "The log".

mod check;
mod committer;
mod frame;
mod queue;
mod reader;
mod recover;
mod release;
mod room;
mod segment;
mod settings;
mod shared;
mod spare;
mod tail;
mod walk;

pub use check::{Finding, LogReport, check};
pub use settings::Settings;

use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::position::{Frontier, Position, Range};
use crate::domain::record::{self, Control, Kind};
use crate::domain::time::Instant;
use crate::ports::event_log::{Append, AppendError, Appended, LogSlice, LogSnapshot, Verify};
use crate::ports::{Clock, EventLog};
use async_trait::async_trait;
use committer::{Active, Committer};
use queue::Pending;
use reader::Filling;
use release::Source;
use shared::{PARTITION, Shared};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// The event log in the data directory's `log` folder.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<Result<(), Fault>>>>,
    releasing: tokio::sync::Mutex<()>,
}

impl EmbeddedLog {
    /// Opens the log of this disk, or begins one; cuts a torn tail. Damaged bytes below the durable end are a fault
    /// (give up) that names file and offset.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, settings: Settings) -> Result<Arc<Self>, Fault> {
        let recovered = recover::recover(&*disk)?;
        if recovered.torn_bytes > 0 {
            tracing::info!(bytes = recovered.torn_bytes, "cut the log's torn tail: nobody was told that it was kept");
        }
        let shared = Arc::new(Shared::new(disk, clock, settings, &recovered)?);
        let segment = recovered.segments.last().expect("a log that was opened has a segment").clone();
        let active = Active { file: recovered.file, segment, last_accepted_at: recovered.last_accepted_at };
        let committer = Committer::new(shared.clone(), active);
        let thread = std::thread::Builder::new()
            .name("log-committer".into())
            .spawn(move || committer.run())
            .map_err(|error| Fault::give_up("log", format!("the committer's thread cannot be started: {error}")))?;
        Ok(Arc::new(Self { shared, committer: Mutex::new(Some(thread)), releasing: tokio::sync::Mutex::new(()) }))
    }

    /// An orderly stop: what has queued becomes durable, the end is recorded, the committer's thread ends. Blocks for
    /// a sync or two. Closing again does nothing.
    pub fn close(&self) -> Result<(), Fault> {
        self.shared.queue.close();
        self.join().unwrap_or(Ok(()))
    }

    /// Tells how far the line has applied the log: what lies beyond is the backlog that `backlog_bytes_max` bounds.
    pub fn set_backlog_from(&self, applied: &Frontier) {
        self.shared.set_applied(applied.next(PARTITION));
    }

    /// Waits for the committer; `None` when somebody has before.
    fn join(&self) -> Option<Result<(), Fault>> {
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(thread.join().unwrap_or_else(|_| Err(Fault::give_up("log", "the committer's thread panicked"))))
    }

    fn room_for(&self, bytes: usize) -> Result<(), AppendError> {
        let shared = &self.shared;
        let room = shared.queue.room(bytes).and_then(|()| shared.room.check(&*shared.disk, || shared.clock.now()));
        room.inspect_err(|_| shared.counters.refused_appends.inc())
    }

    /// Fills a slice, from memory where that has it, and off this thread where the disk is needed.
    async fn fill(&self, mut filling: Filling, source: Source) -> Result<LogSlice, Fault> {
        while let Some(offset) = filling.wants() {
            let in_memory = (source == Source::MemoryFirst).then(|| self.shared.find_in_memory(offset)).flatten();
            let group = match in_memory {
                Some(group) => Some(group),
                None => {
                    let shared = self.shared.clone();
                    blocking(move || shared.load(offset)).await?
                }
            };
            filling.take(group.as_deref())?;
        }
        Ok(filling.finish())
    }
}

/// Dropped without [`EmbeddedLog::close`]: the files are left as a crash leaves them.
impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.abandon();
        if let Some(Err(fault)) = self.join() {
            tracing::error!(%fault, "the log was not closed");
        }
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if append.lengths.is_empty() {
            let (frontier, accepted_at) = (self.durable_end(), self.shared.clock.now());
            return Ok(Appended { frontier, ranges: Vec::new(), accepted_at });
        }
        self.room_for(append.records.len())?;
        let (pending, answered) = pending(append)?;
        let count = u64::from(pending.count);
        self.shared.queue.push(pending).inspect_err(|_| self.shared.counters.refused_appends.inc())?;
        let (first, accepted_at) = answered.await.unwrap_or_else(|_| {
            Err(AppendError::Unknown { reason: "the log's committer ended before it answered".into() })
        })?;
        let range = Range::new(PARTITION, first, first + count);
        Ok(Appended { frontier: Frontier::at(PARTITION, range.to), ranges: vec![range], accepted_at })
    }

    fn room(&self) -> Result<(), AppendError> {
        self.room_for(0)
    }

    async fn read(&self, from: Position, events_max: usize, bytes_max: usize) -> Result<LogSlice, Fault> {
        self.shared.check_readable(from)?;
        self.fill(Filling::new(from.offset, self.shared.end(), events_max, bytes_max), Source::MemoryFirst).await
    }

    fn durable_end(&self) -> Frontier {
        Frontier::at(PARTITION, self.shared.end())
    }

    fn growth(&self) -> watch::Receiver<Frontier> {
        self.shared.growth.subscribe()
    }

    fn start(&self) -> Frontier {
        Frontier::at(PARTITION, self.shared.start())
    }

    async fn controls_from(&self, from: &Frontier) -> Result<Vec<(Position, Instant, Control)>, Fault> {
        let from = from.next(PARTITION);
        self.shared.check_readable(Position::new(PARTITION, from))?;
        let shared = self.shared.clone();
        blocking(move || {
            let segments: Vec<_> = shared.segments().list.iter().cloned().collect();
            reader::controls(&*shared.disk, &segments, from)
        })
        .await
    }

    async fn release(&self, below: &Frontier, verify: &Verify<'_>) -> Result<(), Fault> {
        self.release_below(below.next(PARTITION), verify).await
    }

    fn snapshot(&self) -> LogSnapshot {
        let (segments, bytes) = {
            let segments = self.shared.segments();
            (segments.list.len() as u64, segments.list.iter().map(segment::Segment::bytes).sum())
        };
        let counters = &self.shared.counters;
        LogSnapshot {
            start: self.start(),
            end: self.durable_end(),
            segments,
            bytes,
            appended_events: counters.appended_events.get(),
            appended_bytes: counters.appended_bytes.get(),
            queued_appends: self.shared.queue.len() as u64,
            refused_appends: counters.refused_appends.get(),
            failed_syncs: counters.failed_syncs.get(),
            deleted_segments: counters.deleted_segments.get(),
            torn_bytes_cut: counters.torn_bytes_cut.get(),
            sync_seconds: counters.sync_seconds.snapshot(),
        }
    }
}

/// Checks an append and its records' lengths, and computes its checksum, on the appending thread.
fn pending(append: Append) -> Result<(Pending, oneshot::Receiver<queue::Answer>), AppendError> {
    let (records, bytes) = (append.records, append.lengths);
    if records.len() > frame::PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes are more than one append may have, {}", records.len(), frame::PAYLOAD_BYTES_MAX);
        return Err(AppendError::Refused { reason, retry_after_s: 0 });
    }
    let mut rest = &records[..];
    let mut has_controls = false;
    for length in &bytes {
        let (whole, kind) = record::peek(rest).expect("an append holds whole records of known kinds");
        assert_eq!(whole, *length as usize, "an append's lengths are those of its records");
        has_controls |= kind != Kind::Event;
        rest = &rest[whole..];
    }
    assert!(rest.is_empty(), "an append's lengths add up to its bytes");
    let count = u32::try_from(bytes.len()).expect("records of five bytes and more in less than 4 GiB");
    let crc = crc32c::crc32c(&records);
    let (reply, answered) = oneshot::channel();
    Ok((Pending { records, crc, count, has_controls, reply }, answered))
}

/// Runs what waits for the disk where it holds up no other task; without a runtime, right here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match tokio::runtime::Handle::try_current() {
        Err(_) => work(),
        Ok(runtime) => {
            let done = runtime.spawn_blocking(work).await;
            done.unwrap_or_else(|error| Err(Fault::retry("log", format!("the read did not end: {error}"))))
        }
    }
}

fn io_fault(path: &Path, what: &str, error: &io::Error) -> Fault {
    Fault::retry("log", format!("{}: cannot {what}: {error}", path.display()))
}

/// Bytes that were durable are not what was written.
fn corrupt(path: &Path, file_offset: u64, what: &str) -> Fault {
    let message = format!("{} at offset {file_offset}: {what}; `weir doctor` shows all there is", path.display());
    Fault::give_up("log", message)
}

#[cfg(test)]
mod tests;
