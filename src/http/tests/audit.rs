//! `GET /api/v1/audit`.

use super::*;
use serde_json::json;

async fn shown(house: &House, query: &str) -> Vec<String> {
    let answer = house.get(&format!("/api/v1/audit?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let items = answer.json()["items"].clone();
    items.as_array().unwrap().iter().map(|item| item["operation"].as_str().unwrap().to_string()).collect()
}

#[actix_web::test]
async fn every_change_of_a_record_is_written_down() {
    let house = House::new().await;
    assert_eq!(house.get("/api/v1/audit").await.text, "{\"items\":[]}\n");
    let body = r#"[{"key":"a","metadata":{"n":1.50}}]"#;
    let request = TestRequest::post().uri("/api/v1/subjects").insert_header(("x-request-id", "mine"));
    house.ask(request.insert_header(("content-type", "application/json")).set_payload(body)).await;
    house.world.with(|state| state.now += 1_000_000_000);
    house.delete("/api/v1/subjects/a").await;
    house.world.with(|state| state.now += 1_000_000_000);
    let id = house.post("/api/v1/meters", meter("job")).await.json()["id"].as_str().unwrap().to_string();

    let all = house.get("/api/v1/audit").await;
    assert!(all.text.contains(r#""metadata":{"n":1.50}"#), "{}", all.text);
    let items = all.json()["items"].clone();
    let (made, deleted, created) = (&items[2], &items[1], &items[0]);
    assert_eq!(made["operation"], "subject.create");
    assert_eq!((made.get("before"), &made["after"]["key"]), (None, &json!("a")));
    assert_eq!(
        (&made["at"], &made["actor"], &made["requestId"]),
        (&json!("2025-03-01T12:00:00Z"), &json!("api"), &json!("mine"))
    );
    assert_eq!((&deleted["operation"], &deleted["before"]["key"]), (&json!("subject.delete"), &json!("a")));
    assert_eq!((&created["entityKind"], &created["entityId"]), (&json!("meter"), &json!(id)));

    #[rustfmt::skip]
    let table = [
        ("entityKind=subject".to_string(), vec!["subject.delete", "subject.create"]), ("entityKind=nothing".into(), vec![]),
        (format!("entityId={id}"), vec!["meter.create"]), ("operation=subject.create".into(), vec!["subject.create"]),
        ("from=2025-03-01T12:00:01Z".into(), vec!["meter.create", "subject.delete"]),
        ("to=2025-03-01T12:00:01Z".into(), vec!["subject.create"]),
        ("from=2025-03-01T12:00:01Z&to=2025-03-01T12:00:02Z".into(), vec!["subject.delete"]),
    ];
    for (query, operations) in table {
        assert_eq!(shown(&house, &query).await, operations, "{query}");
    }
}

#[actix_web::test]
async fn the_audit_is_read_page_by_page() {
    let house = House::new().await;
    for key in ["a", "b", "c"] {
        house.post("/api/v1/subjects", json!([{"key": key}])).await;
    }
    let keys = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|item| item["after"]["key"].as_str().unwrap()).collect::<String>()
    };
    let first = house.get("/api/v1/audit?limit=2").await.json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = house.get(&format!("/api/v1/audit?limit=2&cursor={cursor}")).await.json();
    assert_eq!((keys(&first), keys(&second), second.get("nextCursor")), ("cb".to_string(), "a".to_string(), None));
    for query in ["limit=0", "limit=101", "cursor=x", "from=yesterday"] {
        let answer = house.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.detail().contains(query.split('=').next().unwrap()), "{}", answer.detail());
    }
}
