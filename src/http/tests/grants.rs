//! Grants: given, listed and voided, in both versions.

use super::entitlements::{OF_CUSTOMER, create, metered, post_text, with_customer};
use super::*;
use serde_json::json;

const OF_SUBJECT: &str = "/api/v1/subjects/acme-2/entitlements/jobs/grants";
const OF_ENTITLEMENT: &str = "/api/v2/customers/acme/entitlements/jobs/grants";
const NOW: &str = "2025-03-01T12:00:00Z";

async fn entitled() -> House {
    let house = with_customer().await;
    let anchored = json!({"usagePeriod": {"interval": "MONTH", "anchor": "2025-03-01T00:00:00Z"}, "measureUsageFrom": "CURRENT_PERIOD_START"});
    create(&house, OF_CUSTOMER, metered(anchored)).await;
    house
}

#[actix_web::test]
async fn a_grant_looks_as_it_was_given_in_each_version() {
    let house = entitled().await;
    let sent = json!({"amount": 10.50, "effectiveAt": "2025-03-01T02:30:40+02:00", "expiration": {"duration": "MONTH", "count": 1},
        "recurrence": {"interval": "WEEK"}, "metadata": {"a": "b"}, "priority": 7});
    let made = create(&house, OF_SUBJECT, sent).await;
    let mut expected = json!({"id": made["id"], "entitlementId": made["entitlementId"], "amount": 10.5, "priority": 7,
        "effectiveAt": "2025-03-01T02:30:00+02:00", "expiresAt": "2025-04-01T02:30:00+02:00",
        "expiration": {"duration": "MONTH", "count": 1}, "minRolloverAmount": 0, "maxRolloverAmount": 0,
        "metadata": {"a": "b"}, "createdAt": NOW, "updatedAt": NOW, "nextRecurrence": "2025-03-08T00:30:00Z",
        "recurrence": {"anchor": "2025-03-01T00:30:00Z", "interval": "WEEK", "intervalISO": "P1W"}});
    assert_eq!(made, expected, "on the clock of the request");
    expected["effectiveAt"] = json!("2025-03-01T00:30:00Z");
    expected["expiresAt"] = json!("2025-04-01T00:30:00Z");
    assert_eq!(house.get(OF_SUBJECT).await.json(), json!([expected]), "and on UTC's in lists");

    house.world.with(|state| state.now += 1_000_000);
    let body = r#"{"amount":0.0000000000000000000000000001,"effectiveAt":"2025-03-01T12:00:00Z","annotations":{"n":1.50,"deep":{"x":[]}}}"#;
    let answer = post_text(&house, OF_ENTITLEMENT, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    for part in [
        "\"amount\":0.0000000000000000000000000001,\"priority\":0,",
        "\"maxRolloverAmount\":0.0000000000000000000000000001",
        "\"annotations\":{\"n\":1.50,\"deep\":{\"x\":[]}}",
    ] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    assert!(!answer.text.contains("expir"), "{}", answer.text);
    let page = house.get(OF_ENTITLEMENT).await.json();
    assert_eq!((&page["page"], &page["pageSize"], &page["totalCount"]), (&json!(1), &json!(100), &json!(2)));
    assert_eq!((&page["items"][0], &page["items"][1]["id"]), (&expected, &answer.json()["id"]));
    let v1 = house.get(OF_SUBJECT).await.json();
    let (endless, expires) = (json!({"duration": "YEAR", "count": 100}), json!("2125-03-01T12:00:00Z"));
    assert_eq!((&v1[1]["expiration"], &v1[1]["expiresAt"]), (&endless, &expires), "v1 has no word for no end");
}

#[actix_web::test]
async fn grants_of_all_are_listed_by_their_effect() {
    let house = entitled().await;
    let mut ids = Vec::new();
    for (amount, at) in [(1, "2025-03-05T00:00:00Z"), (2, "2025-03-02T00:00:00Z"), (3, "2025-03-09T00:00:00Z")] {
        house.world.with(|state| state.now += 1_000_000);
        ids.push(create(&house, OF_ENTITLEMENT, json!({"amount": amount, "effectiveAt": at})).await["id"].clone());
    }
    let all = |order: [usize; 3]| order.map(|at| &ids[at]).to_vec();
    let id = house.get("/api/v1/customers/acme").await.json()["id"].as_str().unwrap().to_string();
    #[rustfmt::skip]
    let table = [
        ("/api/v1/grants".to_string(), all([1, 0, 2]), None), ("/api/v1/grants?order=DESC&orderBy=id".into(), all([2, 1, 0]), None),
        ("/api/v1/grants?subject=acme-1&feature=jobs&limit=2".into(), vec![&ids[1], &ids[0]], None), ("/api/v1/grants?subject=acme".into(), vec![], None),
        ("/api/v1/grants?pageSize=2".into(), vec![&ids[1], &ids[0]], Some((1, 2))), ("/api/v1/grants?page=2".into(), vec![], Some((2, 100))),
        ("/api/v2/grants".into(), all([1, 0, 2]), Some((0, 0))), ("/api/v2/grants?offset=2".into(), vec![&ids[2]], Some((0, 0))),
        ("/api/v2/grants?page=1&limit=1".into(), all([1, 0, 2]), Some((1, 100))), (format!("/api/v2/grants?customer={id}&customer=acme"), all([1, 0, 2]), Some((0, 0))),
        (OF_ENTITLEMENT.into(), all([0, 1, 2]), Some((1, 100))), (format!("{OF_ENTITLEMENT}?limit=1&order=DESC"), vec![&ids[2]], Some((0, 0))),
    ];
    for (path, expected, page) in table {
        let answer = house.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let answer = answer.json();
        let items = if page.is_some() { &answer["items"] } else { &answer };
        let shown: Vec<&Value> = items.as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(shown, expected, "{path}");
        if let Some((number, size)) = page {
            let numbers = (&answer["page"], &answer["pageSize"], &answer["totalCount"]);
            assert_eq!(numbers, (&json!(number), &json!(size), &json!(3)), "{path}");
        }
    }
    assert_eq!(house.get("/api/v2/grants?customer=nobody").await.status, 404);
}

#[actix_web::test]
async fn a_grant_is_voided_once_and_never_ahead() {
    let house = entitled().await;
    let made = create(&house, OF_ENTITLEMENT, json!({"amount": 1, "effectiveAt": NOW})).await;
    let path = format!("/api/v1/grants/{}", made["id"].as_str().unwrap());
    let ahead = house.delete(&format!("{path}?at=2025-03-01T12:01:00Z")).await;
    assert_eq!(ahead.detail(), "validation error: grant cannot be voided in the future: 2025-03-01T12:01:00Z");
    let answer = house.delete(&format!("{path}?at=2025-03-01T10:00:59Z")).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(house.get(OF_ENTITLEMENT).await.json()["items"][0]["voidedAt"], "2025-03-01T10:00:00Z");
    let again = house.delete(&path).await;
    assert_eq!((again.status, again.detail().as_str()), (400, "validation error: grant already voided"));
    let unknown = house.delete("/api/v1/grants/x").await;
    assert_eq!((unknown.status, unknown.detail().as_str()), (404, "grant not found: x"));
}

#[actix_web::test]
async fn a_grant_that_breaks_a_rule_is_refused() {
    let house = entitled().await;
    let answer = house.post(OF_ENTITLEMENT, json!({"amount": 0, "effectiveAt": NOW})).await;
    let issue = json!([{"amount": 0, "code": "grant_amount_must_be_positive", "field": "$.amount",
        "message": "amount must be positive", "severity": "critical"}]);
    assert_eq!((answer.status, &answer.json()["extensions"]["validationErrors"]), (400, &issue));
    let v1 =
        "request body has an error: doesn't match schema #/components/schemas/EntitlementGrantCreateInput: Error at";
    let v2 =
        "request body has an error: doesn't match schema #/components/schemas/EntitlementGrantCreateInputV2: Error at";
    let expiring =
        |count: i64| json!({"amount": 1, "effectiveAt": NOW, "expiration": {"duration": "DAY", "count": count}});
    #[rustfmt::skip]
    let table = [
        (OF_SUBJECT, json!({"amount": 1, "effectiveAt": NOW}), format!("{v1} \"/expiration\": property \"expiration\" is missing")),
        (OF_SUBJECT, expiring(0), format!("{v1} \"/expiration/count\": number must be at least 1")),
        (OF_SUBJECT, expiring(1_001), format!("{v1} \"/expiration/count\": number must be at most 1000")),
        (OF_ENTITLEMENT, json!({"amount": -1, "effectiveAt": NOW}), format!("{v2} \"/amount\": number must be at least 0")),
        (OF_ENTITLEMENT, json!({"amount": "1", "effectiveAt": NOW}), format!("{v2} \"/amount\": value must be a number")),
        (OF_ENTITLEMENT, json!({"amount": 1, "effectiveAt": NOW, "priority": 256}), format!("{v2} \"/priority\": number must be at most 255")),
        (OF_ENTITLEMENT, json!({"amount": 1, "effectiveAt": NOW, "minRolloverAmount": -1}), "validation error: minRolloverAmount must not be negative".into()),
        (OF_ENTITLEMENT, json!({"amount": 1, "effectiveAt": "2025-02-28T23:59:00Z"}),
            "validation error: grant effective date 2025-02-28T23:59:00Z is before the current usage period 2025-03-01T00:00:00Z".into()),
    ];
    for (path, body, detail) in table {
        let answer = house.post(path, body.clone()).await;
        assert_eq!((answer.status, answer.detail()), (400, detail), "{body}");
    }
    create(&house, OF_CUSTOMER, json!({"type": "boolean", "featureKey": "plain"})).await;
    let path = format!("{OF_CUSTOMER}/plain/grants");
    let answer = house.post(&path, json!({"amount": 1, "effectiveAt": NOW})).await;
    assert_eq!(answer.detail(), "validation error: expected entitlement type metered but got boolean");
    let long = r#"{"amount":12345678901234567890.1234567890123456789,"effectiveAt":"2025-03-01T12:00:00Z"}"#;
    let answer = post_text(&house, OF_ENTITLEMENT, long).await;
    assert_eq!(answer.status, 400, "no digit is lost, and nothing is rounded: {}", answer.text);
}
