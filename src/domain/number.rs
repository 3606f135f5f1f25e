//! Values: the numbers in events, exactly as sent.
//!
//! A value counts if, after stripping trailing zeros, it is m·10⁻ˢ with |m| < 2⁹⁶ and 0 ≤ s ≤ 28.
//! `1e2` is 100, `7.00` is 7, `-0` is 0; `1e-30` and `1e400` are kept and explained, never rounded.

use rust_decimal::Decimal;

/// A value that counts, normalised: no trailing zeros, no negative zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Decimal);

/// Fractional digits that a value can have.
pub const SCALE_MAX: u32 = 28;

/// Longest plain text of a value, in bytes: a sign, `0.` and 28 digits, or a sign, 29 digits and a point.
pub const PLAIN_BYTES_MAX: usize = 31;

/// The mantissa lies below this.
const MANTISSA_END: u128 = 1 << 96;

/// Exponents are read no further than this: beyond, no text that fits into memory can bring the value back in range.
const EXPONENT_CAP: i64 = 1 << 56;

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
    /// optional exponent. No float on the way. Like the peer, takes what JSON does not have: `+1`, `007`, `.5`, `5.`.
    /// One pass and no allocation, however long the text and however absurd the exponent.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let (mut significand, rest) = Significand::read(digits);
        if !significand.any {
            return Err(ValueError::NotANumber);
        }
        significand.shift(exponent(rest).ok_or(ValueError::NotANumber)?);
        let (mantissa, scale) = significand.fit().ok_or(ValueError::OutOfRange)?;
        let (low, middle, high) = (mantissa as u32, (mantissa >> 32) as u32, (mantissa >> 64) as u32);
        Ok(Self(Decimal::from_parts(low, middle, high, negative && mantissa != 0, scale)))
    }

    /// The number itself.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Plain text: no exponent, no trailing zeros.
    pub fn to_plain(self) -> String {
        self.0.to_string()
    }

    /// The text of [`Value::to_plain`] without an allocation: where a value is only looked at.
    pub fn plain_into(self, buffer: &mut [u8; PLAIN_BYTES_MAX]) -> &str {
        use std::io::Write;
        let mut rest = &mut buffer[..];
        write!(rest, "{}", self.0).expect("a value's text is at most PLAIN_BYTES_MAX long");
        let length = PLAIN_BYTES_MAX - rest.len();
        std::str::from_utf8(&buffer[..length]).expect("digits, a sign and a point are ASCII")
    }
}

/// Digits read so far, as mantissa·10^exponent. Zeros at the end wait in the exponent until a digit follows, so the
/// mantissa never ends in zero and needs no stripping.
struct Significand {
    /// `None`: more significant digits than a value can hold.
    mantissa: Option<u128>,
    exponent: i64,
    /// At least one digit was there.
    any: bool,
}

impl Significand {
    /// Reads `12.5`, `12`, `12.` or `.5` off the front.
    fn read(text: &[u8]) -> (Self, &[u8]) {
        let mut significand = Self { mantissa: Some(0), exponent: 0, any: false };
        let (whole, rest) = leading_digits(text);
        significand.take(whole);
        let Some(fraction) = rest.strip_prefix(b".") else { return (significand, rest) };
        let (fraction, rest) = leading_digits(fraction);
        significand.take(fraction);
        significand.shift(-(fraction.len() as i64));
        (significand, rest)
    }

    fn take(&mut self, digits: &[u8]) {
        self.any |= !digits.is_empty();
        for &digit in digits {
            if digit == b'0' {
                self.exponent += 1;
            } else {
                self.mantissa = self.mantissa.and_then(|mantissa| append(mantissa, self.exponent, digit - b'0'));
                self.exponent = 0;
            }
        }
    }

    /// Multiplies by 10^by.
    fn shift(&mut self, by: i64) {
        self.exponent += by;
    }

    /// Mantissa and scale, if the number counts. Zero counts under every exponent.
    fn fit(&self) -> Option<(u128, u32)> {
        let mantissa = self.mantissa?;
        if mantissa == 0 {
            return Some((0, 0));
        }
        if self.exponent < 0 {
            let scale = u32::try_from(-self.exponent).ok().filter(|scale| *scale <= SCALE_MAX)?;
            return Some((mantissa, scale));
        }
        let factor = 10u128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let whole = mantissa.checked_mul(factor).filter(|whole| *whole < MANTISSA_END)?;
        Some((whole, 0))
    }
}

/// `mantissa` followed by so many zeros and a digit; `None` when that is 2⁹⁶ or more.
fn append(mantissa: u128, zeros: i64, digit: u8) -> Option<u128> {
    // Most numbers are short, and 64-bit arithmetic is many times faster.
    if mantissa < u128::from(u64::MAX / 100) && zeros == 0 {
        return Some(u128::from(mantissa as u64 * 10 + u64::from(digit)));
    }
    // Leading zeros multiply nothing, however many they are.
    if mantissa == 0 {
        return Some(u128::from(digit));
    }
    let factor = 10u128.checked_pow(u32::try_from(zeros).ok()?.checked_add(1)?)?;
    mantissa.checked_mul(factor)?.checked_add(u128::from(digit)).filter(|next| *next < MANTISSA_END)
}

fn leading_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(length)
}

/// Reads `e-5` to the end of the text, clamped to ± [`EXPONENT_CAP`]; nothing there is 0, anything else is `None`.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'e' | b'E', b'-', digits @ ..] => (true, digits),
        [b'e' | b'E', b'+', digits @ ..] => (false, digits),
        [b'e' | b'E', digits @ ..] => (false, digits),
        _ => return None,
    };
    let (read, rest) = leading_digits(digits);
    if read.is_empty() || !rest.is_empty() {
        return None;
    }
    let clamp = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_CAP);
    let size = read.iter().fold(0, clamp);
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_read_exactly_or_refused_by_name() {
        use ValueError::*;
        #[rustfmt::skip]
        let table = [
            ("0",                                 Ok("0")),
            ("-0",                                Ok("0")),
            ("-0.000e7",                          Ok("0")),
            ("0e999999999999999999999999",        Ok("0")),
            ("7.00",                              Ok("7")),
            ("1e2",                               Ok("100")),
            ("1E+2",                              Ok("100")),
            ("1.20e1",                            Ok("12")),
            ("1200e-3",                           Ok("1.2")),
            ("0.1",                               Ok("0.1")),
            ("-12.5",                             Ok("-12.5")),
            ("1e-28",                             Ok("0.0000000000000000000000000001")),
            ("10e-29",                            Ok("0.0000000000000000000000000001")),
            ("79228162514264337593543950335",     Ok("79228162514264337593543950335")), // 2⁹⁶ − 1
            ("-7.9228162514264337593543950335",   Ok("-7.9228162514264337593543950335")),
            ("7e28",                              Ok("70000000000000000000000000000")),
            ("79228162514264337593543950336",     Err(OutOfRange)),
            ("8e28",                              Err(OutOfRange)),
            ("1e29",                              Err(OutOfRange)),
            ("1e400",                             Err(OutOfRange)),
            ("1e-29",                             Err(OutOfRange)),
            ("1e-30",                             Err(OutOfRange)),
            ("0.12345678901234567890123456789",   Err(OutOfRange)), // 29 fractional digits
            ("1e999999999999",                    Err(OutOfRange)),
            ("1e-99999999999999999999999999",     Err(OutOfRange)),
            ("+1",                                Ok("1")),
            ("007",                               Ok("7")),
            (".5",                                Ok("0.5")),
            ("5.",                                Ok("5")),
            ("",                                  Err(NotANumber)),
            ("-",                                 Err(NotANumber)),
            (".",                                 Err(NotANumber)),
            (".e1",                               Err(NotANumber)),
            ("1e",                                Err(NotANumber)),
            ("1e+",                               Err(NotANumber)),
            ("1e1.5",                             Err(NotANumber)),
            ("--1",                               Err(NotANumber)),
            (" 1",                                Err(NotANumber)),
            ("1 ",                                Err(NotANumber)),
            ("1,000",                             Err(NotANumber)),
            ("1_000",                             Err(NotANumber)),
            ("0x10",                              Err(NotANumber)),
            ("NaN",                               Err(NotANumber)),
            ("Infinity",                          Err(NotANumber)),
            ("1e400x",                            Err(NotANumber)), // not a number comes before out of range
            ("１",                                Err(NotANumber)),
        ];
        for (text, expected) in table {
            assert_eq!(Value::parse(text).map(Value::to_plain), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_megabyte_of_zeros_is_read_for_what_it_is() {
        let zeros = "0".repeat(1 << 20);
        assert_eq!(Value::parse(&format!("1{zeros}e-{}", 1 << 20)).map(Value::to_plain), Ok("1".into()));
        assert_eq!(Value::parse(&format!("0.{zeros}5e{}", (1 << 20) + 1)).map(Value::to_plain), Ok("5".into()));
        assert_eq!(Value::parse(&format!("{zeros}3.{zeros}")).map(Value::to_plain), Ok("3".into()));
        assert_eq!(Value::parse(&format!("1{zeros}")), Err(ValueError::OutOfRange));
    }

    /// The naive model: write the digits out in full, strip zeros, and look whether what is left fits.
    fn in_full(negative: bool, whole: &str, fraction: &str, exponent: i32) -> Option<String> {
        let mut digits = format!("{whole}{fraction}");
        let mut point = whole.len() as i32 + exponent;
        while point < 0 {
            digits.insert(0, '0');
            point += 1;
        }
        while point > digits.len() as i32 {
            digits.push('0');
        }
        let (whole, fraction) = digits.split_at(point as usize);
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let mantissa = format!("{whole}{fraction}");
        let mantissa = mantissa.trim_start_matches('0');
        let fits = mantissa.len() <= 29 && (mantissa.is_empty() || mantissa.parse::<u128>().unwrap() < MANTISSA_END);
        if fraction.len() > 28 || !fits {
            return None;
        }
        let sign = if negative && !mantissa.is_empty() { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        Some(format!("{sign}{whole}{point}{fraction}"))
    }

    proptest! {
        #[test]
        fn reading_agrees_with_writing_the_digits_out(
            negative in any::<bool>(),
            whole in "[0-9]{1,20}|[0-9]{1,3}0{1,27}",
            fraction in "[0-9]{0,12}|0{0,26}[0-9]{1,3}",
            exponent in -40i32..40,
        ) {
            let sign = if negative { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}e{exponent}");
            let read = Value::parse(&text);
            let expected = in_full(negative, &whole, &fraction, exponent).ok_or(ValueError::OutOfRange);
            prop_assert_eq!(read.map(Value::to_plain), expected, "{}", text);
            if let Ok(value) = read {
                let mut buffer = [0; PLAIN_BYTES_MAX];
                prop_assert_eq!(value.plain_into(&mut buffer), value.to_plain());
                prop_assert_eq!(Value::parse(&value.to_plain()), Ok(value));
            }
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[-+0-9.eE]{0,40}|.{0,20}") {
            let _ = Value::parse(&text);
        }
    }
}
