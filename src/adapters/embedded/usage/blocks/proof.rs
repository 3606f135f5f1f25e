//! Proofs: that the blocks have what the log has, record by record, before a segment of the log is deleted.

use super::builder::Place;
use super::{BlockFile, BlockScan};
use crate::domain::fault::Fault;
use crate::domain::record::{EventView, Kind, encode_event, peek};
use crate::domain::time::Instant;
use crate::ports::event_log::{LogRecord, LogSlice};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// Offsets of one file whose hashes are held in memory while segments are compared: about 6 MiB.
const WINDOW_OFFSETS: u64 = 262_144;
/// `at` and accepted-at in front of the record.
const HEAD_BYTES: usize = 16;

/// A count and an order-independent sum of the hashes of events: equal where the events are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proof {
    pub events: u64,
    /// Wrapping sum of each event's 128-bit hash over `at`, accepted-at and the record's bytes (of a duplicate: no bytes).
    pub hash: u128,
}

impl Proof {
    pub(super) fn add(&mut self, hash: u128) {
        self.events += 1;
        self.hash = self.hash.wrapping_add(hash);
    }

    pub(super) fn join(&mut self, other: Proof) {
        self.events += other.events;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// The proof of events given as (at, accepted-at, record bytes; `None` for a duplicate).
pub fn proof_of<'a>(events: impl IntoIterator<Item = (u64, Instant, Option<&'a [u8]>)>) -> Proof {
    let mut hasher = EventHasher::default();
    let mut proof = Proof::default();
    for (at, accepted_at, record) in events {
        proof.add(hasher.of_record(at, accepted_at, record.unwrap_or_default()));
    }
    proof
}

/// Hashes events; keeps the buffer.
#[derive(Default)]
pub(super) struct EventHasher {
    buffer: Vec<u8>,
}

impl EventHasher {
    fn begin(&mut self, at: u64, accepted_at: Instant) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&at.to_le_bytes());
        self.buffer.extend_from_slice(&accepted_at.nanos().to_le_bytes());
        debug_assert_eq!(self.buffer.len(), HEAD_BYTES);
    }

    pub fn of_record(&mut self, at: u64, accepted_at: Instant, record: &[u8]) -> u128 {
        self.begin(at, accepted_at);
        self.buffer.extend_from_slice(record);
        xxh3_128(&self.buffer)
    }

    /// The same for an event read back: its record is made again.
    pub fn of_event(&mut self, place: &Place, event: Option<&EventView<'_>>) -> u128 {
        self.begin(place.at, place.accepted_at);
        if let Some(event) = event {
            encode_event(event, &mut self.buffer);
        }
        xxh3_128(&self.buffer)
    }
}

/// Whether the files hold every event of the slice, byte for byte, and nothing else in its range. Control records are
/// passed over: the control file has them. For one slice; see [`SegmentProof`] for many.
pub fn holds(files: &[Arc<BlockFile>], slice: &LogSlice) -> Result<bool, Fault> {
    SegmentProof::default().holds(files, slice)
}

/// Compares slices of the log with the blocks, one after the other, reading each block file about once.
#[derive(Default)]
pub struct SegmentProof {
    window: Mutex<Option<Window>>,
}

/// What the blocks say about a stretch of offsets.
struct Window {
    partition: u32,
    offsets: Range<u64>,
    /// No file has these offsets. Never kept: one may come.
    is_gap: bool,
    /// By offset.
    marks: Vec<Mark>,
}

struct Mark {
    at: u64,
    hash: u128,
    /// Its content is the winner's: only place and accepted-at can be compared.
    is_duplicate: bool,
}

impl SegmentProof {
    /// Like [`holds`]. Memory is bounded by a window of offsets, whatever the size of slice and files.
    pub fn holds(&self, files: &[Arc<BlockFile>], slice: &LogSlice) -> Result<bool, Fault> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let records = || slice.chunks.iter().flat_map(|chunk| chunk.records.iter().map(move |record| (chunk, record)));
        let mut records = records().peekable();
        let mut hasher = EventHasher::default();
        let mut from = slice.range.from;
        while from < slice.range.to {
            let marks = Window::at(&mut window, files, slice.range.partition, from)?;
            let piece = from..marks.offsets.end.min(slice.range.to);
            let begin = marks.marks.partition_point(|mark| mark.at < piece.start);
            let end = marks.marks.partition_point(|mark| mark.at < piece.end);
            let mut expected = marks.marks[begin..end].iter().peekable();
            while let Some((chunk, record)) = records.next_if(|(_, record)| record.offset < piece.end) {
                let bytes = chunk.bytes.get(record.start as usize..record.end as usize);
                let Some(bytes) = bytes else { return Ok(false) };
                let mark = expected.next_if(|mark| mark.at == record.offset);
                if !agrees(mark, record, bytes, &mut hasher)? {
                    return Ok(false);
                }
            }
            if expected.next().is_some() {
                return Ok(false);
            }
            from = piece.end;
        }
        Ok(records.next().is_none())
    }
}

/// Whether a record of the log and what the blocks have at its offset are the same.
fn agrees(mark: Option<&Mark>, record: &LogRecord, bytes: &[u8], hasher: &mut EventHasher) -> Result<bool, Fault> {
    let (length, kind) =
        peek(bytes).map_err(|error| Fault::give_up("usage store", format!("log record {}: {error}", record.offset)))?;
    if kind != Kind::Event {
        // A redriven event, and one that replaces another, stands at its control record.
        return Ok(mark.is_none() || matches!(kind, Kind::Redriven | Kind::Void));
    }
    let Some(mark) = mark else { return Ok(false) };
    let content = if mark.is_duplicate { &[] } else { bytes };
    Ok(length == bytes.len() && mark.hash == hasher.of_record(record.offset, record.accepted_at, content))
}

impl Window {
    /// The window that covers `offset`: the one there is, or a new one read from the file that has it.
    fn at<'w>(
        kept: &'w mut Option<Window>,
        files: &[Arc<BlockFile>],
        partition: u32,
        offset: u64,
    ) -> Result<&'w Window, Fault> {
        let wanted =
            |window: &Window| window.partition == partition && window.offsets.contains(&offset) && !window.is_gap;
        let fresh = match kept.take().filter(wanted) {
            Some(window) => window,
            None => Self::read(files, partition, offset)?,
        };
        Ok(kept.insert(fresh))
    }

    fn read(files: &[Arc<BlockFile>], partition: u32, offset: u64) -> Result<Self, Fault> {
        let ranges = || files.iter().filter(|file| file.summary().range.partition == partition);
        let has = |file: &&Arc<BlockFile>| file.summary().range.from <= offset && offset < file.summary().range.to;
        let Some(file) = ranges().find(has) else {
            // No file has it: an empty stretch up to the next that begins.
            let next = ranges().map(|file| file.summary().range.from).filter(|from| *from > offset).min();
            let offsets = offset..next.unwrap_or(u64::MAX);
            return Ok(Self { partition, offsets, is_gap: true, marks: Vec::new() });
        };
        let end = file.summary().range.to.min(offset.saturating_add(WINDOW_OFFSETS));
        let scan = BlockScan { offsets: Some(offset..end), ..BlockScan::default() };
        let mut marks = Vec::new();
        let mut hasher = EventHasher::default();
        let _ = file.scan(&scan, &mut |stored| {
            let place = Place::of(&stored);
            let hash = hasher.of_event(&place, stored.event.as_ref());
            marks.push(Mark { at: stored.at, hash, is_duplicate: stored.event.is_none() });
            ControlFlow::Continue(())
        })?;
        marks.sort_unstable_by_key(|mark| mark.at);
        Ok(Self { partition, offsets: offset..end, is_gap: false, marks })
    }
}
