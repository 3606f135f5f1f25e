//! Checks of the graph: edges, order, types, and numbers that must fit together.

use super::problem::meant;
use super::reader::Reader;
use super::spec::{Spec, StageSpec};
use super::{Facet, KindSpec, Problem, Role};

/// Everything that is wrong with the graph is noted; the stages from the source on, as far as they hang together.
pub(super) fn check(spec: &Spec, catalogue: &[KindSpec], reader: &mut Reader<'_>) -> Vec<usize> {
    edges(spec, reader);
    let order = order(spec, reader);
    ends(spec, reader);
    types(spec, &order, catalogue, reader);
    numbers(spec, reader);
    order
}

/// Inputs name stages, sources have none, others exactly one, sinks feed nobody, nobody feeds two.
fn edges(spec: &Spec, reader: &mut Reader<'_>) {
    for stage in &spec.stages {
        let path = stage.path();
        match (stage.kind.role, &stage.inputs[..]) {
            (Role::Source, [_, ..]) => {
                reader.note(&stage.inputs[0].1, &format!("{path}.inputs"), "a source has no inputs")
            }
            (Role::Between | Role::Sink, []) => reader.note(&stage.span, &path, "has no inputs"),
            (_, [_, second, ..]) => {
                let message = "a stage gets each position by one way only: name one input";
                reader.note(&second.1, &format!("{path}.inputs[1]"), message);
            }
            _ => {}
        }
        for (index, (input, span)) in stage.inputs.iter().enumerate() {
            let path = format!("{path}.inputs[{index}]");
            match spec.stages.iter().find(|other| other.name == *input) {
                None => {
                    let others =
                        spec.stages.iter().filter(|other| other.name != stage.name).map(|other| other.name.as_str());
                    reader.note(span, &path, format!("no stage named {input:?}{}", meant(input, others)));
                }
                Some(other) if other.kind.role == Role::Sink => {
                    reader.note(span, &path, format!("{input:?} is a sink: nothing comes out of it"))
                }
                Some(_) => {
                    if let Some(first) =
                        spec.stages.iter().find(|other| feeds(other, input) && other.span.start < stage.span.start)
                    {
                        let message =
                            format!("{input:?} feeds {:?} already: a second way needs a source of its own", first.name);
                        reader.note(span, &path, message);
                    }
                }
            }
        }
    }
}

fn feeds(stage: &StageSpec, input: &str) -> bool {
    stage.inputs.iter().any(|(name, _)| name == input)
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
    for (index, stage) in spec.stages.iter().enumerate() {
        if !order.contains(&index) && stage.kind.role != Role::Source && inputs_exist(spec, stage) {
            let message = if in_circle(spec, stage) { "is part of a circle" } else { "is not reached from the source" };
            reader.note(&stage.span, &stage.path(), message);
        }
    }
    order
}

/// Missing inputs are told elsewhere, once.
fn inputs_exist(spec: &Spec, stage: &StageSpec) -> bool {
    !stage.inputs.is_empty() && stage.inputs.iter().all(|(name, _)| spec.stages.iter().any(|other| other.name == *name))
}

fn in_circle(spec: &Spec, stage: &StageSpec) -> bool {
    let mut at = stage;
    for _ in 0..spec.stages.len() {
        let Some(next) = at.inputs.first().and_then(|(name, _)| spec.stages.iter().find(|other| other.name == *name))
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
