//! The topology file: text → typed spec → checked graph. Every error at once, each with its place and a proposal.
//!
//! Parse → known keys → known kinds → edges resolve → types meet → acyclic, one source, every stage reachable, every
//! path ends in a sink → numbers sane together. No expressions, conditionals or includes, ever.

mod check;
mod keys;
mod problem;
mod reader;
mod spec;

#[cfg(test)]
mod tests;

pub use problem::Problem;
pub use reader::{Checked, Finding, check_settings};
pub use spec::{Burst, LineSettings, Restart};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The topology that weir starts with when no other is given.
pub const DEFAULT: &str = include_str!("../pipeline.toml");

/// What a stage adds to a batch, and what another may need of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facet {
    /// The events themselves.
    Events,
    /// What each event means to each meter.
    Measures,
    /// Whether each event counts.
    Fates,
}

impl Facet {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Measures => "measures",
            Self::Fates => "fates",
        }
    }
}

/// Where in the graph a kind may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Source,
    Between,
    Sink,
}

/// A kind of stage, as the catalogue describes it.
#[derive(Debug, Clone, Copy)]
pub struct KindSpec {
    pub name: &'static str,
    pub role: Role,
    pub needs: &'static [Facet],
    pub provides: &'static [Facet],
    /// Whether parts of a batch may run side by side.
    pub wide: bool,
    /// Reads the kind's settings: [`check_settings`] of its type.
    pub settings: fn(&toml::de::DeTable<'_>) -> Checked,
}

/// A stage's settings: unknown fields denied, defaults for all.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// What is well-formed and still makes no sense.
    fn validate(&self) -> Vec<Insane>;
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insane {
    pub key: &'static str,
    pub message: String,
}

impl Insane {
    /// Notes `message` about `key` unless `sane`.
    pub fn unless(sane: bool, key: &'static str, message: &str, insane: &mut Vec<Insane>) {
        if !sane {
            insane.push(Self { key, message: message.to_owned() });
        }
    }
}

/// A checked topology. It drives spawn, watch, stop and health: the list of stages exists nowhere else.
#[derive(Debug, Clone, Serialize)]
pub struct Graph {
    pub line: LineSettings,
    /// Which event log, by kind.
    pub log: String,
    /// From the source to the sink.
    pub stages: Vec<Node>,
    /// What is allowed and probably not meant.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
}

/// A stage of the graph.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    pub name: String,
    pub kind: String,
    pub inputs: Vec<String>,
    pub width: usize,
    pub restart: Restart,
    /// Complete: defaults filled in. Reads back as the kind's settings type.
    pub settings: serde_json::Value,
}

impl Node {
    /// The largest batch this stage makes, where it says so.
    pub fn batch_events_max(&self) -> Option<u64> {
        self.settings.get("batch_events_max").and_then(serde_json::Value::as_u64)
    }
}

impl Graph {
    /// Events that one read of the log may bring.
    pub fn read_events_max(&self) -> u64 {
        let source = self.stages.first().and_then(Node::batch_events_max);
        source.expect("the source's settings have a batch_events_max")
    }
}

/// Compiles a topology, or says everything that is wrong with it, in the order of the file.
pub fn compile(text: &str, file_name: &str, catalogue: &[KindSpec]) -> Result<Graph, Vec<Problem>> {
    let mut reader = reader::Reader::new(text, file_name);
    let Some(spec) = spec::read(&mut reader, catalogue) else { return Err(reader.into_problems()) };
    let order = check::check(&spec, catalogue, &mut reader);
    let warnings = check::warnings(&spec, &order, catalogue, &reader);
    match reader.into_problems() {
        problems if problems.is_empty() => Ok(spec.into_graph(&order, warnings)),
        problems => Err(problems),
    }
}
