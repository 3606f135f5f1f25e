//! The stage catalogue: every kind a topology may name. A new kind is one line here, its file, and its row in
//! `tests/stage_compliance.rs`.

use super::registry::Registry;
use super::runtime::Blueprint;
use super::runtime::machine::ReadOrder;
use super::runtime::quarantine::QuarantineLedger;
use super::source::Marks;
use super::{batcher, deduper, source, usage_writer, validator};
use crate::domain::digest::HashKey;
use crate::domain::metering::Batch;
use crate::pipeline::{Facet, KindSpec, Node, Role, check_settings};
use crate::ports::{EventLog, IdIndex, UsageStore};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex};

/// What stages are wired to.
pub struct World {
    pub log: Arc<dyn EventLog>,
    pub index: Arc<dyn IdIndex>,
    pub store: Arc<dyn UsageStore>,
    pub registry: Option<Arc<Registry>>,
    pub key: HashKey,
    pub ledger: Arc<Mutex<QuarantineLedger>>,
    pub marks: Arc<Marks>,
}

/// A stage of the line, ready to be spawned.
pub enum Plan {
    Source(Arc<dyn Blueprint<ReadOrder>>),
    Stage(Arc<dyn Blueprint<Batch>>),
}

impl Plan {
    pub fn snapshot(&self) -> serde_json::Value {
        match self {
            Self::Source(blueprint) => blueprint.snapshot(),
            Self::Stage(blueprint) => blueprint.snapshot(),
        }
    }
}

struct Kind {
    spec: KindSpec,
    plan: fn(&Node, &World) -> Plan,
}

#[rustfmt::skip]
const KINDS: [Kind; 5] = [
    Kind { spec: KindSpec { name: "source", role: Role::Source, needs: &[], provides: &[Facet::Events], wide: false, settings: check_settings::<source::Settings> }, plan: plan_source },
    Kind { spec: KindSpec { name: "validator", role: Role::Between, needs: &[Facet::Events], provides: &[Facet::Measures], wide: true, settings: check_settings::<validator::Settings> }, plan: |_, _| stage(validator::Blueprint::default()) },
    Kind { spec: KindSpec { name: "deduper", role: Role::Between, needs: &[Facet::Events], provides: &[Facet::Fates], wide: false, settings: check_settings::<deduper::Settings> }, plan: |_, world| stage(deduper::Blueprint { index: world.index.clone(), counters: Arc::default() }) },
    Kind { spec: KindSpec { name: "batcher", role: Role::Between, needs: &[Facet::Events], provides: &[], wide: false, settings: check_settings::<batcher::Settings> }, plan: |node, _| stage(batcher::Blueprint { settings: settings(node), counters: Arc::default() }) },
    Kind { spec: KindSpec { name: "usage_writer", role: Role::Sink, needs: &[Facet::Events, Facet::Measures], provides: &[], wide: false, settings: check_settings::<usage_writer::Settings> }, plan: |_, world| stage(usage_writer::Blueprint { store: world.store.clone(), registry: world.registry.clone(), counters: Arc::default() }) },
];

/// What the topology's compiler checks against.
pub fn catalogue() -> Vec<KindSpec> {
    KINDS.iter().map(|kind| kind.spec).collect()
}

/// Wires a stage of a checked graph.
pub fn plan(node: &Node, world: &World) -> Plan {
    let kind = KINDS.iter().find(|kind| kind.spec.name == node.kind).expect("the compiler checked every kind");
    (kind.plan)(node, world)
}

fn stage(blueprint: impl Blueprint<Batch> + 'static) -> Plan {
    Plan::Stage(Arc::new(blueprint))
}

fn plan_source(node: &Node, world: &World) -> Plan {
    Plan::Source(Arc::new(source::Blueprint {
        settings: settings(node),
        log: world.log.clone(),
        store: world.store.clone(),
        key: world.key,
        ledger: world.ledger.clone(),
        marks: world.marks.clone(),
        counters: Arc::default(),
    }))
}

fn settings<T: DeserializeOwned>(node: &Node) -> T {
    serde_json::from_value(node.settings.clone()).expect("the compiler checked the settings")
}
