//! Quantities: exact sums of values. A 256-bit integer scaled by 10²⁸, so any value and any sum of them fits whole.

use super::number::Value;
use ethnum::I256;

/// Fractional digits of a quantity.
pub const SCALE: u32 = 28;

/// An exact amount of usage: meter values, usage, balances. Worked number: 0.1 is 10²⁷.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(I256);

/// The amount does not fit into 256 bits at 28 fractional digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount does not fit into a quantity")]
pub struct Overflow;

impl Quantity {
    pub const ZERO: Quantity = Quantity(I256::ZERO);

    pub fn from_value(_value: Value) -> Self {
        todo!()
    }

    pub fn from_count(_count: u64) -> Self {
        todo!()
    }

    pub fn checked_add(self, _other: Self) -> Result<Self, Overflow> {
        todo!()
    }

    pub fn checked_sub(self, _other: Self) -> Result<Self, Overflow> {
        todo!()
    }

    /// Divided by a count > 0, rounded half away from zero to 28 fractional digits: what AVG is.
    pub fn average_over(self, _count: u64) -> Self {
        todo!()
    }

    /// Plain decimal text: no exponent, no trailing zeros, no `-0`.
    pub fn to_plain(self) -> String {
        todo!()
    }

    /// Reads what [`Quantity::to_plain`] writes, and any plain decimal with at most 28 fractional digits.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }

    /// Appends a compact form: LEB128 of (scale with trailing zeros stripped), then zigzag LEB128 of the mantissa.
    pub fn encode(self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Reads what [`Quantity::encode`] wrote and moves `bytes` past it; `None` when the bytes are not that.
    pub fn decode(_bytes: &mut &[u8]) -> Option<Self> {
        todo!()
    }
}
