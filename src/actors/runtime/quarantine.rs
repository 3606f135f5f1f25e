//! The quarantine ledger: which events are passed over, and which redrive of one counts.
//!
//! A fold over the `quarantined`, `redriven` and `dropped` records of the log, loaded before the line starts, so that
//! every replay decides the same, also by a build that would no longer panic. An event is passed over wherever it
//! stands below the last `quarantined` record about it. A redrive counts when the event is in quarantine just before.

use crate::domain::position::Position;
use crate::domain::record::Control;
use std::collections::{BTreeMap, HashMap};

/// What a record says about an event in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Quarantined,
    Redriven,
    Dropped,
}

/// By the event's own position: what was recorded about it, by the record's position.
#[derive(Debug, Default)]
pub struct QuarantineLedger {
    entries: HashMap<Position, BTreeMap<Position, Entry>>,
}

impl QuarantineLedger {
    /// Takes up a record; the same one any number of times. Other kinds change nothing.
    pub fn record(&mut self, recorded_at: Position, control: &Control) {
        let (position, entry) = match control {
            Control::Quarantined(quarantined) => (quarantined.position, Entry::Quarantined),
            Control::Redriven { position, .. } => (*position, Entry::Redriven),
            Control::Dropped { position, .. } => (*position, Entry::Dropped),
            _ => return,
        };
        self.entries.entry(position).or_default().insert(recorded_at, entry);
    }

    /// Whether the event with this position, brought by the record at `at`, is passed over.
    pub fn passes_over(&self, position: Position, at: Position) -> bool {
        let is_later = |recorded_at: &Position| recorded_at.partition != at.partition || recorded_at.offset > at.offset;
        self.entries.get(&position).is_some_and(|entries| {
            entries.iter().any(|(recorded_at, entry)| *entry == Entry::Quarantined && is_later(recorded_at))
        })
    }

    /// Whether the redrive of `position` that is recorded at `at` takes the event up: only the first one does, and none
    /// once the event was dropped.
    pub fn redrive_counts(&self, position: Position, at: Position) -> bool {
        let mut in_quarantine = false;
        for (_, entry) in
            self.entries.get(&position).into_iter().flatten().take_while(|(recorded_at, _)| **recorded_at < at)
        {
            match entry {
                Entry::Quarantined => in_quarantine = true,
                Entry::Redriven => in_quarantine = false,
                Entry::Dropped => return false,
            }
        }
        in_quarantine && !self.passes_over(position, at)
    }

    /// True when nothing was ever quarantined: the common case, and then nobody needs to ask event by event.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Events that are in quarantine now: neither taken up again nor dropped.
    pub fn quarantined(&self) -> u64 {
        let last = |entries: &&BTreeMap<Position, Entry>| entries.values().next_back() == Some(&Entry::Quarantined);
        self.entries.values().filter(last).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::{Quarantined, RecordBytes};
    use crate::domain::time::Instant;

    const EVENT: Position = Position { partition: 0, offset: 5 };

    fn ledger(records: &str) -> QuarantineLedger {
        let at = Instant::from_nanos(0);
        let mut ledger = QuarantineLedger::default();
        for (index, letter) in records.chars().enumerate() {
            let record = RecordBytes(Vec::new());
            let control = match letter {
                'q' => Control::Quarantined(Quarantined {
                    position: EVENT,
                    accepted_at: at,
                    stage: String::new(),
                    reason: String::new(),
                    record,
                }),
                'r' => Control::Redriven { position: EVENT, accepted_at: at, record },
                _ => Control::Dropped { position: EVENT, reason: String::new() },
            };
            ledger.record(Position::new(0, 10 + index as u64), &control);
        }
        ledger
    }

    #[test]
    fn only_the_first_redrive_counts_and_none_after_a_drop() {
        #[rustfmt::skip]
        let table = [
            // records, which of them takes the event up, still in quarantine
            ("q",     None,    1),
            ("r",     None,    0), // never was in quarantine
            ("qr",    Some(1), 0),
            ("qrr",   Some(1), 0),
            ("qd",    None,    0),
            ("qdr",   None,    0),
            ("qrqr",  Some(3), 0), // the first redrive panicked again, so it is passed over on every replay
            ("qrq",   None,    1),
        ];
        for (records, counts, in_quarantine) in table {
            let ledger = ledger(records);
            let redrives = (0..records.len()).filter(|i| {
                ledger.redrive_counts(EVENT, Position::new(0, 10 + *i as u64)) && records.as_bytes()[*i] == b'r'
            });
            assert_eq!(redrives.collect::<Vec<_>>(), Vec::from_iter(counts), "{records}");
            assert_eq!(ledger.passes_over(EVENT, EVENT), records.contains('q'), "{records}");
            assert_eq!(ledger.quarantined(), in_quarantine, "{records}");
        }
    }
}
