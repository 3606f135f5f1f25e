//! The audit: who changed what, and when. Append-only: the table itself refuses every change.

use super::database::Transaction;
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use ulid::Ulid;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Grows with time, so it is the order and the cursor.
    pub id: Ulid,
    pub namespace: String,
    pub at: Instant,
    /// Who asked for it.
    pub actor: String,
    pub request_id: String,
    /// `meter.create`
    pub operation: String,
    /// `meter`
    pub entity_kind: String,
    pub entity_id: String,
    /// The entity as JSON; absent when there was none.
    pub before: Option<String>,
    /// Likewise; absent when there is none any more.
    pub after: Option<String>,
}

/// Which entries are asked for: all that every given filter accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub namespace: String,
    pub entity_kind: Option<String>,
    pub entity_id: Option<String>,
    pub operation: Option<String>,
    /// Not before this instant.
    pub from: Option<Instant>,
    /// Before this instant.
    pub to: Option<Instant>,
    /// Only entries older than this one.
    pub before: Option<Ulid>,
    pub limit: usize,
}

macro_rules! columns {
    () => {
        "namespace, id, at, actor, request_id, operation, entity_kind, entity_id, before, after"
    };
}

const PUSH: &str = concat!("INSERT INTO audit (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE namespace = $1 AND ($2::text IS NULL OR entity_kind = $2) AND ($3::text IS NULL OR \
     entity_id = $3) AND ($4::text IS NULL OR operation = $4) AND ($5::timestamptz IS NULL OR at >= $5) AND \
     ($6::timestamptz IS NULL OR at < $6) AND ($7::text IS NULL OR id < $7) ORDER BY id DESC LIMIT $8"
);

/// Adds an entry.
pub async fn push(tx: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Fault> {
    let json = |text: &Option<String>| text.clone().map(JsonText);
    let parameters: sql::Parameters<'_> = &[
        &entry.namespace,
        &Id(entry.id),
        &Micros(entry.at),
        &entry.actor,
        &entry.request_id,
        &entry.operation,
        &entry.entity_kind,
        &entry.entity_id,
        &json(&entry.before),
        &json(&entry.after),
    ];
    sql::execute(tx, PUSH, parameters).await.map(drop)
}

/// Newest first.
pub async fn list(client: &impl GenericClient, query: &AuditQuery) -> Result<Vec<AuditEntry>, Fault> {
    let texts = [&query.entity_kind, &query.entity_id, &query.operation];
    if texts.into_iter().flatten().any(|text| !sql::can_be_stored(text)) {
        return Ok(Vec::new());
    }
    let parameters: sql::Parameters<'_> = &[
        &query.namespace,
        &query.entity_kind,
        &query.entity_id,
        &query.operation,
        &query.from.map(Micros),
        &query.to.map(Micros),
        &query.before.map(Id),
        &i64::try_from(query.limit).unwrap_or(i64::MAX),
    ];
    sql::rows(client, LIST, parameters).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<AuditEntry, Fault> {
    let Id(id) = column(row, "id")?;
    let Micros(at) = column(row, "at")?;
    let json = |name: &str| Ok(column::<Option<JsonText>>(row, name)?.map(|JsonText(text)| text));
    Ok(AuditEntry {
        id,
        namespace: column(row, "namespace")?,
        at,
        actor: column(row, "actor")?,
        request_id: column(row, "request_id")?,
        operation: column(row, "operation")?,
        entity_kind: column(row, "entity_kind")?,
        entity_id: column(row, "entity_id")?,
        before: json("before")?,
        after: json("after")?,
    })
}

#[cfg(test)]
mod tests;
