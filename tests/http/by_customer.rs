//! Usage and events of customers, over the real engine and real records.

use super::*;

/// Users of subjects: `acme` a, b; `acme-eu` b, c; `globex` a; each with its own seconds.
fn house() -> (House, String) {
    let house = House::new();
    house.create(&meter("sum"));
    for (slug, aggregation, value) in [("users", "UNIQUE_COUNT", "$.user"), ("mean", "AVG", "$.seconds")] {
        let mut meter = meter(slug);
        (meter["aggregation"], meter["valueProperty"]) = (json!(aggregation), json!(value));
        house.create(&meter);
    }
    let last = house.create(&{
        let mut meter = meter("last");
        meter["aggregation"] = json!("LATEST");
        meter
    });
    let of = |id: &str, subject: &str, user: &str, seconds: Value| {
        let mut event = event(id);
        (event["subject"], event["time"]) = (json!(subject), json!(format!("2025-03-01T10:0{id}:00Z")));
        event["data"] =
            json!({"seconds": seconds, "user": user, "region": if subject == "globex" { "us" } else { "eu" }});
        event
    };
    house.send(&[
        of("1", "acme", "a", json!(1)),
        of("2", "acme", "b", json!("0.1")),
        of("3", "acme-eu", "b", json!(2)),
        of("4", "acme-eu", "c", json!(0.4)),
        of("5", "globex", "a", json!(7)),
        of("6", "nobody", "z", json!(100)),
    ]);
    (house, last["id"].as_str().expect("an id").to_string())
}

fn put_customer(house: &House, id: &str, body: &Value) {
    let answer = house.client.put(&format!("/api/v1/customers/{id}"), EITHER, body.to_string().as_bytes());
    let answer = answer.expect("weir runs");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn customer(house: &House, key: Option<&str>, subject_keys: &[&str]) -> String {
    let answer = house.post_json("/api/v1/customers", &body(key, subject_keys));
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().expect("an id").to_string()
}

fn body(key: Option<&str>, subject_keys: &[&str]) -> Value {
    let mut body = json!({"name": "Some, Inc.", "usageAttribution": {"subjectKeys": subject_keys}});
    if let Some(key) = key {
        body["key"] = json!(key);
    }
    body
}

/// Customer and value of each row.
fn rows(house: &House, slug: &str, query: &str) -> Vec<(String, String)> {
    let answer = house.get(&format!("/api/v1/meters/{slug}/query?{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let rows = answer.json()["data"].as_array().expect("rows").clone();
    let shown = |row: &Value| (row["customerId"].as_str().expect("an id").to_string(), row["value"].to_string());
    rows.iter().map(shown).collect()
}

#[test]
fn a_customers_usage_is_counted_over_all_its_subjects_and_never_added_up() {
    let (house, last) = house();
    let acme = customer(&house, Some("acme"), &["acme-eu"]);
    let globex = customer(&house, None, &["globex"]);
    let both = format!("filterCustomerId={globex}&filterCustomerId={acme}");
    #[rustfmt::skip]
    let table = [("sum", "3.5", "7"), ("users", "3", "1"), ("mean", "0.875", "7"), ("last", "0.4", "7")];
    for (slug, of_acme, of_globex) in table {
        let expected = [(acme.clone(), of_acme.to_string()), (globex.clone(), of_globex.to_string())];
        assert_eq!(rows(&house, slug, &both), expected, "{slug}");
        assert_eq!(rows(&house, slug, &format!("filterCustomerId={acme}")), expected[..1], "{slug}");
    }
    assert_eq!(rows(&house, "sum", &format!("{both}&subject=acme-eu")), [(acme.clone(), "2.4".to_string())]);
    assert_eq!(rows(&house, "users", &format!("{both}&windowSize=HOUR&filterGroupBy[region]=us")).len(), 1);
    let asked = json!({"filters": {"dimensions": {"customer_id": {"in": [acme, globex]}}}, "granularity": "P1D"});
    let answer = house.post_json(&format!("/api/v3/openmeter/meters/{last}/query"), &asked).json();
    let shown = |row: &Value| (row["dimensions"].clone(), row["value"].as_str().map(str::to_string));
    let data: Vec<_> = answer["data"].as_array().expect("rows").iter().map(shown).collect();
    let value = |value: &str| Some(value.to_string());
    assert_eq!(data, [(json!({"customer_id": acme}), value("0.4")), (json!({"customer_id": globex}), value("7"))]);
}

#[test]
fn history_follows_a_subject_to_its_new_owner() {
    let (house, _) = house();
    let acme = customer(&house, Some("acme"), &["acme-eu"]);
    let globex = customer(&house, Some("globex"), &["acme"]);
    let both = format!("filterCustomerId={acme}&filterCustomerId={globex}");
    let now = |of_acme: &str, of_globex: &str| {
        let expected = [(&acme, of_acme), (&globex, of_globex)].map(|(id, value)| (id.clone(), value.to_string()));
        assert_eq!(rows(&house, "sum", &both), expected);
        for (at, id) in [&acme, &globex].into_iter().enumerate() {
            let listed = house.get(&format!("/api/v1/events?customerId={id}")).json();
            let listed = listed.as_array().expect("a list").clone();
            assert!(listed.iter().all(|row| row["customerId"] == json!(id) && row["validationError"].is_null()));
            assert_eq!(rows(&house, "sum", &format!("filterCustomerId={id}")), expected[at..=at]);
        }
    };
    now("3.5", "7");
    put_customer(&house, &acme, &body(Some("acme-corp"), &["acme-eu"]));
    now("2.4", "8.1");
    put_customer(&house, &acme, &body(Some("acme-corp"), &["nobody"]));
    put_customer(&house, &globex, &body(Some("globex"), &["acme-eu", "acme"]));
    now("100", "10.5");
}

#[test]
fn a_customer_that_is_not_there_is_told_by_its_id() {
    let (house, meter) = house();
    let gone = customer(&house, Some("acme"), &[]);
    assert_eq!(house.client.delete(&format!("/api/v1/customers/{gone}")).expect("weir runs").status, 204);
    let not_found = (404, format!("not found error: customer with id {gone} not found"));
    let query = format!("/api/v1/meters/sum/query?filterCustomerId={gone}");
    assert_eq!(problem(&house.get(&query)), not_found);
    let csv = house.client.get_with(&query, &[("Accept", "text/csv")]).expect("weir runs");
    assert_eq!(problem(&csv), not_found);
    let listed = house.get(&format!("/api/v1/events?customerId={gone}"));
    let unknown = format!("validation error: customers not found in namespace default: {gone}");
    assert_eq!(problem(&listed), (400, unknown));
    let asked = |id: &str| json!({"filters": {"dimensions": {"customer_id": {"eq": id}}}});
    let v3 = format!("/api/v3/openmeter/meters/{meter}/query");
    let found = house.post_json(&v3, &asked(&gone));
    assert_eq!((found.status, &found.json()["data"][0]["value"]), (200, &json!("0.1")), "v3 goes on to know it");
    let nobody = "01JN8T4Q6Z0000000000000CVS";
    let answer = house.post_json(&v3, &asked(nobody));
    assert_eq!(problem(&answer), (404, format!("not found error: customer with id {nobody} not found")));
}
