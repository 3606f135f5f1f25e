//! The business records, wired: everything that stands on PostgreSQL, on one database, one publisher and one gate.

use super::audit::Audit;
use super::balances::{self, Balances};
use super::controls::Controls;
use super::corrections::Corrections;
use super::customers::Customers;
use super::entitlements::Entitlements;
use super::features::Features;
use super::gate::Gate;
use super::meters::{self, Meters};
use super::publisher::Publisher;
use super::subjects::Subjects;
use super::writes::Writes;
use crate::ports::line::{Forget, Freshness, Trackers};
use crate::ports::{Clock, EventLog, UsageStore};
use crate::store::Database;
use std::sync::Arc;

/// What the records stand on.
pub struct Foundation {
    pub database: Database,
    pub log: Arc<dyn EventLog>,
    pub store: Arc<dyn UsageStore>,
    pub freshness: Arc<dyn Freshness>,
    /// What trackers remember is dropped through it.
    pub forget: Arc<dyn Forget>,
    /// Those that answer from memory.
    pub trackers: Arc<dyn Trackers>,
    pub clock: Arc<dyn Clock>,
    pub metering: meters::Settings,
    pub balances: balances::Settings,
}

/// The services of the business records. [`super::startup::run`] opens them.
pub struct Records {
    pub meters: Arc<Meters>,
    pub customers: Arc<Customers>,
    pub subjects: Arc<Subjects>,
    pub features: Arc<Features>,
    pub entitlements: Arc<Entitlements>,
    pub balances: Arc<Balances>,
    pub corrections: Arc<Corrections>,
    pub audit: Arc<Audit>,
    pub controls: Arc<Controls>,
    pub gate: Arc<Gate>,
    pub database: Database,
    pub publisher: Arc<Publisher>,
    pub forget: Arc<dyn Forget>,
    pub(super) store: Arc<dyn UsageStore>,
    pub(super) freshness: Arc<dyn Freshness>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Records {
    /// Closed until they are started.
    pub fn new(foundation: Foundation) -> Self {
        let Foundation { database, log, store, freshness, forget, trackers, clock, metering, balances } = foundation;
        let gate = Arc::new(Gate::default());
        let controls = Arc::new(Controls::new(log.clone(), freshness.clone(), forget.clone()));
        let publisher = Arc::new(Publisher::new(database.clone(), log, freshness.clone()));
        let writes = Arc::new(Writes::new(database.clone(), clock.clone(), publisher.clone()));
        let entitlements =
            Entitlements::new(database.clone(), writes.clone(), gate.clone(), clock.clone(), forget.clone());
        let customers = Customers::new(database.clone(), writes.clone(), gate.clone(), forget.clone());
        let corrections =
            Corrections::new(store.clone(), controls.clone(), publisher.clone(), writes.clone(), gate.clone());
        let meters = Arc::new(Meters::new(
            database.clone(),
            writes.clone(),
            store.clone(),
            gate.clone(),
            forget.clone(),
            metering,
        ));
        let entitlements = Arc::new(entitlements);
        let ground = balances::Ground {
            database: database.clone(),
            gate: gate.clone(),
            clock: clock.clone(),
            entitlements: entitlements.clone(),
            meters: meters.clone(),
            store: store.clone(),
            freshness: freshness.clone(),
            trackers,
        };
        let balances = Balances::new(ground, balances);
        Self {
            balances: Arc::new(balances),
            corrections: Arc::new(corrections),
            controls,
            customers: Arc::new(customers),
            entitlements,
            features: Arc::new(Features::new(database.clone(), writes.clone(), gate.clone())),
            meters,
            subjects: Arc::new(Subjects::new(database.clone(), writes, gate.clone())),
            audit: Arc::new(Audit::new(database.clone(), gate.clone())),
            gate,
            database,
            publisher,
            forget,
            store,
            freshness,
            clock,
        }
    }
}
