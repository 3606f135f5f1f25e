//! `/api/v1/customers` and `/api/v3/openmeter/customers`.

use super::*;

const V1: &str = "/api/v1/customers";
const V3: &str = "/api/v3/openmeter/customers";

fn customer(key: &str, subject_keys: &[&str]) -> Value {
    json!({"key": key, "name": key.to_uppercase(), "usageAttribution": {"subjectKeys": subject_keys}})
}

#[test]
fn a_customer_lives_over_a_restart_and_is_one_in_both_versions() {
    let mut house = House::new();
    let made = house.post_json(V1, &customer("acme", &["eu"]));
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let id = made["id"].as_str().unwrap().to_string();
    house.restart();
    assert_eq!(house.get(&format!("{V1}/acme")).json(), made);
    let shown = house.get(&format!("{V3}/{id}")).json();
    assert_eq!((&shown["key"], &shown["usage_attribution"]), (&json!("acme"), &json!({"subject_keys": ["eu"]})));
    assert_eq!(house.client.delete(&format!("{V3}/{id}")).unwrap().status, 204);
    let deleted = format!("precondition failed error: customer is deleted [namespace=default customer.id={id}]");
    assert_eq!(problem(&house.client.delete(&format!("{V1}/{id}")).unwrap()), (412, deleted));
    assert_eq!(house.post_json(V1, &customer("acme", &["eu"])).status, 201, "what it had is free");
}

#[test]
fn a_subject_key_that_moves_takes_its_history_along() {
    let house = House::new();
    house.create(&meter("job_seconds"));
    house.send(&[event("1"), event("2")]);
    let ids = ["one", "two"].map(|key| {
        let made = house.post_json(V1, &customer(key, if key == "one" { &["acme"] } else { &[] })).json();
        made["id"].as_str().unwrap().to_string()
    });
    let usage = |id: &str| {
        let answer = house.get(&format!("/api/v1/meters/job_seconds/query?filterCustomerId={id}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["data"].as_array().unwrap().iter().map(|row| row["value"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(ids.each_ref().map(|id| usage(id)), [8, 0]);
    let put = |key: &str, subject_keys: &[&str]| {
        let path = format!("{V1}/{key}");
        house.client.put(&path, EITHER, customer(key, subject_keys).to_string().as_bytes()).unwrap().status
    };
    assert_eq!(put("two", &["acme"]), 409, "it is still another's");
    assert_eq!((put("one", &[]), put("two", &["acme"])), (200, 200));
    assert_eq!(ids.each_ref().map(|id| usage(id)), [0, 8]);
    assert_eq!(house.post_json(V1, &customer("acme", &[])).status, 409, "no key is another's subject key");
}

#[test]
fn a_text_is_taken_once_by_fifty_creators_at_once() {
    let house = House::new();
    let create = |n: usize| {
        // Half of them want the text as their key, half as a subject key.
        let body = if n.is_multiple_of(2) { customer("x", &["y"]) } else { customer("y", &["x"]) };
        house.client.clone().post(V1, EITHER, body.to_string().as_bytes()).unwrap()
    };
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let creators: Vec<_> = (0..50).map(|n| scope.spawn(move || create(n))).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)), "{answers:?}");
    assert_eq!(house.get(V1).json()["totalCount"], 1);
}
