//! Entitlements, their grants and their resets as records: made, replaced, ended, found and listed. No usage here.
//!
//! At any instant one entitlement at most is active per customer and feature key. Whoever makes one holds the customer's
//! row until the commit, so of two that race one sees the other; grants, voids, resets and ends hold the entitlement's
//! row. Rows are taken in this order: customer, feature, entitlement, grant. After each write, and before it is answered, the
//! customer's tracker forgets what it knew, also when the outcome is unknown.
//!
//! An id finds an entitlement of any customer, active or not; a feature key finds what is active for one customer.
//! Deleted ones are found nowhere.

mod audit;
mod create;
mod error;
mod find;
mod grants;
mod list;
mod resets;
mod terms;

use super::gate::Gate;
use super::ids::Ids;
use super::writes::{Answered, Caller, Done, Stop, WriteError, Writes};
use crate::domain::customer::Customer;
use crate::domain::entitlement::record::{Entitlement, GrantRecord};
use crate::domain::time::Instant;
use crate::ports::Clock;
use crate::ports::line::Forget;
use crate::store::{Database, Transaction};
use std::ops::Range;
use std::sync::Arc;
use ulid::Ulid;

pub use crate::domain::entitlement::draft::{
    EntitlementDraft, EntitlementRefusal, KindDraft, MeasureFrom, MeteredDraft, NotMetered, PeriodDraft,
};
pub use crate::domain::entitlement::grant_draft::{GrantDraft, GrantRefusal, ResetDraft, ResetRefusal};
pub use crate::store::entitlements::{EntitlementOrder, EntitlementsQuery};
pub use crate::store::grants::{GrantOrder, GrantsQuery};
pub use error::EntitlementError;

/// Whose entitlements are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A customer, by its id or key.
    Customer(&'a str),
    /// The customer that owns a subject's key; the subject by its id or key.
    Subject(&'a str),
}

/// Which entitlement is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    Id(&'a str),
    /// By its id, whoever's it is; otherwise what is active for the owner under this feature key.
    Of(Owner<'a>, &'a str),
}

/// An entitlement with what its representations need beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub entitlement: Entitlement,
    pub customer: Arc<Customer>,
    pub feature_key: String,
    /// The last reset by hand, else where measuring began. None unless metered.
    pub last_reset: Option<Instant>,
    /// The usage period that is running now; none without one.
    pub current_period: Option<Range<Instant>>,
}

/// A grant with what its representations need beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownGrant {
    pub record: GrantRecord,
    /// When it is filled up again, from now on, also when it is over.
    pub next_recurrence: Option<Instant>,
}

/// The entitlements of all namespaces.
pub struct Entitlements {
    database: Database,
    writes: Arc<Writes>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    forget: Arc<dyn Forget>,
    ids: Ids,
}

impl Entitlements {
    pub fn new(
        database: Database,
        writes: Arc<Writes>,
        gate: Arc<Gate>,
        clock: Arc<dyn Clock>,
        forget: Arc<dyn Forget>,
    ) -> Self {
        Self { database, writes, gate, clock, forget, ids: Ids::default() }
    }

    /// Now, in whole microseconds as rows have it.
    fn now(&self) -> Instant {
        self.clock.now().floor_to_micros()
    }

    /// Writes, then drops what is remembered of the customer that `work` names. A refusal changed nothing.
    async fn write(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&Transaction<'_>, Instant, &mut Option<Ulid>) -> Result<Done, EntitlementError>,
    ) -> Result<Answered, EntitlementError> {
        self.gate.check()?;
        let mut concerned = None;
        let outcome = self
            .writes
            .write(caller, async |tx: &Transaction<'_>, now: Instant| {
                work(tx, now, &mut concerned).await.map_err(Stop::<EntitlementError>::from)
            })
            .await;
        let may_be_kept = matches!(outcome, Ok(_) | Err(WriteError::Unknown(_) | WriteError::NotLive(_)));
        if let Some(customer) = concerned.filter(|_| may_be_kept) {
            self.forget.customers(&caller.namespace, &[customer]).await;
        }
        Ok(outcome?)
    }
}

#[cfg(test)]
mod tests;
