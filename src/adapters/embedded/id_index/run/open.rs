//! Opens a run: reads footer, index and filter, and checks them; blocks are checked when they are read.

use super::super::faults::{corrupt, failed, refused};
use super::super::filter::{FilterLoader, PART_HEAD, part_rest};
use super::section::Section;
use super::{FORMAT_VERSION, Footer, HEADER, MAGIC, Run, TRAILER, run_path};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::position::Position;
use std::path::Path;

/// A filter part is larger than this only when it was never written by us.
const PART_BYTES_MAX: usize = 64 * 1024 * 1024;
const FOOTER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file being opened.
struct Opening<'a> {
    path: &'a Path,
    file: &'a dyn DiskFile,
}

/// The index section: firsts and starts of both kinds of blocks.
struct Index {
    firsts: Vec<u64>,
    starts: Vec<u32>,
    mark_firsts: Vec<Position>,
    mark_starts: Vec<u32>,
}

impl Run {
    /// Opens run `number`. Any byte outside the blocks that is not as written is a fault that names its place.
    pub fn open(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Run, Fault> {
        let path = run_path(dir, number);
        let file = disk.open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => corrupt(&path, 0, "the file that the manifest lists is not there"),
            _ => failed(&path, "opening", &e),
        })?;
        let opening = Opening { path: &path, file: &*file };
        let footer = opening.footer()?;
        let index = opening.index(&footer)?;
        let filter = opening.filter(&footer)?;
        Ok(Run {
            number,
            filter,
            blocks: Section::new(HEADER, index.starts),
            firsts: index.firsts,
            marks: Section::new(footer.marks_at, index.mark_starts),
            mark_firsts: index.mark_firsts,
            footer,
            path,
            file,
        })
    }
}

impl Opening<'_> {
    fn bad(&self, offset: u64, what: &str) -> Fault {
        corrupt(self.path, offset, what)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; length];
        self.file.read_at(offset, &mut bytes).map_err(|e| failed(self.path, "reading", &e))?;
        Ok(bytes)
    }

    fn footer(&self) -> Result<Footer, Fault> {
        let length = self.file.len().map_err(|e| failed(self.path, "asking for the length", &e))?;
        if length < HEADER + TRAILER {
            return Err(self.bad(length, "the file is too short for a run"));
        }
        let header = self.read(0, HEADER as usize)?;
        let trailer_at = length - TRAILER;
        let trailer = self.read(trailer_at, TRAILER as usize)?;
        self.version(0, &header[..8], &header[8..])?;
        self.version(trailer_at + 16, &trailer[24..], &trailer[16..24])?;
        let four = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
        let (footer_length, footer_crc) = (u64::from(four(0)), four(4));
        if trailer[8..16] != length.to_le_bytes() {
            return Err(self.bad(trailer_at + 8, "the file is not as long as it was written"));
        }
        let room = trailer_at - HEADER;
        if footer_length > room.min(FOOTER_BYTES_MAX) {
            return Err(self.bad(trailer_at, "the footer's length makes no sense"));
        }
        let footer_at = trailer_at - footer_length;
        let text = self.read(footer_at, footer_length as usize)?;
        if crc32c::crc32c(&text) != footer_crc {
            return Err(self.bad(footer_at, "the footer's CRC-32C does not match"));
        }
        let footer: Footer = serde_json::from_slice(&text).map_err(|e| self.bad(footer_at, &e.to_string()))?;
        let sections = [HEADER, footer.marks_at, footer.index_at, footer.filter_at, footer.footer_at];
        if footer.footer_at != footer_at || !sections.is_sorted() {
            return Err(self.bad(footer_at, "the footer's sections do not fill the file"));
        }
        Ok(footer)
    }

    /// Magic and format version, as they stand at both ends.
    fn version(&self, offset: u64, magic: &[u8], version: &[u8]) -> Result<(), Fault> {
        if magic != MAGIC || version[2..] != [0; 6] {
            return Err(self.bad(offset, "this is no run of the id index"));
        }
        let version = u16::from_le_bytes([version[0], version[1]]);
        if version > FORMAT_VERSION {
            let path = self.path.display();
            return Err(refused(format!(
                "{path}: format version {version} is newer than this weir; start the newer one"
            )));
        }
        if version == 0 { Err(self.bad(offset, "format version 0 does not exist")) } else { Ok(()) }
    }

    fn index(&self, footer: &Footer) -> Result<Index, Fault> {
        let length = footer.filter_at - footer.index_at;
        let counts = footer.blocks.checked_mul(12).zip(footer.mark_blocks.checked_mul(16));
        let expected = counts.and_then(|(blocks, marks)| blocks.checked_add(marks)).and_then(|n| n.checked_add(12));
        if expected != Some(length) {
            return Err(self.bad(footer.index_at, "the index does not fill its section"));
        }
        let bytes = self.read(footer.index_at, length as usize)?;
        let body = super::super::block::checked(&bytes, 0).map_err(|what| self.bad(footer.index_at, what))?;
        let (firsts, rest) = body.split_at(footer.blocks as usize * 8);
        let (starts, rest) = rest.split_at(footer.blocks as usize * 4 + 4);
        let (mark_firsts, mark_starts) = rest.split_at(footer.mark_blocks as usize * 12);
        let four = |b: &[u8]| u32::from_le_bytes(b.try_into().expect("four bytes"));
        let eight = |b: &[u8]| u64::from_le_bytes(b.try_into().expect("eight bytes"));
        let index = Index {
            firsts: firsts.chunks_exact(8).map(eight).collect(),
            starts: starts.chunks_exact(4).map(four).collect(),
            mark_firsts: mark_firsts.chunks_exact(12).map(|b| Position::new(four(&b[..4]), eight(&b[4..]))).collect(),
            mark_starts: mark_starts.chunks_exact(4).map(four).collect(),
        };
        let fills = |starts: &[u32], length: u64| {
            starts.first() == Some(&0) && starts.is_sorted() && starts.last().map(|end| u64::from(*end)) == Some(length)
        };
        let whole = fills(&index.starts, footer.marks_at - HEADER)
            && fills(&index.mark_starts, footer.index_at - footer.marks_at);
        if whole { Ok(index) } else { Err(self.bad(footer.index_at, "the index does not match its sections")) }
    }

    fn filter(&self, footer: &Footer) -> Result<super::super::filter::Filter, Fault> {
        let mut loader = FilterLoader::default();
        let mut at = footer.filter_at;
        for _ in 0..footer.filter_parts {
            let left = footer.footer_at - at;
            if left < PART_HEAD as u64 {
                return Err(self.bad(at, "a part of the filter is missing"));
            }
            let head: [u8; PART_HEAD] = self.read(at, PART_HEAD)?.try_into().expect("as long as asked for");
            let length = PART_HEAD + part_rest(&head);
            if length as u64 > left || length > PART_BYTES_MAX {
                return Err(self.bad(at, "the length of a filter part makes no sense"));
            }
            let part = self.read(at, length)?;
            loader.add(&part).map_err(|what| self.bad(at, what))?;
            at += length as u64;
        }
        if at != footer.footer_at {
            return Err(self.bad(at, "the filter does not fill its section"));
        }
        loader.finish().map_err(|what| self.bad(footer.filter_at, what))
    }
}
