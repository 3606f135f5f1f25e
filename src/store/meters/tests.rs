use super::*;
use crate::store::Database;
use crate::store::database::{Client, begin, commit};
use crate::store::tests::{at, fresh, meter};
use std::collections::BTreeMap;

async fn insert_all(database: &Database, meters: &[Meter]) -> Vec<bool> {
    let mut client: Client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let mut inserted = Vec::new();
    for meter in meters {
        inserted.push(insert(&tx, meter).await.unwrap());
    }
    commit(tx).await.unwrap();
    inserted
}

async fn delete_now(database: &Database, meter: &Meter, when: Instant) {
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    delete(&tx, &meter.namespace, meter.id, when).await.unwrap();
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn a_meter_reads_back_to_the_last_digit() {
    let database = fresh().await;
    let full = meter("default", "jobs", 1);
    let bare = Meter {
        aggregation: Aggregation::Count,
        event_from: None,
        value_property: None,
        metadata: None,
        group_by: BTreeMap::new(),
        description: Some("\\u0000 \"€\"".to_string()),
        ..meter("default", "bare", 2)
    };
    insert_all(&database, &[full.clone(), bare.clone()]).await;
    let client = database.client().await.unwrap();
    for expected in [full, bare] {
        for name in [expected.id.to_string(), expected.slug.clone()] {
            let found = find(&client, "default", &name, Lock::None).await.unwrap().unwrap();
            assert_eq!(found, StoredMeter { meter: expected.clone(), deleted_at: None });
        }
    }
}

#[tokio::test]
async fn a_slug_is_taken_while_its_meter_lives_and_an_id_for_ever() {
    let database = fresh().await;
    let (first, second) = (meter("default", "jobs", 1), meter("default", "jobs", 2));
    assert_eq!(insert_all(&database, &[first.clone(), second.clone()]).await, [true, false]);
    assert_eq!(insert_all(&database, &[meter("other", "jobs", 1)]).await, [true]);
    let when = at("2025-03-02T00:00:00Z");
    delete_now(&database, &first, when).await;
    assert_eq!(insert_all(&database, &[meter("default", "again", 1), second.clone()]).await, [false, true]);

    let client = database.client().await.unwrap();
    let gone = find(&client, "default", &first.id.to_string(), Lock::ForUpdate).await.unwrap().unwrap();
    assert_eq!((gone.deleted_at, gone.meter.updated_at), (Some(when), when));
    let live = find(&client, "default", "jobs", Lock::None).await.unwrap().unwrap();
    assert_eq!((live.meter.id, live.deleted_at), (second.id, None));
    let names = |list: Vec<StoredMeter>| list.into_iter().map(|stored| stored.meter.id).collect::<Vec<_>>();
    assert_eq!(names(list(&client, "default", true).await.unwrap()), [first.id, second.id]);
    assert_eq!(names(list(&client, "default", false).await.unwrap()), [second.id]);
    for nobody in ["nobody", "a\0b", "", "jobs "] {
        assert_eq!(find(&client, "default", nobody, Lock::None).await.unwrap(), None);
    }
    drop(client);
    // Deleted again: the first time stands.
    delete_now(&database, &first, at("2025-03-03T00:00:00Z")).await;
    let client = database.client().await.unwrap();
    let gone = find(&client, "default", &first.id.to_string(), Lock::None).await.unwrap().unwrap();
    assert_eq!(gone.deleted_at, Some(when));
}

#[tokio::test]
async fn an_update_changes_what_may_change() {
    let database = fresh().await;
    let before = meter("default", "jobs", 1);
    insert_all(&database, std::slice::from_ref(&before)).await;
    let wanted = Meter {
        version: Ulid::from(9u128),
        name: "Other".to_string(),
        description: Some("changed".to_string()),
        group_by: BTreeMap::from([("zone".to_string(), "$.zone".to_string())]),
        metadata: None,
        updated_at: at("2025-03-02T00:00:00Z"),
        ..before
    };
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    // What may not change is not written.
    update(&tx, &Meter { slug: "other".to_string(), event_type: "other".to_string(), ..wanted.clone() }).await.unwrap();
    commit(tx).await.unwrap();
    let found = find(&client, "default", "jobs", Lock::None).await.unwrap().unwrap();
    assert_eq!(found.meter, wanted);
}

#[tokio::test]
async fn a_meter_taken_over_keeps_its_end_and_is_taken_once() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let when = at("2025-03-02T00:00:00Z");
    let gone = meter("default", "jobs", 1);
    assert!(take_over(&tx, &gone, Some(when)).await.unwrap());
    assert!(!take_over(&tx, &gone, None).await.unwrap());
    assert!(take_over(&tx, &meter("default", "jobs", 2), None).await.unwrap());
    commit(tx).await.unwrap();
    let found = find(&client, "default", &gone.id.to_string(), Lock::None).await.unwrap().unwrap();
    assert_eq!(found, StoredMeter { meter: gone, deleted_at: Some(when) });
}
