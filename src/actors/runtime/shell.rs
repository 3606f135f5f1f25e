//! The shell around a stage: an actix actor that takes one message at a time, in order, sheds what is outdated, counts,
//! and says what it has in hand before it touches it.
//!
//! The actor's task is ours: its end is told apart as panic, fault or stop, and reported. `stopped()` does nothing, for
//! it runs after a panic too. Nothing is lost: what was not acknowledged is read again.

use super::joiner::Slice;
use super::machine::{Busy, End, Input};
use super::probe::{Fortune, Moment};
use super::slot::{Queue, StageRef};
use super::stage::{Blueprint, Context, Flow, Interrupt, Outlet, Payload, Shared, Stage};
use super::stats::StageStats;
use actix::prelude::*;
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinError};

/// A payload on its way to a stage, with its place in the whole when the stage is wide.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Delivery<I: Payload> {
    pub payload: I,
    pub part: Option<Slice>,
}

/// See the module.
pub struct StageActor<I: Payload> {
    // wiring
    blueprint: Arc<dyn Blueprint<I>>,
    cx: Rc<Context>,
    queue: Arc<Queue>,
    mailbox_max: usize,
    // work in progress
    stage: Option<Box<dyn Stage<I>>>,
    hold: Option<SpawnHandle>,
    ending: Arc<Mutex<Option<String>>>,
}

impl<I: Payload> Actor for StageActor<I> {
    type Context = actix::Context<Self>;

    /// The stage is built here, inside the task that is watched: a constructor that panics is a restart like any other.
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.mailbox_max);
        self.stage = Some(self.blueprint.build());
    }
}

impl<I: Payload> Handler<Delivery<I>> for StageActor<I> {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<I>, ctx: &mut Self::Context) {
        self.queue.left();
        if let Some(hold) = self.hold.take() {
            ctx.cancel_future(hold);
        }
        self.cx.stats.messages.inc();
        let wanted = !self.cx.is_outdated(delivery.payload.generation());
        self.work(Some(delivery).filter(|_| wanted), ctx);
    }
}

impl<I: Payload> StageActor<I> {
    /// Runs the stage to the end of this message before the mailbox is looked at again.
    fn work(&mut self, delivery: Option<Delivery<I>>, ctx: &mut actix::Context<Self>) {
        if delivery.is_none() {
            self.cx.stats.shed.inc();
        }
        let Some(mut stage) = self.stage.take() else { return };
        let (cx, queue) = (self.cx.clone(), self.queue.clone());
        let work = async move {
            let mut flow = match delivery {
                Some(delivery) => handle(&mut *stage, delivery, &cx).await,
                None => Ok(()),
            };
            if flow.is_ok() && queue.depth() == 0 && stage.hold_ms() == 0 {
                flow = stage.idle(&cx).await;
            }
            (stage, flow)
        };
        ctx.wait(work.into_actor(self).map(|(stage, flow), actor, ctx| actor.settle(stage, flow, ctx)));
    }

    fn settle(&mut self, stage: Box<dyn Stage<I>>, flow: Flow, ctx: &mut actix::Context<Self>) {
        let hold_ms = stage.hold_ms();
        self.stage = Some(stage);
        match flow {
            Ok(()) | Err(Interrupt::Outdated) => {}
            Err(Interrupt::Rewind(why)) => self.rewind(why),
            Err(Interrupt::Fault(fault)) => {
                *self.ending.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(format!("{}: {fault}", self.cx.stage));
                return ctx.stop();
            }
        }
        self.cx.works_on_nothing();
        if hold_ms > 0 && self.queue.depth() == 0 {
            self.hold = Some(ctx.run_later(Duration::from_millis(hold_ms), |actor, ctx| actor.release(ctx)));
        }
    }

    /// Nothing came while something was held: it goes on alone.
    fn release(&mut self, ctx: &mut actix::Context<Self>) {
        self.hold = None;
        let Some(mut stage) = self.stage.take() else { return };
        let cx = self.cx.clone();
        let work = async move {
            let flow = stage.idle(&cx).await;
            (stage, flow)
        };
        ctx.wait(work.into_actor(self).map(|(stage, flow), actor, ctx| actor.settle(stage, flow, ctx)));
    }

    fn rewind(&self, why: String) {
        let busy = *self.cx.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = busy.map_or_else(|| self.cx.shared.generation(), |busy| busy.generation);
        let why = format!("{}: {why}", self.cx.stage);
        let applied = (self.cx.shared.applied)();
        self.cx.shared.report(Input::RewindAsked { generation, why, applied });
    }
}

async fn handle<I: Payload>(stage: &mut dyn Stage<I>, delivery: Delivery<I>, cx: &Context) -> Flow {
    let Delivery { payload, part } = delivery;
    cx.part.set(part);
    cx.works_on(payload.generation(), payload.range());
    if let Some(batch) = payload.as_batch() {
        cx.stats.batches.inc();
        cx.stats.events.add(payload.events());
        if cx.probe(Moment::BeforeWork, batch) == Fortune::Lost {
            return Ok(());
        }
    }
    let began = Instant::now();
    let flow = stage.handle(payload, cx).await;
    let took = began.elapsed();
    cx.stats.busy_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    cx.stats.handler.observe(took);
    flow
}

/// Where an actor of a stage lives: its thread, its slot, and all that its next incarnation needs.
pub struct Seat<I: Payload> {
    pub worker: usize,
    pub stage: Arc<str>,
    pub slot: StageRef<I>,
    pub blueprint: Arc<dyn Blueprint<I>>,
    pub outlet: Option<Arc<Outlet>>,
    pub shared: Arc<Shared>,
    pub stats: Arc<StageStats>,
    pub mailbox_max: usize,
    /// Ends the current actor's task.
    pub abort: Arc<Mutex<Option<AbortHandle>>>,
}

impl<I: Payload> Seat<I> {
    /// On the stage's own thread: a new actor into the slot, then its task, then the report that it is there.
    pub fn spawn_here(&self, incarnation: u64) {
        let busy = Arc::new(Mutex::new(None));
        let ending = Arc::new(Mutex::new(None));
        let queue = Arc::new(Queue::default());
        let cx = Rc::new(Context {
            stage: self.stage.clone(),
            shared: self.shared.clone(),
            stats: self.stats.clone(),
            outlet: self.outlet.clone(),
            busy: busy.clone(),
            part: Cell::new(None),
        });
        let actor = StageActor {
            blueprint: self.blueprint.clone(),
            cx,
            queue: queue.clone(),
            mailbox_max: self.mailbox_max,
            stage: None,
            hold: None,
            ending: ending.clone(),
        };
        let mut context = actix::Context::new();
        context.set_mailbox_capacity(self.mailbox_max);
        let future = context.into_future(actor);
        self.slot.install(future.address(), queue);
        let task = actix_rt::spawn(future);
        *self.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        let (shared, worker) = (self.shared.clone(), self.worker);
        shared.report(Input::WorkerUp { worker, incarnation });
        actix_rt::spawn(async move {
            let outcome = task.await;
            let busy_with: Option<Busy> = *busy.lock().unwrap_or_else(PoisonError::into_inner);
            let fault = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
            let end = how_it_ended(outcome, fault);
            let applied = (shared.applied)();
            shared.report(Input::WorkerEnded { worker, incarnation, end, busy_with, applied });
        });
    }
}

fn how_it_ended(outcome: Result<(), JoinError>, fault: Option<String>) -> End {
    match outcome.map_err(JoinError::try_into_panic) {
        Err(Ok(panic)) => End::Panic(panic_text(&*panic)),
        Ok(()) | Err(Err(_)) => fault.map_or(End::Stopped, End::Fault),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
