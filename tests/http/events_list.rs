//! `GET /api/v1/events`.

use super::*;

#[test]
fn events_are_listed_newest_first_each_once() {
    let house = House::new();
    let mut later = event("2");
    later["time"] = json!("2025-03-01T11:00:00Z");
    house.send(&[event("1"), later, event("1")]);
    let listed = house.get("/api/v1/events").json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["2", "1"]);
    assert_eq!(listed[0]["ingestedAt"], "2025-03-01T12:00:00Z");
    let found = |query: &str| house.get(&format!("/api/v1/events?{query}")).json().as_array().unwrap().len();
    #[rustfmt::skip]
    let table = [
        ("from=2025-03-01T11:00:00Z", 1), ("to=2025-03-01T11:00:00Z", 1), ("id=2", 1), ("id=x", 0), ("subject=acme", 2),
        ("subject=ac", 0), ("limit=1", 1), ("from=2025-03-01T11:00:00Z&to=2025-03-01T11:00:00Z", 0),
        ("ingestedAtFrom=2025-03-01T12:00:00Z", 2), ("ingestedAtTo=2025-03-01T12:00:00Z", 0),
    ];
    for (query, count) in table {
        assert_eq!(found(query), count, "{query}");
    }
}

#[test]
fn what_keeps_an_event_from_counting_is_computed_when_asked() {
    let house = House::new();
    house.send(&[event("1")]);
    let fault = || house.get("/api/v1/events").json()[0]["validationError"].clone();
    assert_eq!(fault(), "no meter found for event type: job\nno customer found for event subject: acme");
    let acme = house.post_json("/api/v1/customers", &json!({"key": "acme", "name": "Acme"}));
    assert_eq!(acme.status, 201, "{}", acme.body);
    assert_eq!(fault(), "no meter found for event type: job");
    let mut max = meter("max");
    (max["aggregation"], max["valueProperty"]) = (json!("MAX"), json!("$.gone"));
    house.create(&meter("sum"));
    assert_eq!(fault(), Value::Null);
    house.create(&max);
    assert_eq!(fault(), "invalid event: missing value property: \"$.gone\"");
    assert_eq!(house.client.delete("/api/v1/meters/max").unwrap().status, 204);
    assert_eq!(fault(), Value::Null);
}

#[test]
fn a_list_that_cannot_be_asked_is_a_400() {
    let house = House::new();
    #[rustfmt::skip]
    let table = [
        ("limit=101", "parameter \"limit\" in query has an error: number must be at most 100"),
        ("from=2025-01-01T00:00:00Z", "validation error: validate input: from date is too old: 2025-01-01T00:00:00Z, must be after 2025-01-28T12:00:00Z"),
        ("customerId=01JN8T4Q6Z0000000000000CVS", "validation error: customers not found in namespace default: 01JN8T4Q6Z0000000000000CVS"),
    ];
    for (query, detail) in table {
        assert_eq!(problem(&house.get(&format!("/api/v1/events?{query}"))), (400, detail.to_string()));
    }
    let after = house.client.get_with("/api/v1/events", &[("X-Weir-After", "soon")]).unwrap();
    assert_eq!(problem(&after).0, 400);
}
