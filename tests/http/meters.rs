//! `/api/v1/meters`.

use super::*;

#[test]
fn a_meter_lives_over_a_restart_and_counts_the_past() {
    let mut house = House::new();
    house.send(&[event("1"), event("2")]);
    let made = house.create(&meter("job_seconds"));
    assert_eq!(house.get("/api/v1/meters/job_seconds/query").json()["data"][0]["value"], 8);
    house.restart();
    assert_eq!(house.get("/api/v1/meters").json(), json!([made]));
    assert_eq!(house.get("/api/v1/meters/job_seconds/query").json()["data"][0]["value"], 8);
}

#[test]
fn a_deleted_meter_is_found_by_id_and_its_slug_is_free() {
    let house = House::new();
    let made = house.create(&meter("a"));
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        problem(&house.post_json("/api/v1/meters", &meter("a"))),
        (409, "conflict error: meter with the same slug already exists".into())
    );
    assert_eq!(house.client.delete("/api/v1/meters/a").unwrap().status, 204);
    assert_eq!(problem(&house.get("/api/v1/meters/a")), (404, "not found error: meter not found: a".into()));
    assert_eq!(house.get(&format!("/api/v1/meters/{id}")).json()["deletedAt"], "2025-03-01T12:00:00Z");
    assert_eq!(house.get(&format!("/api/v1/meters/{id}/query")).status, 200);
    assert_eq!(house.client.delete(&format!("/api/v1/meters/{id}")).unwrap().status, 204);
    assert_eq!(problem(&house.client.delete("/api/v1/meters/a").unwrap()).0, 404);
    house.create(&meter("a"));
    assert_eq!(house.get("/api/v1/meters?includeDeleted=true").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_slug_is_taken_once_by_many_creators_at_once() {
    let house = House::new();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let create =
            || house.client.clone().post("/api/v1/meters", EITHER, meter("a").to_string().as_bytes()).unwrap().status;
        let creators: Vec<_> = (0..16).map(|_| scope.spawn(create)).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
}

#[test]
fn a_bad_draft_is_a_400() {
    let house = House::new();
    for (field, value, detail) in [
        ("valueProperty", json!("$["), "validation error: invalid JSONPath"),
        ("valueProperty", json!("seconds"), "validation error: invalid JSONPath"),
        ("groupBy", json!({"a": "$..b"}), "validation error: invalid JSONPath for a group by"),
        ("aggregation", json!("MEDIAN"), "request body has an error: doesn't match schema"),
        ("slug", json!("Not A Slug"), "request body has an error: doesn't match schema"),
        ("eventType", json!(""), "request body has an error: doesn't match schema"),
    ] {
        let mut body = meter("a");
        body[field] = value;
        let (status, said) = problem(&house.post_json("/api/v1/meters", &body));
        assert_eq!(status, 400);
        assert!(said.starts_with(detail), "{said}");
    }
}

#[test]
fn meters_of_a_file_are_there_at_start_and_must_agree_with_the_live_ones() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "meters:\n  - {slug: from_file, aggregation: COUNT, eventType: job, groupBy: {Region: $.region}}\n";
    std::fs::write(file.path(), text).unwrap();
    let mut house = House::with(|settings| settings.meters = Some(file.path().to_path_buf()));
    assert_eq!(house.get("/api/v1/meters/from_file").json()["groupBy"], json!({"region": "$.region"}));
    house.restart();
    std::fs::write(file.path(), text.replace("COUNT", "LATEST, valueProperty: $.n")).unwrap();
    house.weir.take().unwrap().stop().unwrap();
    let weir = Weir::start(house.settings.clone(), house.clock.clone()).unwrap();
    weir.wait_open(std::time::Duration::from_secs(60)).expect_err("the file differs");
    let refused = weir.stop().unwrap_err();
    assert!(
        refused.ends_with("meter from_file is not equal to the meter in the file: aggregation mismatch"),
        "{refused}"
    );
}
