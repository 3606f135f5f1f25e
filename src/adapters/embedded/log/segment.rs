//! Segments: the files of the log, `log/00000000000000000001.seg` and on, without a gap.
//!
//! A segment begins with a header that names the end of the one before it: bytes past that end are ignored, and a bad
//! byte below it is corruption. Beginning a segment is therefore how an end is recorded. A file bears a segment's name
//! only once its header is durable, so a bad header is never a crash's doing.

use super::frame::HEAD_BYTES as FRAME_HEAD_BYTES;
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::record::FORMAT_VERSION;
use crate::domain::time::Instant;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the log lives in the data directory.
pub const DIR: &str = "log";
/// Bytes before the first frame.
pub const HEADER_BYTES: u64 = 64;

const MAGIC: &[u8; 8] = b"WEIRLOG1";
const SUFFIX: &str = ".seg";
/// A new segment until its header is durable.
const NEW: &str = "new.tmp";
/// A file whose blocks are allocated and whose content means nothing, for the next segment.
pub const SPARE: &str = "spare.tmp";

/// What a segment says about itself and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub number: u64,
    /// Offset of its first record.
    pub first_offset: u64,
    /// Where the previous segment ends, as a place in its file; 0 in the very first.
    pub previous_end: u64,
    /// Just past the previous segment's last record: what lies between here and `first_offset` was never acknowledged.
    pub previous_next_offset: u64,
    /// Accepted-at of the last record before it: time never goes back from there.
    pub last_accepted_at: Instant,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let numbers = [self.number, self.first_offset, self.previous_end, self.previous_next_offset];
        for (i, number) in numbers.into_iter().enumerate() {
            bytes[16 + i * 8..24 + i * 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[48..56].copy_from_slice(&self.last_accepted_at.nanos().to_le_bytes());
        let crc = crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment whose name says `number`; why not, when it cannot be trusted.
    pub fn decode(bytes: &[u8; HEADER_BYTES as usize], number: u64) -> Result<Self, String> {
        if &bytes[..8] != MAGIC {
            return Err("it does not begin as a segment of the log".into());
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > FORMAT_VERSION {
            let known = FORMAT_VERSION;
            return Err(format!(
                "it has format version {version} and this weir reads up to {known}: start the newer one"
            ));
        }
        if bytes[12..16] != crc(bytes).to_le_bytes() {
            return Err("the checksum of its header does not match".into());
        }
        let at = |i: usize| u64::from_le_bytes(bytes[16 + i * 8..24 + i * 8].try_into().expect("eight bytes"));
        if at(0) != number {
            return Err(format!("it is segment {} under another's name", at(0)));
        }
        Ok(Self {
            number,
            first_offset: at(1),
            previous_end: at(2),
            previous_next_offset: at(3),
            last_accepted_at: Instant::from_nanos(at(4).cast_signed()),
        })
    }
}

/// Over the whole header but the checksum itself.
fn crc(bytes: &[u8; HEADER_BYTES as usize]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// Path of a segment, relative to the data directory.
pub fn path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:020}{SUFFIX}"))
}

/// Path of the spare file.
pub fn spare_path() -> PathBuf {
    Path::new(DIR).join(SPARE)
}

/// Numbers of all segments on the disk, ascending. Names that are not the log's are left alone.
pub fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let number = |name: String| -> Option<u64> {
        let digits = name.strip_suffix(SUFFIX)?;
        (digits.len() == 20).then(|| digits.parse().ok()).flatten()
    };
    Ok(disk.list(Path::new(DIR))?.into_iter().filter_map(number).collect())
}

/// Begins a segment, in the spare file when that is wanted. When it returns, header and name are durable. After an
/// error it may be tried again with the same header, in another file: nothing was written under the name.
pub fn begin(disk: &dyn Disk, header: &Header, use_spare: bool) -> io::Result<Arc<dyn DiskFile>> {
    let new = Path::new(DIR).join(NEW);
    remove_if_there(disk, &new)?;
    let file = if use_spare {
        disk.rename(&spare_path(), &new)?;
        disk.open(&new)?
    } else {
        disk.create(&new)?
    };
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.rename(&new, &path(header.number))?;
    disk.sync_dir(Path::new(DIR))?;
    Ok(file)
}

/// Removes a file; it may be gone already.
pub fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One segment as the running log knows it.
#[derive(Debug, Clone)]
pub struct Segment {
    pub number: u64,
    pub first_offset: u64,
    /// Just past its last durable record.
    pub next_offset: u64,
    /// Where its last durable frame ends in the file.
    pub end: u64,
    /// Some frames' places, ascending, about [`MARK_EVERY_BYTES`] apart; the first is the first frame's.
    pub marks: Vec<Mark>,
}

/// The frame that begins at `file_offset` holds `offset` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub offset: u64,
    pub file_offset: u64,
}

/// Distance of two marks at least, in bytes: what a seek goes through.
pub const MARK_EVERY_BYTES: u64 = 512 << 10;

impl Segment {
    /// A segment with nothing in it yet.
    pub fn empty(number: u64, first_offset: u64) -> Self {
        let marks = vec![Mark { offset: first_offset, file_offset: HEADER_BYTES }];
        Self { number, first_offset, next_offset: first_offset, end: HEADER_BYTES, marks }
    }

    /// The last mark at or below `offset`.
    pub fn mark_for(&self, offset: u64) -> Mark {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        self.marks[after.saturating_sub(1)]
    }

    /// Remembers a frame's place, unless a near one is known.
    pub fn mark(&mut self, mark: Mark) {
        let at = self.marks.partition_point(|known| known.file_offset < mark.file_offset);
        let far =
            |known: Option<&Mark>| known.is_none_or(|k| k.file_offset.abs_diff(mark.file_offset) >= MARK_EVERY_BYTES);
        if far(self.marks.get(at)) && far(at.checked_sub(1).and_then(|i| self.marks.get(i))) {
            self.marks.insert(at, mark);
        }
    }

    /// Bytes of frames.
    pub fn bytes(&self) -> u64 {
        self.end - HEADER_BYTES
    }
}

const _: () = assert!(HEADER_BYTES as usize >= 16 + 5 * 8 && FRAME_HEAD_BYTES < MARK_EVERY_BYTES as usize);

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        number: 3,
        first_offset: 15,
        previous_end: 1000,
        previous_next_offset: 10,
        last_accepted_at: Instant::from_nanos(99),
    };

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_found() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes, 3), Ok(HEADER));
        assert!(Header::decode(&bytes, 4).unwrap_err().contains("another's name"));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad, 3).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut bytes = HEADER.encode();
        bytes[8] = 9;
        assert!(Header::decode(&bytes, 3).unwrap_err().contains("format version 9"));
    }

    #[test]
    fn marks_keep_their_distance_and_find_the_frame_before() {
        let mut segment = Segment::empty(1, 100);
        for (offset, file_offset) in
            [(110, 5000), (200, MARK_EVERY_BYTES * 2), (150, MARK_EVERY_BYTES + 64), (160, MARK_EVERY_BYTES + 65)]
        {
            segment.mark(Mark { offset, file_offset });
        }
        let offsets: Vec<u64> = segment.marks.iter().map(|mark| mark.offset).collect();
        assert_eq!(offsets, [100, 200]);
        assert_eq!(segment.mark_for(199).offset, 100);
        assert_eq!(segment.mark_for(200).offset, 200);
        assert_eq!(segment.mark_for(5).offset, 100);
    }
}
