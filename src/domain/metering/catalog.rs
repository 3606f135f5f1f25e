//! The catalog: which meters count at a position, and how long ids are remembered there.
//!
//! A fold over the control records below that position, so a replay sees the same catalog at the same place.

use super::extract::MultiExtractor;
use super::meter::Meter;
use crate::domain::digest::HashKey;
use crate::domain::position::Position;
use crate::domain::record::Control;
use std::collections::HashMap;
use std::sync::Arc;

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
        Self { key, dedupe_window_days: DEDUPE_WINDOW_DAYS, meters: Vec::new(), by_type: Arc::default() }
    }

    /// The catalog from this record on, or `None` when the record does not change it.
    pub fn with(&self, position: Position, control: &Control) -> Option<Catalog> {
        match control {
            Control::MeterLive(meter) => {
                let mut meters = self.meters.clone();
                // The record may stand in the log twice when a publisher retried: the first counts.
                if meters.iter().any(|live| live.meter.version == meter.version) {
                    return None;
                }
                meters.push(Arc::new(LiveMeter { meter: meter.clone(), since: position }));
                Some(self.having(meters))
            }
            Control::MeterGone { version, .. } => {
                let meters = self.meters.iter().filter(|live| live.meter.version != *version).cloned().collect();
                Some(self.having(meters))
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
        Catalog { key: self.key, dedupe_window_days: self.dedupe_window_days, meters, by_type }
    }

    /// Who reads events of this type; `None` when no meter does.
    pub fn readers(&self, namespace: &str, event_type: &str) -> Option<&Readers> {
        self.by_type.get(namespace)?.get(event_type)
    }
}
