//! Identity by hash: keyed where a caller could profit from a collision, unkeyed where nobody can.

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The key of every 128-bit identity hash: one per data directory, on many nodes one per installation, drawn once
/// and kept, so that nobody outside can craft two ids that collide.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKey(pub u64, pub u64);

/// Never printed: who knows the key can craft collisions.
impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl HashKey {
    /// Hashes parts so that no two lists of parts hash alike by where they are cut: each part's length goes first.
    pub fn hash(&self, domain: u8, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0 ^ u64::from(domain), self.1);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// Identity of an event: (namespace, source, id), byte for byte as sent.
    pub fn event_id(&self, namespace: &str, source: &str, id: &str) -> u128 {
        self.hash(1, &[namespace.as_bytes(), source.as_bytes(), id.as_bytes()])
    }

    /// Identity of one value under UNIQUE_COUNT, by its string form (house.md, "Numbers").
    pub fn distinct_value(&self, text: &str) -> u128 {
        self.hash(2, &[text.as_bytes()])
    }

    /// Identity of what events name as their subject, within a namespace.
    pub fn subject(&self, namespace: &str, subject: &str) -> u128 {
        self.hash(6, &[namespace.as_bytes(), subject.as_bytes()])
    }

    /// A name for whoever holds this key, which does not give the key away.
    pub fn name(&self) -> String {
        format!("{:032x}", self.hash(5, &[]))
    }

    /// Identity of a series. The high half depends on the subject alone, so that all series of one subject lie side
    /// by side when sorted; both halves together have the full strength.
    pub fn series(&self, meter_version: u128, subject: &str, groups: &[u8]) -> u128 {
        let meter = meter_version.to_le_bytes();
        let high = self.subject_prefix(meter_version, subject);
        let low = self.hash(4, &[&meter, subject.as_bytes(), groups]) as u64;
        (u128::from(high) << 64) | u128::from(low)
    }

    /// The high half of every series of this subject.
    pub fn subject_prefix(&self, meter_version: u128, subject: &str) -> u64 {
        self.hash(3, &[&meter_version.to_le_bytes(), subject.as_bytes()]) as u64
    }
}

/// What tells a duplicate (same digest) from a conflict (another): type, subject, time as sent (absent is a value
/// of its own) and the bytes of `data` (absent likewise).
pub fn payload_digest(event_type: &str, subject: &str, time: Option<&str>, data: Option<&[u8]>) -> u32 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut part = |present: u8, bytes: &[u8]| {
        hasher.update(&[present]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(1, event_type.as_bytes());
    part(1, subject.as_bytes());
    part(u8::from(time.is_some()), time.unwrap_or("").as_bytes());
    part(u8::from(data.is_some()), data.unwrap_or(b""));
    hasher.digest() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_parts_are_cut_matters() {
        let key = HashKey(1, 2);
        assert_ne!(key.event_id("default", "a-b", "c"), key.event_id("default", "a", "b-c"));
        assert_ne!(key.event_id("a", "b", "c"), HashKey(1, 3).event_id("a", "b", "c"));
    }

    #[test]
    fn series_of_one_subject_share_their_high_half() {
        let key = HashKey(1, 2);
        let (a, b) = (key.series(9, "acme", b"x"), key.series(9, "acme", b"y"));
        assert_ne!(a, b);
        assert_eq!((a >> 64) as u64, key.subject_prefix(9, "acme"));
        assert_eq!(a >> 64, b >> 64);
    }

    #[test]
    fn an_absent_time_is_not_an_empty_one() {
        assert_ne!(payload_digest("t", "s", None, None), payload_digest("t", "s", Some(""), None));
        assert_ne!(payload_digest("t", "s", None, None), payload_digest("t", "s", None, Some(b"")));
    }
}
