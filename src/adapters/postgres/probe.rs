//! Whether the server answers, whether it is ours, and whether it has weir's database.

use super::SYSTEM;
use super::cluster::USER;
use super::home::Home;
use super::process::same_folder;
use super::server::Server;
use super::socket::{self, PORT};
use crate::domain::fault::Fault;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

/// weir's database.
const DATABASE: &str = "weir";
/// The one that every cluster has.
const MAINTENANCE: &str = "postgres";
/// How long one look may take, the making of the database included.
const PROBE_WAIT: Duration = Duration::from_secs(60);
/// How far the server's start may lie after the time in its file, in seconds: it writes the file first.
const START_SLACK_S: u64 = 60;

const WHO: &str =
    "SELECT current_setting('data_directory'), floor(extract(epoch FROM pg_postmaster_start_time()))::bigint";
const HAS_DATABASE: &str = "SELECT 1 FROM pg_database WHERE datname = $1";
const CREATE_DATABASE: &str = "CREATE DATABASE weir";

/// Why the server cannot be used, now or at all.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody listens, or somebody else.
    NotThere(String),
    /// It listens, and is not ready: it recovers, or all connections are taken.
    NotYet(String),
    /// It answers, and something is wrong.
    Fault(Fault),
}

/// How to connect to a server that listens in `folder`.
pub fn endpoint(folder: &Path, password: &str) -> Config {
    let mut config = Config::new();
    config.host_path(folder).port(PORT).user(USER).password(password).dbname(DATABASE).application_name("weir");
    config
}

/// Connects to `server`, sees that it is the one of `home`, and makes weir's database where it is missing.
pub async fn probe(server: &Server, home: &Home, password: &str) -> Result<(), Refusal> {
    let looked = tokio::time::timeout(PROBE_WAIT, look(server, home, password)).await;
    looked.unwrap_or_else(|_| Err(Refusal::NotYet(format!("no answer in {} s", PROBE_WAIT.as_secs()))))
}

async fn look(server: &Server, home: &Home, password: &str) -> Result<(), Refusal> {
    let path = socket::in_folder(&server.socket_folder);
    let not_there = |error: std::io::Error| Refusal::NotThere(format!("{}: {error}", path.display()));
    let stream = UnixStream::connect(&path).await.map_err(not_there)?;
    // The system itself says who listens; no other process can pretend to be the postmaster.
    let listener = stream.peer_cred().map_err(not_there)?.pid();
    if listener.is_some_and(|listener| listener != server.pid.as_raw_nonzero().get()) {
        return Err(Refusal::NotThere(format!("another process listens on {}", path.display())));
    }
    let mut config = endpoint(&server.socket_folder, password);
    config.dbname(MAINTENANCE);
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
    let connection = tokio::spawn(connection);
    let seen = see(&client, server, home).await;
    drop(client);
    // It says goodbye; how that ends matters to nobody.
    let _ = connection.await;
    seen
}

async fn see(client: &Client, server: &Server, home: &Home) -> Result<(), Refusal> {
    let row = client.query_one(WHO, &[]).await.map_err(refused)?;
    let (cluster, started): (String, i64) = (row.get(0), row.get(1));
    let when_it_says = server.adopted.is_none_or(|says| started.abs_diff(says) <= START_SLACK_S);
    if !same_folder(Path::new(&cluster), &home.cluster()) || !when_it_says {
        return Err(Refusal::NotThere(format!("process {} is a server of {cluster}, or another one", server.pid)));
    }
    if client.query_opt(HAS_DATABASE, &[&DATABASE]).await.map_err(refused)?.is_none() {
        client.batch_execute(CREATE_DATABASE).await.map_err(refused)?;
    }
    Ok(())
}

fn refused(error: tokio_postgres::Error) -> Refusal {
    let told = error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_string());
    match error.code() {
        Some(&SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS) => Refusal::NotYet(told),
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            let text = format!("{told}; restore the file `password` of the data directory from a backup");
            Refusal::Fault(Fault::give_up(SYSTEM, text))
        }
        Some(_) => Refusal::Fault(Fault::retry(SYSTEM, told)),
        // The connection broke: the server is ending, or its process crashed.
        None => Refusal::NotYet(told),
    }
}
