//! What a stage is, and what it is given: its context, its outlet, and the few ways in which a message can end.

use super::joiner::{Joiner, Slice, split};
use super::machine::{Busy, Input, ReadOrder};
use super::probe::{Fortune, Moment, Probe};
use super::slot::StageRef;
use super::stats::StageStats;
use crate::domain::fault::{Fault, Verdict};
use crate::domain::metering::Batch;
use crate::domain::position::{Frontier, Range};
use async_trait::async_trait;
use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Something a stage works on.
pub trait Payload: Send + 'static {
    fn generation(&self) -> u64;
    /// What to look at again when the stage does not survive it.
    fn range(&self) -> Range;
    fn events(&self) -> u64;
    fn as_batch(&self) -> Option<&Batch>;
}

impl Payload for Batch {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn range(&self) -> Range {
        self.range
    }

    fn events(&self) -> u64 {
        Batch::events(self) as u64
    }

    fn as_batch(&self) -> Option<&Batch> {
        Some(self)
    }
}

impl Payload for ReadOrder {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn range(&self) -> Range {
        let until = self.until.min(self.from.offset.saturating_add(self.events_max));
        Range::new(self.from.partition, self.from.offset, until.max(self.from.offset))
    }

    fn events(&self) -> u64 {
        0
    }

    fn as_batch(&self) -> Option<&Batch> {
        None
    }
}

/// A message's way through a stage.
pub type Flow = Result<(), Interrupt>;

/// Why a message went no further.
#[derive(Debug)]
pub enum Interrupt {
    /// The line has been rewound meanwhile: the message is no longer wanted.
    Outdated,
    /// Something is missing further down: read again from what the store has.
    Rewind(String),
    /// The world failed. The stage ends, the line is red, and the stage is restarted with backoff.
    Fault(Fault),
}

/// One stage's work. Messages come one at a time, in position order; whatever is not sent on or acknowledged is read
/// again after a restart, so nothing here needs saving.
#[async_trait(?Send)]
pub trait Stage<I: Payload> {
    async fn handle(&mut self, input: I, cx: &Context) -> Flow;

    /// The inbox is empty: what is held for company goes on now, or after [`Stage::hold_ms`].
    async fn idle(&mut self, _cx: &Context) -> Flow {
        Ok(())
    }

    /// How long what is held may wait for company, in milliseconds; 0: not at all, or nothing is held.
    fn hold_ms(&self) -> u64 {
        0
    }
}

/// Makes stages. It outlives them and keeps what shall survive a restart: settings, ports, counters. Never work.
pub trait Blueprint<I: Payload>: Send + Sync {
    fn build(&self) -> Box<dyn Stage<I>>;

    /// Counters and state of the port behind the stage, as of now.
    fn snapshot(&self) -> serde_json::Value;
}

/// How often a port call is tried again in place.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub attempts_max: u32,
    pub backoff_ms: [u64; 2],
}

/// What all stages of a line share.
pub struct Shared {
    /// Batches of older generations are shed on sight.
    pub generation: AtomicU64,
    pub inputs: UnboundedSender<Input>,
    /// How far the store is; asked whenever something is to be read again.
    pub applied: Box<dyn Fn() -> Frontier + Send + Sync>,
    pub retry: RetryPolicy,
    pub probe: Option<Arc<dyn Probe>>,
}

impl Shared {
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Tells the conductor. When it is gone the process is ending, and nobody needs to know.
    pub fn report(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}

/// Where a stage's batches go: through the joiner when the stage is wide, to all instances of the next one.
pub struct Outlet {
    pub joiner: Option<Mutex<Joiner>>,
    pub next: Vec<StageRef<Batch>>,
}

impl Outlet {
    fn send(&self, batch: Batch, part: Option<Slice>) -> Flow {
        match (&self.joiner, part) {
            (Some(joiner), Some(slice)) => {
                // Held while sending, so that batches leave in order.
                let mut joiner = joiner.lock().unwrap_or_else(PoisonError::into_inner);
                joiner.offer(batch, slice).into_iter().try_for_each(|whole| self.deliver(whole))
            }
            _ => self.deliver(batch),
        }
    }

    fn deliver(&self, batch: Batch) -> Flow {
        match &self.next[..] {
            [only] => only.deliver(batch, None),
            several => split(batch, several.len())
                .into_iter()
                .zip(several)
                .try_for_each(|((part, slice), next)| next.deliver(part, Some(slice))),
        }
    }
}

/// What a stage may do besides its own work.
pub struct Context {
    pub stage: Arc<str>,
    pub shared: Arc<Shared>,
    pub stats: Arc<StageStats>,
    pub outlet: Option<Arc<Outlet>>,
    /// What is in hand, readable after a panic.
    pub busy: Arc<Mutex<Option<Busy>>>,
    pub part: Cell<Option<Slice>>,
}

impl Context {
    pub fn is_outdated(&self, generation: u64) -> bool {
        generation < self.shared.generation()
    }

    /// Says what is in hand: the range that is looked at again when this stage does not survive it.
    pub fn works_on(&self, generation: u64, range: Range) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = Some(Busy { generation, range });
    }

    pub fn works_on_nothing(&self) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Calls a port, and again when the fault says that may help: bounded, with backoff.
    pub async fn attempt<T, F>(&self, generation: u64, mut call: impl FnMut() -> F) -> Result<T, Interrupt>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let RetryPolicy { attempts_max, backoff_ms } = self.shared.retry;
        let mut jitter = super::jitter::Jitter::seeded(self.stats.messages.get());
        for attempt in 0.. {
            match call().await {
                Ok(value) => return Ok(value),
                Err(fault) if fault.verdict == Verdict::GiveUp || attempt + 1 >= attempts_max => {
                    return Err(Interrupt::Fault(fault));
                }
                Err(fault) => tracing::warn!(stage = &*self.stage, %fault, attempt, "tried again"),
            }
            tokio::time::sleep(Duration::from_millis(jitter.backoff_ms(backoff_ms, attempt))).await;
            if self.is_outdated(generation) {
                return Err(Interrupt::Outdated);
            }
        }
        unreachable!("the loop above only ends by returning")
    }

    /// Sends a batch to the next stage. What could not be delivered is read again.
    pub fn forward(&self, batch: Batch) -> Flow {
        if self.is_outdated(batch.generation) {
            return Err(Interrupt::Outdated);
        }
        if self.probe(Moment::BeforeSend, &batch) == Fortune::Lost {
            return Ok(());
        }
        let outlet = self.outlet.as_ref().expect("the topology gives every stage but a sink a next one");
        outlet.send(batch, self.part.get())
    }

    /// Tells the line how far the store is.
    pub fn ack(&self, generation: u64, applied: Frontier) {
        self.shared.report(Input::Acked { generation, applied });
    }

    pub fn rejected(&self, reason: &'static str, events: u64) {
        self.stats.rejected(reason, events);
    }

    pub fn probe(&self, moment: Moment, batch: &Batch) -> Fortune {
        self.shared.probe.as_ref().map_or(Fortune::GoesOn, |probe| probe.at(&self.stage, moment, batch))
    }
}
