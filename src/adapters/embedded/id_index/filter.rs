//! The filter of a run: says "not here" for all but one in 256 of the ids that are not, without touching the disk.
//!
//! A binary fuse filter takes nine bits an id, but building one takes thirty bytes an id. So a run's filter is cut
//! into parts by the leading bits of the id: building needs the memory of one part, whatever the size of the run.
//! Ids are keyed hashes, so the parts come out alike.
//!
//! In the file, each part: `kind u8 · length u32 · seed u64 · segment length, mask, segment count length u32 each ·
//! fingerprints · CRC-32C u32`.

use super::entry::high;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter as _, FilterRef};

/// Ids that a part is laid out for.
const PART_IDS: u64 = 1 << 18;

/// Fixed bytes before a part's fingerprints.
pub(super) const PART_HEAD: usize = 25;
pub(super) const PART_CRC: usize = 4;
const DESCRIPTOR: usize = BinaryFuse8::DESCRIPTOR_LEN;

#[derive(Debug)]
enum Part {
    /// Holds no id.
    Empty,
    /// The filter could not be built (practically impossible): every id may be there.
    Open,
    Fuse {
        /// Seed and layout, as the filter library writes them.
        descriptor: [u8; DESCRIPTOR],
        fingerprints: Box<[u8]>,
    },
}

/// The filter of a whole run, in memory.
#[derive(Debug)]
pub(super) struct Filter {
    /// Leading bits that choose the part.
    bits: u32,
    parts: Vec<Part>,
}

impl Filter {
    /// False when the id is not in the run.
    #[inline]
    pub fn may_hold(&self, id: u128) -> bool {
        let key = high(id);
        match &self.parts[part_of(key, self.bits)] {
            Part::Fuse { descriptor, fingerprints } => {
                BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&key)
            }
            Part::Empty => false,
            Part::Open => true,
        }
    }

    pub fn bytes(&self) -> usize {
        let fingerprints = self.parts.iter().map(|part| match part {
            Part::Fuse { fingerprints, .. } => fingerprints.len(),
            Part::Empty | Part::Open => 0,
        });
        self.parts.capacity() * size_of::<Part>() + fingerprints.sum::<usize>()
    }

    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Appends one part as it lies in the file.
    pub fn encode_part(&self, index: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, descriptor, fingerprints) = match &self.parts[index] {
            Part::Empty => (0u8, &[0; DESCRIPTOR], &[][..]),
            Part::Open => (1, &[0; DESCRIPTOR], &[][..]),
            Part::Fuse { descriptor, fingerprints } => (2, descriptor, &fingerprints[..]),
        };
        let length = u32::try_from(fingerprints.len()).expect("a part has about as many fingerprints as ids");
        out.push(kind);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(descriptor);
        out.extend_from_slice(fingerprints);
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

fn part_of(key: u64, bits: u32) -> usize {
    ((key >> 1) >> (u64::BITS - 1 - bits)) as usize
}

/// Bytes of a part behind its head, its CRC included.
pub(super) fn part_rest(head: &[u8; PART_HEAD]) -> usize {
    u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize + PART_CRC
}

/// Reads one part, its head and CRC included.
fn decode_part(bytes: &[u8]) -> Result<Part, &'static str> {
    let body = super::block::checked(bytes, PART_HEAD)?;
    let fingerprints = &body[PART_HEAD..];
    match body[0] {
        0 => return Ok(Part::Empty),
        1 => return Ok(Part::Open),
        2 => {}
        _ => return Err("the filter is of an unknown kind"),
    }
    let descriptor: [u8; DESCRIPTOR] = body[5..PART_HEAD].try_into().expect("a head ends with the descriptor");
    let four = |at: usize| u64::from(u32::from_le_bytes(descriptor[at..at + 4].try_into().expect("four bytes")));
    let (segment, mask, segments_length) = (four(8), four(12), four(16));
    // Otherwise a lookup could reach behind the fingerprints.
    let fits = segment.is_power_of_two()
        && mask + 1 == segment
        && segments_length.is_multiple_of(segment)
        && segments_length + 2 * segment <= fingerprints.len() as u64;
    if !fits {
        return Err("the filter's layout makes no sense");
    }
    Ok(Part::Fuse { descriptor, fingerprints: fingerprints.into() })
}

/// Takes ids in order, makes the parts one after the other.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    bits: u32,
    parts: Vec<Part>,
    /// Of the part at hand.
    keys: Vec<u64>,
}

impl FilterBuilder {
    /// For a run of at most `ids`.
    pub fn for_ids(ids: u64) -> Self {
        let bits = ids.div_ceil(PART_IDS).next_power_of_two().ilog2();
        Self { bits, parts: Vec::with_capacity(1 << bits), keys: Vec::new() }
    }

    /// Ids come sorted; the same may come again.
    pub fn add(&mut self, id: u128) {
        let key = high(id);
        while self.parts.len() < part_of(key, self.bits) {
            self.finish_part();
        }
        if self.keys.last() != Some(&key) {
            self.keys.push(key);
        }
    }

    pub fn finish(mut self) -> Filter {
        while self.parts.len() < 1 << self.bits {
            self.finish_part();
        }
        Filter { bits: self.bits, parts: self.parts }
    }

    fn finish_part(&mut self) {
        let built = (!self.keys.is_empty()).then(|| BinaryFuse8::try_from(&self.keys));
        let part = match built {
            None => Part::Empty,
            Some(Err(_)) => Part::Open,
            Some(Ok(filter)) => {
                let mut descriptor = [0; DESCRIPTOR];
                filter.dma_copy_descriptor_to(&mut descriptor);
                Part::Fuse { descriptor, fingerprints: filter.fingerprints }
            }
        };
        self.keys.clear();
        self.parts.push(part);
    }
}

/// Puts a filter together from its parts in the file.
#[derive(Debug, Default)]
pub(super) struct FilterLoader {
    parts: Vec<Part>,
}

impl FilterLoader {
    pub fn add(&mut self, part: &[u8]) -> Result<(), &'static str> {
        self.parts.push(decode_part(part)?);
        Ok(())
    }

    pub fn finish(self) -> Result<Filter, &'static str> {
        if !self.parts.len().is_power_of_two() {
            return Err("parts of the filter are missing");
        }
        Ok(Filter { bits: self.parts.len().ilog2(), parts: self.parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::HashKey;

    fn ids(count: u64) -> Vec<u128> {
        let mut ids: Vec<u128> = (0..count).map(|i| HashKey(1, 2).hash(1, &[&i.to_le_bytes()])).collect();
        ids.sort_unstable();
        ids
    }

    fn built(ids: &[u128], expected: u64) -> Filter {
        let mut builder = FilterBuilder::for_ids(expected);
        ids.iter().for_each(|id| builder.add(*id));
        builder.finish()
    }

    fn reloaded(filter: &Filter) -> Filter {
        let mut loader = FilterLoader::default();
        for part in 0..filter.parts() {
            let mut bytes = Vec::new();
            filter.encode_part(part, &mut bytes);
            let head: &[u8; PART_HEAD] = bytes[..PART_HEAD].try_into().unwrap();
            assert_eq!(bytes.len(), PART_HEAD + part_rest(head));
            loader.add(&bytes).unwrap();
        }
        loader.finish().unwrap()
    }

    #[test]
    fn what_is_there_is_never_denied_and_what_is_not_seldom_admitted() {
        for (count, expected) in [(1, 1), (2, 4), (3, 3), (1_000, 1_000), (30_000, 4_000_000), (0, 10)] {
            let (there, not_there) = (ids(count), ids(count + 20_000));
            let built = built(&there, expected);
            for filter in [reloaded(&built), built] {
                assert!(there.iter().all(|id| filter.may_hold(*id)), "{count} ids");
                let admitted = not_there.iter().filter(|id| filter.may_hold(**id)).count() - count as usize;
                assert!(admitted < 200, "{admitted} of 20,000 with {count} ids");
            }
        }
    }

    #[test]
    fn ids_with_equal_high_halves_are_one_key() {
        let ids: Vec<u128> = (0..2_000u128).map(|i| (i / 100) << 64 | i).collect();
        let filter = built(&ids, 2_000);
        assert!(ids.iter().all(|id| filter.may_hold(*id)));
    }

    #[test]
    fn a_flipped_bit_in_a_part_is_found() {
        let filter = built(&ids(100), 100);
        let mut bytes = Vec::new();
        filter.encode_part(0, &mut bytes);
        for at in 0..bytes.len() {
            bytes[at] ^= 16;
            assert!(decode_part(&bytes).is_err(), "byte {at}");
            bytes[at] ^= 16;
        }
    }
}
