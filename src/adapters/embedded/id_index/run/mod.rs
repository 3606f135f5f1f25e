//! A run: winners sealed into an immutable file, sorted by id.
//!
//! ```text
//! magic u64 · format version u16 · 0 × 6
//! blocks of winners                   read one at a time, by id
//! blocks of marks                     when winners were accepted, by position (`times`)
//! index                               first id of each block, first position of each block of marks: kept in memory
//! filter                              kept in memory
//! footer (JSON)                       counts and where the sections begin
//! length of the footer u32 · its CRC-32C u32 · length of the file u64 · format version u16 · 0 × 6 · magic u64
//! ```
//!
//! In memory a run takes about 1.3 bytes an id; a lookup that the filter admits reads one block of 128 ids, and one
//! of marks when it found something.

mod open;
mod section;
mod writer;

pub(super) use section::SectionReader;
pub(super) use writer::RunWriter;

use super::block::Block;
use super::entry::{exists_for, high};
use super::faults::{corrupt, failed};
use super::filter::{Filter, Place};
use super::times::{self, Mark};
use crate::adapters::embedded::disk::DiskFile;
use crate::domain::fault::Fault;
use crate::domain::position::{Position, Range};
use crate::domain::time::Instant;
use crate::ports::id_index::ClaimRequest;
use section::Section;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"WEIRIDS1";
const FORMAT_VERSION: u16 = 1;
/// Before the first block.
const HEADER: u64 = 16;
/// After the footer.
const TRAILER: u64 = 32;

/// What a run says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub ids: u64,
    pub blocks: u64,
    pub mark_blocks: u64,
    pub filter_parts: u64,
    pub marks_at: u64,
    pub index_at: u64,
    pub filter_at: u64,
    pub footer_at: u64,
    /// Least and greatest accepted-at of the winners.
    pub accepted: (Instant, Instant),
    /// Where the winners stand, one stretch per partition.
    pub covers: Vec<Range>,
}

/// A run that is open for reading.
pub(super) struct Run {
    pub number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    footer: Footer,
    filter: Filter,
    blocks: Section,
    /// High half of each block's first id.
    firsts: Vec<u64>,
    marks: Section,
    /// First position of each block of marks.
    mark_firsts: Vec<Position>,
}

/// A winner of some request's id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Which request of the batch.
    pub request: u32,
    pub position: Position,
    pub accepted_at: Instant,
    pub digest: u32,
}

/// Buffers of lookups, kept to be used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    found: Vec<(Position, u32)>,
}

impl Run {
    /// Collects into `admitted` the indexes of the keys (high halves of ids) that may be in this run; asks memory only.
    pub fn admit(&self, keys: &[u64], places: &mut Vec<Place>, admitted: &mut Vec<u32>) {
        self.filter.admit(keys, places, admitted);
    }

    /// False when the id is not in this run.
    pub fn may_hold(&self, id: u128) -> bool {
        self.filter.may_hold(id)
    }

    /// Adds the winners of the request's id that exist for it to `hits`, marked with `index`. Returns how many blocks
    /// it read.
    pub fn find(
        &self,
        request: &ClaimRequest,
        index: u32,
        scratch: &mut Scratch,
        hits: &mut Vec<Hit>,
    ) -> Result<u64, Fault> {
        let wanted = high(request.id);
        // Versions of one id may lie on both sides of a cut, so the search begins one block before the first that
        // can only begin with it.
        let from = self.firsts.partition_point(|first| *first < wanted).saturating_sub(1);
        let to = self.firsts.partition_point(|first| *first <= wanted);
        let mut blocks_read = 0;
        scratch.found.clear();
        for block in from..to {
            blocks_read += 1;
            let offset = self.read(&self.blocks, block, &mut scratch.bytes)?;
            let parsed = Block::parse(&scratch.bytes).map_err(|what| corrupt(&self.path, offset, what))?;
            parsed.find(request.id, |position, digest| {
                if exists_for(position, request.position) {
                    scratch.found.push((position, digest));
                }
            });
        }
        for i in 0..scratch.found.len() {
            let (position, digest) = scratch.found[i];
            let accepted_at = if position == request.position {
                request.accepted_at
            } else {
                blocks_read += 1;
                self.accepted_at(position, scratch)?
            };
            hits.push(Hit { request: index, position, accepted_at, digest });
        }
        Ok(blocks_read)
    }

    /// When the winner at this position was accepted.
    fn accepted_at(&self, position: Position, scratch: &mut Scratch) -> Result<Instant, Fault> {
        let after = self.mark_firsts.partition_point(|first| *first <= position);
        let Some(block) = after.checked_sub(1) else {
            return Err(corrupt(&self.path, self.footer.marks_at, &format!("no time is kept for position {position}")));
        };
        let offset = self.read(&self.marks, block, &mut scratch.bytes)?;
        scratch.marks.clear();
        times::decode(&scratch.bytes, &mut scratch.marks).map_err(|what| corrupt(&self.path, offset, what))?;
        let after = scratch.marks.partition_point(|mark| mark.position <= position);
        match after.checked_sub(1).map(|at| scratch.marks[at]) {
            Some(mark) if mark.position.partition == position.partition => Ok(mark.accepted_at),
            _ => Err(corrupt(&self.path, offset, &format!("no time is kept for position {position}"))),
        }
    }

    fn read(&self, section: &Section, block: usize, bytes: &mut Vec<u8>) -> Result<u64, Fault> {
        let (offset, length) = section.place(block);
        bytes.resize(length, 0);
        self.file.read_at(offset, bytes).map_err(|e| failed(&self.path, "reading a block", &e))?;
        Ok(offset)
    }

    /// All blocks of winners, one after the other, by few large reads.
    pub fn read_winners(self: &Arc<Self>) -> SectionReader {
        SectionReader::new(self, &self.blocks)
    }

    /// All blocks of marks.
    pub fn read_marks(self: &Arc<Self>) -> SectionReader {
        SectionReader::new(self, &self.marks)
    }

    /// The first positions, per partition, whose records were accepted after `horizon`; a partition that is not named
    /// has none. Accepted-at never goes back, so all before them are out of the window.
    pub fn first_after(self: &Arc<Self>, horizon: Instant) -> Result<Vec<Position>, Fault> {
        let mut firsts: Vec<Position> = Vec::new();
        let mut marks = Vec::new();
        let mut reader = self.read_marks();
        while reader.next(|bytes| times::decode(bytes, &mut marks))?.is_some() {
            for mark in marks.drain(..) {
                let new = firsts.last().is_none_or(|first| first.partition != mark.position.partition);
                if new && mark.accepted_at > horizon {
                    firsts.push(mark.position);
                }
            }
        }
        Ok(firsts)
    }

    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// High half of the first id of a block, as the index in memory has it.
    pub fn first_of_block(&self, block: usize) -> Option<u64> {
        self.firsts.get(block).copied()
    }

    /// Held in memory as long as the run is open.
    pub fn memory_bytes(&self) -> usize {
        let indexes = self.firsts.capacity() * size_of::<u64>() + self.mark_firsts.capacity() * size_of::<Position>();
        self.filter.bytes() + indexes + self.blocks.memory_bytes() + self.marks.memory_bytes()
    }

    pub fn disk_bytes(&self) -> u64 {
        self.footer.footer_at + TRAILER
    }
}

/// Path of a run.
pub(super) fn run_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.ids"))
}
