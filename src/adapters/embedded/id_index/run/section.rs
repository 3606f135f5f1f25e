//! A section of a run: blocks one after the other, and where each begins.

use super::super::faults::{corrupt, failed};
use super::Run;
use crate::domain::fault::Fault;
use std::sync::Arc;

/// What one read of a whole section takes in at a time.
const READ_BYTES: usize = 128 * 1024;

/// Where the blocks of a section lie. Shared with its readers.
#[derive(Debug, Clone)]
pub(in super::super) struct Section {
    at: u64,
    /// Where each block begins, counted from `at`, and where the last ends.
    starts: Arc<[u32]>,
}

impl Section {
    pub fn new(at: u64, starts: Vec<u32>) -> Self {
        assert!(!starts.is_empty(), "a section has an end");
        Self { at, starts: starts.into() }
    }

    /// Offset and length of a block.
    pub fn place(&self, block: usize) -> (u64, usize) {
        let (from, to) = (self.starts[block], self.starts[block + 1]);
        (self.at + u64::from(from), (to - from) as usize)
    }

    pub fn blocks(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn memory_bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>()
    }
}

/// Reads all blocks of a section in order.
pub(in super::super) struct SectionReader {
    run: Arc<Run>,
    section: Section,
    next: usize,
    /// The bytes of the blocks from `next` to `buffered`, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    buffered: usize,
}

impl SectionReader {
    pub fn new(run: &Arc<Run>, section: &Section) -> Self {
        let (run, section) = (Arc::clone(run), section.clone());
        Self { run, section, next: 0, buffer: Vec::new(), at: 0, buffered: 0 }
    }

    /// Hands the next block to `take`; its index and offset, or `None` after the last.
    pub fn next(
        &mut self,
        take: impl FnOnce(&[u8]) -> Result<(), &'static str>,
    ) -> Result<Option<(usize, u64)>, Fault> {
        if self.next == self.section.blocks() {
            return Ok(None);
        }
        if self.next == self.buffered {
            self.fill()?;
        }
        let (offset, length) = self.section.place(self.next);
        let bytes = &self.buffer[self.at..self.at + length];
        self.at += length;
        let block = self.next;
        self.next += 1;
        take(bytes).map_err(|what| corrupt(self.run.path(), offset, what))?;
        Ok(Some((block, offset)))
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let (from, mut length) = self.section.place(self.next);
        let mut until = self.next + 1;
        while until < self.section.blocks() && length + self.section.place(until).1 <= READ_BYTES {
            length += self.section.place(until).1;
            until += 1;
        }
        self.buffer.resize(length, 0);
        let read = self.run.file.read_at(from, &mut self.buffer);
        read.map_err(|e| failed(self.run.path(), "reading blocks", &e))?;
        self.at = 0;
        self.buffered = until;
        Ok(())
    }
}
