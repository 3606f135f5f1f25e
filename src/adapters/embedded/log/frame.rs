//! Frames: one append each, as it lies in a segment.
//!
//! ```text
//! magic u32 · head CRC u32 · payload length u32 · payload CRC u32 · first offset u64 · count u32 · flags u32 ·
//! accepted-at i64 · durable_to u64 · payload: the records, one after the other
//! ```
//!
//! Little-endian. The head's CRC also covers the segment's number and the frame's place in the file, so that old bytes
//! in a file that is used again are never valid. It covers the payload's CRC, which the appending thread has already
//! computed: the committer goes over 56 bytes a frame, whatever the payload.

use crate::domain::time::Instant;
use bytes::Bytes;

/// Bytes before the payload.
pub const HEAD_BYTES: usize = 48;
/// Longest payload of one frame, in bytes: a bad length must not take the memory.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;
/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"WFr1";

const HAS_CONTROLS: u32 = 1;

/// What a frame says about its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    pub first_offset: u64,
    /// Records in it, at least one.
    pub count: u32,
    pub accepted_at: Instant,
    /// Everything in this file below here was synced when the frame was written.
    pub durable_to: u64,
    /// Some of its records are not events.
    pub has_controls: bool,
    pub payload_bytes: u32,
    pub payload_crc: u32,
}

impl FrameHead {
    /// Just past the frame's records.
    pub fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.count)
    }

    /// Head and payload.
    pub fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// The head of a frame that lies at `file_offset` of segment number `segment`.
    pub fn encode(&self, segment: u64, file_offset: u64) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        head[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        head[16..24].copy_from_slice(&self.first_offset.to_le_bytes());
        head[24..28].copy_from_slice(&self.count.to_le_bytes());
        head[28..32].copy_from_slice(&(u32::from(self.has_controls) * HAS_CONTROLS).to_le_bytes());
        head[32..40].copy_from_slice(&self.accepted_at.nanos().to_le_bytes());
        head[40..48].copy_from_slice(&self.durable_to.to_le_bytes());
        let crc = head_crc(&head, segment, file_offset);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Reads the head at the start of `bytes`; `None` when no frame of this segment begins at this place.
    pub fn decode(bytes: &[u8], segment: u64, file_offset: u64) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
        if head[..4] != MAGIC || u32_at(head, 4) != head_crc(head, segment, file_offset) {
            return None;
        }
        let frame = Self {
            first_offset: u64_at(head, 16),
            count: u32_at(head, 24),
            accepted_at: Instant::from_nanos(u64_at(head, 32).cast_signed()),
            durable_to: u64_at(head, 40),
            has_controls: u32_at(head, 28) & HAS_CONTROLS != 0,
            payload_bytes: u32_at(head, 8),
            payload_crc: u32_at(head, 12),
        };
        let sane = frame.count > 0
            && frame.payload_bytes as usize <= PAYLOAD_BYTES_MAX
            && frame.durable_to <= file_offset
            && frame.first_offset.checked_add(u64::from(frame.count)).is_some();
        sane.then_some(frame)
    }

    /// Whether these are the bytes that were appended.
    pub fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes as usize && crc32c::crc32c(payload) == self.payload_crc
    }
}

fn head_crc(head: &[u8; HEAD_BYTES], segment: u64, file_offset: u64) -> u32 {
    let crc = crc32c::crc32c(&segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &file_offset.to_le_bytes());
    crc32c::crc32c_append(crc, &head[8..])
}

fn u32_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8; HEAD_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Whole frames that follow each other and share one buffer: what one sync made durable, or one read from disk.
#[derive(Debug)]
pub struct Group {
    pub segment: u64,
    pub bytes: Bytes,
    /// In position order, at least one.
    pub frames: Vec<FrameAt>,
}

/// A frame and where its payload begins in the group's buffer.
#[derive(Debug, Clone, Copy)]
pub struct FrameAt {
    pub head: FrameHead,
    /// Where the frame begins in its file.
    pub file_offset: u64,
    pub payload_at: usize,
}

impl Group {
    pub fn first_offset(&self) -> u64 {
        self.frames.first().expect("a group has a frame").head.first_offset
    }

    pub fn next_offset(&self) -> u64 {
        self.frames.last().expect("a group has a frame").head.next_offset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(payload: &[u8]) -> FrameHead {
        FrameHead {
            first_offset: 7,
            count: 3,
            accepted_at: Instant::from_nanos(-5),
            durable_to: 64,
            has_controls: true,
            payload_bytes: payload.len() as u32,
            payload_crc: crc32c::crc32c(payload),
        }
    }

    #[test]
    fn a_frame_is_valid_at_its_own_place_only() {
        let frame = head(b"abc");
        let bytes = frame.encode(2, 100);
        assert_eq!(FrameHead::decode(&bytes, 2, 100), Some(frame));
        assert_eq!(FrameHead::decode(&bytes, 3, 100), None, "another segment");
        assert_eq!(FrameHead::decode(&bytes, 2, 101), None, "another place");
        assert_eq!(FrameHead::decode(&bytes[..47], 2, 100), None, "cut");
    }

    #[test]
    fn any_flipped_bit_makes_it_invalid() {
        let (frame, payload) = (head(b"abc"), *b"abc");
        let bytes = frame.encode(2, 100);
        for bit in 0..HEAD_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHead::decode(&bad, 2, 100), None, "bit {bit}");
        }
        for bit in 0..payload.len() * 8 {
            let mut bad = payload;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!frame.matches(&bad), "bit {bit}");
        }
        assert!(frame.matches(&payload));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in any::<u64>()) {
            prop_assert_eq!(FrameHead::decode(&bytes, 1, at), None);
        }
    }
}
