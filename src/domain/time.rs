//! Instants: nanoseconds in UTC, and how they are read from and written to RFC 3339.

use serde::{Deserialize, Serialize};

/// An instant in UTC, in nanoseconds since 1970-01-01T00:00:00Z. Serialised as that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

/// Nanoseconds in one minute: the finest bucket of the rollups.
pub const MINUTE_NS: i64 = 60_000_000_000;

/// Why a text is no instant. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z")]
    Format,
    #[error("is not a date and time that exists")]
    NoSuchTime,
    #[error("must lie in the years 1900 to 2261")]
    OutOfRange,
}

impl Instant {
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The UTC minute this instant lies in, counted from the epoch (floored).
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(MINUTE_NS)
    }

    /// Reads RFC 3339: upper-case `T` and `Z`, seconds required, fraction optional (digits beyond the ninth are cut),
    /// zone mandatory. Years 1900 to 2261.
    pub fn parse(_text: &str) -> Result<Self, TimeError> {
        todo!()
    }

    /// RFC 3339 in UTC with `Z`; the fraction without trailing zeros, absent when zero.
    pub fn to_rfc3339(self) -> String {
        todo!()
    }
}
