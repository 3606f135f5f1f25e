//! Voids: events that were counted and count no longer.
//!
//! A void is a control record, so it is kept for ever in the control file and every replay meets it at the same place.
//! From then on, in memory as on disk:
//!
//! - **Raw events**: whoever reads raw events for counting (queries, backfills, subjects, values) passes over voided
//!   positions. Lists show them, with the reason; their ids stay taken.
//! - **Rows**: a cell cannot give an event back (what was the least value without it?). So the cells that a voided
//!   event may be in, those of its subject that contain its minute, are *stale*: [`Stale`] takes them out of every
//!   answer and puts the finer cells around that minute, and the minute's raw events, in their place. That holds for
//!   rows in memory, in runs, of merges and of backfills alike, whenever they were made: it is decided when rows are
//!   read. For a day with one void, an answer reads 23 hour cells, 59 minute cells and the raw events of one minute,
//!   all of one subject.
//! - **Healing**: what stale cells are read from, retention would remove. Before it does, the rows of the subject's
//!   whole day are derived again without the voided event ([`super::heal`]), and read again from then on.

use super::version::Version;
use crate::domain::metering::Meter;
use crate::domain::metering::plan::{DAY, HOUR, Minutes, Plan, plan};
use crate::domain::metering::query::Voided;
use crate::domain::position::{Frontier, Position};
use crate::domain::record::Void;
use crate::domain::time::{Instant, MINUTE_NS};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Every voided event, by its own position.
#[derive(Debug, Clone, Default)]
pub struct Voids(BTreeMap<Position, Entry>);

#[derive(Debug, Clone)]
struct Entry {
    by: Position,
    void: Arc<Void>,
    /// Rows are right again.
    is_healed: bool,
}

impl Voids {
    /// Takes up a void; the first of an event counts.
    pub fn learn(&mut self, by: Position, void: &Arc<Void>) {
        self.0.entry(void.position).or_insert_with(|| Entry { by, void: void.clone(), is_healed: false });
    }

    /// Rows are right again for these events.
    pub fn heal(&mut self, events: &BTreeSet<Position>) {
        for event in events {
            self.0.entry(*event).and_modify(|entry| entry.is_healed = true);
        }
    }

    /// Those whose records lie below a frontier.
    pub fn below(&self, frontier: &Frontier) -> Self {
        Self(
            self.0.iter().filter(|(_, entry)| frontier.has(entry.by)).map(|(at, entry)| (*at, entry.clone())).collect(),
        )
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, event: Position) -> bool {
        self.0.contains_key(&event)
    }

    pub fn get(&self, event: Position) -> Option<Voided> {
        self.0.get(&event).map(|Entry { by, void, .. }| Voided { by: *by, reason: void.reason.clone() })
    }

    /// Voids whose rows are not right.
    pub fn stale(&self) -> impl Iterator<Item = &Void> + '_ {
        self.0.values().filter(|entry| !entry.is_healed).map(|entry| &*entry.void)
    }

    /// True when an event that this meter may have counted was voided.
    pub fn concern(&self, meter: &Meter) -> bool {
        self.0.values().any(|entry| is_read_by(&entry.void, meter))
    }
}

pub fn is_read_by(void: &Void, meter: &Meter) -> bool {
    (&void.namespace, &void.event_type) == (&meter.namespace, &meter.event_type)
}

/// The UTC day of an instant, in nanoseconds: what is healed at once.
pub fn day_of(at: Instant) -> Range<i64> {
    let day = at.minute().div_euclid(DAY) * DAY;
    day.saturating_mul(MINUTE_NS)..(day + DAY).saturating_mul(MINUTE_NS)
}

/// The cells of one subject, of one meter, that are not read, and what is read instead.
#[derive(Debug)]
pub struct Stale {
    pub subject: String,
    /// Minutes whose cells, at the level at which the plan reads them, are not read. Ascending, disjoint.
    masked: Vec<Minutes>,
    /// What is read of this subject instead; the minutes of voided events are its raw edges.
    pub instead: Plan,
}

impl Stale {
    /// Of a meter whose rows are to be read by this plan, by subject. `subjects`: those asked for; `None`: all.
    pub fn of(version: &Version, meter: &Meter, rows: &Plan, subjects: Option<&[String]>) -> BTreeMap<String, Self> {
        let mut minutes: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for void in version.voids.stale().filter(|void| is_read_by(void, meter)) {
            if subjects.is_none_or(|subjects| subjects.contains(&void.subject)) {
                minutes.entry(&void.subject).or_default().insert(void.time.minute());
            }
        }
        let of_subject = |(subject, minutes): (&str, BTreeSet<i64>)| {
            let stale = Self::around(subject, &minutes, rows);
            (!stale.masked.is_empty()).then(|| (subject.to_owned(), stale))
        };
        minutes.into_iter().filter_map(of_subject).collect()
    }

    fn around(subject: &str, voided: &BTreeSet<i64>, rows: &Plan) -> Self {
        let (mut masked, mut instead): (Vec<Minutes>, Plan) = Default::default();
        for minute in voided {
            if masked.last().is_some_and(|bucket| bucket.contains(minute)) {
                continue;
            }
            let Some(bucket) = bucket_of(*minute, rows) else { continue };
            cut_around(&bucket, voided, &mut instead);
            masked.push(bucket);
        }
        Self { subject: subject.to_owned(), masked, instead }
    }

    /// Whether a cell that begins at this minute is not to be read.
    pub fn masks(&self, minute: i64) -> bool {
        let after = self.masked.partition_point(|bucket| bucket.end <= minute);
        self.masked.get(after).is_some_and(|bucket| bucket.contains(&minute))
    }
}

/// The cell by which the plan reads a minute; `None` when it does not read it from rows.
fn bucket_of(minute: i64, rows: &Plan) -> Option<Minutes> {
    let levels = [(&rows.days, DAY), (&rows.hours, HOUR), (&rows.minutes, 1)];
    let level = levels.into_iter().find(|(stretches, _)| stretches.iter().any(|stretch| stretch.contains(&minute)));
    level.map(|(_, unit)| minute.div_euclid(unit) * unit).zip(level).map(|(start, (_, unit))| start..start + unit)
}

/// Everything of the bucket but the voided minutes from finer cells, and those minutes raw.
fn cut_around(bucket: &Minutes, voided: &BTreeSet<i64>, instead: &mut Plan) {
    let mut from = bucket.start;
    for minute in voided.range(bucket.clone()).copied().chain([bucket.end]) {
        let at = |minute: i64| Instant::from_nanos(minute.saturating_mul(MINUTE_NS));
        let gap = plan(at(from), at(minute), None);
        instead.hours.extend(gap.hours);
        instead.minutes.extend(gap.minutes);
        if minute < bucket.end {
            instead.raw.push(minute.saturating_mul(MINUTE_NS)..(minute + 1).saturating_mul(MINUTE_NS));
        }
        from = minute + 1;
    }
}
