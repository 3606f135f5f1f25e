//! `GET /api/v2/events`.

use super::*;
use crate::domain::metering::query::{EventCursor, Pattern, TextFilter};
use crate::domain::metering::time_filter::TimeFilter;
use crate::http::cursor;
use serde_json::json;

fn with(filter: Value) -> String {
    let text: String = filter.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/api/v2/events?filter={text}")
}

#[actix_web::test]
async fn pages_follow_each_other_and_the_last_full_one_leads_to_an_empty_one() {
    let world = world();
    let events: Vec<Value> = ["1", "2", "3", "4"].map(event).into();
    post(&world, "/api/v1/events", "application/cloudevents-batch+json", json!(events).to_string()).await;
    let mut path = "/api/v2/events?limit=2".to_string();
    let mut pages = Vec::new();
    loop {
        let answer = get(&world, &path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text);
        let page = answer.json();
        let ids: String =
            page["items"].as_array().unwrap().iter().map(|it| it["event"]["id"].as_str().unwrap()).collect();
        pages.push(ids);
        let Some(token) = page["nextCursor"].as_str() else { break };
        path = format!("/api/v2/events?limit=2&cursor={}", token.replace('+', "%2B").replace('=', "%3D"));
    }
    assert_eq!(pages, ["43", "21", ""]);
    assert_eq!(get(&world, "/api/v2/events?limit=5").await.json().get("nextCursor"), None);
    assert_eq!(get(&world, &with(json!({"id": {"$eq": "none"}}))).await.text, "{\"items\":[]}\n");
}

#[actix_web::test]
async fn a_filter_asks_for_what_it_says() {
    let world = world();
    let at = |text: &str| Instant::parse(text).unwrap();
    let filter = json!({
        "id": {"$like": "a%"}, "source": {"$in": ["x", "y"]}, "subject": {"$or": [{"$eq": "s"}, {"$gt": "t"}]},
        "type": {"$ne": "job"}, "time": {"$gte": "2025-03-01T00:00:00.5Z"}, "customerId": {}, "unknown": 1,
        "ingestedAt": {"$and": [{"$gt": "2025-03-01T00:00:00Z"}, {"$lte": "2025-03-02T00:00:00+01:00"}]},
    });
    let answer = get(&world, &format!("{}&limit=7&clientId=me", with(filter))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked = world.with(|state| state.asked_events.clone()).unwrap();
    assert_eq!(asked.id, [TextFilter::Like(Pattern::new("a%", false))]);
    assert_eq!(asked.source, [TextFilter::In(vec!["x".into(), "y".into()])]);
    let above = TextFilter::Above { bound: "t".into(), inclusive: false };
    assert_eq!(asked.subject, [TextFilter::Or(vec![TextFilter::In(vec!["s".into()]), above])]);
    assert_eq!(asked.event_type, [TextFilter::NotIn(vec!["job".into()])]);
    assert_eq!(asked.time, [TimeFilter::Above { bound: at("2025-03-01T00:00:00.5Z"), inclusive: true }]);
    let after = TimeFilter::Above { bound: at("2025-03-01T00:00:00Z"), inclusive: false };
    let until = TimeFilter::Below { bound: at("2025-03-01T23:00:00Z"), inclusive: true };
    assert_eq!(asked.ingested_at, [TimeFilter::And(vec![after, until])]);
    assert_eq!((asked.from, asked.limit, asked.progress.is_some()), (None, 7, true), "there is no bound of 32 days");
}

#[actix_web::test]
async fn a_cursor_asks_for_what_comes_after_it() {
    let world = world();
    let place =
        EventCursor { at: Instant::parse("2025-03-01T10:00:00.000000001Z").unwrap(), position: Position::new(0, 7) };
    let token = cursor::encode(place).replace('=', "%3D");
    assert_eq!(get(&world, &format!("/api/v2/events?cursor={token}")).await.status, 200);
    assert_eq!(world.with(|state| state.asked_events.clone()).unwrap().after, Some(place));
}

#[actix_web::test]
async fn a_page_that_cannot_be_asked_is_a_400() {
    let world = world();
    let in_filter = "parameter \"filter\" in query has an error: Error at ";
    #[rustfmt::skip]
    let table = [
        ("/api/v2/events?cursor=".to_string(), "validation error: text is empty".to_string()),
        ("/api/v2/events?cursor=!".into(), "validation error: decode cursor: it is not base64 of a text".into()),
        ("/api/v2/events?cursor=MjAyNQ%3D%3D".into(), "validation error: cursor is invalid: no delimiter found".into()),
        ("/api/v2/events?limit=0".into(), "parameter \"limit\" in query has an error: number must be at least 1".into()),
        ("/api/v2/events?limit=101".into(), "parameter \"limit\" in query has an error: number must be at most 100".into()),
        ("/api/v2/events?clientId=".into(), "parameter \"clientId\" in query has an error: minimum string length is 1".into()),
        ("/api/v2/events?filter[id][$eq]=1".into(), "invalid param format filter: Invalid format for parameter filter: must be JSON text, such as filter={\"id\":{\"$eq\":\"1\"}}".into()),
        (with(json!({"id": "1"})), format!("{in_filter}\"/id\": value must be an object")),
        (with(json!({"id": {"$eq": 1}})), format!("{in_filter}\"/id/$eq\": value must be a string")),
        (with(json!({"time": {"$gt": "today"}})), format!("{in_filter}\"/time/$gt\": string doesn't match the format \"date-time\"")),
        (with(json!({"id": {"$eq": "1", "$ne": "2"}})), "validation error: id: filter is invalid: multiple operators are set".into()),
        (with(json!({"type": {"$in": [""]}})), "validation error: type: filter is invalid: format mismatch".into()),
        (with(json!({"source": {"$and": [{"$or": [{"$eq": "1"}]}]}})), "validation error: source: filter complexity exceeds maximum allowed depth".into()),
    ];
    for (path, detail) in table {
        let answer = get(&world, &path).await;
        assert_eq!((answer.status, answer.detail()), (400, detail), "{path}");
    }
    let broken = get(&world, "/api/v2/events?filter=%7B").await;
    assert!(broken.detail().starts_with("unmarshaling param filter: broken JSON"), "{}", broken.detail());
}
