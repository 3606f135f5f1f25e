//! What operators ask: explain, conflicts, quarantine, the actors page, health, metrics.

use super::*;
use crate::domain::metering::Fate;
use crate::domain::position::Position;
use crate::ports::event_log::AppendError;
use crate::ports::usage_store::StoredConflict;
use serde_json::json;

async fn send(world: &Arc<World>, event: Value) {
    assert_eq!(post(world, "/api/v1/events", "application/json", event.to_string()).await.status, 204);
}

#[actix_web::test]
async fn an_event_is_explained_by_every_meter_of_its_type() {
    let world = world();
    live(&world, meter("seconds"));
    let unique =
        json!({"slug": "regions", "aggregation": "UNIQUE_COUNT", "eventType": "job", "valueProperty": "$.region"});
    live(&world, unique);
    let late = json!({"slug": "late", "aggregation": "COUNT", "eventType": "job", "eventFrom": "2025-03-02T00:00:00Z"});
    live(&world, late);
    let missing = json!({"slug": "missing", "aggregation": "MAX", "eventType": "job", "valueProperty": "$.gone"});
    live(&world, missing);
    send(&world, event("e-1")).await;
    let answer = get(&world, "/api/v1/events/explain?source=edge&id=e-1").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let explained = answer.json()[0].clone();
    assert_eq!((&explained["fate"], &explained["position"]), (&json!("counts"), &json!("0:4")));
    assert_eq!(explained["summary"], "counts in 2 of 4 meters of its type");
    let by_meter: Vec<_> = explained["meters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|meter| {
            (
                meter["slug"].as_str().unwrap(),
                meter["counted"].as_bool().unwrap(),
                meter["value"].as_str(),
                meter["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        by_meter,
        [
            ("seconds", true, Some("4"), None),
            ("regions", true, Some("eu"), None),
            ("late", false, None, Some("the event's time is before the meter's eventFrom")),
            ("missing", false, None, Some("invalid event: missing value property: \"$.gone\"")),
        ]
    );
    assert_eq!(explained["meters"][0]["groupBy"], json!({"region": "eu"}));
    assert_eq!(explained["event"]["data"], json!({"seconds": 4, "region": "eu"}));
}

#[actix_web::test]
async fn a_number_out_of_range_is_kept_and_explained() {
    let world = world();
    live(&world, meter("seconds"));
    let body = event("big").to_string().replace("\"seconds\":4", "\"seconds\":1e400");
    assert_eq!(post(&world, "/api/v1/events", "application/json", body).await.status, 204);
    let answer = get(&world, "/api/v1/events/explain?id=big").await;
    assert!(answer.text.contains("\"seconds\":1e400"), "{}", answer.text);
    assert!(answer.text.contains("\"reason\":\"invalid event: value out of range: 1e400\""), "{}", answer.text);
}

#[actix_web::test]
async fn duplicates_and_conflicts_name_the_event_that_counts() {
    let world = world();
    for id in ["a", "a", "a"] {
        send(&world, event(id)).await;
    }
    let winner = Position::new(0, 0);
    world.with(|state| {
        state.events[1].fate = Fate::Duplicate { winner };
        state.events[2].fate = Fate::Conflict { winner };
        state.conflicts = vec![StoredConflict { event: state.events[2].clone(), winner }];
    });
    let explained = get(&world, "/api/v1/events/explain?id=a").await.json();
    let fates: Vec<_> =
        explained.as_array().unwrap().iter().map(|event| (event["fate"].clone(), event["winner"].clone())).collect();
    assert_eq!(
        fates,
        [(json!("conflict"), json!("0:0")), (json!("duplicate"), json!("0:0")), (json!("counts"), json!(null))]
    );
    assert_eq!(explained[2]["summary"], "no meter found for event type: job");

    let listed = get(&world, "/api/v1/conflicts").await.json();
    assert_eq!(
        (&listed[0]["position"], &listed[0]["winner"], &listed[0]["event"]["id"]),
        (&json!("0:2"), &json!("0:0"), &json!("a"))
    );
    assert_eq!(get(&world, "/api/v1/conflicts?before=0:2").await.json(), json!([]));
    for query in ["before=x", "limit=0", "limit=1001"] {
        assert_eq!(get(&world, &format!("/api/v1/conflicts?{query}")).await.status, 400, "{query}");
    }
}

#[actix_web::test]
async fn an_event_that_is_not_there_cannot_be_explained() {
    let world = world();
    let answer = get(&world, "/api/v1/events/explain?id=x&source=s").await;
    assert_eq!((answer.status, answer.detail().as_str()), (404, "not found error: no event with id x and source s"));
    let answer = get(&world, "/api/v1/events/explain?source=s").await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (400, "parameter \"id\" in query has an error: value is required but missing")
    );
}

fn poisoned(world: &World) -> String {
    use crate::http::ingest::{Form, Limits, parse};
    let body = event("poison").to_string();
    let append = parse(body.as_bytes(), Form::One, "default", Limits::from(&HttpSettings::default())).unwrap();
    world.poison(append.records).to_string()
}

#[actix_web::test]
async fn a_quarantined_event_is_shown_and_redriven_once() {
    let world = world();
    let position = poisoned(&world);
    let entry = get(&world, &format!("/api/v1/quarantine/{position}")).await.json();
    assert_eq!(get(&world, "/api/v1/quarantine").await.json(), json!([entry]));
    assert_eq!(
        (&entry["state"], &entry["stage"], &entry["id"]),
        (&json!("quarantined"), &json!("validator"), &json!("poison"))
    );
    assert_eq!(entry["data"], json!({"seconds": 4, "region": "eu"}));

    let path = format!("/api/v1/quarantine/{position}/redrive");
    let answer = post_json(&world, &path, json!({})).await;
    assert_eq!((answer.status, answer.header("x-weir-position")), (200, "0:3"));
    assert_eq!(answer.json()["state"], "redriven");
    let again = post_json(&world, &path, json!({})).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.detail(), "conflict error: the event at 0:0 was already redriven, by the record at 0:2");
    let dropped = post_json(&world, &path.replace("redrive", "drop"), json!({"reason": "x"})).await;
    assert_eq!(dropped.status, 409);
}

#[actix_web::test]
async fn a_quarantined_event_is_dropped_with_a_reason() {
    let world = world();
    let position = poisoned(&world);
    let path = format!("/api/v1/quarantine/{position}/drop");
    assert_eq!(post_json(&world, &path, json!({})).await.status, 400);
    assert_eq!(post_json(&world, &path, json!({"reason": "test data"})).await.json()["state"], "dropped");
    let again = post_json(&world, &path, json!({"reason": "test data"})).await;
    assert_eq!(
        (again.status, again.detail().as_str()),
        (409, "conflict error: the event at 0:0 was already dropped, by the record at 0:2")
    );
    let nobody = post_json(&world, "/api/v1/quarantine/0:99/redrive", json!({})).await;
    assert_eq!(
        (nobody.status, nobody.detail().as_str()),
        (404, "not found error: no quarantined event at position 0:99")
    );
    assert_eq!(get(&world, "/api/v1/quarantine/x").await.status, 400);
}

#[actix_web::test]
async fn health_is_red_with_its_reason() {
    let world = world();
    for path in ["/health/live", "/health/ready", "/health/line"] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{\"status\":\"ok\"}\n"), "{path}");
    }
    world.with(|state| {
        state.refuse = Some(AppendError::Refused { reason: "the disk is full".into(), retry_after_s: 1 });
        state.sick = Some("no progress for 12 s, 40 events behind".to_string());
    });
    let answer = get(&world, "/health/ready").await;
    assert_eq!(
        (answer.status, answer.json()),
        (503, json!({"status": "failing", "reason": "not accepted: the disk is full"}))
    );
    let answer = get(&world, "/health/line").await;
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (503, Some("no progress for 12 s, 40 events behind"))
    );
    assert_eq!(get(&world, "/health/live").await.status, 200);
}

#[actix_web::test]
async fn the_line_and_the_metrics_can_be_looked_at() {
    let world = world();
    let answer = get(&world, "/api/v1/debug/actors").await;
    assert_eq!((answer.status, answer.json()["generation"].clone()), (200, json!(3)));
    let answer = get(&world, "/metrics").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "# EOF\n"));
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}
