//! Validator: reads out of each event what the meters of its type want to know.
//!
//! Receives batches from the source, in position order. Sends each on with its measures: per event and matching meter
//! a reading, or why there is none. Holds nothing. Loses nothing: an event that counts nowhere travels on all the same,
//! is kept and can be explained.

use super::runtime::{self, Context, Flow, Interrupt, Stage};
use crate::domain::fault::Fault;
use crate::domain::metering::catalog::Readers;
use crate::domain::metering::extract::NotCounted;
use crate::domain::metering::{Batch, Chunk, Fate, Measure};
use crate::domain::position::Position;
use crate::domain::record::RecordError;
use crate::pipeline::{self, Insane};
use crate::ports::stats::Counter;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Nothing to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

impl pipeline::Settings for Settings {
    fn validate(&self) -> Vec<Insane> {
        Vec::new()
    }
}

/// Makes validators.
#[derive(Default)]
pub struct Blueprint {
    pub counters: Arc<Counters>,
}

/// What the validator counts besides the usual.
#[derive(Debug, Default)]
pub struct Counters {
    measures: Counter,
    readings: Counter,
}

impl runtime::Blueprint<Batch> for Blueprint {
    fn build(&self) -> Box<dyn Stage<Batch>> {
        Box::new(Validator { counters: self.counters.clone() })
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({ "measures": self.counters.measures.get(), "readings": self.counters.readings.get() })
    }
}

/// See the module.
pub struct Validator {
    // counters
    counters: Arc<Counters>,
}

#[async_trait(?Send)]
impl Stage<Batch> for Validator {
    async fn handle(&mut self, mut batch: Batch, cx: &Context) -> Flow {
        let mut refused = Refused::default();
        for chunk in &mut batch.chunks {
            measure(chunk, &mut refused).map_err(|(at, error)| unreadable(at, &error))?;
            self.counters.measures.add(chunk.measures.len() as u64);
            self.counters.readings.add(chunk.measures.iter().filter(|measure| measure.reading.is_ok()).count() as u64);
        }
        refused.report(cx);
        cx.forward(batch)
    }
}

/// Fills in the chunk's measures. A chunk that comes again, after a rewind, is a new one: it has none yet.
fn measure(chunk: &mut Chunk, refused: &mut Refused) -> Result<(), (Position, RecordError)> {
    let Chunk { bytes, catalog, events, measures, texts, .. } = chunk;
    measures.clear();
    texts.clear();
    if catalog.meters.is_empty() {
        refused.no_meter += events.len() as u64;
        return Ok(());
    }
    // Neighbours are often of one type: the lookup is kept from one to the next.
    let mut last: (&str, &str, Option<&Readers>) = ("", "", None);
    for (index, event) in events.iter().enumerate().filter(|(_, event)| event.fate == Fate::Counts) {
        let record = &bytes[event.start as usize..event.end as usize];
        let view = crate::domain::record::decode_event(record).map_err(|error| (event.position, error))?;
        if (last.0, last.1) != (view.namespace, view.event_type) {
            last = (view.namespace, view.event_type, catalog.readers(view.namespace, view.event_type));
        }
        let Some(readers) = last.2 else {
            refused.no_meter += 1;
            continue;
        };
        let instant = view.instant(event.accepted_at);
        readers.extractor.read(view.data, &catalog.key, texts, |reader, read, groups| {
            let meter = readers.meters[reader];
            let event_from = catalog.meters[meter as usize].meter.event_from;
            let too_early = event_from.is_some_and(|from| instant < from);
            let reading = if too_early { Err(NotCounted::BeforeEventFrom) } else { read };
            refused.count(reading.err());
            measures.push(Measure {
                event: index as u32,
                meter,
                reading,
                groups: (offset(groups.start), offset(groups.end)),
            });
        });
    }
    Ok(())
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a batch's group values fit into 4 GiB")
}

fn unreadable(at: Position, error: &RecordError) -> Interrupt {
    Interrupt::Fault(Fault::give_up("log", format!("the event at {at} cannot be read: {error}")))
}

/// Why events did not count, by reason: gathered per batch, so that the shared counters are touched once.
#[derive(Debug, Default)]
struct Refused {
    no_meter: u64,
    reasons: [u64; REASONS.len()],
}

const REASONS: [(NotCounted, &str); 7] = [
    (NotCounted::NoData, "no_data"),
    (NotCounted::MissingValue, "missing_value"),
    (NotCounted::NullValue, "null_value"),
    (NotCounted::NotANumber, "not_a_number"),
    (NotCounted::OutOfRange, "out_of_range"),
    (NotCounted::UnsupportedType, "unsupported_type"),
    (NotCounted::BeforeEventFrom, "before_event_from"),
];

impl Refused {
    fn count(&mut self, reason: Option<NotCounted>) {
        if let Some(reason) = reason
            && let Some(index) = REASONS.iter().position(|(known, _)| *known == reason)
        {
            self.reasons[index] += 1;
        }
    }

    fn report(&self, cx: &Context) {
        cx.rejected("no_meter", self.no_meter);
        for ((_, name), events) in REASONS.iter().zip(self.reasons) {
            cx.rejected(name, events);
        }
    }
}
