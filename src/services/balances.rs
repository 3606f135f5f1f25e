//! Balances: what an entitlement gives at an instant, and how that came about.
//!
//! Nothing of it is kept. Terms come from the business records, usage from the usage store, and the burn-down is a pure
//! function of both: a late event, a backdated grant or a subject key that moved is in the very next answer, and a
//! balance never differs from the meter.

mod follow;
mod history;
mod usage;

use super::attribution::{AttributionError, Attributions, Deleted};
use super::entitlements::{EntitlementError, Entitlements, NotMetered, Owner, Shown};
use super::gate::Gate;
use super::meters::{MeterError, Meters};
use crate::domain::catalog::feature::Feature;
use crate::domain::entitlement::burndown::{self, Balance, TooManyPhases};
use crate::domain::entitlement::record::{Entitlement, Kind};
use crate::domain::entitlement::terms::Terms;
use crate::domain::fault::Fault;
use crate::domain::position::Frontier;
use crate::domain::quantity::{Overflow, Quantity};
use crate::domain::time::Instant;
use crate::ports::line::{Check, Checked, Freshness, Trackers};
use crate::ports::usage_store::ReadError;
use crate::ports::{Clock, UsageStore};
use crate::store::{Database, features};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use ulid::Ulid;
use usage::Measured;

pub use crate::domain::entitlement::standing::{Given, Standing};
pub use follow::{Basis, Counted, Followed, FollowedKind};
pub use history::{BalanceHistory, BalanceWindow, HistoryAsk};

/// `[balances]` of `weir.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most windows of one history.
    pub history_windows_max: usize,
    /// Most questions to the usage store that one balance or history may take. SUM, COUNT and LATEST take one,
    /// UNIQUE_COUNT one for each phase or window of its busiest usage period.
    pub usage_queries_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { history_windows_max: 100_000, usage_queries_max: 2_000 }
    }
}

/// Why a balance was not told. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BalanceError {
    #[error(transparent)]
    Entitlement(#[from] EntitlementError),
    #[error(transparent)]
    NotMetered(#[from] NotMetered),
    #[error("from {from} cannot be before {measure_from}, where measuring usage began")]
    BeforeMeasuring { from: String, measure_from: String },
    #[error("from {from} must be before to {to}")]
    Backwards { from: String, to: String },
    #[error("the history has more than {windows_max} windows; ask for a shorter time or larger windows")]
    TooManyWindows { windows_max: usize },
    #[error("the answer takes more than {queries_max} questions to the usage store; ask for larger windows")]
    TooManyQueries { queries_max: usize },
    #[error(transparent)]
    TooManyPhases(#[from] TooManyPhases),
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The balances of all customers.
pub struct Balances {
    database: Database,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    entitlements: Arc<Entitlements>,
    meters: Arc<Meters>,
    attributions: Attributions,
    store: Arc<dyn UsageStore>,
    freshness: Arc<dyn Freshness>,
    trackers: Arc<dyn Trackers>,
    settings: Settings,
}

/// What balances stand on.
pub struct Ground {
    pub database: Database,
    pub gate: Arc<Gate>,
    pub clock: Arc<dyn Clock>,
    pub entitlements: Arc<Entitlements>,
    pub meters: Arc<Meters>,
    pub store: Arc<dyn UsageStore>,
    pub freshness: Arc<dyn Freshness>,
    pub trackers: Arc<dyn Trackers>,
}

/// A metered entitlement with all that decides its balance, but for the usage.
#[derive(Debug)]
pub struct Account {
    terms: Terms,
    measured: Measured,
    is_soft_limit: bool,
}

impl Balances {
    pub fn new(ground: Ground, settings: Settings) -> Self {
        let Ground { database, gate, clock, entitlements, meters, store, freshness, trackers } = ground;
        let attributions = Attributions::new(database.clone(), gate.clone());
        Self { database, gate, clock, entitlements, meters, attributions, store, freshness, trackers, settings }
    }

    /// How far usage was counted before a read that begins now: all of that is in its answer.
    pub fn applied(&self) -> Frontier {
        self.store.applied()
    }

    /// What is active now for a customer, or only what is under one feature key, and what it gives: from the customer's
    /// tracker or, where none can tell, computed afresh.
    pub async fn check(&self, check: &Check<'_>) -> Result<Checked, BalanceError> {
        if let Some(checked) = self.trackers.check(check).await {
            return Ok(checked);
        }
        let wait = self.freshness.wait(check.after.clone(), check.at_most).await;
        let (at, applied) = (self.now(), self.applied());
        let given = self.given(check.namespace, Owner::Customer(check.customer), check.feature_key, at).await?;
        Ok(Checked { at, given, applied, wait })
    }

    /// Now, as reads without a time of their own are evaluated.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What one entitlement gives at an instant.
    pub async fn of(&self, namespace: &str, shown: &Shown, at: Instant) -> Result<Standing, BalanceError> {
        let mut standings = self.of_each(namespace, std::slice::from_ref(shown), at).await?;
        Ok(standings.pop().expect("one in, one out"))
    }

    /// What each of these gives at an instant, in the same order; one that is not active then gives nothing.
    pub async fn of_each(&self, namespace: &str, shown: &[Shown], at: Instant) -> Result<Vec<Standing>, BalanceError> {
        let active: Vec<&Entitlement> =
            shown.iter().map(|shown| &shown.entitlement).filter(|entitlement| entitlement.is_active_at(at)).collect();
        let accounts = self.accounts(namespace, &active).await?;
        let mut standings = Vec::with_capacity(shown.len());
        for Shown { entitlement, .. } in shown {
            standings.push(match &entitlement.kind {
                _ if !entitlement.is_active_at(at) => Standing { has_access: false, metered: None, config: None },
                Kind::Static { config, .. } => {
                    Standing { has_access: true, metered: None, config: Some(config.clone()) }
                }
                Kind::Boolean { .. } => Standing { has_access: true, metered: None, config: None },
                Kind::Metered(_) => {
                    let account = &accounts[&entitlement.id];
                    account.standing(at, self.balance(account, at).await?.0)
                }
            });
        }
        Ok(standings)
    }

    /// What is active for the owner at an instant, all of it or what is under one feature key, and what it gives then;
    /// by feature key.
    pub async fn given(
        &self,
        namespace: &str,
        owner: Owner<'_>,
        feature_key: Option<&str>,
        at: Instant,
    ) -> Result<Vec<Given>, BalanceError> {
        let mut active = self.entitlements.active_at(namespace, owner, at).await?;
        active.retain(|shown| feature_key.is_none_or(|key| shown.feature_key == key));
        let standings = self.of_each(namespace, &active, at).await?;
        let given = |(shown, standing): (Shown, Standing)| Given {
            feature_key: shown.feature_key,
            entitlement_id: shown.entitlement.id,
            entitlement_type: shown.entitlement.kind.name(),
            standing,
        };
        let mut given: Vec<Given> = active.into_iter().zip(standings).map(given).collect();
        given.sort_by(|a, b| a.feature_key.cmp(&b.feature_key));
        Ok(given)
    }

    /// What an account holds at an instant, with every event below the frontier, and perhaps with later ones.
    pub async fn balance(&self, account: &Account, at: Instant) -> Result<(Balance, Frontier), BalanceError> {
        let needs = burndown::needs(&account.terms, at)?;
        let (usage, applied) = self.measure(&account.measured, &needs).await?;
        Ok((burndown::balance(&account.terms, at, &usage)?, applied))
    }

    /// The accounts of the metered ones among these, by entitlement.
    async fn accounts(
        &self,
        namespace: &str,
        entitlements: &[&Entitlement],
    ) -> Result<BTreeMap<Ulid, Account>, BalanceError> {
        let metered: Vec<&Entitlement> = entitlements.iter().copied().filter(|it| it.metered().is_some()).collect();
        if metered.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut terms = self.entitlements.terms(namespace, &metered).await?;
        let features = self.features(namespace, &metered).await?;
        let mut customers: Vec<String> = metered.iter().map(|it| it.customer_id.to_string()).collect();
        customers.sort_unstable();
        customers.dedup();
        let attribution = self.attributions.of(namespace, &customers, Deleted::Found).await.map_err(unfound)?;
        let mut subjects: BTreeMap<Ulid, Arc<[String]>> = BTreeMap::new();
        let mut accounts = BTreeMap::new();
        for entitlement in metered {
            let feature = features.get(&entitlement.feature_id);
            let feature = feature.ok_or_else(|| missing("feature", entitlement.feature_id))?;
            let meter_id = feature.meter_id.ok_or_else(|| missing("meter of feature", feature.id))?;
            let known = self.meters.known(namespace, &meter_id.to_string()).map_err(|error| match error {
                MeterError::Fault(fault) => fault,
                // The line has not applied its record yet.
                _ => Fault::retry("usage store", format!("the meter {meter_id} is not counted yet")),
            })?;
            let subjects = subjects.entry(entitlement.customer_id).or_insert_with(|| {
                let is_its = |(_, owner): &(&String, &Ulid)| **owner == entitlement.customer_id;
                attribution.owners.iter().filter(is_its).map(|(subject, _)| subject.clone()).collect()
            });
            let measured = Measured { meter: known.meter, subjects: subjects.clone(), filters: feature.text_filters() };
            let terms = terms.remove(&entitlement.id).ok_or_else(|| missing("terms", entitlement.id))?;
            let is_soft_limit = entitlement.metered().is_some_and(|metered| metered.is_soft_limit);
            accounts.insert(entitlement.id, Account { terms, measured, is_soft_limit });
        }
        Ok(accounts)
    }

    /// By id, archived ones too.
    async fn features(
        &self,
        namespace: &str,
        entitlements: &[&Entitlement],
    ) -> Result<BTreeMap<Ulid, Feature>, BalanceError> {
        self.gate.check()?;
        let mut ids: Vec<Ulid> = entitlements.iter().map(|it| it.feature_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = features::by_ids(&self.database.client().await?, namespace, &ids).await?;
        Ok(found.into_iter().map(|feature| (feature.id, feature)).collect())
    }
}

impl Account {
    /// What a balance gives: never anything before measuring began.
    pub fn standing(&self, at: Instant, balance: Balance) -> Standing {
        let has_access = at >= self.terms.measure_from && (self.is_soft_limit || balance.balance > Quantity::ZERO);
        Standing { has_access, metered: Some(balance), config: None }
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

/// An entitlement's customer stays in the records, also when it is deleted.
fn unfound(error: AttributionError) -> BalanceError {
    match error {
        AttributionError::Fault(fault) => fault.into(),
        unknown @ AttributionError::Unknown { .. } => Fault::give_up("database", unknown.to_string()).into(),
    }
}

fn missing(what: &str, id: Ulid) -> Fault {
    Fault::give_up("database", format!("an entitlement needs the {what} {id}, which is not there"))
}
