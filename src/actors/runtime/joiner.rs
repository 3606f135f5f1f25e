//! Splitting and joining: a stage that is `width` wide gets a batch in parts, side by side; the next stage sees one
//! batch and one range again, in position order.

use crate::domain::metering::Batch;
use crate::domain::position::Range;
use std::collections::VecDeque;

/// Which part of which batch this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// What the batch covers.
    pub whole: Range,
    pub index: usize,
    /// Every batch is cut into as many parts as the stage is wide, so that each instance sees every batch, in order.
    pub of: usize,
}

/// Cuts a batch into `of` parts with about as many events each; parts may be empty.
pub fn split(mut batch: Batch, of: usize) -> Vec<(Batch, Slice)> {
    let whole = batch.range;
    let offsets: Vec<u64> = batch.chunks.iter().flat_map(|chunk| &chunk.events).map(|event| event.at).collect();
    let mut parts = Vec::with_capacity(of);
    for index in 1..of {
        let cut = offsets.get(offsets.len() * index / of).copied().unwrap_or(whole.to);
        let rest = batch.split_at(cut.max(batch.range.from));
        parts.push((std::mem::replace(&mut batch, rest), Slice { whole, index: index - 1, of }));
    }
    parts.push((batch, Slice { whole, index: of - 1, of }));
    parts
}

/// Collects parts until their batch is whole.
#[derive(Debug, Default)]
pub struct Joiner {
    generation: u64,
    /// In the order in which the batches were cut.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    whole: Range,
    parts: Vec<Option<Batch>>,
}

impl Joiner {
    /// Takes a part; gives back the batches that are whole now, in order. Parts of older generations are dropped.
    pub fn offer(&mut self, part: Batch, slice: Slice) -> Vec<Batch> {
        if part.generation > self.generation {
            self.generation = part.generation;
            self.pending.clear();
        } else if part.generation < self.generation {
            return Vec::new();
        }
        let at = self.pending.iter().position(|pending| pending.whole == slice.whole).unwrap_or_else(|| {
            self.pending.push_back(Pending { whole: slice.whole, parts: vec![None; slice.of] });
            self.pending.len() - 1
        });
        self.pending[at].parts[slice.index] = Some(part);
        let mut ready = Vec::new();
        while self.pending.front().is_some_and(|pending| pending.parts.iter().all(Option::is_some)) {
            ready.extend(self.pending.pop_front().and_then(Pending::join));
        }
        ready
    }
}

impl Pending {
    fn join(self) -> Option<Batch> {
        self.parts.into_iter().flatten().reduce(|mut batch, next| {
            batch.append(next);
            batch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::HashKey;
    use crate::domain::metering::{Catalog, Chunk, Event, Fate};
    use crate::domain::position::Position;
    use crate::domain::time::Instant;
    use std::sync::Arc;

    fn batch(generation: u64, range: Range, offsets: &[u64]) -> Batch {
        let mut chunk = Chunk::new(bytes::Bytes::from_static(b"r"), Arc::new(Catalog::empty(HashKey(1, 2))));
        let event = |at: &u64| Event {
            start: 0,
            end: 1,
            at: *at,
            position: Position::new(range.partition, *at),
            accepted_at: Instant::from_nanos(0),
            fate: Fate::Counts,
        };
        chunk.events = offsets.iter().map(event).collect();
        Batch { generation, range, chunks: vec![chunk] }
    }

    fn offsets(batch: &Batch) -> Vec<u64> {
        batch.chunks.iter().flat_map(|chunk| &chunk.events).map(|event| event.at).collect()
    }

    #[test]
    fn parts_that_come_back_in_any_order_are_one_batch_again() {
        for (of, events) in [(2, vec![1, 2, 5]), (3, vec![]), (4, vec![9]), (3, (0..10).collect())] {
            let range = Range::new(0, 0, 10);
            let mut parts = split(batch(1, range, &events), of);
            assert_eq!(parts.len(), of);
            parts.reverse();
            let mut joiner = Joiner::default();
            let whole: Vec<Batch> = parts.into_iter().flat_map(|(part, slice)| joiner.offer(part, slice)).collect();
            assert_eq!(whole.len(), 1);
            assert_eq!((whole[0].range, offsets(&whole[0])), (range, events));
        }
    }

    #[test]
    fn a_batch_waits_for_the_one_before_it() {
        let mut joiner = Joiner::default();
        let mut first = split(batch(1, Range::new(0, 0, 4), &[0, 1, 2, 3]), 2);
        let second = split(batch(1, Range::new(0, 4, 8), &[4, 5, 6, 7]), 2);
        let (late, slice) = first.pop().unwrap();
        for (part, slice) in first.into_iter().chain(second) {
            assert!(joiner.offer(part, slice).is_empty());
        }
        let ranges: Vec<Range> = joiner.offer(late, slice).iter().map(|batch| batch.range).collect();
        assert_eq!(ranges, [Range::new(0, 0, 4), Range::new(0, 4, 8)]);
    }

    #[test]
    fn a_rewind_forgets_the_parts_that_came_before_it() {
        let mut joiner = Joiner::default();
        let old = split(batch(1, Range::new(0, 0, 4), &[0, 1]), 2);
        let new = split(batch(2, Range::new(0, 0, 4), &[0, 1]), 2);
        let mut parts = vec![old[0].clone(), new[0].clone(), old[1].clone()];
        assert!(parts.drain(..).all(|(part, slice)| joiner.offer(part, slice).is_empty()));
        assert_eq!(joiner.offer(new[1].0.clone(), new[1].1).len(), 1);
    }
}
