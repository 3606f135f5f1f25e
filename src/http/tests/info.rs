//! What tells about weir itself: currencies, progress, today's counts, the document, the version.

use super::*;
use crate::domain::metering::query::MeterJob;
use serde_json::json;

#[actix_web::test]
async fn currencies_begin_with_the_six_that_most_ask_for() {
    let answer = get(&world(), "/api/v1/info/currencies").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let list = answer.json();
    let codes: Vec<&str> = list.as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes[..7], ["USD", "EUR", "GBP", "AUD", "CAD", "JPY", "AED"]);
    assert!(codes[6..].is_sorted() && codes.len() >= 171, "{codes:?}");
    assert_eq!(list[0], json!({"code": "USD", "name": "United States Dollar", "subunits": 2, "symbol": "$"}));
    let subunits = |code: &str| list[codes.iter().position(|it| *it == code).unwrap()]["subunits"].as_u64().unwrap();
    #[rustfmt::skip]
    let table = [("JPY", 0), ("KWD", 3), ("CLF", 4), ("HUF", 2), ("MGA", 2), ("MRU", 2), ("XAU", 0), ("XTS", 0)];
    for (code, decimals) in table {
        assert_eq!(subunits(code), decimals, "{code}");
    }
    for code in ["BTC", "BCH", "USDC", "GBX", "CNH"] {
        assert!(!codes.contains(&code), "{code}");
    }
}

#[actix_web::test]
async fn the_backfill_of_a_meter_can_be_watched_by_its_id() {
    let world = world();
    let id = live(&world, meter("job"));
    let job = |kind, done| MeterJob {
        slug: "job".to_string(),
        meter_id: id.clone(),
        version: id.clone(),
        kind,
        done,
        total: 10,
        finished: false,
    };
    world.with(|state| state.jobs = vec![job("removal", 0), job("backfill", 4)]);
    let path = format!("/api/v1/info/progress/{id}");
    let shown = json!({"failed": 0, "success": 4, "total": 10, "updatedAt": "2025-03-01T12:00:00Z"});
    assert_eq!(get(&world, &path).await.json(), shown);
    let answer = get(&world, "/api/v1/info/progress/x").await;
    assert_eq!((answer.status, answer.detail().as_str()), (404, "not found error: progress not found for id: x"));
}

#[actix_web::test]
async fn todays_events_are_counted_by_subject() {
    let world = world();
    let answer = get(&world, "/api/v1/debug/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain"));
    assert_eq!(answer.text.lines().count(), 3);
    world.with(|state| state.counts = vec![("acme".to_string(), 3)]);
    assert!(
        get(&world, "/api/v1/debug/metrics").await.text.ends_with("\nopenmeter_events_total{subject=\"acme\"} 3.0\n")
    );
}

#[actix_web::test]
async fn the_document_and_the_version_are_served_as_clients_know_them() {
    let world = world();
    let answer = get(&world, "/api/swagger.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.") && document.get("servers").is_none());
    // Text order: keys come as they are written.
    let tags = ["\"components\"", "\"info\"", "\"openapi\"", "\"paths\""].map(|key| answer.text.find(key).unwrap());
    assert!(tags.is_sorted(), "{tags:?}");
    let version = get(&world, "/version").await;
    assert_eq!((version.status, version.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert_eq!(version.json()["version"], env!("CARGO_PKG_VERSION"));
    assert!(version.text.starts_with("{\"arch\":") && version.text.ends_with("}\n"), "{}", version.text);
}
