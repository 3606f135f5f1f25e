//! `POST /api/v3/openmeter/meters/{meterId}/query`.

use super::*;
use crate::domain::metering::query::{TextFilter, UsageRow};
use crate::domain::metering::window::{WindowSize, Windows};
use crate::domain::quantity::Quantity;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeMap;

/// A world with a meter of jobs by region and zone.
fn with_meter() -> (Arc<World>, String) {
    let world = world();
    let mut jobs = meter("jobs");
    jobs["groupBy"]["zone"] = json!("$.zone");
    let id = live(&world, jobs);
    (world, format!("/api/v3/openmeter/meters/{id}/query"))
}

fn row(start: &str, end: &str, subject: Option<&str>, groups: &[&str], value: &str) -> UsageRow {
    let at = |time: &str| Instant::parse(time).unwrap();
    UsageRow {
        window_start: at(start),
        window_end: at(end),
        subject: subject.map(str::to_string),
        customer: None,
        groups: groups.iter().map(|group| group.to_string()).collect(),
        value: Quantity::parse(value).unwrap(),
    }
}

#[actix_web::test]
async fn an_answer_has_exact_texts_and_the_clients_own_bounds() {
    let (world, path) = with_meter();
    let digits = "12345678901234567890.1234567890123456789012345678";
    world.with(|state| state.rows = vec![row("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", None, &[], digits)]);
    let body = json!({"from": "2025-03-01T02:00:00+02:00", "to": "2025-03-02T00:00:00.000Z"});
    let answer = post_json(&world, &path, body).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.text,
        format!(
            "{{\"data\":[{{\"dimensions\":{{}},\"from\":\"2025-03-01T00:00:00Z\",\"to\":\"2025-03-02T00:00:00Z\",\
             \"value\":\"{digits}\"}}],\"from\":\"2025-03-01T02:00:00+02:00\",\"to\":\"2025-03-02T00:00:00Z\"}}\n"
        )
    );
    world.with(|state| state.rows.clear());
    assert_eq!(post_json(&world, &path, json!({})).await.text, "{\"data\":[]}\n");
}

#[actix_web::test]
async fn rows_are_told_apart_by_dimensions_on_the_querys_clock() {
    let (world, path) = with_meter();
    let (start, end) = ("2025-03-09T08:00:00Z", "2025-03-10T07:00:00Z");
    world
        .with(|state| state.rows = vec![row(start, end, Some("b"), &["z-1", "eu"], "1000000000000000000000000000000")]);
    let body = json!({"granularity": "P1D", "time_zone": "America/Los_Angeles",
        "group_by_dimensions": ["zone", "subject", "region", "zone"]});
    let answer = post_json(&world, &path, body).await;
    assert_eq!(
        answer.json()["data"][0],
        json!({"dimensions": {"region": "eu", "subject": "b", "zone": "z-1"}, "from": "2025-03-09T00:00:00-08:00",
            "to": "2025-03-10T00:00:00-07:00", "value": "1000000000000000000000000000000"})
    );
    let asked = world.with(|state| state.asked.take().unwrap());
    assert_eq!((asked.group_by_subject, asked.group_by), (true, vec!["zone".to_string(), "region".to_string()]));
    assert!(matches!(asked.window, Some(Windows::Calendar(WindowSize::Day, _))));
}

#[actix_web::test]
async fn every_granularity_is_a_window() {
    let (world, path) = with_meter();
    #[rustfmt::skip]
    let table = [
        ("PT1M", WindowSize::Minute), ("PT1H", WindowSize::Hour), ("P1D", WindowSize::Day), ("P1M", WindowSize::Month),
    ];
    for (granularity, window) in table {
        assert_eq!(post_json(&world, &path, json!({"granularity": granularity})).await.status, 200);
        let asked = world.with(|state| state.asked.take().unwrap().window);
        assert_eq!(asked, Some(Windows::Calendar(window, TimeZone::UTC)));
    }
}

#[actix_web::test]
async fn filters_become_conditions_and_a_subject_filter_groups() {
    let (world, path) = with_meter();
    let asked = async |dimensions: Value| {
        let answer = post_json(&world, &path, json!({"filters": {"dimensions": dimensions}})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        world.with(|state| state.asked.take().unwrap())
    };
    let query = asked(json!({"region": {"in": ["eu", "us"]}, "zone": {}, "subject": {"eq": "acme"}})).await;
    let both = vec!["eu".to_string(), "us".to_string()];
    assert_eq!(query.filters, BTreeMap::from([("region".to_string(), TextFilter::In(both))]));
    assert_eq!((query.subjects, query.group_by_subject), (Some(vec!["acme".to_string()]), true));
    let query = asked(json!({"subject": {"in": ["a", "b"]}, "customer_id": {}})).await;
    assert_eq!(query.subjects, Some(vec!["a".to_string(), "b".to_string()]));
    let query = asked(json!({"subject": {}})).await;
    assert_eq!((query.subjects, query.group_by_subject), (None, false));
    let query = asked(json!({"region": {"exists": true}, "zone": {"exists": false}})).await;
    assert!(query.filters["region"].accepts("eu") && !query.filters["region"].accepts(""));
    assert!(!query.filters["zone"].accepts("z-1") && query.filters["zone"].accepts(""));
}

#[actix_web::test]
async fn what_only_the_meter_can_tell_is_refused_by_its_code() {
    let (world, path) = with_meter();
    let filter = |name: &str, filter: Value| json!({"filters": {"dimensions": {name: filter}}});
    #[rustfmt::skip]
    let table = [
        (json!({"group_by_dimensions": ["region", "colour"]}), 400, "invalid_group_by", "$.group_by_dimensions", ("value", "colour")),
        (json!({"time_zone": "Mars/Olympus"}), 400, "invalid_time_zone", "$.time_zone", ("value", "Mars/Olympus")),
        (filter("colour", json!({"eq": "red"})), 400, "invalid_dimension_filter", "$.filters.dimensions.colour", ("severity", "critical")),
        (filter("subject", json!({"neq": "a"})), 400, "unsupported_filter_operator", "$.filters.dimensions.subject", ("severity", "critical")),
        (filter("customer_id", json!({"exists": true})), 400, "unsupported_filter_operator", "$.filters.dimensions.customer_id", ("severity", "critical")),
    ];
    for (body, status, code, field, (name, value)) in table {
        let answer = post_json(&world, &path, body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let issue = &answer.json()["extensions"]["validationErrors"][0];
        assert_eq!((&issue["code"], &issue["field"], &issue[name]), (&json!(code), &json!(field), &json!(value)));
    }
    let twice =
        r#"validation error: dimension filter "zone": validation error: filter is invalid: multiple operators are set"#;
    let deep = r#"validation error: dimension filter "zone": validation error: filter complexity exceeds maximum allowed depth"#;
    let at = "2025-03-01T00:00:00Z";
    #[rustfmt::skip]
    let table = [
        (json!({"from": at, "to": at}), "validation error: from and to cannot be equal"),
        (json!({"from": at, "to": "2025-02-01T00:00:00Z"}), "validation error: from must be before to"),
        (json!({"group_by_dimensions": ["customer_id"]}), "validation error: customer filter is required with customer_id group by"),
        (filter("zone", json!({"eq": "a", "neq": "b"})), twice),
        (filter("zone", json!({"and": [{"or": [{"and": [{"eq": "a"}]}]}]})), deep),
    ];
    for (body, detail) in table {
        let answer = post_json(&world, &path, body).await;
        assert_eq!((answer.status, answer.detail().as_str()), (400, detail));
    }
}

#[actix_web::test]
async fn what_breaks_the_schema_is_told_by_field_and_rule() {
    let (world, path) = with_meter();
    let many = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
    let filters: serde_json::Map<String, Value> = many(11).into_iter().map(|name| (name, json!({"eq": "x"}))).collect();
    #[rustfmt::skip]
    let table = [
        (json!({"granularity": "PT1S"}), "granularity", "enum"),  (json!({"from": "2025-03-01"}), "from", "format"),
        (json!({"colour": 1}), "colour", "properties"),            (json!({"time_zone": 7}), "time_zone", "type"),
        (json!({"group_by_dimensions": many(101)}), "group_by_dimensions", "max_items"),
        (json!({"filters": {"dimensions": {"zone": {"in": []}}}}), "filters.dimensions.zone.in", "min_items"),
        (json!({"filters": {"dimensions": {"zone": {"like": "x"}}}}), "filters.dimensions.zone.like", "properties"),
        (json!({"filters": {"dimensions": {"zone": {"or": [{"exists": true}]}}}}), "filters.dimensions.zone.or.0.exists", "properties"),
        (json!({"filters": {"dimensions": filters}}), "filters.dimensions", "maxProperties"),
    ];
    for (body, field, rule) in table {
        let answer = post_json(&world, &path, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        let told = &answer.json()["invalid_parameters"][0];
        assert_eq!((&told["field"], &told["rule"]), (&json!(field), &json!(rule)), "{body}: {}", answer.text);
    }
}

#[actix_web::test]
async fn a_meter_that_is_not_there_is_not_found() {
    let (world, _) = with_meter();
    let path = |id: &str| format!("/api/v3/openmeter/meters/{id}/query");
    let answer = post_json(&world, &path("01JN8T4Q6Z0000000000000MTR"), json!({})).await;
    let detail = "not found error: meter not found: 01JN8T4Q6Z0000000000000MTR".to_string();
    assert_eq!((answer.status, answer.detail(), &answer.json()["type"]), (404, detail, &json!("about:blank")));
    for id in ["jobs", "01jn8t4q6z0000000000000mtr"] {
        let answer = post_json(&world, &path(id), json!({})).await;
        assert_eq!((answer.status, answer.detail().as_str()), (404, "The requested entity was not found"));
    }
}

#[actix_web::test]
async fn an_answer_can_be_a_table() {
    let (world, path) = with_meter();
    let (start, end) = ("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z");
    world.with(|state| {
        state.rows = vec![row(start, end, Some("a,b"), &["eu"], "7.5"), row(start, end, Some("é"), &[""], "0.0000001")]
    });
    let body = json!({"group_by_dimensions": ["region", "subject"]});
    let ask_for = |accept: &'static str, body: Value| {
        let request = TestRequest::post().uri(&path).insert_header(("accept", accept)).set_json(body);
        ask(&world, request)
    };
    let answer = ask_for("text/csv", body.clone()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=jobs.csv");
    assert_eq!(
        answer.text,
        "from,to,subject,region,value\n2025-03-01T00:00:00Z,2025-03-02T00:00:00Z,é,,0.0000001\n\
         2025-03-01T00:00:00Z,2025-03-02T00:00:00Z,\"a,b\",eu,7.5\n"
    );
    assert_eq!(ask_for("text/csv, */*", body).await.header("content-type"), "application/json");
    world.with(|state| state.rows.clear());
    assert_eq!(ask_for("text/csv; charset=utf-8", json!({})).await.text, "from,to,value\n");
}
