//! What the index remembers of one id, and how it answers one that asks.

use crate::domain::position::Position;
use crate::domain::time::Instant;
use crate::ports::id_index::{Claim, ClaimRequest};

/// An id that was won: what a run holds. The time of its record is looked up by position (`times`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Won {
    pub id: u128,
    pub position: Position,
    pub digest: u32,
}

impl Won {
    /// Runs are sorted by this.
    pub fn key(&self) -> (u128, Position) {
        (self.id, self.position)
    }
}

/// The upper half of an id: what filters and block indexes go by.
pub(super) fn high(id: u128) -> u64 {
    (id >> 64) as u64
}

/// A winner that stands in the way of the one that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rival {
    position: Position,
    accepted_at: Instant,
    digest: u32,
}

/// Everything found so far under the id of one request. The order of the findings does not matter.
///
/// Within a partition, positions after the asking one do not exist for it. Partitions have no order among each
/// other, so a winner in another partition exists wherever it stands; otherwise an id that comes in by two
/// partitions would count twice. Of several, the nearest before the asking record decides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Findings {
    won_before: bool,
    /// The greatest position below, in the asking partition.
    own: Option<Rival>,
    /// In another partition: the latest accepted no later than the asking record, the earliest accepted after it.
    other_before: Option<Rival>,
    other_after: Option<Rival>,
}

/// Whether a winner at `winner` exists for a record at `asking`.
pub(super) fn exists_for(winner: Position, asking: Position) -> bool {
    winner.partition != asking.partition || winner.offset <= asking.offset
}

impl Findings {
    pub fn add(&mut self, request: &ClaimRequest, position: Position, accepted_at: Instant, digest: u32) {
        if !exists_for(position, request.position) {
            return;
        }
        let found = Rival { position, accepted_at, digest };
        if position == request.position {
            self.won_before = true;
        } else if position.partition == request.position.partition {
            keep(&mut self.own, found, |held| held.position < position);
        } else if accepted_at <= request.accepted_at {
            keep(&mut self.other_before, found, |held| (held.accepted_at, held.position) < (accepted_at, position));
        } else {
            keep(&mut self.other_after, found, |held| (held.accepted_at, held.position) > (accepted_at, position));
        }
    }

    pub fn answer(&self, request: &ClaimRequest) -> Claim {
        if self.won_before {
            return Claim::WonBefore;
        }
        let owner = [self.own, self.other_before, self.other_after].into_iter().flatten().find(|r| owns(r, request));
        match owner {
            None => Claim::Won,
            Some(rival) if rival.digest == request.digest => Claim::Duplicate { winner: rival.position },
            Some(rival) => Claim::Conflict { winner: rival.position },
        }
    }
}

fn keep(held: &mut Option<Rival>, found: Rival, better: impl Fn(&Rival) -> bool) {
    if held.as_ref().is_none_or(better) {
        *held = Some(found);
    }
}

/// Inside the window, whichever of the two was accepted first (the winner may be later in another partition).
fn owns(rival: &Rival, request: &ClaimRequest) -> bool {
    let apart = request.accepted_at.nanos().abs_diff(rival.accepted_at.nanos());
    u64::try_from(request.window_ns).is_ok_and(|window| apart < window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_NS: i64 = 100;

    fn asks(partition: u32, offset: u64, accepted: i64) -> ClaimRequest {
        let (position, accepted_at) = (Position::new(partition, offset), Instant::from_nanos(accepted));
        ClaimRequest { id: 1, digest: 7, position, accepted_at, window_ns: WINDOW_NS }
    }

    #[test]
    fn the_nearest_winner_before_the_asking_record_decides() {
        let won = |partition, offset| Position::new(partition, offset);
        #[rustfmt::skip]
        let table = [
            // asking              winners: position, accepted, digest               answer
            (asks(0, 9, 1_000), vec![],                                              Claim::Won),
            (asks(0, 9, 1_000), vec![(won(0, 9), 1_000, 7)],                         Claim::WonBefore),
            (asks(0, 9, 1_000), vec![(won(0, 8), 950, 7)],                           Claim::Duplicate { winner: won(0, 8) }),
            (asks(0, 9, 1_000), vec![(won(0, 8), 950, 8)],                           Claim::Conflict { winner: won(0, 8) }),
            (asks(0, 9, 1_000), vec![(won(0, 8), 901, 7)],                           Claim::Duplicate { winner: won(0, 8) }),
            (asks(0, 9, 1_000), vec![(won(0, 8), 900, 7)],                           Claim::Won), // the window is half-open
            (asks(0, 9, 1_000), vec![(won(0, 10), 1_000, 7)],                        Claim::Won), // does not exist yet
            (asks(0, 9, 1_000), vec![(won(0, 2), 950, 8), (won(0, 5), 960, 7)],      Claim::Duplicate { winner: won(0, 5) }),
            (asks(0, 9, 1_000), vec![(won(1, 99), 1_050, 7)],                        Claim::Duplicate { winner: won(1, 99) }),
            (asks(0, 9, 1_000), vec![(won(1, 99), 1_100, 7)],                        Claim::Won),
            (asks(0, 9, 1_000), vec![(won(1, 3), 1_050, 8), (won(2, 4), 980, 7)],    Claim::Duplicate { winner: won(2, 4) }),
            (asks(0, 9, 1_000), vec![(won(2, 4), 980, 7), (won(0, 1), 970, 8)],      Claim::Conflict { winner: won(0, 1) }),
        ];
        for (request, winners, answer) in table {
            for winners in [winners.clone(), winners.into_iter().rev().collect()] {
                let mut findings = Findings::default();
                for (position, accepted, digest) in &winners {
                    findings.add(&request, *position, Instant::from_nanos(*accepted), *digest);
                }
                assert_eq!(findings.answer(&request), answer, "{} of {winners:?}", request.position);
            }
        }
    }

    #[test]
    fn without_a_window_only_a_replay_is_known() {
        let request = ClaimRequest { window_ns: 0, ..asks(0, 9, 1_000) };
        let mut findings = Findings::default();
        findings.add(&request, Position::new(0, 8), Instant::from_nanos(1_000), 7);
        assert_eq!(findings.answer(&request), Claim::Won);
    }
}
