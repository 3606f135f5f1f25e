//! The schema: what is missing of `migrations/postgres` is applied, in order, each file in a transaction of its own.

use super::database::Client;
use super::sql::{self, SYSTEM};
use crate::domain::fault::Fault;
use deadpool_postgres::Object;
use refinery::{Error, Migration, Runner, Target};
use std::error::Error as _;
use tokio_postgres::Client as Connection;

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Where it is written down what was applied.
const HISTORY_TABLE: &str = "weir_schema_history";
/// Only one process changes the schema at a time; a migration may take long, waiting for another process may not.
const PREPARE: &str = "SET statement_timeout = 0; SET lock_timeout = '30s'";
const LOCK: &str = "SELECT pg_advisory_lock($1)";
/// The advisory lock of migrations: `weirmigr`, as a number.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"weirmigr");
const HISTORY_EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Up to the newest.
pub async fn latest(client: Client) -> Result<(), Fault> {
    run(client, Target::Latest).await
}

/// The connection is not given back: with it end its lock and its settings.
pub(super) async fn run(client: Client, target: Target) -> Result<(), Fault> {
    let mut wrapper = Object::take(client);
    let connection: &mut Connection = &mut wrapper;
    let say = |error: tokio_postgres::Error| sql::fault(&error);
    connection.batch_execute(PREPARE).await.map_err(say)?;
    connection.execute(LOCK, &[&LOCK_KEY]).await.map_err(say)?;
    let mut runner = embedded::migrations::runner().set_target(target);
    runner.set_migration_table_name(HISTORY_TABLE);
    if connection.query_one(HISTORY_EXISTS, &[&HISTORY_TABLE]).await.map_err(say)?.get(0) {
        refuse_newer(&runner, connection).await?;
    }
    runner.run_async(connection).await.map_err(refused)?;
    Ok(())
}

/// A schema with migrations beyond ours was made by a newer weir: what they changed is not known here.
async fn refuse_newer(runner: &Runner, connection: &mut Connection) -> Result<(), Fault> {
    let applied = runner.get_applied_migrations_async(connection).await.map_err(refused)?;
    let newest = runner.get_migrations().iter().map(Migration::version).max();
    match applied.iter().find(|migration| Some(migration.version()) > newest) {
        None => Ok(()),
        Some(unknown) => {
            let text =
                format!("the database has migration {unknown}, which this weir does not know; start the newer weir");
            Err(Fault::give_up(SYSTEM, text))
        }
    }
}

fn refused(error: Error) -> Fault {
    match error.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>()) {
        Some(source) => {
            let fault = sql::fault(source);
            Fault { message: format!("the schema was not brought up to date: {}", fault.message), ..fault }
        }
        None => Fault::give_up(SYSTEM, format!("the schema is not what weir made: {error}")),
    }
}

#[cfg(test)]
mod tests;
