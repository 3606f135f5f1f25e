//! LEB128: small numbers in few bytes, seven bits at a time, the lowest first.

/// Bytes of the longest encoded `u64`.
const BYTES_MAX: usize = 10;

/// Appends `number`.
pub fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`put`] wrote and moves `bytes` past it; `None` (and `bytes` where it was) when the bytes end too early
/// or hold more than 64 bits.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (i, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * i as u32;
        if bits > u64::MAX >> shift {
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

    #[test]
    fn small_numbers_take_one_byte_and_none_more_than_ten() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put(number, &mut out);
            assert_eq!(out.len(), length, "{number}");
        }
        assert_eq!(take(&mut &[0xff; 10][..]), None);
        assert_eq!(take(&mut &[0x80, 0x80][..]), None);
    }

    proptest! {
        #[test]
        fn numbers_read_back_and_leave_the_rest(number in any::<u64>(), shift in 0u32..64, rest in any::<[u8; 3]>()) {
            let number = number >> shift;
            let mut out = Vec::new();
            put(number, &mut out);
            out.extend_from_slice(&rest);
            let mut bytes = &out[..];
            prop_assert_eq!(take(&mut bytes), Some(number));
            prop_assert_eq!(bytes, &rest[..]);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut rest = &bytes[..];
            if take(&mut rest).is_none() {
                prop_assert_eq!(rest, &bytes[..]);
            }
        }
    }
}
