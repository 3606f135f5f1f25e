//! Corrections: an event that was wrong is taken out of every meter, and another may take its place.
//!
//! A void is decided on the store as it is once everything decided before is applied, one at a time. It goes the way
//! of every business write: audit and outbox in one commit, then the log. The replacement travels in the void's own
//! record, so nobody ever sees one without the other. The voided id stays taken: a retry of the event is a duplicate.

use super::controls::Controls;
use super::gate::Gate;
use super::publisher::Publisher;
use super::writes::{Answered, Caller, Change, Done, Kept, Stop, WriteError, Writes};
use crate::domain::fault::Fault;
use crate::domain::metering::Fate;
use crate::domain::metering::query::{EventIdentity, StoredEvent};
use crate::domain::position::Position;
use crate::domain::record::{Control, EventView, RecordBytes, Void, decode_event};
use crate::domain::time::Instant;
use crate::ports::UsageStore;
use crate::ports::event_log::AppendError;
use crate::ports::usage_store::ReadError;
use crate::store::Transaction;
use serde::Serialize;
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Correction {
    pub source: String,
    pub id: String,
    pub reason: String,
    /// When the event happened; needed where its id is not remembered any more.
    pub time: Option<Instant>,
    /// An event record, as the door encodes one, of an event that is to count instead.
    pub replacement: Option<Vec<u8>>,
}

/// What is done about it.
#[derive(Debug, Clone)]
pub struct Corrected {
    /// The event, as it was.
    pub event: StoredEvent,
    pub void: Arc<Void>,
}

impl Corrected {
    /// The event that counts instead.
    pub fn replacement(&self) -> Option<EventView<'_>> {
        let record = &self.void.replacement.as_ref()?.0;
        Some(decode_event(record).expect("it was read when it was taken"))
    }
}

/// Why a correction was refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CorrectionError {
    #[error("the replacement needs an id of its own, beside that of the event it replaces")]
    SameIdentity,
    #[error("no event with source {source_name} and id {id} counts; of one older than the dedupe window send its time")]
    NotFound { source_name: String, id: String },
    #[error("the event at {event} was already voided, by the record at {by}")]
    Voided { event: Position, by: Position },
    #[error("{} events with this source and id count; send the time of the one that is meant", .0.len())]
    Several(Vec<StoredEvent>),
    #[error("the event at {0} cannot be taken out: raw events of its day were removed by retention")]
    RawRemoved(Position),
    #[error("the raw events of that time were removed by retention")]
    AllRemoved,
    #[error("the replacement's source and id are those of the event at {0}")]
    IdTaken(Position),
    #[error(transparent)]
    Behind(#[from] AppendError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<CorrectionError>> for CorrectionError {
    fn from(error: WriteError<CorrectionError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

/// Voids events, and puts others in their place.
pub struct Corrections {
    store: Arc<dyn UsageStore>,
    controls: Arc<Controls>,
    publisher: Arc<Publisher>,
    writes: Arc<Writes>,
    gate: Arc<Gate>,
}

impl Corrections {
    pub fn new(
        store: Arc<dyn UsageStore>,
        controls: Arc<Controls>,
        publisher: Arc<Publisher>,
        writes: Arc<Writes>,
        gate: Arc<Gate>,
    ) -> Self {
        Self { store, controls, publisher, writes, gate }
    }

    /// Takes an event out, and answers once the store has applied that and trackers were told. `show` makes the answer.
    pub async fn correct(
        &self,
        caller: &Caller,
        correction: Correction,
        show: impl FnOnce(&Corrected) -> Kept,
    ) -> Result<Answered, CorrectionError> {
        self.gate.check()?;
        let _turn = self.controls.turn().await?;
        // A void that was kept and could not be announced must be seen, too.
        self.publisher.publish().await.map_err(AppendError::from)?;
        let mut concerned = Vec::new();
        let work = async |_: &Transaction<'_>, _: Instant| {
            let corrected = self.decide(&caller.namespace, correction).await.map_err(Stop::Refused)?;
            concerned.push(corrected.event.subject.clone());
            concerned.extend(corrected.replacement().map(|event| event.subject.to_string()));
            let (kept, audit) = (show(&corrected), vec![change(&corrected)?]);
            Ok(Done { kept, audit, controls: vec![Control::Void(corrected.void)] })
        };
        let answered = self.writes.write(caller, work).await?;
        if let Some(changed) = &answered.effect {
            self.controls.forget_subjects(&caller.namespace, concerned, changed).await;
        }
        Ok(answered)
    }

    async fn decide(&self, namespace: &str, correction: Correction) -> Result<Corrected, CorrectionError> {
        let Correction { source, id, reason, time, replacement } = correction;
        let namespace = namespace.to_string();
        let replacement = replacement.map(RecordBytes);
        if let Some(record) = &replacement {
            self.check_replacement(&namespace, (&source, &id), record).await?;
        }
        let event = self.counting(EventIdentity { namespace: namespace.clone(), source, id, time }).await?;
        self.store.correctable(event.time).map_err(|_| CorrectionError::RawRemoved(event.position))?;
        let void = Void {
            position: event.position,
            namespace,
            source: event.source.clone(),
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            time: event.time,
            reason,
            replacement,
        };
        Ok(Corrected { event, void: Arc::new(void) })
    }

    /// The one event that counts under the identity.
    async fn counting(&self, identity: EventIdentity) -> Result<StoredEvent, CorrectionError> {
        let mut winners = self.winners(identity.clone()).await?;
        winners.retain(|event| event.fate == Fate::Counts);
        let (voided, mut counting): (Vec<_>, Vec<_>) = winners.into_iter().partition(|event| event.voided.is_some());
        match (counting.pop(), voided.first()) {
            (Some(only), _) if counting.is_empty() => Ok(only),
            (Some(last), _) => {
                counting.push(last);
                Err(CorrectionError::Several(counting))
            }
            (None, Some(StoredEvent { position, voided: Some(voided), .. })) => {
                Err(CorrectionError::Voided { event: *position, by: voided.by })
            }
            (None, _) => Err(CorrectionError::NotFound { source_name: identity.source, id: identity.id }),
        }
    }

    /// The replacement's identity must be nobody's, or it would not count.
    async fn check_replacement(
        &self,
        namespace: &str,
        replaced: (&str, &str),
        record: &RecordBytes,
    ) -> Result<(), CorrectionError> {
        let event = decode_event(&record.0).map_err(|error| Fault::give_up("replacement", error.to_string()))?;
        if (event.source, event.id) == replaced {
            return Err(CorrectionError::SameIdentity);
        }
        let (namespace, source, id) = (namespace.to_string(), event.source.to_string(), event.id.to_string());
        let owners = self.winners(EventIdentity { namespace, source, id, time: None }).await?;
        owners.first().map_or(Ok(()), |owner| Err(CorrectionError::IdTaken(owner.position)))
    }

    async fn winners(&self, identity: EventIdentity) -> Result<Vec<StoredEvent>, CorrectionError> {
        self.store.winners(identity).await.map_err(|error| match error {
            ReadError::Refused(_) => CorrectionError::AllRemoved,
            ReadError::Fault(fault) => CorrectionError::Fault(fault),
        })
    }
}

/// The event before, and what became of it.
fn change(corrected: &Corrected) -> Result<Change, Fault> {
    let Corrected { event, void } = corrected;
    let replacement = corrected.replacement();
    let operation = if replacement.is_some() { "event.replace" } else { "event.void" };
    let before = AuditedEvent {
        id: &event.id,
        source: &event.source,
        r#type: &event.event_type,
        subject: &event.subject,
        time: Some(event.time.to_rfc3339()),
        data: raw(event.data.as_deref()),
    };
    let instead = replacement.as_ref().map(|event| AuditedEvent {
        id: event.id,
        source: event.source,
        r#type: event.event_type,
        subject: event.subject,
        time: event.time.map(Instant::to_rfc3339),
        data: raw(event.data),
    });
    Ok(Change {
        operation,
        entity_kind: "event",
        entity_id: event.position.to_string(),
        before: Some(json(&before)?),
        after: Some(json(&Outcome { reason: &void.reason, replacement: instead })?),
    })
}

/// An event as the audit shows it.
#[derive(Serialize)]
struct AuditedEvent<'a> {
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<AuditedEvent<'a>>,
}

/// The door took it as JSON.
fn raw(data: Option<&str>) -> Option<&RawValue> {
    data.and_then(|data| serde_json::from_str(data).ok())
}

fn json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::give_up("audit", error.to_string()))
}

#[cfg(test)]
mod tests;
