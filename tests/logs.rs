//! What weir logs: one structured line per request, by which an event can be followed from the client's own request
//! to its place in the log; and never a secret.

mod support;

use serde_json::{Value, json};
use support::postgres::database;
use support::process::{Process, Start};

#[test]
fn a_request_leaves_one_line_with_its_id_and_where_its_events_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = database();
    let start = Start::default()
        .set("WEIR_LOGS__FORMAT", "json")
        .set("WEIR_LOGS__FILTER", "debug")
        .set("WEIR_DATABASE__URL", &url);
    let process = Process::start(&dir.path().join("data"), &start);
    let post = |path: &str, id: &str, body: &Value| {
        let headers = [("Content-Type", "application/json"), ("X-Request-ID", id)];
        process.client.post_with(path, &headers, body.to_string().as_bytes()).expect("weir runs")
    };
    let event = json!({"specversion": "1.0", "id": "1", "source": "edge", "type": "job", "subject": "acme"});
    let meter = json!({"slug": "jobs", "aggregation": "COUNT", "eventType": "job"});
    let answers = [
        ("/api/v1/events", post("/api/v1/events", "of-v1", &event), "of-v1", 204),
        ("/api/v3/openmeter/events", post("/api/v3/openmeter/events", "of-v3", &event), "of-v3", 202),
        ("/api/v1/meters", post("/api/v1/meters", "of-a-meter", &meter), "of-a-meter", 201),
        (
            "/api/v1/meters/{meterIdOrSlug}/query",
            post("/api/v1/meters/jobs/query", "of-a-query", &json!({})),
            "of-a-query",
            200,
        ),
    ];
    // An id that cannot be taken over is replaced, and the client is told the one that is logged.
    let refused = post("/api/v1/events", "no id", &json!({}));
    let told = refused.json()["instance"].as_str().expect("a problem has one").replace("urn:request:", "");

    let log = process.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}")))
        .collect();
    let line_of = |id: &str| {
        let mut found = lines.iter().filter(|line| line["message"] == "answered" && line["request"] == id);
        let line = found.next().unwrap_or_else(|| panic!("no line of {id} in\n{log}"));
        assert_eq!(found.next(), None, "two lines of {id}");
        line
    };
    for (route, answer, id, status) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        let line = line_of(id);
        assert_eq!((&line["method"], &line["route"], &line["status"]), (&json!("POST"), &json!(route), &json!(status)));
        let position = answer.headers.get("x-weir-position");
        assert_eq!(line["position"].as_str(), position.map(String::as_str), "{id}");
        assert_eq!(position.is_some(), id != "of-a-query", "{id}");
        assert!(line["took_us"].is_u64(), "{line}");
    }
    assert_eq!((refused.status, &line_of(&told)["status"]), (400, &json!(400)));
    assert_eq!(line_of(&told)["position"], Value::Null, "nothing was taken");

    let password = url.split([':', '@']).nth(2).expect("it stands between the user and the host");
    assert!(password.len() >= 16 && !log.contains(password), "the password is in the log");
    assert!(process.stop().success());
}
