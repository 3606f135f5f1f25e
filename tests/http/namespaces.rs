//! Two namespaces in one data directory and one database, served one after the other: nothing of one shows in the
//! other, although both use the same names.

use super::*;

/// What `House::with` serves first.
const ONE_NAMESPACE: &str = "default";
const OTHER: &str = "other";

/// Each way to look at something; `{id}` is the id of a meter.
const LOOKS: [&str; 24] = [
    "/api/v1/meters?includeDeleted=true",
    "/api/v1/meters/sum",
    "/api/v1/meters/{id}",
    "/api/v1/meters/sum/query",
    "/api/v1/meters/{id}/query?groupBy=subject&groupBy=region&windowSize=DAY",
    "/api/v1/meters/sum/subjects",
    "/api/v1/meters/{id}/group-by/region/values",
    "/api/v3/openmeter/meters",
    "/api/v3/openmeter/meters/{id}",
    "/api/v1/events",
    "/api/v1/events?id=1",
    "/api/v1/events?subject=acme",
    "/api/v2/events",
    "/api/v2/events?filter=%7B%22id%22:%7B%22$eq%22:%221%22%7D%7D",
    "/api/v3/openmeter/events",
    "/api/v3/openmeter/events?filter[subject][eq]=acme&sort=time",
    "/api/v1/events/explain?id=1",
    "/api/v1/conflicts",
    "/api/v1/quarantine",
    "/api/v1/subjects",
    "/api/v1/subjects/acme",
    "/api/v1/subjects/initech",
    "/api/v1/audit",
    "/api/v1/debug/metrics",
];

fn serve(house: &mut House, namespace: &str) {
    house.settings.namespace = namespace.to_string();
    house.restart();
}

/// Every look, and the tables.
fn looks(house: &House, id: &str) -> Vec<(String, u16, String)> {
    let mut seen: Vec<(String, u16, String)> = LOOKS
        .iter()
        .map(|look| {
            let path = look.replace("{id}", id);
            let answer = house.get(&path);
            (path, answer.status, answer.body)
        })
        .collect();
    let csv = house.client.get_with("/api/v1/meters/sum/query?groupBy=subject", &[("Accept", "text/csv")]).unwrap();
    seen.push(("CSV".into(), csv.status, csv.body));
    let by_subject = json!({"group_by_dimensions": ["subject"]});
    let rows = house.post_json(&format!("/api/v3/openmeter/meters/{id}/query"), &by_subject);
    seen.push(("rows of v3".into(), rows.status, rows.body));
    // The id of a request that failed is another one each time.
    let without_instance = |body: String| match body.find(",\"instance\":\"urn:request:") {
        Some(at) if body.starts_with("{\"type\":\"about:blank\"") => body[..at].to_string(),
        _ => body,
    };
    seen.into_iter().map(|(path, status, body)| (path, status, without_instance(body))).collect()
}

/// The same names in each namespace, and `mark` in everything that may differ. The meter's id.
fn fill(house: &House, mark: &str, seconds: u32) -> String {
    let mut sum = meter("sum");
    sum["description"] = json!(mark);
    let keyed = [("Content-Type", EITHER), ("Idempotency-Key", "once")];
    let made = house.client.post_with("/api/v1/meters", &keyed, sum.to_string().as_bytes()).unwrap();
    assert_eq!((made.status, made.headers.get("idempotency-replayed")), (201, None), "{}", made.body);
    let subjects = json!([{"key": "acme", "displayName": mark}]);
    assert_eq!(house.post_json("/api/v1/subjects", &subjects).status, 200);
    let event = |id: &str, seconds: u32| {
        let mut event = event(id);
        event["data"] = json!({"seconds": seconds, "region": mark});
        event
    };
    // The second 1 contradicts the first one.
    house.send(&[event("1", seconds), event("2", seconds), event("1", 1_000), event("poison", 1_000)]);
    made.json()["id"].as_str().unwrap().to_string()
}

fn wait_for_the_quarantine(house: &House) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while house.get("/api/v1/quarantine").json() == json!([]) {
        assert!(std::time::Instant::now() < until, "nothing was quarantined");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn nothing_of_one_namespace_shows_in_the_other() {
    let mut house = House::with(|settings| {
        settings.testing.poison_id_prefix = Some("poison".into());
        settings.testing.poison_stage = Some("validator".into());
    });
    let id = fill(&house, "of-one", 3);
    assert_eq!(house.post_json("/api/v1/subjects", &json!([{"key": "initech"}])).status, 200);
    wait_for_the_quarantine(&house);
    let quarantined = house.get("/api/v1/quarantine").json()[0]["position"].as_str().unwrap().to_string();
    let one = looks(&house, &id);
    assert!(one.iter().all(|(_, status, _)| *status == 200), "{one:#?}");

    serve(&mut house, OTHER);
    for (path, status, body) in looks(&house, &id) {
        let is_empty = match status {
            200 => !["acme", "of-one", "\"sum\"", &id].iter().any(|word| body.contains(word)),
            status => status == 404,
        };
        assert!(is_empty, "{path} of an empty namespace: {status} {body}");
    }
    for path in [format!("/api/v1/meters/{id}"), "/api/v1/meters/sum".into(), "/api/v1/subjects/acme".into()] {
        assert_eq!(house.client.delete(&path).unwrap().status, 404, "{path}");
    }
    let redriven = house.post_json(&format!("/api/v1/quarantine/{quarantined}/redrive"), &json!({}));
    assert_eq!(redriven.status, 404, "{}", redriven.body);
    let dropped = house.post_json(&format!("/api/v1/quarantine/{quarantined}/drop"), &json!({"reason": "x"}));
    assert_eq!(dropped.status, 404, "{}", dropped.body);

    let other_id = fill(&house, "of-other", 50);
    assert_ne!(other_id, id);
    wait_for_the_quarantine(&house);
    let other = looks(&house, &other_id);
    let values = |house: &House| house.get("/api/v1/meters/sum/query").json()["data"][0]["value"].clone();
    assert_eq!(values(&house), json!(100));
    assert!(other.iter().all(|(path, status, _)| *status == 200 || path.ends_with("/initech")), "{other:#?}");
    for (path, _, body) in other.iter().filter(|(_, status, _)| *status == 200) {
        assert!(!body.contains("of-one") && !body.contains("initech") && !body.contains(&id), "{path}: {body}");
    }

    serve(&mut house, ONE_NAMESPACE);
    assert_eq!(values(&house), json!(6));
    for (before, after) in one.iter().zip(looks(&house, &id)) {
        assert_eq!(*before, after);
    }
    assert_eq!(house.client.delete("/api/v1/meters/sum").unwrap().status, 204);
    assert_eq!(house.client.delete("/api/v1/subjects/acme").unwrap().status, 204);

    serve(&mut house, OTHER);
    for (before, after) in other.iter().zip(looks(&house, &other_id)) {
        assert_eq!(*before, after);
    }
}
