//! Subjects, deleted ones too.

use super::Lock;
use super::database::Transaction;
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::fault::Fault;
use crate::domain::subject::Subject;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use ulid::Ulid;

macro_rules! columns {
    () => {
        "namespace, id, key, display_name, metadata, stripe_customer_id, created_at, updated_at, deleted_at"
    };
}

/// A live subject with the key makes it insert nothing.
const INSERT: &str = concat!(
    "INSERT INTO subjects (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
);
const UPDATE: &str = "UPDATE subjects SET display_name = $3, metadata = $4, stripe_customer_id = $5, updated_at = $6 \
    WHERE namespace = $1 AND id = $2";
const DELETE: &str =
    "UPDATE subjects SET deleted_at = $3, updated_at = $3 WHERE namespace = $1 AND id = $2 AND deleted_at IS NULL";
/// The id goes before a key that looks like one.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM subjects WHERE namespace = $1 AND (id = $2 OR key = $2 AND deleted_at IS NULL) ORDER BY id = $2 DESC LIMIT 1"
);
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM subjects WHERE namespace = $1 AND (id = $2 OR key = $2 AND deleted_at IS NULL) ORDER BY id = $2 DESC \
     LIMIT 1 FOR UPDATE"
);
const FIND_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM subjects WHERE namespace = $1 AND key = ANY($2) AND deleted_at IS NULL ORDER BY id"
);
const FIND_IDS: &str =
    concat!("SELECT ", columns!(), " FROM subjects WHERE namespace = $1 AND id = ANY($2) ORDER BY id");
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM subjects WHERE namespace = $1 AND deleted_at IS NULL ORDER BY id");

/// Adds a live subject. `false`: a live one has the key.
pub async fn insert(tx: &Transaction<'_>, subject: &Subject) -> Result<bool, Fault> {
    let parameters: sql::Parameters<'_> = &[
        &subject.namespace,
        &Id(subject.id),
        &subject.key,
        &subject.display_name,
        &JsonText(subject.metadata.clone()),
        &subject.stripe_customer_id,
        &Micros(subject.created_at),
        &Micros(subject.updated_at),
        &subject.deleted_at.map(Micros),
    ];
    Ok(sql::execute(tx, INSERT, parameters).await? == 1)
}

/// Stores what may change of a subject: display name, metadata, Stripe's id and when.
pub async fn update(tx: &Transaction<'_>, subject: &Subject) -> Result<(), Fault> {
    let parameters: sql::Parameters<'_> = &[
        &subject.namespace,
        &Id(subject.id),
        &subject.display_name,
        &JsonText(subject.metadata.clone()),
        &subject.stripe_customer_id,
        &Micros(subject.updated_at),
    ];
    sql::execute(tx, UPDATE, parameters).await.map(drop)
}

/// Marks a live subject as deleted.
pub async fn delete(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    sql::execute(tx, DELETE, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

/// By id, deleted or not; otherwise by key, live only.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id_or_key: &str,
    lock: Lock,
) -> Result<Option<Subject>, Fault> {
    let row = sql::named(client, (FIND, FIND_FOR_UPDATE), lock, namespace, id_or_key).await?;
    row.as_ref().map(read).transpose()
}

/// The live subjects with one of these keys, by id.
pub async fn find_keys(client: &impl GenericClient, namespace: &str, keys: &[&str]) -> Result<Vec<Subject>, Fault> {
    let keys: Vec<&str> = keys.iter().copied().filter(|key| sql::can_be_stored(key)).collect();
    sql::rows(client, FIND_KEYS, &[&namespace, &keys]).await?.iter().map(read).collect()
}

/// The subjects with one of these ids, deleted or not, by id.
pub async fn find_ids(client: &impl GenericClient, namespace: &str, ids: &[&str]) -> Result<Vec<Subject>, Fault> {
    let ids: Vec<&str> = ids.iter().copied().filter(|id| sql::can_be_stored(id)).collect();
    sql::rows(client, FIND_IDS, &[&namespace, &ids]).await?.iter().map(read).collect()
}

/// The live subjects, by id.
pub async fn list(client: &impl GenericClient, namespace: &str) -> Result<Vec<Subject>, Fault> {
    sql::rows(client, LIST, &[&namespace]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Subject, Fault> {
    let Id(id) = column(row, "id")?;
    let JsonText(metadata) = column(row, "metadata")?;
    let Micros(created_at) = column(row, "created_at")?;
    let Micros(updated_at) = column(row, "updated_at")?;
    let deleted_at: Option<Micros> = column(row, "deleted_at")?;
    Ok(Subject {
        id,
        namespace: column(row, "namespace")?,
        key: column(row, "key")?,
        display_name: column(row, "display_name")?,
        metadata,
        stripe_customer_id: column(row, "stripe_customer_id")?,
        created_at,
        updated_at,
        deleted_at: deleted_at.map(|Micros(at)| at),
    })
}

#[cfg(test)]
mod tests;
