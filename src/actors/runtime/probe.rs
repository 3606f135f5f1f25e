//! Probes: where a test, and only a test, may step into a running stage: to panic, to delay, to lose a delivery.
//!
//! There is no way to switch a probe on by configuration; a line without one pays a null check per batch.

use crate::domain::metering::{Batch, Fate};
use crate::ports::stats::Counter;

/// Where in its work the stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The batch is in the stage's hands, nothing is done yet.
    BeforeWork,
    /// The work is done, nothing has been sent on.
    BeforeSend,
    /// The store has the batch, the line does not know yet.
    BeforeAck,
}

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fortune {
    GoesOn,
    /// It vanishes without a word.
    Lost,
}

/// Called with every batch, at every moment, in every stage.
pub trait Probe: Send + Sync {
    fn at(&self, stage: &str, moment: Moment, batch: &Batch) -> Fortune;
}

/// Panics in one stage over every event whose id begins like this, unless the event is passed over.
#[derive(Debug)]
pub struct PoisonProbe {
    pub stage: String,
    pub id_prefix: String,
    pub fired: Counter,
}

impl PoisonProbe {
    pub fn new(stage: impl Into<String>, id_prefix: impl Into<String>) -> Self {
        Self { stage: stage.into(), id_prefix: id_prefix.into(), fired: Counter::default() }
    }
}

impl Probe for PoisonProbe {
    fn at(&self, stage: &str, _: Moment, batch: &Batch) -> Fortune {
        if stage == self.stage {
            for (chunk, event) in
                batch.chunks.iter().flat_map(|chunk| chunk.events.iter().map(move |event| (chunk, event)))
            {
                let poisoned = chunk.view(event).is_ok_and(|view| view.id.starts_with(&self.id_prefix));
                if poisoned && event.fate != Fate::Quarantined {
                    self.fired.inc();
                    panic!("poisoned event at {}", event.position);
                }
            }
        }
        Fortune::GoesOn
    }
}
