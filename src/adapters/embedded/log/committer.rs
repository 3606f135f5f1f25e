//! The committer: the one thread that writes the log.
//!
//! It takes all appends that have queued, writes them with one call, syncs once, and answers them all. While a sync
//! runs the next group forms, so an append waits two syncs at most and throughput grows with load.
//!
//! A write or sync that fails is never tried again on the same file: what the page cache calls clean may never have
//! reached the disk. The appends concerned are told that their outcome is unknown, their offsets are skipped, the
//! segment ends at its last durable point, and appends are refused until a new segment, whose header names that end,
//! is durable.

use super::frame::{FrameAt, FrameHead, Group, HEAD_BYTES};
use super::io_fault;
use super::queue::{Answer, Pending};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::shared::Shared;
use super::spare::SpareMaker;
use crate::adapters::embedded::disk::DiskFile;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use crate::ports::event_log::AppendError;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// First and longest pause between two attempts to begin a segment.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

pub struct Committer {
    // wiring
    shared: Arc<Shared>,
    spare: SpareMaker,
    // the active segment
    file: Arc<dyn DiskFile>,
    number: u64,
    /// Where the next frame goes; everything below is durable.
    at: u64,
    /// Just past the last durable record: where the segment ends for whoever reads it.
    durable_offset: u64,
    /// What the next record gets: beyond `durable_offset` when an append failed.
    next_offset: u64,
    last_accepted_at: Instant,
    /// Zeros were written ahead in the active segment's file.
    is_preallocated: bool,
}

/// Where the committer takes up an opened log.
pub struct Active {
    pub file: Arc<dyn DiskFile>,
    pub segment: Segment,
    pub last_accepted_at: Instant,
}

impl Committer {
    pub fn new(shared: Arc<Shared>, active: Active) -> Self {
        let spare = SpareMaker::new(shared.disk.clone(), &shared.settings);
        let Active { file, segment, last_accepted_at } = active;
        let is_preallocated = file.len().is_ok_and(|length| length >= shared.settings.segment_bytes_max);
        Self {
            shared,
            spare,
            file,
            number: segment.number,
            at: segment.end,
            durable_offset: segment.next_offset,
            next_offset: segment.next_offset,
            last_accepted_at,
            is_preallocated,
        }
    }

    /// Runs until the log is closed, and records its end then.
    pub fn run(mut self) -> Result<(), Fault> {
        let gone = Gone(self.shared.clone());
        let mut group = Vec::new();
        self.prepare_next();
        while self.shared.queue.take(&mut group, self.shared.settings.group_bytes_max) {
            self.commit(&mut group);
        }
        let ended = if gone.0.queue.is_abandoned() { Ok(()) } else { self.record_end() };
        drop(gone);
        ended
    }

    /// Makes a group durable and answers it, whatever happens; leaves `appends` empty.
    fn commit(&mut self, appends: &mut Vec<Pending>) {
        if self.wants_new_segment()
            && let Err(error) = self.begin_segment()
        {
            return self.recover_from(&error, appends.drain(..), &refused_unwritten());
        }
        let group = self.layout(appends);
        let started_at = self.shared.clock.now();
        let written = self.file.write_at(self.at, &group.bytes).and_then(|()| self.file.sync());
        match written {
            Ok(()) => {
                self.observe_sync(started_at);
                self.acknowledge(group, appends);
            }
            Err(error) => {
                self.shared.counters.failed_syncs.inc();
                let reason = format!("{} at offset {}: {error}", segment::path(self.number).display(), self.at);
                let unknown = AppendError::Unknown { reason };
                self.recover_from(&error, appends.drain(..), &unknown);
            }
        }
    }

    /// Gives every append its offsets and its place in the file, in one buffer that is written, kept and read as it is.
    fn layout(&mut self, appends: &[Pending]) -> Group {
        self.last_accepted_at = self.last_accepted_at.max(self.shared.clock.now());
        let bytes_all: usize = appends.iter().map(|append| HEAD_BYTES + append.records.len()).sum();
        let mut bytes = Vec::with_capacity(bytes_all);
        let mut frames = Vec::with_capacity(appends.len());
        for append in appends {
            let file_offset = self.at + bytes.len() as u64;
            let head = FrameHead {
                first_offset: self.next_offset,
                count: append.count,
                accepted_at: self.last_accepted_at,
                durable_to: self.at,
                has_controls: append.has_controls,
                payload_bytes: u32::try_from(append.records.len()).expect("an append is bounded by the frame's limit"),
                payload_crc: append.crc,
            };
            self.next_offset = head.next_offset();
            bytes.extend_from_slice(&head.encode(self.number, file_offset));
            frames.push(FrameAt { head, file_offset, payload_at: bytes.len() });
            bytes.extend_from_slice(&append.records);
        }
        Group { segment: self.number, bytes: Bytes::from(bytes), frames }
    }

    /// Readers first, so that whoever is answered finds its records.
    fn acknowledge(&mut self, group: Group, appends: &mut Vec<Pending>) {
        let counters = &self.shared.counters;
        counters.appended_bytes.add(group.bytes.len() as u64);
        counters.appended_events.add(group.next_offset() - group.first_offset());
        self.at += group.bytes.len() as u64;
        self.durable_offset = self.next_offset;
        let firsts: Vec<u64> = group.frames.iter().map(|frame| frame.head.first_offset).collect();
        self.shared.publish(group, self.at);
        for (append, first) in appends.drain(..).zip(firsts) {
            answer(append, Ok((first, self.last_accepted_at)));
        }
        self.prepare_next();
    }

    /// Has the next segment's blocks written ahead, in time; at once when this segment's were not.
    fn prepare_next(&mut self) {
        if !self.is_preallocated || self.at > self.shared.settings.segment_bytes_max / 2 {
            self.spare.want(self.number);
        }
    }

    fn observe_sync(&self, started_at: Instant) {
        let took_ns = self.shared.clock.now().nanos().saturating_sub(started_at.nanos());
        // A wall clock that went back meanwhile says nothing about the sync.
        if let Ok(took_ns) = u64::try_from(took_ns) {
            self.shared.counters.sync_seconds.observe(Duration::from_nanos(took_ns));
        }
    }

    /// Full, or begun in a hurry while a file with blocks written ahead is there by now.
    fn wants_new_segment(&self) -> bool {
        self.at >= self.shared.settings.segment_bytes_max || (!self.is_preallocated && self.spare.is_ready())
    }

    /// Records the active segment's end in the header of a new one, and goes on there.
    fn begin_segment(&mut self) -> io::Result<()> {
        let header = Header {
            number: self.number + 1,
            first_offset: self.next_offset,
            previous_end: self.at,
            previous_next_offset: self.durable_offset,
            last_accepted_at: self.last_accepted_at,
        };
        let is_preallocated = self.spare.take();
        let file = segment::begin(&*self.shared.disk, &header, is_preallocated)?;
        self.give_back_blocks();
        self.shared.segments().list.push_back(Segment::empty(header.number, header.first_offset));
        (self.file, self.number, self.at) = (file, header.number, HEADER_BYTES);
        self.is_preallocated = is_preallocated;
        self.durable_offset = self.next_offset;
        Ok(())
    }

    /// Frees what was written ahead in the segment that has just ended. Its end is recorded: it does not matter when, or
    /// whether, this reaches the disk.
    fn give_back_blocks(&self) {
        if let Err(error) = self.file.truncate(self.at) {
            tracing::warn!(segment = self.number, %error, "blocks written ahead of the log's end were not freed");
        }
    }

    /// Answers a group that failed, refuses what comes, and goes on once a new segment is durable.
    fn recover_from(&mut self, error: &io::Error, group: impl Iterator<Item = Pending>, verdict: &AppendError) {
        tracing::error!(segment = self.number, at = self.at, %error, "the log's segment broke");
        self.shared.queue.broke(&error.to_string());
        for append in group {
            answer(append, Err(verdict.clone()));
        }
        let mut pause = RETRY_FIRST;
        while let Err(error) = self.begin_segment() {
            tracing::error!(segment = self.number + 1, %error, "a new segment of the log cannot be begun");
            if self.shared.queue.pause(pause) {
                return;
            }
            pause = (pause * 2).min(RETRY_LONGEST);
        }
        tracing::info!(segment = self.number, first_offset = self.next_offset, "the log goes on in a new segment");
        self.shared.queue.mended();
    }

    /// An orderly end: the next open need not tell a torn tail from a damaged one.
    fn record_end(&mut self) -> Result<(), Fault> {
        self.spare.stop();
        if self.at == HEADER_BYTES && self.next_offset == self.durable_offset {
            return Ok(());
        }
        self.begin_segment().map_err(|error| io_fault(&segment::path(self.number + 1), "begin", &error))
    }
}

fn refused_unwritten() -> AppendError {
    AppendError::Refused { reason: "a new segment of the log could not be begun".into(), retry_after_s: 1 }
}

fn answer(append: Pending, answer: Answer) {
    // Whoever has stopped waiting need not be told.
    let _ = append.reply.send(answer);
}

/// Says that the committer has ended, however it ended: nobody waits for it in vain.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.queue.gone();
    }
}
