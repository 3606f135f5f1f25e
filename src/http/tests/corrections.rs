//! `/api/v1/events/void` and `/api/v1/events/replace`.

use super::*;
use serde_json::json;

const VOID: &str = "/api/v1/events/void";
const REPLACE: &str = "/api/v1/events/replace";

impl House {
    async fn send(&self, id: &str, subject: &str) {
        let event = json!({"specversion": "1.0", "id": id, "source": "edge", "type": "job", "subject": subject,
            "time": "2025-03-01T11:00:00Z", "data": {"seconds": 4}});
        let request = TestRequest::post().uri("/api/v1/events").insert_header(("content-type", "application/json"));
        assert_eq!(self.ask(request.set_payload(event.to_string())).await.status, 204);
    }
}

fn asked(id: &str) -> Value {
    json!({"source": "edge", "id": id, "reason": "sent twice"})
}

fn replacing(id: &str, by: Value) -> Value {
    let mut asked = asked(id);
    asked["event"] = by;
    asked
}

#[actix_web::test]
async fn a_voided_event_is_shown_as_such_wherever_it_is_shown() {
    let house = House::new().await;
    house.send("a", "acme").await;
    let answer = house.post(VOID, asked("a")).await;
    assert_eq!((answer.status, answer.header("x-weir-position")), (200, "0:2"), "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({"position": "0:0", "source": "edge", "id": "a", "type": "job", "subject": "acme",
            "time": "2025-03-01T11:00:00Z", "reason": "sent twice"})
    );
    let explained = house.get("/api/v1/events/explain?id=a").await.json()[0].clone();
    assert_eq!((&explained["fate"], &explained["meters"]), (&json!("voided"), &json!([])));
    assert_eq!(explained["voided"], json!({"by": "0:1", "reason": "sent twice"}));
    assert_eq!(explained["summary"], "voided: it counted and counts no longer; its id stays taken");
    let told = "voided by the record at 0:1: sent twice";
    let in_v1 = house.get("/api/v1/events").await.json()[0]["validationError"].clone();
    let in_v2 = house.get("/api/v2/events").await.json()["items"][0]["validationError"].clone();
    let in_v3 = house.get("/api/v3/openmeter/events").await.json()["data"][0]["validation_errors"][0].clone();
    for told_there in [in_v1, in_v2, in_v3["message"].clone()] {
        assert_eq!(told_there.as_str().and_then(|lines| lines.lines().next()), Some(told));
    }
}

#[actix_web::test]
async fn a_replacement_is_an_event_by_the_rules_of_ingest() {
    let house = House::new().await;
    house.send("a", "acme").await;
    let event =
        |id: &str| json!({"specversion": "1.0", "id": id, "source": "edge", "type": "job", "subject": "globex"});
    let refused = house.post(REPLACE, replacing("a", json!({"id": "b"}))).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let mut unreasoned = replacing("a", event("b"));
    unreasoned["reason"] = json!("");
    assert_eq!(house.post(REPLACE, unreasoned).await.status, 400);
    let long = event(&"x".repeat(70_000));
    assert_eq!(house.post(REPLACE, replacing("a", long)).await.status, 400);
    assert_eq!(house.post(REPLACE, replacing("a", event("a"))).await.status, 400);
    let answer = house.post(REPLACE, replacing("a", event("b"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let replacement = json!({"source": "edge", "id": "b", "type": "job", "subject": "globex"});
    assert_eq!(answer.json()["replacement"], replacement);
    assert_eq!(house.get("/api/v1/events/explain?id=b").await.json()[0]["fate"], "counts");
    // A number that no tree of values holds is kept as it came.
    let text = replacing("b", event("c")).to_string().replace("\"job\"", "\"job\",\"data\":{\"seconds\":1e400}");
    let request = TestRequest::post().uri(REPLACE).insert_header(("content-type", "application/json"));
    assert_eq!(house.ask(request.set_payload(text)).await.status, 200);
    assert!(house.get("/api/v1/events/explain?id=c").await.text.contains("1e400"));
}

#[actix_web::test]
async fn a_correction_that_cannot_be_made_says_why() {
    let house = House::new().await;
    for id in ["twice", "twice", "voided"] {
        house.send(id, "acme").await;
    }
    assert_eq!(house.post(VOID, asked("voided")).await.status, 200);
    let missing = "not found error: no event with source edge and id none counts; of one older than the dedupe window send its time";
    let voided = "conflict error: the event at 0:2 was already voided, by the record at 0:3";
    for (id, status, detail) in [("none", 404, missing), ("voided", 409, voided)] {
        let answer = house.post(VOID, asked(id)).await;
        assert_eq!((answer.status, answer.detail().as_str()), (status, detail));
    }
    let several = house.post(VOID, asked("twice")).await;
    assert_eq!(several.status, 409);
    let listed = several.json()["extensions"]["events"].clone();
    assert_eq!(
        listed[1],
        json!({"position": "0:1", "time": "2025-03-01T11:00:00Z", "acceptedAt": "2025-03-01T12:00:00Z", "subject": "acme"})
    );
    for body in [json!({"source": "edge", "id": "a"}), json!({"source": "edge", "id": "a", "reason": ""})] {
        assert_eq!(house.post(VOID, body).await.status, 400);
    }
}
