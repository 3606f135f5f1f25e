//! `/api/v1/meters`.

use super::*;
use crate::ports::event_log::AppendError;
use serde_json::json;

async fn create(world: &Arc<World>, body: Value) -> Answer {
    post_json(world, "/api/v1/meters", body).await
}

#[actix_web::test]
async fn a_meter_is_created_shown_listed_and_deleted() {
    let world = world();
    let answer = create(&world, meter("job_seconds")).await;
    assert_eq!((answer.status, answer.header("x-weir-position")), (201, "0:1"));
    let made = answer.json();
    let at = "2025-03-01T12:00:00Z";
    let mut expected = json!({"aggregation": "SUM", "annotations": null, "createdAt": at, "eventType": "job",
        "groupBy": {"region": "$.region"}, "metadata": null, "name": "job_seconds", "slug": "job_seconds",
        "updatedAt": at, "valueProperty": "$.seconds"});
    expected["id"] = made["id"].clone();
    assert_eq!(made, expected);
    let id = made["id"].as_str().unwrap().to_string();
    for address in ["job_seconds", &id] {
        assert_eq!(get(&world, &format!("/api/v1/meters/{address}")).await.json(), made);
    }
    assert_eq!(get(&world, "/api/v1/meters").await.json(), json!([made]));

    world.with(|state| state.now += 5_000_000_000);
    let answer = ask(&world, TestRequest::delete().uri("/api/v1/meters/job_seconds")).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("x-weir-position")), (204, "", "0:2"));
    assert_eq!(get(&world, "/api/v1/meters").await.json(), json!([]));
    let shown = get(&world, &format!("/api/v1/meters/{id}")).await.json();
    assert_eq!(
        (&shown["deletedAt"], &shown["updatedAt"]),
        (&json!("2025-03-01T12:00:05Z"), &json!("2025-03-01T12:00:05Z"))
    );
    assert_eq!(get(&world, "/api/v1/meters?includeDeleted=true").await.json(), json!([shown]));
    let answer = get(&world, "/api/v1/meters/job_seconds").await;
    assert_eq!((answer.status, answer.detail().as_str()), (404, "not found error: meter not found: job_seconds"));
    // Again: by id nothing is left to do, by slug there is nothing.
    assert_eq!(ask(&world, TestRequest::delete().uri(&format!("/api/v1/meters/{id}"))).await.status, 204);
    assert_eq!(ask(&world, TestRequest::delete().uri("/api/v1/meters/job_seconds")).await.status, 404);
    assert_eq!(create(&world, meter("job_seconds")).await.status, 201, "the slug is free again");
}

#[actix_web::test]
async fn everything_that_was_given_is_shown() {
    let world = world();
    let mut body = meter("a");
    body["name"] = json!("A & B");
    body["description"] = json!("what it is");
    body["metadata"] = json!({"team": "core"});
    body["eventFrom"] = json!("2025-01-01T00:00:00.5+01:00");
    let made = create(&world, body).await.json();
    assert_eq!(made["name"], "A & B");
    assert_eq!(made["description"], "what it is");
    assert_eq!(made["metadata"], json!({"team": "core"}));
    assert_eq!(made["eventFrom"], "2024-12-31T23:00:00.5Z");
}

#[actix_web::test]
async fn a_taken_slug_is_a_conflict() {
    let world = world();
    create(&world, meter("a")).await;
    let answer = create(&world, meter("a")).await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (409, "conflict error: meter with the same slug already exists")
    );
}

#[actix_web::test]
async fn a_draft_that_breaks_a_rule_is_told_which() {
    let world = world();
    let schema = "request body has an error: doesn't match schema #/components/schemas/MeterCreate: Error at";
    let changed = |field: &str, value: Value| {
        let mut body = meter("a");
        body[field] = value;
        body
    };
    let removed = |field: &str| {
        let mut body = meter("a");
        body.as_object_mut().unwrap().remove(field);
        body
    };
    #[rustfmt::skip]
    let table = [
        (removed("slug"), format!("{schema} \"/slug\": property \"slug\" is missing")),
        (removed("aggregation"), format!("{schema} \"/aggregation\": property \"aggregation\" is missing")),
        (removed("eventType"), format!("{schema} \"/eventType\": property \"eventType\" is missing")),
        (changed("aggregation", json!("sum")), format!("{schema} \"/aggregation\": value is not one of the allowed values [\"SUM\",\"COUNT\",\"AVG\",\"MIN\",\"MAX\",\"UNIQUE_COUNT\",\"LATEST\"]")),
        (changed("groupBy", json!({"a": 1})), format!("{schema} \"/groupBy/a\": value must be a string")),
        (changed("eventFrom", json!("2025-01-01")), format!("{schema} \"/eventFrom\": must be an RFC 3339 date-time with seconds and a zone, such as 2025-03-01T10:00:00Z")),
        (removed("valueProperty"), "validation error: invalid meter aggregation: meter value property is required when the aggregation is not count".into()),
        (changed("aggregation", json!("COUNT")), "validation error: invalid meter aggregation: meter value property is not allowed when the aggregation is count".into()),
        (changed("description", json!("")), "validation error: description must not be empty string".into()),
    ];
    for (body, detail) in table {
        let answer = create(&world, body).await;
        assert_eq!((answer.status, answer.detail()), (400, detail));
    }
    for path in ["seconds", "$.", "$[", "$..a"] {
        let answer = create(&world, changed("valueProperty", json!(path))).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.detail().starts_with("validation error: invalid JSONPath"), "{}", answer.detail());
    }
    let answer = post(&world, "/api/v1/meters", "text/plain", "{}").await;
    assert_eq!(answer.detail(), "request body has an error: header Content-Type has unexpected value \"text/plain\"");
    assert!(world.with(|state| state.meters.is_empty()));
}

#[actix_web::test]
async fn the_list_is_ordered_as_asked() {
    let world = world();
    for (slug, name) in [("b", "X"), ("a", "Z"), ("c", "Y")] {
        let mut body = meter(slug);
        body["name"] = json!(name);
        create(&world, body).await;
        world.with(|state| state.now += 1_000_000_000);
    }
    #[rustfmt::skip]
    let table = [
        ("", "abc"), ("?order=DESC", "cba"), ("?orderBy=name", "bca"), ("?orderBy=createdAt", "bac"),
        ("?orderBy=updatedAt&order=DESC", "cab"), ("?orderBy=aggregation&order=DESC", "bac"), ("?page=9&pageSize=1", "abc"),
    ];
    for (query, slugs) in table {
        let list = get(&world, &format!("/api/v1/meters{query}")).await.json();
        let shown: String = list.as_array().unwrap().iter().map(|meter| meter["slug"].as_str().unwrap()).collect();
        assert_eq!(shown, slugs, "{query}");
    }
    for query in ["page=0", "pageSize=1001", "order=asc", "orderBy=slug", "includeDeleted=yes"] {
        assert_eq!(get(&world, &format!("/api/v1/meters?{query}")).await.status, 400, "{query}");
    }
}

#[actix_web::test]
async fn what_can_be_neither_id_nor_slug_is_a_400() {
    let world = world();
    for path in ["/api/v1/meters/My-Meter", "/api/v1/meters/a__b/query", "/api/v1/meters/a%2Fb"] {
        let answer = get(&world, path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.detail().starts_with("parameter \"meterIdOrSlug\" in path has an error"), "{path}");
    }
}

#[actix_web::test]
async fn a_change_is_not_decided_on_a_view_that_is_behind() {
    let world = world();
    world.with(|state| state.behind = Some((5, 1)));
    let answer = create(&world, meter("a")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["extensions"]["outcome"], "not_accepted");
    world.with(|state| {
        state.behind = None;
        state.fail = Some(AppendError::Unknown { reason: "the sync failed".into() });
    });
    let answer = create(&world, meter("a")).await;
    assert_eq!((answer.status, answer.json()["extensions"]["outcome"].as_str()), (503, Some("unknown")));
}

#[actix_web::test]
async fn meters_from_a_file_are_created_once_and_must_agree() {
    use crate::services::meters_file::{ensure, parse};
    let world = world();
    let state = door_with(&world, HttpSettings::default());
    let file = "meters:\n  - {slug: a, aggregation: SUM, eventType: t, valueProperty: $.n, groupBy: {Region: $.r}}\n";
    let made = ensure(&state.meters, "default", parse(file).unwrap()).await.unwrap();
    assert_eq!((made.created, made.kept), (vec!["a".to_string()], vec![]));
    let again = ensure(&state.meters, "default", parse(file).unwrap()).await.unwrap();
    assert_eq!((again.created, again.kept), (vec![], vec!["a".to_string()]));
    let other = file.replace("$.n", "$.m");
    let error = ensure(&state.meters, "default", parse(&other).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "meter a is not equal to the meter in the file: valueProperty mismatch");
}
