use super::*;
use crate::domain::fault::Verdict;
use crate::services::testing::records::{Scene, caller, caller_of, draft, keyed, nothing, show};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn changes(group_by: &[(&str, &str)]) -> MeterChanges {
    let group_by = group_by.iter().map(|(name, path)| (name.to_string(), path.to_string())).collect();
    MeterChanges { name: None, description: None, metadata: None, group_by }
}

/// The dimensions that [`draft`] has.
const SAME: &[(&str, &str)] = &[("region", "$.region")];

impl Scene {
    async fn create(&self, slug: &str) -> StoredMeter {
        self.records.meters.create(&caller(), draft(slug), &[], show).await.unwrap();
        self.get(slug).await
    }

    async fn get(&self, id_or_slug: &str) -> StoredMeter {
        self.records.meters.get("default", id_or_slug).await.unwrap()
    }

    async fn update(&self, id_or_slug: &str, changes: MeterChanges) -> Result<Answered, MeterError> {
        self.records.meters.update(&caller(), id_or_slug, changes, &[], show).await
    }

    async fn delete(&self, id_or_slug: &str) -> Result<Answered, MeterError> {
        self.records.meters.delete(&caller(), id_or_slug, nothing()).await
    }

    /// Versions in the log, and whether each is gone.
    fn log(&self) -> Vec<(Ulid, bool)> {
        self.world.with(|state| state.meters.iter().map(|known| (known.meter.version, known.gone.is_some())).collect())
    }
}

fn is_not_found<T: std::fmt::Debug>(answered: Result<T, MeterError>) -> bool {
    matches!(answered, Err(MeterError::NotFound(_)))
}

#[tokio::test]
async fn a_created_meter_is_found_listed_and_counts() {
    let scene = Scene::open().await;
    let full = MeterDraft {
        name: Some("Größe".into()),
        description: Some("d".into()),
        event_from: Some(at("2025-01-01T00:00:00.0000019Z")),
        metadata: Some(BTreeMap::from([("n".into(), "1.50".into())])),
        ..draft("jobs")
    };
    let answered = scene.records.meters.create(&caller(), full, &["subject"], show).await.unwrap();
    let stored = scene.get("jobs").await;
    let Meter { id, version, .. } = stored.meter;
    assert_eq!(answered.kept.body, format!("{id} Größe"));
    assert_eq!(answered.effect.unwrap().appended.frontier, crate::domain::position::Frontier::at(0, 1));
    assert_eq!(scene.get(&id.to_string()).await, stored);
    assert_eq!(scene.records.meters.list("default", false).await.unwrap(), std::slice::from_ref(&stored));
    assert_eq!(stored.meter.created_at, at("2025-03-01T12:00:00.123456Z"));
    assert_eq!(stored.meter.event_from, Some(at("2025-01-01T00:00:00.000001Z")));
    let known = scene.records.meters.known("default", "jobs").unwrap();
    assert_eq!(*known.meter, stored.meter, "the log has what the database has");
    assert_eq!(scene.log(), [(version, false)]);
    assert_eq!(scene.count("outbox").await, 0);
}

#[tokio::test]
async fn of_sixteen_racing_creators_one_gets_the_slug() {
    let scene = Scene::open().await;
    let race = (0..16).map(async |_| scene.records.meters.create(&caller(), draft("jobs"), &[], show).await);
    let outcomes = join_all(race).await;
    let taken = |outcome: &&Result<Answered, MeterError>| matches!(outcome, Err(MeterError::SlugTaken));
    assert_eq!(outcomes.iter().filter(taken).count(), 15, "{outcomes:?}");
    assert_eq!((scene.count("meters").await, scene.log().len(), scene.audit("default").await.len()), (1, 1, 1));
    assert_eq!(MeterError::SlugTaken.to_string(), "meter with the same slug already exists");
}

#[tokio::test]
async fn a_new_name_is_a_row_and_no_version() {
    let scene = Scene::open().await;
    let described = MeterDraft { description: Some("d".into()), metadata: Some(BTreeMap::new()), ..draft("jobs") };
    scene.records.meters.create(&caller(), described, &[], show).await.unwrap();
    let before = scene.get("jobs").await.meter;
    scene.tick();
    let renamed = MeterChanges { name: Some("Work".into()), ..changes(SAME) };
    let answered = scene.update("jobs", renamed).await.unwrap();
    assert!(answered.effect.is_none() && answered.kept.body.ends_with(" Work"));
    let after = scene.get("jobs").await.meter;
    let updated_at = at("2025-03-01T12:00:01.123456Z");
    assert_eq!(after, Meter { name: "Work".into(), metadata: None, updated_at, ..before.clone() });
    assert_eq!(scene.log(), [(before.version, false)]);
    scene.update("jobs", changes(SAME)).await.unwrap();
    assert_eq!(scene.get("jobs").await.meter.name, "jobs", "a name that is left out is the slug again");
}

#[tokio::test]
async fn other_dimensions_make_a_version_that_takes_over() {
    let scene = Scene::open().await;
    let before = scene.create("jobs").await.meter;
    scene.tick();
    assert!(scene.update(&before.id.to_string(), changes(&[("zone", "$.zone")])).await.unwrap().effect.is_some());
    let after = scene.get("jobs").await.meter;
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));
    assert!(after.version != before.version && after.updated_at > before.updated_at);
    assert_eq!(scene.log(), [(before.version, true), (after.version, false)]);
    for name in ["jobs", &before.id.to_string()] {
        assert_eq!(*scene.records.meters.known("default", name).unwrap().meter, after);
    }
    assert_eq!(scene.records.meters.live("default").len(), 1);
}

#[tokio::test]
async fn a_deleted_meter_is_found_by_its_id_alone() {
    let scene = Scene::open().await;
    let meter = scene.create("jobs").await.meter;
    let id = meter.id.to_string();
    scene.tick();
    assert!(scene.delete("jobs").await.unwrap().effect.is_some());
    let deleted = scene.get(&id).await;
    let deleted_at = at("2025-03-01T12:00:01.123456Z");
    assert_eq!((deleted.deleted_at, deleted.meter.updated_at), (Some(deleted_at), deleted_at));
    assert!(is_not_found(scene.records.meters.get("default", "jobs").await));
    assert!(is_not_found(scene.records.meters.known("default", "jobs")));
    assert!(is_not_found(scene.records.meters.get("default", &id.to_lowercase()).await));
    assert!(is_not_found(scene.records.meters.known("default", &id.to_lowercase())));
    assert_eq!(scene.records.meters.known("default", &id).unwrap().gone.unwrap().1, deleted_at);
    assert!(scene.records.meters.live("default").is_empty());
    assert!(scene.records.meters.list("default", false).await.unwrap().is_empty());
    assert_eq!(scene.records.meters.list("default", true).await.unwrap(), std::slice::from_ref(&deleted));

    scene.tick();
    assert_eq!(scene.delete(&id).await.unwrap().kept.status, 204);
    assert!(is_not_found(scene.delete("jobs").await));
    assert_eq!(scene.get(&id).await, deleted, "a second delete changes nothing");
    let operations = scene.audit("default").await;
    assert_eq!(operations.iter().map(|entry| &*entry.operation).collect::<Vec<_>>(), ["meter.create", "meter.delete"]);
}

#[tokio::test]
async fn a_slug_is_free_after_delete_and_the_deleted_meter_can_still_change() {
    let scene = Scene::open().await;
    let first = scene.create("jobs").await.meter;
    scene.delete("jobs").await.unwrap();
    scene.tick();
    let second = scene.create("jobs").await.meter;
    assert!(second.id != first.id);
    let id = first.id.to_string();
    scene.update(&id, changes(&[("zone", "$.zone")])).await.unwrap();
    let changed = scene.get(&id).await;
    assert!(changed.deleted_at.is_some() && changed.meter.version != first.version);
    assert_eq!(scene.log(), [(first.version, true), (second.version, false), (changed.meter.version, true)]);
    assert_eq!(scene.records.meters.known("default", &id).unwrap().meter.version, changed.meter.version);
    // Even while the changed one has not ended in the catalog yet.
    scene.world.with(|state| state.meters[2].gone = None);
    assert_eq!(scene.records.meters.known("default", "jobs").unwrap().meter.id, second.id);
}

#[tokio::test]
async fn the_audit_has_a_meter_before_and_after() {
    let scene = Scene::open().await;
    let meter = scene.create("jobs").await.meter;
    scene.tick();
    scene.update("jobs", MeterChanges { description: Some("d".into()), ..changes(&[]) }).await.unwrap();
    scene.tick();
    scene.delete("jobs").await.unwrap();
    let created = json!({
        "id": meter.id.to_string(), "slug": "jobs", "name": "jobs", "description": null, "aggregation": "SUM",
        "eventType": "job", "eventFrom": null, "valueProperty": "$.seconds", "groupBy": {"region": "$.region"},
        "metadata": null, "createdAt": "2025-03-01T12:00:00.123456Z", "updatedAt": "2025-03-01T12:00:00.123456Z",
        "deletedAt": null,
    });
    let mut updated = created.clone();
    updated["description"] = "d".into();
    updated["groupBy"] = json!({});
    updated["updatedAt"] = "2025-03-01T12:00:01.123456Z".into();
    let expected = [
        ("meter.create", None, Some(created.clone())),
        ("meter.update", Some(created), Some(updated.clone())),
        ("meter.delete", Some(updated), None),
    ];
    let entries = scene.audit("default").await;
    assert_eq!(entries.len(), 3);
    let read = |text: &Option<String>| text.as_ref().map(|text| serde_json::from_str::<Value>(text).unwrap());
    for (entry, (operation, before, after)) in entries.iter().zip(expected) {
        assert_eq!((entry.operation.as_str(), entry.entity_kind.as_str()), (operation, "meter"));
        assert_eq!(entry.entity_id, meter.id.to_string());
        assert_eq!((entry.actor.as_str(), entry.request_id.as_str()), ("api", "r-1"));
        assert_eq!((read(&entry.before), read(&entry.after)), (before, after), "{operation}");
    }
    assert_eq!(entries[2].at, at("2025-03-01T12:00:02.123456Z"));
}

#[tokio::test]
async fn a_refused_change_leaves_nothing_behind() {
    let scene = Scene::open().await;
    let meter = scene.create("jobs").await;
    let refused = scene.update("jobs", changes(&[("x", "no path")])).await.unwrap_err();
    assert!(refused.to_string().starts_with("invalid JSONPath for x group by: "), "{refused}");
    let no_value = MeterDraft { value_property: None, ..draft("more") };
    assert!(matches!(
        scene.records.meters.create(&caller(), no_value, &[], show).await,
        Err(MeterError::Refused(refusal)) if refusal.field == "valueProperty"
    ));
    assert!(is_not_found(scene.update("nothing", changes(&[])).await));
    assert_eq!(scene.get("jobs").await, meter);
    assert_eq!((scene.count("audit").await, scene.count("meters").await, scene.log().len()), (1, 1, 1));
}

#[tokio::test]
async fn dimension_names_that_the_callers_api_reserves_are_refused() {
    let scene = Scene::open().await;
    let meters = &scene.records.meters;
    let shadowed = || BTreeMap::from([("subject".to_string(), "$.who".to_string())]);
    let reserved = ["subject", "customer_id"];
    let draft = || MeterDraft { group_by: shadowed(), ..draft("jobs") };
    let is_refused = |answered: Result<Answered, MeterError>| {
        matches!(answered, Err(MeterError::Refused(refusal))
            if refusal.code == Some("reserved_dimension") && refusal.field == "$.dimensions.subject")
    };
    assert!(is_refused(meters.create(&caller(), draft(), &reserved, show).await));
    meters.create(&caller(), draft(), &[], show).await.unwrap();
    let changes = MeterChanges { group_by: shadowed(), ..changes(&[]) };
    assert!(is_refused(meters.update(&caller(), "jobs", changes.clone(), &reserved, show).await));
    meters.update(&caller(), "jobs", changes, &[], show).await.unwrap();
}

#[tokio::test]
async fn a_reserved_event_type_can_be_neither_created_nor_changed_nor_deleted() {
    let scene = Scene::open().await;
    let id = scene.create("jobs").await.meter.id.to_string();
    let settings: Settings = serde_json::from_str(r#"{"reserved_event_types": ["om.*", "j*b"]}"#).unwrap();
    let strict = Scene::over(scene.world.clone(), scene.records.database.clone(), settings);
    strict.start(vec![]).await.unwrap();
    let text = "invalid event type: event type 'job' matched reserved pattern 'j*b'";
    let created = strict.records.meters.create(&caller(), draft("more"), &[], show).await;
    for answered in [created, strict.update("jobs", changes(SAME)).await, strict.delete(&id).await] {
        let refused = answered.unwrap_err();
        assert!(matches!(refused, MeterError::Refused(_)) && refused.to_string() == text, "{refused}");
    }
    assert!(is_not_found(strict.delete("nothing").await));
    assert_eq!((scene.count("audit").await, scene.get("jobs").await.deleted_at), (1, None));
}

#[tokio::test]
async fn a_repeat_with_its_key_gets_the_first_answer() {
    let scene = Scene::open().await;
    let meters = &scene.records.meters;
    let create = async || meters.create(&keyed("create"), draft("jobs"), &[], show).await;
    let update = async || meters.update(&keyed("update"), "jobs", changes(&[("zone", "$.zone")]), &[], show).await;
    let delete = async || meters.delete(&keyed("delete"), "jobs", nothing()).await;
    let created = create().await.unwrap();
    let again = create().await.unwrap();
    assert_eq!((again.kept, again.replayed, created.replayed), (created.kept, true, false));
    let updated = update().await.unwrap();
    let again = update().await.unwrap();
    assert_eq!((again.kept, again.replayed), (updated.kept, true));
    delete().await.unwrap();
    assert!(delete().await.unwrap().replayed, "though a slug finds no deleted meter");
    assert_eq!((scene.count("audit").await, scene.log().len()), (3, 2));
    let other = Caller {
        idempotency: keyed("create")
            .idempotency
            .map(|key| super::super::writes::IdempotencyKey { request_hash: 8, ..key }),
        ..caller()
    };
    let reused = meters.create(&other, draft("more"), &[], show).await;
    assert!(matches!(reused, Err(MeterError::Write(WriteError::KeyReused))), "{reused:?}");
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let scene = Scene::open().await;
    let meters = &scene.records.meters;
    let mine = scene.create("jobs").await.meter;
    meters.create(&caller_of("other"), draft("jobs"), &[], show).await.unwrap();
    let theirs = meters.get("other", "jobs").await.unwrap().meter;
    let id = mine.id.to_string();
    assert!(is_not_found(meters.get("other", &id).await) && is_not_found(meters.known("other", &id)));
    assert!(is_not_found(meters.delete(&caller_of("other"), &id, nothing()).await));
    assert_eq!(meters.known("other", "jobs").unwrap().meter.id, theirs.id);
    assert_eq!(meters.live("other").len(), 1);
    assert_eq!(scene.audit("other").await[0].entity_id, theirs.id.to_string());
}

#[tokio::test]
async fn without_postgresql_meters_are_known_and_nothing_else() {
    let scene = Scene::open().await;
    let meter = scene.create("jobs").await.meter;
    scene.cut_off();
    let meters = &scene.records.meters;
    assert_eq!(meters.known("default", "jobs").unwrap().meter.version, meter.version);
    assert_eq!(meters.live("default").len(), 1);
    let retry = |fault: &Fault| fault.verdict == Verdict::Retry;
    assert!(matches!(meters.get("default", "jobs").await, Err(MeterError::Fault(fault)) if retry(&fault)));
    assert!(matches!(meters.list("default", true).await, Err(MeterError::Fault(fault)) if retry(&fault)));
    let writes = [
        meters.create(&caller(), draft("more"), &[], show).await,
        scene.update("jobs", changes(&[])).await,
        scene.delete("jobs").await,
    ];
    for written in writes {
        assert!(matches!(written, Err(MeterError::Write(WriteError::Fault(fault))) if retry(&fault)));
    }
    assert_eq!(scene.log(), [(meter.version, false)]);
}

#[tokio::test]
async fn before_the_gate_is_open_nothing_is_answered() {
    let scene = Scene::closed().await;
    let meters = &scene.records.meters;
    let refused = [
        meters.create(&caller(), draft("jobs"), &[], show).await.map(drop),
        scene.update("jobs", changes(&[])).await.map(drop),
        scene.delete("jobs").await.map(drop),
        meters.get("default", "jobs").await.map(drop),
        meters.list("default", false).await.map(drop),
        meters.known("default", "jobs").map(drop),
    ];
    for outcome in refused {
        let text = "business records: still starting: the database is not attached yet";
        assert!(matches!(outcome, Err(MeterError::Fault(fault)) if fault.to_string() == text));
    }
    assert!(meters.live("default").is_empty(), "events are judged at any time");
}
