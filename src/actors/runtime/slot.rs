//! A slot with the current address of a stage: what its peers hold, so that a restart is invisible to them.

use super::joiner::Slice;
use super::shell::{Delivery, StageActor};
use super::stage::{Flow, Interrupt, Payload};
use actix::Addr;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages that wait in one actor's mailbox. A new actor begins with a new, empty one.
#[derive(Debug, Default)]
pub struct Queue(AtomicU64);

impl Queue {
    pub fn left(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub fn depth(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

struct Current<I: Payload> {
    addr: Addr<StageActor<I>>,
    queue: Arc<Queue>,
}

/// A stage, whichever actor it is at the moment.
pub struct StageRef<I: Payload>(Arc<ArcSwapOption<Current<I>>>);

impl<I: Payload> Clone for StageRef<I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: Payload> Default for StageRef<I> {
    fn default() -> Self {
        Self(Arc::new(ArcSwapOption::empty()))
    }
}

impl<I: Payload> StageRef<I> {
    /// From now on peers reach this actor.
    pub fn install(&self, addr: Addr<StageActor<I>>, queue: Arc<Queue>) {
        self.0.store(Some(Arc::new(Current { addr, queue })));
    }

    /// Puts a message into the mailbox. A dead actor or a full mailbox (more than the credits allow) is said, not ignored.
    pub fn deliver(&self, payload: I, part: Option<Slice>) -> Flow {
        let current = self.0.load();
        let Some(current) = &*current else { return Err(Interrupt::Rewind("a stage is not there yet".to_owned())) };
        // Counted before it is there: an actor that sees 0 may believe it.
        current.queue.0.fetch_add(1, Ordering::AcqRel);
        current.addr.try_send(Delivery { payload, part }).map_err(|refused| {
            current.queue.left();
            Interrupt::Rewind(format!("a stage could not take a batch: {refused}"))
        })
    }

    pub fn queue_depth(&self) -> u64 {
        self.0.load().as_ref().map_or(0, |current| current.queue.depth())
    }
}
