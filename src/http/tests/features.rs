//! `/api/v1/features`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v1/features";

/// A house with a live meter whose dimension is `region`.
async fn metered() -> House {
    let house = House::new().await;
    assert_eq!(house.post("/api/v1/meters", meter("jobs")).await.status, 201);
    house
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

fn keys(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|feature| feature["key"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn a_feature_is_created_shown_and_archived() {
    let house = metered().await;
    let members = json!({"meterSlug": "jobs", "meterGroupByFilters": {"region": "eu"}, "metadata": {"team": "a"},
        "unitCost": {"type": "manual", "amount": "0.00000300"}});
    let made = create(&house, feature("eu_jobs", members)).await;
    let at = "2025-03-01T12:00:00Z";
    let expected = json!({"createdAt": at, "updatedAt": at, "key": "eu_jobs", "name": "Jobs", "id": made["id"],
        "metadata": {"team": "a"}, "meterSlug": "jobs", "meterGroupByFilters": {"region": "eu"},
        "advancedMeterGroupByFilters": {"region": {"$eq": "eu"}}, "unitCost": {"type": "manual", "amount": "0.000003"}});
    assert_eq!(made, expected);
    let id = made["id"].as_str().unwrap();
    for name in ["eu_jobs", id] {
        assert_eq!(house.get(&format!("{PATH}/{name}")).await.json(), made);
    }
    let bare = create(&house, feature("bare", json!({"metadata": {}, "meterGroupByFilters": {}}))).await;
    let expected = json!({"createdAt": at, "updatedAt": at, "key": "bare", "name": "Jobs", "id": bare["id"]});
    assert_eq!(bare, expected, "what is empty is not shown");

    house.world.with(|state| state.now += 1_000_000_000);
    let answer = house.delete(&format!("{PATH}/eu_jobs")).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    for name in ["eu_jobs", id] {
        for answer in [house.get(&format!("{PATH}/{name}")).await, house.delete(&format!("{PATH}/{name}")).await] {
            assert_eq!((answer.status, answer.detail()), (404, format!("feature not found: {name}")));
        }
    }
    let all = house.get(&format!("{PATH}?includeArchived=true")).await.json();
    assert_eq!((keys(&all), &all[1]["archivedAt"]), (vec!["bare", "eu_jobs"], &json!("2025-03-01T12:00:01Z")));
    assert_ne!(create(&house, feature("eu_jobs", json!({}))).await["id"], made["id"], "the key is free again");
}

#[actix_web::test]
async fn the_two_forms_of_a_filter_are_kept_in_step() {
    let house = metered().await;
    let (eu, us) = (json!({"region": "eu"}), json!({"region": {"$eq": "us"}}));
    let sea = json!({"region": {"$or": [{"$like": "%sea%"}, {"$in": ["eu", "us"]}]}});
    #[rustfmt::skip]
    let table = [
        (json!({"meterGroupByFilters": eu}), Some(eu.clone()), json!({"region": {"$eq": "eu"}})),
        (json!({"advancedMeterGroupByFilters": us}), Some(json!({"region": "us"})), us.clone()),
        (json!({"meterGroupByFilters": eu, "advancedMeterGroupByFilters": us}), Some(json!({"region": "us"})), us.clone()),
        (json!({"meterGroupByFilters": eu, "advancedMeterGroupByFilters": {}}), Some(eu.clone()), json!({"region": {"$eq": "eu"}})),
        (json!({"advancedMeterGroupByFilters": sea}), None, sea.clone()),
        (json!({"advancedMeterGroupByFilters": {"region": {"$ne": null, "$gte": "e"}}}), None, json!({"region": {"$gte": "e"}})),
    ];
    for (at, (mut members, plain, advanced)) in table.into_iter().enumerate() {
        members["meterSlug"] = json!("jobs");
        let made = create(&house, feature(&format!("f{at}"), members.clone())).await;
        assert_eq!(made.get("meterGroupByFilters"), plain.as_ref(), "{members}");
        assert_eq!(made["advancedMeterGroupByFilters"], advanced, "{members}");
    }
    // Without a meter there is nothing to hold a filter against.
    let made = create(&house, feature("free", json!({"meterGroupByFilters": {"anything": "x"}}))).await;
    assert_eq!(made["meterGroupByFilters"], json!({"anything": "x"}));
}

#[actix_web::test]
async fn what_breaks_a_rule_is_told() {
    let house = metered().await;
    let mean = json!({"slug": "mean", "aggregation": "AVG", "eventType": "job", "valueProperty": "$.seconds"});
    assert_eq!(house.post("/api/v1/meters", mean).await.status, 201);
    create(&house, feature("taken", json!({}))).await;
    let taken = house.get(&format!("{PATH}/taken")).await.json()["id"].as_str().unwrap().to_string();
    let schema = "request body has an error: doesn't match schema #/components/schemas/FeatureCreateInputs: Error at ";
    let llm = |members: Value| {
        let mut cost = json!({"type": "llm", "provider": "openai", "model": "gpt-4", "tokenType": "input"});
        cost.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({"meterSlug": "jobs", "unitCost": cost})
    };
    let filtered = |filter: Value| json!({"meterSlug": "jobs", "advancedMeterGroupByFilters": filter});
    #[rustfmt::skip]
    let table = [
        ("taken", json!({}), 409, format!("feature {taken} with key taken already exists")),
        ("a", json!({"meterSlug": "nope"}), 404, "not found error: meter not found: nope".into()),
        ("a", json!({"meterSlug": "mean"}), 400, "validation error: meter mean aggregates by AVG, and features can only be created for SUM, COUNT, UNIQUE_COUNT and LATEST".into()),
        ("a", filtered(json!({"zone": {"$eq": "a"}})), 400, "validation error: zone is not a group by of meter jobs (known: region)".into()),
        ("a", filtered(json!({"region": {"$eq": "a", "$ne": "b"}})), 400, "validation error: validation error: filter is invalid: multiple operators are set".into()),
        ("a", json!({"meterGroupByFilters": {"region": ""}}), 400, "validation error: validation error: filter is invalid: format mismatch".into()),
        ("01jk0000000000000000000000", json!({}), 400, "validation error: feature key 01jk0000000000000000000000 must not be a ULID".into()),
        ("a", json!({"unitCost": {"type": "manual", "amount": "-1"}}), 400, "validation error: unit cost: amount must not be negative".into()),
        ("a", llm(json!({"providerProperty": "region"})), 400, "validation error: unit cost: provider and its property are mutually exclusive".into()),
        ("a", llm(json!({"model": ""})), 400, "validation error: unit cost: model or its property is required".into()),
        ("a", llm(json!({"model": "", "modelProperty": "zone"})), 400, "validation error: unit cost: model property zone is not a group by of meter jobs".into()),
        ("a", llm(json!({"tokenType": "words"})), 400, "validation error: unit cost: words is not a token type (known: input, output, cache_read, cache_write, reasoning, request, response)".into()),
        ("a", json!({"meterSlug": null}), 400, format!("{schema}\"/meterSlug\": ")),
        ("Not A Key", json!({}), 400, format!("{schema}\"/key\": ")),
        ("a", json!({"name": 7}), 400, format!("{schema}\"/name\": value must be a string")),
        ("a", json!({"unitCost": {"type": "manual", "amount": "1e3"}}), 400, schema.to_string()),
        ("a", json!({"unitCost": {"type": "manual", "amount": 1.5}}), 400, schema.to_string()),
    ];
    for (key, members, status, detail) in table {
        let answer = house.post(PATH, feature(key, members.clone())).await;
        assert_eq!(answer.status, status, "{members} {}", answer.text);
        assert!(answer.detail().starts_with(&detail), "{members}: {}", answer.detail());
    }
    let unmetered = json!({"unitCost": llm(json!({}))["unitCost"]});
    let answer = house.post(PATH, feature("a", unmetered)).await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (400, "validation error: unit cost: the llm type requires a meter")
    );
    assert_eq!(keys(&house.get(PATH).await.json()), ["taken"], "a refusal leaves nothing behind");
}

#[actix_web::test]
async fn a_language_models_price_is_named_by_its_parts() {
    let house = metered().await;
    let cost = json!({"type": "llm", "provider": "openai", "modelProperty": "region", "tokenType": "request"});
    let made = create(&house, feature("tokens", json!({"meterSlug": "jobs", "unitCost": cost}))).await;
    assert_eq!(made["unitCost"], cost);
    assert_eq!(house.get(&format!("{PATH}/tokens")).await.json()["unitCost"], cost);
}

#[actix_web::test]
async fn a_list_is_an_array_or_a_page_when_one_is_asked_for() {
    let house = metered().await;
    for (key, name) in [("b", "x"), ("c", "x"), ("a", "y")] {
        let members = json!({"name": name, "meterSlug": (key != "c").then_some("jobs")});
        let mut feature = feature(key, members);
        feature.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        create(&house, feature).await;
        house.world.with(|state| state.now += 1_000_000_000);
    }
    #[rustfmt::skip]
    let table = [
        ("", vec!["a", "b", "c"]), ("?order=DESC", vec!["c", "b", "a"]), ("?orderBy=createdAt", vec!["b", "c", "a"]),
        ("?orderBy=updatedAt&order=DESC", vec!["a", "c", "b"]), ("?orderBy=name", vec!["b", "c", "a"]),
        ("?orderBy=name&order=DESC", vec!["a", "b", "c"]), ("?limit=2", vec!["a", "b"]), ("?offset=2", vec!["c"]),
        ("?offset=1&limit=1", vec!["b"]), ("?offset=9", vec![]), ("?meterSlug=jobs", vec!["a", "b"]),
        ("?meterSlug=jobs&meterSlug=other", vec!["a", "b"]), ("?meterSlug=other", vec![]),
    ];
    for (query, expected) in table {
        assert_eq!(keys(&house.get(&format!("{PATH}{query}")).await.json()), expected, "{query}");
    }
    for (query, page, size, expected) in [
        ("?page=1", 1, 100, vec!["a", "b", "c"]),
        ("?pageSize=2", 1, 2, vec!["a", "b"]),
        ("?page=2&pageSize=2&limit=1", 2, 2, vec!["c"]),
    ] {
        let answer = house.get(&format!("{PATH}{query}")).await.json();
        assert_eq!(keys(&answer["items"]), expected, "{query}");
        assert_eq!(
            (&answer["page"], &answer["pageSize"], &answer["totalCount"]),
            (&json!(page), &json!(size), &json!(3))
        );
    }
    #[rustfmt::skip]
    let refused = [
        ("?orderBy=id", "validation error: invalid feature order by: id"),
        ("?limit=0", "parameter \"limit\" in query has an error"), ("?pageSize=1001", "parameter \"pageSize\" in query has an error"),
        ("?offset=-1", "parameter \"offset\" in query has an error"), ("?page=x", "invalid param format page: "),
    ];
    for (query, detail) in refused {
        let answer = house.get(&format!("{PATH}{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.detail().starts_with(detail), "{query}: {}", answer.detail());
    }
}

#[actix_web::test]
async fn a_meter_keeps_what_a_live_feature_stands_on() {
    let house = metered().await;
    create(&house, feature("eu_jobs", json!({"meterSlug": "jobs", "meterGroupByFilters": {"region": "eu"}}))).await;
    let dropped = house.put("/api/v1/meters/jobs", json!({"groupBy": {"zone": "$.zone"}})).await;
    let text = "conflict error: meter group by: region cannot be dropped because it is used by feature: eu_jobs";
    assert_eq!((dropped.status, dropped.detail().as_str()), (409, text));
    let deleted = house.delete("/api/v1/meters/jobs").await;
    let text = "conflict error: meter has active features and cannot be deleted";
    assert_eq!((deleted.status, deleted.detail().as_str()), (409, text));
    let widened = json!({"groupBy": {"region": "$.region", "zone": "$.zone"}});
    assert_eq!(house.put("/api/v1/meters/jobs", widened).await.status, 200);
    assert_eq!(house.delete(&format!("{PATH}/eu_jobs")).await.status, 204);
    assert_eq!(house.delete("/api/v1/meters/jobs").await.status, 204);
}

#[actix_web::test]
async fn without_the_database_features_are_not_to_be_had() {
    let world = world();
    assert_eq!(get(&world, PATH).await.status, 503);
    assert_eq!(post_json(&world, PATH, feature("a", json!({}))).await.status, 503);
}
