use super::*;
use crate::adapters::postgres::{PrivatePostgres, PrivateSettings, testing};
use crate::domain::fault::Verdict;
use crate::store::tests::{attached, one, settings};

/// Ends every other connection to this database, as a server does that restarts.
const END_ALL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn before_it_is_attached_every_request_is_told_to_retry() {
    let database = Database::new(&Settings::default());
    assert_eq!(database.client().await.unwrap_err().verdict, Verdict::Retry);
    assert_eq!(
        database.ping().await.unwrap_err().to_string(),
        "database: PostgreSQL is not there yet; retry in a moment"
    );
    assert!(!database.snapshot().attached);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_retried_and_a_wrong_password_is_not() {
    let nowhere = Settings { url: Some("postgres://weir:s3cret@127.0.0.1:1/weir".into()), ..Settings::default() };
    let fault = attached(&nowhere).ping().await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::Retry, "{fault}");
    assert!(!fault.to_string().contains("s3cret"), "{fault}");

    let settings = settings();
    let mut config = settings.endpoint().unwrap().unwrap();
    config.password("s3cret");
    let database = Database::new(&settings);
    database.attach(config.clone()).unwrap();
    let fault = database.ping().await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::GiveUp, "{fault}");
    assert!(!fault.to_string().contains("s3cret") && fault.to_string().contains("28P01"), "{fault}");

    let right = settings.endpoint().unwrap().unwrap();
    config.password(right.get_password().unwrap()).dbname("nowhere");
    database.attach(config).unwrap();
    let fault = database.ping().await.unwrap_err();
    assert!(fault.to_string().ends_with("create that database or correct database.url"), "{fault}");
}

#[tokio::test]
async fn a_request_after_every_connection_broke_simply_succeeds() {
    let settings = settings();
    let database = attached(&settings);
    for _ in 0..3 {
        let held = futures::future::join_all((0..5).map(|_| database.client())).await;
        assert!(held.iter().all(Result::is_ok));
        drop(held);
        assert_eq!(database.snapshot().connections, 5);
        assert_eq!(one(&attached(&settings), END_ALL).await, 5);
        database.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_was_stopped_and_started_again_is_found_again() {
    let folder = testing::open_folder();
    let server = PrivatePostgres::start(folder.path(), PrivateSettings::default());
    let database = Database::new(&Settings::default());
    database.attach(server.endpoint().await.unwrap()).unwrap();
    let held = database.client().await.unwrap();
    drop(database.client().await.unwrap());
    server.stop().unwrap();
    let fault = database.ping().await.unwrap_err();
    assert_eq!(fault.verdict, Verdict::Retry, "{fault}");
    let broken = sql::rows(&held, "SELECT 1", &[]).await.unwrap_err();
    assert_eq!(broken.verdict, Verdict::Retry, "{broken}");
    drop(held);
    let server = PrivatePostgres::start(folder.path(), PrivateSettings::default());
    server.endpoint().await.unwrap();
    database.ping().await.unwrap();
    server.stop().unwrap();
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let impatient =
        Settings { pool_connections_max: 2, acquire_timeout_ms: 50, statement_timeout_ms: 100, ..settings() };
    let database = attached(&impatient);
    let (one, _two) = (database.client().await.unwrap(), database.client().await.unwrap());
    let fault = database.client().await.unwrap_err();
    assert_eq!((fault.verdict, fault.message.contains("pool_connections_max")), (Verdict::Retry, true), "{fault}");
    let snapshot = database.snapshot();
    assert_eq!((snapshot.connections, snapshot.connections_in_use, snapshot.waiting), (2, 2, 0));
    let fault = sql::rows(&one, "SELECT pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!((fault.verdict, fault.message.contains("statement_timeout_ms")), (Verdict::Retry, true), "{fault}");
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_before_its_connection_is_used_again() {
    let database = attached(&Settings { pool_connections_max: 2, ..settings() });
    let mut client = database.client().await.unwrap();
    client.batch_execute("CREATE TABLE kept (n bigint)").await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    sql::execute(&tx, "INSERT INTO kept VALUES (1)", &[]).await.unwrap();
    drop(tx);
    drop(client);
    assert_eq!(one(&database, "SELECT count(*) FROM kept").await, 0);
}

#[tokio::test]
async fn what_a_url_says_itself_stands() {
    let settings = settings();
    let mut config = settings.endpoint().unwrap().unwrap();
    config.options("-c statement_timeout=1234").application_name("mine");
    let database = Database::new(&settings);
    database.attach(config).unwrap();
    let set = "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'";
    assert_eq!(one(&database, set).await, 1_234);
    let set = "SELECT setting::bigint FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'";
    assert_eq!(one(&database, set).await, 60_000);
}

#[test]
fn tls_is_for_the_network() {
    let table = [
        ("postgres://h/db", true),
        ("postgres://h/db?sslmode=prefer", true),
        ("postgres://h/db?sslmode=require", true),
        ("postgres://h/db?sslmode=disable", false),
        ("postgres://%2Ftmp/db", false),
        ("host=/tmp,h", true),
        ("hostaddr=127.0.0.1", true),
    ];
    for (url, wanted) in table {
        assert_eq!(wants_tls(&url.parse().unwrap()), wanted, "{url}");
    }
}
