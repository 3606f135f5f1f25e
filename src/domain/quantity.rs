//! Quantities: exact sums of values. A 256-bit integer scaled by 10²⁸, so any value and any sum of them fits whole.

use super::number::Value;
use super::varint;
use ethnum::{I256, U256};
use std::fmt;

/// Fractional digits of a quantity.
pub const SCALE: u32 = 28;

/// Worth of one whole unit: 10²⁸.
const ONE: u128 = 10u128.pow(SCALE);

/// An exact amount of usage: meter values, usage, balances. Worked number: 0.1 is 10²⁷.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(I256);

/// The amount does not fit into 256 bits at 28 fractional digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount does not fit into a quantity")]
pub struct Overflow;

impl Quantity {
    pub const ZERO: Quantity = Quantity(I256::ZERO);

    /// Exact: a value has at most 28 fractional digits, and 2⁹⁶·10²⁸ is far below 2²⁵⁵.
    pub fn from_value(value: Value) -> Self {
        let decimal = value.decimal();
        let factor = 10u128.pow(SCALE - decimal.scale());
        Self(I256::from(decimal.mantissa()) * I256::from(factor))
    }

    /// That many whole units.
    pub fn from_count(count: u64) -> Self {
        Self(I256::from(count) * I256::from(ONE))
    }

    pub fn checked_add(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
    }

    /// Divided by a count > 0, rounded half away from zero to 28 fractional digits: what AVG is.
    pub fn average_over(self, count: u64) -> Self {
        assert!(count > 0, "an average is over something");
        let (divisor, size) = (U256::from(count), self.0.unsigned_abs());
        let (quotient, rest) = (size / divisor, size % divisor);
        // The rest lies below 2⁶⁴, so doubling it is safe; a quotient is rounded up only when count ≥ 2, so it fits.
        let rounded = if rest + rest >= divisor { quotient + U256::ONE } else { quotient };
        Self(signed(self.0.is_negative(), rounded).expect("an average is no larger than the sum"))
    }

    /// Plain decimal text: no exponent, no trailing zeros, no `-0`. Also what `Display` writes.
    pub fn to_plain(self) -> String {
        self.to_string()
    }

    /// Reads what [`Quantity::to_plain`] writes, and any plain decimal with at most 28 fractional digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, ""),
        };
        if whole.is_empty() || fraction.len() > SCALE as usize {
            return None;
        }
        let padding = SCALE as usize - fraction.len();
        let zeros = std::iter::repeat_n(b'0', padding);
        let mut size = U256::ZERO;
        for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
            let digit = digit.is_ascii_digit().then(|| U256::from(digit - b'0'))?;
            size = size.checked_mul(U256::new(10))?.checked_add(digit)?;
        }
        signed(negative, size).map(Self)
    }

    /// Appends a compact form: LEB128 of (scale with trailing zeros stripped), then zigzag LEB128 of the mantissa.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (mantissa, scale) = self.stripped();
        varint::put(u64::from(scale), out);
        let mut zigzag = ((mantissa << 1u32) ^ (mantissa >> 255u32)).as_u256();
        while zigzag > U256::from(u64::MAX) {
            out.push(zigzag.as_u8() | 0x80);
            zigzag >>= 7;
        }
        varint::put(zigzag.as_u64(), out);
    }

    /// Reads what [`Quantity::encode`] wrote and moves `bytes` past it; `None` (and `bytes` where it was) when the
    /// bytes are not that.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut rest = *bytes;
        let scale = varint::take(&mut rest).and_then(|scale| u32::try_from(scale).ok())?;
        let factor = 10u128.checked_pow(SCALE.checked_sub(scale)?)?;
        let zigzag = take_wide(&mut rest)?;
        let mantissa = (zigzag >> 1u32).as_i256() ^ -(zigzag & U256::ONE).as_i256();
        let factor = I256::from(factor);
        // 2¹²⁷·10²⁸ fits, and nearly all mantissas are smaller: the check costs more than the product.
        let product = match i128::try_from(mantissa) {
            Ok(_) => mantissa.wrapping_mul(factor),
            Err(_) => mantissa.checked_mul(factor)?,
        };
        *bytes = rest;
        Some(Self(product))
    }

    /// Mantissa and the smallest scale at which it is whole.
    fn stripped(self) -> (I256, u32) {
        match u128::try_from(self.0.unsigned_abs()) {
            // Up to 10¹⁰ units: what nearly all amounts are, and 128-bit arithmetic is several times faster.
            Ok(size) => {
                let (mantissa, scale) = strip(size, |size, factor| (size / factor, size % factor == 0));
                (signed(self.0.is_negative(), U256::new(mantissa)).expect("128 bits fit"), scale)
            }
            Err(_) => strip(self.0, |size, factor| {
                let factor = I256::from(factor);
                (size / factor, size % factor == I256::ZERO)
            }),
        }
    }
}

/// Takes the zeros off the end of a number at full scale: what is left, and its scale. `divide` gives the quotient
/// and whether there is no rest.
fn strip<N: Copy>(number: N, divide: impl Fn(N, u128) -> (N, bool)) -> (N, u32) {
    if let (whole, true) = divide(number, ONE) {
        return (whole, 0);
    }
    // Not whole, so fewer than 28 zeros: 16 + 8 + 4 + 2 + 1 covers every number of them.
    let (mut mantissa, mut scale) = (number, SCALE);
    for zeros in [16, 8, 4, 2, 1] {
        if let (shorter, true) = divide(mantissa, 10u128.pow(zeros)) {
            (mantissa, scale) = (shorter, scale - zeros);
        }
    }
    (mantissa, scale)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let (whole, fraction) = (size / U256::new(ONE), (size % U256::new(ONE)).as_u128());
        let sign = if self.0.is_negative() { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:028}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// The number with this sign and size; `None` when it does not fit.
fn signed(negative: bool, size: U256) -> Option<I256> {
    let number = if negative { size.as_i256().wrapping_neg() } else { size.as_i256() };
    (size == U256::ZERO || number.is_negative() == negative).then_some(number)
}

/// Reads a LEB128 number of up to 256 bits off the front.
fn take_wide(bytes: &mut &[u8]) -> Option<U256> {
    // Nearly all amounts are short.
    if let Some(short) = varint::take(bytes) {
        return Some(U256::from(short));
    }
    let mut number = U256::ZERO;
    for (i, &byte) in bytes.iter().enumerate() {
        let shift = 7 * i as u32;
        let bits = U256::from(byte & 0x7f);
        if shift >= U256::BITS || bits > U256::MAX >> shift {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            *bytes = &bytes[i + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).expect(text)
    }

    fn read_back(quantity: Quantity) -> (Quantity, usize) {
        let mut bytes = Vec::new();
        quantity.encode(&mut bytes);
        let length = bytes.len();
        bytes.push(0xee);
        let mut rest = &bytes[..];
        let back = Quantity::decode(&mut rest).expect("what was written");
        assert_eq!(rest, [0xee]);
        (back, length)
    }

    const LARGEST: &str = "5789604461865809771178549250434395392663499233282.0282019728792003956564819967";
    const SMALLEST: &str = "-5789604461865809771178549250434395392663499233282.0282019728792003956564819968";

    #[test]
    fn a_tenth_and_two_tenths_are_three_tenths() {
        assert_eq!(quantity("0.1").checked_add(quantity("0.2")), Ok(quantity("0.3")));
        assert_eq!(quantity("0.1").0, I256::from(10u128.pow(27)));
    }

    #[test]
    fn an_average_is_rounded_half_away_from_zero() {
        #[rustfmt::skip]
        let table = [
            ("10",                              4, "2.5"),
            ("10",                              3, "3.3333333333333333333333333333"),
            ("20",                              3, "6.6666666666666666666666666667"),
            ("-20",                             3, "-6.6666666666666666666666666667"),
            ("0.0000000000000000000000000001",  2, "0.0000000000000000000000000001"),
            ("-0.0000000000000000000000000001", 2, "-0.0000000000000000000000000001"),
            ("0.0000000000000000000000000001",  3, "0"),
            ("-0.0000000000000000000000000001", 3, "0"),
            (SMALLEST,                          1, SMALLEST),
            (LARGEST,                           1, LARGEST),
        ];
        for (sum, count, average) in table {
            assert_eq!(quantity(sum).average_over(count).to_plain(), average, "{sum} over {count}");
        }
    }

    #[test]
    fn text_that_is_no_plain_decimal_is_refused() {
        let too_fine = "0.00000000000000000000000000001";
        let too_large = LARGEST.replace("967", "968");
        for text in ["", "-", ".", ".5", "5.", "+5", "1e2", "1.2.3", "--1", "1-", " 1", "１", too_fine, &too_large] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
        for (text, plain) in [("007.50", "7.5"), ("-0", "0"), ("-0.00", "0"), ("12", "12")] {
            assert_eq!(quantity(text).to_plain(), plain);
        }
    }

    #[test]
    fn the_ends_of_the_range_hold() {
        let (largest, smallest) = (quantity(LARGEST), quantity(SMALLEST));
        assert_eq!((largest.0, smallest.0), (I256::MAX, I256::MIN));
        assert_eq!((largest.to_plain(), smallest.to_plain()), (LARGEST.into(), SMALLEST.into()));
        assert_eq!(largest.checked_add(Quantity(I256::ONE)), Err(Overflow));
        assert_eq!(smallest.checked_sub(Quantity(I256::ONE)), Err(Overflow));
        assert_eq!((read_back(largest).0, read_back(smallest).0), (largest, smallest));
    }

    #[test]
    fn everyday_amounts_take_few_bytes() {
        for (text, length) in [("0", 2), ("7", 2), ("-64", 2), ("1500", 3), ("0.25", 2), ("12.5", 3), ("1000000", 4)] {
            assert_eq!(read_back(quantity(text)), (quantity(text), length), "{text}");
        }
    }

    #[test]
    fn a_cell_of_the_highest_values_stays_far_from_overflow() {
        let value = Value::parse("79228162514264337593543950335").unwrap();
        let largest = Quantity::from_value(value);
        assert_eq!(largest.to_plain(), "79228162514264337593543950335");
        assert!(I256::MAX / largest.0 > I256::from(u64::MAX / 2), "2⁶³ events of the highest value add up");
    }

    // The naive model: decimals as text, added digit by digit.

    /// Digits of a text at 28 fractional digits, lowest first, in `width` places.
    fn places(text: &str, width: usize) -> Vec<u8> {
        let (whole, fraction) =
            text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        let digits = format!("{whole}{fraction:0<28}");
        let mut places: Vec<u8> = digits.bytes().rev().map(|digit| digit - b'0').collect();
        places.resize(width, 0);
        places
    }

    fn naive_add(a: &str, b: &str) -> String {
        let (x, y) = (places(a, 80), places(b, 80));
        let (negative_a, negative_b) = (a.starts_with('-'), b.starts_with('-'));
        let a_is_larger = x.iter().rev().ge(y.iter().rev());
        let (large, small, negative) = if a_is_larger { (x, y, negative_a) } else { (y, x, negative_b) };
        let mut carry = 0i8;
        let mut sum = Vec::new();
        for (l, s) in large.iter().zip(&small) {
            let step = if negative_a == negative_b { *s as i8 } else { -(*s as i8) };
            let digit = *l as i8 + step + carry;
            carry = digit.div_euclid(10);
            sum.push(b'0' + digit.rem_euclid(10) as u8);
        }
        sum.reverse();
        let text = String::from_utf8(sum).unwrap();
        let (whole, fraction) = text.split_at(text.len() - 28);
        plain(negative, whole, fraction)
    }

    fn plain(negative: bool, whole: &str, fraction: &str) -> String {
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let sign = if negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    const TEXT: &str = "-?[0-9]{1,40}(\\.[0-9]{1,28})?";

    proptest! {
        #[test]
        fn text_reads_back_in_its_plainest_form(text in TEXT) {
            let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
            prop_assert_eq!(quantity(&text).to_plain(), plain(text.starts_with('-'), whole, fraction));
            prop_assert_eq!(quantity(&quantity(&text).to_plain()), quantity(&text));
        }

        #[test]
        fn adding_agrees_with_adding_digit_by_digit(a in TEXT, b in TEXT) {
            let sum = quantity(&a).checked_add(quantity(&b)).unwrap();
            prop_assert_eq!(sum.to_plain(), naive_add(&a, &b));
            prop_assert_eq!(sum.checked_sub(quantity(&b)), Ok(quantity(&a)));
        }

        #[test]
        fn a_value_keeps_its_text(mantissa in 0u128..1 << 96, shrink in 0u32..96, scale in 0u32..=28, negative in any::<bool>()) {
            let sign = if negative { "-" } else { "" };
            let value = Value::parse(&format!("{sign}{}e-{scale}", mantissa >> shrink)).unwrap();
            prop_assert_eq!(Quantity::from_value(value).to_plain(), value.to_plain());
        }

        #[test]
        fn an_average_times_its_count_is_the_sum_to_half_a_unit_each(text in TEXT, count in 1u64..) {
            let average = quantity(&text).average_over(count);
            let off = quantity(&text).0 - average.0 * I256::from(count);
            prop_assert!(off.unsigned_abs() * 2 <= U256::from(count));
        }

        #[test]
        fn every_amount_reads_back(high in any::<i128>(), low in any::<u128>(), shrink in 0u32..256, text in TEXT) {
            let wide = Quantity(I256::from_words(high, low as i128) >> shrink);
            prop_assert_eq!(read_back(wide).0, wide);
            prop_assert_eq!(read_back(quantity(&text)).0, quantity(&text));
        }

        #[test]
        fn no_bytes_and_no_text_make_reading_panic(
            scale in any::<u8>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..50),
            text in "[-0-9.]{0,90}|.{0,20}",
        ) {
            let bytes = [&[scale % 40][..], &bytes].concat();
            let mut rest = &bytes[..];
            match Quantity::decode(&mut rest) {
                Some(quantity) => prop_assert_eq!(read_back(quantity).0, quantity),
                None => prop_assert_eq!(rest, &bytes[..]),
            }
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn a_count_is_that_many_units(count in any::<u64>()) {
            prop_assert_eq!(Quantity::from_count(count).to_plain(), count.to_string());
        }
    }
}
