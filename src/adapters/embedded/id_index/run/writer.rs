//! Writes a run as a stream: winners in the order of their ids, then marks in the order of their positions.

use super::super::block::{self, BLOCK_IDS};
use super::super::entry::{Won, high};
use super::super::faults::{failed, refused};
use super::super::filter::FilterBuilder;
use super::super::times::{self, BLOCK_MARKS, Mark};
use super::section::Section;
use super::{FORMAT_VERSION, Footer, HEADER, MAGIC, Run, TRAILER, run_path};
use crate::adapters::embedded::disk::{Disk, DiskFile};
use crate::domain::fault::Fault;
use crate::domain::position::{Position, Range};
use crate::domain::time::Instant;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 * 1024;

/// A run on its way to the disk. Memory: the index and the filter of the run, which stay, and a few buffers.
pub(in super::super) struct RunWriter {
    number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    written: u64,
    buffer: Vec<u8>,
    filter: FilterBuilder,
    ids: u64,
    winners: Vec<Won>,
    firsts: Vec<u64>,
    starts: Vec<u32>,
    marks_at: u64,
    marks: Vec<Mark>,
    last_mark: Option<Mark>,
    mark_firsts: Vec<Position>,
    mark_starts: Vec<u32>,
    /// Least and greatest accepted-at.
    accepted: Option<(Instant, Instant)>,
}

impl RunWriter {
    /// Begins run `number` of at most `ids_max` ids. A file of that name that was left behind is replaced.
    pub fn create(disk: &dyn Disk, dir: &Path, number: u64, ids_max: u64) -> Result<Self, Fault> {
        let path = run_path(dir, number);
        if disk.exists(&path) {
            disk.remove(&path).map_err(|e| failed(&path, "removing what was left behind", &e))?;
        }
        let file = disk.create(&path).map_err(|e| failed(&path, "creating", &e))?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES + WRITE_BYTES / 8);
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        buffer.extend_from_slice(&[0; 6]);
        Ok(Self {
            number,
            path,
            file,
            written: 0,
            buffer,
            filter: FilterBuilder::for_ids(ids_max),
            ids: 0,
            winners: Vec::with_capacity(BLOCK_IDS),
            firsts: Vec::new(),
            starts: Vec::new(),
            marks_at: 0,
            marks: Vec::with_capacity(BLOCK_MARKS),
            last_mark: None,
            mark_firsts: Vec::new(),
            mark_starts: Vec::new(),
            accepted: None,
        })
    }

    pub fn ids(&self) -> u64 {
        self.ids
    }

    /// Adds a winner; sorted by id and position.
    pub fn push(&mut self, won: Won) -> Result<(), Fault> {
        self.filter.add(won.id);
        self.ids += 1;
        self.winners.push(won);
        if self.winners.len() == BLOCK_IDS { self.flush_winners() } else { Ok(()) }
    }

    /// No more winners come, only marks.
    pub fn begin_marks(&mut self) -> Result<(), Fault> {
        self.flush_winners()?;
        self.starts.push(self.since(HEADER)?);
        self.marks_at = self.at();
        Ok(())
    }

    /// Adds a mark; sorted by position. One that says what the mark before it said is left out.
    pub fn push_mark(&mut self, mark: Mark) -> Result<(), Fault> {
        let time = mark.accepted_at;
        self.accepted = Some(self.accepted.map_or((time, time), |(least, most)| (least.min(time), most.max(time))));
        if self.last_mark.is_some_and(|last| mark.repeats(&last)) {
            return Ok(());
        }
        self.last_mark = Some(mark);
        self.marks.push(mark);
        if self.marks.len() == BLOCK_MARKS { self.flush_marks() } else { Ok(()) }
    }

    /// Writes what is left, syncs the file, and opens it. The directory is not synced yet.
    pub fn finish(mut self, covers: Vec<Range>) -> Result<Run, Fault> {
        self.flush_marks()?;
        self.mark_starts.push(self.since(self.marks_at)?);
        let index_at = self.at();
        self.put_index();
        let filter_at = self.at();
        let filter = std::mem::replace(&mut self.filter, FilterBuilder::for_ids(0)).finish();
        for part in 0..filter.parts() {
            filter.encode_part(part, &mut self.buffer);
            self.write_when(WRITE_BYTES)?;
        }
        let accepted = self.accepted.ok_or_else(|| refused(format!("{}: a run without marks", self.path.display())))?;
        let footer = Footer {
            ids: self.ids,
            blocks: self.firsts.len() as u64,
            mark_blocks: self.mark_firsts.len() as u64,
            filter_parts: filter.parts() as u64,
            marks_at: self.marks_at,
            index_at,
            filter_at,
            footer_at: self.at(),
            accepted,
            covers,
        };
        self.put_footer(&footer);
        self.write_when(0)?;
        self.file.sync().map_err(|e| failed(&self.path, "syncing", &e))?;
        self.firsts.shrink_to_fit();
        self.mark_firsts.shrink_to_fit();
        Ok(Run {
            number: self.number,
            path: self.path,
            file: self.file,
            filter,
            blocks: Section::new(HEADER, self.starts),
            firsts: self.firsts,
            marks: Section::new(footer.marks_at, self.mark_starts),
            mark_firsts: self.mark_firsts,
            footer,
        })
    }

    fn put_index(&mut self) {
        let start = self.buffer.len();
        let out = &mut self.buffer;
        self.firsts.iter().for_each(|first| out.extend_from_slice(&first.to_le_bytes()));
        self.starts.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
        for first in &self.mark_firsts {
            out.extend_from_slice(&first.partition.to_le_bytes());
            out.extend_from_slice(&first.offset.to_le_bytes());
        }
        self.mark_starts.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    fn put_footer(&mut self, footer: &Footer) {
        let text = serde_json::to_vec(&footer).expect("a footer is plain data");
        let length = u32::try_from(text.len()).expect("a footer is a few hundred bytes");
        let crc = crc32c::crc32c(&text);
        let file_length = self.at() + text.len() as u64 + TRAILER;
        self.buffer.extend_from_slice(&text);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(&file_length.to_le_bytes());
        self.buffer.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        self.buffer.extend_from_slice(&[0; 6]);
        self.buffer.extend_from_slice(&MAGIC);
    }

    fn flush_winners(&mut self) -> Result<(), Fault> {
        if let Some(first) = self.winners.first() {
            self.firsts.push(high(first.id));
            self.starts.push(self.since(HEADER)?);
            block::encode(&self.winners, &mut self.buffer);
            self.winners.clear();
        }
        self.write_when(WRITE_BYTES)
    }

    fn flush_marks(&mut self) -> Result<(), Fault> {
        if let Some(first) = self.marks.first() {
            self.mark_firsts.push(first.position);
            self.mark_starts.push(self.since(self.marks_at)?);
            times::encode(&self.marks, &mut self.buffer);
            self.marks.clear();
        }
        self.write_when(WRITE_BYTES)
    }

    /// Writes the buffer out when it holds at least this much.
    fn write_when(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.buffer.len() < bytes {
            return Ok(());
        }
        let written = self.file.write_at(self.written, &self.buffer);
        written.map_err(|e| failed(&self.path, "writing", &e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Where we are, counted from the beginning of a section.
    fn since(&self, start: u64) -> Result<u32, Fault> {
        let far = |_| refused(format!("{}: a section is larger than 4 GiB; lower run_ids_max", self.path.display()));
        u32::try_from(self.at() - start).map_err(far)
    }
}
