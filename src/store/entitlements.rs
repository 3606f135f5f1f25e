//! Entitlements, ended and deleted ones too.

use super::Lock;
use super::database::Transaction;
use super::page::{Page, PageAsk};
use super::sql::{self, column};
use super::types::{Amount, Id, JsonText, Micros};
use crate::domain::entitlement::interval::Interval;
use crate::domain::entitlement::record::{Entitlement, EntitlementType, Kind, Metered};
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row};
use ulid::Ulid;

/// Of an `entitlements AS e`.
macro_rules! columns {
    () => {
        "e.namespace, e.id, e.customer_id, e.feature_id, e.feature_key, e.kind, e.metadata, e.annotations, \
         e.active_from, e.active_to, e.period_anchor, e.period_interval, e.config, e.is_soft_limit, \
         e.issue_after_reset, e.issue_after_reset_priority, e.preserve_overage_at_reset, e.measure_from, \
         e.created_at, e.updated_at, e.deleted_at"
    };
}

const INSERT: &str = "INSERT INTO entitlements (namespace, id, customer_id, feature_id, feature_key, kind, metadata, \
    annotations, active_from, active_to, period_anchor, period_interval, config, is_soft_limit, issue_after_reset, \
    issue_after_reset_priority, preserve_overage_at_reset, measure_from, created_at, updated_at, deleted_at) VALUES \
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
const END: &str = "UPDATE entitlements SET active_to = $3, updated_at = $3 WHERE namespace = $1 AND id = $2";
const DELETE: &str = "UPDATE entitlements SET deleted_at = $3, updated_at = $3 \
    WHERE namespace = $1 AND id = $2 AND deleted_at IS NULL";
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM entitlements AS e WHERE e.namespace = $1 AND e.id = $2 AND e.deleted_at IS NULL"
);
const FIND_FOR_UPDATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM entitlements AS e WHERE e.namespace = $1 AND e.id = $2 AND e.deleted_at IS NULL FOR UPDATE"
);
const ACTIVE_OF_CUSTOMER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM entitlements AS e WHERE e.namespace = $1 AND e.customer_id = $2 AND ($3::text IS NULL OR e.feature_key = $3) \
     AND e.deleted_at IS NULL AND e.active_from <= $4 AND (e.active_to IS NULL OR e.active_to > $4) \
     ORDER BY e.feature_key, e.id"
);
const UNENDED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM entitlements AS e WHERE e.namespace = $1 AND e.customer_id = $2 AND e.feature_key = $3 \
     AND e.deleted_at IS NULL AND (e.active_to IS NULL OR e.active_to > $4) ORDER BY e.active_from, e.id LIMIT 1"
);
const USING_FEATURES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM entitlements AS e WHERE e.namespace = $1 AND e.feature_id = ANY($2) AND e.deleted_at IS NULL ORDER BY e.id"
);
const NEXT_TURN: &str = "SELECT min(turn) AS turn FROM (\
    SELECT active_from AS turn FROM entitlements \
    WHERE namespace = $1 AND customer_id = $2 AND deleted_at IS NULL AND active_from > $3 \
    UNION ALL SELECT active_to FROM entitlements \
    WHERE namespace = $1 AND customer_id = $2 AND deleted_at IS NULL AND active_to > $3) AS turns";
const NORMALISE: &str = "SELECT $1::jsonb AS config";

/// Which entitlements of a namespace a list is of; what is absent asks for all.
macro_rules! wanted {
    () => {
        " FROM entitlements AS e WHERE e.namespace = $1 AND e.deleted_at IS NULL \
         AND ($2::text[] IS NULL OR e.feature_id = ANY($2) OR e.feature_key = ANY($2)) \
         AND ($3::text[] IS NULL OR e.kind = ANY($3)) \
         AND ($4::timestamptz IS NULL OR e.active_from <= $4 AND (e.active_to IS NULL OR e.active_to > $4)) \
         AND ($5::text[] IS NULL OR e.customer_id = ANY($5)) \
         AND ($6::text[] IS NULL OR e.customer_id IN (SELECT c.id FROM customers AS c \
            WHERE c.namespace = $1 AND c.key = ANY($6) AND c.deleted_at IS NULL)) \
         AND ($7::text[] IS NULL OR e.customer_id IN (SELECT s.customer_id FROM customer_subjects AS s \
            WHERE s.namespace = $1 AND s.subject_key = ANY($7)))"
    };
}
macro_rules! list {
    ($order:literal) => {
        concat!("SELECT ", columns!(), wanted!(), " ORDER BY ", $order, " LIMIT $8 OFFSET $9")
    };
}
const COUNT: &str = concat!("SELECT count(*) AS total", wanted!());
const LIST_CREATED: &str = list!("e.created_at, e.id");
const LIST_CREATED_DOWN: &str = list!("e.created_at DESC, e.id DESC");
const LIST_UPDATED: &str = list!("e.updated_at, e.id");
const LIST_UPDATED_DOWN: &str = list!("e.updated_at DESC, e.id DESC");

/// Which entitlements are asked for: all that every given filter accepts, ended and future ones too, deleted ones never.
/// An empty filter accepts everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntitlementsQuery {
    /// Ids or keys.
    pub features: Vec<String>,
    pub kinds: Vec<EntitlementType>,
    pub customer_ids: Vec<String>,
    /// Of live customers; subject keys are none.
    pub customer_keys: Vec<String>,
    /// A customer's key is none.
    pub subject_keys: Vec<String>,
    pub order: EntitlementOrder,
    pub descending: bool,
}

/// By what a list is sorted; the id decides between equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntitlementOrder {
    #[default]
    CreatedAt,
    UpdatedAt,
}

/// Adds an entitlement. Whoever adds holds the customer's lock and has seen that nothing is in the way.
pub async fn insert(tx: &Transaction<'_>, entitlement: &Entitlement) -> Result<(), Fault> {
    let period = entitlement.kind.usage_period();
    let metered = entitlement.metered();
    let config = match &entitlement.kind {
        Kind::Static { config, .. } => Some(JsonText(config.clone())),
        Kind::Metered(_) | Kind::Boolean { .. } => None,
    };
    let parameters: sql::Parameters<'_> = &[
        &entitlement.namespace,
        &Id(entitlement.id),
        &Id(entitlement.customer_id),
        &Id(entitlement.feature_id),
        &entitlement.feature_key,
        &entitlement.kind.name().as_str(),
        &JsonText::of(&entitlement.metadata),
        &JsonText::of(&entitlement.annotations),
        &Micros(entitlement.active_from),
        &entitlement.active_to.map(Micros),
        &period.map(|period| Micros(period.anchor)),
        &period.map(|period| period.interval.as_str()),
        &config,
        &metered.map(|metered| metered.is_soft_limit),
        &metered.and_then(|metered| metered.issue_after_reset).map(Amount),
        &metered.and_then(|metered| metered.issue_after_reset_priority).map(i16::from),
        &metered.map(|metered| metered.preserve_overage_at_reset),
        &metered.map(|metered| Micros(metered.measure_from)),
        &Micros(entitlement.created_at),
        &Micros(entitlement.updated_at),
        &entitlement.deleted_at.map(Micros),
    ];
    sql::execute(tx, INSERT, parameters).await.map(drop)
}

/// Ends an entitlement.
pub async fn end(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    sql::execute(tx, END, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

/// Marks an entitlement as deleted.
pub async fn delete(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    sql::execute(tx, DELETE, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

/// By id, active or not, deleted never.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id: &str,
    lock: Lock,
) -> Result<Option<Entitlement>, Fault> {
    let row = sql::named(client, (FIND, FIND_FOR_UPDATE), lock, namespace, id).await?;
    row.as_ref().map(read).transpose()
}

/// What decides for a customer at an instant, by feature key.
pub async fn active_of_customer(
    client: &impl GenericClient,
    namespace: &str,
    customer_id: Ulid,
    at: Instant,
) -> Result<Vec<Entitlement>, Fault> {
    active(client, namespace, customer_id, None, at).await
}

/// What decides for a customer and a feature key at an instant.
pub async fn active_of_feature(
    client: &impl GenericClient,
    namespace: &str,
    customer_id: Ulid,
    feature_key: &str,
    at: Instant,
) -> Result<Option<Entitlement>, Fault> {
    if !sql::can_be_stored(feature_key) {
        return Ok(None);
    }
    Ok(active(client, namespace, customer_id, Some(feature_key), at).await?.pop())
}

async fn active(
    client: &impl GenericClient,
    namespace: &str,
    customer_id: Ulid,
    feature_key: Option<&str>,
    at: Instant,
) -> Result<Vec<Entitlement>, Fault> {
    let parameters: sql::Parameters<'_> = &[&namespace, &Id(customer_id), &feature_key, &Micros(at)];
    sql::rows(client, ACTIVE_OF_CUSTOMER, parameters).await?.iter().map(read).collect()
}

/// When something begins or ends for a customer, next after an instant.
pub async fn next_turn(
    client: &impl GenericClient,
    namespace: &str,
    customer_id: Ulid,
    at: Instant,
) -> Result<Option<Instant>, Fault> {
    let row = sql::row(client, NEXT_TURN, &[&namespace, &Id(customer_id), &Micros(at)]).await?;
    let turn: Option<Option<Micros>> = row.as_ref().map(|row| column(row, "turn")).transpose()?;
    Ok(turn.flatten().map(|Micros(at)| at))
}

/// What is active, or will be, for a customer and a feature key: nothing new may be made beside it.
pub async fn unended(
    tx: &Transaction<'_>,
    namespace: &str,
    customer_id: Ulid,
    feature_key: &str,
    at: Instant,
) -> Result<Option<Entitlement>, Fault> {
    let parameters: sql::Parameters<'_> = &[&namespace, &Id(customer_id), &feature_key, &Micros(at)];
    sql::row(tx, UNENDED, parameters).await?.as_ref().map(read).transpose()
}

/// Whatever stands on one of these features, ended ones too, by id.
pub async fn using_features(
    client: &impl GenericClient,
    namespace: &str,
    feature_ids: &[Ulid],
) -> Result<Vec<Entitlement>, Fault> {
    let ids: Vec<Id> = feature_ids.iter().copied().map(Id).collect();
    sql::rows(client, USING_FEATURES, &[&namespace, &ids]).await?.iter().map(read).collect()
}

/// A page of a list; `active_at`: only of what is active then.
pub async fn list(
    client: &impl GenericClient,
    namespace: &str,
    query: &EntitlementsQuery,
    active_at: Option<Instant>,
    page: PageAsk,
) -> Result<Page<Entitlement>, Fault> {
    let kinds: Vec<&str> = query.kinds.iter().map(|kind| kind.as_str()).collect();
    let kinds = (!kinds.is_empty()).then_some(kinds);
    let (features, ids) = (sql::any_of(&query.features), sql::any_of(&query.customer_ids));
    let (keys, subjects) = (sql::any_of(&query.customer_keys), sql::any_of(&query.subject_keys));
    let active_at = active_at.map(Micros);
    let (limit, offset) = page.in_rows();
    let parameters: sql::Parameters<'_> =
        &[&namespace, &features, &kinds, &active_at, &ids, &keys, &subjects, &limit, &offset];
    let sql = match (query.order, query.descending) {
        (EntitlementOrder::CreatedAt, false) => LIST_CREATED,
        (EntitlementOrder::CreatedAt, true) => LIST_CREATED_DOWN,
        (EntitlementOrder::UpdatedAt, false) => LIST_UPDATED,
        (EntitlementOrder::UpdatedAt, true) => LIST_UPDATED_DOWN,
    };
    let total = sql::total(client, COUNT, &parameters[..7]).await?;
    let items = sql::rows(client, sql, parameters).await?.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// A JSON text as jsonb writes it; `None` where jsonb does not take it.
pub async fn normalised(client: &impl GenericClient, json: &str) -> Result<Option<String>, Fault> {
    let text = JsonText(json.to_string());
    let asked = async {
        let statement = client.prepare_cached(NORMALISE).await?;
        match client.query_one(&statement, &[&text]).await {
            Ok(row) => Ok(Some(row)),
            Err(error) if is_about_the_text(&error) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let row = sql::answer(asked).await?;
    row.map(|row| column::<JsonText>(&row, "config").map(|JsonText(text)| text)).transpose()
}

/// Data exceptions: no JSON, a character or a number that jsonb cannot hold, or nested too deep for the server.
fn is_about_the_text(error: &Error) -> bool {
    let code = error.code();
    code.is_some_and(|code| code.code().starts_with("22") || *code == SqlState::STATEMENT_TOO_COMPLEX)
}

fn read(row: &Row) -> Result<Entitlement, Fault> {
    let [Id(id), Id(customer_id), Id(feature_id)] =
        [column(row, "id")?, column(row, "customer_id")?, column(row, "feature_id")?];
    let [Micros(active_from), Micros(created_at), Micros(updated_at)] =
        [column(row, "active_from")?, column(row, "created_at")?, column(row, "updated_at")?];
    let [active_to, deleted_at]: [Option<Micros>; 2] = [column(row, "active_to")?, column(row, "deleted_at")?];
    Ok(Entitlement {
        id,
        namespace: column(row, "namespace")?,
        customer_id,
        feature_id,
        feature_key: column(row, "feature_key")?,
        kind: read_kind(row)?,
        metadata: column::<JsonText>(row, "metadata")?.read()?,
        annotations: column::<JsonText>(row, "annotations")?.read()?,
        active_from,
        active_to: active_to.map(|Micros(at)| at),
        created_at,
        updated_at,
        deleted_at: deleted_at.map(|Micros(at)| at),
    })
}

fn read_kind(row: &Row) -> Result<Kind, Fault> {
    let usage_period = recurrence(column(row, "period_anchor")?, column(row, "period_interval")?)?;
    let foreign = || Fault::give_up(sql::SYSTEM, "an entitlement that weir did not write");
    Ok(match EntitlementType::parse(column(row, "kind")?).ok_or_else(foreign)? {
        EntitlementType::Metered => Kind::Metered(read_metered(row, usage_period.ok_or_else(foreign)?)?),
        EntitlementType::Static => {
            let JsonText(config) = column(row, "config")?;
            Kind::Static { config, usage_period }
        }
        EntitlementType::Boolean => Kind::Boolean { usage_period },
    })
}

fn read_metered(row: &Row, usage_period: Recurrence) -> Result<Metered, Fault> {
    let Micros(measure_from) = column(row, "measure_from")?;
    let issue: Option<Amount> = column(row, "issue_after_reset")?;
    let priority: Option<i16> = column(row, "issue_after_reset_priority")?;
    Ok(Metered {
        is_soft_limit: column(row, "is_soft_limit")?,
        issue_after_reset: issue.map(|Amount(amount)| amount),
        issue_after_reset_priority: priority.map(priority_of).transpose()?,
        preserve_overage_at_reset: column(row, "preserve_overage_at_reset")?,
        measure_from,
        usage_period,
    })
}

/// A recurrence of two columns; both of them or none.
pub(super) fn recurrence(anchor: Option<Micros>, interval: Option<&str>) -> Result<Option<Recurrence>, Fault> {
    let (Some(Micros(anchor)), Some(interval)) = (anchor, interval) else { return Ok(None) };
    let unreadable = |error| Fault::give_up(sql::SYSTEM, format!("a row has the interval {interval}: {error}"));
    Ok(Some(Recurrence { anchor, interval: Interval::parse(interval).map_err(unreadable)? }))
}

pub(super) fn priority_of(column: i16) -> Result<u8, Fault> {
    u8::try_from(column).map_err(|_| Fault::give_up(sql::SYSTEM, format!("a row has the priority {column}")))
}

#[cfg(test)]
pub(super) mod tests;
