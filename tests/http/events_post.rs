//! `POST /api/v1/events`.

use super::*;
use std::io::Read;

#[test]
fn an_accepted_event_counts_in_the_very_next_query() {
    let house = House::new();
    house.create(&meter("job_seconds"));
    let mut last = String::new();
    for (content_type, body) in [
        (ONE, event("1").to_string()),
        (BATCH, json!([event("2"), event("3")]).to_string()),
        (EITHER, event("4").to_string()),
        (EITHER, json!([event("5")]).to_string()),
    ] {
        let answer = house.post("/api/v1/events", content_type, body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{content_type}");
        assert_ne!(answer.headers["x-weir-position"], last);
        last = answer.headers["x-weir-position"].clone();
    }
    let answer = house.client.get_with("/api/v1/meters/job_seconds/query", &[("X-Weir-After", &last)]).unwrap();
    assert_eq!(answer.json()["data"][0]["value"], 20);
    let empty = house.post("/api/v1/events", BATCH, "[]");
    assert_eq!((empty.status, &empty.headers["x-weir-position"]), (204, &last));
}

#[test]
fn what_was_accepted_is_kept_as_it_came_also_over_a_restart() {
    let mut house = House::new();
    let body = r#"{"specversion":"0.3","id":"ü/1","source":"my source","type":"job","subject":" a ","traceparent":"00-1",
        "time":"2025-03-01T10:00:00.123456789+02:00","data":{ "b":1.00,"a":12345678901234567890.5 ,"b":2 }}"#;
    assert_eq!(house.post("/api/v1/events", ONE, body).status, 204);
    for _ in 0..2 {
        let listed = house.get("/api/v1/events").body;
        for part in [
            r#""id":"ü/1""#,
            r#""source":"my source""#,
            r#""subject":" a ""#,
            r#""traceparent":"00-1""#,
            r#""time":"2025-03-01T08:00:00.123456789Z""#,
            r#""data":{ "b":1.00,"a":12345678901234567890.5 ,"b":2 }"#,
        ] {
            assert!(listed.contains(part), "{part} is not in {listed}");
        }
        house.restart();
    }
}

#[test]
fn a_wrong_media_type_is_a_400() {
    let house = House::new();
    let unexpected =
        |sent: &str| format!("request body has an error: header Content-Type has unexpected value {sent:?}");
    for (content_type, detail) in [
        ("application/json; charset=utf-8", "invalid content type: application/json; charset=utf-8".to_string()),
        ("text/plain", unexpected("text/plain")),
        ("application/x-www-form-urlencoded", unexpected("application/x-www-form-urlencoded")),
    ] {
        assert_eq!(problem(&house.post("/api/v1/events", content_type, event("1").to_string())), (400, detail));
    }
}

#[test]
fn a_broken_body_is_a_400_that_names_the_place() {
    let house = House::new();
    #[rustfmt::skip]
    let table: [(&[u8], &str); 7] = [
        (b"{\"specversion\":\"1.0\",", "request body has an error: broken JSON at line 1 column 21: EOF while parsing a value"),
        (b"[{\"data\":{\"n\":NaN}}]", "request body has an error: broken JSON at line 1 column 15: expected value"),
        (b"{}\n{}", "request body has an error: broken JSON at line 2 column 1: trailing characters"),
        (b"[\"\xff\"]", "request body has an error: the bytes at offset 2 are not UTF-8"),
        (b"", "request body has an error: value is required but missing"),
        (b"[]", "invalid event: no events found"),
        (b"7", "invalid event: the body must be an event or an array of events"),
    ];
    for (body, detail) in table {
        assert_eq!(problem(&house.post("/api/v1/events", EITHER, body)), (400, detail.to_string()));
    }
}

#[test]
fn a_bad_event_refuses_its_batch_whole_and_is_named() {
    let house = House::new();
    let with = |member: &str, value: Value| {
        let mut event = event("1");
        event[member] = value;
        event
    };
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(128), "}".repeat(128));
    #[rustfmt::skip]
    let table = [
        (with("id", json!("")), "id", "must not be empty"), (with("id", json!(7)), "id", "must be a string"),
        (with("id", json!("x".repeat(1 << 20))), "id", "has 1048576 bytes; at most 8192"),
        (with("source", json!("1:2")), "source", "must be a URI reference"), (with("source", json!("100%")), "source", "must be a URI reference"),
        (with("time", json!("1899-12-31T23:59:59Z")), "time", "must lie in the years 1900 to 2261"),
        (with("time", json!("2262-01-01T00:00:00Z")), "time", "must lie in the years 1900 to 2261"),
        (with("time", json!("yesterday")), "time", "must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z"),
        (with("specversion", json!("2")), "specversion", "must be 1.0 or 0.3"), (with("subject", json!(null)), "subject", "must be a string"),
        (with("datacontenttype", json!("text/xml")), "datacontenttype", "must be application/json"),
        (with("data", json!("text")), "data", "must be a JSON object or null"), (with("trace_id", json!("x")), "trace_id", "is no attribute's name: letters A-Z, a-z and digits only"),
    ];
    for (bad, field, message) in &table {
        let answer = house.post("/api/v1/events", BATCH, json!([event("0"), bad]).to_string());
        assert_eq!(problem(&answer), (400, format!("invalid event: [1].{field} {message}")));
        let listed = &answer.json()["extensions"]["validationErrors"];
        assert_eq!((&listed[0]["field"], &listed[0]["message"]), (&json!(format!("[1].{field}")), &json!(message)));
    }
    let nested = event("1").to_string().replace("{\"region\":\"eu\",\"seconds\":4}", &deep);
    assert_eq!(
        problem(&house.post("/api/v1/events", ONE, nested)),
        (400, "invalid event: [0].data is nested deeper than 128 levels".into())
    );
    let twice = event("1").to_string().replace("\"id\":\"1\"", "\"id\":\"1\",\"id\":\"1\"");
    assert_eq!(
        problem(&house.post("/api/v1/events", ONE, twice)),
        (400, "invalid event: [0].id is there twice".into())
    );
    for field in ["id", "source", "type", "subject", "specversion"] {
        let mut bad = event("1");
        bad.as_object_mut().unwrap().remove(field);
        let answer = house.post("/api/v1/events", EITHER, bad.to_string());
        assert_eq!(problem(&answer), (400, format!("invalid event: [0].{field} is missing")));
    }
    assert_eq!(house.get("/api/v1/events").body, "[]\n", "nothing of it was taken");
}

#[test]
fn bodies_and_batches_that_are_too_large_are_a_413() {
    let house = House::new();
    let answer = house.post("/api/v1/events", BATCH, vec![b' '; 50_000_000]);
    assert_eq!(
        problem(&answer),
        (413, "request entity too large error: the body is larger than 33554432 bytes".into())
    );
    let small = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u"}"#;
    let many = format!("[{}]", vec![small; 200_000].join(","));
    assert_eq!(
        problem(&house.post("/api/v1/events", BATCH, many)),
        (413, "request entity too large error: the batch has more than 100000 events".into())
    );
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(1 << 30), 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    let answer = house
        .client
        .post_with("/api/v1/events", &[("Content-Type", BATCH), ("Content-Encoding", "zstd")], &bomb)
        .unwrap();
    assert_eq!(problem(&answer).0, 413);
    assert_eq!(house.get("/health/live").status, 200);
}

#[test]
fn compressed_bodies_are_read_and_other_encodings_are_a_415() {
    use std::io::Write;
    let house = House::new();
    let body = json!([event("1")]).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(body.as_bytes()).unwrap();
    let send = |encoding: &str, body: &[u8]| {
        house
            .client
            .post_with("/api/v1/events", &[("Content-Type", BATCH), ("Content-Encoding", encoding)], body)
            .unwrap()
    };
    assert_eq!(send("gzip", &gzip.finish().unwrap()).status, 204);
    assert_eq!(send("zstd", &zstd::encode_all(body.as_bytes(), 1).unwrap()).status, 204);
    let detail = "content encoding \"br\" is not supported; send gzip, zstd or no encoding".to_string();
    assert_eq!(problem(&send("br", body.as_bytes())), (415, detail));
    assert_eq!(problem(&send("gzip", body.as_bytes())).0, 400);
}

#[test]
fn of_duplicate_keys_in_data_the_last_wins() {
    let house = House::new();
    house.create(&meter("job_seconds"));
    let body = event("1").to_string().replace("\"seconds\":4", "\"seconds\":4,\"seconds\":6");
    assert_eq!(house.post("/api/v1/events", ONE, body).status, 204);
    assert_eq!(house.get("/api/v1/meters/job_seconds/query").json()["data"][0]["value"], 6);
}
