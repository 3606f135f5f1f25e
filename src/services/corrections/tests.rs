use super::*;
use crate::domain::record::encode_event;
use crate::ports::EventLog;
use crate::ports::event_log::Append;
use crate::services::testing::records::{Scene, caller, keyed};
use serde_json::Value;

/// An event of `subject` at noon, as a record.
fn record(id: &str, subject: &str) -> Vec<u8> {
    let mut record = Vec::new();
    let event = EventView {
        namespace: "default",
        id,
        source: "edge",
        event_type: "job",
        subject,
        specversion: "1.0",
        time_text: Some("2025-03-01T12:00:00Z"),
        time: Some(noon()),
        dataschema: None,
        datacontenttype: None,
        extensions: "",
        data: Some(r#"{"seconds":4.50}"#),
    };
    encode_event(&event, &mut record);
    record
}

fn noon() -> Instant {
    Instant::parse("2025-03-01T12:00:00Z").unwrap()
}

fn correction(id: &str, replacement: Option<Vec<u8>>) -> Correction {
    Correction { source: "edge".into(), id: id.into(), reason: "sent twice".into(), time: None, replacement }
}

/// What was voided, and what counts instead.
fn show(corrected: &Corrected) -> Kept {
    let instead = corrected.replacement().map_or("nothing", |event| event.id);
    Kept { status: 200, body: format!("{} by {instead}", corrected.event.position) }
}

impl Scene {
    async fn ingest(&self, id: &str, subject: &str) {
        let records = record(id, subject);
        let lengths = vec![records.len() as u32];
        self.world.append(Append { records, lengths }).await.expect("the world takes it");
    }

    async fn correct(&self, caller: &Caller, correction: Correction) -> Result<Answered, CorrectionError> {
        self.records.corrections.correct(caller, correction, show).await
    }

    /// Ids of events, and whether they are voided.
    fn events(&self) -> Vec<(String, bool)> {
        self.world.with(|state| {
            state.events.iter().map(|event| (event.id.clone(), event.voided.is_some())).collect::<Vec<_>>()
        })
    }
}

fn is(id: &str, voided: bool) -> (String, bool) {
    (id.to_string(), voided)
}

#[tokio::test]
async fn a_void_is_in_the_log_and_in_the_audit_and_trackers_are_told() {
    let scene = Scene::open().await;
    scene.ingest("a", "acme").await;
    let answered = scene.correct(&caller(), correction("a", None)).await.unwrap();
    assert_eq!(answered.kept.body, "0:0 by nothing");
    assert!(answered.effect.is_some(), "its record is in the log");
    assert_eq!(scene.events(), [is("a", true)]);
    assert_eq!(scene.world.with(|state| state.forgotten.clone()), ["subject acme"]);
    let entry = scene.audit("default").await.pop().unwrap();
    assert_eq!(
        (entry.operation.as_str(), entry.entity_kind.as_str(), &*entry.entity_id),
        ("event.void", "event", "0:0")
    );
    assert_eq!(
        entry.before.unwrap(),
        r#"{"id":"a","source":"edge","type":"job","subject":"acme","time":"2025-03-01T12:00:00Z","data":{"seconds":4.50}}"#
    );
    assert_eq!(entry.after.unwrap(), r#"{"reason":"sent twice"}"#);
}

#[tokio::test]
async fn a_replacement_travels_in_the_record_of_the_void() {
    let scene = Scene::open().await;
    scene.ingest("a", "acme").await;
    let before = scene.world.with(|state| state.next);
    let answered = scene.correct(&caller(), correction("a", Some(record("b", "globex")))).await.unwrap();
    assert_eq!(answered.kept.body, "0:0 by b");
    assert_eq!(scene.world.with(|state| state.next), before + 1, "one record");
    assert_eq!(scene.events(), [is("a", true), is("b", false)]);
    assert_eq!(scene.world.with(|state| state.forgotten.clone()), ["subject acme", "subject globex"]);
    let after: Value = serde_json::from_str(&scene.audit("default").await.pop().unwrap().after.unwrap()).unwrap();
    assert_eq!((&after["reason"], &after["replacement"]["id"]), (&"sent twice".into(), &"b".into()));
    // The replacement is an event like any other.
    scene.correct(&caller(), correction("b", None)).await.unwrap();
    assert_eq!(scene.events(), [is("a", true), is("b", true)]);
}

#[tokio::test]
async fn what_cannot_be_corrected_is_refused_and_nothing_is_kept() {
    let scene = Scene::open().await;
    for (id, subject) in [("a", "acme"), ("twice", "acme"), ("twice", "acme"), ("gone", "acme"), ("poisoned", "acme")] {
        scene.ingest(id, subject).await;
    }
    scene.world.with(|state| {
        state.events[2].time = Instant::from_nanos(noon().nanos() + 1);
        state.events[3].time = Instant::from_nanos(noon().nanos() - 1);
        state.events[4].fate = Fate::Quarantined;
        state.raw_kept_from = Some(noon());
    });
    scene.ingest("voided", "acme").await;
    scene.correct(&caller(), correction("voided", None)).await.unwrap();
    let (next, audit) = (scene.world.with(|state| state.next), scene.audit("default").await.len());
    #[rustfmt::skip]
    let table = [
        (correction("a", Some(record("a", "x"))),      "the replacement needs an id of its own, beside that of the event it replaces"),
        (correction("a", Some(record("twice", "x"))),  "the replacement's source and id are those of the event at 0:1"),
        (correction("a", Some(record("voided", "x"))), "the replacement's source and id are those of the event at 0:5"),
        (correction("none", None),                     "no event with source edge and id none counts; of one older than the dedupe window send its time"),
        (correction("poisoned", None),                 "no event with source edge and id poisoned counts; of one older than the dedupe window send its time"),
        (correction("voided", None),                   "the event at 0:5 was already voided, by the record at 0:6"),
        (correction("twice", None),                    "2 events with this source and id count; send the time of the one that is meant"),
        (correction("gone", None),                     "the event at 0:3 cannot be taken out: raw events of its day were removed by retention"),
    ];
    for (correction, told) in table {
        assert_eq!(scene.correct(&caller(), correction).await.unwrap_err().to_string(), told);
    }
    assert_eq!((scene.world.with(|state| state.next), scene.audit("default").await.len()), (next, audit));
    let named = Correction { time: Some(noon()), ..correction("twice", None) };
    assert_eq!(scene.correct(&caller(), named).await.unwrap().kept.body, "0:1 by nothing");
}

#[tokio::test]
async fn a_repeat_under_its_key_gets_the_same_answer_and_changes_nothing() {
    let scene = Scene::open().await;
    scene.ingest("a", "acme").await;
    let caller = keyed("k");
    let ask = || scene.correct(&caller, correction("a", Some(record("b", "acme"))));
    let first = ask().await.unwrap();
    let again = ask().await.unwrap();
    assert_eq!((first.kept, first.replayed), (again.kept, false));
    assert!(again.replayed);
    assert_eq!(scene.events(), [is("a", true), is("b", false)]);
}

#[tokio::test]
async fn of_many_at_once_one_voids() {
    let scene = Scene::open().await;
    scene.ingest("a", "acme").await;
    let ids: Vec<String> = (0..8).map(|number| format!("b-{number}")).collect();
    let caller = caller();
    let asked = ids.iter().map(|id| scene.correct(&caller, correction("a", Some(record(id, "acme")))));
    let answered = futures::future::join_all(asked).await;
    assert_eq!(answered.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answered
            .iter()
            .flat_map(|answer| answer.as_ref().err())
            .all(|error| matches!(error, CorrectionError::Voided { .. }))
    );
    assert_eq!(scene.events().len(), 2, "and one counts instead");
}

#[tokio::test]
async fn a_line_that_is_behind_decides_nothing() {
    let scene = Scene::open().await;
    scene.ingest("a", "acme").await;
    scene.world.with(|state| state.behind = Some((3, 1)));
    let refused = scene.correct(&caller(), correction("a", None)).await.unwrap_err();
    assert!(matches!(refused, CorrectionError::Behind(AppendError::Refused { .. })), "{refused}");
    assert_eq!(scene.events(), [is("a", false)]);
}
