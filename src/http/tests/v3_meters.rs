//! `/api/v3/openmeter/meters`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v3/openmeter/meters";

fn create_request(key: &str) -> Value {
    json!({"key": key, "name": "Jobs", "aggregation": "sum", "event_type": "job", "value_property": "$.seconds",
        "dimensions": {"region": "$.region"}})
}

/// The request with these members set; null ones are taken away.
fn with(mut request: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    request
}

async fn create(house: &House, request: Value) -> Value {
    let answer = house.post(PATH, request).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn at(id: &str) -> String {
    format!("{PATH}/{id}")
}

fn issue(answer: &Answer) -> (String, String) {
    let issue = answer.json()["extensions"]["validationErrors"][0].clone();
    (issue["code"].as_str().unwrap().to_string(), issue["field"].as_str().unwrap().to_string())
}

#[actix_web::test]
async fn a_meter_is_created_shown_changed_and_deleted() {
    let house = House::new().await;
    let labels = json!({"labels": {"env": "prod"}, "description": "Job seconds"});
    let made = create(&house, with(create_request("jobs"), labels)).await;
    let id = made["id"].as_str().unwrap().to_string();
    let expected = json!({"aggregation": "sum", "created_at": "2025-03-01T12:00:00Z", "description": "Job seconds",
        "dimensions": {"region": "$.region"}, "event_type": "job", "id": id, "key": "jobs", "labels": {"env": "prod"},
        "name": "Jobs", "updated_at": "2025-03-01T12:00:00Z", "value_property": "$.seconds"});
    assert_eq!(made, expected);
    assert_eq!(house.get(&at(&id)).await.json(), expected);

    house.world.with(|state| state.now += 1_500_000_000);
    let changed = house.put(&at(&id), json!({"name": "Jobs, renamed"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let changed = changed.json();
    assert_eq!(changed["updated_at"], "2025-03-01T12:00:01.5Z");
    assert_eq!((&changed["labels"], &changed["dimensions"]), (&json!({}), &json!({})));
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Jobs, renamed"), &json!("Job seconds")));

    for _ in 0..2 {
        let gone = house.delete(&at(&id)).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert!(house.get(&at(&id)).await.json()["deleted_at"].is_string());
    assert_eq!(house.get(PATH).await.json()["meta"]["page"]["total"], 0);
    create(&house, create_request("jobs")).await;
}

#[actix_web::test]
async fn an_object_is_shown_for_what_v1_left_out() {
    let house = House::new().await;
    let counts =
        json!({"slug": "c", "aggregation": "COUNT", "eventType": "job", "metadata": {"note": "two words", "env": "x"}});
    assert_eq!(house.post("/api/v1/meters", counts).await.status, 201);
    let shown = house.get(PATH).await.json()["data"][0].clone();
    assert_eq!((&shown["dimensions"], &shown["labels"]), (&json!({}), &json!({"env": "x"})));
    assert_eq!((&shown["name"], shown.get("value_property")), (&json!("c"), None));
}

#[actix_web::test]
async fn what_breaks_the_schema_is_told_by_field_and_rule() {
    let house = House::new().await;
    let request = |members: Value| with(create_request("jobs"), members);
    #[rustfmt::skip]
    let table = [
        (request(json!({"name": null})), "name", "required"),       (request(json!({"key": "Jobs"})), "key", "pattern"),
        (request(json!({"key": "a".repeat(65)})), "key", "max_length"), (request(json!({"name": ""})), "name", "min_length"),
        (request(json!({"aggregation": "SUM"})), "aggregation", "enum"), (request(json!({"slug": "jobs"})), "slug", "properties"),
        (request(json!({"dimensions": {"a": 1}})), "dimensions.a", "type"), (request(json!({"events_from": "today"})), "events_from", "format"),
        (request(json!({"labels": {"a": "-"}})), "labels.a", "pattern"),
    ];
    for (body, field, rule) in table {
        let answer = house.post(PATH, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        let told = &answer.json()["invalid_parameters"][0];
        assert_eq!(
            (&told["field"], &told["rule"], &told["source"]),
            (&json!(field), &json!(rule), &json!("")),
            "{body}"
        );
    }
    let both = house.post(PATH, request(json!({"name": null, "key": null}))).await;
    assert_eq!(both.json()["invalid_parameters"].as_array().unwrap().len(), 2);
    let choices = &house.post(PATH, request(json!({"aggregation": "SUM"}))).await.json()["invalid_parameters"][0];
    assert_eq!(choices["choices"][0], "sum");
}

#[actix_web::test]
async fn what_breaks_a_rule_with_a_code_is_told_by_it() {
    let house = House::new().await;
    #[rustfmt::skip]
    let table = [
        (json!({"dimensions": {"subject": "$.s"}}), "reserved_dimension", "$.dimensions.subject"),
        (json!({"dimensions": {"customer_id": "$.s"}}), "reserved_dimension", "$.dimensions.customer_id"),
        (json!({"labels": {"a.b-c": "x"}}), "invalid_label_key_format", "$.labels"),
        (json!({"labels": {"env": "a.b-c"}}), "invalid_label_value_format", "$.labels"),
        (json!({"labels": {"konnect-a": "x"}}), "invalid_label_key_prefix", "$.labels"),
    ];
    let id = create(&house, create_request("other")).await["id"].as_str().unwrap().to_string();
    for (members, code, field) in table {
        let told = (code.to_string(), field.to_string());
        let answer = house.post(PATH, with(create_request("jobs"), members.clone())).await;
        assert_eq!((answer.status, issue(&answer)), (400, told.clone()), "{members}");
        let answer = house.put(&at(&id), with(json!({"name": "n"}), members)).await;
        assert_eq!((answer.status, issue(&answer)), (400, told));
    }
    let answer = house.put(&at(&id), json!({"description": "d"})).await;
    assert_eq!((answer.status, answer.detail().as_str()), (400, "validation error: name is required"));
    let answer = house.post(PATH, with(create_request("jobs"), json!({"value_property": "seconds"}))).await;
    assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("about:blank")));
}

#[actix_web::test]
async fn a_key_is_taken_once_and_a_request_is_done_once() {
    let house = House::new().await;
    create(&house, create_request("jobs")).await;
    let answer = house.post(PATH, create_request("jobs")).await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (409, "conflict error: meter with the same slug already exists")
    );
    let keyed = |request: Value| {
        let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k")).set_json(request);
        house.ask(request)
    };
    let (first, again) = (keyed(create_request("a")).await, keyed(create_request("a")).await);
    assert_eq!((first.status, again.status, &first.text), (201, 201, &again.text));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert_eq!(keyed(create_request("b")).await.status, 409);
}

#[actix_web::test]
async fn an_id_that_nothing_has_is_not_found() {
    let house = House::new().await;
    create(&house, create_request("jobs")).await;
    let id = "01JN8T4Q6Z0000000000000MTR";
    let unknown = house.get(&at(id)).await;
    assert_eq!((unknown.status, unknown.detail()), (404, format!("not found error: meter not found: {id}")));
    assert_eq!(house.put(&at(id), json!({"name": "n"})).await.status, 404);
    assert_eq!(house.delete(&at(id)).await.status, 404);
    for other in ["jobs", &id.to_lowercase(), "x"] {
        for answer in [house.get(&at(other)).await, house.delete(&at(other)).await] {
            assert_eq!((answer.status, answer.detail().as_str()), (404, "The requested entity was not found"));
            assert_eq!(answer.json()["type"], "https://kongapi.info/konnect/not-found");
        }
    }
}

/// Five meters, each created a second after the one before.
async fn five() -> House {
    let house = House::new().await;
    for (key, name, aggregation) in
        [("c", "Alpha", "sum"), ("a", "beta", "max"), ("e", "Gamma", "sum"), ("b", "beta", "avg"), ("d", "100%", "min")]
    {
        create(&house, with(create_request(key), json!({"name": name, "aggregation": aggregation}))).await;
        house.world.with(|state| state.now += 1_000_000_000);
    }
    house
}

async fn keys(house: &House, query: &str) -> String {
    let answer = house.get(&format!("{PATH}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()["data"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().to_string()).collect()
}

#[actix_web::test]
async fn a_list_is_paged_ordered_and_filtered() {
    let house = five().await;
    #[rustfmt::skip]
    let table = [
        ("", "caebd"), ("page[size]=2", "ca"), ("page[size]=2&page[number]=3", "d"), ("page[size]=2&page[number]=4", ""),
        ("page[size]=0", "caebd"), ("page=2", "caebd"), ("sort=key", "abcde"), ("sort=key%20desc", "edcba"),
        ("sort=name", "dceab"), ("sort=name%20desc", "abecd"), ("sort=created_at+desc", "dbeac"),
        ("sort=updated_at", "caebd"), ("sort=aggregation", "badce"), ("filter[key]=a", "a"),
        ("filter[key][oeq]=b,%20c,", "cb"), ("filter[name][contains]=ALP", "c"), ("filter[name][contains]=%25", "d"),
        ("filter[name]=beta&filter[key][gt]=a", "b"), ("filter[key][neq]=a&sort=key&page[size]=2", "bc"),
        ("filter[name][exists]", "caebd"), ("filter[name][nexists]=true", ""),
    ];
    for (query, expected) in table {
        assert_eq!(keys(&house, query).await, expected, "{query}");
    }
    let meta = async |query: &str| house.get(&format!("{PATH}?{query}")).await.json()["meta"].clone();
    assert_eq!(meta("page[size]=2&page[number]=9").await, json!({"page": {"size": 2, "number": 9, "total": 5}}));
    assert_eq!(meta("page[size]=0").await, json!({"page": {"size": 0, "number": 1, "total": 5}}));
    assert_eq!(meta("filter[key]=a").await, json!({"page": {"size": 20, "number": 1, "total": 1}}));
}

#[actix_web::test]
async fn what_cannot_be_asked_of_a_list_is_told_by_parameter() {
    let house = House::new().await;
    let supported = "supported fields: key, name, aggregation, created_at, updated_at";
    #[rustfmt::skip]
    let table = [
        ("page[size]=-1", "page", "size must be 0 or more".to_string()), ("page[number]=0", "page", "number must be 1 or more".to_string()),
        ("page[size]=x", "page.size", "must be a whole number".to_string()), ("page[foo]=1", "page", "unknown member \"foo\"".to_string()),
        ("sort=size", "sort", format!("unsupported sort field \"size\", {supported}")),
        ("sort=", "sort", format!("unsupported sort field \"\", {supported}")),
        ("sort=key,name", "sort", format!("unsupported sort field \"key,name\", {supported}")),
        ("filter[id]=1", "filter", "unknown filter field(s): id".to_string()),
        ("filter[key][zz]=1", "filter", "filter[key][zz]: unsupported operator".to_string()),
    ];
    for (query, field, reason) in table {
        let answer = house.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        let told = &answer.json()["invalid_parameters"][0];
        assert_eq!(
            (&told["field"], &told["reason"], &told["source"]),
            (&json!(field), &json!(reason), &json!("query"))
        );
    }
}

#[actix_web::test]
async fn the_document_can_be_had_in_both_forms() {
    let house = House::new().await;
    let json = house.get("/api/v3/openapi.json").await;
    assert_eq!((json.status, json.header("content-type")), (200, "application/json"));
    assert_eq!(json.json()["servers"], serde_json::json!([{"url": "/api/v3"}]));
    assert!(json.json()["paths"]["/openmeter/meters/{meterId}/query"]["post"].is_object());
    let yaml = house.get("/api/v3/openapi.yaml").await;
    assert_eq!((yaml.status, yaml.header("content-type")), (200, "application/yaml"));
    let same: Value = serde_saphyr::from_str(&yaml.text).unwrap();
    assert_eq!(same["paths"].as_object().unwrap().len(), json.json()["paths"].as_object().unwrap().len());
}

#[actix_web::test]
async fn unknown_paths_and_methods_below_v3_are_told_in_its_dialect() {
    let house = House::new().await;
    for path in ["/api/v3", "/api/v3/openmeter/meter", "/api/v3/openmeter/meters/"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status, answer.detail().as_str()), (404, "The requested route was not found"), "{path}");
    }
    let answer = house.ask(TestRequest::patch().uri(PATH)).await;
    assert_eq!((answer.status, answer.detail().as_str()), (405, "Method Not Allowed"));
}
