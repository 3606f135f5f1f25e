//! What `weir doctor` asks: is every byte of the log what was written? Reads everything and changes nothing.

use super::io_fault;
use super::recover;
use super::segment::{self, HEADER_BYTES, Header};
use super::walk::{Found, Walker};
use crate::adapters::embedded::disk::Disk;
use crate::domain::fault::Fault;
use crate::domain::record;
use std::path::{Path, PathBuf};

/// What was gone through, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogReport {
    pub segments: u64,
    pub frames: u64,
    pub records: u64,
    pub bytes: u64,
    /// Behind the last segment's durable end: cut at the next open, no damage.
    pub torn_bytes: u64,
    pub findings: Vec<Finding>,
}

/// Damage at one place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Relative to the data directory.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub offset: u64,
    pub what: String,
}

/// Goes through every frame of every segment. A fault only when the disk does not answer; damage is in the report.
/// Not for a log that is open.
pub fn check(disk: &dyn Disk) -> Result<LogReport, Fault> {
    let mut report = LogReport::default();
    if !disk.exists(Path::new(segment::DIR)) {
        return Ok(report);
    }
    let numbers = segment::list(disk).map_err(|error| io_fault(Path::new(segment::DIR), "list", &error))?;
    let mut headers = Vec::new();
    for (i, number) in numbers.iter().enumerate() {
        if i > 0 && numbers[i - 1] + 1 != *number {
            report.find(segment::path(numbers[i - 1] + 1), 0, "the segment is missing between its neighbours");
        }
        match recover::header(disk, *number) {
            Ok(header) => headers.push(header),
            Err(fault) => report.find(segment::path(*number), 0, fault.message),
        }
    }
    for (i, header) in headers.iter().enumerate() {
        let next = headers.get(i + 1).filter(|next| next.number == header.number + 1);
        check_segment(disk, header, next, numbers.last() == Some(&header.number), &mut report)?;
    }
    Ok(report)
}

impl LogReport {
    fn find(&mut self, file: PathBuf, offset: u64, what: impl Into<String>) {
        self.findings.push(Finding { file, offset, what: what.into() });
    }
}

/// The end of a segment is what the next header names; the last one's is found as at open. Without a next header, all
/// that can be recognised is looked at.
fn check_segment(
    disk: &dyn Disk,
    header: &Header,
    next: Option<&Header>,
    is_last: bool,
    report: &mut LogReport,
) -> Result<(), Fault> {
    let path = segment::path(header.number);
    let file = disk.open(&path).map_err(|error| io_fault(&path, "open", &error))?;
    let length = file.len().map_err(|error| io_fault(&path, "look at", &error))?;
    let mut end = next.map_or(length, |next| next.previous_end);
    if end > length {
        report.find(path.clone(), length, format!("the file ends here, and its records at {end}"));
        end = length;
    }
    if is_last {
        match recover::scan(&*file, header) {
            Ok(kept) => {
                end = kept.segment.end;
                report.torn_bytes = kept.torn_bytes;
            }
            Err(fault) => report.find(path.clone(), HEADER_BYTES, fault.message),
        }
    }
    report.segments += 1;
    let mut walker = Walker::new(&*file, header.number, HEADER_BYTES, end);
    check_frames(&mut walker, header.first_offset, &path, report).map_err(|error| io_fault(&path, "read", &error))
}

fn check_frames(
    walker: &mut Walker<'_>,
    mut expected: u64,
    path: &Path,
    report: &mut LogReport,
) -> std::io::Result<()> {
    loop {
        let at = walker.at();
        let head = match walker.head()? {
            Found::End => return Ok(()),
            Found::Frame(head) => head,
            Found::Bad(why) => {
                report.find(path.to_path_buf(), at, why);
                match walker.seek_next()? {
                    None => return Ok(()),
                    Some(head) => {
                        expected = head.first_offset;
                        continue;
                    }
                }
            }
        };
        if head.first_offset != expected {
            let what = format!("the frame begins with offset {}, {expected} comes next", head.first_offset);
            report.find(path.to_path_buf(), at, what);
        }
        match walker.payload(&head)? {
            None => report.find(path.to_path_buf(), at, "the checksum of the frame's records does not match"),
            Some(payload) => {
                if let Err(error) = records_of(payload, head.count) {
                    report.find(path.to_path_buf(), at, error.to_string());
                }
            }
        }
        report.frames += 1;
        report.records += u64::from(head.count);
        report.bytes += head.frame_bytes();
        expected = head.next_offset();
        walker.pass(&head);
    }
}

fn records_of(mut payload: &[u8], count: u32) -> Result<(), record::RecordError> {
    for _ in 0..count {
        let (length, _) = record::peek(payload)?;
        payload = &payload[length..];
    }
    if payload.is_empty() { Ok(()) } else { Err(record::RecordError::Lengths) }
}
