//! The newest records, kept in memory: the line reads them moments after they were written.

use super::frame::Group;
use std::collections::VecDeque;
use std::sync::Arc;

/// The last groups committed, bounded by bytes.
#[derive(Debug)]
pub struct Tail {
    groups: VecDeque<Arc<Group>>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub fn new(bytes_max: usize) -> Self {
        Self { groups: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds the newest group; the oldest go.
    pub fn push(&mut self, group: Arc<Group>) {
        self.bytes += group.bytes.len();
        self.groups.push_back(group);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.groups.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// The group that holds the first record at or beyond `offset`; `None` when an older one may, on disk.
    pub fn find(&self, offset: u64) -> Option<Arc<Group>> {
        if self.groups.front()?.first_offset() > offset {
            return None;
        }
        let at = self.groups.partition_point(|group| group.next_offset() <= offset);
        self.groups.get(at).cloned()
    }
}

/// The last groups that were read from disk: whoever reads a part of one soon wants the rest.
#[derive(Debug, Default)]
pub struct ReadCache {
    groups: VecDeque<Arc<Group>>,
}

/// Groups that the cache keeps, each about one read-ahead.
const CACHED_GROUPS_MAX: usize = 4;

impl ReadCache {
    pub fn push(&mut self, group: Arc<Group>) {
        if self.groups.len() == CACHED_GROUPS_MAX {
            self.groups.pop_front();
        }
        self.groups.push_back(group);
    }

    pub fn find(&self, offset: u64) -> Option<Arc<Group>> {
        self.groups.iter().find(|group| group.first_offset() <= offset && offset < group.next_offset()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FrameAt, FrameHead};
    use super::*;
    use crate::domain::time::Instant;
    use bytes::Bytes;

    fn group(first_offset: u64, count: u32) -> Arc<Group> {
        let accepted_at = Instant::from_nanos(0);
        let head = FrameHead {
            first_offset,
            count,
            accepted_at,
            durable_to: 0,
            has_controls: false,
            payload_bytes: 0,
            payload_crc: 0,
        };
        let frames = vec![FrameAt { head, file_offset: 0, payload_at: 0 }];
        Arc::new(Group { segment: 1, bytes: Bytes::from_static(&[0; 10]), frames })
    }

    #[test]
    fn the_oldest_groups_go_when_the_tail_is_full() {
        let mut tail = Tail::new(25);
        assert!(tail.find(0).is_none());
        for first in [0, 5, 20] {
            tail.push(group(first, 5));
        }
        let found = |offset| tail.find(offset).map(|group| group.first_offset());
        assert_eq!([found(4), found(5), found(9)], [None, Some(5), Some(5)], "0 to 5 is on disk only");
        assert_eq!([found(10), found(19), found(24)], [Some(20); 3], "a hole leads to what lies behind it");
        assert_eq!(found(25), None, "the end");
        let mut none = Tail::new(0);
        none.push(group(0, 1));
        assert!(none.find(0).is_none());
    }

    #[test]
    fn what_was_read_last_is_found_again() {
        let mut cache = ReadCache::default();
        for first in 0..6 {
            cache.push(group(first * 10, 5));
        }
        let found = |offset| cache.find(offset).map(|group| group.first_offset());
        assert_eq!([found(12), found(24), found(25), found(50)], [None, Some(20), None, Some(50)]);
    }
}
