//! The audit: balances in memory, compared with what records and usage store say, one tracker at a time.
//!
//! Both are asked for the same instant. They may differ when the line went on or something was dropped in between; then
//! the comparison says nothing and another is made. Otherwise they must be equal, and a difference is counted, told, and
//! the tracker dropped.

use super::{Registry, asked};
use crate::actors::runtime::roster::State;
use crate::ports::line::Wait;
use crate::services::entitlements::Owner;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, Weak};
use std::time::Duration;
use ulid::Ulid;

/// Which one is looked at next.
static TURN: AtomicUsize = AtomicUsize::new(0);

pub(super) async fn keep_comparing(registry: Weak<Registry>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(registry) = registry.upgrade() else { return };
        registry.compare_one().await;
    }
}

impl Registry {
    async fn compare_one(&self) {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let some = self.shards[turn % self.shards.len()].lock().unwrap_or_else(PoisonError::into_inner).any(turn);
        let Some((customer, namespace)) = some else { return };
        match self.compare(customer, &namespace).await {
            Some(true) => self.stats.audited.inc(),
            Some(false) => {
                self.stats.audited.inc();
                self.stats.drifted.inc();
                tracing::error!(%customer, "a tracker's balances are not those of the records and the usage store");
                self.forget(customer);
            }
            None => {}
        }
    }

    /// Whether a tracker says what is true. `None`: that cannot be told.
    pub(super) async fn compare(&self, customer: Ulid, namespace: &str) -> Option<bool> {
        let balances = self.balances()?;
        let entered = self.enter(namespace, customer);
        let State::Live(_) = entered.state else { return None };
        let before = self.routed();
        let (at, given) = asked(&entered.handle, None, self.now()).await?;
        let owner = customer.to_string();
        let truth = balances.given(namespace, Owner::Customer(&owner), None, at).await.ok()?;
        let quiet = self.wait(before.clone(), Duration::ZERO).await == Some(Wait::Reached)
            && balances.applied() == before
            && self.routed() == before
            && self.shard(customer).is_current(entered.seat);
        let is_same = given == truth;
        (quiet || is_same).then_some(is_same)
    }
}
