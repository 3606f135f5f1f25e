//! Who and what is meant, and what is needed to show it.

use super::{EntitlementError, Entitlements, Owner, Shown, Which};
use crate::domain::customer::Customer;
use crate::domain::entitlement::record::Entitlement;
use crate::domain::entitlement::terms::Reset;
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use crate::services::customers::CustomerError;
use crate::services::subjects::SubjectError;
use crate::store::{GenericClient, Lock, Transaction, customers, entitlements, subjects, usage_resets};
use std::collections::BTreeMap;
use std::sync::Arc;
use ulid::Ulid;

impl Entitlements {
    /// By id, active or not.
    pub async fn get(&self, namespace: &str, id: &str) -> Result<Shown, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let found = which(&client, namespace, Which::Id(id), self.now()).await?;
        show_one(&client, namespace, found, self.now()).await
    }

    /// By id, whoever's it is and active or not; otherwise what is active at `at`, or now, for the owner under this
    /// feature key. The owner must be there.
    pub async fn find_of_customer(
        &self,
        namespace: &str,
        owner: Owner<'_>,
        id_or_feature_key: &str,
        at: Option<Instant>,
    ) -> Result<Option<Shown>, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let at = at.unwrap_or_else(|| self.now());
        let Some(found) = of_owner(&client, namespace, owner, id_or_feature_key, at).await? else { return Ok(None) };
        show_one(&client, namespace, found, self.now()).await.map(Some)
    }

    /// The customer that is meant; a deleted one is refused.
    pub async fn owner(&self, namespace: &str, owner: Owner<'_>) -> Result<Customer, EntitlementError> {
        self.gate.check()?;
        live_owner(&self.database.client().await?, namespace, owner).await
    }
}

/// The live customer that is meant.
pub(super) async fn live_owner(
    client: &impl GenericClient,
    namespace: &str,
    owner: Owner<'_>,
) -> Result<Customer, EntitlementError> {
    let in_namespace = || namespace.to_string();
    match owner {
        Owner::Customer(id_or_key) => {
            let found = customers::find(client, namespace, id_or_key, Lock::None).await?;
            live(found.ok_or_else(|| no_customer(namespace, id_or_key))?)
        }
        Owner::Subject(id_or_key) => {
            let found = subjects::find(client, namespace, id_or_key, Lock::None).await?;
            let not_found = || SubjectError::NotFound { namespace: in_namespace(), id_or_key: id_or_key.to_string() };
            let subject = found.ok_or_else(not_found)?;
            if subject.deleted_at.is_some() {
                return Err(EntitlementError::SubjectDeleted { namespace: in_namespace(), id: subject.id });
            }
            let mut owners = customers::owners(client, namespace, &[&subject.key]).await?;
            let ownerless =
                || EntitlementError::SubjectOwnerless { namespace: in_namespace(), key: subject.key.clone() };
            owners.remove(&subject.key).ok_or_else(ownerless)
        }
    }
}

pub(super) fn no_customer(namespace: &str, id_or_key: &str) -> CustomerError {
    CustomerError::NotFound { namespace: namespace.to_string(), id_or_key: id_or_key.to_string() }
}

fn live(customer: Customer) -> Result<Customer, EntitlementError> {
    match customer.deleted_at {
        None => Ok(customer),
        Some(_) => Err(CustomerError::Deleted { namespace: customer.namespace, id: customer.id }.into()),
    }
}

/// The same customer, locked: nobody makes an entitlement of it, changes or deletes it before this transaction ends.
pub(super) async fn locked(
    tx: &Transaction<'_>,
    namespace: &str,
    customer_id: Ulid,
) -> Result<Customer, EntitlementError> {
    let found = customers::find(tx, namespace, &customer_id.to_string(), Lock::ForUpdate).await?;
    live(found.ok_or_else(|| missing("customer", customer_id))?)
}

/// The entitlement that is meant, at an instant.
pub(super) async fn which(
    client: &impl GenericClient,
    namespace: &str,
    which: Which<'_>,
    at: Instant,
) -> Result<Entitlement, EntitlementError> {
    let (found, name) = match which {
        Which::Id(id) => (entitlements::find(client, namespace, id, Lock::None).await?, id),
        Which::Of(owner, name) => (of_owner(client, namespace, owner, name, at).await?, name),
    };
    found.ok_or_else(|| not_found(namespace, name))
}

/// The entitlement that is meant, locked.
pub(super) async fn which_for_update(
    tx: &Transaction<'_>,
    namespace: &str,
    meant: Which<'_>,
    at: Instant,
) -> Result<Entitlement, EntitlementError> {
    let id = which(tx, namespace, meant, at).await?.id.to_string();
    let found = entitlements::find(tx, namespace, &id, Lock::ForUpdate).await?;
    found.ok_or_else(|| not_found(namespace, &id))
}

pub(super) fn not_found(namespace: &str, id_or_key: &str) -> EntitlementError {
    EntitlementError::NotFound { namespace: namespace.to_string(), id_or_key: id_or_key.to_string() }
}

async fn of_owner(
    client: &impl GenericClient,
    namespace: &str,
    owner: Owner<'_>,
    id_or_feature_key: &str,
    at: Instant,
) -> Result<Option<Entitlement>, EntitlementError> {
    let customer = live_owner(client, namespace, owner).await?;
    match entitlements::find(client, namespace, id_or_feature_key, Lock::None).await? {
        Some(found) => Ok(Some(found)),
        None => Ok(entitlements::active_of_feature(client, namespace, customer.id, id_or_feature_key, at).await?),
    }
}

/// With what representations need beside it.
pub(super) async fn show_one(
    client: &impl GenericClient,
    namespace: &str,
    entitlement: Entitlement,
    now: Instant,
) -> Result<Shown, EntitlementError> {
    let mut shown = show(client, namespace, vec![entitlement], now).await?;
    Ok(shown.pop().expect("one in, one out"))
}

/// Each with what representations need beside it, in the same order.
pub(super) async fn show(
    client: &impl GenericClient,
    namespace: &str,
    entitlements: Vec<Entitlement>,
    now: Instant,
) -> Result<Vec<Shown>, EntitlementError> {
    let mut customer_ids: Vec<Ulid> = entitlements.iter().map(|it| it.customer_id).collect();
    customer_ids.sort_unstable();
    customer_ids.dedup();
    let customers = customers::by_ids(client, namespace, &customer_ids).await?.into_iter();
    let customers: BTreeMap<Ulid, Arc<Customer>> = customers.map(|customer| (customer.id, customer.into())).collect();
    let metered: Vec<Ulid> = entitlements.iter().filter(|it| it.metered().is_some()).map(|it| it.id).collect();
    let resets = match metered.is_empty() {
        true => BTreeMap::new(),
        false => usage_resets::of_entitlements(client, namespace, &metered).await?,
    };
    let shown = |entitlement: Entitlement| {
        let customer = customers.get(&entitlement.customer_id);
        let customer = customer.ok_or_else(|| missing("customer", entitlement.customer_id))?.clone();
        let resets = resets.get(&entitlement.id).map_or(&[][..], Vec::as_slice);
        Ok(Shown::new(entitlement, customer, resets, now))
    };
    entitlements.into_iter().map(shown).collect()
}

impl Shown {
    pub(super) fn new(entitlement: Entitlement, customer: Arc<Customer>, resets: &[Reset], now: Instant) -> Self {
        Self {
            feature_key: entitlement.feature_key.clone(),
            last_reset: entitlement.last_reset(resets),
            current_period: entitlement.usage_period_at(resets, now),
            entitlement,
            customer,
        }
    }
}

/// Rows are never taken out, so one that is named is there.
pub(super) fn missing(what: &str, id: Ulid) -> Fault {
    Fault::give_up("database", format!("an entitlement names the {what} {id}, which is not there"))
}
