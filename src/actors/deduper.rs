//! Deduper: lets each event count once.
//!
//! Receives batches in position order. Sends each on with the fate of every event: it counts, or is a duplicate of, or in
//! conflict with, the one that won its id. Holds nothing that the id index does not have. Loses nothing: the index
//! remembers *which position won*, so after a rewind the winner passes again and its copies do not. An event in
//! quarantine claims its id like any other: it still owns it.

use super::runtime::{self, Context, Flow, Interrupt, Stage};
use crate::domain::digest::payload_digest;
use crate::domain::fault::Fault;
use crate::domain::metering::{Batch, Fate};
use crate::pipeline::{self, Insane};
use crate::ports::IdIndex;
use crate::ports::id_index::{Claim, ClaimRequest};
use crate::ports::stats::Counter;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// Nothing to set: how long an id is remembered is in the log, so that a replay decides the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

impl pipeline::Settings for Settings {
    fn validate(&self) -> Vec<Insane> {
        Vec::new()
    }
}

/// Makes dedupers.
pub struct Blueprint {
    pub index: Arc<dyn IdIndex>,
    pub counters: Arc<Counters>,
}

/// What the deduper counts besides the usual.
#[derive(Debug, Default)]
pub struct Counters {
    passed: Counter,
    passed_again: Counter,
    duplicates: Counter,
    conflicts: Counter,
}

impl runtime::Blueprint<Batch> for Blueprint {
    fn build(&self) -> Box<dyn Stage<Batch>> {
        Box::new(Deduper { index: self.index.clone(), requests: Vec::new(), counters: self.counters.clone() })
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({
            "passed": self.counters.passed.get(),
            "passed_again": self.counters.passed_again.get(),
            "duplicates": self.counters.duplicates.get(),
            "conflicts": self.counters.conflicts.get(),
            "index": self.index.snapshot(),
        })
    }
}

/// See the module.
pub struct Deduper {
    // wiring
    index: Arc<dyn IdIndex>,
    // work in progress: kept for its memory only
    requests: Vec<ClaimRequest>,
    // counters
    counters: Arc<Counters>,
}

#[async_trait(?Send)]
impl Stage<Batch> for Deduper {
    /// One round trip to the index for the whole batch, whatever its size.
    async fn handle(&mut self, mut batch: Batch, cx: &Context) -> Flow {
        self.requests.clear();
        ask(&batch, &mut self.requests)?;
        let claims = cx.attempt(batch.generation, || self.index.claim(&self.requests)).await?;
        if claims.len() != self.requests.len() {
            let message = format!("{} claims were answered with {}", self.requests.len(), claims.len());
            return Err(Interrupt::Fault(Fault::give_up("id index", message)));
        }
        self.decide(&mut batch, &claims, cx);
        cx.forward(batch)
    }
}

impl Deduper {
    fn decide(&self, batch: &mut Batch, claims: &[Claim], cx: &Context) {
        let (mut duplicates, mut conflicts, mut quarantined, mut again) = (0, 0, 0, 0);
        let events = batch.chunks.iter_mut().flat_map(|chunk| &mut chunk.events);
        for (event, claim) in events.zip(claims) {
            again += u64::from(*claim == Claim::WonBefore);
            match (event.fate, *claim) {
                (Fate::Quarantined, _) => quarantined += 1,
                (_, Claim::Won | Claim::WonBefore) => {}
                (_, Claim::Duplicate { winner }) => {
                    duplicates += 1;
                    event.fate = Fate::Duplicate { winner };
                }
                (_, Claim::Conflict { winner }) => {
                    conflicts += 1;
                    event.fate = Fate::Conflict { winner };
                }
            }
        }
        self.counters.passed.add(claims.len() as u64 - duplicates - conflicts - quarantined);
        self.counters.passed_again.add(again);
        self.counters.duplicates.add(duplicates);
        self.counters.conflicts.add(conflicts);
        cx.rejected("duplicate", duplicates);
        cx.rejected("conflict", conflicts);
        cx.rejected("quarantined", quarantined);
    }
}

/// One claim per event, in position order.
fn ask(batch: &Batch, requests: &mut Vec<ClaimRequest>) -> Flow {
    for chunk in &batch.chunks {
        let key = chunk.catalog.key;
        let window_ns = i64::from(chunk.catalog.dedupe_window_days).saturating_mul(DAY_NS);
        for event in &chunk.events {
            let view = chunk.view(event).map_err(|error| {
                Interrupt::Fault(Fault::give_up(
                    "log",
                    format!("the event at {} cannot be read: {error}", event.position),
                ))
            })?;
            requests.push(ClaimRequest {
                id: key.event_id(view.namespace, view.source, view.id),
                digest: payload_digest(view.event_type, view.subject, view.time_text, view.data.map(str::as_bytes)),
                position: event.position,
                accepted_at: event.accepted_at,
                window_ns,
            });
        }
    }
    Ok(())
}
