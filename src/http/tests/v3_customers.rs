//! `/api/v3/openmeter/customers`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v3/openmeter/customers";

async fn create(house: &House, request: Value) -> Value {
    let answer = house.post(PATH, request).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn at(id: &str) -> String {
    format!("{PATH}/{id}")
}

fn kind(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap().to_string()
}

#[actix_web::test]
async fn a_customer_is_created_shown_replaced_and_deleted() {
    let house = House::new().await;
    let full = json!({"key": "acme", "name": "Acme", "description": "d", "labels": {"tier": "1"},
        "usage_attribution": {"subject_keys": ["us", "eu"]}, "primary_email": "a@b.c", "currency": "EUR",
        "billing_address": {"country": "HU", "postal_code": "7621"}});
    let made = create(&house, full.clone()).await;
    let id = made["id"].as_str().unwrap().to_string();
    let mut expected = full;
    expected["id"] = json!(id);
    expected["usage_attribution"]["subject_keys"] = json!(["eu", "us"]);
    expected["created_at"] = json!("2025-03-01T12:00:00Z");
    expected["updated_at"] = json!("2025-03-01T12:00:00Z");
    assert_eq!(made, expected);
    assert_eq!(house.get(&at(&id)).await.json(), expected);
    assert_eq!(house.get(&format!("/api/v1/customers/{id}")).await.json()["metadata"], json!({"tier": "1"}));

    let bare = house.put(&at(&id), json!({"name": "Acme 2"})).await;
    let expected = json!({"id": id, "key": "acme", "name": "Acme 2", "labels": {}, "primary_email": "a@b.c",
        "currency": "EUR", "created_at": "2025-03-01T12:00:00Z", "updated_at": "2025-03-01T12:00:00Z"});
    assert_eq!((bare.status, bare.json()), (200, expected), "the key stays");

    for _ in 0..2 {
        let gone = house.delete(&at(&id)).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert_eq!(house.get(&at(&id)).await.json()["deleted_at"], "2025-03-01T12:00:00Z");
    let refused = house.put(&at(&id), json!({"name": "B"})).await;
    assert_eq!((refused.status, kind(&refused).as_str()), (410, "https://kongapi.info/konnect/gone"));
    assert_eq!(refused.json()["detail"], "customer is deleted");
    assert_eq!(house.get(PATH).await.json()["meta"]["page"]["total"], 0);
}

#[actix_web::test]
async fn only_an_id_names_a_customer() {
    let house = House::new().await;
    let unknown = "01JNK5A0000000000000000000";
    create(&house, json!({"key": unknown, "name": "A"})).await;
    for answer in [house.get(&at(unknown)).await, house.put(&at(unknown), json!({"name": "B"})).await] {
        let detail = format!("not found error: customer with id or key {unknown} not found in default namespace");
        assert_eq!((answer.status, answer.detail(), kind(&answer).as_str()), (404, detail, "about:blank"));
    }
    assert_eq!(house.delete(&at(unknown)).await.status, 204);
    assert_eq!(house.get(&format!("/api/v1/customers/{unknown}")).await.status, 200, "it had another's name only");
    for malformed in ["acme", "01jnk5a0000000000000000000"] {
        let answer = house.get(&at(malformed)).await;
        let detail = "The requested entity was not found".to_string();
        assert_eq!((answer.status, answer.detail()), (404, detail));
        assert_eq!(kind(&answer), "https://kongapi.info/konnect/not-found");
    }
}

#[actix_web::test]
async fn what_breaks_a_rule_is_told_by_name() {
    let house = House::new().await;
    create(&house, json!({"key": "acme", "name": "A"})).await;
    let taken = house.post(PATH, json!({"key": "acme", "name": "B"})).await;
    let text = "conflict error: key \"acme\" is already used by an another customer in the namespace default";
    assert_eq!((taken.status, taken.detail().as_str(), kind(&taken).as_str()), (409, text, "about:blank"));
    let label = house.post(PATH, json!({"key": "b", "name": "B", "labels": {"openmeter_a": "x"}})).await;
    assert_eq!(label.status, 400, "{}", label.text);
    assert_eq!(label.json()["extensions"]["validationErrors"][0]["code"], "invalid_label_key_prefix");
    #[rustfmt::skip]
    let table = [
        (json!({"name": "B"}), "key"), (json!({"key": "b"}), "name"), (json!({"key": "b", "name": "B", "x": 1}), "x"),
        (json!({"key": "", "name": "B"}), "key"), (json!({"key": "b", "name": "B", "currency": "EU"}), "currency"),
        (json!({"key": "b", "name": "B", "usage_attribution": {}}), "usage_attribution.subject_keys"),
    ];
    for (body, field) in table {
        let answer = house.post(PATH, body).await;
        assert_eq!((answer.status, kind(&answer).as_str()), (400, "https://kongapi.info/konnect/bad-request"));
        assert_eq!(answer.json()["invalid_parameters"][0]["field"], field, "{}", answer.text);
    }
    assert_eq!(house.get(PATH).await.json()["meta"]["page"]["total"], 1);
}

#[actix_web::test]
async fn a_keyless_customer_of_v1_is_shown_with_an_empty_key() {
    let house = House::new().await;
    let request = json!({"name": "A", "usageAttribution": {"subjectKeys": ["s"]}, "metadata": {"a b": "no label"}});
    let made = house.post("/api/v1/customers", request).await.json();
    let id = made["id"].as_str().unwrap();
    let shown = house.get(&at(id)).await.json();
    assert_eq!((&shown["key"], &shown["labels"]), (&json!(""), &json!({})));
    let path = at(id);
    let put = |subject_keys: Value| {
        house.put(&path, json!({"name": "B", "usage_attribution": {"subject_keys": subject_keys}}))
    };
    assert_eq!(put(json!(["t"])).await.json()["usage_attribution"]["subject_keys"], json!(["t"]));
    assert_eq!(put(json!([])).await.status, 400, "nothing would be its own any more");
}

#[actix_web::test]
async fn a_list_is_filtered_sorted_and_paged() {
    let house = House::new().await;
    for (key, name, email, subjects) in [
        ("k1", "beta", Some("x@acme.io"), vec!["eu-1", "us-2"]),
        ("k2", "Alpha", None, vec!["eu-2"]),
        ("k3", "gamma", Some("z@b.io"), vec![]),
    ] {
        let mut request = json!({"key": key, "name": name, "usage_attribution": {"subject_keys": subjects}});
        if let Some(email) = email {
            request["primary_email"] = json!(email);
        }
        create(&house, request).await;
    }
    let ask = async |query: &str| {
        let answer = house.get(&format!("{PATH}?{}", query.replace('[', "%5B").replace(']', "%5D"))).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let data = answer.json()["data"].as_array().unwrap().clone();
        data.iter().map(|row| row["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let subject = "filter[usage_attribution_subject_key]";
    #[rustfmt::skip]
    let table: Vec<(String, &[&str])> = vec![
        (String::new(), &["Alpha", "beta", "gamma"]),
        ("sort=name desc".into(), &["gamma", "beta", "Alpha"]),
        ("sort=created_at".into(), &["beta", "Alpha", "gamma"]),
        ("page[size]=2&page[number]=2".into(), &["gamma"]),
        ("page[size]=0&page[number]=9".into(), &["Alpha", "beta", "gamma"]),
        ("filter[key]=k2".into(), &["Alpha"]),
        ("filter[name][contains]=ETA".into(), &["beta"]),
        ("filter[name][ocontains]=alp,gam".into(), &["Alpha", "gamma"]),
        ("filter[key][gt]=k1&filter[key][lt]=k3".into(), &["Alpha"]),
        ("filter[primary_email]".into(), &["beta", "gamma"]),
        ("filter[primary_email][exists]=false".into(), &["Alpha"]),
        ("filter[primary_email][neq]=z@b.io".into(), &["beta"]),
        (format!("{subject}[oeq]=eu-1,eu-2"), &["Alpha", "beta"]),
        (format!("{subject}[contains]=eu&{subject}[neq]=eu-2"), &["beta"]),
        (format!("{subject}[exists]=false"), &["gamma"]),
        ("filter[plan_key]=gold".into(), &[]),
        ("filter[plan_key][neq]=gold".into(), &[]),
        ("filter[plan_key][exists]=false".into(), &["Alpha", "beta", "gamma"]),
        ("filter[billing_profile_id]=01JNK5A0000000000000000000".into(), &[]),
    ];
    for (query, expected) in table {
        assert_eq!(ask(&query.replace(' ', "%20")).await, expected, "{query}");
    }
    let page = house.get(&format!("{PATH}?page%5Bsize%5D=1")).await.json();
    assert_eq!(page["meta"], json!({"page": {"number": 1, "size": 1, "total": 3}}));
    for query in [
        "filter[color]=x",
        "filter[key][eq]=",
        "sort=key",
        "page[number]=0",
        "page[size]=-1",
        "filter[billing_profile_id]=x",
    ] {
        let query = query.replace('[', "%5B").replace(']', "%5D");
        assert_eq!(house.get(&format!("{PATH}?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(ask("filter[key][contains]=%00").await, Vec::<String>::new());
}
