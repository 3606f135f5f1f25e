//! Reading the log back: from memory when it is recent, else from disk, checked.

use super::frame::{FrameAt, FrameHead, Group, HEAD_BYTES};
use super::segment::{self, Mark, Segment};
use super::shared::{PARTITION, Shared};
use super::walk::{Found, READ_AHEAD_BYTES, Walker};
use super::{corrupt, io_fault};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::position::{Position, Range};
use crate::domain::record::{self, Control, Kind, RecordError};
use crate::domain::time::Instant;
use crate::ports::event_log::{LogChunk, LogRecord, LogSlice};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;

/// A slice that is being filled.
pub struct Filling {
    from: u64,
    cursor: u64,
    /// Nothing at or beyond it is taken.
    end: u64,
    events_left: usize,
    bytes_left: usize,
    chunks: Vec<LogChunk>,
}

impl Filling {
    /// At least one record is taken when there is one, whatever the limits.
    pub fn new(from: u64, end: u64, events_max: usize, bytes_max: usize) -> Self {
        let (events_left, bytes_left) = (events_max.max(1), bytes_max.max(1));
        Self { from, cursor: from, end, events_left, bytes_left, chunks: Vec::new() }
    }

    /// The offset wanted next; `None` when the slice is full or at its end.
    pub fn wants(&self) -> Option<u64> {
        (self.cursor < self.end && self.events_left > 0 && self.bytes_left > 0).then_some(self.cursor)
    }

    /// Takes what is wanted from a group; without one there is nothing more up to the end.
    pub fn take(&mut self, group: Option<&Group>) -> Result<(), Fault> {
        let Some(group) = group.filter(|group| group.first_offset() < self.end) else {
            self.cursor = self.end;
            return Ok(());
        };
        let mut records = Vec::with_capacity(self.events_left.min(group_records_after(group, self.cursor)));
        let first = group.frames.partition_point(|frame| frame.head.next_offset() <= self.cursor);
        for frame in &group.frames[first..] {
            self.take_frame(group, frame, &mut records)?;
            if self.wants().is_none() {
                break;
            }
        }
        self.chunks.push(LogChunk { bytes: group.bytes.clone(), records });
        Ok(())
    }

    fn take_frame(&mut self, group: &Group, frame: &FrameAt, records: &mut Vec<LogRecord>) -> Result<(), Fault> {
        let mut at = frame.payload_at;
        let payload_end = at + frame.head.payload_bytes as usize;
        for offset in frame.head.first_offset..frame.head.next_offset() {
            let (length, _) = record::peek(&group.bytes[at..payload_end])
                .map_err(|error| unreadable(group.segment, frame, &error))?;
            let (start, end) = (at, at + length);
            at = end;
            if offset < self.cursor {
                continue;
            }
            if offset >= self.end || self.events_left == 0 || self.bytes_left == 0 {
                return Ok(());
            }
            records.push(LogRecord {
                offset,
                accepted_at: frame.head.accepted_at,
                start: place(start),
                end: place(end),
            });
            self.cursor = offset + 1;
            self.events_left -= 1;
            self.bytes_left = self.bytes_left.saturating_sub(length);
        }
        Ok(())
    }

    pub fn finish(self) -> LogSlice {
        LogSlice { range: Range::new(PARTITION, self.from, self.cursor), chunks: self.chunks }
    }
}

fn group_records_after(group: &Group, offset: u64) -> usize {
    usize::try_from(group.next_offset().saturating_sub(offset)).unwrap_or(usize::MAX)
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a group is bounded below 4 GiB")
}

/// The checksum held, and still it is no record that this version knows.
fn unreadable(segment: u64, frame: &FrameAt, error: &RecordError) -> Fault {
    corrupt(&segment::path(segment), frame.file_offset, &error.to_string())
}

/// A place in a segment to read from.
struct Spot {
    number: u64,
    path: PathBuf,
    mark: Mark,
    end: u64,
}

impl Shared {
    /// Whether reading may begin here.
    pub fn check_readable(&self, from: Position) -> Result<(), Fault> {
        let (start, end) = (self.start(), self.end());
        let why = if from.partition != PARTITION {
            format!("partition {} does not exist: the embedded log has partition {PARTITION} only", from.partition)
        } else if from.offset < start {
            format!("position {from} was deleted: the log begins at {PARTITION}:{start}")
        } else if from.offset > end {
            format!(
                "position {from} lies beyond the log's end {PARTITION}:{end}: log and reader are not of one history"
            )
        } else {
            return Ok(());
        };
        Err(Fault::give_up("log", why))
    }

    /// The group on disk with the first record at or beyond `offset`; `None` when there is none below the durable end.
    pub fn load(&self, offset: u64) -> Result<Option<Arc<Group>>, Fault> {
        let Some(spot) = self.spot(offset) else { return Ok(None) };
        let group = match load_at(&*self.disk, &spot, offset) {
            // Deleted while it was read: say so, rather than call it damaged.
            Err(fault) => return Err(self.check_readable(Position::new(PARTITION, offset)).err().unwrap_or(fault)),
            Ok((group, next)) => {
                self.learn(spot.number, &group, next);
                Arc::new(group)
            }
        };
        self.remember_read(group.clone());
        Ok(Some(group))
    }

    fn spot(&self, offset: u64) -> Option<Spot> {
        let segments = self.segments();
        let at = segments.list.partition_point(|segment| segment.next_offset <= offset);
        // An empty segment has nothing at or beyond its own first offset.
        let segment = segments.list.range(at..).find(|segment| segment.end > segment::HEADER_BYTES)?;
        let path = segment::path(segment.number);
        Some(Spot { number: segment.number, path, mark: segment.mark_for(offset), end: segment.end })
    }

    /// Remembers where the group lies and what comes next, for later seeks.
    fn learn(&self, number: u64, group: &Group, next: u64) {
        let mut segments = self.segments();
        let Some(segment) = segments.list.iter_mut().find(|segment| segment.number == number) else { return };
        segment.mark(Mark { offset: group.first_offset(), file_offset: group.frames[0].file_offset });
        if next < segment.end {
            segment.mark(Mark { offset: group.next_offset(), file_offset: next });
        }
    }
}

/// Reads whole frames from the one that holds `offset` on, about one read-ahead of them, and where the next one begins.
fn load_at(disk: &dyn Disk, spot: &Spot, offset: u64) -> Result<(Group, u64), Fault> {
    let file = disk.open(&spot.path).map_err(|error| io_fault(&spot.path, "open", &error))?;
    let mut walker = Walker::new(&*file, spot.number, spot.mark.file_offset, spot.end);
    let mut expected = spot.mark.offset;
    let first = loop {
        let head = next_head(&mut walker, expected, &spot.path)?;
        let Some(head) = head else {
            return Err(corrupt(&spot.path, walker.at(), "its records end before the offset that its successor names"));
        };
        if head.next_offset() > offset {
            break head;
        }
        expected = head.next_offset();
        walker.pass(&head);
    };
    let at = walker.at();
    let length = first.frame_bytes().max(READ_AHEAD_BYTES).min(spot.end - at);
    let bytes = read(&*file, at, length).map_err(|error| io_fault(&spot.path, "read", &error))?;
    let group = parse(bytes, spot, at, expected)?;
    let last = group.frames.last().expect("the first frame is whole");
    let next = last.file_offset + last.head.frame_bytes();
    Ok((group, next))
}

fn read(file: &dyn DiskFile, at: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
    file.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// The whole frames at the start of `bytes`, which lie at `at`; the first one is whole.
fn parse(bytes: Vec<u8>, spot: &Spot, at: u64, mut expected: u64) -> Result<Group, Fault> {
    let mut frames: Vec<FrameAt> = Vec::new();
    let mut start = 0;
    while bytes.len() - start >= HEAD_BYTES {
        let file_offset = at + start as u64;
        let payload_at = start + HEAD_BYTES;
        let head =
            FrameHead::decode(&bytes[start..], spot.number, file_offset).filter(|head| head.first_offset == expected);
        let head = head.ok_or_else(|| corrupt(&spot.path, file_offset, "no valid frame begins here"))?;
        let payload_end = payload_at + head.payload_bytes as usize;
        let Some(payload) = bytes.get(payload_at..payload_end) else {
            if file_offset + head.frame_bytes() > spot.end {
                return Err(corrupt(&spot.path, file_offset, "the frame reaches beyond the end of the segment"));
            }
            break;
        };
        if !head.matches(payload) {
            return Err(corrupt(&spot.path, file_offset, "the checksum of the frame's records does not match"));
        }
        frames.push(FrameAt { head, file_offset, payload_at });
        (expected, start) = (head.next_offset(), payload_end);
    }
    Ok(Group { segment: spot.number, bytes: Bytes::from(bytes), frames })
}

/// The head of the frame at the walker; `None` at the end.
fn next_head(walker: &mut Walker<'_>, expected: u64, path: &std::path::Path) -> Result<Option<FrameHead>, Fault> {
    match walker.head().map_err(|error| io_fault(path, "read", &error))? {
        Found::End => Ok(None),
        Found::Frame(head) if head.first_offset == expected => Ok(Some(head)),
        Found::Frame(_) => Err(corrupt(path, walker.at(), "the frame's offsets do not follow from the one before it")),
        Found::Bad(why) => Err(corrupt(path, walker.at(), why)),
    }
}

/// Every control record at or beyond `from` in these segments. Frames of events alone are passed over by their heads.
pub fn controls(disk: &dyn Disk, segments: &[Segment], from: u64) -> Result<Vec<(Position, Instant, Control)>, Fault> {
    let mut controls = Vec::new();
    for segment in segments.iter().filter(|segment| segment.next_offset > from) {
        let path = segment::path(segment.number);
        let file = disk.open(&path).map_err(|error| io_fault(&path, "open", &error))?;
        let mark = segment.mark_for(from);
        let mut walker = Walker::new(&*file, segment.number, mark.file_offset, segment.end);
        let mut expected = mark.offset;
        while let Some(head) = next_head(&mut walker, expected, &path)? {
            if head.has_controls && head.next_offset() > from {
                let at = walker.at();
                let payload = walker.payload(&head).map_err(|error| io_fault(&path, "read", &error))?;
                let payload =
                    payload.ok_or_else(|| corrupt(&path, at, "the checksum of the frame's records does not match"))?;
                controls_of(&head, payload, from, &mut controls)
                    .map_err(|error| corrupt(&path, at, &error.to_string()))?;
            }
            expected = head.next_offset();
            walker.pass(&head);
        }
    }
    Ok(controls)
}

fn controls_of(
    head: &FrameHead,
    mut payload: &[u8],
    from: u64,
    controls: &mut Vec<(Position, Instant, Control)>,
) -> Result<(), RecordError> {
    for offset in head.first_offset..head.next_offset() {
        let (length, kind) = record::peek(payload)?;
        let (record, rest) = payload.split_at(length);
        payload = rest;
        if kind != Kind::Event && offset >= from {
            controls.push((Position::new(PARTITION, offset), head.accepted_at, record::decode_control(record)?));
        }
    }
    Ok(())
}
