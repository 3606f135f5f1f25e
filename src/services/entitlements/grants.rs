//! Grants: given, voided, found and listed.

use super::audit::grant_change;
use super::find::{no_customer, which, which_for_update};
use super::{EntitlementError, Entitlements, GrantDraft, GrantsQuery, NotMetered, ShownGrant, Which};
use crate::domain::entitlement::record::{Entitlement, GrantRecord, Metered};
use crate::domain::time::Instant;
use crate::services::writes::{Answered, Caller, Done, Kept};
use crate::store::page::{Page, PageAsk};
use crate::store::{GenericClient, Lock, Transaction, customers, entitlements, grants, usage_resets};
use ulid::Ulid;

impl Entitlements {
    /// Gives a grant to a metered entitlement. `show` makes the answer, which a repeat with the same key gets again.
    pub async fn create_grant(
        &self,
        caller: &Caller,
        which: Which<'_>,
        draft: GrantDraft,
        show: impl FnOnce(&ShownGrant) -> Kept,
    ) -> Result<Answered, EntitlementError> {
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            let entitlement = which_for_update(tx, &caller.namespace, which, now).await?;
            *concerned = Some(entitlement.customer_id);
            let metered = entitlement.metered().ok_or(NotMetered(entitlement.kind.name()))?;
            if entitlement.is_managed() {
                return Err(EntitlementError::Managed);
            }
            let period_from = period_from(tx, &entitlement, metered, now).await?;
            let (record, change) = self.give(tx, &entitlement, draft, period_from, now).await?;
            Ok(Done { kept: show(&ShownGrant::new(record, now)), audit: vec![change], controls: Vec::new() })
        })
        .await
    }

    /// Takes a grant's effect away, from `at` on or from now on.
    pub async fn void_grant(
        &self,
        caller: &Caller,
        id: &str,
        at: Option<Instant>,
        show: Kept,
    ) -> Result<Answered, EntitlementError> {
        let not_found = || EntitlementError::GrantNotFound(id.to_string());
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            let found = grants::find(tx, &caller.namespace, id, Lock::None).await?.ok_or_else(not_found)?;
            let entitlement_id = found.entitlement_id.to_string();
            let entitlement = entitlements::find(tx, &caller.namespace, &entitlement_id, Lock::ForUpdate).await?;
            let entitlement = entitlement.ok_or_else(not_found)?;
            *concerned = Some(entitlement.customer_id);
            let metered = entitlement.metered().ok_or(NotMetered(entitlement.kind.name()))?;
            let before = grants::find(tx, &caller.namespace, id, Lock::ForUpdate).await?.ok_or_else(not_found)?;
            let period_from = period_from(tx, &entitlement, metered, now).await?;
            let after = before.void(at, period_from, now)?;
            grants::void(tx, &after).await?;
            let change = grant_change("grant.void", Some(&before), Some(&after));
            Ok(Done { kept: show, audit: vec![change], controls: Vec::new() })
        })
        .await
    }

    /// A page of an entitlement's grants; what is not metered has none. The query's entitlement is set here.
    pub async fn grants_of(
        &self,
        namespace: &str,
        meant: Which<'_>,
        query: GrantsQuery,
        page: PageAsk,
    ) -> Result<Page<ShownGrant>, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let now = self.now();
        let entitlement_id = Some(which(&client, namespace, meant, now).await?.id);
        list(&client, namespace, GrantsQuery { entitlement_id, ..query }, page, now).await
    }

    /// A page of all grants. A customer that is not there is refused; a deleted one has none.
    pub async fn list_grants(
        &self,
        namespace: &str,
        query: GrantsQuery,
        page: PageAsk,
    ) -> Result<Page<ShownGrant>, EntitlementError> {
        self.gate.check()?;
        list(&self.database.client().await?, namespace, query, page, self.now()).await
    }
}

impl ShownGrant {
    fn new(record: GrantRecord, now: Instant) -> Self {
        let next_recurrence = record.grant.recurrence.as_ref().and_then(|recurrence| recurrence.next_from(now));
        Self { record, next_recurrence }
    }
}

/// Where the usage period begins that is running now.
async fn period_from(
    tx: &Transaction<'_>,
    entitlement: &Entitlement,
    metered: &Metered,
    now: Instant,
) -> Result<Instant, EntitlementError> {
    let resets = usage_resets::of_entitlements(tx, &entitlement.namespace, &[entitlement.id]).await?;
    let resets = resets.get(&entitlement.id).map_or(&[][..], Vec::as_slice);
    Ok(metered.usage_period_at(resets, now).start)
}

async fn list(
    client: &impl GenericClient,
    namespace: &str,
    query: GrantsQuery,
    page: PageAsk,
    now: Instant,
) -> Result<Page<ShownGrant>, EntitlementError> {
    let customer_ids = match query.customers.is_empty() {
        true => None,
        false => Some(live_customers(client, namespace, &query.customers).await?),
    };
    let Page { items, total } = grants::list(client, namespace, &query, customer_ids.as_deref(), page).await?;
    let items = items.into_iter().map(|record| ShownGrant::new(record, now)).collect();
    Ok(Page { items, total })
}

async fn live_customers(
    client: &impl GenericClient,
    namespace: &str,
    ids_or_keys: &[String],
) -> Result<Vec<Ulid>, EntitlementError> {
    let mut live = Vec::new();
    for id_or_key in ids_or_keys {
        let found = customers::find(client, namespace, id_or_key, Lock::None).await?;
        let customer = found.ok_or_else(|| no_customer(namespace, id_or_key))?;
        live.extend(customer.deleted_at.is_none().then_some(customer.id));
    }
    Ok(live)
}
