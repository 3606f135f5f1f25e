//! Values: the numbers in events, exactly as sent.
//!
//! A value counts if, after stripping trailing zeros, it is m·10⁻ˢ with |m| < 2⁹⁶ and 0 ≤ s ≤ 28.
//! `1e2` is 100, `7.00` is 7, `-0` is 0; `1e-30` and `1e400` are kept and explained, never rounded.

use rust_decimal::Decimal;

/// A value that counts, normalised: no trailing zeros, no negative zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Decimal);

/// Why a text is not a value. Ordered: the first that applies is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("not a number")]
    NotANumber,
    #[error("value out of range")]
    OutOfRange,
}

impl Value {
    /// Reads a JSON number's text or the content of a numeric string: optional sign, digits, optional fraction,
    /// optional exponent. No float on the way.
    pub fn parse(_text: &str) -> Result<Self, ValueError> {
        todo!()
    }

    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Plain text: no exponent, no trailing zeros.
    pub fn to_plain(self) -> String {
        todo!()
    }
}
