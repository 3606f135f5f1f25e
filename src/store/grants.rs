//! Grants, voided, expired and deleted ones too.

use super::Lock;
use super::database::Transaction;
use super::entitlements::{priority_of, recurrence};
use super::page::{Page, PageAsk};
use super::sql::{self, column};
use super::types::{Amount, Id, JsonText, Micros};
use crate::domain::entitlement::grant::{Expiration, ExpirationUnit, Grant};
use crate::domain::entitlement::record::GrantRecord;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use ulid::Ulid;

/// Of a `grants AS g`.
macro_rules! columns {
    () => {
        "g.namespace, g.id, g.entitlement_id, g.amount, g.priority, g.effective_at, g.expires_at, g.expiration_count, \
         g.expiration_unit, g.min_rollover, g.max_rollover, g.recurrence_anchor, g.recurrence_interval, g.metadata, \
         g.annotations, g.voided_at, g.created_at, g.updated_at, g.deleted_at"
    };
}

const INSERT: &str = "INSERT INTO grants (namespace, id, entitlement_id, amount, priority, effective_at, expires_at, \
    expiration_count, expiration_unit, min_rollover, max_rollover, recurrence_anchor, recurrence_interval, metadata, \
    annotations, voided_at, created_at, updated_at, deleted_at) VALUES \
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
const VOID: &str = "UPDATE grants SET voided_at = $3, updated_at = $4 WHERE namespace = $1 AND id = $2";
const DELETE_OF_ENTITLEMENT: &str = "UPDATE grants SET deleted_at = $3, updated_at = $3 \
    WHERE namespace = $1 AND entitlement_id = $2 AND deleted_at IS NULL";
const FIND: &str =
    concat!("SELECT ", columns!(), " FROM grants AS g WHERE g.namespace = $1 AND g.id = $2 AND g.deleted_at IS NULL");
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM grants AS g WHERE g.namespace = $1 AND g.id = $2 AND g.deleted_at IS NULL FOR UPDATE"
);
const OF_ENTITLEMENTS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM grants AS g WHERE g.namespace = $1 AND g.entitlement_id = ANY($2) AND ($3 OR g.deleted_at IS NULL) \
     ORDER BY g.created_at, g.id"
);

/// Which grants of a namespace a list is of; what is absent asks for all.
macro_rules! wanted {
    () => {
        " FROM grants AS g JOIN entitlements AS e ON e.namespace = g.namespace AND e.id = g.entitlement_id \
         WHERE g.namespace = $1 AND ($2 OR g.deleted_at IS NULL) \
         AND ($3::text IS NULL OR g.entitlement_id = $3) \
         AND ($4::text[] IS NULL OR e.feature_id = ANY($4) OR e.feature_key = ANY($4)) \
         AND ($5::text[] IS NULL OR e.customer_id = ANY($5)) \
         AND ($6::text[] IS NULL OR e.customer_id IN (SELECT s.customer_id FROM customer_subjects AS s \
            WHERE s.namespace = $1 AND s.subject_key = ANY($6)))"
    };
}
macro_rules! list {
    ($order:literal) => {
        concat!("SELECT ", columns!(), wanted!(), " ORDER BY ", $order, " LIMIT $7 OFFSET $8")
    };
}
const COUNT: &str = concat!("SELECT count(*) AS total", wanted!());
const LIST_EFFECTIVE: &str = list!("g.effective_at, g.id");
const LIST_EFFECTIVE_DOWN: &str = list!("g.effective_at DESC, g.id DESC");
const LIST_CREATED: &str = list!("g.created_at, g.id");
const LIST_CREATED_DOWN: &str = list!("g.created_at DESC, g.id DESC");
const LIST_UPDATED: &str = list!("g.updated_at, g.id");
const LIST_UPDATED_DOWN: &str = list!("g.updated_at DESC, g.id DESC");
const LIST_ID: &str = list!("g.id");
const LIST_ID_DOWN: &str = list!("g.id DESC");

/// Which grants are asked for: all that every given filter accepts, voided and expired ones too. An empty filter
/// accepts everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantsQuery {
    pub entitlement_id: Option<Ulid>,
    /// Ids or keys.
    pub features: Vec<String>,
    /// Ids or keys.
    pub customers: Vec<String>,
    /// A customer's key is none.
    pub subject_keys: Vec<String>,
    pub include_deleted: bool,
    pub order: GrantOrder,
    pub descending: bool,
}

/// By what a list is sorted; the id decides between equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GrantOrder {
    #[default]
    EffectiveAt,
    Id,
    CreatedAt,
    UpdatedAt,
}

/// Adds a grant.
pub async fn insert(tx: &Transaction<'_>, record: &GrantRecord) -> Result<(), Fault> {
    let GrantRecord { grant, expiration, .. } = record;
    let recurrence = grant.recurrence.as_ref();
    let parameters: sql::Parameters<'_> = &[
        &record.namespace,
        &Id(grant.id),
        &Id(record.entitlement_id),
        &Amount(grant.amount),
        &i16::from(grant.priority),
        &Micros(grant.effective_at),
        &grant.expires_at.map(Micros),
        &expiration.map(|expiration| i64::from(expiration.count)),
        &expiration.map(|expiration| expiration.unit.as_str()),
        &Amount(grant.min_rollover),
        &Amount(grant.max_rollover),
        &recurrence.map(|recurrence| Micros(recurrence.anchor)),
        &recurrence.map(|recurrence| recurrence.interval.as_str()),
        &JsonText::of(&record.metadata),
        &record.annotations.clone().map(JsonText),
        &grant.voided_at.map(Micros),
        &Micros(grant.created_at),
        &Micros(record.updated_at),
        &grant.deleted_at.map(Micros),
    ];
    sql::execute(tx, INSERT, parameters).await.map(drop)
}

/// Stores the void of a grant and when.
pub async fn void(tx: &Transaction<'_>, record: &GrantRecord) -> Result<(), Fault> {
    let voided_at = record.grant.voided_at.map(Micros);
    let parameters: sql::Parameters<'_> =
        &[&record.namespace, &Id(record.grant.id), &voided_at, &Micros(record.updated_at)];
    sql::execute(tx, VOID, parameters).await.map(drop)
}

/// Marks all grants of an entitlement as deleted.
pub async fn delete_of_entitlement(
    tx: &Transaction<'_>,
    namespace: &str,
    entitlement_id: Ulid,
    at: Instant,
) -> Result<(), Fault> {
    sql::execute(tx, DELETE_OF_ENTITLEMENT, &[&namespace, &Id(entitlement_id), &Micros(at)]).await.map(drop)
}

/// By id, deleted never.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id: &str,
    lock: Lock,
) -> Result<Option<GrantRecord>, Fault> {
    let row = sql::named(client, (FIND, FIND_FOR_UPDATE), lock, namespace, id).await?;
    row.as_ref().map(read).transpose()
}

/// Of these entitlements together, in order of creation.
pub async fn of_entitlements(
    client: &impl GenericClient,
    namespace: &str,
    entitlement_ids: &[Ulid],
    include_deleted: bool,
) -> Result<Vec<GrantRecord>, Fault> {
    let ids: Vec<Id> = entitlement_ids.iter().copied().map(Id).collect();
    sql::rows(client, OF_ENTITLEMENTS, &[&namespace, &ids, &include_deleted]).await?.iter().map(read).collect()
}

/// A page of a list.
pub async fn list(
    client: &impl GenericClient,
    namespace: &str,
    query: &GrantsQuery,
    customer_ids: Option<&[Ulid]>,
    page: PageAsk,
) -> Result<Page<GrantRecord>, Fault> {
    let entitlement_id = query.entitlement_id.map(Id);
    let customers: Option<Vec<Id>> = customer_ids.map(|ids| ids.iter().copied().map(Id).collect());
    let (features, subjects) = (sql::any_of(&query.features), sql::any_of(&query.subject_keys));
    let (limit, offset) = page.in_rows();
    let parameters: sql::Parameters<'_> =
        &[&namespace, &query.include_deleted, &entitlement_id, &features, &customers, &subjects, &limit, &offset];
    let sql = match (query.order, query.descending) {
        (GrantOrder::EffectiveAt, false) => LIST_EFFECTIVE,
        (GrantOrder::EffectiveAt, true) => LIST_EFFECTIVE_DOWN,
        (GrantOrder::CreatedAt, false) => LIST_CREATED,
        (GrantOrder::CreatedAt, true) => LIST_CREATED_DOWN,
        (GrantOrder::UpdatedAt, false) => LIST_UPDATED,
        (GrantOrder::UpdatedAt, true) => LIST_UPDATED_DOWN,
        (GrantOrder::Id, false) => LIST_ID,
        (GrantOrder::Id, true) => LIST_ID_DOWN,
    };
    let total = sql::total(client, COUNT, &parameters[..6]).await?;
    let items = sql::rows(client, sql, parameters).await?.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

fn read(row: &Row) -> Result<GrantRecord, Fault> {
    let [Id(id), Id(entitlement_id)] = [column(row, "id")?, column(row, "entitlement_id")?];
    let [Amount(amount), Amount(min_rollover), Amount(max_rollover)] =
        [column(row, "amount")?, column(row, "min_rollover")?, column(row, "max_rollover")?];
    let [Micros(effective_at), Micros(created_at), Micros(updated_at)] =
        [column(row, "effective_at")?, column(row, "created_at")?, column(row, "updated_at")?];
    let [expires_at, voided_at, deleted_at]: [Option<Micros>; 3] =
        [column(row, "expires_at")?, column(row, "voided_at")?, column(row, "deleted_at")?];
    let annotations: Option<JsonText> = column(row, "annotations")?;
    let grant = Grant {
        id,
        amount,
        priority: priority_of(column(row, "priority")?)?,
        effective_at,
        expires_at: expires_at.map(|Micros(at)| at),
        voided_at: voided_at.map(|Micros(at)| at),
        deleted_at: deleted_at.map(|Micros(at)| at),
        min_rollover,
        max_rollover,
        recurrence: recurrence(column(row, "recurrence_anchor")?, column(row, "recurrence_interval")?)?,
        created_at,
    };
    Ok(GrantRecord {
        grant,
        namespace: column(row, "namespace")?,
        entitlement_id,
        expiration: expiration(column(row, "expiration_count")?, column(row, "expiration_unit")?)?,
        metadata: column::<JsonText>(row, "metadata")?.read()?,
        annotations: annotations.map(|JsonText(text)| text),
        updated_at,
    })
}

fn expiration(count: Option<i64>, unit: Option<&str>) -> Result<Option<Expiration>, Fault> {
    let (Some(count), Some(unit)) = (count, unit) else { return Ok(None) };
    let read = u32::try_from(count).ok().zip(ExpirationUnit::parse(unit));
    let (count, unit) =
        read.ok_or_else(|| Fault::give_up(sql::SYSTEM, format!("a grant expires after {count} {unit}")))?;
    Ok(Some(Expiration { count, unit }))
}

#[cfg(test)]
mod tests;
