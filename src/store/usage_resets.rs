//! Resets of entitlements by hand; those at the ends of usage periods are computed.

use super::database::Transaction;
use super::sql::{self, column};
use super::types::{Id, Micros};
use crate::domain::entitlement::terms::Reset;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use std::collections::BTreeMap;
use ulid::Ulid;

const INSERT: &str = "INSERT INTO usage_resets (namespace, entitlement_id, at, anchor, preserve_overage, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const OF_ENTITLEMENTS: &str = "SELECT entitlement_id, at, anchor, preserve_overage FROM usage_resets \
    WHERE namespace = $1 AND entitlement_id = ANY($2) ORDER BY entitlement_id, at";

/// Adds a reset. Whoever adds holds the entitlement's lock and has seen that it is the latest.
pub async fn insert(
    tx: &Transaction<'_>,
    namespace: &str,
    entitlement_id: Ulid,
    reset: &Reset,
    now: Instant,
) -> Result<(), Fault> {
    let anchor = reset.anchor.map(Micros);
    let parameters: sql::Parameters<'_> =
        &[&namespace, &Id(entitlement_id), &Micros(reset.at), &anchor, &reset.preserve_overage, &Micros(now)];
    sql::execute(tx, INSERT, parameters).await.map(drop)
}

/// Those of each of these entitlements, ascending. An entitlement without any is not in the answer.
pub async fn of_entitlements(
    client: &impl GenericClient,
    namespace: &str,
    entitlement_ids: &[Ulid],
) -> Result<BTreeMap<Ulid, Vec<Reset>>, Fault> {
    let ids: Vec<Id> = entitlement_ids.iter().copied().map(Id).collect();
    let mut resets: BTreeMap<Ulid, Vec<Reset>> = BTreeMap::new();
    for row in sql::rows(client, OF_ENTITLEMENTS, &[&namespace, &ids]).await? {
        let Id(entitlement_id) = column(&row, "entitlement_id")?;
        let Micros(at) = column(&row, "at")?;
        let anchor: Option<Micros> = column(&row, "anchor")?;
        let preserve_overage = column(&row, "preserve_overage")?;
        let reset = Reset { at, anchor: anchor.map(|Micros(at)| at), preserve_overage };
        resets.entry(entitlement_id).or_default().push(reset);
    }
    Ok(resets)
}

#[cfg(test)]
mod tests;
