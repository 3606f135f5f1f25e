//! Batcher: joins batches while the stage behind it has others to chew on.
//!
//! Receives batches in position order. Sends joined ones: as soon as its inbox is empty (so nothing waits for a timer
//! when the line is idle), when they are large enough, or, for stores that like few large writes, after
//! `flush_after_ms`. Holds at most one joined batch. Loses nothing: what it held is read again after a restart.

use super::runtime::{self, Context, Flow, Stage};
use crate::domain::metering::Batch;
use crate::pipeline::{self, Insane};
use crate::ports::stats::Counter;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a user may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A joined batch has at most this many events; one that came larger is sent as it is.
    pub batch_events_max: u64,
    /// Bytes of records in a joined batch.
    pub batch_bytes_max: u64,
    /// How long a batch waits for company, in milliseconds; 0: not at all.
    pub flush_after_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_events_max: 16_000, batch_bytes_max: 16 << 20, flush_after_ms: 0 }
    }
}

impl pipeline::Settings for Settings {
    fn validate(&self) -> Vec<Insane> {
        let mut insane = Vec::new();
        Insane::unless(self.batch_events_max >= 1, "batch_events_max", "must be at least 1", &mut insane);
        Insane::unless(self.batch_bytes_max >= 1_024, "batch_bytes_max", "must be at least 1024", &mut insane);
        Insane::unless(self.flush_after_ms <= 5_000, "flush_after_ms", "must be at most 5000", &mut insane);
        insane
    }
}

/// Makes batchers.
pub struct Blueprint {
    pub settings: Settings,
    pub counters: Arc<Counters>,
}

/// What the batcher counts besides the usual.
#[derive(Debug, Default)]
pub struct Counters {
    sent: Counter,
    joined: Counter,
}

impl runtime::Blueprint<Batch> for Blueprint {
    fn build(&self) -> Box<dyn Stage<Batch>> {
        Box::new(Batcher { settings: self.settings.clone(), held: None, counters: self.counters.clone() })
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({ "sent": self.counters.sent.get(), "joined": self.counters.joined.get() })
    }
}

/// See the module.
pub struct Batcher {
    // wiring
    settings: Settings,
    // work in progress
    held: Option<Held>,
    // counters
    counters: Arc<Counters>,
}

struct Held {
    batch: Batch,
    events: u64,
    bytes: u64,
}

#[async_trait(?Send)]
impl Stage<Batch> for Batcher {
    async fn handle(&mut self, batch: Batch, cx: &Context) -> Flow {
        let (events, bytes) = (batch.events() as u64, batch.bytes() as u64);
        if self.held.as_ref().is_some_and(|held| !self.fits(held, &batch, events, bytes)) {
            self.idle(cx).await?;
        }
        match &mut self.held {
            Some(held) => {
                self.counters.joined.inc();
                held.events += events;
                held.bytes += bytes;
                held.batch.append(batch);
                cx.works_on(held.batch.generation, held.batch.range);
            }
            None => self.held = Some(Held { batch, events, bytes }),
        }
        match &self.held {
            Some(held)
                if held.events >= self.settings.batch_events_max || held.bytes >= self.settings.batch_bytes_max =>
            {
                self.idle(cx).await
            }
            _ => Ok(()),
        }
    }

    async fn idle(&mut self, cx: &Context) -> Flow {
        let Some(held) = self.held.take() else { return Ok(()) };
        if cx.is_outdated(held.batch.generation) {
            return Ok(());
        }
        self.counters.sent.inc();
        cx.forward(held.batch)
    }

    fn hold_ms(&self) -> u64 {
        if self.held.is_some() { self.settings.flush_after_ms } else { 0 }
    }
}

impl Batcher {
    /// Only neighbours of one generation are joined. Where something is missing in between, the store will say so.
    fn fits(&self, held: &Held, next: &Batch, events: u64, bytes: u64) -> bool {
        let (range, follows) = (held.batch.range, next.range);
        held.batch.generation == next.generation
            && (range.partition, range.to) == (follows.partition, follows.from)
            && held.events + events <= self.settings.batch_events_max
            && held.bytes + bytes <= self.settings.batch_bytes_max
    }
}
