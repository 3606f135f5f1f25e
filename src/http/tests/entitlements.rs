//! Entitlements by subject and by customer: what they look like, how they end, and what is refused.

use super::*;
use serde_json::json;

const OF_SUBJECT: &str = "/api/v1/subjects/acme-1/entitlements";
pub const OF_CUSTOMER: &str = "/api/v2/customers/acme/entitlements";
const NOW: &str = "2025-03-01T12:00:00Z";

/// A customer with a key and two subjects; a feature with a meter, and one without.
pub async fn with_customer() -> House {
    let house = House::new().await;
    assert_eq!(house.post("/api/v1/meters", meter("jobs")).await.status, 201);
    let customer = json!({"key": "acme", "name": "Acme", "usageAttribution": {"subjectKeys": ["acme-2", "acme-1"]}});
    assert_eq!(house.post("/api/v1/customers", customer).await.status, 201);
    for feature in
        [json!({"key": "jobs", "name": "Jobs", "meterSlug": "jobs"}), json!({"key": "plain", "name": "Plain"})]
    {
        assert_eq!(house.post("/api/v1/features", feature).await.status, 201);
    }
    house
}

pub fn metered(members: Value) -> Value {
    let mut body = json!({"type": "metered", "featureKey": "jobs", "usagePeriod": {"interval": "MONTH"}});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

pub async fn create(house: &House, path: &str, body: Value) -> Value {
    let answer = house.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

/// A body whose numbers no float can hold.
pub async fn post_text(house: &House, path: &str, body: &str) -> Answer {
    let request = TestRequest::post().uri(path).insert_header(("content-type", "application/json"));
    house.ask(request.set_payload(body.to_string())).await
}

/// Without these members.
fn without(mut body: Value, members: &[&str]) -> Value {
    for member in members {
        assert!(body.as_object_mut().unwrap().remove(*member).is_some(), "{member} is missing: {body}");
    }
    body
}

#[actix_web::test]
async fn a_metered_entitlement_shows_its_owner_as_each_version_names_it() {
    let house = with_customer().await;
    let sent = r#"{"type": "metered", "featureKey": "jobs", "issueAfterReset": 12345678901234567890.50,
        "usagePeriod": {"interval": "PT24H", "anchor": "2025-03-01T06:30:45Z"}, "metadata": {"a": "b"}}"#;
    let answer = post_text(&house, OF_SUBJECT, sent).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made = answer.json();
    let id = made["id"].as_str().unwrap();
    let by_id = house.get(&format!("/api/v1/entitlements/{id}")).await;
    assert!(by_id.text.contains("\"issueAfterReset\":12345678901234567890.5,"), "{}", by_id.text);
    let period = json!({"from": "2025-03-01T12:00:00Z", "to": "2025-03-02T06:30:00Z"});
    let common = json!({"type": "metered", "id": id, "featureId": made["featureId"], "featureKey": "jobs", "metadata": {"a": "b"},
        "activeFrom": NOW, "createdAt": NOW, "updatedAt": NOW, "isSoftLimit": false, "preserveOverageAtReset": false,
        "lastReset": NOW, "measureUsageFrom": NOW, "currentUsagePeriod": period,
        "usagePeriod": {"anchor": "2025-03-01T06:30:00Z", "interval": "DAY", "intervalISO": "PT24H"}});
    let shown = without(made.clone(), &["issueAfterReset", "subjectKey", "isUnlimited"]);
    assert_eq!((shown, &made["subjectKey"], &made["isUnlimited"]), (common.clone(), &json!("acme-1"), &json!(false)));
    for path in [format!("{OF_SUBJECT}/{id}"), format!("/api/v1/subjects/nobody/entitlements/{id}")] {
        assert_eq!(house.get(&path).await.text, by_id.text, "the subject is not looked at");
    }
    assert_eq!(house.get(OF_SUBJECT).await.json(), json!([by_id.json()]));

    let v2 = house.get(&format!("{OF_CUSTOMER}/jobs")).await;
    for path in [format!("{OF_CUSTOMER}/{id}"), format!("/api/v2/entitlements/{id}")] {
        assert_eq!(house.get(&path).await.text, v2.text);
    }
    assert!(v2.text.contains("\"issue\":{\"amount\":12345678901234567890.5}"), "{}", v2.text);
    let (v2, customer) = (v2.json(), house.get("/api/v1/customers/acme").await.json());
    assert_eq!((&v2["customerKey"], &v2["customerId"]), (&json!("acme"), &customer["id"]));
    assert_eq!(without(v2, &["issueAfterReset", "issue", "customerKey", "customerId"]), common);
}

#[actix_web::test]
async fn what_is_not_metered_has_a_configuration_or_nothing() {
    let house = with_customer().await;
    let sent = json!({"type": "static", "featureKey": "plain", "config": "{\"b\":1,\"aa\":[1,2],\"b\":7.50}"});
    let made = create(&house, OF_SUBJECT, sent).await;
    let expected = json!({"type": "static", "id": made["id"], "featureId": made["featureId"], "featureKey": "plain",
        "subjectKey": "acme-1", "activeFrom": NOW, "createdAt": NOW, "updatedAt": NOW,
        "config": "{\"b\": 7.50, \"aa\": [1, 2]}"});
    assert_eq!(made, expected);
    let sent = json!({"type": "boolean", "featureKey": "jobs", "metadata": {"a": "b"},
        "usagePeriod": {"interval": "P1W", "anchor": "2025-02-27T00:00:30Z"}});
    let made = create(&house, OF_CUSTOMER, sent).await;
    let expected = json!({"type": "boolean", "id": made["id"], "featureId": made["featureId"], "featureKey": "jobs",
        "customerId": made["customerId"], "customerKey": "acme", "activeFrom": NOW, "createdAt": NOW, "updatedAt": NOW,
        "metadata": {"a": "b"}, "usagePeriod": {"anchor": "2025-02-27T00:00:30Z", "interval": "WEEK", "intervalISO": "P1W"},
        "currentUsagePeriod": {"from": "2025-02-27T00:00:30Z", "to": "2025-03-06T00:00:30Z"}});
    assert_eq!(made, expected);
    let page = house.get(&format!("{OF_CUSTOMER}?pageSize=1&page=2")).await.json();
    assert_eq!((&page["totalCount"], &page["page"], &page["pageSize"]), (&json!(2), &json!(2), &json!(1)));
    assert_eq!(page["items"], json!([made]));
}

#[actix_web::test]
async fn a_second_one_for_a_feature_is_refused_until_the_first_has_ended() {
    let house = with_customer().await;
    let first = create(&house, OF_CUSTOMER, metered(json!({"issueAfterReset": 5}))).await;
    let (id, feature, customer) = (&first["id"], &first["featureId"], &first["customerId"]);
    let answer = house.post(OF_SUBJECT, json!({"type": "boolean", "featureKey": "jobs"})).await;
    let unquoted = |value: &Value| value.as_str().unwrap().to_string();
    let text = format!(
        "entitlement with id {} already exists for feature {} and customer {}",
        unquoted(id),
        unquoted(feature),
        unquoted(customer)
    );
    assert_eq!((answer.status, answer.detail()), (409, text));
    assert_eq!(&answer.json()["extensions"]["conflictingEntityId"], id);

    house.world.with(|state| state.now += 60_000_000_000);
    let answer = house
        .put(&format!("{OF_CUSTOMER}/jobs/override"), metered(json!({"issue": {"amount": 7, "priority": 3}})))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let second = answer.json();
    assert_eq!(
        (&second["issue"], &second["issueAfterResetPriority"]),
        (&json!({"amount": 7, "priority": 3}), &json!(3))
    );
    let old = house.get(&format!("/api/v2/entitlements/{}", unquoted(id))).await.json();
    assert_eq!(
        (&old["activeTo"], &second["activeFrom"]),
        (&json!("2025-03-01T12:01:00Z"), &json!("2025-03-01T12:01:00Z"))
    );
    let active = house.get("/api/v2/entitlements?excludeInactive=true").await.json();
    assert_eq!((&active["items"], &active["page"], &active["pageSize"]), (&json!([second]), &json!(1), &json!(100)));
    let all = house.get("/api/v1/entitlements?order=DESC&page=1").await.json();
    let ids: Vec<&Value> = all["items"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!((ids, &all["totalCount"]), (vec![&second["id"], id], &json!(2)));
    assert_eq!(house.get("/api/v1/entitlements?offset=1&limit=1").await.json().as_array().unwrap().len(), 1);

    let path = format!("{OF_SUBJECT}/{}", unquoted(&second["id"]));
    let answer = house.delete(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let gone = format!("entitlement not found {} in namespace default", unquoted(&second["id"]));
    for answer in [house.get(&path).await, house.delete(&path).await] {
        assert_eq!((answer.status, answer.detail()), (404, gone.clone()));
    }
    let gone = "entitlement not found jobs in namespace default";
    assert_eq!(house.get(&format!("{OF_CUSTOMER}/jobs")).await.detail(), gone);
    create(&house, OF_CUSTOMER, metered(json!({}))).await;
}

#[actix_web::test]
async fn lists_are_narrowed_by_whose_and_what() {
    let house = with_customer().await;
    let other = json!({"key": "other", "name": "Other"});
    let other = house.post("/api/v1/customers", other).await.json()["id"].as_str().unwrap().to_string();
    let mine = create(&house, OF_CUSTOMER, json!({"type": "boolean", "featureKey": "jobs"})).await;
    let theirs = create(&house, "/api/v2/customers/other/entitlements", metered(json!({}))).await;
    let feature = mine["featureId"].as_str().unwrap();
    let both = vec![&mine["id"], &theirs["id"]];
    #[rustfmt::skip]
    let table = [
        (2, "".to_string(), both.clone()), (2, format!("feature={feature}"), both.clone()), (2, "feature=jobs&feature=x".into(), both),
        (2, "feature=plain".into(), vec![]), (2, "customerKeys=other".into(), vec![&theirs["id"]]),
        (2, format!("customerIds={other}&customerKeys=acme"), vec![]), (2, format!("customerIds={other}"), vec![&theirs["id"]]),
        (2, "entitlementType=boolean&entitlementType=static".into(), vec![&mine["id"]]), (2, "limit=1".into(), vec![&mine["id"]]),
        (2, "limit=1&offset=1&orderBy=createdAt".into(), vec![&theirs["id"]]),
        (1, "subject=acme-2".into(), vec![&mine["id"]]), (1, "subject=acme".into(), vec![]), (1, "subject=other".into(), vec![]),
        (1, "entitlementType=metered".into(), vec![&theirs["id"]]),
    ];
    for (version, query, expected) in table {
        let answer = house.get(&format!("/api/v{version}/entitlements?{query}")).await.json();
        let items = if version == 1 { &answer } else { &answer["items"] };
        let ids: Vec<&Value> = items.as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(ids, expected, "v{version} {query}");
    }
}

#[actix_web::test]
async fn what_breaks_a_rule_is_told_by_its_words() {
    let house = with_customer().await;
    let schema = |schema: &str, rest: &str| {
        format!("request body has an error: doesn't match schema #/components/schemas/{schema}: {rest}")
    };
    let v2 = |rest: &str| schema("EntitlementV2CreateInputs", rest);
    #[rustfmt::skip]
    let table = [
        (json!({"type": "boolean"}), 400, "validation error: either featureId or featureKey must be provided".to_string()),
        (json!({"type": "boolean", "featureKey": "nothing"}), 404, "feature not found: nothing".into()),
        (json!({"type": "static", "featureKey": "plain", "config": "{"}), 400, "validation error: invalid JSON config".into()),
        (metered(json!({"usagePeriod": {"interval": "PT59M"}})), 400, "validation error: UsagePeriod must be at least 1 hour".into()),
        (metered(json!({"issueAfterResetPriority": 3})), 400, "validation error: issueAfterResetPriority needs issueAfterReset".into()),
        (metered(json!({"issueAfterReset": 0, "grants": [{"amount": 1, "effectiveAt": NOW}]})), 400,
            "validation error: issueAfterReset and grants cannot be used together".into()),
        (metered(json!({"grants": [{"amount": 1, "effectiveAt": "2025-02-01T00:00:00Z"}]})), 400,
            "validation error: grant effective date 2025-02-01T00:00:00Z is before the current usage period 2025-03-01T12:00:00Z".into()),
        (json!({"type": "metered", "featureKey": "jobs"}), 400, v2("Error at \"/usagePeriod\": property \"usagePeriod\" is missing")),
        (json!({"type": "static", "featureKey": "plain"}), 400, v2("Error at \"/config\": property \"config\" is missing")),
        (metered(json!({"issueAfterReset": -1})), 400, v2("Error at \"/issueAfterReset\": number must be at least 0")),
        (metered(json!({"issue": {"amount": 1, "priority": 0}})), 400, v2("Error at \"/issue/priority\": number must be at least 1")),
        (metered(json!({"grants": [{"amount": 1}]})), 400, v2("Error at \"/grants/0/effectiveAt\": property \"effectiveAt\" is missing")),
        (json!({"type": "other"}), 400, v2("value doesn't match any schema from \"oneOf\"")),
        (json!({"featureKey": "jobs"}), 400, v2("value doesn't match any schema from \"oneOf\"")),
    ];
    for (body, status, detail) in table {
        let answer = house.post(OF_CUSTOMER, body.clone()).await;
        assert_eq!((answer.status, answer.detail()), (status, detail), "{body}");
    }
    let id = house.get("/api/v1/features/plain").await.json()["id"].as_str().unwrap().to_string();
    let answer = house.post(OF_CUSTOMER, metered(json!({"featureKey": "plain"}))).await;
    assert_eq!(answer.detail(), format!("validation error: invalid feature {id}: Feature has no meter"));
    let answer = house.post(OF_CUSTOMER, metered(json!({"usagePeriod": {"interval": "P1.5D"}}))).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(house.get(OF_CUSTOMER).await.json()["totalCount"], 0, "nothing was made");
}

#[actix_web::test]
async fn who_is_meant_must_be_there() {
    let house = with_customer().await;
    house.post("/api/v1/subjects", json!([{"key": "lonely"}])).await;
    let body = json!({"type": "boolean", "featureKey": "jobs"});
    let ownerless = "not found error: customer with subject key lonely not found [namespace=default]";
    let unknown = "not found error: subject not found [namespace=default subject.idOrKey=nobody]";
    for (subject, detail) in [("lonely", ownerless), ("nobody", unknown)] {
        let path = format!("/api/v1/subjects/{subject}/entitlements");
        for answer in [house.get(&path).await, house.post(&path, body.clone()).await] {
            assert_eq!((answer.status, answer.detail().as_str()), (404, detail));
        }
    }
    assert_eq!(house.get("/api/v2/customers/nobody/entitlements").await.status, 404);
    let gone = house.get("/api/v1/customers/acme").await.json()["id"].as_str().unwrap().to_string();
    assert_eq!(house.delete("/api/v1/customers/acme").await.status, 204);
    let path = format!("/api/v2/customers/{gone}/entitlements");
    for answer in
        [house.get(&path).await, house.post(&path, body.clone()).await, house.get(&format!("{path}/jobs")).await]
    {
        assert_eq!(answer.status, 412, "{}", answer.text);
        assert!(answer.detail().starts_with("precondition failed error: customer is deleted"), "{}", answer.text);
    }
}

#[actix_web::test]
async fn a_reset_begins_a_period_and_moves_its_anchor_unless_it_is_kept() {
    let house = with_customer().await;
    let anchored = json!({"usagePeriod": {"interval": "MONTH", "anchor": "2025-03-01T00:00:00Z"}});
    let made = create(&house, OF_CUSTOMER, metered(anchored)).await;
    let path = format!("{OF_CUSTOMER}/jobs/reset");
    let later = |minutes: i64| house.world.with(|state| state.now += minutes * 60_000_000_000);
    let answer = house.post(&path, json!({})).await;
    let text = "validation error: reset at 2025-03-01T12:00:00Z must be after last reset at 2025-03-01T12:00:00Z";
    assert_eq!((answer.status, answer.detail().as_str()), (400, text));
    later(10);
    let answer = house.post(&path, json!({"retainAnchor": true, "effectiveAt": "2025-03-01T12:05:30Z"})).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let shown = house.get(&format!("{OF_CUSTOMER}/jobs")).await.json();
    let period = json!({"from": "2025-03-01T12:05:00Z", "to": "2025-04-01T00:00:00Z"});
    assert_eq!((&shown["lastReset"], &shown["currentUsagePeriod"]), (&json!("2025-03-01T12:05:00Z"), &period));
    let path = format!("{OF_SUBJECT}/{}/reset", made["id"].as_str().unwrap());
    assert_eq!(house.post(&path, json!({})).await.status, 204);
    let shown = house.get(&format!("{OF_CUSTOMER}/jobs")).await.json();
    let period = json!({"from": "2025-03-01T12:10:00Z", "to": "2025-04-01T12:10:00Z"});
    assert_eq!(
        (&shown["currentUsagePeriod"], &shown["usagePeriod"]["anchor"]),
        (&period, &json!("2025-03-01T00:00:00Z"))
    );
    let answer = house.post(&path, json!({"effectiveAt": "2025-03-02T00:00:00Z"})).await;
    assert_eq!(answer.detail(), "validation error: reset at 2025-03-02T00:00:00Z is in the future");
    let boolean = json!({"type": "boolean", "featureKey": "plain"});
    create(&house, OF_CUSTOMER, boolean).await;
    let answer = house.post(&format!("{OF_CUSTOMER}/plain/reset"), json!({})).await;
    assert_eq!(answer.detail(), "validation error: expected entitlement type metered but got boolean");
}
