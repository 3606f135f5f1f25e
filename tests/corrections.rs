//! Voids and replacements from outside: through a poisoned replacement, a kill and a rebuild from the truth, what was
//! taken out stays out, and what took its place counts once.

mod support;

use support::model::Query;
use support::process::{Process, Start, weir};

fn event(id: &str, amount: u32) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"request\",\"subject\":\"acme\",\
         \"time\":\"2026-01-01T00:00:00Z\",\"data\":{{\"amount\":{amount}}}}}"
    )
}

/// Count and sum.
fn totals(process: &Process) -> (String, String) {
    let total = |meter: &str| {
        let rows = process.client.usage(meter, &Query::default());
        rows.first().map(|row| row.value.clone()).unwrap_or_default()
    };
    (total("count"), total("sum"))
}

fn are(count: u32, sum: u32) -> (String, String) {
    (count.to_string(), sum.to_string())
}

/// What the answer's status is.
fn correct(process: &Process, id: &str, replacement: Option<String>) -> u16 {
    let (route, event) = match replacement {
        Some(event) => ("replace", format!(",\"event\":{event}")),
        None => ("void", String::new()),
    };
    let body = format!("{{\"source\":\"s\",\"id\":\"{id}\",\"reason\":\"it was wrong\"{event}}}");
    let path = format!("/api/v1/events/{route}");
    process.client.post(&path, "application/json", body.as_bytes()).expect("weir runs").status
}

fn quarantined(process: &Process) -> String {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let listed = process.client.get("/api/v1/quarantine").expect("weir runs").json();
        if let Some(position) = listed[0]["position"].as_str() {
            return position.to_string();
        }
        assert!(std::time::Instant::now() < until, "nothing was quarantined:\n{}", process.log_tail());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_is_voided_stays_out_through_poison_kills_and_rebuilds() {
    let dir = tempfile::tempdir().expect("a directory");
    let (meters, data) = (dir.path().join("meters.yaml"), dir.path().join("data"));
    let yaml = "meters:\n  - {slug: sum, eventType: request, aggregation: SUM, valueProperty: $.amount}\n  \
                - {slug: count, eventType: request, aggregation: COUNT}\n";
    std::fs::write(&meters, yaml).expect("a file");
    let start = Start { meters: Some(meters), ..Start::default() };
    let poisoned =
        start.clone().set("WEIR_TESTING__POISON_ID_PREFIX", "bad").set("WEIR_TESTING__POISON_STAGE", "writer");

    let process = Process::start(&data, &poisoned);
    let events: Vec<String> = (0..100).map(|n| event(&format!("e-{n}"), n)).collect();
    assert_eq!(process.client.send(&events).expect("weir runs").status, 204);
    assert_eq!(totals(&process), are(100, 4_950));
    assert_eq!(correct(&process, "e-7", None), 200);
    assert_eq!(totals(&process), are(99, 4_943));
    assert_eq!(correct(&process, "e-7", None), 409, "once");
    assert_eq!(correct(&process, "e-9", Some(event("bad", 9_000))), 200);
    let position = quarantined(&process);
    assert_eq!(totals(&process), are(98, 4_934), "the void holds, though its replacement is in quarantine");
    assert_eq!(process.client.send(&events[7..10]).expect("weir runs").status, 204);
    assert_eq!(totals(&process), are(98, 4_934), "a voided id stays taken");
    process.kill();

    let process = Process::start(&data, &start);
    assert_eq!(totals(&process), are(98, 4_934));
    let redriven =
        weir().args(["quarantine", "redrive", &position, "--url", &process.client.base]).output().expect("it runs");
    assert!(redriven.status.success(), "{}", String::from_utf8_lossy(&redriven.stderr));
    assert_eq!(totals(&process), are(99, 13_934));
    assert_eq!(correct(&process, "bad", Some(event("good", 9))), 200, "a replacement is replaced");
    assert_eq!(totals(&process), are(99, 4_943));
    process.kill();

    let process = Process::start(&data, &start);
    assert_eq!(totals(&process), are(99, 4_943));
    assert!(process.stop().success());
    let rebuilt = weir().arg("doctor").arg("--rebuild").arg("--data").arg(&data).output().expect("it runs");
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let process = Process::start(&data, &start);
    assert_eq!(totals(&process), are(99, 4_943), "rebuilt");
    assert_eq!(process.client.send(&events).expect("weir runs").status, 204);
    assert_eq!(totals(&process), are(99, 4_943), "and every id is taken still");
}
