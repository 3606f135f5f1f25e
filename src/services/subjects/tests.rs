use super::*;
use crate::domain::fault::Verdict;
use crate::services::testing::records::{Scene, caller, caller_of, keyed, nothing};
use futures::future::join_all;
use serde_json::{Value, json};

fn changes(key: &str) -> SubjectChanges {
    SubjectChanges { key: key.to_string(), ..SubjectChanges::default() }
}

fn named(key: &str, name: &str) -> SubjectChanges {
    SubjectChanges { display_name: Some(Some(name.to_string())), ..changes(key) }
}

/// The keys and names, in order.
fn show(subjects: &[Subject]) -> Kept {
    let rows: Vec<_> = subjects.iter().map(|subject| json!([subject.key, subject.display_name])).collect();
    Kept { status: 200, body: Value::from(rows).to_string() }
}

impl Scene {
    async fn upsert(&self, elements: Vec<SubjectChanges>) -> Result<String, SubjectError> {
        Ok(self.records.subjects.upsert(&caller(), elements, show).await?.kept.body)
    }

    async fn subject(&self, id_or_key: &str) -> Subject {
        self.records.subjects.get("default", id_or_key).await.unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        let listed = self.records.subjects.list("default").await.unwrap();
        listed.into_iter().map(|subject| subject.key).collect()
    }
}

#[tokio::test]
async fn an_array_makes_and_changes_and_is_answered_in_its_order() {
    let scene = Scene::open().await;
    assert_eq!(scene.upsert(vec![]).await.unwrap(), "[]");
    assert_eq!(scene.upsert(vec![named("b", "B"), changes("a")]).await.unwrap(), r#"[["b","B"],["a",null]]"#);
    scene.tick();
    let before = scene.subject("b").await;
    let mixed = vec![changes("c"), named("a", "A"), changes("b")];
    assert_eq!(scene.upsert(mixed).await.unwrap(), r#"[["c",null],["a","A"],["b","B"]]"#);
    assert_eq!(scene.keys().await, ["b", "a", "c"], "in the order in which they were made");
    let after = scene.subject("b").await;
    assert_eq!((after.id, after.created_at), (before.id, before.created_at));
    assert_eq!(after.updated_at.to_rfc3339(), "2025-03-01T12:00:01.123456Z", "touched, though nothing else changed");
    assert_eq!(scene.subject(&after.id.to_string()).await, after);
}

#[tokio::test]
async fn a_present_field_overwrites_and_an_absent_one_is_kept() {
    let scene = Scene::open().await;
    let text = |text: &str| Some(Some(text.to_string()));
    let metadata = r#"{"b":1.50,"a":12345678901234567890.1,"a":"\u0000"}"#;
    let full = SubjectChanges { metadata: text(metadata), stripe_customer_id: text("cus_1"), ..named("a", "A") };
    scene.upsert(vec![full]).await.unwrap();
    scene.upsert(vec![changes("a")]).await.unwrap();
    let kept = scene.subject("a").await;
    assert_eq!((kept.metadata.as_str(), kept.stripe_customer_id.as_deref()), (metadata, Some("cus_1")));
    let null = SubjectChanges { display_name: Some(None), stripe_customer_id: Some(None), ..changes("a") };
    scene.upsert(vec![SubjectChanges { metadata: text(r#"{"c":1}"#), ..null }]).await.unwrap();
    let after = scene.subject("a").await;
    assert_eq!((after.display_name, after.stripe_customer_id, after.metadata.as_str()), (None, None, r#"{"c":1}"#));
}

#[tokio::test]
async fn one_refused_element_refuses_the_array() {
    let scene = Scene::open().await;
    scene.upsert(vec![changes("a")]).await.unwrap();
    let before = scene.subject("a").await;
    scene.tick();
    let stripe = SubjectChanges { stripe_customer_id: Some(Some("acme".into())), ..changes("b") };
    let table = [
        (vec![named("a", "A"), changes("")], "key is required"),
        (vec![named("a", "A"), stripe], "stripeCustomerId must start with cus_ when set"),
        (vec![named("a", "A"), changes("new"), changes("z"), changes("new")], "subject with key already exists: new"),
    ];
    for (elements, text) in table {
        assert_eq!(scene.upsert(elements).await.unwrap_err().to_string(), text);
        assert_eq!((scene.subject("a").await, scene.keys().await), (before.clone(), vec!["a".to_string()]));
    }
    assert_eq!(scene.count("audit").await, 1);
    let twice = vec![named("a", "first"), named("a", "second")];
    assert_eq!(scene.upsert(twice).await.unwrap(), r#"[["a","first"],["a","second"]]"#, "a known key may come twice");
    assert_eq!(scene.subject("a").await.display_name.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_deleted_subject_is_found_by_its_id_alone() {
    let scene = Scene::open().await;
    let subjects = &scene.records.subjects;
    scene.upsert(vec![changes("a/b c")]).await.unwrap();
    let id = scene.subject("a/b c").await.id.to_string();
    scene.tick();
    assert_eq!(subjects.delete(&caller(), "a/b c", nothing()).await.unwrap().kept.status, 204);
    let deleted = scene.subject(&id).await;
    assert_eq!(deleted.deleted_at.unwrap().to_rfc3339(), "2025-03-01T12:00:01.123456Z");
    assert_eq!(deleted.updated_at, deleted.deleted_at.unwrap());
    scene.tick();
    assert_eq!(subjects.delete(&caller(), &id, nothing()).await.unwrap().kept.status, 204);
    assert_eq!(scene.subject(&id).await, deleted, "a second delete changes nothing");
    let text = "subject not found [namespace=default subject.idOrKey=a/b c]";
    assert_eq!(subjects.get("default", "a/b c").await.unwrap_err().to_string(), text);
    assert_eq!(subjects.delete(&caller(), "a/b c", nothing()).await.unwrap_err().to_string(), text);
    assert!(scene.keys().await.is_empty());
    scene.upsert(vec![changes("a/b c")]).await.unwrap();
    assert!(scene.subject("a/b c").await.id.to_string() != id, "the key is free again");
}

#[tokio::test]
async fn a_key_that_looks_like_an_id_is_a_key() {
    let scene = Scene::open().await;
    scene.upsert(vec![named("a", "A")]).await.unwrap();
    let id = scene.subject("a").await.id.to_string();
    scene.upsert(vec![named(&id, "B")]).await.unwrap();
    assert_eq!(scene.subject("a").await.display_name.as_deref(), Some("A"));
    assert_eq!(scene.keys().await, ["a".to_string(), id.clone()]);
    assert_eq!(scene.subject(&id).await.key, "a", "to look up, an id goes first");
    let found = scene.records.subjects.find_keys("default", &["nobody", &id]).await.unwrap();
    assert_eq!(found.iter().map(|subject| subject.display_name.as_deref()).collect::<Vec<_>>(), [Some("B")]);
}

#[tokio::test]
async fn arrays_that_race_for_the_same_new_keys_all_win() {
    let scene = Scene::open().await;
    let arrays = (0..12).map(|n| {
        let mut keys = ["a", "b", "c", "d"].map(|key| named(key, &n.to_string())).to_vec();
        keys.rotate_left(n % 4);
        scene.upsert(keys)
    });
    for outcome in join_all(arrays).await {
        outcome.unwrap();
    }
    let listed = scene.records.subjects.list("default").await.unwrap();
    assert_eq!(listed.len(), 4);
    let names: std::collections::BTreeSet<_> = listed.into_iter().map(|subject| subject.display_name).collect();
    assert_eq!(names.len(), 1, "the last array won as a whole: {names:?}");
    assert_eq!(scene.count("audit").await, 48);
}

#[tokio::test]
async fn the_audit_has_a_subject_before_and_after() {
    let scene = Scene::open().await;
    let metadata = Some(Some(r#" {"n": 1.50} "#.to_string()));
    scene.upsert(vec![SubjectChanges { metadata, ..named("a", "A") }]).await.unwrap();
    let id = scene.subject("a").await.id;
    scene.tick();
    scene.upsert(vec![SubjectChanges { display_name: Some(None), ..changes("a") }]).await.unwrap();
    scene.records.subjects.delete(&caller(), "a", nothing()).await.unwrap();
    let created = format!(
        r#"{{"id":"{id}","key":"a","displayName":"A","metadata":{{"n": 1.50}},"stripeCustomerId":null,"createdAt":"2025-03-01T12:00:00.123456Z","updatedAt":"2025-03-01T12:00:00.123456Z","deletedAt":null}}"#
    );
    let updated = created
        .replace(r#""A""#, "null")
        .replace(r#""updatedAt":"2025-03-01T12:00:00"#, r#""updatedAt":"2025-03-01T12:00:01"#);
    let expected = [
        ("subject.create", None, Some(created.clone())),
        ("subject.update", Some(created), Some(updated.clone())),
        ("subject.delete", Some(updated), None),
    ];
    let entries = scene.audit("default").await;
    assert_eq!(entries.len(), 3);
    for (entry, (operation, before, after)) in entries.into_iter().zip(expected) {
        assert_eq!((entry.operation.as_str(), entry.entity_kind.as_str()), (operation, "subject"));
        assert_eq!((entry.entity_id, entry.before, entry.after), (id.to_string(), before, after), "{operation}");
    }
}

#[tokio::test]
async fn a_repeat_with_its_key_gets_the_first_answer() {
    let scene = Scene::open().await;
    let subjects = &scene.records.subjects;
    let upsert = async || subjects.upsert(&keyed("upsert"), vec![named("a", "A")], show).await;
    let first = upsert().await.unwrap();
    scene.upsert(vec![named("a", "B")]).await.unwrap();
    let again = upsert().await.unwrap();
    assert_eq!((again.kept, again.replayed, first.replayed), (first.kept, true, false));
    assert_eq!(scene.subject("a").await.display_name.as_deref(), Some("B"), "a repeat does nothing twice");
    let delete = async || subjects.delete(&keyed("delete"), "a", nothing()).await;
    delete().await.unwrap();
    assert!(delete().await.unwrap().replayed, "though a key finds no deleted subject");
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let scene = Scene::open().await;
    let subjects = &scene.records.subjects;
    scene.upsert(vec![named("a", "mine")]).await.unwrap();
    subjects.upsert(&caller_of("other"), vec![named("a", "theirs")], show).await.unwrap();
    let id = scene.subject("a").await.id.to_string();
    assert!(matches!(subjects.get("other", &id).await, Err(SubjectError::NotFound { .. })));
    assert!(matches!(subjects.delete(&caller_of("other"), &id, nothing()).await, Err(SubjectError::NotFound { .. })));
    assert_eq!(subjects.list("other").await.unwrap()[0].display_name.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn without_postgresql_or_before_the_gate_is_open_nothing_is_answered() {
    let (closed, cut_off) = (Scene::closed().await, Scene::open().await);
    cut_off.cut_off();
    for scene in [closed, cut_off] {
        let subjects = &scene.records.subjects;
        let outcomes = [
            scene.upsert(vec![changes("a")]).await.map(drop),
            subjects.delete(&caller(), "a", nothing()).await.map(drop),
            subjects.get("default", "a").await.map(drop),
            subjects.list("default").await.map(drop),
            subjects.find_keys("default", &["a"]).await.map(drop),
        ];
        for outcome in outcomes {
            let fault = match outcome {
                Err(SubjectError::Fault(fault) | SubjectError::Write(WriteError::Fault(fault))) => fault,
                other => panic!("{other:?}"),
            };
            assert_eq!(fault.verdict, Verdict::Retry);
        }
    }
}
