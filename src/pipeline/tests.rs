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
            "pipeline.toml:41:11 stage.writer.inputs[0]: no stage named \"btacher\" (did you mean \"batcher\"?)",
        ]),
        ("inputs = [\"batcher\"]", "inputs = [\"batcher\", \"deduper\"]", &[
            "pipeline.toml:41:22 stage.writer.inputs[1]: a stage gets each position by one way only: name one input",
        ]),
        ("inputs = [\"batcher\"]", "", &[
            "pipeline.toml:39:8 stage.writer: has no inputs",
        ]),
        ("inputs = [\"deduper\"]", "inputs = [\"writer\"]", &[
            "pipeline.toml:33:11 stage.batcher.inputs[0]: \"writer\" is a sink: nothing comes out of it",
        ]),
        ("inputs = [\"deduper\"]", "inputs = [\"batcher\"]", &[
            "pipeline.toml:33:11 stage.batcher.inputs[0]: a stage is not its own input",
        ]),
        ("inputs = [\"deduper\"]", "inputs = \"deduper\"", &[
            "pipeline.toml:33:10 stage.batcher.inputs: invalid type: string \"deduper\", expected a sequence",
        ]),
        ("inputs = [\"source\"]", "inputs = [\"deduper\"]", &[
            "pipeline.toml:16:8 stage.source: nothing takes what comes out of it: every path ends in a sink",
            "pipeline.toml:22:8 stage.validator: is part of a circle",
            "pipeline.toml:27:8 stage.deduper: is part of a circle",
            "pipeline.toml:31:8 stage.batcher: is not reached from the source",
            "pipeline.toml:33:11 stage.batcher.inputs[0]: \"deduper\" feeds \"validator\" already: a second way needs a source of its own",
            "pipeline.toml:39:8 stage.writer: is not reached from the source",
        ]),
        ("kind = \"deduper\"", "kind = \"depuder\"", &[
            "pipeline.toml:28:8 stage.deduper.kind: no kind of stage named \"depuder\" (did you mean \"deduper\"?)",
        ]),
        ("kind = \"deduper\"", "", &[
            "pipeline.toml:27:8 stage.deduper: has no kind",
        ]),
        ("kind = \"deduper\"", "kind = 7", &[
            "pipeline.toml:28:8 stage.deduper.kind: invalid type: integer `7`, expected a string",
        ]),
        ("kind = \"deduper\"", "kind = \"deduper\"\nwidth = 2", &[
            "pipeline.toml:29:9 stage.deduper.width: a deduper takes batches in order, one at a time: its width is 1",
        ]),
        ("kind = \"deduper\"", "kind = \"source\"", &[
            "pipeline.toml:27:8 stage.deduper: there is a source already: \"source\"",
            "pipeline.toml:29:11 stage.deduper.inputs: a source has no inputs",
        ]),
        ("width = 1 ", "width = 0 ", &[
            "pipeline.toml:25:9 stage.validator.width: must be from 1 to 16",
        ]),
        ("width = 1 ", "widht = 1 ", &[
            "pipeline.toml:25:1 stage.validator.widht: unknown key (did you mean \"width\"?)",
        ]),
        ("width = 1 ", "width = -1 ", &[
            "pipeline.toml:25:9 stage.validator.width: invalid value: integer `-1`, expected a whole number, 0 or more",
        ]),
        ("[line]", "[lines]", &[
            "pipeline.toml:4:2 lines: unknown key (did you mean \"line\"?)",
        ]),
        ("[log]\nkind = \"embedded\"", "[log]\nkind = \"kafka\"", &[
            "pipeline.toml:14:8 log.kind: no log of kind \"kafka\" (known: embedded)",
        ]),
        ("[log]\nkind = \"embedded\"", "log = 3", &[
            "pipeline.toml:13:1 line.log: unknown key (known: window_events_max, batches_in_flight_max, stall_ms, attempts_max, quarantines_max, quarantines_within_s, watchdog_ms)",
        ]),
        ("stall_ms = 10_000", "stall_s = 10", &[
            "pipeline.toml:7:1 line.stall_s: unknown key (did you mean \"stall_ms\"?)",
        ]),
        ("stall_ms = 10_000", "stall_ms = 1", &[
            "pipeline.toml:7:12 line.stall_ms: must be at least 100",
        ]),
        ("stall_ms = 10_000", "stall_ms = \"10 s\"", &[
            "pipeline.toml:7:12 line.stall_ms: invalid type: string \"10 s\", expected a whole number, 0 or more",
        ]),
        ("window_events_max = 200_000", "window_events_max = 50_000", &[
            "pipeline.toml:5:21 line.window_events_max: must be at least 64000: 4 × the largest batch (stage.batcher.settings.batch_events_max = 16000)",
        ]),
        ("window_events_max = 200_000", "window_events_max = 99_999_999_999_999_999_999", &[
            "pipeline.toml:5:21 line.window_events_max: does not fit into 64 bits",
        ]),
        ("flush_after_ms = 0", "flush_after = 0", &[
            "pipeline.toml:37:1 stage.batcher.settings.flush_after: unknown key (did you mean \"flush_after_ms\"?)",
        ]),
        ("flush_after_ms = 0", "flush_after_ms = 60_000\nbatch_bytes = 1", &[
            "pipeline.toml:37:18 stage.batcher.settings.flush_after_ms: must be at most 5000",
            "pipeline.toml:38:1 stage.batcher.settings.batch_bytes: unknown key (did you mean \"batch_bytes_max\"?)",
        ]),
        ("restarts_max = 5", "restarts = 5", &[
            "pipeline.toml:42:51 stage.writer.restart.burst.restarts: unknown key (did you mean \"restarts_max\"?)",
        ]),
        ("backoff_ms = [100, 30_000]", "backoff_ms = [100]", &[
            "pipeline.toml:42:26 stage.writer.restart.backoff_ms: invalid length 1, expected an array of length 2",
        ]),
        ("backoff_ms = [100, 30_000]", "backoff_ms = [100, 50]", &[
            "pipeline.toml:42:11 stage.writer.restart.backoff_ms: must be two numbers above 0, the first not larger than the second",
        ]),
        ("inputs = [\"deduper\"]\n[stage.batcher.settings]", "inputs = [\"deduper\"]\n[stage.writer2]\nkind = \"usage_writer\"\ninputs = [\"deduper\"]\n[stage.batcher.settings]", &[
            "pipeline.toml:36:11 stage.writer2.inputs[0]: \"deduper\" feeds \"batcher\" already: a second way needs a source of its own",
        ]),
        ("kind = \"source\"", "kind = \"batcher\"", &[
            "pipeline.toml:1:1 stage: there is no source",
            "pipeline.toml:16:8 stage.source: has no inputs",
        ]),
        ("inputs = [\"validator\"]", "inputs = [\"source\"]", &[
            "pipeline.toml:22:8 stage.validator: nothing takes what comes out of it: every path ends in a sink",
            "pipeline.toml:29:11 stage.deduper.inputs[0]: \"source\" feeds \"validator\" already: a second way needs a source of its own",
        ]),
        ("kind = \"validator\"", "kind = \"batcher\"", &[
            "pipeline.toml:39:8 stage.writer: usage_writer needs measures, and no stage before it adds them (a validator does)",
        ]),
        ("[line]", "[line", &[
            "pipeline.toml:4:6: unclosed table, expected `]`",
        ]),
        ("stall_ms = 10_000", "stall_ms = 10_000\nstall_ms = 10_000", &[
            "pipeline.toml:8:1: duplicate key",
        ]),
    ];
    for (from, to, expected) in table {
        let problems = compiled(&changed(from, to)).unwrap_err();
        assert_eq!(problems, *expected, "{from} → {to}");
    }
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
    let text = "[line]\nstall_ms = 1\n[stage.a]\nkind = 'source'\ninputs = ['w']\n[stage.w]\nkind = 'usage_writer'\ninputs = ['b']\nsettings = { timeout_ms = 3 }\n";
    let expected = [
        "pipeline.toml:2:12 line.stall_ms: must be at least 100",
        "pipeline.toml:5:11 stage.a.inputs: a source has no inputs",
        "pipeline.toml:5:11 stage.a.inputs[0]: \"w\" is a sink: nothing comes out of it",
        "pipeline.toml:8:11 stage.w.inputs[0]: no stage named \"b\" (did you mean \"a\"?)",
        "pipeline.toml:9:14 stage.w.settings.timeout_ms: unknown key (there is none)",
    ];
    assert_eq!(compiled(text).unwrap_err(), expected);
}
