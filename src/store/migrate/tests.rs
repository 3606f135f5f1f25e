use super::*;
use crate::domain::fault::Verdict;
use crate::store::Database;
use crate::store::tests::{attached, count, one, settings};

/// One row of every table, by the migration that made the table. A new table goes here as well.
const ROWS: [(i32, &str, &str); 12] = [
    (
        1,
        "meters",
        "INSERT INTO meters (namespace, id, version, slug, name, aggregation, event_type, group_by, created_at, updated_at) \
         VALUES ('default', '01', '02', 'jobs', 'Jobs', 'COUNT', 'job', '{}', '2025-01-01', '2025-01-01')",
    ),
    (
        2,
        "subjects",
        "INSERT INTO subjects (namespace, id, key, metadata, created_at, updated_at) \
         VALUES ('default', '03', 'acme', '{}', '2025-01-01', '2025-01-01')",
    ),
    (3, "outbox", "INSERT INTO outbox (namespace, control, created_at) VALUES ('default', '{}', '2025-01-01')"),
    (
        4,
        "idempotency_keys",
        "INSERT INTO idempotency_keys (namespace, key, request_hash, status, body, created_at) \
         VALUES ('default', 'k', '\\x00', 201, '', '2025-01-01')",
    ),
    (
        5,
        "audit",
        "INSERT INTO audit (namespace, id, at, actor, request_id, operation, entity_kind, entity_id) \
         VALUES ('default', '04', '2025-01-01', 'a', 'r', 'meter.create', 'meter', '01')",
    ),
    (6, "event_log", "INSERT INTO event_log (id) VALUES ('05')"),
    (
        7,
        "customers",
        "INSERT INTO customers (namespace, id, key, name, metadata, created_at, updated_at) \
         VALUES ('default', '06', 'acme', 'Acme', '{}', '2025-01-01', '2025-01-01')",
    ),
    (
        7,
        "customer_subjects",
        "INSERT INTO customer_subjects (namespace, subject_key, customer_id) VALUES ('default', 'acme-eu', '06')",
    ),
    (
        8,
        "features",
        "INSERT INTO features (namespace, id, key, name, metadata, filters, created_at, updated_at) \
         VALUES ('default', '08', 'tokens', 'Tokens', '{}', '{}', '2025-01-01', '2025-01-01')",
    ),
    (
        9,
        "entitlements",
        "INSERT INTO entitlements (namespace, id, customer_id, feature_id, feature_key, kind, metadata, annotations, \
         active_from, created_at, updated_at) VALUES ('default', '09', '06', '08', 'tokens', 'boolean', '{}', '{}', \
         '2025-01-01', '2025-01-01', '2025-01-01')",
    ),
    (
        9,
        "grants",
        "INSERT INTO grants (namespace, id, entitlement_id, amount, priority, effective_at, min_rollover, max_rollover, \
         metadata, created_at, updated_at) VALUES ('default', '10', '09', '1.5', 1, '2025-01-01', '0', '1.5', '{}', \
         '2025-01-01', '2025-01-01')",
    ),
    (
        9,
        "usage_resets",
        "INSERT INTO usage_resets (namespace, entitlement_id, at, preserve_overage, created_at) \
         VALUES ('default', '09', '2025-01-02', true, '2025-01-02')",
    ),
];

const TABLES: &str = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";

fn newest() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(Migration::version).max().unwrap()
}

async fn to(database: &Database, version: i32) {
    run(database.client().await.unwrap(), Target::Version(version)).await.unwrap();
}

async fn sql(database: &Database, text: &str) {
    database.client().await.unwrap().batch_execute(text).await.unwrap();
}

#[tokio::test]
async fn an_empty_database_gets_everything_once() {
    let database = attached(&settings());
    database.migrate().await.unwrap();
    database.migrate().await.unwrap();
    assert_eq!(count(&database, HISTORY_TABLE).await, i64::from(newest()));
    assert_eq!(one(&database, TABLES).await, ROWS.len() as i64 + 1, "a table without a row in this test");
}

#[tokio::test]
async fn each_migration_takes_the_schema_before_it_with_its_rows() {
    for version in 1..=newest() {
        let database = attached(&settings());
        to(&database, version - 1).await;
        let there = || ROWS.iter().filter(|(since, _, _)| *since < version);
        for (_, _, row) in there() {
            sql(&database, row).await;
        }
        to(&database, version).await;
        database.migrate().await.unwrap();
        for (_, table, _) in there() {
            assert_eq!(count(&database, table).await, 1, "{table} after V{version}");
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_weir_is_refused_by_name() {
    let database = attached(&settings());
    database.migrate().await.unwrap();
    let later = "INSERT INTO weir_schema_history VALUES (999, 'later_tables', '2030-01-01T00:00:00Z', '7')";
    sql(&database, later).await;
    let fault = database.migrate().await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::GiveUp);
    assert_eq!(
        fault.message,
        "the database has migration V999__later_tables, which this weir does not know; start the newer weir"
    );
}

#[tokio::test]
async fn a_schema_that_was_made_otherwise_is_refused() {
    let database = attached(&settings());
    database.migrate().await.unwrap();
    sql(&database, "UPDATE weir_schema_history SET checksum = '7' WHERE version = 1").await;
    let fault = database.migrate().await.unwrap_err();
    assert!(fault.message.starts_with("the schema is not what weir made: applied migration V1__meters"), "{fault}");

    let foreign = attached(&settings());
    sql(&foreign, "CREATE TABLE meters (id text)").await;
    let fault = foreign.migrate().await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::GiveUp);
    assert!(fault.message.contains("\"meters\" already exists (SQLSTATE 42P07)"), "{fault}");
}

#[tokio::test]
async fn many_processes_that_start_at_once_migrate_one_after_the_other() {
    let settings = settings();
    let processes: Vec<Database> = (0..8).map(|_| attached(&settings)).collect();
    let done = futures::future::join_all(processes.iter().map(Database::migrate)).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(count(&processes[0], HISTORY_TABLE).await, i64::from(newest()));
    // The connection that migrated took its settings and its lock with it.
    assert_eq!(processes[0].snapshot().connections, 1);
}
