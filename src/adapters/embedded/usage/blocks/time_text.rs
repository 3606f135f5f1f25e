//! Time as sent, kept as the way it was written: the text follows from the instant in all but odd cases.
//!
//! `2025-03-01T11:00:00.120+01:00` is the instant, three digits and an offset of 60 minutes. A text that does not
//! come back byte for byte from that is kept as it is.

use super::bytes::Damage;

const UTC_OFFSET_MIN: i64 = 0;
const DAY_S: i64 = 86_400;
const SECOND_NS: i64 = 1_000_000_000;
/// Bytes of `2025-03-01T`.
const DATE_BYTES: usize = 11;
/// Bytes of `2025-03-01T10:00:00`.
const CLOCK_BYTES: usize = 19;
/// The longest text that is derived: nine digits and an offset.
const TEXT_BYTES_MAX: usize = CLOCK_BYTES + 10 + 6;
/// Digits of a fraction, 0 to 9.
const DIGITS: u32 = 10;
/// The greatest offset that RFC 3339 can write, in minutes.
const OFFSET_MIN_MAX: i64 = 24 * 60 - 1;
/// Day 0 of the civil calendar below is 1 March of the year 0: days from there to 1970-01-01.
const EPOCH_DAY: i64 = 719_468;

/// How an event's time was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// The client sent none.
    Absent,
    /// Kept as text.
    Verbatim,
    /// Digits of the fraction, and the zone: `None` is `Z`, else an offset in minutes.
    Derived { digits: u32, offset_min: Option<i64> },
}

impl TimeForm {
    /// The form from which `text` follows byte for byte.
    pub fn of(text: Option<&str>, nanos: i64, buffer: &mut TimeText) -> Self {
        let Some(text) = text else { return Self::Absent };
        let derived =
            Self::guess(text.as_bytes()).filter(|form| form.render(nanos, buffer).is_ok_and(|derived| derived == text));
        derived.unwrap_or(Self::Verbatim)
    }

    /// What a text of this shape would be written as, if the rest of it is in order.
    fn guess(text: &[u8]) -> Option<Self> {
        let (zone, offset_min) = match text {
            [.., b'Z'] => (1, None),
            [.., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let two = |a: u8, b: u8| Some(i64::from(digit(a)?) * 10 + i64::from(digit(b)?));
                let minutes = two(*h1, *h2)? * 60 + two(*m1, *m2)?;
                (6, Some(if *sign == b'-' { -minutes } else { minutes }))
            }
            _ => return None,
        };
        let fraction = text.len().checked_sub(CLOCK_BYTES + zone)?;
        // The point is not a digit.
        let digits = u32::try_from(fraction.saturating_sub(1)).ok()?;
        (digits < DIGITS && fraction != 1).then_some(Self::Derived { digits, offset_min })
    }

    pub fn code(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Verbatim => 1,
            Self::Derived { digits, offset_min } => {
                let zone = offset_min.map_or(0, |offset| (offset + OFFSET_MIN_MAX + 1) as u64);
                2 + u64::from(digits) + zone * u64::from(DIGITS)
            }
        }
    }

    pub fn from_code(code: u64) -> Result<Self, Damage> {
        match code {
            0 => Ok(Self::Absent),
            1 => Ok(Self::Verbatim),
            _ => {
                let digits = ((code - 2) % u64::from(DIGITS)) as u32;
                let zone = i64::try_from((code - 2) / u64::from(DIGITS)).map_err(|_| Damage("a zone is unknown"))?;
                let offset_min = (zone != 0).then_some(zone - OFFSET_MIN_MAX - 1);
                if offset_min.is_some_and(|offset| offset > OFFSET_MIN_MAX) {
                    return Err(Damage("a zone is unknown"));
                }
                Ok(Self::Derived { digits, offset_min })
            }
        }
    }

    /// Writes the instant in this form. Only for derived forms.
    pub fn render(self, nanos: i64, out: &mut TimeText) -> Result<&str, Damage> {
        let Self::Derived { digits, offset_min } = self else { return Err(Damage("a time is not derived")) };
        // `Z` and no offset at all are UTC.
        let minutes = offset_min.unwrap_or(UTC_OFFSET_MIN);
        let local_s = nanos.div_euclid(SECOND_NS) + minutes * 60;
        out.clock(local_s);
        if digits > 0 {
            out.push(b'.');
            let fraction = nanos.rem_euclid(SECOND_NS) / 10i64.pow(9 - digits);
            out.number(fraction, digits as usize);
        }
        match offset_min {
            None => out.push(b'Z'),
            Some(offset) => {
                out.push(if offset < 0 { b'-' } else { b'+' });
                out.pair(offset.abs() / 60);
                out.push(b':');
                out.pair(offset.abs() % 60);
            }
        }
        Ok(out.as_str())
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// A text of a time, without an allocation; used again and again, it keeps the date from one to the next.
pub(super) struct TimeText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
    /// Whose date stands in `bytes`, in days since the epoch.
    day: Option<i64>,
}

impl Default for TimeText {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeText {
    pub fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], length: 0, day: None }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("digits and signs are ASCII")
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Two digits.
    fn pair(&mut self, number: i64) {
        self.push(b'0' + (number / 10) as u8);
        self.push(b'0' + (number % 10) as u8);
    }

    fn number(&mut self, number: i64, width: usize) {
        // Nine digits at most: dividing 32 bits is cheaper.
        let mut number = number as u32;
        for at in (self.length..self.length + width).rev() {
            self.bytes[at] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length += width;
    }

    /// Begins with the date and the time of day.
    fn clock(&mut self, local_s: i64) {
        let day = local_s.div_euclid(DAY_S);
        if self.day == Some(day) {
            self.length = DATE_BYTES;
        } else {
            self.date(day);
            self.day = Some(day);
        }
        let second = local_s.rem_euclid(DAY_S);
        self.pair(second / 3_600);
        self.push(b':');
        self.pair(second / 60 % 60);
        self.push(b':');
        self.pair(second % 60);
    }

    /// Year, month and day by the well-known arithmetic over 400-year eras; instants are in the years 1677 to 2262.
    fn date(&mut self, day: i64) {
        self.length = 0;
        let day = day + EPOCH_DAY;
        let era_day = day.rem_euclid(146_097);
        let era_year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
        let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
        let march_month = (5 * year_day + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = day.div_euclid(146_097) * 400 + era_year + i64::from(month <= 2);
        self.number(year, 4);
        self.push(b'-');
        self.pair(month);
        self.push(b'-');
        self.pair(year_day - (153 * march_month + 2) / 5 + 1);
        self.push(b'T');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Instant;
    use proptest::prelude::*;

    #[test]
    fn texts_are_derived_or_kept() {
        let derived = |digits, offset_min| TimeForm::Derived { digits, offset_min };
        #[rustfmt::skip]
        let table = [
            ("2025-03-01T10:00:00Z",               derived(0, None)),
            ("2025-03-01T10:00:00.120Z",           derived(3, None)),
            ("2024-02-29T23:59:59.123456789Z",     derived(9, None)),
            ("2025-03-01T00:00:00.5+05:45",        derived(1, Some(345))),
            ("2025-12-31T23:00:00-03:30",          derived(0, Some(-210))),
            ("2025-03-01T10:00:00+00:00",          derived(0, Some(0))),
            ("2025-03-01T10:00:00-00:00",          TimeForm::Verbatim),
            ("2025-03-01T10:00:00.1234567891Z",    TimeForm::Verbatim), // digits that the instant does not have
            ("1900-01-01T00:00:00Z",               derived(0, None)),
        ];
        for (text, form) in table {
            let nanos = Instant::parse(text).unwrap().nanos();
            assert_eq!(TimeForm::of(Some(text), nanos, &mut TimeText::new()), form, "{text}");
        }
        assert_eq!(TimeForm::of(Some(""), 0, &mut TimeText::new()), TimeForm::Verbatim);
        assert_eq!(TimeForm::of(None, 0, &mut TimeText::new()), TimeForm::Absent);
    }

    #[test]
    fn a_buffer_that_is_used_again_keeps_no_wrong_date() {
        let form = TimeForm::Derived { digits: 0, offset_min: None };
        let mut buffer = TimeText::new();
        for (second, text) in [
            (86_399, "1970-01-01T23:59:59Z"),
            (86_400, "1970-01-02T00:00:00Z"),
            (86_401, "1970-01-02T00:00:01Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(form.render(second * SECOND_NS, &mut buffer), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn a_form_gives_its_text_back(nanos in i64::MIN / 2..i64::MAX, digits in 0u32..10, offset in proptest::option::of(-1439i64..1440)) {
            let form = TimeForm::Derived { digits, offset_min: offset };
            let nanos = nanos - nanos.rem_euclid(10i64.pow(9 - digits));
            let mut buffer = TimeText::new();
            let text = form.render(nanos, &mut buffer).unwrap().to_owned();
            prop_assert_eq!(TimeForm::from_code(form.code()), Ok(form));
            let again = TimeForm::of(Some(&text), nanos, &mut TimeText::new());
            prop_assert_eq!(again, form);
            if offset.is_none() {
                prop_assert_eq!(Instant::parse(&text).map_or(nanos, Instant::nanos), nanos);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", nanos in any::<i64>(), code in any::<u64>()) {
            TimeForm::of(Some(&text), nanos, &mut TimeText::new());
            if let Ok(form) = TimeForm::from_code(code) {
                let _ = form.render(nanos, &mut TimeText::new());
            }
        }
    }
}
