//! Usage for the burn-down: as few questions to the usage store as its stretches allow.

use super::{BalanceError, Balances};
use crate::domain::entitlement::burndown::Need;
use crate::domain::entitlement::layers::{Layer, cuts, layers};
use crate::domain::metering::Meter;
use crate::domain::metering::query::{TextFilter, UsageQuery, UsageRow};
use crate::domain::metering::window::Windows;
use crate::domain::position::Frontier;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::ports::usage_store::UsageAnswer;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose usage of what.
#[derive(Debug)]
pub(super) struct Measured {
    pub meter: Arc<Meter>,
    /// The customer's attribution.
    pub subjects: Arc<[String]>,
    /// The feature's.
    pub filters: BTreeMap<String, TextFilter>,
}

impl Balances {
    /// One quantity for each need, 0 where nothing was used, and how far usage was applied in each of them.
    pub(super) async fn measure(
        &self,
        measured: &Measured,
        needs: &[Need],
    ) -> Result<(Vec<Quantity>, Frontier), BalanceError> {
        let before = self.store.applied();
        let mut usage = vec![Quantity::ZERO; needs.len()];
        let layers = layers(needs);
        let queries_max = self.settings.usage_queries_max;
        if layers.len() > queries_max {
            return Err(BalanceError::TooManyQueries { queries_max });
        }
        for layer in &layers {
            let cuts = cuts(needs, layer);
            let (Some(from), Some(to)) = (cuts.first().copied(), cuts.last().copied()) else { continue };
            let (rows, _) = self.usage(measured, from, to, Windows::Cuts(cuts.into())).await?;
            fill(&mut usage, needs, layer, &rows);
        }
        Ok((usage, before))
    }

    /// Rows of that usage in `[from, to)`, by window, and how far usage was applied.
    pub(super) async fn usage(
        &self,
        measured: &Measured,
        from: Instant,
        to: Instant,
        window: Windows,
    ) -> Result<(Vec<UsageRow>, Frontier), BalanceError> {
        // Of nobody there is no usage.
        if measured.subjects.is_empty() {
            return Ok((Vec::new(), self.store.applied()));
        }
        let query = UsageQuery {
            meter: measured.meter.clone(),
            from: Some(from),
            to: Some(to),
            window: Some(window),
            subjects: Some(measured.subjects.to_vec()),
            group_by_subject: false,
            customers: None,
            group_by: Vec::new(),
            filters: measured.filters.clone(),
            progress: None,
        };
        let UsageAnswer { rows, applied } = self.store.usage(query).await?;
        Ok((rows, applied))
    }
}

/// Rows are of stretches between neighbouring cuts; one that is no need lies between two of them.
fn fill(usage: &mut [Quantity], needs: &[Need], layer: &Layer, rows: &[UsageRow]) {
    for row in rows {
        let found = layer.binary_search_by_key(&row.window_start, |index| needs[*index].from);
        if let Ok(place) = found {
            usage[layer[place]] = row.value;
        }
    }
}
