//! What a tracker stands on: a customer's entitlements from the records, and their usage so far from the usage store.

use super::usage::Measured;
use super::{Account, BalanceError, Balances};
use crate::domain::entitlement::burndown;
use crate::domain::entitlement::layers::{cuts, layers};
use crate::domain::entitlement::phase_usage::PhaseUsage;
use crate::domain::entitlement::record::{EntitlementType, Kind};
use crate::domain::entitlement::standing::{Given, Standing};
use crate::domain::fault::Fault;
use crate::domain::metering::Aggregation;
use crate::domain::metering::extract::{Reading, next_group};
use crate::domain::metering::window::{WindowSize, Windows};
use crate::domain::position::Frontier;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use crate::store::{Lock, customers, entitlements};
use jiff::tz::TimeZone;
use ulid::Ulid;

/// A live customer with what is active for it.
#[derive(Debug)]
pub struct Basis {
    pub key: Option<String>,
    /// Whose events are usage of this customer.
    pub subjects: Vec<String>,
    /// From then on something else is active. `None`: nothing is bound to begin or to end.
    pub until: Option<Instant>,
    /// By feature key.
    pub entitlements: Vec<Followed>,
}

/// An entitlement that is followed.
#[derive(Debug)]
pub struct Followed {
    pub feature_key: Box<str>,
    pub entitlement_id: Ulid,
    pub kind: FollowedKind,
}

/// How it decides.
#[derive(Debug)]
pub enum FollowedKind {
    Metered(Box<Account>),
    /// JSON text.
    Static(Box<str>),
    Boolean,
}

/// Usage so far.
#[derive(Debug)]
pub struct Counted {
    pub usage: PhaseUsage,
    /// Usage before this instant has every event below `past`, and none other; later usage likewise below `ahead`.
    pub split: Instant,
    pub past: Frontier,
    pub ahead: Frontier,
}

impl Balances {
    /// The live customer with this id or key.
    pub async fn customer(&self, namespace: &str, id_or_key: &str) -> Result<Option<Ulid>, Fault> {
        self.gate.check()?;
        let found = customers::find(&self.database.client().await?, namespace, id_or_key, Lock::None).await?;
        Ok(found.filter(|customer| customer.deleted_at.is_none()).map(|customer| customer.id))
    }

    /// What is active for a customer at an instant. `None`: there is no such customer, or not any more.
    pub async fn basis(&self, namespace: &str, id: Ulid, at: Instant) -> Result<Option<Basis>, BalanceError> {
        self.gate.check()?;
        let (customer, until, active) = {
            let client = self.database.client().await?;
            let mut found = customers::by_ids(&client, namespace, &[id]).await?;
            let Some(customer) = found.pop().filter(|customer| customer.deleted_at.is_none()) else { return Ok(None) };
            // Before the list: what begins or ends meanwhile is in the one or in the other.
            let until = entitlements::next_turn(&client, namespace, id, at).await?;
            (customer, until, entitlements::active_of_customer(&client, namespace, id, at).await?)
        };
        let mut accounts = self.accounts(namespace, &active.iter().collect::<Vec<_>>()).await?;
        let subjects = accounts.values().next().map_or_else(Vec::new, |account| account.measured.subjects.to_vec());
        let mut followed: Vec<Followed> = active
            .into_iter()
            .map(|entitlement| Followed {
                feature_key: entitlement.feature_key.into(),
                entitlement_id: entitlement.id,
                kind: match entitlement.kind {
                    Kind::Static { config, .. } => FollowedKind::Static(config.into()),
                    Kind::Boolean { .. } => FollowedKind::Boolean,
                    Kind::Metered(_) => {
                        let account = accounts.remove(&entitlement.id);
                        FollowedKind::Metered(Box::new(account.expect("a metered one has an account")))
                    }
                },
            })
            .collect();
        followed.sort_by(|a, b| a.feature_key.cmp(&b.feature_key));
        Ok(Some(Basis { key: customer.key, subjects, until, entitlements: followed }))
    }

    /// The usage of an account whose usage adds up, ready for reads from `at` on.
    pub async fn counted(&self, account: &Account, at: Instant) -> Result<Counted, BalanceError> {
        let Account { terms, measured, .. } = account;
        let needs = burndown::needs(terms, at)?;
        let usage = PhaseUsage::new(terms, &needs, &vec![Quantity::ZERO; needs.len()]);
        let split = usage.until();
        // One more stretch, up to the end of time: whatever says that it happens later than now.
        let mut stretches = layers(&needs).first().map_or_else(|| vec![split], |layer| cuts(&needs, layer));
        stretches.push(END_OF_TIME);
        let (rows, past) = self.usage(measured, stretches[0], END_OF_TIME, Windows::Cuts(stretches.into())).await?;
        let mut needed = vec![Quantity::ZERO; needs.len()];
        let mut is_ahead = false;
        for row in rows {
            match needs.binary_search_by_key(&row.window_start, |need| need.from) {
                Ok(need) => needed[need] = row.value,
                Err(_) => is_ahead = true,
            }
        }
        let mut usage = PhaseUsage::new(terms, &needs, &needed);
        let mut ahead = past.clone();
        if is_ahead {
            let minutes = Windows::Calendar(WindowSize::Minute, TimeZone::UTC);
            let (rows, applied) = self.usage(measured, split, END_OF_TIME, minutes).await?;
            for row in rows {
                usage.add(row.window_start, row.value)?;
            }
            ahead = applied;
        }
        Ok(Counted { usage, split, past, ahead })
    }
}

/// The last full minute that an instant can be.
const END_OF_TIME: Instant = Instant::from_nanos(i64::MAX).floor_to_minute();

impl Account {
    /// Whether usage adds up event by event; otherwise only the usage store knows it.
    pub fn adds_up(&self) -> bool {
        matches!(self.terms.aggregation, Aggregation::Sum | Aggregation::Count)
    }

    /// What an event means to this account: `None` when it does not count in it. `meter`: the version that read it;
    /// `groups`: its group values as a measure has them.
    pub fn used(&self, meter: Ulid, reading: Reading, groups: &[u8]) -> Option<Quantity> {
        if meter != self.measured.meter.version || !self.measured.accepts(groups) {
            return None;
        }
        Some(match reading {
            Reading::One => Quantity::from_count(1),
            Reading::Value(value) => Quantity::from_value(value),
            // Whether it is a new one, only the usage store knows.
            Reading::Distinct(_) => Quantity::ZERO,
        })
    }
}

impl Measured {
    /// Whether the feature's filters let these group values through, which are in the order of the meter's dimensions.
    fn accepts(&self, mut groups: &[u8]) -> bool {
        self.filters.is_empty()
            || self.meter.group_by.keys().all(|dimension| {
                let value = next_group(&mut groups).unwrap_or("");
                self.filters.get(dimension).is_none_or(|filter| filter.accepts(value))
            })
    }
}

impl Followed {
    /// As it is answered; `standing` is what a metered one holds.
    pub fn given(&self, standing: impl FnOnce(&Account) -> Standing) -> Given {
        let (entitlement_type, standing) = match &self.kind {
            FollowedKind::Metered(account) => (EntitlementType::Metered, standing(account)),
            FollowedKind::Static(config) => (EntitlementType::Static, access(Some(config.to_string()))),
            FollowedKind::Boolean => (EntitlementType::Boolean, access(None)),
        };
        let feature_key = self.feature_key.to_string();
        Given { feature_key, entitlement_id: self.entitlement_id, entitlement_type, standing }
    }
}

fn access(config: Option<String>) -> Standing {
    Standing { has_access: true, metered: None, config }
}
