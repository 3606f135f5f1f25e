//! A page of a list, and what asks for one.

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    /// How many items to leave out at the front.
    pub offset: u64,
    /// How many items at most.
    pub limit: u64,
}

impl PageAsk {
    /// Everything.
    pub const ALL: Self = Self { offset: 0, limit: u64::MAX };

    /// `LIMIT` and `OFFSET` as parameters.
    pub(super) fn in_rows(self) -> (i64, i64) {
        let rows = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        (rows(self.limit), rows(self.offset))
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: u64,
}
