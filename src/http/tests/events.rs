//! `POST` and `GET /api/v1/events`.

use super::*;
use crate::domain::metering::query::{Pattern, TextFilter};
use crate::ports::event_log::AppendError;
use serde_json::json;

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const EITHER: &str = "application/json";

#[actix_web::test]
async fn an_accepted_event_is_answered_with_where_it_stands() {
    let world = world();
    for (content_type, body, end) in [
        (ONE, event("1"), "0:1"),
        (BATCH, json!([event("2"), event("3")]), "0:3"),
        (EITHER, event("4"), "0:4"),
        (EITHER, json!([event("5")]), "0:5"),
        (BATCH, json!([]), "0:5"),
    ] {
        let answer = post(&world, "/api/v1/events", content_type, body.to_string()).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{content_type}");
        assert_eq!(answer.header("x-weir-position"), end);
        assert_eq!(answer.header("content-type"), "");
    }
    assert_eq!(world.with(|state| state.events.len()), 5);
}

#[actix_web::test]
async fn only_three_media_types_are_taken_and_none_with_parameters() {
    let world = world();
    let unexpected =
        |sent: &str| format!("request body has an error: header Content-Type has unexpected value {sent:?}");
    for (content_type, detail) in [
        ("application/json; charset=utf-8", "invalid content type: application/json; charset=utf-8".to_string()),
        ("application/cloudevents+json;x=1", "invalid content type: application/cloudevents+json;x=1".to_string()),
        ("text/plain", unexpected("text/plain")),
        ("Application/JSON", unexpected("Application/JSON")),
        ("application/x-www-form-urlencoded", unexpected("application/x-www-form-urlencoded")),
    ] {
        let answer = post(&world, "/api/v1/events", content_type, event("1").to_string()).await;
        assert_eq!((answer.status, answer.detail()), (400, detail));
    }
    let answer = ask(&world, TestRequest::post().uri("/api/v1/events").set_payload("{}")).await;
    assert_eq!((answer.status, answer.detail()), (400, unexpected("")));
    assert_eq!(world.with(|state| state.events.len()), 0);
}

#[actix_web::test]
async fn a_bad_batch_is_refused_whole_and_says_why_by_index_and_field() {
    let world = world();
    let mut bad = event("2");
    bad["source"] = json!("1:2");
    bad["time"] = json!("1899-01-01T00:00:00Z");
    let answer = post(&world, "/api/v1/events", BATCH, json!([event("1"), bad, {}]).to_string()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.detail(), "invalid event: [1].source must be a URI reference (and 6 more, in 2 events)");
    assert_eq!(answer.json()["title"], "Bad Request");
    let errors = answer.json()["extensions"]["validationErrors"].clone();
    assert_eq!(
        errors[1],
        json!({"field": "[1].time", "code": "invalid_time", "message": "must lie in the years 1900 to 2261",
            "component": "ingest", "severity": "critical"})
    );
    let fields: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields[2..], ["[2].id", "[2].source", "[2].specversion", "[2].type", "[2].subject"]);
    assert_eq!(world.with(|state| state.events.len()), 0);
}

#[actix_web::test]
async fn broken_bodies_are_told_where_they_break() {
    let world = world();
    #[rustfmt::skip]
    let table: [(&[u8], &str); 6] = [
        (b"{\"id\": NaN}", "request body has an error: broken JSON at line 1 column 8: expected value"),
        (b"[{}", "request body has an error: broken JSON at line 1 column 3: EOF while parsing a list"),
        (b"{}\n{}", "request body has an error: broken JSON at line 2 column 1: trailing characters"),
        (b"{\"id\":\"\xff\"}", "request body has an error: the bytes at offset 7 are not UTF-8"),
        (b"", "request body has an error: value is required but missing"),
        (b"[]", "invalid event: no events found"),
    ];
    for (body, detail) in table {
        let answer = post(&world, "/api/v1/events", EITHER, body).await;
        assert_eq!((answer.status, answer.detail().as_str()), (400, detail));
    }
}

#[actix_web::test]
async fn bodies_are_bounded_in_bytes_and_events_also_when_compressed() {
    let world = world();
    let settings = HttpSettings { body_bytes_max: 4_096, batch_events_max: 10, ..HttpSettings::default() };
    let send = |body: Vec<u8>, encoding: &'static str| {
        let request = TestRequest::post().uri("/api/v1/events").insert_header(("content-type", BATCH));
        let request = request.insert_header(("content-encoding", encoding)).set_payload(body);
        ask_of(door_with(&world, settings.clone()), request)
    };
    let answer = send(vec![b' '; 4_097], "identity").await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.detail(), "request entity too large error: the body is larger than 4096 bytes");
    let bomb = zstd::encode_all(&vec![b' '; 1 << 20][..], 3).unwrap();
    assert_eq!(send(bomb, "zstd").await.status, 413);
    let many = format!("[{}]", ["{}"; 11].join(","));
    let answer = send(many.into_bytes(), "identity").await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (413, "request entity too large error: the batch has more than 10 events")
    );
    let good = zstd::encode_all(json!([event("1")]).to_string().as_bytes(), 3).unwrap();
    assert_eq!(send(good, "zstd").await.status, 204);
    let answer = send(b"[]".to_vec(), "br").await;
    assert_eq!(answer.status, 415);
    assert_eq!(answer.detail(), "content encoding \"br\" is not supported; send gzip, zstd or no encoding");
}

#[actix_web::test]
async fn refused_and_unknown_are_both_503_and_told_apart() {
    let world = world();
    world.with(|state| {
        state.refuse = Some(AppendError::Refused { reason: "the disk is full".into(), retry_after_s: 9 })
    });
    let answer = post(&world, "/api/v1/events", ONE, "not even read").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "9"));
    assert_eq!(answer.json()["extensions"], json!({"outcome": "not_accepted"}));
    assert_eq!(answer.detail(), "not accepted: the disk is full");

    world.with(|state| {
        state.refuse = None;
        state.fail = Some(AppendError::Unknown { reason: "the sync failed".into() });
    });
    let answer = post(&world, "/api/v1/events", ONE, event("1").to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["extensions"], json!({"outcome": "unknown"}));
    assert_eq!(answer.header("x-weir-position"), "");
}

#[actix_web::test]
async fn the_list_shows_events_newest_first_with_what_keeps_them_from_counting() {
    let world = world();
    live(&world, meter("job_seconds"));
    let mut odd = event("2");
    odd["data"] = json!({"seconds": "many"});
    odd["traceparent"] = json!("00-ab");
    odd.as_object_mut().unwrap().remove("time");
    let mut other = event("3");
    (other["type"], other["data"]) = (json!("other"), json!(null));
    post(&world, "/api/v1/events", BATCH, json!([event("1"), odd, other]).to_string()).await;
    let answer = get(&world, "/api/v1/events").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert!(answer.text.ends_with("]\n"));
    let at = "2025-03-01T12:00:00Z";
    assert_eq!(
        answer.json(),
        json!([
            {"event": {"specversion": "1.0", "id": "2", "source": "edge", "type": "job", "subject": "acme",
                "datacontenttype": "application/json", "time": at, "data": {"seconds": "many"}, "traceparent": "00-ab"},
             "validationError": "invalid event: value cannot be parsed as float64: many", "ingestedAt": at, "storedAt": at},
            {"event": {"specversion": "1.0", "id": "3", "source": "edge", "type": "other", "subject": "acme",
                "datacontenttype": "application/json", "time": "2025-03-01T10:00:00Z"},
             "validationError": "no meter found for event type: other", "ingestedAt": at, "storedAt": at},
            {"event": {"specversion": "1.0", "id": "1", "source": "edge", "type": "job", "subject": "acme",
                "datacontenttype": "application/json", "time": "2025-03-01T10:00:00Z", "data": {"seconds": 4, "region": "eu"}},
             "ingestedAt": at, "storedAt": at},
        ])
    );
    assert_eq!(get(&world, "/api/v1/events?subject=nobody").await.text, "[]\n");
}

#[actix_web::test]
async fn the_list_asks_for_what_its_parameters_say() {
    let world = world();
    let path = "/api/v1/events?from=2025-02-28T00:00:00Z&to=2025-03-01T00:00:00%2B01:00&id=a%25&subject=s&limit=7\
        &ingestedAtFrom=2025-02-27T00:00:00Z&ingestedAtTo=2025-02-28T00:00:00Z&clientId=me&unknown=1";
    assert_eq!(get(&world, path).await.status, 200);
    let asked = world.with(|state| state.asked_events.clone()).unwrap();
    let shown = [asked.from, asked.to, asked.ingested_from, asked.ingested_to].map(|at| at.unwrap().to_rfc3339());
    let expected = ["2025-02-28T00:00:00Z", "2025-02-28T23:00:00Z", "2025-02-27T00:00:00Z", "2025-02-28T00:00:00Z"];
    assert_eq!(shown, expected);
    assert_eq!((asked.id, asked.limit), (vec![TextFilter::Like(Pattern::new("%a%%", false))], 7));
    assert_eq!(asked.subjects, Some(vec!["s".to_string()]));
    get(&world, "/api/v1/events").await;
    let asked = world.with(|state| state.asked_events.clone()).unwrap();
    assert_eq!((asked.from.unwrap().to_rfc3339().as_str(), asked.limit), ("2025-01-28T12:00:01Z", 100));
}

#[actix_web::test]
async fn a_list_that_cannot_be_asked_is_a_400_in_the_words_of_the_peer() {
    let world = world();
    #[rustfmt::skip]
    let table = [
        ("from=2025-01-28T11:59:59Z", "validation error: validate input: from date is too old: 2025-01-28T11:59:59Z, must be after 2025-01-28T12:00:00Z"),
        ("ingestedAtFrom=2020-01-01T00:00:00Z", "validation error: validate input: ingestedAtFrom date is too old: 2020-01-01T00:00:00Z, must be after 2025-01-28T12:00:00Z"),
        ("from=2025-03-01T00:00:00Z&to=2025-02-28T00:00:00Z", "validation error: validate input: to date is before its start: 2025-02-28T00:00:00Z < 2025-03-01T00:00:00Z"),
        ("limit=0", "parameter \"limit\" in query has an error: number must be at least 1"),
        ("limit=101", "parameter \"limit\" in query has an error: number must be at most 100"),
        ("limit=", "invalid param format limit: Invalid format for parameter limit: must be a whole number"),
        ("customerId=x", "parameter \"customerId\" in query has an error: Error at \"/0\": string doesn't match the regular expression \"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$\""),
        ("from=2025-03-01", "invalid param format from: Invalid format for parameter from: must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z"),
        ("subject=a&subject=b", "invalid param format subject: Invalid format for parameter subject: multiple values for single value parameter 'subject'"),
    ];
    for (query, detail) in table {
        let answer = get(&world, &format!("/api/v1/events?{query}")).await;
        assert_eq!((answer.status, answer.detail().as_str()), (400, detail), "{query}");
    }
}

#[actix_web::test]
async fn a_read_waits_for_what_it_names_and_says_when_it_is_behind() {
    let world = world();
    let after = |value: &str| TestRequest::get().uri("/api/v1/events").insert_header(("X-Weir-After", value));
    ask(&world, after("0:7,3:9")).await;
    let waited = world.with(|state| state.waited_for.clone()).unwrap();
    assert_eq!(waited.unwrap().to_string(), "0:7,3:9");
    get(&world, "/api/v1/events").await;
    assert_eq!(world.with(|state| state.waited_for.clone()), Some(None));
    let answer = ask(&world, after("soon")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.detail(), "header X-Weir-After must be a position as X-Weir-Position gave it, such as 0:412");
    world.with(|state| state.behind = Some((12, 3)));
    let answer = get(&world, "/api/v1/events").await;
    assert_eq!(
        (answer.status, answer.header("x-weir-behind-events"), answer.header("x-weir-behind-seconds")),
        (200, "12", "3")
    );
}
