//! What a customer may use, over the real engine: values, access and history agree with the meter and with each other.

use super::*;

const OF_SUBJECT: &str = "/api/v1/subjects/acme-1/entitlements";
const OF_CUSTOMER: &str = "/api/v2/customers/acme/entitlements";
const HOUR_NS: i64 = 3_600_000_000_000;

/// A customer with a subject, a feature with a meter of its own, and one without.
fn with_customer() -> House {
    let house = House::new();
    house.create(&meter("jobs"));
    for (path, body) in [
        ("/api/v1/features", json!({"key": "jobs", "name": "Jobs", "meterSlug": "jobs"})),
        (
            "/api/v1/features",
            json!({"key": "eu_jobs", "name": "EU", "meterSlug": "jobs", "meterGroupByFilters": {"region": "eu"}}),
        ),
        ("/api/v1/features", json!({"key": "plain", "name": "Plain"})),
        ("/api/v1/customers", json!({"key": "acme", "name": "Acme", "usageAttribution": {"subjectKeys": ["acme-1"]}})),
    ] {
        made(&house, path, body);
    }
    house
}

fn made(house: &House, path: &str, body: Value) -> Value {
    let answer = house.post_json(path, &body);
    assert_eq!(answer.status, 201, "{body}: {}", answer.body);
    answer.json()
}

fn metered(members: Value) -> Value {
    let mut body = json!({"type": "metered", "featureKey": "jobs", "measureUsageFrom": "CURRENT_PERIOD_START",
        "usagePeriod": {"interval": "MONTH", "anchor": "2025-03-01T00:00:00Z"}});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

/// So many seconds used at this time of March 2025, by `subject`.
fn used(id: &str, at: &str, seconds: f64, subject: &str) -> Value {
    let mut event = event(id);
    event["time"] = json!(format!("2025-03-{at}Z"));
    event["subject"] = json!(subject);
    event["data"]["seconds"] = json!(seconds);
    event
}

#[test]
fn a_value_is_what_was_granted_less_what_was_used_in_every_version() {
    let house = with_customer();
    let entitlement = made(&house, OF_CUSTOMER, metered(json!({"issueAfterReset": 10})));
    let grants = house.get(&format!("{OF_CUSTOMER}/jobs/grants")).json();
    let grant = grants["items"][0]["id"].as_str().unwrap().to_string();
    house.send(&[
        used("1", "01T10:00:00", 1.25, "acme-1"),
        used("2", "01T11:00:00", 2.5, "acme"),
        used("3", "01T11:00:00", 99.0, "other"),
    ]);
    let v1 = json!({"hasAccess": true, "balance": 6.25, "usage": 3.75, "overage": 0, "totalAvailableGrantAmount": 10});
    let mut v2 = v1.clone();
    v2["grantBalances"] = json!({grant.as_str(): 6.25});
    let id = entitlement["id"].as_str().unwrap();
    for (path, value) in [
        (format!("{OF_SUBJECT}/jobs/value"), &v1),
        (format!("{OF_SUBJECT}/{id}/value"), &v1),
        ("/api/v1/customers/acme/entitlements/jobs/value".into(), &v1),
        (format!("{OF_CUSTOMER}/jobs/value"), &v2),
        (format!("{OF_CUSTOMER}/{id}/value"), &v2),
    ] {
        assert_eq!(&house.get(&path).json(), value, "{path}");
    }
    // At an instant before it was made: its id is known, nothing is active under its feature's key.
    let before = "value?time=2025-03-01T11:30:00Z";
    assert_eq!(house.get(&format!("{OF_SUBJECT}/{id}/{before}")).json(), json!({"hasAccess": false}));
    let missing = (404, "entitlement not found jobs in namespace default".to_string());
    assert_eq!(problem(&house.get(&format!("{OF_SUBJECT}/jobs/{before}"))), missing);
    for path in [format!("{OF_CUSTOMER}/jobs"), "/api/v1/customers/acme/entitlements/jobs".into()] {
        assert_eq!(house.get(&format!("{path}/{before}")).json(), json!({"hasAccess": false}));
    }

    house.clock.advance(HOUR_NS);
    house.send(&[used("late", "01T10:15:00", 7.0, "acme-1")]);
    let over = house.get(&format!("{OF_CUSTOMER}/jobs/value")).json();
    assert_eq!((&over["balance"], &over["overage"], &over["hasAccess"]), (&json!(0), &json!(0.75), &json!(false)));
    let meter = house.get("/api/v1/meters/jobs/query?subject=acme&subject=acme-1").json();
    let total: f64 = meter["data"].as_array().unwrap().iter().map(|row| row["value"].as_f64().unwrap()).sum();
    assert_eq!(over["usage"], json!(total), "the meter says the same");
    let ahead = house.get(&format!("{OF_CUSTOMER}/jobs/value?time=2025-04-01T00:00:00Z")).json();
    assert_eq!((&ahead["balance"], &ahead["usage"]), (&json!(10), &json!(0)), "a new period");
    let again = house.get(&format!("{OF_CUSTOMER}/jobs/value")).json();
    assert_eq!(again, over, "a look ahead leaves nothing behind");
}

#[test]
fn a_check_sees_what_was_acknowledged_before_it() {
    let house = with_customer();
    made(&house, OF_CUSTOMER, metered(json!({})));
    let value = || house.get(&format!("{OF_CUSTOMER}/jobs/value")).json();
    assert_eq!(value()["grantBalances"], json!({}));
    let granted = json!({"amount": 10, "effectiveAt": "2025-03-01T00:00:00Z"});
    let grant = made(&house, &format!("{OF_CUSTOMER}/jobs/grants"), granted);
    assert_eq!(value()["balance"], 10);
    for n in 1..=5 {
        house.send(&[used(&n.to_string(), "01T09:00:00", 1.0, "acme")]);
        assert_eq!((&value()["usage"], &value()["balance"]), (&json!(n), &json!(10 - n)));
    }
    house.clock.advance(HOUR_NS);
    assert_eq!(house.post_json(&format!("{OF_CUSTOMER}/jobs/reset"), &json!({})).status, 204);
    assert_eq!((&value()["usage"], &value()["balance"]), (&json!(0), &json!(5)), "what is left rolls over");
    house.clock.advance(HOUR_NS);
    assert_eq!(house.client.delete(&format!("/api/v1/grants/{}", grant["id"].as_str().unwrap())).unwrap().status, 204);
    assert_eq!((&value()["hasAccess"], &value()["grantBalances"]), (&json!(false), &json!({})));
}

#[test]
fn access_tells_every_feature_in_both_versions() {
    let house = with_customer();
    assert_eq!(house.get("/api/v1/customers/acme/access").json(), json!({"entitlements": {}}));
    let config = json!({"type": "static", "featureKey": "plain", "config": "{\"a\":1}"});
    let fixed = made(&house, OF_CUSTOMER, config);
    made(&house, OF_CUSTOMER, metered(json!({"isSoftLimit": true})));
    made(&house, OF_CUSTOMER, metered(json!({"featureKey": "eu_jobs", "issueAfterReset": 3})));
    let mut elsewhere = used("2", "01T10:00:00", 5.0, "acme");
    elsewhere["data"]["region"] = json!("us");
    house.send(&[used("1", "01T10:00:00", 2.0, "acme-1"), elsewhere]);
    let access = house.get("/api/v1/customers/acme/access").json();
    let metered = |value: &Value| {
        (value["hasAccess"].clone(), value["balance"].clone(), value["usage"].clone(), value["overage"].clone())
    };
    let (jobs, eu) = (&access["entitlements"]["jobs"], &access["entitlements"]["eu_jobs"]);
    assert_eq!(metered(jobs), (json!(true), json!(0), json!(7), json!(7)), "a soft limit");
    assert_eq!(metered(eu), (json!(true), json!(1), json!(2), json!(0)), "only what its feature counts");
    assert_eq!(access["entitlements"]["plain"], json!({"hasAccess": true, "config": "{\"a\": 1}"}));

    let id = fixed["customerId"].as_str().unwrap();
    let path = format!("/api/v3/openmeter/customers/{id}/entitlement-access");
    let data = json!([
        {"type": "metered", "feature_key": "eu_jobs", "has_access": true},
        {"type": "metered", "feature_key": "jobs", "has_access": true},
        {"type": "static", "feature_key": "plain", "has_access": true, "config": "{\"a\": 1}"},
    ]);
    assert_eq!(house.get(&path).json(), json!({ "data": data }));
    for name in ["eu_jobs", "jobs", "plain"] {
        assert_eq!(house.client.delete(&format!("{OF_CUSTOMER}/{name}")).unwrap().status, 204);
    }
    assert_eq!(house.get(&path).json(), json!({"data": []}));
    assert_eq!(house.client.delete("/api/v1/customers/acme").unwrap().status, 204);
    let gone = house.get(&path);
    assert_eq!((gone.status, &gone.json()["title"]), (412, &json!("Precondition Failed")), "{}", gone.body);
    assert_eq!(problem(&house.get(&format!("/api/v1/customers/{id}/access"))).0, 412);
}

#[test]
fn many_customers_are_asked_for_by_their_names() {
    let house = with_customer();
    for key in ["b", "c"] {
        house.clock.advance(HOUR_NS);
        made(&house, "/api/v1/customers", json!({"key": key, "name": key}));
    }
    made(&house, OF_CUSTOMER, metered(json!({"issueAfterReset": 1})));
    made(&house, "/api/v2/customers/b/entitlements", metered(json!({})));
    let query = |path: &str, body: Value| {
        let answer = house.post_json(&format!("/api/v3/openmeter/entitlement-access/query{path}"), &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let keys = json!(["c", "acme-1", "nobody", "b", "acme", "acme-1"]);
    let asked = json!({"customer": {"keys": keys}, "feature": {"keys": ["jobs", "plain", "none"]}});
    let answer = query("", asked.clone());
    let matched: Vec<&Value> = answer["data"].as_array().unwrap().iter().map(|row| &row["matched"]).collect();
    assert_eq!(matched, [&json!(["acme-1", "acme", "acme-1"]), &json!(["b"]), &json!(["c"])], "the oldest first");
    let denied = |code: &str, message: &str| json!({"has_access": false, "reason": {"code": code, "message": message}});
    let (none, unavailable) =
        (denied("feature_not_found", "feature not found"), denied("feature_unavailable", "feature unavailable"));
    let expected = json!({"jobs": {"has_access": true}, "plain": unavailable, "none": none});
    assert_eq!((&answer["data"][0]["features"], &answer["data"][0]["customer"]["key"]), (&expected, &json!("acme")));
    assert_eq!(answer["data"][1]["features"]["jobs"], denied("usage_limit_reached", "usage limit reached"));
    let errors = json!([{"customer": "nobody", "code": "customer_not_found", "message": "customer not found"}]);
    assert_eq!(answer["errors"], errors);

    let first = query("?page[size]=2", asked.clone());
    let page = &first["meta"]["page"];
    assert_eq!((&page["size"], &page["previous"], &page["next"]), (&json!(2), &json!(null), &page["last"]));
    let next = page["next"].as_str().unwrap().replace('=', "%3D").replace('+', "%2B");
    let second = query(&format!("?page[size]=2&page[after]={next}"), asked);
    assert_eq!((&second["data"][0]["matched"], &second["errors"]), (&json!(["c"]), &errors));
    assert_eq!(second["meta"]["page"]["next"], json!(null));
    let all = query("", json!({"customer": {"keys": ["c"]}}));
    assert_eq!(all["data"][0]["features"].as_object().unwrap().len(), 3, "every feature there is");
    let closed = house
        .post_json("/api/v3/openmeter/entitlement-access/query?page[size]=0", &json!({"customer": {"keys": ["c"]}}));
    assert_eq!((closed.status, &closed.json()["invalid_parameters"][0]["field"]), (400, &json!("page[size]")));
}

#[test]
fn a_history_is_told_window_by_window_and_phase_by_phase() {
    let house = with_customer();
    let period = json!({"interval": "P2D", "anchor": "2025-03-01T00:00:00Z"});
    let made_of = made(&house, OF_CUSTOMER, metered(json!({ "usagePeriod": period })));
    let grants = format!("{OF_CUSTOMER}/jobs/grants");
    let id = |grant: Value| grant["id"].as_str().unwrap().to_string();
    let g1 = id(made(&house, &grants, json!({"amount": 10, "effectiveAt": "2025-03-01T00:00:00Z"})));
    let second = json!({"amount": 20, "effectiveAt": "2025-03-02T00:00:00Z", "maxRolloverAmount": 5});
    let g2 = id(made(&house, &grants, second));
    house.send(&[
        used("1", "01T05:00:00", 13.0, "acme"),
        used("2", "02T10:00:00", 4.0, "acme-1"),
        used("3", "03T08:00:00", 2.0, "acme"),
    ]);
    let path = format!("{OF_CUSTOMER}/jobs/history?windowSize=DAY&to=2025-03-04T00:00:00Z");
    let told = house.get(&path);
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.json();
    let day = |n: u8| format!("2025-03-0{n}T00:00:00Z");
    let window = |n: u8, usage: i64, balance: i64| json!({"period": {"from": day(n), "to": day(n + 1)}, "usage": usage, "balanceAtStart": balance});
    assert_eq!(told["windowedHistory"], json!([window(1, 13, 10), window(2, 4, 20), window(3, 2, 5)]));
    let segment = |days: (u8, u8), usage: i64, overage: i64, start: (i64, i64), end: (i64, i64), usages: Value| {
        json!({"period": {"from": day(days.0), "to": day(days.1)}, "usage": usage, "overage": overage,
            "balanceAtStart": start.0 + start.1, "grantBalancesAtStart": {g1.as_str(): start.0, g2.as_str(): start.1},
            "balanceAtEnd": end.0 + end.1, "grantBalancesAtEnd": {g1.as_str(): end.0, g2.as_str(): end.1}, "grantUsages": usages})
    };
    let taken = |grant: &String, usage: i64| json!([{"grantId": grant, "usage": usage}]);
    let expected = [
        segment((1, 2), 13, 3, (10, 0), (0, 0), taken(&g1, 10)),
        segment((2, 3), 4, 0, (0, 20), (0, 13), taken(&g2, 7)),
        segment((3, 3), 0, 0, (0, 5), (0, 5), json!([])),
        segment((3, 4), 2, 0, (0, 5), (0, 3), taken(&g2, 2)),
    ];
    assert_eq!(told["burndownHistory"], json!(expected));
    let by_id = format!(
        "/api/v1/subjects/any/entitlements/{}/history?windowSize=DAY&to=2025-03-04T00:00:00Z",
        made_of["id"].as_str().unwrap()
    );
    assert_eq!(house.get(&by_id).json(), told);

    let zoned = house
        .get(&format!("{OF_CUSTOMER}/jobs/history?windowSize=DAY&windowTimeZone=Asia/Tokyo&to=2025-03-03T00:00:00Z"))
        .json();
    let period = json!({"from": "2025-03-02T00:00:00+09:00", "to": "2025-03-03T00:00:00+09:00"});
    assert_eq!(zoned["windowedHistory"][0]["period"], period, "whole days of that clock, none before measuring began");
    #[rustfmt::skip]
    let table = [
        ("jobs/history?windowSize=DAY&windowTimeZone=Mars/Base", "validation error: invalid time zone: unknown time zone Mars/Base"),
        ("jobs/history?windowSize=DAY&from=2025-02-28T00:00:00Z", "validation error: from 2025-02-28T00:00:00Z cannot be before 2025-03-01T00:00:00Z, where measuring usage began"),
        ("jobs/history", "parameter \"windowSize\" in query has an error: value is required but missing"),
    ];
    for (rest, detail) in table {
        assert_eq!(problem(&house.get(&format!("{OF_CUSTOMER}/{rest}"))), (400, detail.into()));
    }
    made(&house, OF_CUSTOMER, json!({"type": "boolean", "featureKey": "plain"}));
    let unmetered = problem(&house.get(&format!("{OF_CUSTOMER}/plain/history?windowSize=DAY")));
    assert_eq!(unmetered, (400, "validation error: expected entitlement type metered but got boolean".into()));
}
