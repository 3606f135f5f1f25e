//! Features, archived ones too.

use super::Lock;
use super::database::Transaction;
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::catalog::feature::Feature;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use ulid::Ulid;

macro_rules! columns {
    () => {
        "namespace, id, key, name, description, metadata, meter_id, meter_slug, filters, unit_cost, created_at, \
         updated_at, archived_at"
    };
}

/// A live feature with the key makes it insert nothing.
const INSERT: &str = concat!(
    "INSERT INTO features (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING"
);
const UPDATE_UNIT_COST: &str =
    "UPDATE features SET unit_cost = $3, updated_at = $4 WHERE namespace = $1 AND id = $2 AND archived_at IS NULL";
const ARCHIVE: &str =
    "UPDATE features SET archived_at = $3, updated_at = $3 WHERE namespace = $1 AND id = $2 AND archived_at IS NULL";
/// A key never looks like an id.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM features WHERE namespace = $1 AND (id = $2 OR key = $2 AND archived_at IS NULL)"
);
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM features WHERE namespace = $1 AND (id = $2 OR key = $2 AND archived_at IS NULL) FOR UPDATE"
);
const HOLD: &str = "SELECT id FROM features WHERE namespace = $1 AND id = $2 AND archived_at IS NULL FOR SHARE";
const BY_IDS: &str = concat!("SELECT ", columns!(), " FROM features WHERE namespace = $1 AND id = ANY($2) ORDER BY id");
const BY_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM features WHERE namespace = $1 AND key = ANY($2) AND archived_at IS NULL ORDER BY key"
);
const OF_METER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM features WHERE namespace = $1 AND meter_id = $2 AND archived_at IS NULL ORDER BY key"
);
const EVER_OF_METER: &str = "SELECT id FROM features WHERE namespace = $1 AND meter_id = $2 ORDER BY id";
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM features WHERE namespace = $1 AND ($2 OR archived_at IS NULL) ORDER BY created_at, id"
);

/// Adds a live feature. `false`: a live one has the key.
pub async fn insert(tx: &Transaction<'_>, feature: &Feature) -> Result<bool, Fault> {
    let parameters: sql::Parameters<'_> = &[
        &feature.namespace,
        &Id(feature.id),
        &feature.key,
        &feature.name,
        &feature.description,
        &JsonText::of(&feature.metadata),
        &feature.meter_id.map(Id),
        &feature.meter_slug,
        &JsonText::of(&feature.filters),
        &feature.unit_cost.as_ref().map(JsonText::of),
        &Micros(feature.created_at),
        &Micros(feature.updated_at),
        &feature.archived_at.map(Micros),
    ];
    Ok(sql::execute(tx, INSERT, parameters).await? == 1)
}

/// Stores what may change of a live feature: its unit cost and when.
pub async fn update_unit_cost(tx: &Transaction<'_>, feature: &Feature) -> Result<(), Fault> {
    let unit_cost = feature.unit_cost.as_ref().map(JsonText::of);
    let parameters: sql::Parameters<'_> =
        &[&feature.namespace, &Id(feature.id), &unit_cost, &Micros(feature.updated_at)];
    sql::execute(tx, UPDATE_UNIT_COST, parameters).await.map(drop)
}

/// Archives a live feature.
pub async fn archive(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    sql::execute(tx, ARCHIVE, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

/// By id, archived or not; otherwise by key, live only.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id_or_key: &str,
    lock: Lock,
) -> Result<Option<Feature>, Fault> {
    let row = sql::named(client, (FIND, FIND_FOR_UPDATE), lock, namespace, id_or_key).await?;
    row.as_ref().map(read).transpose()
}

/// Whether a feature is live; one that is stays so until this transaction ends. Many may hold it at once.
pub async fn hold(tx: &Transaction<'_>, namespace: &str, id: Ulid) -> Result<bool, Fault> {
    Ok(!sql::rows(tx, HOLD, &[&namespace, &Id(id)]).await?.is_empty())
}

/// Those with one of these ids, archived or not, by id.
pub async fn by_ids(client: &impl GenericClient, namespace: &str, ids: &[Ulid]) -> Result<Vec<Feature>, Fault> {
    let ids: Vec<Id> = ids.iter().copied().map(Id).collect();
    sql::rows(client, BY_IDS, &[&namespace, &ids]).await?.iter().map(read).collect()
}

/// The live ones with one of these keys, by key.
pub async fn by_keys(client: &impl GenericClient, namespace: &str, keys: &[&str]) -> Result<Vec<Feature>, Fault> {
    let keys: Vec<&str> = keys.iter().copied().filter(|key| sql::can_be_stored(key)).collect();
    sql::rows(client, BY_KEYS, &[&namespace, &keys]).await?.iter().map(read).collect()
}

/// The live ones that count by this meter, by key.
pub async fn of_meter(client: &impl GenericClient, namespace: &str, meter_id: Ulid) -> Result<Vec<Feature>, Fault> {
    sql::rows(client, OF_METER, &[&namespace, &Id(meter_id)]).await?.iter().map(read).collect()
}

/// The ids of those that count by this meter, archived ones too.
pub async fn ever_of_meter(client: &impl GenericClient, namespace: &str, meter_id: Ulid) -> Result<Vec<Ulid>, Fault> {
    let rows = sql::rows(client, EVER_OF_METER, &[&namespace, &Id(meter_id)]).await?;
    rows.iter().map(|row| column(row, "id").map(|Id(id)| id)).collect()
}

/// In order of creation; archived ones when asked for.
pub async fn list(client: &impl GenericClient, namespace: &str, include_archived: bool) -> Result<Vec<Feature>, Fault> {
    sql::rows(client, LIST, &[&namespace, &include_archived]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Feature, Fault> {
    let Id(id) = column(row, "id")?;
    let meter_id: Option<Id> = column(row, "meter_id")?;
    let unit_cost: Option<JsonText> = column(row, "unit_cost")?;
    let Micros(created_at) = column(row, "created_at")?;
    let Micros(updated_at) = column(row, "updated_at")?;
    let archived_at: Option<Micros> = column(row, "archived_at")?;
    Ok(Feature {
        id,
        namespace: column(row, "namespace")?,
        key: column(row, "key")?,
        name: column(row, "name")?,
        description: column(row, "description")?,
        metadata: column::<JsonText>(row, "metadata")?.read()?,
        meter_id: meter_id.map(|Id(id)| id),
        meter_slug: column(row, "meter_slug")?,
        filters: column::<JsonText>(row, "filters")?.read()?,
        unit_cost: unit_cost.map(|text| text.read()).transpose()?,
        created_at,
        updated_at,
        archived_at: archived_at.map(|Micros(at)| at),
    })
}

#[cfg(test)]
mod tests;
