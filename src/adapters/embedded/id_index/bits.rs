//! Columns of whole numbers, packed to as many bits as the widest of a block needs.

/// A column's least value and the bits that its greatest takes above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub base: u64,
    pub width: u8,
}

impl Column {
    /// The column that holds all of these; base 0 and no width when there are none.
    pub fn of(values: impl Iterator<Item = u64>) -> Self {
        let (least, greatest) = values.fold((u64::MAX, 0), |(least, greatest), v| (least.min(v), greatest.max(v)));
        if least > greatest {
            return Self { base: 0, width: 0 };
        }
        Self { base: least, width: bits(greatest - least) }
    }

    /// Bytes that `count` values take.
    pub fn bytes(self, count: usize) -> usize {
        (count * usize::from(self.width)).div_ceil(8)
    }

    /// Appends the values, each as its distance from the base.
    pub fn pack(self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        let mut pending = 0u128;
        let mut filled = 0u32;
        for value in values {
            pending |= u128::from(value - self.base) << filled;
            filled += u32::from(self.width);
            if filled >= 64 {
                out.extend_from_slice(&(pending as u64).to_le_bytes());
                pending >>= 64;
                filled -= 64;
            }
        }
        out.extend_from_slice(&pending.to_le_bytes()[..filled.div_ceil(8) as usize]);
    }

    /// The value at `index` of a packed column that starts at `bytes`. Wrapping: bytes that no writer wrote give some
    /// number, never a panic.
    pub fn get(self, bytes: &[u8], index: usize) -> u64 {
        let bit = index * usize::from(self.width);
        let word = word_at(bytes, bit / 8) >> (bit % 8);
        let mask = (1u128 << self.width) - 1;
        self.base.wrapping_add((word & mask) as u64)
    }
}

/// Bits that a number takes.
fn bits(value: u64) -> u8 {
    (u64::BITS - value.leading_zeros()) as u8
}

/// Sixteen bytes from `at`; what lies past the end reads as zero.
fn word_at(bytes: &[u8], at: usize) -> u128 {
    if let Some(word) = bytes.get(at..at + 16) {
        return u128::from_le_bytes(word.try_into().expect("sixteen bytes"));
    }
    let mut word = [0u8; 16];
    if let Some(rest) = bytes.get(at..) {
        word[..rest.len()].copy_from_slice(rest);
    }
    u128::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_column_reads_back_what_was_packed(
            values in proptest::collection::vec(any::<u64>(), 0..70), cut in 0u32..64, base in any::<u32>(),
        ) {
            let values: Vec<u64> = values.iter().map(|v| (v >> cut).saturating_add(u64::from(base))).collect();
            let column = Column::of(values.iter().copied());
            let mut packed = Vec::new();
            column.pack(values.iter().copied(), &mut packed);
            prop_assert_eq!(packed.len(), column.bytes(values.len()));
            for (i, value) in values.iter().enumerate() {
                prop_assert_eq!(column.get(&packed, i), *value);
            }
        }
    }

    #[test]
    fn equal_values_take_no_bytes() {
        let column = Column::of([7, 7, 7].into_iter());
        assert_eq!((column, column.bytes(3)), (Column { base: 7, width: 0 }, 0));
        assert_eq!(Column::of(std::iter::empty()), Column { base: 0, width: 0 });
    }
}
