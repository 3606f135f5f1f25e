//! As the audit shows entitlements, grants and resets: the names of v2, everything that is unset as null, amounts as
//! texts.

use crate::domain::entitlement::record::{Entitlement, GrantRecord, Kind};
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::entitlement::terms::Reset;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::services::writes::Change;
use serde_json::{Value, json};
use ulid::Ulid;

pub fn entitlement_change(
    operation: &'static str,
    before: Option<&Entitlement>,
    after: Option<&Entitlement>,
) -> Change {
    let id = after.or(before).map(|entitlement| entitlement.id.to_string());
    let entity_id = id.expect("a change has a before or an after");
    let shown = |entitlement: Option<&Entitlement>| entitlement.map(|it| entitlement_shown(it).to_string());
    Change { operation, entity_kind: "entitlement", entity_id, before: shown(before), after: shown(after) }
}

pub fn grant_change(operation: &'static str, before: Option<&GrantRecord>, after: Option<&GrantRecord>) -> Change {
    let id = after.or(before).map(|record| record.grant.id.to_string());
    let entity_id = id.expect("a change has a before or an after");
    let shown = |record: Option<&GrantRecord>| record.map(|it| grant_shown(it).to_string());
    Change { operation, entity_kind: "grant", entity_id, before: shown(before), after: shown(after) }
}

pub fn reset_change(entitlement_id: Ulid, reset: &Reset) -> Change {
    let shown = json!({
        "effectiveAt": reset.at.to_rfc3339(),
        "anchor": reset.anchor.map(Instant::to_rfc3339),
        "preserveOverage": reset.preserve_overage,
    });
    Change {
        operation: "entitlement.reset",
        entity_kind: "entitlement",
        entity_id: entitlement_id.to_string(),
        before: None,
        after: Some(shown.to_string()),
    }
}

fn entitlement_shown(entitlement: &Entitlement) -> Value {
    let metered = entitlement.metered();
    let config = match &entitlement.kind {
        Kind::Static { config, .. } => Some(config),
        Kind::Metered(_) | Kind::Boolean { .. } => None,
    };
    json!({
        "id": entitlement.id.to_string(),
        "type": entitlement.kind.name().as_str(),
        "customerId": entitlement.customer_id.to_string(),
        "featureId": entitlement.feature_id.to_string(),
        "featureKey": entitlement.feature_key,
        "metadata": entitlement.metadata,
        "annotations": entitlement.annotations,
        "activeFrom": entitlement.active_from.to_rfc3339(),
        "activeTo": entitlement.active_to.map(Instant::to_rfc3339),
        "usagePeriod": entitlement.kind.usage_period().map(recurrence_shown),
        "config": config,
        "isSoftLimit": metered.map(|metered| metered.is_soft_limit),
        "issueAfterReset": metered.and_then(|metered| metered.issue_after_reset).map(Quantity::to_plain),
        "issueAfterResetPriority": metered.and_then(|metered| metered.issue_after_reset_priority),
        "preserveOverageAtReset": metered.map(|metered| metered.preserve_overage_at_reset),
        "measureUsageFrom": metered.map(|metered| metered.measure_from.to_rfc3339()),
        "createdAt": entitlement.created_at.to_rfc3339(),
        "updatedAt": entitlement.updated_at.to_rfc3339(),
        "deletedAt": entitlement.deleted_at.map(Instant::to_rfc3339),
    })
}

fn grant_shown(GrantRecord { grant, entitlement_id, expiration, metadata, updated_at, .. }: &GrantRecord) -> Value {
    json!({
        "id": grant.id.to_string(),
        "entitlementId": entitlement_id.to_string(),
        "amount": grant.amount.to_plain(),
        "priority": grant.priority,
        "effectiveAt": grant.effective_at.to_rfc3339(),
        "expiration": expiration.map(|it| json!({ "count": it.count, "duration": it.unit.as_str() })),
        "expiresAt": grant.expires_at.map(Instant::to_rfc3339),
        "minRolloverAmount": grant.min_rollover.to_plain(),
        "maxRolloverAmount": grant.max_rollover.to_plain(),
        "recurrence": grant.recurrence.as_ref().map(recurrence_shown),
        "metadata": metadata,
        "voidedAt": grant.voided_at.map(Instant::to_rfc3339),
        "createdAt": grant.created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })
}

fn recurrence_shown(recurrence: &Recurrence) -> Value {
    json!({ "anchor": recurrence.anchor.to_rfc3339(), "interval": recurrence.interval.as_str() })
}
