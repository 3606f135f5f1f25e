//! Suspicion: from a batch that fails to the one event that makes it fail.
//!
//! A stage that panics is restarted and its batch read again: most panics never come back. When one does, on a stretch
//! that overlaps the first, that stretch is cut in halves which run alone, one after the other, each waiting for its
//! ack. A half that fails is halved again, so one event in 1,000 is found after two whole attempts and ten cuts.

use crate::domain::position::{Position, Range};

/// What has been learnt from failures so far. Only what was read last is evidence: the caller leaves out failures of
/// batches from before a rewind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Suspicion {
    #[default]
    None,
    /// This stretch failed once, when `failure` was counted. It is read again as if nothing had happened.
    Once { range: Range, failure: Failure },
    /// Running the pieces, the last one first. `piece` is never empty.
    Halving { pieces: Vec<Range>, found: Option<Found> },
}

/// Which restart a first failure cost, so that it can be forgiven once it turns out to be an event's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub worker: usize,
    pub at_ms: u64,
}

/// The event at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub at: Position,
    pub stage: FoundStage,
}

/// How far its quarantine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundStage {
    /// The sink may still have an older batch with this event in its hands, and count it: it is asked first.
    Fencing,
    /// The store does not have it and will not get it: its record is being written.
    Recording,
    /// Its quarantine record is durable: the event is passed over from now on.
    Recorded,
}

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No event can be blamed, or not yet.
    Nothing,
    /// The second failure: halving begins, and the first one is forgiven.
    Begun { forgive: Failure },
    /// One more cut.
    Cut,
    /// This event is it.
    Found(Position),
    /// It failed again although it is passed over: not the event's fault.
    NotTheEvent(Position),
}

/// What to read while pieces are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Up to here (exclusive), alone.
    Until(u64),
    /// Nothing, until the quarantine record is durable.
    Wait,
}

impl Suspicion {
    /// A panic over `range`, of which everything below `applied` is already in the store.
    pub fn failed(&mut self, range: Range, applied: u64, failure: Failure) -> Finding {
        let from = range.from.max(applied);
        if from >= range.to {
            return Finding::Nothing;
        }
        let range = Range::new(range.partition, from, range.to);
        match self {
            Self::Halving { pieces, found } => Self::failed_piece(pieces, found, range),
            Self::Once { range: before, failure: first } if before.overlaps(&range) => {
                let both = Range::new(range.partition, range.from.max(before.from), range.to.min(before.to));
                let forgive = *first;
                *self = Self::Halving { pieces: halves(both), found: None };
                Finding::Begun { forgive }
            }
            _ => {
                *self = Self::Once { range, failure };
                Finding::Nothing
            }
        }
    }

    fn failed_piece(pieces: &mut Vec<Range>, found: &mut Option<Found>, range: Range) -> Finding {
        let at = Position::new(range.partition, range.from);
        match found {
            _ if range.span() > 1 => {}
            Some(before) if before.at == at && before.stage == FoundStage::Recorded => return Finding::NotTheEvent(at),
            Some(before) if before.at == at => return Finding::Nothing,
            _ => {}
        }
        match pieces.last().copied() {
            Some(piece) if piece.overlaps(&range) && range.span() == 1 => {
                *found = Some(Found { at, stage: FoundStage::Fencing });
                Finding::Found(at)
            }
            // A read may have brought less than the piece, and a wide stage's part is less than what was read.
            Some(piece) if piece.overlaps(&range) => {
                let before = (piece.from < range.from).then(|| Range::new(range.partition, piece.from, range.from));
                let after = (range.to < piece.to).then(|| Range::new(range.partition, range.to, piece.to));
                pieces.pop();
                pieces.extend(after.into_iter().chain(halves(range)).chain(before));
                Finding::Cut
            }
            // What lies before the pieces failed too: it becomes a piece of its own, to be blamed only if it fails again.
            _ => {
                pieces.push(range);
                Finding::Cut
            }
        }
    }

    /// The sink has nothing older in its hands any more; the event that is to be recorded now.
    pub fn fenced(&mut self) -> Option<Position> {
        match self {
            Self::Halving { found: Some(found), .. } if found.stage == FoundStage::Fencing => {
                found.stage = FoundStage::Recording;
                Some(found.at)
            }
            _ => None,
        }
    }

    pub fn is_fencing(&self) -> bool {
        matches!(self, Self::Halving { found: Some(Found { stage: FoundStage::Fencing, .. }), .. })
    }

    /// The quarantine record of the event at `at` is durable.
    pub fn recorded(&mut self, at: Position) {
        if let Self::Halving { found: Some(found), .. } = self
            && found.at == at
        {
            found.stage = FoundStage::Recorded;
        }
    }

    /// The store has come to `applied` in this partition: what lies below is innocent.
    pub fn passed(&mut self, partition: u32, applied: u64) {
        match self {
            Self::Once { range, .. } if range.partition == partition && range.to <= applied => *self = Self::None,
            Self::Halving { pieces, found } => {
                *found = found.filter(|found| found.at.partition != partition || found.at.offset >= applied);
                while pieces.last().is_some_and(|piece| piece.partition == partition && piece.to <= applied) {
                    pieces.pop();
                }
                if pieces.is_empty() {
                    *self = Self::None;
                }
            }
            _ => {}
        }
    }

    /// While halving: the partition concerned and what to read of it from `next` on.
    pub fn piece(&self, next: impl Fn(u32) -> u64) -> Option<(u32, Piece)> {
        let Self::Halving { pieces, found } = self else { return None };
        let piece = pieces.last()?;
        if found.is_some_and(|found| found.stage != FoundStage::Recorded) {
            return Some((piece.partition, Piece::Wait));
        }
        let until = if next(piece.partition) < piece.from { piece.from } else { piece.to };
        Some((piece.partition, Piece::Until(until)))
    }

    /// The event whose quarantine record is being written.
    pub fn awaited(&self) -> Option<Position> {
        match self {
            Self::Halving { found: Some(Found { at, stage: FoundStage::Recording }), .. } => Some(*at),
            _ => None,
        }
    }
}

/// The pieces of a stretch, the first one last: a stretch of one is its own piece.
fn halves(range: Range) -> Vec<Range> {
    let middle = range.from + range.span().div_ceil(2);
    let [first, second] =
        [Range::new(range.partition, range.from, middle), Range::new(range.partition, middle, range.to)];
    if second.is_empty() { vec![first] } else { vec![second, first] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: Failure = Failure { worker: 0, at_ms: 0 };

    /// Runs the pieces over a poisoned event; returns how often the event was attempted.
    fn attempts_until_found(range: Range, poison: u64) -> u32 {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.failed(range, range.from, FAILURE), Finding::Nothing);
        assert!(matches!(suspicion.failed(range, range.from, FAILURE), Finding::Begun { .. }));
        let (mut attempts, mut next) = (2, range.from);
        loop {
            let Some((partition, Piece::Until(until))) = suspicion.piece(|_| next) else { panic!("nothing to read") };
            if poison < until {
                attempts += 1;
                match suspicion.failed(Range::new(partition, next, until), next, FAILURE) {
                    Finding::Found(at) => {
                        assert_eq!(at, Position::new(0, poison));
                        return attempts;
                    }
                    Finding::Cut => {}
                    other => panic!("{other:?}"),
                }
            } else {
                next = until;
                suspicion.passed(partition, next);
            }
        }
    }

    #[test]
    fn one_event_in_a_thousand_is_found_in_at_most_twelve_attempts() {
        for poison in 0..1_000 {
            let attempts = attempts_until_found(Range::new(0, 0, 1_000), poison);
            assert!(attempts <= 12, "{attempts} attempts at {poison}");
        }
    }

    #[test]
    fn a_failure_that_does_not_come_back_blames_nobody() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.failed(Range::new(0, 0, 10), 0, FAILURE), Finding::Nothing);
        suspicion.passed(0, 10);
        assert_eq!(suspicion, Suspicion::None);
        assert_eq!(suspicion.failed(Range::new(0, 10, 20), 10, FAILURE), Finding::Nothing);
        assert_eq!(suspicion.failed(Range::new(1, 10, 20), 10, FAILURE), Finding::Nothing, "another partition");
    }

    #[test]
    fn what_the_store_has_is_never_blamed() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.failed(Range::new(0, 0, 10), 10, FAILURE), Finding::Nothing);
        assert_eq!(suspicion, Suspicion::None);
    }

    #[test]
    fn the_frontier_waits_for_the_record_and_a_passed_over_event_is_not_blamed_twice() {
        let mut suspicion = Suspicion::default();
        suspicion.failed(Range::new(0, 4, 5), 4, FAILURE);
        suspicion.failed(Range::new(0, 4, 5), 4, FAILURE);
        assert_eq!(suspicion.failed(Range::new(0, 4, 5), 4, FAILURE), Finding::Found(Position::new(0, 4)));
        assert_eq!(suspicion.piece(|_| 4), Some((0, Piece::Wait)));
        assert_eq!(suspicion.fenced(), Some(Position::new(0, 4)));
        assert_eq!(suspicion.piece(|_| 4), Some((0, Piece::Wait)));
        suspicion.recorded(Position::new(0, 4));
        assert_eq!(suspicion.piece(|_| 4), Some((0, Piece::Until(5))));
        assert_eq!(suspicion.failed(Range::new(0, 4, 5), 4, FAILURE), Finding::NotTheEvent(Position::new(0, 4)));
        suspicion.passed(0, 5);
        assert_eq!(suspicion, Suspicion::None);
    }

    #[test]
    fn an_event_that_the_store_took_after_all_is_not_recorded() {
        let mut suspicion = Suspicion::default();
        for _ in 0..3 {
            suspicion.failed(Range::new(0, 4, 6), 4, FAILURE);
        }
        suspicion.failed(Range::new(0, 4, 5), 4, FAILURE);
        assert!(suspicion.is_fencing());
        suspicion.passed(0, 5);
        assert_eq!((suspicion.fenced(), suspicion.piece(|_| 5)), (None, Some((0, Piece::Until(6)))));
    }
}
