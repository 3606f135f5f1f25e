//! The outbox: control records that were decided in a transaction and still have to go into the log.
//!
//! A row is written in the same commit as the change it announces and deleted once it is in the log. Rows of one
//! entity are in order because the entity's own row is locked while they are written; whoever reads them holds an
//! advisory lock until its transaction ends, so two publishers never overtake each other.

use super::database::Transaction;
use super::sql::{self, column};
use super::types::{JsonText, Micros};
use crate::domain::fault::Fault;
use crate::domain::record::Control;
use crate::domain::time::Instant;

const PUSH: &str = "INSERT INTO outbox (namespace, control, created_at) VALUES ($1, $2, $3) RETURNING seq";
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
/// The advisory lock of publishers: `weiroutb`, as a number.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"weiroutb");
const OPEN: &str = "SELECT seq, control FROM outbox ORDER BY seq LIMIT $1";
const DONE: &str = "DELETE FROM outbox WHERE seq = ANY($1)";

/// Adds a record; its number in the order of publication.
pub async fn push(tx: &Transaction<'_>, namespace: &str, control: &Control, at: Instant) -> Result<i64, Fault> {
    let pushed = sql::rows(tx, PUSH, &[&namespace, &JsonText::of(control), &Micros(at)]).await?;
    column(&pushed[0], "seq")
}

/// The oldest rows. Waits until no other publisher is at work; none begins before this transaction ends.
pub async fn open(tx: &Transaction<'_>, limit: usize) -> Result<Vec<(i64, Control)>, Fault> {
    // Two statements: the second one sees what the other publisher committed while the first one waited.
    sql::execute(tx, LOCK, &[&LOCK_KEY]).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sql::rows(tx, OPEN, &[&limit]).await?;
    rows.iter().map(|row| Ok((column(row, "seq")?, column::<JsonText>(row, "control")?.read()?))).collect()
}

/// Deletes rows that are in the log.
pub async fn done(tx: &Transaction<'_>, seqs: &[i64]) -> Result<(), Fault> {
    sql::execute(tx, DONE, &[&seqs]).await.map(drop)
}
