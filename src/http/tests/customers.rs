//! `/api/v1/customers`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v1/customers";

async fn create(house: &House, request: Value) -> Value {
    let answer = house.post(PATH, request).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn at(name: &str) -> String {
    format!("{PATH}/{name}")
}

fn names(list: &Answer) -> Vec<String> {
    assert_eq!(list.status, 200, "{}", list.text);
    list.json()["items"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_string()).collect()
}

#[actix_web::test]
async fn a_customer_is_created_shown_replaced_and_deleted() {
    let house = House::new().await;
    let full = json!({"key": "acme", "name": "Acme & Co", "description": "d", "metadata": {"tier": "1"},
        "usageAttribution": {"subjectKeys": ["us", "eu"]}, "primaryEmail": "not an address", "currency": "EUR",
        "billingAddress": {"country": "HU", "city": "Pécs", "phoneNumber": "1"}});
    let made = create(&house, full.clone()).await;
    let id = made["id"].as_str().unwrap().to_string();
    let mut expected = full;
    expected["id"] = json!(id);
    expected["usageAttribution"]["subjectKeys"] = json!(["eu", "us"]);
    expected["createdAt"] = json!("2025-03-01T12:00:00Z");
    expected["updatedAt"] = json!("2025-03-01T12:00:00Z");
    assert_eq!(made, expected);
    for name in [id.as_str(), "acme", "acme?expand=subscriptions"] {
        assert_eq!(house.get(&at(name)).await.json(), expected, "{name}");
    }

    house.world.with(|state| state.now += 1_500_000_000);
    let bare = house.put(&at("acme"), json!({"name": "Acme", "key": "acme"})).await;
    assert_eq!(bare.status, 200, "{}", bare.text);
    let expected = json!({"id": id, "key": "acme", "name": "Acme", "primaryEmail": "not an address", "currency": "EUR",
        "createdAt": "2025-03-01T12:00:00Z", "updatedAt": "2025-03-01T12:00:01.5Z"});
    assert_eq!(bare.json(), expected, "what is absent is cleared, but for the email and the currency");

    let gone = house.delete(&at("acme")).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(house.get(&at(&id)).await.json()["deletedAt"], "2025-03-01T12:00:01.5Z");
    let deleted = format!("precondition failed error: customer is deleted [namespace=default customer.id={id}]");
    for answer in [house.delete(&at(&id)).await, house.put(&at(&id), json!({"name": "A", "key": "a"})).await] {
        assert_eq!((answer.status, answer.detail()), (412, deleted.clone()));
    }
    let missing = "not found error: customer with id or key acme not found in default namespace";
    let put = house.put(&at("acme"), json!({"name": "A", "key": "a"})).await;
    for answer in [house.get(&at("acme")).await, house.delete(&at("acme")).await, put] {
        assert_eq!((answer.status, answer.detail().as_str()), (404, missing));
    }
    assert_eq!(house.get("/api/v1/subjects/eu").await.status, 200, "made with the customer, and there to stay");
    assert_eq!(house.get("/api/v1/subjects/acme").await.status, 404, "a key alone makes none");
}

#[actix_web::test]
async fn what_is_empty_is_left_out() {
    let house = House::new().await;
    let request = json!({"name": "A", "key": "a", "metadata": null, "billingAddress": {},
        "usageAttribution": {"subjectKeys": []}});
    let made = create(&house, request).await;
    let mut members: Vec<&String> = made.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["createdAt", "id", "key", "name", "updatedAt"]);
    let keyless = create(&house, json!({"name": "B", "usageAttribution": {"subjectKeys": ["s"]}})).await;
    assert_eq!((keyless.get("key"), &keyless["usageAttribution"]), (None, &json!({"subjectKeys": ["s"]})));
    assert_eq!(house.get(&at("s")).await.status, 404, "a subject key names no customer");
}

#[actix_web::test]
async fn what_breaks_a_rule_is_told_by_name() {
    let house = House::new().await;
    create(&house, json!({"name": "A", "key": "acme", "usageAttribution": {"subjectKeys": ["eu"]}})).await;
    let schema = |at: &str, reason: &str| {
        format!(
            "request body has an error: doesn't match schema #/components/schemas/CustomerCreate: Error at \"{at}\": {reason}"
        )
    };
    #[rustfmt::skip]
    let table = [
        (json!({"name": "B"}), 400, "validation error: either key or usageAttribution.subjectKeys must be provided".to_string()),
        (json!({"name": "B", "usageAttribution": {"subjectKeys": []}}), 400, "validation error: either key or usageAttribution.subjectKeys must be provided".into()),
        (json!({"name": "B\u{0}", "key": "b"}), 400, "validation error: name must not contain the character U+0000".into()),
        (json!({"name": "", "key": "b"}), 400, schema("/name", "minimum string length is 1")),
        (json!({"key": "b"}), 400, schema("/name", "property \"name\" is missing")),
        (json!({"name": "B", "key": "b", "currency": "eur"}), 400, schema("/currency", "string doesn't match the regular expression \"^[A-Z]{3}$\"")),
        (json!({"name": "B", "key": "b", "billingAddress": {"country": "HUN"}}), 400, schema("/billingAddress/country", "maximum string length is 2")),
        (json!({"name": "B", "key": "b", "usageAttribution": {"subjectKeys": [""]}}), 400, schema("/usageAttribution/subjectKeys/0", "minimum string length is 1")),
        (json!({"name": "B", "key": "acme"}), 409, "conflict error: key \"acme\" is already used by an another customer in the namespace default".into()),
        (json!({"name": "B", "key": "b", "usageAttribution": {"subjectKeys": ["x", "eu"]}}), 409,
            "conflict error: one or multiple subject keys of [eu, x] are already associated with an different customer in the namespace default".into()),
    ];
    for (body, status, detail) in table {
        let answer = house.post(PATH, body).await;
        assert_eq!((answer.status, answer.detail()), (status, detail));
    }
    assert_eq!(house.get(PATH).await.json()["totalCount"], 1);
}

#[actix_web::test]
async fn a_list_is_searched_ordered_and_paged() {
    let house = House::new().await;
    for (key, name, email) in [("c-1", "beta", "x@acme.io"), ("c_2", "Alpha", "y@acme.io"), ("d%3", "gamma", "z@b.io")]
    {
        let subject_keys = json!({"subjectKeys": [format!("{name}-EU")]});
        create(&house, json!({"key": key, "name": name, "primaryEmail": email, "usageAttribution": subject_keys}))
            .await;
    }
    house.delete(&at("d%253")).await;
    let all = house.get(PATH).await;
    assert_eq!(names(&all), ["Alpha", "beta"]);
    let page = all.json();
    assert_eq!((&page["page"], &page["pageSize"], &page["totalCount"]), (&json!(1), &json!(100), &json!(2)));
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 16] = [
        ("key=C-", &["beta"]),                        ("key=_", &["Alpha"]),
        ("key=%25&includeDeleted=true", &["gamma"]),  ("name=ETA", &["beta"]),
        ("primaryEmail=ACME", &["Alpha", "beta"]),    ("primaryEmail=ACME&name=beta", &["beta"]),
        ("subject=beta-e", &["beta"]),                ("subject=nobody", &[]),
        ("planKey=gold", &[]),                        ("includeDeleted=true", &["Alpha", "beta", "gamma"]),
        ("order=DESC", &["beta", "Alpha"]),           ("orderBy=createdAt", &["beta", "Alpha"]),
        ("orderBy=id&order=DESC", &["Alpha", "beta"]), ("pageSize=1&page=2", &["beta"]),
        ("pageSize=1&page=3", &[]),                   ("expand=subscriptions", &["Alpha", "beta"]),
    ];
    for (query, expected) in table {
        assert_eq!(names(&house.get(&format!("{PATH}?{query}")).await), expected, "{query}");
    }
    let beyond = house.get(&format!("{PATH}?pageSize=1&page=9")).await.json();
    assert_eq!((&beyond["items"], &beyond["totalCount"], &beyond["page"]), (&json!([]), &json!(2), &json!(9)));
    for query in [
        "key=",
        "name=",
        "primaryEmail=",
        "subject=",
        "planKey=",
        "page=0",
        "pageSize=1001",
        "order=asc",
        "orderBy=key",
        "expand=apps",
        "includeDeleted=maybe",
    ] {
        let answer = house.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
    assert_eq!(names(&house.get(&format!("{PATH}?key=%00")).await), Vec::<String>::new());
}

#[actix_web::test]
async fn without_the_database_customers_are_not_to_be_had() {
    let answer = get(&world(), PATH).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}
