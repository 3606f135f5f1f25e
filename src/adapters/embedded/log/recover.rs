//! Opening the log: which bytes count.
//!
//! Every segment but the last ends where the next one's header says; its frames are checked when they are read. The
//! last one is gone through: bad bytes below the greatest `durable_to` that any valid frame behind them carries were
//! synced once, so something damaged them, and the log refuses to open. All other bad bytes are a torn tail, the
//! remains of writes that no sync had confirmed and nobody was told about, and so is whatever valid frame lies behind
//! them. The tail is cut. What is kept is written once more, in place, and synced: after a failed sync and a kill the
//! page cache may show as clean what the disk never got. Then a new segment's header records the end, and only then
//! is anything read.

use super::segment::{self, HEADER_BYTES, Header, Mark, Segment};
use super::walk::{Found, READ_AHEAD_BYTES, Walker};
use super::{corrupt, io_fault};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use std::path::Path;
use std::sync::Arc;

/// A log that was opened.
pub struct Recovered {
    /// Oldest first; the last one is written to.
    pub segments: Vec<Segment>,
    /// The last segment's file.
    pub file: Arc<dyn DiskFile>,
    pub last_accepted_at: Instant,
    pub torn_bytes: u64,
}

/// Opens the log, cuts its torn tail and records its end.
pub fn recover(disk: &dyn Disk) -> Result<Recovered, Fault> {
    let dir = Path::new(segment::DIR);
    disk.create_dir(dir).map_err(|error| io_fault(dir, "create", &error))?;
    let headers = headers(disk)?;
    let Some(last) = headers.last().copied() else { return fresh(disk) };
    let mut segments = closed(disk, &headers)?;
    let path = segment::path(last.number);
    let file = disk.open(&path).map_err(|error| io_fault(&path, "open", &error))?;
    let kept = scan(&*file, &last)?;
    make_durable(disk, &*file, &kept).map_err(|error| io_fault(&path, "sync", &error))?;
    let (last_accepted_at, torn_bytes) = (kept.last_accepted_at, kept.torn_bytes);
    let untouched = kept.segment.end == HEADER_BYTES && torn_bytes == 0;
    let end = kept.segment.clone();
    segments.push(kept.segment);
    if untouched {
        // Its header names the end already, and no frame of it was ever there.
        return Ok(Recovered { segments, file, last_accepted_at, torn_bytes });
    }
    let header = Header {
        number: end.number + 1,
        first_offset: end.next_offset,
        previous_end: end.end,
        previous_next_offset: end.next_offset,
        last_accepted_at,
    };
    let file = begin(disk, &header)?;
    segments.push(Segment::empty(header.number, header.first_offset));
    Ok(Recovered { segments, file, last_accepted_at, torn_bytes })
}

/// The first segment of a new log.
fn fresh(disk: &dyn Disk) -> Result<Recovered, Fault> {
    let last_accepted_at = Instant::from_nanos(0);
    let header = Header { number: 1, first_offset: 0, previous_end: 0, previous_next_offset: 0, last_accepted_at };
    let file = begin(disk, &header)?;
    Ok(Recovered { segments: vec![Segment::empty(1, 0)], file, last_accepted_at, torn_bytes: 0 })
}

fn begin(disk: &dyn Disk, header: &Header) -> Result<Arc<dyn DiskFile>, Fault> {
    let use_spare = disk.exists(&segment::spare_path());
    segment::begin(disk, header, use_spare).map_err(|error| io_fault(&segment::path(header.number), "begin", &error))
}

/// The headers of all segments, oldest first, without a gap.
pub fn headers(disk: &dyn Disk) -> Result<Vec<Header>, Fault> {
    let numbers = segment::list(disk).map_err(|error| io_fault(Path::new(segment::DIR), "list", &error))?;
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            let missing = segment::path(pair[0] + 1);
            return Err(Fault::give_up("log", format!("{} is missing between its neighbours", missing.display())));
        }
    }
    numbers.into_iter().map(|number| header(disk, number)).collect()
}

/// One segment's header. A bad one is a fault (give up): no crash leaves a segment without its header.
pub fn header(disk: &dyn Disk, number: u64) -> Result<Header, Fault> {
    let path = segment::path(number);
    let file = disk.open(&path).map_err(|error| io_fault(&path, "open", &error))?;
    let mut bytes = [0; HEADER_BYTES as usize];
    match file.read_at(0, &mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(corrupt(&path, 0, "it is shorter than its header"));
        }
        result => result.map_err(|error| io_fault(&path, "read", &error))?,
    }
    Header::decode(&bytes, number).map_err(|reason| corrupt(&path, 0, &reason))
}

/// Every segment but the last, as the next one's header describes it.
pub fn closed(disk: &dyn Disk, headers: &[Header]) -> Result<Vec<Segment>, Fault> {
    headers.windows(2).map(|pair| closed_segment(disk, &pair[0], &pair[1])).collect()
}

fn closed_segment(disk: &dyn Disk, header: &Header, next: &Header) -> Result<Segment, Fault> {
    let path = segment::path(header.number);
    let follows = next.previous_end >= HEADER_BYTES
        && next.previous_next_offset >= header.first_offset
        && next.first_offset >= next.previous_next_offset;
    if !follows {
        return Err(corrupt(&segment::path(next.number), 0, "its header does not follow from the segment before it"));
    }
    let length = disk.open(&path).and_then(|file| file.len()).map_err(|error| io_fault(&path, "open", &error))?;
    if length < next.previous_end {
        return Err(corrupt(&path, length, &format!("the file ends here, and its records at {}", next.previous_end)));
    }
    let mut segment = Segment::empty(header.number, header.first_offset);
    (segment.next_offset, segment.end) = (next.previous_next_offset, next.previous_end);
    Ok(segment)
}

/// What is kept of the last segment.
pub struct Kept {
    pub segment: Segment,
    pub last_accepted_at: Instant,
    /// Everything below was synced before some frame was written.
    pub durable_to: u64,
    /// Bytes behind the end that somebody wrote.
    pub torn_bytes: u64,
}

/// Goes through the last segment.
pub fn scan(file: &dyn DiskFile, header: &Header) -> Result<Kept, Fault> {
    let path = segment::path(header.number);
    let fault = |error: std::io::Error| io_fault(&path, "read", &error);
    let length = file.len().map_err(fault)?;
    let mut segment = Segment::empty(header.number, header.first_offset);
    let (mut last_accepted_at, mut durable_to) = (header.last_accepted_at, HEADER_BYTES);
    let mut walker = Walker::new(file, header.number, HEADER_BYTES, length);
    loop {
        let head = match walker.head().map_err(fault)? {
            Found::Frame(head) if head.first_offset == segment.next_offset => head,
            _ => break,
        };
        if walker.payload(&head).map_err(fault)?.is_none() {
            break;
        }
        segment.mark(Mark { offset: head.first_offset, file_offset: walker.at() });
        walker.pass(&head);
        (segment.next_offset, segment.end) = (head.next_offset(), walker.at());
        (last_accepted_at, durable_to) = (head.accepted_at, durable_to.max(head.durable_to));
    }
    let written_to = written_to(file, segment.end, length).map_err(fault)?;
    let mut behind = Walker::new(file, header.number, segment.end, written_to);
    while let Some(head) = behind.seek_next().map_err(fault)? {
        if head.durable_to > segment.end {
            let what =
                format!("bad bytes below {}, which the frame at {} says was synced", head.durable_to, behind.at());
            return Err(corrupt(&path, segment.end, &what));
        }
    }
    let torn_bytes = written_to - segment.end;
    Ok(Kept { segment, last_accepted_at, durable_to, torn_bytes })
}

/// Just past the last byte in `[from, to)` that is not zero: behind it lie only blocks that were written ahead.
fn written_to(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<u64> {
    let (mut at, mut written_to) = (from, from);
    let mut window = Vec::new();
    while at < to {
        window.resize(usize::try_from(READ_AHEAD_BYTES.min(to - at)).map_err(std::io::Error::other)?, 0);
        file.read_at(at, &mut window)?;
        if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
            written_to = at + last as u64 + 1;
        }
        at += window.len() as u64;
    }
    Ok(written_to)
}

/// Writes what may not have reached the disk once more, and syncs it, its name too.
fn make_durable(disk: &dyn Disk, file: &dyn DiskFile, kept: &Kept) -> std::io::Result<()> {
    let mut at = kept.durable_to;
    while at < kept.segment.end {
        let length = READ_AHEAD_BYTES.min(kept.segment.end - at);
        let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        file.read_at(at, &mut bytes)?;
        file.write_at(at, &bytes)?;
        at += length;
    }
    file.sync()?;
    disk.sync_dir(Path::new(segment::DIR))
}
