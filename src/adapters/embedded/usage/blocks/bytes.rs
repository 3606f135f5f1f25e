//! Reading a block's bytes: checked at every step, so that no bytes make a reader panic.

use crate::domain::varint;

/// What is wrong with a stretch of a file. The reader adds file and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage(pub &'static str);

/// Reads values off the front of a stretch of bytes.
pub(super) struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub fn number(&mut self) -> Result<u64, Damage> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        varint::take(&mut self.rest).ok_or(Damage("a number ends too early"))
    }

    /// A number that must fit what it counts.
    pub fn count<T: TryFrom<u64>>(&mut self) -> Result<T, Damage> {
        T::try_from(self.number()?).map_err(|_| Damage("a count is too large"))
    }

    #[inline]
    pub fn signed(&mut self) -> Result<i64, Damage> {
        self.number().map(unzigzag)
    }

    pub fn wide(&mut self) -> Result<u128, Damage> {
        let bytes = self.take(16)?;
        Ok(u128::from_le_bytes(bytes.try_into().expect("sixteen bytes were taken")))
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Damage("a text ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A text after its length.
    pub fn text(&mut self) -> Result<&'a str, Damage> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damage("a text is not UTF-8"))
    }

    pub fn end(&self) -> Result<(), Damage> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damage("there are bytes left over")) }
    }
}

/// Appends a number.
#[inline]
pub(super) fn put(number: u64, out: &mut Vec<u8>) {
    if number < 0x80 {
        out.push(number as u8);
    } else {
        varint::put(number, out);
    }
}

/// Appends a number with a sign, small for small magnitudes.
#[inline]
pub(super) fn put_signed(number: i64, out: &mut Vec<u8>) {
    put(zigzag(number), out);
}

/// Appends a text after its length.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Units that a column of nanoseconds may be written in: the largest that divides all of them.
const UNITS_NS: [i64; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

/// Appends a column of instants, each as its distance from the one before, in the largest unit that fits all.
pub(super) fn put_instants(nanos: impl Iterator<Item = i64> + Clone, out: &mut Vec<u8>) {
    let fits = |unit: &i64| nanos.clone().all(|n| n % unit == 0);
    let code = UNITS_NS.iter().position(fits).expect("1 divides every number");
    out.push(code as u8);
    let mut last = 0i64;
    for n in nanos {
        let n = n / UNITS_NS[code];
        put_signed(n.wrapping_sub(last), out);
        last = n;
    }
}

/// Reads what [`put_instants`] wrote, one at a time.
pub(super) struct Instants {
    unit: i64,
    last: i64,
}

impl Instants {
    pub fn begin(bytes: &mut Reader<'_>) -> Result<Self, Damage> {
        let code = bytes.take(1)?[0];
        let unit = *UNITS_NS.get(usize::from(code)).ok_or(Damage("a unit of time is unknown"))?;
        Ok(Self { unit, last: 0 })
    }

    #[inline]
    pub fn next(&mut self, bytes: &mut Reader<'_>) -> Result<i64, Damage> {
        self.last = self.last.wrapping_add(bytes.signed()?);
        self.last.checked_mul(self.unit).ok_or(Damage("an instant is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_of_instants_read_back(nanos in proptest::collection::vec(any::<i64>(), 0..20), unit in 0usize..4) {
            let nanos: Vec<i64> = nanos.iter().map(|n| n / UNITS_NS[unit] * UNITS_NS[unit]).collect();
            let mut out = Vec::new();
            put_instants(nanos.iter().copied(), &mut out);
            let mut reader = Reader::new(&out);
            let mut column = Instants::begin(&mut reader).unwrap();
            for n in nanos {
                prop_assert_eq!(column.next(&mut reader), Ok(n));
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }
}
