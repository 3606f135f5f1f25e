//! The catalog: which meters count at a position, and how long ids are remembered there.
//!
//! A fold over the control records below that position, so a replay sees the same catalog at the same place.

use super::extract::MultiExtractor;
use super::meter::Meter;
use crate::domain::digest::HashKey;
use crate::domain::position::Position;
use crate::domain::record::Control;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use ulid::Ulid;

/// How long ids are remembered unless a `settings` record says otherwise, in days.
pub const DEDUPE_WINDOW_DAYS: u32 = 35;

/// A meter version that counts.
#[derive(Debug)]
pub struct LiveMeter {
    pub meter: Arc<Meter>,
    /// The `meter_live` record's position: from here on the line counts, everything before comes by backfill.
    pub since: Position,
}

/// Immutable: [`Catalog::with`] makes the next one.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub key: HashKey,
    pub dedupe_window_days: u32,
    /// The live meters; a measure names one by its index here.
    pub meters: Vec<Arc<LiveMeter>>,
    /// Every version that ever went live. A publisher that retried may have put a record into the log again, in any
    /// number: the first one counts, and nothing brings a version back that is gone.
    seen: Arc<HashSet<Ulid>>,
    /// namespace → event type → who reads such events.
    by_type: Arc<HashMap<String, HashMap<String, Readers>>>,
}

/// The live meters of one event type, which read an event in one pass.
#[derive(Debug)]
pub struct Readers {
    /// Indices into [`Catalog::meters`].
    pub meters: Vec<u32>,
    /// Of the same meters, in the same order.
    pub extractor: MultiExtractor,
}

impl Catalog {
    /// No meters, the default window.
    pub fn empty(key: HashKey) -> Self {
        Self {
            key,
            dedupe_window_days: DEDUPE_WINDOW_DAYS,
            meters: Vec::new(),
            seen: Arc::default(),
            by_type: Arc::default(),
        }
    }

    /// The catalog from this record on, or `None` when the record does not change it.
    pub fn with(&self, position: Position, control: &Control) -> Option<Catalog> {
        match control {
            Control::MeterLive(meter) if self.seen.contains(&meter.version) => None,
            Control::MeterLive(meter) => {
                let mut seen = HashSet::clone(&self.seen);
                seen.insert(meter.version);
                let live = Arc::new(LiveMeter { meter: meter.clone(), since: position });
                let meters = self.meters.iter().cloned().chain([live]).collect();
                Some(Catalog { seen: Arc::new(seen), ..self.having(meters) })
            }
            Control::MeterGone { version, .. } => {
                let meters: Vec<_> =
                    self.meters.iter().filter(|live| live.meter.version != *version).cloned().collect();
                (meters.len() < self.meters.len()).then(|| self.having(meters))
            }
            Control::Settings { dedupe_window_days } => {
                Some(Catalog { dedupe_window_days: *dedupe_window_days, ..self.clone() })
            }
            _ => None,
        }
    }

    fn having(&self, meters: Vec<Arc<LiveMeter>>) -> Catalog {
        let mut indices: HashMap<&str, HashMap<&str, Vec<u32>>> = HashMap::new();
        for (index, live) in meters.iter().enumerate() {
            let types = indices.entry(&live.meter.namespace).or_default();
            types.entry(&live.meter.event_type).or_default().push(index as u32);
        }
        let readers = |of: Vec<u32>| {
            let defined: Vec<&Meter> = of.iter().map(|index| &*meters[*index as usize].meter).collect();
            Readers { extractor: MultiExtractor::of(&defined), meters: of }
        };
        let by_type = indices.into_iter().map(|(namespace, types)| {
            let types = types.into_iter().map(|(event_type, of)| (event_type.to_string(), readers(of)));
            (namespace.to_string(), types.collect())
        });
        let by_type = Arc::new(by_type.collect());
        Catalog { meters, by_type, ..self.clone() }
    }

    /// Who reads events of this type; `None` when no meter does.
    pub fn readers(&self, namespace: &str, event_type: &str) -> Option<&Readers> {
        self.by_type.get(namespace)?.get(event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metering::Aggregation;
    use crate::domain::time::Instant;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn live(version: u128) -> Control {
        Control::MeterLive(Arc::new(Meter {
            id: Ulid(1),
            version: Ulid(version),
            namespace: "default".into(),
            slug: "jobs".into(),
            name: "Jobs".into(),
            description: None,
            aggregation: Aggregation::Count,
            event_type: "job".into(),
            event_from: None,
            value_property: None,
            group_by: BTreeMap::new(),
            metadata: None,
            created_at: Instant::from_nanos(0),
            updated_at: Instant::from_nanos(0),
        }))
    }

    fn gone(version: u128) -> Control {
        Control::MeterGone { namespace: "default".into(), version: Ulid(version), at: Instant::from_nanos(0) }
    }

    /// The versions that count in the end, and where each began.
    fn fold(controls: &[Control]) -> Vec<(u128, u64)> {
        let catalog = (0..).zip(controls).fold(Catalog::empty(HashKey(1, 2)), |catalog, (offset, control)| {
            catalog.with(Position::new(0, offset), control).unwrap_or(catalog)
        });
        catalog.meters.iter().map(|live| (live.meter.version.0, live.since.offset)).collect()
    }

    #[test]
    fn a_repeated_record_changes_nothing() {
        #[rustfmt::skip]
        let table = [
            (vec![live(1), live(1)],                            vec![(1, 0)]),
            (vec![live(1), gone(1), live(1)],                   vec![]),
            (vec![live(1), gone(1), live(1), gone(1), live(1)], vec![]),
            (vec![live(1), gone(1), live(2), live(1), live(2)], vec![(2, 2)]),
            (vec![live(1), live(2), gone(1), gone(1)],          vec![(2, 1)]),
            (vec![gone(1), live(1)],                            vec![(1, 1)]),
        ];
        for (controls, counting) in table {
            assert_eq!(fold(&controls), counting, "{controls:?}");
        }
        let catalog = Catalog::empty(HashKey(1, 2)).with(Position::new(0, 0), &live(1)).unwrap();
        assert!(catalog.with(Position::new(0, 1), &live(1)).is_none());
        assert!(catalog.with(Position::new(0, 1), &gone(2)).is_none());
        let catalog = catalog.with(Position::new(0, 1), &gone(1)).unwrap();
        assert!(catalog.readers("default", "job").is_none());
        assert!(catalog.with(Position::new(0, 2), &gone(1)).is_none());
    }

    proptest! {
        #[test]
        fn whatever_a_publisher_repeats_the_same_versions_count(
            lives in 1u128..6, goes in proptest::collection::vec(any::<bool>(), 6), from in 0usize..12, length in 1usize..12,
        ) {
            let versions = 1..=lives;
            let pairs = versions.zip(goes).flat_map(|(v, goes)| if goes { vec![live(v), gone(v)] } else { vec![live(v)] });
            let controls: Vec<Control> = pairs.collect();
            let from = from.min(controls.len() - 1);
            let to = (from + length).min(controls.len());
            let mut repeated = controls[..to].to_vec();
            repeated.extend_from_slice(&controls[from..to]);
            repeated.extend_from_slice(&controls[to..]);
            let counting = |controls: &[Control]| fold(controls).into_iter().map(|(v, _)| v).collect::<Vec<_>>();
            prop_assert_eq!(counting(&repeated), counting(&controls));
        }
    }
}
