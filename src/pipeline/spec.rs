//! The typed spec: what the topology file says, each part with its place, before anything is checked against others.

use super::problem::meant;
use super::reader::{Reader, read_table};
use super::{Graph, KindSpec, Node, Problem};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Event logs that this binary has.
const LOG_KINDS: [&str; 1] = ["embedded"];
/// Parts of a batch that may run side by side.
const WIDTH_MAX: usize = 16;

/// The bounds of the line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineSettings {
    /// Credit: events in flight.
    pub window_events_max: u64,
    pub batches_in_flight_max: usize,
    /// Backlog without progress for this long: the line is red and reads again.
    pub stall_ms: u64,
    /// A port is asked this often before the stage gives up and is restarted.
    pub attempts_max: u32,
    /// More quarantined events than this within `quarantines_within_s`: the line stops.
    pub quarantines_max: usize,
    pub quarantines_within_s: u64,
    /// How often the watchdog looks.
    pub watchdog_ms: u64,
}

impl Default for LineSettings {
    fn default() -> Self {
        Self {
            window_events_max: 200_000,
            batches_in_flight_max: 64,
            stall_ms: 10_000,
            attempts_max: 5,
            quarantines_max: 10,
            quarantines_within_s: 60,
            watchdog_ms: 500,
        }
    }
}

/// How a stage is restarted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// First and longest wait, in milliseconds.
    pub backoff_ms: [u64; 2],
    pub burst: Burst,
}

/// More restarts than this restart the whole line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Burst {
    pub restarts_max: u32,
    pub within_s: u64,
}

impl Default for Restart {
    fn default() -> Self {
        Self { backoff_ms: [100, 30_000], burst: Burst::default() }
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self { restarts_max: 5, within_s: 60 }
    }
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogTable {
    kind: Option<Spanned<String>>,
}

/// The part of `[stage.…]` that all kinds have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StageTable {
    kind: Option<Spanned<String>>,
    inputs: Vec<Spanned<String>>,
    width: Option<Spanned<usize>>,
    restart: Restart,
}

/// The whole file.
pub(super) struct Spec {
    pub line: LineSettings,
    pub line_span: Range<usize>,
    pub window_span: Range<usize>,
    pub log: String,
    pub stages: Vec<StageSpec>,
    /// Every stage the file names, also those that could not be read.
    pub names: Vec<String>,
}

/// One stage, and where it stands.
pub(super) struct StageSpec {
    pub name: String,
    pub span: Range<usize>,
    pub kind: KindSpec,
    /// `None`: what is written there is no list of names.
    pub inputs: Option<Vec<(String, Range<usize>)>>,
    pub width: usize,
    pub restart: Restart,
    pub settings: serde_json::Value,
    pub settings_span: Range<usize>,
}

impl StageSpec {
    /// As far as they could be read.
    pub fn inputs(&self) -> &[(String, Range<usize>)] {
        self.inputs.as_deref().unwrap_or_default()
    }

    pub fn path(&self) -> String {
        format!("stage.{}", self.name)
    }
}

/// Reads the file as far as it can be read; `None` when it is no TOML at all.
pub(super) fn read(reader: &mut Reader<'_>, catalogue: &[KindSpec]) -> Option<Spec> {
    let (root, errors) = DeTable::parse_recoverable(reader.text);
    if !errors.is_empty() {
        for error in errors {
            reader.note(&error.span().unwrap_or(0..0), "", error.message());
        }
        return None;
    }
    let root = root.get_ref();
    for (key, _) in root {
        let name: &str = key.get_ref();
        if !["line", "log", "stage"].contains(&name) {
            reader.note(&key.span(), name, format!("unknown key{}", meant(name, ["line", "log", "stage"])));
        }
    }
    let (line, line_span, window_span) = read_line(reader, root);
    let log = read_log(reader, root);
    let (stages, names) = read_stages(reader, root, catalogue);
    Some(Spec { line, line_span, window_span, log, stages, names })
}

fn table<'a, 'i>(
    reader: &mut Reader<'_>,
    parent: &'a DeTable<'i>,
    key: &str,
    path: &str,
) -> Option<(&'a DeTable<'i>, Range<usize>)> {
    let value = parent.get(key)?;
    let Some(table) = value.get_ref().as_table() else {
        reader.note(&value.span(), path, format!("must be a table, not {}", value.get_ref().type_str()));
        return None;
    };
    Some((table, parent.get_key_value(key).map_or_else(|| value.span(), |(key, _)| key.span())))
}

fn read_line(reader: &mut Reader<'_>, root: &DeTable<'_>) -> (LineSettings, Range<usize>, Range<usize>) {
    let Some((table, span)) = table(reader, root, "line", "line") else { return (LineSettings::default(), 0..0, 0..0) };
    let (line, findings) = read_table::<LineSettings>(table, &[]);
    reader.note_all("line", &span, findings);
    let at_least: [(&str, u64, u64); 6] = [
        ("batches_in_flight_max", line.batches_in_flight_max as u64, 2),
        ("stall_ms", line.stall_ms, 100),
        ("attempts_max", u64::from(line.attempts_max), 1),
        ("quarantines_max", line.quarantines_max as u64, 1),
        ("quarantines_within_s", line.quarantines_within_s, 1),
        ("watchdog_ms", line.watchdog_ms, 10),
    ];
    for (key, value, least) in at_least {
        if value < least {
            reader.note(
                &table.get(key).map_or(span.clone(), Spanned::span),
                &format!("line.{key}"),
                format!("must be at least {least}"),
            );
        }
    }
    let window = table.get("window_events_max").map_or(span.clone(), Spanned::span);
    (line, span, window)
}

fn read_log(reader: &mut Reader<'_>, root: &DeTable<'_>) -> String {
    let Some((table, span)) = table(reader, root, "log", "log") else { return LOG_KINDS[0].to_owned() };
    let (log, findings) = read_table::<LogTable>(table, &[]);
    reader.note_all("log", &span, findings);
    match log.kind {
        Some(kind) if !LOG_KINDS.contains(&kind.get_ref().as_str()) => {
            let message = format!("no log of kind {:?}{}", kind.get_ref(), meant(kind.get_ref(), LOG_KINDS));
            reader.note(&kind.span(), "log.kind", message);
            kind.into_inner()
        }
        Some(kind) => kind.into_inner(),
        None => LOG_KINDS[0].to_owned(),
    }
}

fn read_stages(reader: &mut Reader<'_>, root: &DeTable<'_>, catalogue: &[KindSpec]) -> (Vec<StageSpec>, Vec<String>) {
    let Some((stages, _)) = table(reader, root, "stage", "stage") else { return Default::default() };
    let mut read: Vec<StageSpec> = Vec::new();
    let names: Vec<String> = stages.keys().map(|name| name.get_ref().to_string()).collect();
    for (key, value) in stages {
        let name: &str = key.get_ref();
        let path = format!("stage.{name}");
        match value.get_ref() {
            DeValue::Table(table) => read.extend(read_stage(reader, name, &key.span(), table, (catalogue, &names))),
            other => reader.note(&value.span(), &path, format!("must be a table, not {}", other.type_str())),
        }
    }
    read.sort_by_key(|stage| stage.span.start);
    (read, names)
}

fn read_stage(
    reader: &mut Reader<'_>,
    name: &str,
    span: &Range<usize>,
    stage: &DeTable<'_>,
    (catalogue, names): (&[KindSpec], &[String]),
) -> Option<StageSpec> {
    let path = format!("stage.{name}");
    let (common, findings) = read_table::<StageTable>(stage, &["settings"]);
    reader.note_all(&path, span, findings);
    let Some(kind_name) = common.kind else {
        if !stage.contains_key("kind") {
            reader.note(span, &path, "has no kind");
        }
        return None;
    };
    let Some(kind) = catalogue.iter().find(|kind| kind.name == kind_name.get_ref()) else {
        let message = format!(
            "no kind of stage named {:?}{}",
            kind_name.get_ref(),
            meant(kind_name.get_ref(), catalogue.iter().map(|kind| kind.name))
        );
        reader.note(&kind_name.span(), &format!("{path}.kind"), message);
        // What is no stage of a kind still has inputs that may be misspelt.
        for (i, input) in common.inputs.iter().enumerate() {
            if let Some(message) = super::check::names_nothing(names, name, input.get_ref()) {
                reader.note(&input.span(), &format!("{path}.inputs[{i}]"), message);
            }
        }
        return None;
    };
    let width = read_width(reader, &path, common.width, kind);
    let settings_path = format!("{path}.settings");
    let empty = DeTable::new();
    let (settings, settings_span) = table(reader, stage, "settings", &settings_path).unwrap_or((&empty, span.clone()));
    let checked = (kind.settings)(settings);
    reader.note_all(&settings_path, &settings_span, checked.findings);
    check_restart(reader, &path, &common.restart, stage, span);
    let written =
        stage.get("inputs").is_some_and(|inputs| inputs.get_ref().as_array().is_none_or(|all| !all.is_empty()));
    let inputs: Vec<_> = common.inputs.into_iter().map(|input| (input.get_ref().clone(), input.span())).collect();
    let inputs = (!written || !inputs.is_empty()).then_some(inputs);
    Some(StageSpec {
        name: name.to_owned(),
        span: span.clone(),
        kind: *kind,
        inputs,
        width,
        restart: common.restart,
        settings: checked.value,
        settings_span: settings.get("batch_events_max").map_or(settings_span, Spanned::span),
    })
}

fn read_width(reader: &mut Reader<'_>, path: &str, width: Option<Spanned<usize>>, kind: &KindSpec) -> usize {
    let Some(width) = width else { return 1 };
    let (span, width) = (width.span(), width.into_inner());
    let path = format!("{path}.width");
    if !(1..=WIDTH_MAX).contains(&width) {
        reader.note(&span, &path, format!("must be from 1 to {WIDTH_MAX}"));
    } else if width > 1 && !kind.wide {
        reader.note(&span, &path, format!("a {} takes batches in order, one at a time: its width is 1", kind.name));
    }
    width
}

fn check_restart(reader: &mut Reader<'_>, path: &str, restart: &Restart, stage: &DeTable<'_>, span: &Range<usize>) {
    let span = stage.get("restart").map_or(span.clone(), Spanned::span);
    let [first, longest] = restart.backoff_ms;
    if first == 0 || first > longest {
        reader.note(
            &span,
            &format!("{path}.restart.backoff_ms"),
            "must be two numbers above 0, the first not larger than the second",
        );
    }
    if restart.burst.within_s == 0 {
        reader.note(&span, &format!("{path}.restart.burst.within_s"), "must be at least 1");
    }
}

impl Spec {
    /// The stages in `order`, which the checks have made.
    pub fn into_graph(self, order: &[usize], warnings: Vec<Problem>) -> Graph {
        let node = |stage: &StageSpec| Node {
            name: stage.name.clone(),
            kind: stage.kind.name.to_owned(),
            inputs: stage.inputs().iter().map(|(name, _)| name.clone()).collect(),
            width: stage.width,
            restart: stage.restart.clone(),
            settings: stage.settings.clone(),
        };
        let stages = order.iter().map(|index| node(&self.stages[*index])).collect();
        Graph { line: self.line, log: self.log, stages, warnings }
    }
}
