//! Wiring: from the compiled graph to seats that know where their batches go.

use super::{Slots, Staged};
use crate::actors::runtime::Blueprint;
use crate::actors::runtime::conductor::AnySeat;
use crate::actors::runtime::joiner::Joiner;
use crate::actors::runtime::shell::Seat;
use crate::actors::runtime::slot::StageRef;
use crate::actors::runtime::stage::{Outlet, Payload, Shared};
use crate::actors::runtime::stats::StageStats;
use crate::actors::stages::{Plan, World, plan};
use crate::domain::metering::Batch;
use crate::pipeline::Graph;
use std::sync::{Arc, Mutex};

/// Room in a mailbox beyond what the credits of one generation can fill: outdated batches that wait to be shed.
const MAILBOX_SPARE: usize = 64;

/// Makes seats from the last stage to the first, for each needs the slots of the next one.
pub(super) fn wire(graph: &Graph, world: &World, shared: &Arc<Shared>) -> (Vec<Staged>, Vec<(Arc<str>, AnySeat)>) {
    let mailbox_max = graph.line.batches_in_flight_max * 2 + MAILBOX_SPARE;
    let (mut stages, mut seats) = (Vec::new(), Vec::new());
    let mut next: Option<Vec<StageRef<Batch>>> = None;
    let mut end: usize = graph.stages.iter().map(|node| node.width).sum();
    for node in graph.stages.iter().rev() {
        let workers = end - node.width..end;
        end = workers.start;
        let name: Arc<str> = node.name.as_str().into();
        let (plan, stats) = (plan(node, world), Arc::new(StageStats::default()));
        let joiner = (node.width > 1).then(|| Mutex::new(Joiner::default()));
        let outlet = next.take().map(|next| Arc::new(Outlet { joiner, next }));
        let ground = Ground { stage: name.clone(), outlet, shared: shared.clone(), stats: stats.clone(), mailbox_max };
        let slots = match &plan {
            Plan::Source(blueprint) => {
                let slot = StageRef::default();
                seats.push((
                    name,
                    AnySeat::Source(Arc::new(ground.seat(workers.start, slot.clone(), blueprint.clone()))),
                ));
                Slots::Source(slot)
            }
            Plan::Stage(blueprint) => {
                let slots: Vec<StageRef<Batch>> = workers.clone().map(|_| StageRef::default()).collect();
                for (worker, slot) in workers.clone().zip(&slots).rev() {
                    seats.push((
                        name.clone(),
                        AnySeat::Stage(Arc::new(ground.seat(worker, slot.clone(), blueprint.clone()))),
                    ));
                }
                next = Some(slots.clone());
                Slots::Stage(slots)
            }
        };
        stages.push(Staged { node: node.clone(), plan, stats, slots, workers });
    }
    stages.reverse();
    seats.reverse();
    (stages, seats)
}

/// What the seats of one stage have in common.
struct Ground {
    stage: Arc<str>,
    outlet: Option<Arc<Outlet>>,
    shared: Arc<Shared>,
    stats: Arc<StageStats>,
    mailbox_max: usize,
}

impl Ground {
    fn seat<I: Payload>(&self, worker: usize, slot: StageRef<I>, blueprint: Arc<dyn Blueprint<I>>) -> Seat<I> {
        Seat {
            worker,
            stage: self.stage.clone(),
            slot,
            blueprint,
            outlet: self.outlet.clone(),
            shared: self.shared.clone(),
            stats: self.stats.clone(),
            mailbox_max: self.mailbox_max,
            abort: Arc::default(),
        }
    }
}
