//! `/api/v1/subjects`.

use super::*;
use serde_json::json;

const PATH: &str = "/api/v1/subjects";

#[actix_web::test]
async fn subjects_are_made_and_changed_by_the_array() {
    let house = House::new().await;
    assert_eq!(house.get(PATH).await.text, "[]\n");
    let body = r#"[{"key":"b","displayName":"B & B","metadata":{"n":1.50,"big":12345678901234567890.1},"stripeCustomerId":"cus_1"},{"key":"a/1"}]"#;
    let request = TestRequest::post().uri(PATH).insert_header(("content-type", "application/json")).set_payload(body);
    let answer = house.ask(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains(r#""metadata":{"n":1.50,"big":12345678901234567890.1}"#), "{}", answer.text);
    let made = answer.json();
    let at = "2025-03-01T12:00:00Z";
    let plain = json!({"createdAt": at, "id": made[1]["id"], "key": "a/1", "metadata": {}, "updatedAt": at});
    assert_eq!((&made[0]["key"], &made[1]), (&json!("b"), &plain), "in the order of the request");
    assert_eq!((&made[0]["displayName"], &made[0]["stripeCustomerId"]), (&json!("B & B"), &json!("cus_1")));
    for address in ["a%2F1", made[1]["id"].as_str().unwrap()] {
        assert_eq!(house.get(&format!("{PATH}/{address}")).await.json(), plain);
    }
    assert_eq!(house.get(PATH).await.json().as_array().unwrap().len(), 2);

    house.world.with(|state| state.now += 5_000_000_000);
    let changed = house.post(PATH, json!([{"key": "b", "displayName": null, "metadata": {"m": "x"}}])).await.json();
    assert_eq!((changed[0].get("displayName"), &changed[0]["metadata"]), (None, &json!({"m": "x"})));
    assert_eq!((&changed[0]["stripeCustomerId"], &changed[0]["id"]), (&json!("cus_1"), &made[0]["id"]), "absent: kept");
    assert_eq!((&changed[0]["createdAt"], &changed[0]["updatedAt"]), (&json!(at), &json!("2025-03-01T12:00:05Z")));
    assert_eq!(house.post(PATH, json!([])).await.text, "[]\n");
}

#[actix_web::test]
async fn a_deleted_subject_is_found_by_its_id_alone() {
    let house = House::new().await;
    let id = house.post(PATH, json!([{"key": "a"}])).await.json()[0]["id"].as_str().unwrap().to_string();
    let answer = house.delete(&format!("{PATH}/a")).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(house.get(&format!("{PATH}/{id}")).await.json()["deletedAt"], "2025-03-01T12:00:00Z");
    assert_eq!(house.delete(&format!("{PATH}/{id}")).await.status, 204);
    let missing = "not found error: subject not found [namespace=default subject.idOrKey=a]";
    for answer in [house.get(&format!("{PATH}/a")).await, house.delete(&format!("{PATH}/a")).await] {
        assert_eq!((answer.status, answer.detail().as_str()), (404, missing));
    }
    assert_eq!(house.get(PATH).await.json(), json!([]));
}

#[actix_web::test]
async fn an_array_that_breaks_a_rule_changes_nothing() {
    let house = House::new().await;
    let schema = "request body has an error: doesn't match schema #/components/schemas/SubjectUpsert: Error at";
    #[rustfmt::skip]
    let table = [
        (json!([{"key": "a"}, {"key": ""}]), 400, "validation error: key is required".to_string()),
        (json!([{"key": "a"}, {"key": "b", "stripeCustomerId": "x"}]), 400, "validation error: stripeCustomerId must start with cus_ when set".into()),
        (json!([{"key": "a"}, {"key": "a"}]), 409, "conflict error: subject with key already exists: a".into()),
        (json!([{"key": "a"}, {}]), 400, format!("{schema} \"/1/key\": property \"key\" is missing")),
        (json!([{"key": "a", "metadata": []}]), 400, format!("{schema} \"/0/metadata\": value must be an object")),
        (json!([{"key": "a", "currentPeriodStart": "now"}]), 400, format!("{schema} \"/0/currentPeriodStart\": string doesn't match the format \"date-time\"")),
    ];
    for (body, status, detail) in table {
        let answer = house.post(PATH, body).await;
        assert_eq!((answer.status, answer.detail()), (status, detail));
    }
    assert_eq!(house.get(PATH).await.json(), json!([]));
}

#[actix_web::test]
async fn a_change_is_made_once_under_its_idempotency_key() {
    let house = House::new().await;
    let send =
        |body: Value| house.ask(TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k")).set_json(body));
    let first = send(json!([{"key": "a"}])).await;
    let again = send(json!([{"key": "a"}])).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    let other = send(json!([{"key": "b"}])).await;
    assert_eq!((other.status, house.get(PATH).await.json().as_array().unwrap().len()), (409, 1));
}

#[actix_web::test]
async fn without_the_database_subjects_are_not_to_be_had() {
    let answer = get(&world(), PATH).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[actix_web::test]
async fn a_table_names_the_subjects_that_people_know() {
    use crate::domain::metering::query::UsageRow;
    use crate::domain::quantity::Quantity;
    let house = House::new().await;
    live(&house.world, meter("job"));
    let at = |text: &str| Instant::parse(text).unwrap();
    let row = |subject: &str| UsageRow {
        window_start: at("2025-03-01T00:00:00Z"),
        window_end: at("2025-03-02T00:00:00Z"),
        subject: Some(subject.to_string()),
        customer: None,
        groups: vec!["eu".to_string()],
        value: Quantity::parse("7.5").unwrap(),
    };
    house.world.with(|state| state.rows = vec![row("c"), row("b"), row("a")]);
    let path = "/api/v1/meters/job/query?groupBy=region&subject=a&subject=b&subject=c";
    let csv = || house.ask(TestRequest::get().uri(path).insert_header(("accept", "text/csv")));
    let window = "2025-03-01T00:00:00Z,2025-03-02T00:00:00Z";
    let unnamed = format!(
        "window_start,window_end,subject,region,value\n{window},c,eu,7.500000\n{window},b,eu,7.500000\n{window},a,eu,7.500000\n"
    );
    assert_eq!(csv().await.text, unnamed);
    house.post(PATH, json!([{"key": "a", "displayName": "A, Inc."}, {"key": "b"}])).await;
    let named = format!(
        "window_start,window_end,subject,subject_display_name,region,value\n\
         {window},c,,eu,7.500000\n{window},b,,eu,7.500000\n{window},a,\"A, Inc.\",eu,7.500000\n"
    );
    assert_eq!(csv().await.text, named);
}
