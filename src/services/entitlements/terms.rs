//! The terms of metered entitlements: all that decides a balance, but for the usage.

use super::find::missing;
use super::{EntitlementError, Entitlements};
use crate::domain::entitlement::grant::Grant;
use crate::domain::entitlement::record::{Entitlement, Metered};
use crate::domain::entitlement::terms::{Reset, Terms};
use crate::domain::metering::Aggregation;
use crate::store::{GenericClient, Lock, features, grants, meters, usage_resets};
use std::collections::BTreeMap;
use ulid::Ulid;

impl Entitlements {
    /// What decides the balance of each of these, but for the usage. Those that are not metered are left out.
    pub async fn terms(
        &self,
        namespace: &str,
        entitlements: &[&Entitlement],
    ) -> Result<BTreeMap<Ulid, Terms>, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let metered: Vec<_> = entitlements.iter().filter_map(|it| it.metered().map(|metered| (*it, metered))).collect();
        let ids: Vec<Ulid> = metered.iter().map(|(it, _)| it.id).collect();
        let mut resets = usage_resets::of_entitlements(&client, namespace, &ids).await?;
        let mut given: BTreeMap<Ulid, Vec<_>> = BTreeMap::new();
        for record in grants::of_entitlements(&client, namespace, &ids, true).await? {
            given.entry(record.entitlement_id).or_default().push(record.grant);
        }
        let aggregations = aggregations(&client, namespace, metered.iter().map(|(it, _)| it.feature_id)).await?;
        let terms = |(it, metered): &(&Entitlement, &_)| terms_of(it, metered, &aggregations, &mut resets, &mut given);
        metered.iter().map(terms).collect()
    }
}

/// How the meters of these features count. Features archived and meters deleted since then count as before.
async fn aggregations(
    client: &impl GenericClient,
    namespace: &str,
    feature_ids: impl Iterator<Item = Ulid>,
) -> Result<BTreeMap<Ulid, Aggregation>, EntitlementError> {
    let mut ids: Vec<Ulid> = feature_ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let mut aggregations = BTreeMap::new();
    for feature in features::by_ids(client, namespace, &ids).await? {
        let Some(meter_id) = feature.meter_id else { continue };
        let meter = meters::find(client, namespace, &meter_id.to_string(), Lock::None).await?;
        let meter = meter.ok_or_else(|| missing("meter", meter_id))?.meter;
        aggregations.insert(feature.id, meter.aggregation);
    }
    Ok(aggregations)
}

fn terms_of(
    entitlement: &Entitlement,
    metered: &Metered,
    aggregations: &BTreeMap<Ulid, Aggregation>,
    resets: &mut BTreeMap<Ulid, Vec<Reset>>,
    grants: &mut BTreeMap<Ulid, Vec<Grant>>,
) -> Result<(Ulid, Terms), EntitlementError> {
    let aggregation = aggregations.get(&entitlement.feature_id);
    let terms = Terms {
        aggregation: *aggregation.ok_or_else(|| missing("meter of feature", entitlement.feature_id))?,
        measure_from: metered.measure_from,
        period: metered.usage_period.clone(),
        preserve_overage_at_reset: metered.preserve_overage_at_reset,
        resets: resets.remove(&entitlement.id).unwrap_or_default(),
        grants: grants.remove(&entitlement.id).unwrap_or_default(),
    };
    Ok((entitlement.id, terms))
}
