use super::*;
use crate::domain::time::Instant;
use crate::services::subjects::SubjectChanges;
use crate::services::testing::records::{Scene, caller, draft, nothing, show};
use crate::services::writes::Kept;

fn asked(limit: usize) -> AuditQuery {
    AuditQuery { namespace: "default".to_string(), limit, ..AuditQuery::default() }
}

/// Three meters, a second apart; then a subject; then the first meter is deleted.
async fn scene() -> Scene {
    let scene = Scene::open().await;
    for slug in ["a", "b", "c"] {
        scene.records.meters.create(&caller(), draft(slug), &[], show).await.unwrap();
        scene.tick();
    }
    let subject = SubjectChanges { key: "acme".to_string(), ..SubjectChanges::default() };
    let show = |_: &[_]| Kept { status: 200, body: String::new() };
    scene.records.subjects.upsert(&caller(), vec![subject], show).await.unwrap();
    scene.records.meters.delete(&caller(), "a", nothing()).await.unwrap();
    scene
}

async fn operations(scene: &Scene, query: AuditQuery) -> Vec<String> {
    let page = scene.records.audit.list(query).await.unwrap();
    page.entries.into_iter().map(|entry| entry.operation).collect()
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let scene = scene().await;
    let whole = scene.records.audit.list(asked(5)).await.unwrap();
    assert_eq!((whole.entries.len(), whole.next), (5, None));
    assert!(whole.entries.is_sorted_by(|a, b| a.id > b.id));
    let (mut walked, mut before) = (Vec::new(), None);
    loop {
        let page = scene.records.audit.list(AuditQuery { before, ..asked(2) }).await.unwrap();
        walked.extend(page.entries);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(walked, whole.entries);
}

#[tokio::test]
async fn every_filter_must_accept() {
    let scene = scene().await;
    let meter = scene.records.meters.list("default", true).await.unwrap()[0].meter.id.to_string();
    let at = |text: &str| Some(Instant::parse(text).unwrap());
    let text = |text: &str| Some(text.to_string());
    let table = [
        (AuditQuery { entity_kind: text("subject"), ..asked(9) }, vec!["subject.create"]),
        (AuditQuery { entity_id: text(&meter), ..asked(9) }, vec!["meter.delete", "meter.create"]),
        (AuditQuery { entity_id: text(&meter), operation: text("meter.create"), ..asked(9) }, vec!["meter.create"]),
        (
            AuditQuery { from: at("2025-03-01T12:00:01.123456Z"), to: at("2025-03-01T12:00:02.123456Z"), ..asked(9) },
            vec!["meter.create"],
        ),
        (AuditQuery { namespace: "other".to_string(), ..asked(9) }, vec![]),
        (AuditQuery { entity_id: text("\0"), ..asked(9) }, vec![]),
    ];
    for (query, expected) in table {
        assert_eq!(operations(&scene, query.clone()).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn before_the_gate_is_open_there_is_no_audit() {
    let scene = Scene::closed().await;
    assert!(scene.records.audit.list(asked(1)).await.unwrap_err().to_string().contains("still starting"));
}
