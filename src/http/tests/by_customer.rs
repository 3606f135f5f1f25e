//! Usage and events by customer, in all versions.

use super::*;
use crate::domain::customer::{Customer, CustomerDraft};
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::domain::quantity::Quantity;
use crate::services::testing::records::{caller, nothing};
use crate::services::writes::Kept;
use serde_json::json;
use std::collections::BTreeMap;
use ulid::Ulid;

/// Nobody's.
const NOBODY: &str = "01JN8T4Q6Z0000000000000CVS";
const V3_EVENTS: &str = "/api/v3/openmeter/events";
const QUERY: &str = "/api/v1/meters/job/query";

/// A house with a meter, and the way to ask it in v3.
async fn house() -> (House, String) {
    let house = House::new().await;
    let id = live(&house.world, meter("job"));
    (house, format!("/api/v3/openmeter/meters/{id}/query"))
}

impl House {
    /// Makes a customer and gives its id.
    async fn customer(&self, key: &str, name: &str, subject_keys: &[&str]) -> String {
        let made = self.door.customers.create(&caller(), draft(Some(key), name, subject_keys), show).await;
        made.unwrap().kept.body
    }

    async fn change(&self, id: &str, key: Option<&str>, subject_keys: &[&str]) {
        self.door.customers.update(&caller(), id, |_| draft(key, "Changed", subject_keys), show).await.unwrap();
    }

    /// Acme with the key `acme`; Globex with `acme` and `globex-eu` as subject keys; one that is deleted.
    async fn customers(&self) -> [String; 3] {
        let acme = self.customer("acme", "Acme, Inc.", &["acme-eu"]).await;
        let globex = self.customer("globex", "Globex", &["acme", "globex-eu"]).await;
        let gone = self.customer("gone", "Gone", &["gone-eu"]).await;
        self.door.customers.delete(&caller(), &gone, nothing()).await.unwrap();
        [acme, globex, gone]
    }

    fn asked(&self) -> UsageQuery {
        self.world.with(|state| state.asked.take().unwrap())
    }

    async fn csv(&self, request: TestRequest) -> String {
        let answer = self.ask(request.insert_header(("accept", "text/csv"))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv"), "{}", answer.text);
        answer.text
    }
}

fn draft(key: Option<&str>, name: &str, subject_keys: &[&str]) -> CustomerDraft {
    let subject_keys = subject_keys.iter().map(ToString::to_string).collect();
    CustomerDraft { key: key.map(str::to_string), name: name.to_string(), subject_keys, ..CustomerDraft::default() }
}

/// An answer that says which customer.
fn show(customer: &Customer) -> Kept {
    Kept { status: 200, body: customer.id.to_string() }
}

fn owners(of: &[(&str, &String)]) -> BTreeMap<String, Ulid> {
    of.iter().map(|(subject, id)| (subject.to_string(), id.parse().unwrap())).collect()
}

fn row(subject: Option<&str>, customer: &str, groups: &[&str], value: &str) -> UsageRow {
    UsageRow {
        window_start: Instant::parse("2025-03-01T00:00:00Z").unwrap(),
        window_end: Instant::parse("2025-03-02T00:00:00Z").unwrap(),
        subject: subject.map(str::to_string),
        customer: Some(customer.parse().unwrap()),
        groups: groups.iter().map(ToString::to_string).collect(),
        value: Quantity::parse(value).unwrap(),
    }
}

fn in_v3(customer_id: Value) -> Value {
    json!({"filters": {"dimensions": {"customer_id": customer_id}}})
}

fn v2(filter: Value) -> String {
    let text: String = filter.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/api/v2/events?filter={text}")
}

#[actix_web::test]
async fn usage_of_customers_is_asked_by_their_subjects_and_a_keys_owner_goes_first() {
    let (house, v3) = house().await;
    let [acme, globex, _] = house.customers().await;
    let of_acme = [("acme", &acme), ("acme-eu", &acme)];
    let of_globex = [("globex", &globex), ("globex-eu", &globex)];
    let both = [&of_acme[..], &of_globex[..]].concat();
    let twice = format!("filterCustomerId={globex}&filterCustomerId={acme}&filterCustomerId={acme}");
    #[rustfmt::skip]
    let table = [
        (format!("filterCustomerId={acme}"), json!({"filterCustomerId": [acme]}), in_v3(json!({"eq": acme})), &of_acme[..]),
        (format!("filterCustomerId={globex}"), json!({"filterCustomerId": [globex]}), in_v3(json!({"in": [globex]})), &of_globex[..]),
        (twice, json!({"filterCustomerId": [globex, acme]}), in_v3(json!({"in": [acme, globex]})), &both[..]),
    ];
    for (get, post, post_v3, expected) in table {
        let answers = [
            house.get(&format!("{QUERY}?{get}")).await,
            house.get(&format!("{QUERY}?{get}&groupBy=customer_id")).await,
            house.post(QUERY, post).await,
            house.post(&v3, post_v3).await,
        ];
        let statuses = answers.map(|answer| (answer.status, answer.text));
        assert!(statuses.iter().all(|(status, _)| *status == 200), "{statuses:?}");
        let query = house.asked();
        let subjects: Vec<String> = expected.iter().map(|(subject, _)| subject.to_string()).collect();
        assert_eq!((query.subjects, query.group_by_subject, query.group_by), (Some(subjects), false, vec![]));
        assert_eq!(query.customers.as_deref(), Some(&owners(expected)));
    }
    house.get(&format!("{QUERY}?filterCustomerId={acme}&subject=acme-eu&subject=globex")).await;
    let query = house.asked();
    assert_eq!((query.subjects, query.group_by_subject), (Some(vec!["acme-eu".to_string()]), true), "both must hold");
    for nothing in [json!({"filterCustomerId": []}), json!({})] {
        assert_eq!(house.post(QUERY, nothing).await.status, 200);
        assert_eq!(house.asked().customers, None);
    }
}

#[actix_web::test]
async fn a_moved_subject_takes_its_history_along() {
    let (house, _) = house().await;
    let [acme, globex, _] = house.customers().await;
    house.change(&acme, Some("acme-corp"), &[]).await;
    house.change(&globex, None, &["acme", "acme-eu"]).await;
    house.get(&format!("{QUERY}?filterCustomerId={acme}&filterCustomerId={globex}")).await;
    let expected = owners(&[("acme-corp", &acme), ("acme", &globex), ("acme-eu", &globex)]);
    assert_eq!(house.asked().customers.as_deref(), Some(&expected));
}

#[actix_web::test]
async fn a_deleted_customer_is_asked_for_in_v3_alone_and_owns_what_nobody_else_does() {
    let (house, v3) = house().await;
    let [_, _, gone] = house.customers().await;
    assert_eq!(house.post(&v3, in_v3(json!({"eq": gone}))).await.status, 200);
    assert_eq!(house.asked().customers.as_deref(), Some(&owners(&[("gone", &gone)])));
    let heir = house.customer("gone", "Heir", &[]).await;
    house.post(&v3, in_v3(json!({"in": [gone, heir]}))).await;
    assert_eq!(house.asked().customers.as_deref(), Some(&owners(&[("gone", &heir)])));
    house.post(&v3, in_v3(json!({"eq": gone}))).await;
    let query = house.asked();
    assert_eq!((query.subjects, query.customers.as_deref()), (Some(vec![]), Some(&BTreeMap::new())));
}

#[actix_web::test]
async fn rows_say_whose_usage_they_are() {
    let (house, v3) = house().await;
    let [acme, ..] = house.customers().await;
    house.world.with(|state| state.rows = vec![row(Some("acme-eu"), &acme, &["eu"], "7.5")]);
    let answer = house.get(&format!("{QUERY}?filterCustomerId={acme}&groupBy=subject&groupBy=region")).await;
    assert_eq!(
        answer.text,
        format!(
            "{{\"data\":[{{\"customerId\":\"{acme}\",\"groupBy\":{{\"region\":\"eu\"}},\"subject\":\"acme-eu\",\
             \"value\":7.5,\"windowEnd\":\"2025-03-02T00:00:00Z\",\"windowStart\":\"2025-03-01T00:00:00Z\"}}]}}\n"
        )
    );
    let mut asked = in_v3(json!({"eq": acme}));
    asked["group_by_dimensions"] = json!(["region", "subject", "customer_id"]);
    let answer = house.post(&v3, asked).await;
    assert_eq!(
        answer.json()["data"][0]["dimensions"],
        json!({"customer_id": acme, "region": "eu", "subject": "acme-eu"})
    );
}

#[actix_web::test]
async fn counting_nothing_of_a_customer_is_no_row() {
    let house = House::new().await;
    live(&house.world, json!({"slug": "count", "aggregation": "COUNT", "eventType": "job"}));
    let [acme, ..] = house.customers().await;
    let answer = house.get(&format!("/api/v1/meters/count/query?filterCustomerId={acme}")).await;
    assert_eq!(answer.text, "{\"data\":[]}\n");
}

#[actix_web::test]
async fn tables_show_customers_in_the_columns_of_their_version() {
    let (house, v3) = house().await;
    let [acme, _, gone] = house.customers().await;
    let window = "2025-03-01T00:00:00Z,2025-03-02T00:00:00Z";
    let get = |query: &str| TestRequest::get().uri(&format!("{QUERY}?filterCustomerId={acme}{query}"));
    house.world.with(|state| state.rows = vec![row(None, &acme, &["eu"], "7.5")]);
    let head = "window_start,window_end";
    let last = format!("{head},region,customer_id,value\n{window},eu,{acme},7.500000\n");
    assert_eq!(house.csv(get("&groupBy=region")).await, last);
    let first = format!("{head},customer_id,region,value\n{window},{acme},eu,7.500000\n");
    assert_eq!(house.csv(get("&groupBy=customer_id&groupBy=region&groupBy=region")).await, first);

    let asked = json!({"group_by_dimensions": ["region", "subject"],
        "filters": {"dimensions": {"customer_id": {"in": [acme, gone]}}}});
    let post = TestRequest::post().uri(&v3).set_json(asked);
    house.world.with(|state| {
        state.rows = vec![row(Some("gone"), &gone, &["eu"], "1"), row(Some("acme"), &acme, &["eu"], "7.5")]
    });
    let expected = format!(
        "from,to,subject,customer_id,customer_key,customer_name,region,value\n\
         {window},gone,{gone},,,eu,1\n{window},acme,{acme},acme,\"Acme, Inc.\",eu,7.5\n"
    );
    assert_eq!(house.csv(post).await, expected, "of a deleted one the id alone");
}

#[actix_web::test]
async fn customers_that_are_not_there_are_told_in_the_words_of_the_peer() {
    let (house, v3) = house().await;
    let [acme, _, gone] = house.customers().await;
    let small = acme.to_lowercase();
    let not_found = |id: &str| format!("not found error: customer with id {id} not found");
    for id in [NOBODY, "anything", &gone, &small] {
        let table = [
            house.get(&format!("{QUERY}?filterCustomerId={acme}&filterCustomerId={id}&filterCustomerId=x")).await,
            house.post(QUERY, json!({"filterCustomerId": [acme, id, "x"], "from": "2025-03-01T00:00:00Z", "to": "2025-03-01T00:00:00Z"})).await,
        ];
        for answer in table {
            assert_eq!((answer.status, answer.detail()), (404, not_found(id)), "the first one that is not there");
        }
    }
    for id in [NOBODY, "anything", &small] {
        let answer = house.post(&v3, in_v3(json!({"in": [acme, id]}))).await;
        assert_eq!((answer.status, answer.detail()), (404, not_found(id)));
        let issue = json!({"code": "customer_not_found", "field": "$.filters.dimensions.customer_id",
            "message": "customer not found", "severity": "critical", "customer_id": id});
        assert_eq!(answer.json()["extensions"]["validationErrors"], json!([issue]));
    }
    let unknown = |ids: &str| format!("validation error: customers not found in namespace default: {ids}");
    let two = format!("{gone}, {NOBODY}");
    #[rustfmt::skip]
    let table = [
        (format!("/api/v1/events?customerId={acme}&customerId={gone}&customerId={NOBODY}"), &two),
        (v2(json!({"customerId": {"$in": [acme, gone, NOBODY]}})), &two),
        (v2(json!({"customerId": {"$in": [small]}})), &small),
        (format!("{V3_EVENTS}?filter[customer_id][oeq]={acme},{gone},{NOBODY}"), &two),
        (format!("{V3_EVENTS}?filter[customer_id]={gone}"), &gone),
    ];
    for (path, ids) in table {
        let answer = house.get(&path).await;
        assert_eq!((answer.status, answer.detail()), (400, unknown(ids)), "{path}");
        assert_eq!(answer.json()["type"], "about:blank");
    }
}

/// An event of a subject, `second`s after another.
fn of(subject: &str, second: u32) -> Value {
    let mut event = event(subject);
    (event["subject"], event["time"]) = (json!(subject), json!(format!("2025-03-01T10:00:{second:02}Z")));
    event
}

#[actix_web::test]
async fn lists_show_whose_events_are_and_are_narrowed_by_it() {
    let (house, _) = house().await;
    let [acme, globex, _] = house.customers().await;
    let subjects = ["acme", "acme-eu", "globex-eu", "gone", "nobody"];
    let events: Vec<Value> = (0..).zip(subjects).map(|(second, subject)| of(subject, second)).collect();
    let batch = TestRequest::post().uri("/api/v1/events").insert_header(("content-type", "application/json"));
    assert_eq!(house.ask(batch.set_payload(json!(events).to_string())).await.status, 204);
    let nobodys = |subject: &str| format!("no customer found for event subject: {subject}");
    let expected = [
        ("nobody", None),
        ("gone", None),
        ("globex-eu", Some(&globex)),
        ("acme-eu", Some(&acme)),
        ("acme", Some(&acme)),
    ];

    let (v1, v2_all) = (house.get("/api/v1/events").await.json(), house.get("/api/v2/events").await.json());
    assert_eq!(v1, v2_all["items"]);
    let answer = house.get(V3_EVENTS).await;
    assert_eq!(answer.header("x-weir-customers"), "");
    for (at, (subject, customer)) in expected.into_iter().enumerate() {
        let (old, new) = (&v1[at], &answer.json()["data"][at]);
        assert_eq!((&old["event"]["subject"], &new["event"]["subject"]), (&json!(subject), &json!(subject)));
        assert_eq!((old["customerId"].as_str(), new["customer"]["id"].as_str()), {
            let id = customer.map(String::as_str);
            (id, id)
        });
        let told = customer.is_none().then(|| nobodys(subject));
        assert_eq!(old["validationError"].as_str(), told.as_deref());
        assert_eq!(new["validation_errors"][0]["message"].as_str(), told.as_deref());
    }

    #[rustfmt::skip]
    let table = [
        (format!("/api/v1/events?customerId={acme}"), "acme-eu acme"),
        (format!("/api/v1/events?customerId={acme}&customerId={globex}"), "globex-eu acme-eu acme"),
        (format!("/api/v1/events?customerId={acme}&subject=acme"), "acme"),
        (format!("/api/v1/events?customerId={acme}&subject=globex-eu"), ""),
        (v2(json!({"customerId": {"$in": [globex]}})), "globex-eu"),
        (v2(json!({"customerId": {"$in": [acme]}, "subject": {"$like": "%eu"}})), "acme-eu"),
        (v2(json!({"customerId": {"$in": []}, "subject": {"$eq": "gone"}})), "gone"),
        (format!("{V3_EVENTS}?filter[customer_id]={acme}"), "acme-eu acme"),
        (format!("{V3_EVENTS}?filter[customer_id][oeq]={acme},{globex}&filter[customer_id][eq]={globex}"), "globex-eu"),
        (format!("{V3_EVENTS}?filter[customer_id][eq]={acme}&filter[customer_id][oeq]={globex}"), ""),
        (format!("{V3_EVENTS}?filter[customer_id][eq]={acme}&filter[subject][neq]=acme"), "acme-eu"),
    ];
    for (path, subjects) in table {
        let answer = house.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let body = answer.json();
        let rows = [&body, &body["items"], &body["data"]].into_iter().find_map(Value::as_array).unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row["event"]["subject"].as_str().unwrap()).collect();
        assert_eq!(found.join(" "), subjects, "{path}");
    }
}

#[actix_web::test]
async fn faults_of_meters_go_before_that_of_the_customer() {
    let house = House::new().await;
    let sent = TestRequest::post().uri("/api/v1/events").insert_header(("content-type", "application/json"));
    house.ask(sent.set_payload(event("1").to_string())).await;
    let faults = ["no meter found for event type: job", "no customer found for event subject: acme"];
    assert_eq!(house.get("/api/v1/events").await.json()[0]["validationError"], faults.join("\n"));
    let told = house.get(V3_EVENTS).await.json()["data"][0]["validation_errors"].clone();
    let code = "validation_error";
    assert_eq!(told, json!(faults.map(|message| json!({"code": code, "message": message}))));
}

#[actix_web::test]
async fn without_the_database_what_names_customers_waits_and_all_else_goes_on() {
    let world = world();
    let v3 = format!("/api/v3/openmeter/meters/{}/query", live(&world, meter("job")));
    post(&world, "/api/v1/events", "application/json", event("1").to_string()).await;
    let answers = [
        get(&world, &format!("{QUERY}?filterCustomerId={NOBODY}")).await,
        post_json(&world, QUERY, json!({"filterCustomerId": [NOBODY]})).await,
        post_json(&world, &v3, in_v3(json!({"eq": NOBODY}))).await,
        get(&world, &format!("/api/v1/events?customerId={NOBODY}")).await,
        get(&world, &v2(json!({"customerId": {"$in": [NOBODY]}}))).await,
        get(&world, &format!("{V3_EVENTS}?filter[customer_id]={NOBODY}")).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
    }
    assert_eq!(get(&world, QUERY).await.status, 200);
    for path in ["/api/v1/events", "/api/v2/events", V3_EVENTS] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, answer.header("x-weir-customers")), (200, "unknown"), "{path}");
        assert!(!answer.text.contains("customer"), "nothing is said of them: {}", answer.text);
    }
}
