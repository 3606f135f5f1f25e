//! Usage writer: brings batches into the usage store, and says how far it is.
//!
//! Receives batches in position order. Sends nothing on but usage to the trackers concerned; acknowledges to the conductor with the store's applied
//! frontier. Holds nothing. Loses nothing: the store applies a batch whole or not at all, drops by position what it has,
//! and refuses what begins beyond its frontier, upon which the line reads again from there. A fault is not tried again
//! in place, for the store has taken the batch: the stage restarts with backoff and the log has it still.

use super::registry::Registry;
use super::runtime::probe::{Fortune, Moment};
use super::runtime::{self, Context, Flow, Interrupt, Stage};
use crate::domain::metering::Batch;
use crate::pipeline::{self, Insane};
use crate::ports::UsageStore;
use crate::ports::stats::Counter;
use crate::ports::usage_store::ApplyError;
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

/// Makes usage writers.
pub struct Blueprint {
    pub store: Arc<dyn UsageStore>,
    /// Told of the usage that the store has.
    pub registry: Option<Arc<Registry>>,
    pub counters: Arc<Counters>,
}

/// What the usage writer counts besides the usual.
#[derive(Debug, Default)]
pub struct Counters {
    applied: Counter,
    gaps: Counter,
}

impl runtime::Blueprint<Batch> for Blueprint {
    fn build(&self) -> Box<dyn Stage<Batch>> {
        Box::new(UsageWriter {
            store: self.store.clone(),
            registry: self.registry.clone(),
            counters: self.counters.clone(),
        })
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({
            "applied_batches": self.counters.applied.get(),
            "gaps": self.counters.gaps.get(),
            "store": self.store.snapshot(),
        })
    }
}

/// See the module.
pub struct UsageWriter {
    // wiring
    store: Arc<dyn UsageStore>,
    registry: Option<Arc<Registry>>,
    // counters
    counters: Arc<Counters>,
}

#[async_trait(?Send)]
impl Stage<Batch> for UsageWriter {
    async fn handle(&mut self, batch: Batch, cx: &Context) -> Flow {
        let generation = batch.generation;
        // A probe of a test looks at the batch once more after the store took it; nobody else pays for the copy.
        let probed = cx.shared.probe.is_some().then(|| batch.clone());
        if probed.as_ref().is_some_and(|batch| cx.probe(Moment::BeforeSend, batch) == Fortune::Lost) {
            return Ok(());
        }
        let followed = self.registry.as_ref().map(|registry| (registry, registry.take(&batch)));
        match self.store.apply(batch).await {
            Ok(()) => {}
            Err(gap @ ApplyError::Gap { .. }) => {
                self.counters.gaps.inc();
                return Err(Interrupt::Rewind(gap.to_string()));
            }
            Err(ApplyError::Fault(fault)) => return Err(Interrupt::Fault(fault)),
        }
        self.counters.applied.inc();
        if let Some((registry, parts)) = followed {
            registry.route(parts);
        }
        if probed.is_some_and(|batch| cx.probe(Moment::BeforeAck, &batch) == Fortune::Lost) {
            return Ok(());
        }
        cx.ack(generation, self.store.applied());
        Ok(())
    }
}
