//! When winners were accepted, kept apart from them: one mark per change of accepted-at, by position.
//!
//! Accepted-at belongs to an append, not to an event, and never goes back within a partition. So a run needs one
//! mark per append instead of a timestamp per id, and only a lookup that found its id reads one. A mark holds from
//! its position until the next mark of its partition.
//!
//! Block: `count u16 · widths u8 × 3 · 0 · least partition u32 · least offset u64 · least time u64`, the columns
//! partition, offset, time, and the CRC-32C u32. Times are written so that their order is that of unsigned numbers.

use super::bits::Column;
use super::block::checked;
use crate::domain::position::Position;
use crate::domain::time::Instant;

/// Marks in a block.
pub(super) const BLOCK_MARKS: usize = 256;

const HEAD: usize = 26;
const SIGN: u64 = 1 << 63;

/// From this position on, winners were accepted then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub position: Position,
    pub accepted_at: Instant,
}

impl Mark {
    /// True when this mark says nothing that `before` does not say already.
    pub fn repeats(&self, before: &Mark) -> bool {
        before.position.partition == self.position.partition && before.accepted_at == self.accepted_at
    }
}

/// Appends a block of marks that are sorted by position: at least one, at most [`BLOCK_MARKS`].
pub(super) fn encode(marks: &[Mark], out: &mut Vec<u8>) {
    let start = out.len();
    let partitions = marks.iter().map(|mark| u64::from(mark.position.partition));
    let offsets = marks.iter().map(|mark| mark.position.offset);
    let times = marks.iter().map(|mark| mark.accepted_at.nanos() as u64 ^ SIGN);
    let partition = Column::of(partitions.clone());
    let offset = Column::of(offsets.clone());
    let time = Column::of(times.clone());
    let count = u16::try_from(marks.len()).expect("a block holds BLOCK_MARKS at most");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&[partition.width, offset.width, time.width, 0]);
    out.extend_from_slice(&(partition.base as u32).to_le_bytes());
    out.extend_from_slice(&offset.base.to_le_bytes());
    out.extend_from_slice(&time.base.to_le_bytes());
    partition.pack(partitions, out);
    offset.pack(offsets, out);
    time.pack(times, out);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Appends all marks of a block, in order.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<Mark>) -> Result<(), &'static str> {
    let body = checked(bytes, HEAD)?;
    let (head, columns) = body.split_at(HEAD);
    let count = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let eight = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let least_partition = u32::from_le_bytes(head[6..10].try_into().expect("four bytes"));
    if count == 0 || count > BLOCK_MARKS || head[2..5].iter().any(|width| *width > 64) {
        return Err("the block's head makes no sense");
    }
    let partition = Column { base: u64::from(least_partition), width: head[2] };
    let offset = Column { base: eight(10), width: head[3] };
    let time = Column { base: eight(18), width: head[4] };
    let sizes = [partition.bytes(count), offset.bytes(count), time.bytes(count)];
    if sizes.iter().sum::<usize>() != columns.len() {
        return Err("the block's columns do not fill it");
    }
    let (partitions, rest) = columns.split_at(sizes[0]);
    let (offsets, times) = rest.split_at(sizes[1]);
    out.extend((0..count).map(|i| Mark {
        position: Position::new(partition.get(partitions, i) as u32, offset.get(offsets, i)),
        accepted_at: Instant::from_nanos((time.get(times, i) ^ SIGN) as i64),
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_read_back(raw in proptest::collection::vec((0u32..3, any::<u64>(), any::<i64>(), 0u32..64), 1..BLOCK_MARKS)) {
            let marks: Vec<Mark> = raw
                .into_iter()
                .map(|(partition, offset, time, small)| Mark {
                    position: Position::new(partition, offset >> small),
                    accepted_at: Instant::from_nanos(time >> small),
                })
                .collect();
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            encode(&marks, &mut bytes);
            decode(&bytes, &mut back).unwrap();
            prop_assert_eq!(back, marks);
            bytes[7] ^= 4;
            prop_assert!(decode(&bytes, &mut Vec::new()).is_err());
        }

        #[test]
        fn no_bytes_with_a_right_crc_make_reading_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = decode(&bytes, &mut Vec::new());
        }
    }
}
