//! Checks of the graph: edges, order, types, and numbers that must fit together.

use super::problem::meant;
use super::reader::Reader;
use super::spec::{Spec, StageSpec};
use super::{Facet, KindSpec, Problem, Role};

/// Everything that is wrong with the graph is noted; the stages from the source on, as far as they hang together.
/// Where an edge leads nowhere, or a stage could not be read, what would only follow from that is left out.
pub(super) fn check(spec: &Spec, catalogue: &[KindSpec], reader: &mut Reader<'_>) -> Vec<usize> {
    let whole = edges(spec, reader);
    let order = order(spec, reader);
    if whole {
        reached(spec, &order, reader);
        ends(spec, reader);
        types(spec, &order, catalogue, reader);
    }
    numbers(spec, reader);
    order
}

/// Inputs name stages, sources have none, others exactly one, sinks feed nobody, nobody feeds two. True when every edge
/// leads somewhere.
fn edges(spec: &Spec, reader: &mut Reader<'_>) -> bool {
    let mut whole = spec.names.len() == spec.stages.len();
    for stage in &spec.stages {
        let path = stage.path();
        let Some(inputs) = &stage.inputs else {
            whole = false;
            continue;
        };
        match (stage.kind.role, &inputs[..]) {
            (Role::Source, [(_, span), ..]) => reader.note(span, &format!("{path}.inputs"), "a source has no inputs"),
            (Role::Between | Role::Sink, []) => {
                whole = false;
                reader.note(&stage.span, &path, "has no inputs");
            }
            (_, [_, (_, span), ..]) => {
                let message = "a stage gets each position by one way only: name one input";
                reader.note(span, &format!("{path}.inputs[1]"), message);
            }
            _ => {}
        }
        for (index, (input, span)) in inputs.iter().enumerate() {
            let path = format!("{path}.inputs[{index}]");
            if let Some(message) = leads_nowhere(spec, stage, input) {
                whole = false;
                reader.note(span, &path, message);
            } else if let (0, Some(first)) = (index, fed_before(spec, stage, input)) {
                let message =
                    format!("{input:?} feeds {:?} already: a second way needs a source of its own", first.name);
                reader.note(span, &path, message);
            }
        }
    }
    whole
}

/// Says that the file names no such stage, and which may be meant.
pub fn names_nothing(names: &[String], own: &str, input: &str) -> Option<String> {
    let others = names.iter().map(String::as_str).filter(|name| *name != own);
    (!names.iter().any(|name| name == input)).then(|| format!("no stage named {input:?}{}", meant(input, others)))
}

/// Why nothing can come from this input.
fn leads_nowhere(spec: &Spec, stage: &StageSpec, input: &str) -> Option<String> {
    if input == stage.name {
        return Some("a stage is not its own input".to_owned());
    }
    if let Some(message) = names_nothing(&spec.names, &stage.name, input) {
        return Some(message);
    }
    let is_sink = spec.stages.iter().any(|other| other.name == input && other.kind.role == Role::Sink);
    is_sink.then(|| format!("{input:?} is a sink: nothing comes out of it"))
}

/// The stage that stands before this one in the file and has the same input.
fn fed_before<'s>(spec: &'s Spec, stage: &StageSpec, input: &str) -> Option<&'s StageSpec> {
    spec.stages.iter().find(|other| other.name != input && feeds(other, input) && other.span.start < stage.span.start)
}

fn feeds(stage: &StageSpec, input: &str) -> bool {
    stage.inputs().iter().any(|(name, _)| name == input)
}

/// From the one source along the edges.
fn order(spec: &Spec, reader: &mut Reader<'_>) -> Vec<usize> {
    let sources: Vec<usize> =
        (0..spec.stages.len()).filter(|index| spec.stages[*index].kind.role == Role::Source).collect();
    let Some(&source) = sources.first() else {
        reader.note(&(0..0), "stage", "there is no source");
        return Vec::new();
    };
    for index in &sources[1..] {
        let stage = &spec.stages[*index];
        reader.note(&stage.span, &stage.path(), format!("there is a source already: {:?}", spec.stages[source].name));
    }
    let mut order = vec![source];
    // Breadth first: with one input each, no stage comes twice, and a circle is never reached.
    let mut at = 0;
    while let Some(&from) = order.get(at) {
        let name = &spec.stages[from].name;
        let next = (0..spec.stages.len()).filter(|index| feeds(&spec.stages[*index], name) && !order.contains(index));
        let next: Vec<usize> = next.collect();
        order.extend(next);
        at += 1;
    }
    order
}

/// Every stage is reached.
fn reached(spec: &Spec, order: &[usize], reader: &mut Reader<'_>) {
    for (index, stage) in spec.stages.iter().enumerate() {
        if !order.contains(&index) && stage.kind.role != Role::Source {
            let message = if in_circle(spec, stage) { "is part of a circle" } else { "is not reached from the source" };
            reader.note(&stage.span, &stage.path(), message);
        }
    }
}

fn in_circle(spec: &Spec, stage: &StageSpec) -> bool {
    let mut at = stage;
    for _ in 0..spec.stages.len() {
        let Some(next) = at.inputs().first().and_then(|(name, _)| spec.stages.iter().find(|other| other.name == *name))
        else {
            return false;
        };
        if next.name == stage.name {
            return true;
        }
        at = next;
    }
    false
}

/// Every path ends in a sink.
fn ends(spec: &Spec, reader: &mut Reader<'_>) {
    for stage in &spec.stages {
        if stage.kind.role != Role::Sink && !spec.stages.iter().any(|other| feeds(other, &stage.name)) {
            reader.note(&stage.span, &stage.path(), "nothing takes what comes out of it: every path ends in a sink");
        }
    }
}

/// What each stage needs has been added before it.
fn types(spec: &Spec, order: &[usize], catalogue: &[KindSpec], reader: &mut Reader<'_>) {
    let mut there: Vec<Facet> = Vec::new();
    for index in order {
        let stage = &spec.stages[*index];
        for need in stage.kind.needs.iter().filter(|need| !there.contains(need)) {
            let givers: Vec<&str> =
                catalogue.iter().filter(|kind| kind.provides.contains(need)).map(|kind| kind.name).collect();
            let message = format!(
                "{} needs {}, and no stage before it adds them (a {} does)",
                stage.kind.name,
                need.name(),
                givers.join(" or a ")
            );
            reader.note(&stage.span, &stage.path(), message);
        }
        there.extend(stage.kind.provides);
    }
}

/// Numbers that are sane alone and not together.
fn numbers(spec: &Spec, reader: &mut Reader<'_>) {
    let batches = |stage: &StageSpec| stage.settings.get("batch_events_max").and_then(serde_json::Value::as_u64);
    let largest = spec
        .stages
        .iter()
        .filter_map(|stage| batches(stage).map(|events| (events, stage)))
        .max_by_key(|(events, _)| *events);
    let Some((events, stage)) = largest else { return };
    let least = events.saturating_mul(4);
    if spec.line.window_events_max < least {
        let span = if spec.window_span.is_empty() { &spec.line_span } else { &spec.window_span };
        let span = if span.is_empty() { &stage.settings_span } else { span };
        let message = format!(
            "must be at least {least}: 4 × the largest batch ({}.settings.batch_events_max = {events})",
            stage.path()
        );
        reader.note(span, "line.window_events_max", message);
    }
}

/// What is allowed and probably not meant.
pub(super) fn warnings(spec: &Spec, order: &[usize], catalogue: &[KindSpec], reader: &Reader<'_>) -> Vec<Problem> {
    let decides = |index: &usize| spec.stages[*index].kind.provides.contains(&Facet::Fates);
    let sink = order.iter().map(|index| &spec.stages[*index]).find(|stage| stage.kind.role == Role::Sink);
    let giver = catalogue.iter().find(|kind| kind.provides.contains(&Facet::Fates));
    match (sink, giver) {
        (Some(sink), Some(giver)) if !order.iter().any(decides) => {
            let message = format!("without a {} every retry of a client counts again", giver.name);
            vec![reader.problem(&sink.span, &sink.path(), message)]
        }
        _ => Vec::new(),
    }
}
