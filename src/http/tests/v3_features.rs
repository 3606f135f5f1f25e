//! `/api/v3/openmeter/features`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v3/openmeter/features";

/// A house with a live meter, and the meter's id.
async fn metered() -> (House, String) {
    let house = House::new().await;
    let made = house.post("/api/v1/meters", meter("jobs")).await.json();
    (house, made["id"].as_str().unwrap().to_string())
}

fn feature(key: &str, members: Value) -> Value {
    let mut feature = json!({"key": key, "name": "Jobs"});
    feature.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    feature
}

async fn create(house: &House, feature: Value) -> Value {
    let answer = house.post(PATH, feature).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

async fn patch(house: &House, id: &str, body: Value) -> Answer {
    house.ask(TestRequest::patch().uri(&format!("{PATH}/{id}")).set_json(body)).await
}

fn keys(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|feature| feature["key"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn a_feature_is_created_shown_and_archived() {
    let (house, meter_id) = metered().await;
    let members = json!({"description": "In Europe", "labels": {"team": "a"},
        "meter": {"id": meter_id, "filters": {"region": {"in": ["eu", "uk"]}}},
        "unit_cost": {"type": "llm", "provider": "openai", "model_property": "region", "token_type": "output"}});
    let made = create(&house, feature("eu_jobs", members.clone())).await;
    let at = "2025-03-01T12:00:00Z";
    let mut expected = feature("eu_jobs", members);
    let added = json!({"id": made["id"], "created_at": at, "updated_at": at});
    expected.as_object_mut().unwrap().extend(added.as_object().unwrap().clone());
    assert_eq!(made, expected);
    let id = made["id"].as_str().unwrap().to_string();
    assert_eq!(house.get(&format!("{PATH}/{id}")).await.json(), expected);
    let bare = create(&house, feature("bare", json!({}))).await;
    let expected =
        json!({"id": bare["id"], "key": "bare", "name": "Jobs", "labels": {}, "created_at": at, "updated_at": at});
    assert_eq!(bare, expected);

    assert_eq!(house.delete(&format!("{PATH}/{id}")).await.status, 204);
    for answer in [
        house.get(&format!("{PATH}/{id}")).await,
        house.delete(&format!("{PATH}/{id}")).await,
        patch(&house, &id, json!({"unit_cost": null})).await,
    ] {
        assert_eq!((answer.status, answer.detail()), (404, format!("feature not found: {id}")));
    }
    assert_eq!(house.get(&format!("{PATH}/eu_jobs")).await.json()["type"], "https://kongapi.info/konnect/not-found");
    assert_eq!(keys(&house.get(PATH).await.json()), ["bare"]);
}

#[actix_web::test]
async fn filters_mean_the_same_in_both_versions() {
    let (house, meter_id) = metered().await;
    #[rustfmt::skip]
    let table = [
        (json!({"eq": "eu"}), json!({"$eq": "eu"})), (json!({"nin": ["eu"]}), json!({"$nin": ["eu"]})),
        (json!({"contains": "50%_\\"}), json!({"$like": "%50\\%\\_\\\\%"})),
        (json!({"and": [{"neq": "a"}, {"ncontains": "b"}]}), json!({"$and": [{"$ne": "a"}, {"$nlike": "%b%"}]})),
        (json!({"exists": true}), json!({"$ne": ""})), (json!({"exists": false}), json!({"$eq": ""})),
    ];
    for (at, (v3, v1)) in table.into_iter().enumerate() {
        let members = json!({"meter": {"id": meter_id, "filters": {"region": v3}}});
        let made = create(&house, feature(&format!("f{at}"), members)).await;
        assert_eq!(made["meter"]["filters"]["region"], v3);
        let shown = house.get(&format!("/api/v1/features/f{at}")).await.json();
        assert_eq!(shown["advancedMeterGroupByFilters"]["region"], v1);
        assert_eq!(shown["meterSlug"], "jobs");
    }
    // What only v1 can say is there, and not shown.
    let body = json!({"key": "v1", "name": "n", "meterSlug": "jobs", "metadata": {"note": "two words"},
        "advancedMeterGroupByFilters": {"region": {"$gt": "a"}}});
    let id = house.post("/api/v1/features", body).await.json()["id"].as_str().unwrap().to_string();
    let shown = house.get(&format!("{PATH}/{id}")).await.json();
    assert_eq!((&shown["meter"]["filters"], &shown["labels"]), (&json!({"region": {}}), &json!({})));
}

#[actix_web::test]
async fn a_patch_sets_and_clears_the_unit_cost_alone() {
    let (house, meter_id) = metered().await;
    let made = create(&house, feature("jobs", json!({"meter": {"id": meter_id}}))).await;
    let id = made["id"].as_str().unwrap();
    house.world.with(|state| state.now += 1_000_000_000);
    let priced = patch(&house, id, json!({"unit_cost": {"type": "manual", "amount": "001.500"}})).await;
    assert_eq!(priced.status, 200, "{}", priced.text);
    let priced = priced.json();
    assert_eq!(priced["unit_cost"], json!({"type": "manual", "amount": "1.5"}));
    assert_eq!((&priced["updated_at"], &priced["meter"]), (&json!("2025-03-01T12:00:01Z"), &json!({"id": meter_id})));
    let cleared = patch(&house, id, json!({"unit_cost": null})).await;
    assert_eq!((cleared.status, cleared.json().get("unit_cost")), (200, None));

    let by_zone = json!({"type": "llm", "provider_property": "zone", "model": "m", "token_type": "input"});
    #[rustfmt::skip]
    let table = [
        (json!({}), "validation error: unitCost is required"),
        (json!({"unit_cost": by_zone}), "validation error: unit cost: provider property zone is not a group by of meter jobs"),
        (json!({"unit_cost": {"type": "manual", "amount": "9".repeat(40)}}), "validation error: unit cost: amount is out of range"),
        (json!({"name": "Other"}), "Bad Request: name [properties]"),
    ];
    for (body, detail) in table {
        let answer = patch(&house, id, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.detail().starts_with(detail), "{body}: {}", answer.detail());
    }
    let unknown = patch(&house, "01JK0000000000000000000000", json!({"unit_cost": null})).await;
    assert_eq!((unknown.status, unknown.detail().as_str()), (404, "feature not found: 01JK0000000000000000000000"));
}

#[actix_web::test]
async fn what_breaks_a_rule_is_told() {
    let (house, meter_id) = metered().await;
    let taken = create(&house, feature("taken", json!({}))).await["id"].as_str().unwrap().to_string();
    let of = |filters: Value| json!({"meter": {"id": meter_id, "filters": filters}});
    let unknown = "01JK0000000000000000000000";
    let many: serde_json::Map<_, _> = (0..11).map(|n| (format!("d{n}"), json!({"eq": "a"}))).collect();
    #[rustfmt::skip]
    let table = [
        ("taken", json!({}), 409, format!("feature {taken} with key taken already exists")),
        ("a", json!({"meter": {"id": unknown}}), 404, format!("not found error: meter not found: {unknown}")),
        ("a", of(json!({"zone": {"eq": "a"}})), 400, "validation error: zone is not a group by of meter jobs (known: region)".into()),
        ("a", of(json!({"region": {"eq": "a", "exists": true}})), 400, "validation error: validation error: filter is invalid: multiple operators are set".into()),
        ("a", of(Value::Object(many)), 400, "Bad Request: meter.filters [".into()),
        ("a", of(json!({"region": {"like": "a"}})), 400, "Bad Request: meter.filters.region.like [properties]".into()),
        ("a", json!({"labels": {"a.b-c": "x"}}), 400, "validation error: invalid label key".into()),
        ("a", json!({"unit_cost": {"type": "llm", "provider": "a", "model": "b", "token_type": "words"}}), 400, "Bad Request: unit_cost".into()),
        ("A", json!({}), 400, "Bad Request: key [pattern]".into()),
        ("a", json!({"meter": {"id": meter_id.to_lowercase()}}), 400, "Bad Request: meter.id [pattern]".into()),
    ];
    for (key, members, status, detail) in table {
        let answer = house.post(PATH, feature(key, members.clone())).await;
        assert_eq!(answer.status, status, "{members} {}", answer.text);
        assert!(answer.detail().starts_with(&detail), "{members}: {}", answer.detail());
    }
    assert_eq!(house.delete(&format!("/api/v1/meters/{meter_id}")).await.status, 204);
    let gone = house.post(PATH, feature("a", json!({"meter": {"id": meter_id}}))).await;
    assert_eq!((gone.status, gone.detail()), (404, format!("not found error: meter not found: {meter_id}")));
}

#[actix_web::test]
async fn a_list_is_filtered_sorted_and_cut_into_pages() {
    let (house, meter_id) = metered().await;
    for (key, name, metered) in [("b", "Beta", true), ("c", "Gamma", false), ("a", "Alpha", true)] {
        let mut request = json!({"key": key, "name": name});
        if metered {
            request["meter"] = json!({"id": meter_id});
        }
        create(&house, request).await;
        house.world.with(|state| state.now += 1_000_000_000);
    }
    #[rustfmt::skip]
    let table = [
        (String::new(), vec!["b", "c", "a"]), ("?sort=key".into(), vec!["a", "b", "c"]),
        ("?sort=name%20desc".into(), vec!["c", "b", "a"]), ("?sort=created_at%20desc".into(), vec!["a", "c", "b"]),
        ("?page[size]=2&page[number]=2".into(), vec!["a"]), ("?filter[key]=b".into(), vec!["b"]),
        ("?filter[name][contains]=MA".into(), vec!["c"]), (format!("?filter[meter_id]={meter_id}"), vec!["b", "a"]),
        (format!("?filter[meter_id][oeq]={meter_id},01JK0000000000000000000000"), vec!["b", "a"]),
        // What counts by no meter is not among those that count by another.
        (format!("?filter[meter_id][neq]={meter_id}"), vec![]),
        ("?filter[meter_id][neq]=01JK0000000000000000000000".into(), vec!["b", "a"]),
    ];
    for (query, expected) in table {
        assert_eq!(keys(&house.get(&format!("{PATH}{query}")).await.json()), expected, "{query}");
    }
    let meta = house.get(&format!("{PATH}?page[size]=2")).await.json()["meta"].clone();
    assert_eq!(meta, json!({"page": {"number": 1, "size": 2, "total": 3}}));
    for query in ["?sort=id", "?filter[meter_id]=jobs", "?filter[slug]=a", "?filter[meter_id][contains]=a"] {
        let answer = house.get(&format!("{PATH}{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["invalid_parameters"][0]["source"]),
            (400, &json!("query")),
            "{query}"
        );
    }
}
