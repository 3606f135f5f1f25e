//! New entitlements, and the end of old ones.

use super::audit::{entitlement_change, grant_change};
use super::find::{live_owner, locked, which_for_update};
use super::{EntitlementDraft, EntitlementError, EntitlementRefusal, Entitlements, GrantDraft, KindDraft, Owner};
use super::{Shown, Which};
use crate::domain::catalog::feature::Feature;
use crate::domain::customer::Customer;
use crate::domain::entitlement::draft::FeatureName;
use crate::domain::entitlement::record::{Entitlement, GrantRecord};
use crate::domain::time::Instant;
use crate::services::writes::{Answered, Caller, Change, Done, Kept};
use crate::store::{Lock, Transaction, entitlements, features, grants};
use std::sync::Arc;
use ulid::Ulid;

impl Entitlements {
    /// Makes an entitlement, active from now on, with its default grant or the draft's grants. `show` makes the answer,
    /// which a repeat with the same key gets again.
    pub async fn create(
        &self,
        caller: &Caller,
        owner: Owner<'_>,
        draft: EntitlementDraft,
        show: impl FnOnce(&Shown) -> Kept,
    ) -> Result<Answered, EntitlementError> {
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            draft.check()?;
            let customer = live_owner(tx, &caller.namespace, owner).await?;
            let customer = locked(tx, &caller.namespace, customer.id).await?;
            *concerned = Some(customer.id);
            let feature = live_feature(tx, &caller.namespace, draft.feature()?).await?;
            let (shown, audit) = self.make(tx, customer, feature, draft, now).await?;
            Ok(Done { kept: show(&shown), audit, controls: Vec::new() })
        })
        .await
    }

    /// Ends an entitlement that has no end yet, and makes another for the same customer and feature key in its place.
    /// The grants of the old one are deleted; nothing is carried over.
    pub async fn replace(
        &self,
        caller: &Caller,
        owner: Owner<'_>,
        id_or_feature_key: &str,
        draft: EntitlementDraft,
        show: impl FnOnce(&Shown) -> Kept,
    ) -> Result<Answered, EntitlementError> {
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            draft.check()?;
            let customer = live_owner(tx, &caller.namespace, owner).await?;
            let customer = locked(tx, &caller.namespace, customer.id).await?;
            *concerned = Some(customer.id);
            let old = which_for_update(tx, &caller.namespace, Which::Of(owner, id_or_feature_key), now).await?;
            let feature = live_feature(tx, &caller.namespace, draft.feature()?).await?;
            replaceable(&old, &customer, &feature)?;
            let mut audit = vec![end(tx, &old, now).await?];
            let (shown, made) = self.make(tx, customer, feature, draft, now).await?;
            audit.extend(made);
            Ok(Done { kept: show(&shown), audit, controls: Vec::new() })
        })
        .await
    }

    /// Deletes an entitlement with its grants.
    pub async fn delete(&self, caller: &Caller, which: Which<'_>, show: Kept) -> Result<Answered, EntitlementError> {
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            let old = which_for_update(tx, &caller.namespace, which, now).await?;
            *concerned = Some(old.customer_id);
            if old.is_managed() {
                return Err(EntitlementError::Managed);
            }
            entitlements::delete(tx, &old.namespace, old.id, now).await?;
            grants::delete_of_entitlement(tx, &old.namespace, old.id, now).await?;
            let change = entitlement_change("entitlement.delete", Some(&old), None);
            Ok(Done { kept: show, audit: vec![change], controls: Vec::new() })
        })
        .await
    }

    /// The entitlement with its grants. The caller holds the customer's lock.
    async fn make(
        &self,
        tx: &Transaction<'_>,
        customer: Customer,
        feature: Feature,
        mut draft: EntitlementDraft,
        now: Instant,
    ) -> Result<(Shown, Vec<Change>), EntitlementError> {
        let grants = settle(tx, &mut draft).await?;
        let entitlement = draft.create(&feature, &customer, self.ids.next(now), now)?;
        let key = &entitlement.feature_key;
        if let Some(other) = entitlements::unended(tx, &customer.namespace, customer.id, key, now).await? {
            return Err(EntitlementError::Exists { id: other.id, feature_id: feature.id, customer_id: customer.id });
        }
        entitlements::insert(tx, &entitlement).await?;
        let mut audit = vec![entitlement_change("entitlement.create", None, Some(&entitlement))];
        if let Some(metered) = entitlement.metered() {
            let period_from = metered.usage_period_at(&[], now).start;
            for grant in metered.default_grant(now).into_iter().chain(grants) {
                audit.push(self.give(tx, &entitlement, grant, period_from, now).await?.1);
            }
        }
        Ok((Shown::new(entitlement, Arc::new(customer), &[], now), audit))
    }

    /// A new grant, with its line for the audit.
    pub(super) async fn give(
        &self,
        tx: &Transaction<'_>,
        entitlement: &Entitlement,
        draft: GrantDraft,
        period_from: Instant,
        now: Instant,
    ) -> Result<(GrantRecord, Change), EntitlementError> {
        let id = self.ids.next(now);
        let record = draft.create(&entitlement.namespace, entitlement.id, period_from, id, now)?;
        grants::insert(tx, &record).await?;
        let change = grant_change("grant.create", None, Some(&record));
        Ok((record, change))
    }
}

/// Takes the grants out of a draft, and writes its configuration as it will be read.
async fn settle(tx: &Transaction<'_>, draft: &mut EntitlementDraft) -> Result<Vec<GrantDraft>, EntitlementError> {
    match &mut draft.kind {
        KindDraft::Metered(metered) => Ok(std::mem::take(&mut metered.grants)),
        KindDraft::Static { config, .. } => {
            let normalised = entitlements::normalised(tx, config).await?;
            *config = normalised.ok_or(EntitlementRefusal::InvalidConfig)?;
            Ok(Vec::new())
        }
        KindDraft::Boolean { .. } => Ok(Vec::new()),
    }
}

/// The feature, which is not archived before this transaction ends: its meter could be deleted then.
async fn live_feature(
    tx: &Transaction<'_>,
    namespace: &str,
    name: FeatureName<'_>,
) -> Result<Feature, EntitlementError> {
    let found = features::find(tx, namespace, name.as_str(), Lock::None).await?;
    let is_meant = |feature: &Feature| match name {
        FeatureName::Id(id) => feature.archived_at.is_none() && feature.id.to_string() == id,
        FeatureName::Key(key) => feature.archived_at.is_none() && feature.key == key,
    };
    let not_found = || EntitlementError::FeatureNotFound(name.as_str().to_string());
    let feature = found.filter(is_meant).ok_or_else(not_found)?;
    if !features::hold(tx, namespace, feature.id).await? {
        return Err(not_found());
    }
    Ok(feature)
}

fn replaceable(old: &Entitlement, customer: &Customer, feature: &Feature) -> Result<(), EntitlementError> {
    if old.is_managed() {
        return Err(EntitlementError::Managed);
    }
    if old.feature_key != feature.key {
        return Err(EntitlementRefusal::OtherFeature.into());
    }
    if old.customer_id != customer.id {
        return Err(EntitlementRefusal::OtherCustomer.into());
    }
    match old.active_to {
        None => Ok(()),
        Some(_) => Err(EntitlementRefusal::Ended(old.id).into()),
    }
}

async fn end(tx: &Transaction<'_>, old: &Entitlement, now: Instant) -> Result<Change, EntitlementError> {
    entitlements::end(tx, &old.namespace, old.id, now).await?;
    grants::delete_of_entitlement(tx, &old.namespace, old.id, now).await?;
    let ended = Entitlement { active_to: Some(now), updated_at: now, ..old.clone() };
    Ok(entitlement_change("entitlement.end", Some(old), Some(&ended)))
}
