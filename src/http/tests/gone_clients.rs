//! Clients that do not wait for their answer.

use super::*;
use crate::domain::subject::SubjectChanges;
use crate::store::database::begin;
use crate::store::subjects;
use crate::store::tests::one;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use ulid::Ulid;

/// How long the server has to see that its client is gone, in milliseconds; too short a time proves nothing.
const NOTICED_MS: u64 = 300;
/// Turns of 20 ms that something is waited for at most.
const TURNS_MAX: u32 = 500;

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND \
    wait_event_type = 'Lock'";

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..TURNS_MAX {
        if is_so().await {
            return;
        }
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came");
}

#[actix_web::test]
async fn a_write_is_done_to_its_end_though_its_client_is_gone() {
    let house = House::new().await;
    let database = &house.door.database;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(house.door.clone(), listener).unwrap();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    // Somebody else is making the same subject, so that the write has to wait.
    let mut client = database.client().await.unwrap();
    let other = begin(&mut client).await.unwrap();
    let changes = SubjectChanges { key: "acme".to_string(), ..SubjectChanges::default() };
    let now = house.door.clock.now();
    subjects::insert(&other, &changes.create("default", Ulid::nil(), now)).await.unwrap();

    let body = r#"[{"key":"acme"}]"#;
    let head = "POST /api/v1/subjects HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    until(async || one(database, WAITING).await == 1).await;
    // Reset, not closed in order.
    connection.set_zero_linger().unwrap();
    drop(connection);
    actix_web::rt::time::sleep(Duration::from_millis(NOTICED_MS)).await;
    drop(other);
    until(async || one(database, "SELECT count(*) FROM subjects").await == 1).await;
    handle.stop(false).await;
}
