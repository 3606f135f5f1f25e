//! Resets by hand.

use super::audit::reset_change;
use super::find::which_for_update;
use super::{EntitlementError, Entitlements, NotMetered, ResetDraft, Which};
use crate::domain::time::Instant;
use crate::services::writes::{Answered, Caller, Done, Kept};
use crate::store::{Transaction, usage_resets};
use ulid::Ulid;

impl Entitlements {
    /// Ends the usage period that is running and begins another.
    pub async fn reset(
        &self,
        caller: &Caller,
        which: Which<'_>,
        draft: ResetDraft,
        show: Kept,
    ) -> Result<Answered, EntitlementError> {
        self.write(caller, async |tx: &Transaction<'_>, now: Instant, concerned: &mut Option<Ulid>| {
            let entitlement = which_for_update(tx, &caller.namespace, which, now).await?;
            *concerned = Some(entitlement.customer_id);
            let metered = entitlement.metered().ok_or(NotMetered(entitlement.kind.name()))?;
            if entitlement.is_managed() {
                return Err(EntitlementError::Managed);
            }
            let resets = usage_resets::of_entitlements(tx, &caller.namespace, &[entitlement.id]).await?;
            let resets = resets.get(&entitlement.id).map_or(&[][..], Vec::as_slice);
            let reset = draft.create(metered, resets, now)?;
            usage_resets::insert(tx, &caller.namespace, entitlement.id, &reset, now).await?;
            let change = reset_change(entitlement.id, &reset);
            Ok(Done { kept: show, audit: vec![change], controls: Vec::new() })
        })
        .await
    }
}
