//! P10 from outside: an event that makes a stage panic harms nobody else, can be looked at, taken up again, and after
//! a rebuild from the truth every total is the same.

mod support;

use support::model::Query;
use support::process::{Process, Start, weir};

fn event(serial: u32, id: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}{serial}\",\"source\":\"poison\",\"type\":\"request\",\"subject\":\"acme\",\
         \"time\":\"2026-01-01T00:00:00Z\",\"data\":{{\"amount\":{serial}}}}}"
    )
}

fn total(process: &Process, meter: &str) -> String {
    let rows = process.client.usage(meter, &Query::default());
    rows.first().map(|row| row.value.clone()).unwrap_or_default()
}

#[test]
fn a_poisoned_event_is_quarantined_redriven_and_counts_like_any_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let meters = dir.path().join("meters.yaml");
    let yaml = "meters:\n  - {slug: sum, eventType: request, aggregation: SUM, valueProperty: $.amount}\n  \
                - {slug: count, eventType: request, aggregation: COUNT}\n";
    std::fs::write(&meters, yaml).expect("a file");
    for stage in ["validator", "deduper", "batcher", "writer"] {
        let data = dir.path().join(stage);
        let start = Start { meters: Some(meters.clone()), ..Start::default() };
        let poisoned =
            start.clone().set("WEIR_TESTING__POISON_ID_PREFIX", "bad-").set("WEIR_TESTING__POISON_STAGE", stage);
        let process = Process::start(&data, &poisoned);
        let events: Vec<String> = (0..1_000).map(|n| event(n, if n == 412 { "bad-" } else { "good-" })).collect();
        assert_eq!(process.client.send(&events).expect("weir runs").status, 204);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let listed = loop {
            let listed = process.client.get("/api/v1/quarantine").expect("weir runs").json();
            if listed.as_array().is_some_and(|list| !list.is_empty()) {
                break listed;
            }
            assert!(std::time::Instant::now() < until, "{stage}: nothing was quarantined:\n{}", process.log_tail());
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{stage}: {listed}");
        assert_eq!(listed[0]["id"], "bad-412", "{stage}: {listed}");
        assert_eq!(listed[0]["stage"], stage);
        assert_eq!(listed[0]["state"], "quarantined");
        assert_eq!((total(&process, "count"), total(&process, "sum")), ("999".into(), "499088".into()), "{stage}");
        process.kill();

        // A build without the poison does not count it by itself: only an operator decides that.
        let process = Process::start(&data, &start);
        assert_eq!(total(&process, "count"), "999", "{stage}");
        // Sent again, it is the same event: its id is taken.
        assert_eq!(process.client.send(&events[412..413]).expect("weir runs").status, 204);
        assert_eq!(total(&process, "count"), "999", "{stage}");
        let position = listed[0]["position"].as_str().expect("a position").to_string();
        let redriven =
            weir().args(["quarantine", "redrive", &position, "--url", &process.client.base]).output().expect("it runs");
        assert!(redriven.status.success(), "{stage}: {}", String::from_utf8_lossy(&redriven.stderr));
        assert_eq!((total(&process, "count"), total(&process, "sum")), ("1000".into(), "499500".into()), "{stage}");
        let again =
            weir().args(["quarantine", "redrive", &position, "--url", &process.client.base]).output().expect("it runs");
        assert!(!again.status.success(), "{stage}: an event is redriven once");
        assert!(process.stop().success());

        let rebuilt = weir().arg("doctor").arg("--rebuild").arg("--data").arg(&data).output().expect("it runs");
        assert!(rebuilt.status.success(), "{stage}: {}", String::from_utf8_lossy(&rebuilt.stderr));
        let process = Process::start(&data, &start);
        assert_eq!(
            (total(&process, "count"), total(&process, "sum")),
            ("1000".into(), "499500".into()),
            "{stage}: rebuilt"
        );
    }
}
