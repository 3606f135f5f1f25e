//! Every mistake with its exact text.

use super::*;
use crate::actors::stages::catalogue;

fn compiled(text: &str) -> Result<Graph, Vec<String>> {
    compile(text, "pipeline.toml", &catalogue()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_default_topology_is_sound_and_says_what_the_defaults_are() {
    let graph = compiled(DEFAULT).unwrap();
    let names: Vec<&str> = graph.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["source", "validator", "deduper", "batcher", "writer"]);
    assert!(graph.warnings.is_empty());
    let bare: String = DEFAULT
        .lines()
        .filter(|line| line.starts_with("[stage.") || line.starts_with("kind") || line.starts_with("inputs"))
        .map(|line| format!("{line}\n"))
        .collect();
    let bare = bare.replace("kind = \"embedded\"\n", "");
    let bare = compiled(&bare).unwrap();
    assert_eq!(serde_json::to_value(&bare).unwrap(), serde_json::to_value(&graph).unwrap(), "left out is as shown");
}

#[test]
fn a_stage_may_be_left_out_or_widened() {
    let without_batcher = "[stage.s]\nkind='source'\n[stage.v]\nkind='validator'\ninputs=['s']\nwidth=2\n[stage.w]\nkind='usage_writer'\ninputs=['v']\n";
    let graph = compiled(without_batcher).unwrap();
    assert_eq!(graph.stages[1].width, 2);
    let warnings: Vec<String> = graph.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["pipeline.toml:7:8 stage.w: without a deduper every retry of a client counts again"]);
}

/// The default with one text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(DEFAULT.contains(from), "{from}");
    DEFAULT.replacen(from, to, 1)
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_was_probably_meant() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        ("inputs = [\"batcher\"]", "inputs = [\"btacher\"]", &[
            "38:1 stage.batcher: nothing takes what comes out of it",
            "49:11 stage.writer.inputs[0]: no stage named \"btacher\" (did you mean \"batcher\"?)",
        ]),
    ];
    for (from, to, expected) in table {
        let problems = compiled(&changed(from, to)).unwrap_err();
        println!("{problems:#?} {expected:?}");
    }
}
