//! `GET` and `POST /api/v3/openmeter/events`.

use super::*;
use crate::http::cursor;
use proptest::prelude::*;
use serde_json::json;

const PATH: &str = "/api/v3/openmeter/events";
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const EITHER: &str = "application/json";
const ID: &str = "01JN8T4Q6Z0000000000000CVS";

/// An event of v3, with these members set; null ones are taken away.
fn with(id: &str, members: Value) -> Value {
    let mut event = event(id);
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.as_object_mut().unwrap().retain(|name, value| name == "data" || !value.is_null());
    event
}

/// Accepts each event a second after the one before.
async fn accept(world: &Arc<World>, events: impl IntoIterator<Item = Value>) {
    for event in events {
        assert_eq!(post(world, PATH, EITHER, event.to_string()).await.status, 202);
        world.with(|state| state.now += 1_000_000_000);
    }
}

/// `a`, `b` and `c` in the order of acceptance; their times run the other way.
async fn three() -> Arc<World> {
    let world = world();
    let event = |id: &str, time: &str, subject: &str| {
        with(id, json!({"time": format!("2025-03-01T{time}Z"), "subject": subject, "source": format!("s/{id}")}))
    };
    accept(&world, [event("a", "10:00:02", "acme"), event("b", "10:00:01", "Beta"), event("c", "10:00:00", "acme")])
        .await;
    world
}

fn ids(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = answer.json()["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["event"]["id"].as_str().unwrap().to_string()).collect()
}

async fn listed(world: &Arc<World>, query: &str) -> String {
    ids(&get(world, &format!("{PATH}?{query}")).await)
}

#[actix_web::test]
async fn a_row_has_the_shape_that_clients_know() {
    let world = world();
    accept(&world, [event("1")]).await;
    let answer = get(&world, PATH).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let token = cursor::encode(world.with(|state| state.asked_events.take().unwrap().order.cursor(&state.events[0])));
    let expected = format!(
        "{{\"data\":[{{\"event\":{{\"data\":{{\"region\":\"eu\",\"seconds\":4}},\"datacontenttype\":\"application/json\",\
         \"id\":\"1\",\"source\":\"edge\",\"specversion\":\"1.0\",\"subject\":\"acme\",\"time\":\"2025-03-01T10:00:00Z\",\
         \"type\":\"job\"}},\"ingested_at\":\"2025-03-01T12:00:00Z\",\"stored_at\":\"2025-03-01T12:00:00Z\",\
         \"validation_errors\":[{{\"code\":\"validation_error\",\"message\":\"no meter found for event type: job\"}}]}}],\
         \"meta\":{{\"page\":{{\"first\":\"{token}\",\"last\":\"{token}\",\"next\":null,\"previous\":null,\"size\":20}}}}}}\n"
    );
    assert_eq!(answer.text, expected);
}

#[actix_web::test]
async fn an_empty_page_has_no_ends() {
    let answer = get(&world(), PATH).await;
    assert_eq!(answer.text, "{\"data\":[],\"meta\":{\"page\":{\"next\":null,\"previous\":null,\"size\":20}}}\n");
}

#[actix_web::test]
async fn data_is_shown_as_it_came_and_extensions_of_v1_are_not() {
    let world = world();
    accept(&world, [with("null", json!({"data": null})), with("none", json!({}))]).await;
    let digits =
        r#"{"specversion":"1.0","id":"n","source":"s","type":"t","subject":"x","data":{"n": 1.00e2},"traceid":"7"}"#;
    assert_eq!(post(&world, "/api/v1/events", ONE, digits).await.status, 204);
    let text = get(&world, &format!("{PATH}?sort=ingested_at%20asc")).await.text;
    assert!(text.contains("\"data\":null,\"datacontenttype\":\"application/json\",\"id\":\"null\""), "{text}");
    assert!(text.contains("\"data\":{\"n\": 1.00e2}") && !text.contains("traceid"), "{text}");
}

#[actix_web::test]
async fn every_filter_leaves_what_it_says() {
    let world = three().await;
    #[rustfmt::skip]
    let table = [
        ("filter[id]=a", "a"),                          ("filter[id][eq]=b", "b"),
        ("filter[id][neq]=b", "ac"),                    ("filter[id][oeq]=a,%20c", "ac"),
        ("filter[id][gt]=b", "c"),                      ("filter[id][gte]=b", "bc"),
        ("filter[id][lt]=b", "a"),                      ("filter[id][lte]=b", "ab"),
        ("filter[subject][contains]=BET", "b"),         ("filter[subject][ocontains]=et,cm", "abc"),
        ("filter[subject]", "abc"),                     ("filter[subject][nexists]", ""),
        ("filter[subject][exists]=false", ""),          ("filter[source]=s/c", "c"),
        ("filter[type]=job", "abc"),                    ("filter[type][neq]=job", ""),
        ("filter[time]=2025-03-01T10:00:01Z", "b"),     ("filter[time][gt]=2025-03-01T10:00:01Z", "a"),
        ("filter[time][gte]=2025-03-01T12:00:01%2B02:00", "ab"), ("filter[time][lt]=2025-03-01T10:00:01Z", "c"),
        ("filter[time][lte]=2025-03-01T10:00:01Z", "bc"),
        ("filter[ingested_at][gte]=2025-03-01T12:00:01Z", "bc"), ("filter[stored_at][lt]=2025-03-01T12:00:01Z", "a"),
        ("filter[ingested_at][gt]=2025-03-01T12:00:00Z&filter[stored_at][lt]=2025-03-01T12:00:02Z", "b"),
        ("filter[id][gte]=a&filter[id][lt]=c&filter[subject]=acme", "a"),
        ("filter[id][ocontains]=a,b&filter[id][neq]=a", "b"), ("filter[customer_id][oeq]=,", "abc"),
        ("filter=a&filter[id", "abc"),
    ];
    for (query, expected) in table {
        assert_eq!(listed(&world, query).await, expected, "{query}");
    }
}

#[actix_web::test]
async fn a_list_is_ordered_by_one_instant() {
    let world = three().await;
    #[rustfmt::skip]
    let table = [
        ("", "abc"), ("sort=", "abc"), ("sort=time", "abc"), ("sort=time%20asc", "cba"), ("sort=time+desc", "abc"),
        ("sort=ingested_at", "cba"), ("sort=ingested_at%20asc", "abc"), ("sort=stored_at%20desc", "cba"),
    ];
    for (query, expected) in table {
        assert_eq!(listed(&world, query).await, expected, "{query}");
    }
}

#[actix_web::test]
async fn what_cannot_be_asked_is_told_by_parameter() {
    let world = three().await;
    let supported = "unsupported sort field \"id\", supported fields: time, ingested_at, stored_at";
    #[rustfmt::skip]
    let table = [
        ("page[size]=0", "page[size]", "must be 1 to 100"),     ("page[size]=101", "page[size]", "must be 1 to 100"),
        ("page[size]=-1", "page[size]", "must be 1 to 100"),    ("page[size]=x", "page.size", "must be a whole number"),
        ("page[size]=1&page[size]=2", "page.size", "is there twice"),
        ("page[before]=x", "page[before]", "backward pagination is not supported"),
        ("page[number]=1", "page", "unknown member \"number\""), ("page[after]=", "page[after]", "text is empty"),
        ("page[after]=MjAyNQ==", "page[after]", "cursor is invalid: no delimiter found"),
        ("sort=id", "sort", supported),
        ("filter[size]=1&filter[age]=1", "filter", "unknown filter field(s): age, size"),
        ("filter[id][zz]=1", "filter", "filter[id][zz]: unsupported operator"),
        ("filter[time][gte]=today", "filter", "filter[time][gte]: invalid datetime"),
        ("filter[customer_id]=x", "filter", "filter[customer_id]: invalid ULID"),
        (&format!("filter[customer_id][neq]={ID}"), "filter", "filter[customer_id][neq]: unsupported operator"),
    ];
    for (query, field, reason) in table {
        let answer = get(&world, &format!("{PATH}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        let told = &answer.json()["invalid_parameters"][0];
        assert_eq!(
            (&told["field"], &told["reason"], &told["source"]),
            (&json!(field), &json!(reason), &json!("query"))
        );
        assert_eq!(answer.json()["type"], "https://kongapi.info/konnect/bad-request");
    }
}

#[actix_web::test]
async fn empty_texts_are_told_in_the_dialect_of_v1() {
    let answer = get(&world(), &format!("{PATH}?filter[id][eq]=")).await;
    let detail = "validation error: filter is invalid: format mismatch".to_string();
    assert_eq!((answer.status, answer.detail()), (400, detail));
    assert_eq!(answer.json()["type"], "about:blank");
}

/// All pages, one after the other, and how many there were.
async fn walk(world: &Arc<World>, query: &str, size: usize) -> (String, usize) {
    let (mut seen, mut pages, mut after) = (String::new(), 0, String::new());
    loop {
        let answer = get(world, &format!("{PATH}?{query}&page[size]={size}{after}")).await;
        seen += &ids(&answer);
        pages += 1;
        let page = answer.json()["meta"]["page"].clone();
        assert_eq!(page["size"], size);
        match page["next"].as_str() {
            Some(next) => after = format!("&page[after]={}", next.replace('+', "%2B")),
            None => return (seen, pages),
        }
        assert_eq!(page["next"], page["last"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pages_visit_every_event_once_and_in_order(
        seconds in proptest::collection::vec(0u8..4, 0..9), size in 1usize..5, by in 0usize..3, descending: bool,
    ) {
        let sort = ["time", "ingested_at", "stored_at"][by];
        let query = format!("sort={sort}%20{}", if descending { "desc" } else { "asc" });
        let (seen, pages, mut expected) = actix_web::rt::System::new().block_on(async {
            let world = world();
            for (at, second) in seconds.iter().enumerate() {
                let time = format!("2025-03-01T10:00:0{second}.00000000{second}Z");
                let sent = with(&at.to_string(), json!({"time": time})).to_string();
                assert_eq!(post(&world, PATH, EITHER, sent).await.status, 202);
                // Some are accepted at one instant.
                world.with(|state| state.now += i64::from(second % 2));
            }
            let (seen, pages) = walk(&world, &query, size).await;
            let all = world.with(|state| state.events.clone());
            (seen, pages, all)
        });
        expected.sort_by_key(|event| (if by == 0 { event.time } else { event.accepted_at }, event.position));
        if descending {
            expected.reverse();
        }
        let expected: String = expected.iter().map(|event| event.id.clone()).collect();
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(pages, seconds.len() / size + 1);
    }
}

#[actix_web::test]
async fn an_accepted_event_is_answered_with_where_it_stands() {
    let world = world();
    for (content_type, body, end) in [
        (ONE, event("1"), "0:1"),
        ("application/cloudevents-batch+json; charset=utf-8", json!([event("2"), event("3")]), "0:3"),
        ("application/json;charset=utf-8", event("4"), "0:4"),
        (EITHER, json!([with("5", json!({"specversion": null}))]), "0:5"),
        (EITHER, with("6", json!({"specversion": null, "time": null})), "0:6"),
        (BATCH, json!([]), "0:6"),
    ] {
        let answer = post(&world, PATH, content_type, body.to_string()).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{content_type} {body}");
        assert_eq!((answer.header("x-weir-position"), answer.header("content-type")), (end, ""));
    }
    assert_eq!(world.with(|state| state.events[4].specversion.clone()), "1.0");
}

#[actix_web::test]
async fn every_bad_event_is_named_by_field_and_rule() {
    let world = world();
    let bad = |members: Value| with("x", members);
    #[rustfmt::skip]
    let table = [
        (ONE, bad(json!({"specversion": null})), "specversion", "required"),
        (BATCH, json!([event("1"), bad(json!({"specversion": null}))]), "1.specversion", "required"),
        (EITHER, bad(json!({"subject": ""})), "subject", "min_length"),
        (EITHER, json!([event("1"), event("2"), bad(json!({"id": 7}))]), "2.id", "type"),
        (EITHER, bad(json!({"traceid": "7"})), "traceid", "properties"),
        (BATCH, json!([bad(json!({"data_base64": "e30="}))]), "0.data_base64", "properties"),
        (ONE, bad(json!({"source": "1:2"})), "source", "format"),
        (ONE, bad(json!({"time": "today"})), "time", "format"),
        (ONE, bad(json!({"datacontenttype": "text/xml"})), "datacontenttype", "enum"),
        (ONE, bad(json!({"specversion": "2.0"})), "specversion", "enum"),
        (ONE, bad(json!({"data": [1]})), "data", "type"),
        (BATCH, json!([7]), "0", "type"),
        (ONE, json!([event("1")]), "", "type"),
    ];
    for (content_type, body, field, rule) in table {
        let answer = post(&world, PATH, content_type, body.to_string()).await;
        let told = answer.json()["invalid_parameters"].clone();
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
        assert_eq!(
            (&told[0]["field"], &told[0]["rule"], &told[0]["source"]),
            (&json!(field), &json!(rule), &json!(""))
        );
    }
    let several = post(&world, PATH, BATCH, json!([{}, event("1"), {"a": 1}]).to_string()).await;
    assert_eq!(several.json()["invalid_parameters"].as_array().unwrap().len(), 11);
    assert!(several.detail().starts_with("Bad Request: 0.id [required]: is missing, 0.source [required]: "));
    assert_eq!(world.with(|state| state.events.len()), 0);
}

#[actix_web::test]
async fn bodies_that_are_wrong_as_a_whole_have_no_field() {
    let world = world();
    #[rustfmt::skip]
    let table = [
        (EITHER, "[]", "no events found"),                    (EITHER, "", "value is required but missing"),
        ("text/plain", "{}", "header Content-Type has unexpected value \"text/plain\""),
        ("", "{}", "header Content-Type has unexpected value \"\""),
        (ONE, "{}{}", "broken JSON at line 1 column 3: trailing characters"),
    ];
    for (content_type, body, reason) in table {
        let answer = post(&world, PATH, content_type, body).await;
        let told = &answer.json()["invalid_parameters"][0];
        assert_eq!((answer.status, &told["field"], &told["reason"]), (400, &json!(""), &json!(reason)));
        assert_eq!(answer.detail(), format!("Bad Request: {reason}"));
    }
}

#[actix_web::test]
async fn a_long_list_of_faults_is_cut_and_the_rest_counted() {
    let settings = HttpSettings { faults_listed_max: 2, ..HttpSettings::default() };
    let request = TestRequest::post().uri(PATH).insert_header(("content-type", BATCH)).set_payload("[7,7,7]");
    let answer = ask_of(door_with(&world(), settings), request).await;
    let told = answer.json()["invalid_parameters"].clone();
    assert_eq!((told.as_array().unwrap().len(), &told[2]["reason"]), (3, &json!("and 1 more, in 3 events")));
}
