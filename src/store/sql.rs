//! Running statements, and the one place where the driver's errors become faults.

use super::Lock;
use super::database::{Client, Transaction};
use crate::domain::fault::{Fault, Verdict};
use deadpool_postgres::{GenericClient, PoolError, TimeoutType};
use postgres_types::{FromSql, ToSql};
use std::error::Error as _;
use std::time::Duration;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::{Error, IsolationLevel, Row};

/// Which system a fault of this room names.
pub const SYSTEM: &str = "database";

/// Longest silence of the server, in milliseconds: longer than any statement timeout, so only a server that is stopped
/// or unreachable is ever given up on here.
const SILENCE_MAX_MS: u64 = 75_000;

/// Parameters of a statement.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Every row.
pub async fn rows(client: &impl GenericClient, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Fault> {
    answer(async {
        let statement = client.prepare_cached(sql).await?;
        client.query(&statement, parameters).await
    })
    .await
}

/// Every row of a statement that is put together for one question: it is not kept prepared.
pub async fn rows_once(client: &impl GenericClient, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Fault> {
    answer(client.query(sql, parameters)).await
}

/// The one row, if there is one.
pub async fn row(client: &impl GenericClient, sql: &str, parameters: Parameters<'_>) -> Result<Option<Row>, Fault> {
    Ok(rows(client, sql, parameters).await?.into_iter().next())
}

/// The row of a namespace under this id or name: read by `plain`, or by `locking` where it stays locked until the
/// transaction ends.
pub async fn named(
    client: &impl GenericClient,
    (plain, locking): (&str, &str),
    lock: Lock,
    namespace: &str,
    name: &str,
) -> Result<Option<Row>, Fault> {
    if !can_be_stored(name) {
        return Ok(None);
    }
    let find = match lock {
        Lock::None => plain,
        Lock::ForUpdate => locking,
    };
    row(client, find, &[&namespace, &name]).await
}

/// What a query of one number, called `total`, answers.
pub async fn total(client: &impl GenericClient, sql: &str, parameters: Parameters<'_>) -> Result<u64, Fault> {
    let row = row(client, sql, parameters).await?;
    let total: i64 = row.map(|row| column(&row, "total")).transpose()?.unwrap_or_default();
    Ok(total.unsigned_abs())
}

/// How many rows were changed.
pub async fn execute(client: &impl GenericClient, sql: &str, parameters: Parameters<'_>) -> Result<u64, Fault> {
    answer(async {
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, parameters).await
    })
    .await
}

/// One column of a row.
pub fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Fault> {
    row.try_get(name).map_err(|error| fault(&error))
}

/// A text that PostgreSQL can hold: all but those with a NUL. Others are found nowhere.
pub fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

/// A filter of a list: one of these texts, or any where none is given.
pub fn any_of(texts: &[String]) -> Option<Vec<&str>> {
    let storable = texts.iter().map(String::as_str).filter(|text| can_be_stored(text));
    (!texts.is_empty()).then(|| storable.collect())
}

/// Begins a transaction that sees, statement by statement, what others have committed.
pub async fn begin(client: &mut Client) -> Result<Transaction<'_>, Fault> {
    answer(client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start()).await
}

/// Why a commit was not confirmed. The two are never mixed up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The server said no: nothing was kept.
    #[error(transparent)]
    Refused(Fault),
    /// The connection ended before the answer: everything was kept, or nothing.
    #[error(transparent)]
    Unknown(Fault),
}

/// Ends a transaction; what it wrote is durable once this says so.
pub async fn commit(transaction: Transaction<'_>) -> Result<(), CommitError> {
    match tokio::time::timeout(Duration::from_millis(SILENCE_MAX_MS), transaction.commit()).await {
        Ok(Ok(())) => Ok(()),
        // An ordinary error is an answer. A fatal one may come after the commit was done, in place of its answer.
        Ok(Err(error)) if severity(&error) == Some(Severity::Error) => Err(CommitError::Refused(fault(&error))),
        Ok(Err(error)) => Err(CommitError::Unknown(fault(&error))),
        Err(_) => Err(CommitError::Unknown(silence())),
    }
}

fn severity(error: &Error) -> Option<Severity> {
    error.as_db_error().and_then(DbError::parsed_severity)
}

/// Waits for the server, but not for ever.
pub async fn answer<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(Duration::from_millis(SILENCE_MAX_MS), asked).await {
        Ok(answered) => answered.map_err(|error| fault(&error)),
        Err(_) => Err(silence()),
    }
}

fn silence() -> Fault {
    Fault::retry(
        SYSTEM,
        format!("PostgreSQL has not answered for {} s; see whether it still works", SILENCE_MAX_MS / 1_000),
    )
}

/// A connection that could not be had.
pub fn pool_fault(error: PoolError) -> Fault {
    match error {
        PoolError::Backend(error) => fault(&error),
        PoolError::Timeout(TimeoutType::Wait) => {
            let text = "every connection is in use; retry, or raise database.pool_connections_max";
            Fault::retry(SYSTEM, text)
        }
        PoolError::Timeout(_) => {
            Fault::retry(SYSTEM, "PostgreSQL does not take the connection in time; see whether it still works")
        }
        PoolError::Closed => Fault::retry(SYSTEM, "the connection to PostgreSQL is being replaced; retry"),
        other => Fault::give_up(SYSTEM, other.to_string()),
    }
}

/// What the driver or the server said, with a verdict and what to do. The server's `DETAIL` is left out: it quotes rows.
pub fn fault(error: &Error) -> Fault {
    let Some(said) = error.as_db_error() else { return driver_fault(error) };
    let (verdict, advice) = judge(said.code());
    let message = format!("{} (SQLSTATE {}){advice}", said.message(), said.code().code());
    Fault { system: SYSTEM, verdict, message }
}

/// Nothing from the server: the connection broke, or the two sides do not understand each other.
fn driver_fault(error: &Error) -> Fault {
    let cause = error.source();
    let broke = error.is_closed() || cause.is_some_and(|cause| cause.is::<std::io::Error>());
    let message = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    if cause.is_some_and(is_about_certificates) {
        return Fault::give_up(SYSTEM, format!("{message}; see database.tls_root_certificate"));
    }
    if broke {
        return Fault::retry(SYSTEM, format!("{message}; see whether PostgreSQL runs and can be reached"));
    }
    Fault::give_up(SYSTEM, message)
}

/// TLS hands its own errors over within those of the socket.
fn is_about_certificates(cause: &(dyn std::error::Error + 'static)) -> bool {
    let within = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = within.and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// The verdict on a SQLSTATE, and what a person can do.
fn judge(code: &SqlState) -> (Verdict, &'static str) {
    match code.code().as_bytes() {
        b"53100" => (Verdict::Retry, "; free space on PostgreSQL's disk"),
        b"53300" => (Verdict::Retry, "; raise PostgreSQL's max_connections or lower database.pool_connections_max"),
        b"57014" => (Verdict::Retry, "; it took longer than database.statement_timeout_ms"),
        // Deadlock, serialization, a lock that was not to be had, an idle transaction ended, a standby.
        b"40001" | b"40P01" | b"55P03" | b"25P03" | b"25006" => (Verdict::Retry, "; retry"),
        [b'0', b'8', ..] | [b'5', b'7', b'P', ..] => (Verdict::Retry, "; PostgreSQL is stopping, starting or cut off"),
        [b'5', b'3', ..] => (Verdict::Retry, "; PostgreSQL is short of resources"),
        [b'2', b'8', ..] => (Verdict::GiveUp, "; correct the user and password in database.url"),
        b"3D000" => (Verdict::GiveUp, "; create that database or correct database.url"),
        b"42501" => (Verdict::GiveUp, "; grant the user of database.url that right"),
        _ => (Verdict::GiveUp, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_retried_and_what_stays_is_given_up() {
        use Verdict::*;
        let table = [
            ("08006", Retry),
            ("57P01", Retry),
            ("57P03", Retry),
            ("57014", Retry),
            ("53100", Retry),
            ("53300", Retry),
            ("53400", Retry),
            ("40001", Retry),
            ("40P01", Retry),
            ("25006", Retry),
            ("28P01", GiveUp),
            ("3D000", GiveUp),
            ("42P01", GiveUp),
            ("23505", GiveUp),
            ("XX001", GiveUp),
        ];
        for (code, verdict) in table {
            assert_eq!(judge(&SqlState::from_code(code)).0, verdict, "{code}");
        }
    }
}
