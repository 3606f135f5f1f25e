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
        ("inputs = [\"batcher\"]", "inputs = [\"btacher\"]", &[]),
        ("inputs = [\"batcher\"]", "inputs = [\"batcher\", \"deduper\"]", &[]),
        ("inputs = [\"batcher\"]", "", &[]),
        ("inputs = [\"deduper\"]", "inputs = [\"writer\"]", &[]),
        ("inputs = [\"deduper\"]", "inputs = [\"batcher\"]", &[]),
        ("inputs = [\"deduper\"]", "inputs = \"deduper\"", &[]),
        ("inputs = [\"source\"]", "inputs = [\"deduper\"]", &[]),
        ("kind = \"deduper\"", "kind = \"depuder\"", &[]),
        ("kind = \"deduper\"", "", &[]),
        ("kind = \"deduper\"", "kind = 7", &[]),
        ("kind = \"deduper\"", "kind = \"deduper\"\nwidth = 2", &[]),
        ("kind = \"deduper\"", "kind = \"source\"", &[]),
        ("width = 1 ", "width = 0 ", &[]),
        ("width = 1 ", "widht = 1 ", &[]),
        ("width = 1 ", "width = -1 ", &[]),
        ("[line]", "[lines]", &[]),
        ("[log]\nkind = \"embedded\"", "[log]\nkind = \"kafka\"", &[]),
        ("[log]\nkind = \"embedded\"", "log = 3", &[]),
        ("stall_ms = 10_000", "stall_s = 10", &[]),
        ("stall_ms = 10_000", "stall_ms = 1", &[]),
        ("stall_ms = 10_000", "stall_ms = \"10 s\"", &[]),
        ("window_events_max = 200_000", "window_events_max = 50_000", &[]),
        ("window_events_max = 200_000", "window_events_max = 99_999_999_999_999_999_999", &[]),
        ("flush_after_ms = 0", "flush_after = 0", &[]),
        ("flush_after_ms = 0", "flush_after_ms = 60_000\nbatch_bytes = 1", &[]),
        ("restarts_max = 5", "restarts = 5", &[]),
        ("backoff_ms = [100, 30_000]", "backoff_ms = [100]", &[]),
        ("backoff_ms = [100, 30_000]", "backoff_ms = [100, 50]", &[]),
        ("[line]", "[line", &[]),
        ("stall_ms = 10_000", "stall_ms = 10_000\nstall_ms = 10_000", &[]),
    ];
    for (from, to, expected) in table {
        let problems = compiled(&changed(from, to)).unwrap_err();
        assert!(problems == *expected || std::env::var("P").is_ok(), "{from} → {to}: {problems:#?}");
        println!("        ({from:?}, {to:?}, &{problems:#?}),");
    }
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
    let text = "[line]\nstall_ms = 1\n[stage.a]\nkind = 'source'\ninputs = ['w']\n[stage.w]\nkind = 'usage_writer'\ninputs = ['b']\nsettings = { timeout_ms = 3 }\n";
    assert_eq!(compiled(text).unwrap_err(), [""; 0]);
}
