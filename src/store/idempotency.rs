//! Idempotency keys: the answer of a write, kept under the key that its client gave, in the commit of the write itself.

use super::database::Transaction;
use super::sql::{self, column};
use super::types::Micros;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;

/// How long a key is remembered, in nanoseconds.
pub const KEPT_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// Most forgotten keys deleted by one write: more than one write adds, few enough not to be felt.
const PRUNED_MAX: i64 = 100;

/// Takes the key, or nothing when it is remembered. A write that holds the key uncommitted is waited for.
const CLAIM: &str = "INSERT INTO idempotency_keys (namespace, key, request_hash, created_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (namespace, key) DO UPDATE SET request_hash = excluded.request_hash, status = NULL, body = NULL, \
    outbox_seq = NULL, created_at = excluded.created_at WHERE idempotency_keys.created_at <= $5";
const FIND: &str =
    "SELECT request_hash, status, body, outbox_seq FROM idempotency_keys WHERE namespace = $1 AND key = $2";
const KEEP: &str =
    "UPDATE idempotency_keys SET status = $3, body = $4, outbox_seq = $5 WHERE namespace = $1 AND key = $2";
const PRUNE: &str = "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency_keys \
    WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is this transaction's now.
    New,
    /// The same request, answered before.
    Answered(Answer),
    /// Another request.
    Other,
}

/// What the client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// The last outbox row of the write, when it had any.
    pub outbox_seq: Option<i64>,
}

/// Takes the key for this transaction, or says what it stands for. Keys older than a day are as new.
pub async fn claim(
    tx: &Transaction<'_>,
    namespace: &str,
    key: &str,
    request_hash: u128,
    now: Instant,
) -> Result<Claim, Fault> {
    let hash = request_hash.to_be_bytes();
    let forgotten = forgotten(now);
    let parameters: sql::Parameters<'_> = &[&namespace, &key, &hash.as_slice(), &Micros(now), &forgotten];
    if sql::execute(tx, CLAIM, parameters).await? == 1 {
        return Ok(Claim::New);
    }
    let Some(row) = sql::row(tx, FIND, &[&namespace, &key]).await? else {
        // Another write has just pruned it.
        return Err(Fault::retry(sql::SYSTEM, "the idempotency key was forgotten at this very moment; retry"));
    };
    if column::<&[u8]>(&row, "request_hash")? != hash {
        return Ok(Claim::Other);
    }
    let status: Option<i16> = column(&row, "status")?;
    let status = status.and_then(|status| u16::try_from(status).ok());
    let (Some(status), Some(body)) = (status, column(&row, "body")?) else {
        return Err(Fault::give_up(sql::SYSTEM, "an idempotency key without an answer: weir did not write it"));
    };
    Ok(Claim::Answered(Answer { status, body, outbox_seq: column(&row, "outbox_seq")? }))
}

/// Keeps the answer under a key that this transaction claimed.
pub async fn keep(tx: &Transaction<'_>, namespace: &str, key: &str, answer: &Answer) -> Result<(), Fault> {
    let status = i16::try_from(answer.status).expect("an HTTP status has three digits");
    sql::execute(tx, KEEP, &[&namespace, &key, &status, &answer.body, &answer.outbox_seq]).await.map(drop)
}

/// Deletes some keys that are older than a day; never waits for another transaction.
pub async fn prune(tx: &Transaction<'_>, now: Instant) -> Result<u64, Fault> {
    sql::execute(tx, PRUNE, &[&forgotten(now), &PRUNED_MAX]).await
}

/// Keys from before this are forgotten.
fn forgotten(now: Instant) -> Micros {
    Micros(Instant::from_nanos(now.nanos().saturating_sub(KEPT_NS)))
}
