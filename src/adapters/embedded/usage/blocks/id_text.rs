//! Ids as they are kept: lower-case hexadecimal text and UUIDs as the bytes they stand for, which halves them.

use super::bytes::Damage;

/// Bytes of a UUID's text and where its dashes stand.
const UUID_BYTES: usize = 36;
const DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_PACKED_BYTES: usize = 16;
/// Low bits of a shape: how the id is kept; the rest is the length of its text.
const PLAIN: u64 = 0;
const HEX: u64 = 1;
const UUID: u64 = 2;
const KIND_BITS: u32 = 2;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the id's bytes and answers its shape.
pub(super) fn pack(id: &str, out: &mut Vec<u8>) -> u64 {
    let start = out.len();
    let text = id.as_bytes();
    let kind = if text.len() == UUID_BYTES && DASHES.iter().all(|at| text[*at] == b'-') && pack_uuid(text, out) {
        UUID
    } else if text.len().is_multiple_of(2) && !text.is_empty() && pack_hex(text, out) {
        HEX
    } else {
        out.truncate(start);
        out.extend_from_slice(text);
        PLAIN
    };
    ((text.len() as u64) << KIND_BITS) | kind
}

fn pack_hex(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for pair in text.chunks_exact(2) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        if (high | low) > 0x0f {
            out.truncate(start);
            return false;
        }
        out.push((high << 4) | low);
    }
    true
}

fn pack_uuid(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let groups = [&text[..8], &text[9..13], &text[14..18], &text[19..23], &text[24..]];
    let packed = groups.into_iter().all(|group| pack_hex(group, out));
    if !packed {
        out.truncate(start);
    }
    packed
}

/// Value of each lower-case hexadecimal digit; anything else is above 15.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut i = 0;
    while i < 16 {
        values[DIGITS[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Bytes that an id of this shape takes, packed.
pub(super) fn packed_bytes(shape: u64) -> Result<usize, Damage> {
    let length = usize::try_from(shape >> KIND_BITS).map_err(|_| Damage("an id is too long"))?;
    match shape & ((1 << KIND_BITS) - 1) {
        PLAIN => Ok(length),
        HEX => Ok(length / 2),
        UUID => Ok(UUID_PACKED_BYTES),
        _ => Err(Damage("an id's shape is unknown")),
    }
}

/// Bytes of the text of an id of this shape.
pub(super) fn text_bytes(shape: u64) -> u64 {
    shape >> KIND_BITS
}

/// Appends the text of an id that was packed with this shape.
pub(super) fn unpack(shape: u64, packed: &[u8], out: &mut Vec<u8>) {
    match shape & ((1 << KIND_BITS) - 1) {
        PLAIN => out.extend_from_slice(packed),
        kind => {
            for (i, byte) in packed.iter().enumerate() {
                if kind == UUID && matches!(i, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hexadecimal_ids_take_half_and_others_all() {
        #[rustfmt::skip]
        let table = [
            ("0123456789abcdef",                     8),
            ("0123456789ABCDEF",                    16), // upper case would come back as lower case
            ("abc",                                  3),
            ("",                                     0),
            ("6fa459ea-ee8a-3ca4-894e-db77e160355e", 16),
            ("6fa459ea-ee8a-3ca4-894e-db77e160355G", 36),
            ("6fa459eaeee8a-3ca4-894e-db77e160355e", 36),
        ];
        for (id, bytes) in table {
            assert_eq!(packed_bytes(pack(id, &mut Vec::new())), Ok(bytes), "{id}");
        }
    }

    proptest! {
        #[test]
        fn ids_come_back(id in "[0-9a-f]{0,40}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|.{0,36}") {
            let mut packed = b"before".to_vec();
            let shape = pack(&id, &mut packed);
            prop_assert_eq!(packed_bytes(shape), Ok(packed.len() - 6));
            let mut text = Vec::new();
            unpack(shape, &packed[6..], &mut text);
            prop_assert_eq!(text, id.as_bytes());
        }
    }
}
