//! The two ends of a file: what says that it is one, which version wrote it, and where its index is.
//!
//! ```text
//! magic · format version u16 · blocks and index pages · roots · footer · length of the footer u32 · CRC-32C u32 · magic
//! ```

use super::FileSummary;
use super::zone::Span;
use crate::adapters::embedded::disk::DiskFile;
use crate::domain::fault::Fault;
use crate::domain::position::Range;
use crate::domain::time::Instant;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

const MAGIC: &[u8; 8] = b"WEIRBLK1";
/// The format that this binary writes; a higher one is refused.
pub(super) const FORMAT_VERSION: u16 = 1;
pub(super) const HEAD_BYTES: u64 = 10;
const TAIL_BYTES: u64 = 4 + 4 + 8;
/// A footer is small: a bad length must not take the memory. In bytes.
const FOOTER_BYTES_MAX: u64 = 1 << 16;

/// Where a stretch of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub offset: u64,
    pub length: u32,
}

/// What a file says about itself. JSON: people read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub range: Range,
    pub events: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    pub times: Option<Span<Instant>>,
    pub accepted: Option<Span<Instant>>,
    /// The proof of everything in the file, in base 16.
    pub hash: String,
    /// The roots of the two indexes: of whole events and of duplicates.
    pub events_root: Place,
    pub duplicates_root: Place,
    /// Bytes of the whole file.
    pub bytes: u64,
}

impl Footer {
    pub fn summary(&self) -> FileSummary {
        FileSummary {
            range: self.range,
            events: self.events,
            duplicates: self.duplicates,
            conflicts: self.conflicts,
            bytes: self.bytes,
            times: self.times,
            accepted: self.accepted,
        }
    }

    /// The hash as a number.
    pub fn proof_hash(&self) -> Option<u128> {
        u128::from_str_radix(&self.hash, 16).ok()
    }
}

pub(super) fn head() -> Vec<u8> {
    [&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat()
}

/// The end of a file whose content is `length` bytes long; `footer.bytes` is filled in.
pub(super) fn tail(footer: &mut Footer, length: u64) -> Vec<u8> {
    let encode = |footer: &Footer| serde_json::to_vec(footer).expect("a footer is plain data");
    // The length is part of the text, and the text's length part of it: two rounds settle it, a third at a new digit.
    loop {
        let body = encode(footer);
        let bytes = length + body.len() as u64 + TAIL_BYTES;
        if bytes == footer.bytes {
            let size = u32::try_from(body.len()).expect("a footer is small");
            return [&body[..], &size.to_le_bytes(), &crc32c::crc32c(&body).to_le_bytes(), &MAGIC[..]].concat();
        }
        footer.bytes = bytes;
    }
}

/// A fault of the content, named by file and offset.
pub(super) fn damaged(path: &Path, offset: u64, what: &str) -> Fault {
    let path = path.display();
    Fault::give_up("usage store", format!("event file {path} is damaged at byte {offset}: {what}; run `weir doctor`"))
}

/// A fault of the disk.
pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> Fault {
    let message = format!("event file {} cannot be {what}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => Fault::give_up("usage store", message),
        _ => Fault::retry("usage store", message),
    }
}

/// Reads and checks both ends.
pub(super) fn read(file: &dyn DiskFile, path: &Path) -> Result<Footer, Fault> {
    let length = file.len().map_err(|error| failed(path, "read", &error))?;
    if length < HEAD_BYTES + TAIL_BYTES {
        return Err(damaged(path, length, "it is too short to be an event file"));
    }
    let read =
        |offset: u64, bytes: &mut [u8]| file.read_at(offset, bytes).map_err(|error| failed(path, "read", &error));
    let mut head = [0; HEAD_BYTES as usize];
    read(0, &mut head)?;
    check_head(&head, path)?;
    let mut tail = [0; TAIL_BYTES as usize];
    let tail_at = length - TAIL_BYTES;
    read(tail_at, &mut tail)?;
    if &tail[8..] != MAGIC {
        return Err(damaged(path, tail_at + 8, "the end is missing"));
    }
    let number = |at: usize| u32::from_le_bytes(tail[at..at + 4].try_into().expect("four bytes"));
    let size = u64::from(number(0));
    if size > FOOTER_BYTES_MAX || size > tail_at - HEAD_BYTES {
        return Err(damaged(path, tail_at, "the footer's length is impossible"));
    }
    let mut body = vec![0; size as usize];
    read(tail_at - size, &mut body)?;
    if crc32c::crc32c(&body) != number(4) {
        return Err(damaged(path, tail_at - size, "the footer's checksum does not match"));
    }
    let footer: Footer = serde_json::from_slice(&body).map_err(|e| damaged(path, tail_at - size, &e.to_string()))?;
    if footer.bytes != length {
        return Err(damaged(path, length, &format!("it should be {} bytes long", footer.bytes)));
    }
    Ok(footer)
}

fn check_head(head: &[u8], path: &Path) -> Result<(), Fault> {
    if &head[..8] != MAGIC {
        return Err(damaged(path, 0, "it does not begin like an event file"));
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != FORMAT_VERSION {
        let path = path.display();
        let message = format!(
            "event file {path} has format version {version} at byte 8, this weir reads {FORMAT_VERSION}; start the version of weir that wrote it"
        );
        return Err(Fault::give_up("usage store", message));
    }
    Ok(())
}
