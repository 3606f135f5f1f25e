//! Explain, conflicts, quarantine, the actors page, health and metrics.

use super::*;

#[test]
fn what_became_of_an_event_is_explained() {
    let house = House::new();
    house.create(&meter("sum"));
    let mut other = event("1");
    other["data"] = json!({"seconds": 5});
    house.send(&[event("1"), event("1"), other]);
    let explained = house.get("/api/v1/events/explain?source=edge&id=1").json();
    let mut fates: Vec<&str> =
        explained.as_array().unwrap().iter().map(|event| event["fate"].as_str().unwrap()).collect();
    fates.sort_unstable();
    assert_eq!(fates, ["conflict", "counts", "duplicate"]);
    let counts = explained.as_array().unwrap().iter().find(|event| event["fate"] == "counts").unwrap();
    assert_eq!(counts["meters"][0]["value"], "4");
    assert_eq!(counts["meters"][0]["groupBy"], json!({"region": "eu"}));
    let conflicts = house.get("/api/v1/conflicts").json();
    assert_eq!(conflicts[0]["event"]["data"], json!({"seconds": 5}));
    assert_eq!(conflicts[0]["winner"], counts["position"]);
    assert_eq!(problem(&house.get("/api/v1/events/explain?id=2")), (404, "not found error: no event with id 2".into()));
}

#[test]
fn a_number_out_of_range_is_kept_and_explained() {
    let house = House::new();
    house.create(&meter("sum"));
    let body = event("big").to_string().replace("\"seconds\":4", "\"seconds\":1e400");
    assert_eq!(house.post("/api/v1/events", ONE, body).status, 204);
    let explained = house.get("/api/v1/events/explain?id=big").body;
    assert!(explained.contains("\"reason\":\"invalid event: value out of range: 1e400\""), "{explained}");
    assert_eq!(house.get("/api/v1/meters/sum/query").json(), json!({"data": []}));
}

#[test]
fn nothing_is_in_quarantine_of_a_healthy_line() {
    let house = House::new();
    assert_eq!(house.get("/api/v1/quarantine").body, "[]\n");
    let nobody = house.post_json("/api/v1/quarantine/0:9/redrive", &json!({}));
    assert_eq!(problem(&nobody), (404, "not found error: no quarantined event at position 0:9".into()));
    assert_eq!(problem(&house.get("/api/v1/quarantine/x")).0, 400);
}

#[test]
fn the_line_can_be_looked_at() {
    let house = House::new();
    house.send(&[event("1")]);
    house.get("/api/v1/events");
    let actors = house.get("/api/v1/debug/actors").json();
    assert!(actors["stages"].as_array().unwrap().len() >= 5, "{actors}");
    for path in ["/health/live", "/health/ready", "/health/line", "/health/records"] {
        let answer = house.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "{\"status\":\"ok\"}\n"), "{path}");
    }
    let metrics = house.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("weir_http_accepted_events_total 1"), "{}", metrics.body);
    assert!(metrics.body.ends_with("# EOF\n"));
}

#[test]
fn what_is_not_there_is_a_404_and_what_is_not_done_a_405() {
    let house = House::new();
    assert_eq!(problem(&house.get("/api/v1/nothing")), (404, "Not Found".to_string()));
    assert_eq!(problem(&house.client.delete("/api/v1/events").unwrap()), (405, "Method Not Allowed".to_string()));
}
