//! A block of winners in a run: sorted by id, in columns, each as narrow as the block allows.
//!
//! `count u16 · widths u8 × 3 · 0 · first high half u64 · least offset u64 · least partition u32`, then the columns:
//! distances of the high halves from the one before, low halves u64, digests u32, partitions, offsets; then the
//! CRC-32C u32 of all that. Little-endian. Low halves and digests are hashes: nothing makes them smaller.

use super::bits::Column;
use super::entry::{Won, high};
use crate::domain::position::Position;

/// Winners in a block.
pub(super) const BLOCK_IDS: usize = 128;

const HEAD: usize = 26;
const CRC: usize = 4;

/// Appends a block of winners that are sorted by id and position: at least one, at most [`BLOCK_IDS`].
pub(super) fn encode(winners: &[Won], out: &mut Vec<u8>) {
    let start = out.len();
    let highs = winners.windows(2).map(|pair| high(pair[1].id) - high(pair[0].id));
    let partitions = winners.iter().map(|won| u64::from(won.position.partition));
    let offsets = winners.iter().map(|won| won.position.offset);
    let distance = Column { base: 0, width: Column::of(highs.clone().chain([0])).width };
    let partition = Column::of(partitions.clone());
    let offset = Column::of(offsets.clone());
    let count = u16::try_from(winners.len()).expect("a block holds BLOCK_IDS at most");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&[distance.width, partition.width, offset.width, 0]);
    out.extend_from_slice(&high(winners[0].id).to_le_bytes());
    out.extend_from_slice(&offset.base.to_le_bytes());
    out.extend_from_slice(&(partition.base as u32).to_le_bytes());
    distance.pack(highs, out);
    winners.iter().for_each(|won| out.extend_from_slice(&(won.id as u64).to_le_bytes()));
    winners.iter().for_each(|won| out.extend_from_slice(&won.digest.to_le_bytes()));
    partition.pack(partitions, out);
    offset.pack(offsets, out);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// A block that was checked, not copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    count: usize,
    first: u64,
    distance: Column,
    partition: Column,
    offset: Column,
    distances: &'a [u8],
    lows: &'a [u8],
    digests: &'a [u8],
    partitions: &'a [u8],
    offsets: &'a [u8],
}

impl<'a> Block<'a> {
    /// Checks the CRC and that the columns fill the block.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let body = checked(bytes, HEAD)?;
        let head = &body[..HEAD];
        let count = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let eight = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let least_partition = u32::from_le_bytes(head[22..26].try_into().expect("four bytes"));
        if count == 0 || count > BLOCK_IDS || head[2..5].iter().any(|width| *width > 64) {
            return Err("the block's head makes no sense");
        }
        let distance = Column { base: 0, width: head[2] };
        let partition = Column { base: u64::from(least_partition), width: head[3] };
        let offset = Column { base: eight(14), width: head[4] };
        let sizes = [distance.bytes(count - 1), count * 8, count * 4, partition.bytes(count), offset.bytes(count)];
        if sizes.iter().sum::<usize>() != body.len() - HEAD {
            return Err("the block's columns do not fill it");
        }
        let mut rest = &body[HEAD..];
        let [distances, lows, digests, partitions, offsets] = sizes.map(|size| {
            let (column, after) = rest.split_at(size);
            rest = after;
            column
        });
        let first = eight(6);
        Ok(Self { count, first, distance, partition, offset, distances, lows, digests, partitions, offsets })
    }

    /// Calls with position and digest of every winner of this id.
    pub fn find(&self, id: u128, mut visit: impl FnMut(Position, u32)) {
        let wanted = high(id);
        let mut at = self.first;
        for i in 0..self.count {
            if i > 0 {
                at = at.wrapping_add(self.distance.get(self.distances, i - 1));
            }
            if at > wanted {
                return;
            }
            if at == wanted && self.low(i) == id as u64 {
                visit(self.position(i), self.digest(i));
            }
        }
    }

    /// Appends all winners, in order.
    pub fn decode(&self, out: &mut Vec<Won>) {
        let mut at = self.first;
        for i in 0..self.count {
            if i > 0 {
                at = at.wrapping_add(self.distance.get(self.distances, i - 1));
            }
            let id = u128::from(at) << 64 | u128::from(self.low(i));
            out.push(Won { id, position: self.position(i), digest: self.digest(i) });
        }
    }

    fn low(&self, i: usize) -> u64 {
        u64::from_le_bytes(self.lows[i * 8..i * 8 + 8].try_into().expect("eight bytes"))
    }

    fn digest(&self, i: usize) -> u32 {
        u32::from_le_bytes(self.digests[i * 4..i * 4 + 4].try_into().expect("four bytes"))
    }

    fn position(&self, i: usize) -> Position {
        Position::new(self.partition.get(self.partitions, i) as u32, self.offset.get(self.offsets, i))
    }
}

/// The bytes before the CRC, at least `head` of them, when they are what was written.
pub(super) fn checked(bytes: &[u8], head: usize) -> Result<&[u8], &'static str> {
    if bytes.len() < head + CRC {
        return Err("the block is too short");
    }
    let (body, crc) = bytes.split_at(bytes.len() - CRC);
    if crc32c::crc32c(body).to_le_bytes() != crc {
        return Err("the block's CRC-32C does not match");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn winners() -> impl Strategy<Value = Vec<Won>> {
        let won = (any::<u128>(), 0u32..64, 0u32..3, any::<u64>(), 0u32..64, any::<u32>());
        proptest::collection::vec(won, 1..BLOCK_IDS).prop_map(|all| {
            let mut winners: Vec<Won> = all
                .into_iter()
                .map(|(id, near, partition, offset, small, digest)| Won {
                    id: id >> near,
                    position: Position::new(partition, offset >> small),
                    digest,
                })
                .collect();
            // Several versions of one id.
            let again = Won { position: Position::new(9, 1), ..winners[0] };
            winners.push(again);
            winners.sort_unstable_by_key(Won::key);
            winners
        })
    }

    proptest! {
        #[test]
        fn a_block_reads_back_whole_and_by_id(winners in winners()) {
            let mut bytes = Vec::new();
            encode(&winners, &mut bytes);
            let block = Block::parse(&bytes).unwrap();
            let mut all = Vec::new();
            block.decode(&mut all);
            prop_assert_eq!(&all, &winners);
            for won in &winners {
                let mut found = Vec::new();
                block.find(won.id, |position, digest| found.push(Won { id: won.id, position, digest }));
                let expected: Vec<Won> = winners.iter().filter(|w| w.id == won.id).copied().collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn any_flipped_bit_is_found(winners in winners(), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let mut bytes = Vec::new();
            encode(&winners, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Block::parse(&bytes).is_err());
        }

        #[test]
        fn no_bytes_with_a_right_crc_make_reading_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            if let Ok(block) = Block::parse(&bytes) {
                block.decode(&mut Vec::new());
            }
        }
    }

    #[test]
    fn a_winner_takes_little_more_than_its_hashes() {
        let step = u128::MAX / 20_000_000;
        let winners: Vec<Won> = (0..BLOCK_IDS as u64)
            .map(|i| Won { id: step * u128::from(i), position: Position::new(0, i * 131_072), digest: 0 })
            .collect();
        let mut bytes = Vec::new();
        encode(&winners, &mut bytes);
        let each = bytes.len() / BLOCK_IDS;
        assert!(each <= 21, "{each} bytes");
    }
}
