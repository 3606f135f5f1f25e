//! The command line as people use it.

mod support;

use std::io::Write;
use std::process::{Output, Stdio};
use support::process::{Process, Start, weir};

fn text(output: &Output) -> (bool, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.success(), utf8(&output.stdout), utf8(&output.stderr))
}

fn meters(dir: &std::path::Path) -> std::path::PathBuf {
    let path = dir.join("meters.yaml");
    let yaml = "meters:\n  - {slug: tokens, eventType: request, aggregation: SUM, valueProperty: $.tokens, groupBy: {model: $.model}}\n";
    std::fs::write(&path, yaml).expect("a file");
    path
}

#[test]
fn events_are_sent_explained_and_queried() {
    let dir = tempfile::tempdir().expect("a directory");
    let process =
        Process::start(&dir.path().join("data"), &Start { meters: Some(meters(dir.path())), ..Start::default() });
    let event = |id: &str, tokens: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"cli\",\"type\":\"request\",\"subject\":\"acme\",\
             \"time\":\"2026-01-01T10:00:00Z\",\"data\":{{\"tokens\":{tokens},\"model\":\"small\"}}}}\n"
        )
    };
    let lines =
        [event("1", "0.1"), event("2", "0.2"), event("3", "1e400"), event("1", "0.1"), event("2", "9")].concat();
    let run = |args: &[&str], input: &str| {
        let mut command = weir();
        command.args(args).env("WEIR_URL", &process.client.base);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        text(&child.wait_with_output().expect("it ends"))
    };
    let (sent, _, progress) = run(&["events", "send"], &lines);
    assert!(sent && progress.contains("sent 5 events: all durable"), "{progress}");

    let (asked, table, _) = run(&["meters", "query", "tokens", "--group-by", "model"], "");
    assert!(asked);
    assert!(table.starts_with("FROM") && table.contains("small  0.3"), "{table}");

    let (explained, why, _) = run(&["events", "explain", "3", "--source", "cli"], "");
    assert!(explained && why.contains("value out of range"), "{why}");

    let (listed, conflicts, _) = run(&["conflicts", "list"], "");
    assert!(listed && conflicts.contains("cli") && conflicts.lines().count() == 2, "{conflicts}");

    let (tailed, tail, _) = run(&["events", "tail", "--once"], "");
    assert!(tailed && tail.lines().count() == 0 || tail.contains("acme"), "{tail}");

    let (listed, quarantine, _) = run(&["quarantine", "list"], "");
    assert!(listed && quarantine.lines().count() == 1, "{quarantine}");

    let (asked, _, error) = run(&["meters", "query", "nonsense"], "");
    assert!(!asked && error.contains("404 Not Found"), "{error}");
    let (sent, _, error) = run(&["events", "send"], "{\"id\":\"x\"}\n");
    assert!(!sent && error.contains("400 Bad Request") && error.contains("[0].source"), "{error}");
}

#[test]
fn a_command_without_a_server_says_what_to_do() {
    let address = support::process::free_address();
    let (done, _, error) =
        text(&weir().args(["meters", "list", "--url", &format!("http://{address}")]).output().expect("it runs"));
    assert!(!done && error.contains("Start it with `weir serve`"), "{error}");
}

#[test]
fn check_reports_every_mistake_of_a_topology_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pipeline.toml");
    let mistaken = "[line]\nwindow_events_maxx = 3\n\n[log]\nkind = \"embedded\"\n\n[stage.source]\nkind = \"source\"\n\n\
                    [stage.writer]\nkind = \"usage_wrter\"\ninputs = [\"sorce\"]\n";
    std::fs::write(&file, mistaken).expect("a file");
    let (done, _, error) = text(&weir().args(["check", "--pipeline"]).arg(&file).output().expect("it runs"));
    assert!(!done);
    for expected in [
        "pipeline.toml:2:1 ",
        "window_events_max",
        ":11:",
        "did you mean \"usage_writer\"?",
        ":12:",
        "did you mean \"source\"?",
    ] {
        assert!(error.contains(expected), "{expected} is not in:\n{error}");
    }
    let (done, said, error) = text(&weir().arg("check").output().expect("it runs"));
    assert!(done && said.contains("sound"), "{said}{error}");
}

#[test]
fn a_second_weir_on_one_data_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let first = Process::start(&data, &Start::default());
    let (status, said) = Process::spawn(&data, &Start::default()).wait();
    assert!(!status.success());
    assert!(said.contains(&first.pid().to_string()), "it names the other process: {said}");
    assert!(first.stop().success());
}

#[test]
fn a_port_in_use_is_refused_before_any_file_is_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let data = dir.path().join("data");
    let output = weir().args(["serve", "--listen", &address, "--data"]).arg(&data).output().expect("it runs");
    let (done, _, error) = text(&output);
    assert!(!done && error.contains("--listen"), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_weir_that_cannot_go_on_ends_and_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, file) = (dir.path().join("data"), meters(dir.path()));
    let start = Start { meters: Some(file.clone()), ..Start::default() };
    assert!(Process::start(&data, &start).stop().success());
    let text = std::fs::read_to_string(&file).expect("the meters").replace("$.tokens", "$.other");
    std::fs::write(&file, text).expect("other meters");
    let (status, said) = Process::spawn(&data, &start).wait();
    assert!(!status.success());
    assert!(said.contains("is not equal to the meter in the file"), "{said}");
}

#[test]
fn doctor_finds_a_flipped_bit_and_names_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let process = Process::start(&data, &Start::default());
    let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"subject\":\"x\"}".to_string();
    assert_eq!(process.client.send(&[event]).expect("weir runs").status, 204);
    assert!(process.stop().success());
    let doctor = || text(&weir().arg("doctor").arg("--data").arg(&data).output().expect("it runs"));
    let (sound, said, error) = doctor();
    assert!(sound, "{said}{error}");
    let blocks = std::fs::read_dir(data.join("usage")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_events =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events-"));
    let blocks = blocks.into_iter().find(is_events);
    let path = blocks.expect("an orderly stop seals");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[40] ^= 4;
    std::fs::write(&path, bytes).expect("a file");
    let (sound, said, error) = doctor();
    let name = path.file_name().expect("a name").to_string_lossy().to_string();
    assert!(!sound && format!("{said}{error}").contains(&name), "{said}{error}");
}
