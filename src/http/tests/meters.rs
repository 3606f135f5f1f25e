//! `/api/v1/meters`.

use super::*;
use crate::ports::event_log::AppendError;
use serde_json::json;

const PATH: &str = "/api/v1/meters";

#[actix_web::test]
async fn a_meter_is_created_shown_listed_and_deleted() {
    let house = House::new().await;
    let answer = house.post(PATH, meter("job_seconds")).await;
    assert_eq!((answer.status, answer.header("x-weir-position")), (201, "0:1"), "{}", answer.text);
    let made = answer.json();
    let at = "2025-03-01T12:00:00Z";
    let mut expected = json!({"aggregation": "SUM", "annotations": null, "createdAt": at, "eventType": "job",
        "groupBy": {"region": "$.region"}, "metadata": null, "name": "job_seconds", "slug": "job_seconds",
        "updatedAt": at, "valueProperty": "$.seconds"});
    expected["id"] = made["id"].clone();
    assert_eq!(made, expected);
    let id = made["id"].as_str().unwrap().to_string();
    for address in ["job_seconds", &id] {
        assert_eq!(house.get(&format!("{PATH}/{address}")).await.json(), made);
    }
    assert_eq!(house.get(PATH).await.json(), json!([made]));

    house.world.with(|state| state.now += 5_000_000_000);
    let answer = house.delete(&format!("{PATH}/job_seconds")).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("x-weir-position")), (204, "", "0:2"));
    assert_eq!(house.get(PATH).await.json(), json!([]));
    let shown = house.get(&format!("{PATH}/{id}")).await.json();
    let gone = json!("2025-03-01T12:00:05Z");
    assert_eq!((&shown["deletedAt"], &shown["updatedAt"]), (&gone, &gone));
    assert_eq!(house.get(&format!("{PATH}?includeDeleted=true")).await.json(), json!([shown]));
    let answer = house.get(&format!("{PATH}/job_seconds")).await;
    assert_eq!((answer.status, answer.detail().as_str()), (404, "not found error: meter not found: job_seconds"));
    // Again: by id nothing is left to do, by slug there is nothing.
    assert_eq!(house.delete(&format!("{PATH}/{id}")).await.status, 204);
    assert_eq!(house.delete(&format!("{PATH}/job_seconds")).await.status, 404);
    assert_eq!(house.post(PATH, meter("job_seconds")).await.status, 201, "the slug is free again");
}

#[actix_web::test]
async fn everything_that_was_given_is_shown() {
    let house = House::new().await;
    let mut body = meter("a");
    body["name"] = json!("A & B");
    body["description"] = json!("what it is");
    body["metadata"] = json!({"team": "core"});
    body["eventFrom"] = json!("2025-01-01T00:00:00.5+01:00");
    let made = house.post(PATH, body).await.json();
    assert_eq!(made["name"], "A & B");
    assert_eq!(made["description"], "what it is");
    assert_eq!(made["metadata"], json!({"team": "core"}));
    assert_eq!(made["eventFrom"], "2024-12-31T23:00:00.5Z");
}

#[actix_web::test]
async fn what_a_change_leaves_out_is_kept_cleared_or_set_back() {
    let house = House::new().await;
    let mut body = meter("a");
    (body["name"], body["description"], body["metadata"]) = (json!("A"), json!("old"), json!({"team": "core"}));
    house.post(PATH, body).await;
    let path = format!("{PATH}/a");
    let sent = json!({"name": "B", "description": "new", "metadata": {"m": "x"}, "groupBy": {"zone": "$.zone"}});
    let changed = house.put(&path, sent.clone()).await;
    assert_eq!((changed.status, changed.header("x-weir-position")), (200, "0:3"), "{}", changed.text);
    for field in ["name", "description", "metadata", "groupBy"] {
        assert_eq!(changed.json()[field], sent[field], "{field}");
    }
    let bare = house.put(&path, json!({"slug": "ignored", "aggregation": "COUNT"})).await.json();
    assert_eq!((&bare["name"], &bare["description"]), (&json!("a"), &json!("new")));
    assert_eq!((&bare["metadata"], bare.get("groupBy"), &bare["aggregation"]), (&json!(null), None, &json!("SUM")));
    let answer = house.put(&path, json!({"description": ""})).await;
    assert_eq!(answer.detail(), "validation error: description must not be empty string");
    assert_eq!(house.put(&format!("{PATH}/b"), json!({})).await.status, 404);
}

#[actix_web::test]
async fn a_taken_slug_is_a_conflict() {
    let house = House::new().await;
    house.post(PATH, meter("a")).await;
    let answer = house.post(PATH, meter("a")).await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (409, "conflict error: meter with the same slug already exists")
    );
}

#[actix_web::test]
async fn a_draft_that_breaks_a_rule_is_told_which() {
    let house = House::new().await;
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
        (changed("aggregation", json!("sum")), format!("{schema} \"/aggregation\": value is not one of the allowed values [\"SUM\",\"COUNT\",\"UNIQUE_COUNT\",\"AVG\",\"MIN\",\"MAX\",\"LATEST\"]")),
        (changed("groupBy", json!({"a": 1})), format!("{schema} \"/groupBy/a\": value must be a string")),
        (changed("eventFrom", json!("2025-01-01")), format!("{schema} \"/eventFrom\": string doesn't match the format \"date-time\"")),
        (removed("valueProperty"), "validation error: invalid meter aggregation: meter value property is required when the aggregation is not count".into()),
        (changed("aggregation", json!("COUNT")), "validation error: invalid meter aggregation: meter value property is not allowed when the aggregation is count".into()),
        (changed("description", json!("")), "validation error: description must not be empty string".into()),
    ];
    for (body, detail) in table {
        let answer = house.post(PATH, body).await;
        assert_eq!((answer.status, answer.detail()), (400, detail));
    }
    for path in ["seconds", "$.", "$[", "$..a"] {
        let answer = house.post(PATH, changed("valueProperty", json!(path))).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.detail().starts_with("validation error: invalid JSONPath"), "{}", answer.detail());
    }
    let request = TestRequest::post().uri(PATH).insert_header(("content-type", "text/plain")).set_payload("{}");
    let unexpected = "request body has an error: header Content-Type has unexpected value \"text/plain\"";
    assert_eq!(house.ask(request).await.detail(), unexpected);
    assert!(house.world.with(|state| state.meters.is_empty()));
}

#[actix_web::test]
async fn the_list_is_ordered_as_asked() {
    let house = House::new().await;
    for (slug, name) in [("b", "X"), ("a", "Z"), ("c", "Y")] {
        let mut body = meter(slug);
        body["name"] = json!(name);
        house.post(PATH, body).await;
        house.world.with(|state| state.now += 1_000_000_000);
    }
    #[rustfmt::skip]
    let table = [
        ("", "abc"), ("?order=DESC", "cba"), ("?orderBy=name", "bca"), ("?orderBy=createdAt", "bac"),
        ("?orderBy=updatedAt&order=DESC", "cab"), ("?orderBy=aggregation&order=DESC", "bac"), ("?page=9&pageSize=1", "abc"),
    ];
    for (query, slugs) in table {
        let list = house.get(&format!("{PATH}{query}")).await.json();
        let shown: String = list.as_array().unwrap().iter().map(|meter| meter["slug"].as_str().unwrap()).collect();
        assert_eq!(shown, slugs, "{query}");
    }
    for query in ["page=0", "pageSize=1001", "order=asc", "orderBy=slug", "includeDeleted=yes"] {
        assert_eq!(house.get(&format!("{PATH}?{query}")).await.status, 400, "{query}");
    }
}

#[actix_web::test]
async fn what_can_be_neither_id_nor_slug_is_a_400() {
    let world = world();
    for path in ["My-Meter", "a__b/query", "a%2Fb", "A/subjects", "A/group-by/region/values"] {
        let answer = get(&world, &format!("{PATH}/{path}")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.detail().starts_with("parameter \"meterIdOrSlug\" in path has an error"), "{path}");
    }
}

#[actix_web::test]
async fn a_change_is_kept_before_it_is_in_effect() {
    let house = House::new().await;
    house.world.with(|state| state.fail = Some(AppendError::Unknown { reason: "the sync failed".into() }));
    let answer = house.post(PATH, meter("a")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["extensions"]["outcome"], "accepted");
    house.world.with(|state| (state.fail, state.behind) = (None, Some((5, 1))));
    let answer = house.post(PATH, meter("b")).await;
    assert_eq!((answer.status, answer.header("x-weir-behind-events")), (201, "5"));
    assert_eq!(house.get(PATH).await.json().as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn without_the_database_meters_can_be_queried_and_not_changed() {
    let world = world();
    let id = live(&world, meter("job"));
    assert_eq!(get(&world, PATH).await.status, 503);
    let answer = post_json(&world, PATH, meter("a")).await;
    assert_eq!((answer.status, answer.json()["extensions"]["outcome"].as_str()), (503, Some("not_accepted")));
    for address in ["job", &id] {
        assert_eq!(get(&world, &format!("{PATH}/{address}/query")).await.status, 200);
    }
    assert_eq!(post(&world, "/api/v1/events", "application/json", event("1").to_string()).await.status, 204);
    assert_eq!(get(&world, "/api/v1/events").await.status, 200);
}
