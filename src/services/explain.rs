//! Why an event counts, or does not: against the meters there are now, computed when asked, never stored.

use crate::domain::digest::HashKey;
use crate::domain::metering::extract::{Extractor, NotCounted, Reading, next_group};
use crate::domain::metering::query::{StoredEvent, Voided};
use crate::domain::metering::{Aggregation, Fate, Meter};
use crate::ports::usage_store::KnownMeter;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A live meter, ready to be held against events.
pub struct Judge {
    meter: Arc<Meter>,
    extractor: Extractor,
}

/// What one meter makes of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub meter: Arc<Meter>,
    /// What was read, as text, or why nothing was.
    pub value: Result<String, NotCounted>,
    pub groups: BTreeMap<String, String>,
    /// The events list's text for a value that does not count.
    pub reason: Option<String>,
}

/// All live meters of a namespace.
pub struct Judges {
    judges: Vec<Judge>,
}

/// Distinct values are compared by a hash that is never shown: any key will do here.
const ANY_KEY: HashKey = HashKey(0, 0);

impl Judges {
    pub fn of(live: &[KnownMeter]) -> Self {
        let judges = live
            .iter()
            .filter(|known| known.gone.is_none())
            .map(|known| Judge { meter: known.meter.clone(), extractor: Extractor::of(&known.meter) });
        Self { judges: judges.collect() }
    }

    fn matching<'a>(&'a self, event: &'a StoredEvent) -> impl Iterator<Item = &'a Judge> {
        self.judges.iter().filter(|judge| judge.meter.event_type == event.event_type)
    }

    /// What each meter of the event's type makes of it.
    pub fn verdicts(&self, event: &StoredEvent) -> Vec<Verdict> {
        self.matching(event).map(|judge| judge.verdict(event)).collect()
    }

    /// What keeps the event from counting somewhere, in the words of the events list; one per meter.
    pub fn faults(&self, event: &StoredEvent) -> Vec<String> {
        if let Some(Voided { by, reason }) = &event.voided {
            return vec![format!("voided by the record at {by}: {reason}")];
        }
        let mut matching = self.matching(event).peekable();
        if matching.peek().is_none() {
            return vec![no_meter(event)];
        }
        matching.filter_map(|judge| judge.extractor.explain(event.data.as_deref())).collect()
    }
}

fn no_meter(event: &StoredEvent) -> String {
    format!("no meter found for event type: {}", event.event_type)
}

impl Judge {
    fn verdict(&self, event: &StoredEvent) -> Verdict {
        let data = event.data.as_deref();
        let mut texts = Vec::new();
        let reading = self.extractor.read(data, &ANY_KEY, &mut texts);
        let too_early = self.meter.event_from.is_some_and(|from| event.time < from);
        let value = match reading {
            _ if too_early => Err(NotCounted::BeforeEventFrom),
            Ok(Reading::One) => Ok("1".to_string()),
            Ok(Reading::Value(value)) => Ok(value.to_plain()),
            Ok(Reading::Distinct(_)) => Ok(self.value_text(data)),
            Err(reason) => Err(reason),
        };
        let mut rest = &texts[..];
        let values = std::iter::from_fn(|| next_group(&mut rest).map(str::to_string));
        Verdict {
            meter: self.meter.clone(),
            value,
            groups: self.meter.group_by.keys().cloned().zip(values).collect(),
            reason: self.extractor.explain(data),
        }
    }

    /// The text that UNIQUE_COUNT tells values apart by: read the way a group's value is.
    fn value_text(&self, data: Option<&str>) -> String {
        let path = self.meter.value_property.clone().unwrap_or_default();
        let as_group = Meter {
            aggregation: Aggregation::Count,
            value_property: None,
            group_by: BTreeMap::from([("value".to_string(), path)]),
            ..Meter::clone(&self.meter)
        };
        let mut texts = Vec::new();
        // COUNT always reads; only the group's text is wanted.
        let _ = Extractor::of(&as_group).read(data, &ANY_KEY, &mut texts);
        next_group(&mut &texts[..]).unwrap_or("").to_string()
    }
}

/// In one sentence, for people.
pub fn summary(event: &StoredEvent, verdicts: &[Verdict]) -> String {
    let counted = verdicts.iter().filter(|verdict| verdict.value.is_ok()).count();
    match event.fate {
        _ if event.voided.is_some() => "voided: it counted and counts no longer; its id stays taken".to_string(),
        Fate::Duplicate { winner } => format!("a duplicate of the event at {winner}: it counts once, there"),
        Fate::Conflict { winner } => {
            format!(
                "a conflict: the event at {winner} has the same source and id but other content, and that one counts"
            )
        }
        Fate::Quarantined => "quarantined: it made a stage panic and counts when it is redriven".to_string(),
        Fate::Counts if verdicts.is_empty() => no_meter(event),
        Fate::Counts => format!("counts in {counted} of {} meters of its type", verdicts.len()),
    }
}
