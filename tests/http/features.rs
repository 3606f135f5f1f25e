//! `/api/v1/features` and `/api/v3/openmeter/features`.

use super::*;

fn feature(key: &str) -> Value {
    json!({"key": key, "name": "Seconds in Europe", "meterSlug": "jobs", "meterGroupByFilters": {"region": "eu"}})
}

#[test]
fn a_feature_lives_over_a_restart_and_is_one_in_both_versions() {
    let mut house = House::new();
    house.create(&meter("jobs"));
    let made = house.post_json("/api/v1/features", &feature("eu_jobs"));
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_string();
    house.restart();
    assert_eq!(house.get("/api/v1/features/eu_jobs").json(), made.json());
    let shown = house.get(&format!("/api/v3/openmeter/features/{id}")).json();
    assert_eq!((&shown["key"], &shown["meter"]["filters"]), (&json!("eu_jobs"), &json!({"region": {"eq": "eu"}})));
    let listed = house.get("/api/v3/openmeter/features").json();
    assert_eq!((&listed["data"], &listed["meta"]["page"]["total"]), (&json!([shown]), &json!(1)));
}

#[test]
fn fifty_creators_at_once_make_one_feature() {
    let house = House::new();
    house.create(&meter("jobs"));
    let body = feature("eu_jobs").to_string();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let create = || house.client.clone().post("/api/v1/features", EITHER, body.as_bytes()).unwrap();
        let creators: Vec<_> = (0..50).map(|_| scope.spawn(create)).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    let id = house.get("/api/v1/features/eu_jobs").json()["id"].as_str().unwrap().to_string();
    let taken = (409, format!("feature {id} with key eu_jobs already exists"));
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 49));
    assert_eq!(made[0].json()["id"], json!(id));
    assert!(refused.into_iter().all(|answer| problem(answer) == taken));
}

#[test]
fn a_meter_keeps_what_a_live_feature_stands_on() {
    let house = House::new();
    house.create(&meter("jobs"));
    assert_eq!(house.post_json("/api/v1/features", &feature("eu_jobs")).status, 201);
    let deleted = house.client.delete("/api/v1/meters/jobs").unwrap();
    assert_eq!(problem(&deleted), (409, "conflict error: meter has active features and cannot be deleted".into()));
    assert_eq!(house.client.delete("/api/v1/features/eu_jobs").unwrap().status, 204);
    let gone = problem(&house.get("/api/v1/features/eu_jobs"));
    assert_eq!(gone, (404, "feature not found: eu_jobs".into()));
    assert_eq!(house.client.delete("/api/v1/meters/jobs").unwrap().status, 204);
    let late = problem(&house.post_json("/api/v1/features", &feature("late")));
    assert_eq!(late, (404, "not found error: meter not found: jobs".into()));
}
