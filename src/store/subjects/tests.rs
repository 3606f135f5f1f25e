use super::*;
use crate::domain::subject::SubjectChanges;
use crate::store::database::{begin, commit};
use crate::store::tests::{at, fresh};

fn subject(namespace: &str, key: &str, n: u128) -> Subject {
    let changes = SubjectChanges { key: key.to_string(), ..SubjectChanges::default() };
    changes.create(namespace, Ulid::from(n), at("2025-03-01T10:00:00.123456Z"))
}

#[tokio::test]
async fn metadata_reads_back_as_it_came() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    // Digits, order, exponents, escapes and doubled keys: what jsonb would lose or refuse.
    let metadata = r#"{"z":0.1234567890123456789012345678,"a":1e400,"n":12345678901234567890.123456789,"e":1e2,"u":"\u0000\ud800","a":-0.0}"#;
    let given = Subject {
        metadata: metadata.to_string(),
        display_name: Some("Größe".to_string()),
        stripe_customer_id: Some("cus_1".to_string()),
        ..subject("default", "a/b %", 1)
    };
    assert!(insert(&tx, &given).await.unwrap());
    commit(tx).await.unwrap();
    for name in [given.id.to_string(), given.key.clone()] {
        assert_eq!(find(&client, "default", &name, Lock::None).await.unwrap(), Some(given.clone()));
    }
}

#[tokio::test]
async fn a_key_is_taken_while_its_subject_lives() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let (b, a) = (subject("default", "b", 1), subject("default", "a", 2));
    for (subject, inserted) in
        [(&b, true), (&a, true), (&subject("default", "b", 3), false), (&subject("other", "b", 1), true)]
    {
        assert_eq!(insert(&tx, subject).await.unwrap(), inserted);
    }
    let keys = |list: Vec<Subject>| list.into_iter().map(|subject| subject.key).collect::<Vec<_>>();
    assert_eq!(keys(list(&tx, "default").await.unwrap()), ["b", "a"]);
    assert_eq!(keys(find_keys(&tx, "default", &["a", "none", "a\0", "b"]).await.unwrap()), ["b", "a"]);

    let when = at("2025-03-02T00:00:00Z");
    delete(&tx, "default", b.id, when).await.unwrap();
    assert_eq!(find(&tx, "default", "b", Lock::ForUpdate).await.unwrap(), None);
    let gone = find(&tx, "default", &b.id.to_string(), Lock::None).await.unwrap().unwrap();
    assert_eq!((gone.deleted_at, gone.updated_at), (Some(when), when));
    assert_eq!(keys(list(&tx, "default").await.unwrap()), ["a"]);
    assert!(insert(&tx, &subject("default", "b", 4)).await.unwrap());
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn an_update_changes_what_may_change() {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let before = subject("default", "acme", 1);
    insert(&tx, &before).await.unwrap();
    let wanted = Subject {
        display_name: Some("Acme".to_string()),
        metadata: "{\"n\":1.50}".to_string(),
        stripe_customer_id: Some("cus_1".to_string()),
        updated_at: at("2025-03-02T00:00:00Z"),
        ..before
    };
    update(&tx, &Subject { key: "other".to_string(), ..wanted.clone() }).await.unwrap();
    assert_eq!(find(&tx, "default", "acme", Lock::None).await.unwrap(), Some(wanted));
}
