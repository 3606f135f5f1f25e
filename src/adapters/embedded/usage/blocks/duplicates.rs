//! Blocks of duplicates: an event that came again is its place, when it was accepted, and who won its id.
//! Rows are sorted by `at`; every number is kept as its distance from the row before.

use super::builder::Place;
use super::bytes::{Damage, Instants, Reader, put, put_instants, put_signed};
use super::frame::{Kind, Packer, Unpacker, sections};
use crate::domain::metering::Fate;
use crate::domain::position::Position;
use crate::domain::time::Instant;

/// Rows of one block: they are small, and read together.
const ROWS_MAX: usize = 8_192;

/// One duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub at: u64,
    pub position: Position,
    pub accepted_at: Instant,
    pub winner: Position,
}

impl Duplicate {
    /// `None` when the event is kept whole.
    pub fn of(place: &Place) -> Option<Self> {
        let Fate::Duplicate { winner } = place.fate else { return None };
        Some(Self { at: place.at, position: place.position, accepted_at: place.accepted_at, winner })
    }

    pub fn place(&self) -> Place {
        let fate = Fate::Duplicate { winner: self.winner };
        Place { at: self.at, position: self.position, accepted_at: self.accepted_at, fate }
    }
}

/// Duplicates on their way into a block.
#[derive(Default)]
pub(super) struct DuplicateBuilder {
    rows: Vec<Duplicate>,
}

impl DuplicateBuilder {
    pub fn push(&mut self, row: Duplicate) {
        self.rows.push(row);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX
    }

    /// Appends the block to `out`, where it will stand at `offset` of the file, and starts a new one. Answers its length.
    pub fn seal(&mut self, packer: &mut Packer, offset: u64, out: &mut Vec<u8>) -> u32 {
        let mut bytes = Vec::with_capacity(self.rows.len() * 12);
        put(self.rows.len() as u64, &mut bytes);
        let mut last = 0u64;
        for row in &self.rows {
            put_signed(row.at.wrapping_sub(last) as i64, &mut bytes);
            last = row.at;
        }
        put_instants(self.rows.iter().map(|row| row.accepted_at.nanos()), &mut bytes);
        for row in &self.rows {
            for other in [row.position, row.winner] {
                put(u64::from(other.partition), &mut bytes);
                put_signed(row.at.wrapping_sub(other.offset) as i64, &mut bytes);
            }
        }
        self.rows.clear();
        packer.pack(Kind::Duplicates, &[&bytes], offset, out)
    }
}

/// Replaces `rows` by those of a checked block.
pub(super) fn read(unpacker: &mut Unpacker, block: &[u8], rows: &mut Vec<Duplicate>) -> Result<(), Damage> {
    let mut bytes = Vec::new();
    unpacker.unpack(sections(block, Kind::Duplicates)?[0], &mut bytes)?;
    let mut numbers = Reader::new(&bytes);
    let count: usize = numbers.count()?;
    rows.clear();
    let mut at = 0u64;
    for _ in 0..count {
        at = at.wrapping_add(numbers.signed()? as u64);
        let nowhere = Position::new(0, 0);
        rows.push(Duplicate { at, position: nowhere, accepted_at: Instant::from_nanos(0), winner: nowhere });
    }
    let mut accepted = Instants::begin(&mut numbers)?;
    for row in rows.iter_mut() {
        row.accepted_at = Instant::from_nanos(accepted.next(&mut numbers)?);
    }
    for row in rows.iter_mut() {
        let mut other = || {
            let partition = numbers.count()?;
            Ok(Position::new(partition, row.at.wrapping_sub(numbers.signed()? as u64)))
        };
        (row.position, row.winner) = (other()?, other()?);
    }
    numbers.end()
}
