//! Meters as clients see them, deleted ones too. What counts is in the log; a row and its outbox rows are one commit.

use super::Lock;
use super::database::Transaction;
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::fault::Fault;
use crate::domain::metering::{Aggregation, Meter};
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use ulid::Ulid;

/// A meter and whether it is still there.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMeter {
    /// Its newest version.
    pub meter: Meter,
    /// Absent: live.
    pub deleted_at: Option<Instant>,
}

macro_rules! columns {
    () => {
        "namespace, id, version, slug, name, description, aggregation, event_type, event_from_ns, value_property, \
         group_by, metadata, created_at, updated_at, deleted_at"
    };
}

/// A live meter with the slug makes it insert nothing.
const INSERT: &str = concat!(
    "INSERT INTO meters (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING"
);
const UPDATE: &str = "UPDATE meters SET version = $3, name = $4, description = $5, group_by = $6, metadata = $7, \
    updated_at = $8 WHERE namespace = $1 AND id = $2";
const DELETE: &str =
    "UPDATE meters SET deleted_at = $3, updated_at = $3 WHERE namespace = $1 AND id = $2 AND deleted_at IS NULL";
/// The id goes before a slug that looks like one.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM meters WHERE namespace = $1 AND (id = $2 OR slug = $2 AND deleted_at IS NULL) ORDER BY id = $2 DESC LIMIT 1"
);
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM meters WHERE namespace = $1 AND (id = $2 OR slug = $2 AND deleted_at IS NULL) ORDER BY id = $2 DESC LIMIT 1 \
     FOR UPDATE"
);
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM meters WHERE namespace = $1 AND ($2 OR deleted_at IS NULL) ORDER BY created_at, id"
);

/// Adds a live meter. `false`: a live one has the slug.
pub async fn insert(tx: &Transaction<'_>, meter: &Meter) -> Result<bool, Fault> {
    add(tx, meter, None).await
}

/// Adds a meter that the log knows already. `false`: its id, or its slug when it is live, is there.
pub async fn take_over(tx: &Transaction<'_>, meter: &Meter, deleted_at: Option<Instant>) -> Result<bool, Fault> {
    add(tx, meter, deleted_at).await
}

async fn add(tx: &Transaction<'_>, meter: &Meter, deleted_at: Option<Instant>) -> Result<bool, Fault> {
    let parameters: sql::Parameters<'_> = &[
        &meter.namespace,
        &Id(meter.id),
        &Id(meter.version),
        &meter.slug,
        &meter.name,
        &meter.description,
        &meter.aggregation.as_str(),
        &meter.event_type,
        &meter.event_from.map(Instant::nanos),
        &meter.value_property,
        &JsonText::of(&meter.group_by),
        &meter.metadata.as_ref().map(JsonText::of),
        &Micros(meter.created_at),
        &Micros(meter.updated_at),
        &deleted_at.map(Micros),
    ];
    Ok(sql::execute(tx, INSERT, parameters).await? == 1)
}

/// Stores what may change of a meter: version, name, description, metadata, dimensions and when.
pub async fn update(tx: &Transaction<'_>, meter: &Meter) -> Result<(), Fault> {
    let parameters: sql::Parameters<'_> = &[
        &meter.namespace,
        &Id(meter.id),
        &Id(meter.version),
        &meter.name,
        &meter.description,
        &JsonText::of(&meter.group_by),
        &meter.metadata.as_ref().map(JsonText::of),
        &Micros(meter.updated_at),
    ];
    sql::execute(tx, UPDATE, parameters).await.map(drop)
}

/// Marks a live meter as deleted.
pub async fn delete(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    sql::execute(tx, DELETE, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

/// By id, deleted or not; otherwise by slug, live only.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id_or_slug: &str,
    lock: Lock,
) -> Result<Option<StoredMeter>, Fault> {
    let row = sql::named(client, (FIND, FIND_FOR_UPDATE), lock, namespace, id_or_slug).await?;
    row.as_ref().map(read).transpose()
}

/// In order of creation.
pub async fn list(
    client: &impl GenericClient,
    namespace: &str,
    include_deleted: bool,
) -> Result<Vec<StoredMeter>, Fault> {
    sql::rows(client, LIST, &[&namespace, &include_deleted]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StoredMeter, Fault> {
    let aggregation: &str = column(row, "aggregation")?;
    let aggregation = Aggregation::parse(aggregation).ok_or_else(|| {
        Fault::give_up(sql::SYSTEM, format!("a meter has the aggregation {aggregation}, which this weir does not know"))
    })?;
    let metadata: Option<JsonText> = column(row, "metadata")?;
    let Id(id) = column(row, "id")?;
    let Id(version) = column(row, "version")?;
    let Micros(created_at) = column(row, "created_at")?;
    let Micros(updated_at) = column(row, "updated_at")?;
    let deleted_at: Option<Micros> = column(row, "deleted_at")?;
    let meter = Meter {
        id,
        version,
        namespace: column(row, "namespace")?,
        slug: column(row, "slug")?,
        name: column(row, "name")?,
        description: column(row, "description")?,
        aggregation,
        event_type: column(row, "event_type")?,
        event_from: column::<Option<i64>>(row, "event_from_ns")?.map(Instant::from_nanos),
        value_property: column(row, "value_property")?,
        group_by: column::<JsonText>(row, "group_by")?.read()?,
        metadata: metadata.map(|text| text.read()).transpose()?,
        created_at,
        updated_at,
    };
    Ok(StoredMeter { meter, deleted_at: deleted_at.map(|Micros(at)| at) })
}

#[cfg(test)]
mod tests;
