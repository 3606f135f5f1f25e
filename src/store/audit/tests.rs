use super::*;
use crate::store::Database;
use crate::store::database::{begin, commit};
use crate::store::tests::{count, fresh};

const MINUTE_NS: i64 = 60_000_000_000;

fn minute(n: u128) -> Instant {
    Instant::from_nanos(n as i64 * MINUTE_NS)
}

fn entry(n: u128, operation: &str, entity_id: &str) -> AuditEntry {
    AuditEntry {
        id: Ulid::from(n),
        namespace: "default".to_string(),
        at: minute(n),
        actor: "anonymous".to_string(),
        request_id: format!("r-{n}"),
        operation: operation.to_string(),
        entity_kind: operation.split('.').next().unwrap().to_string(),
        entity_id: entity_id.to_string(),
        before: None,
        after: Some("{\"amount\": 1234567890123456789.012345678900, \"e\": 1e2}".to_string()),
    }
}

async fn filled() -> Database {
    let database = fresh().await;
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    let entries =
        [(1, "meter.create", "m1"), (2, "meter.update", "m1"), (3, "subject.create", "s1"), (4, "meter.create", "m2")];
    for (n, operation, entity) in entries {
        push(&tx, &entry(n, operation, entity)).await.unwrap();
    }
    push(&tx, &AuditEntry { namespace: "other".to_string(), ..entry(5, "meter.create", "m1") }).await.unwrap();
    commit(tx).await.unwrap();
    drop(client);
    database
}

async fn ids(database: &Database, query: AuditQuery) -> Vec<u128> {
    let client = database.client().await.unwrap();
    list(&client, &query).await.unwrap().into_iter().map(|entry| entry.id.0).collect()
}

fn query() -> AuditQuery {
    AuditQuery { namespace: "default".to_string(), limit: 100, ..AuditQuery::default() }
}

#[tokio::test]
async fn entries_are_listed_newest_first_by_every_filter() {
    let database = filled().await;
    let text = |text: &str| Some(text.to_string());
    let table = [
        (query(), vec![4, 3, 2, 1]),
        (AuditQuery { limit: 2, ..query() }, vec![4, 3]),
        (AuditQuery { before: Some(Ulid::from(3u128)), ..query() }, vec![2, 1]),
        (AuditQuery { entity_kind: text("meter"), ..query() }, vec![4, 2, 1]),
        (AuditQuery { entity_kind: text("meter"), entity_id: text("m1"), ..query() }, vec![2, 1]),
        (AuditQuery { operation: text("meter.create"), limit: 1, before: Some(Ulid::from(4u128)), ..query() }, vec![1]),
        (AuditQuery { from: Some(minute(2)), to: Some(minute(4)), ..query() }, vec![3, 2]),
        (AuditQuery { operation: text("a\0"), ..query() }, vec![]),
        (AuditQuery { namespace: "other".to_string(), ..query() }, vec![5]),
    ];
    for (query, expected) in table {
        assert_eq!(ids(&database, query.clone()).await, expected, "{query:?}");
    }
    let client = database.client().await.unwrap();
    let read = list(&client, &AuditQuery { limit: 1, ..query() }).await.unwrap();
    assert_eq!(read, [entry(4, "meter.create", "m2")]);
}

#[tokio::test]
async fn an_entry_is_never_touched_again() {
    let database = filled().await;
    let client = database.client().await.unwrap();
    let attempts = [
        ("UPDATE audit SET actor = 'nobody'", "UPDATE"),
        ("DELETE FROM audit WHERE id = 'none'", "DELETE"),
        ("TRUNCATE audit", "TRUNCATE"),
    ];
    for (attempt, word) in attempts {
        let fault = sql::execute(&client, attempt, &[]).await.unwrap_err();
        assert_eq!(fault.message, format!("the audit table is append-only: {word} is refused (SQLSTATE 23001)"));
    }
    assert_eq!(count(&database, "audit").await, 5);
}
