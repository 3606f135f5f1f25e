//! The business records over a real PostgreSQL, with the world's log beside it.

use super::World;
use crate::domain::metering::Aggregation;
use crate::domain::metering::meter::MeterDraft;
use crate::services::audit::{AuditEntry, AuditQuery};
use crate::services::balances;
use crate::services::meters::{Settings, StoredMeter};
use crate::services::records::{Foundation, Records};
use crate::services::startup::{self, EventLogId, Parts};
use crate::services::writes::{Caller, IdempotencyKey, Kept};
use crate::store::{Database, tests};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One process: its records, and the world they stand in.
pub struct Scene {
    pub world: Arc<World>,
    pub records: Arc<Records>,
}

pub const NOW: &str = "2025-03-01T12:00:00.123456789Z";

impl Scene {
    /// Closed, on a database that nobody has used.
    pub async fn closed() -> Self {
        Self::over(World::new(NOW), tests::attached(&tests::settings()), Settings::default())
    }

    /// Closed; a second one over the same world and database is the next process.
    pub fn over(world: Arc<World>, database: Database, metering: Settings) -> Self {
        let records = Records::new(Foundation {
            database,
            log: world.clone(),
            store: world.clone(),
            freshness: world.clone(),
            forget: world.clone(),
            trackers: world.clone(),
            clock: world.clone(),
            metering,
            balances: balances::Settings::default(),
        });
        Self { world, records: Arc::new(records) }
    }

    /// Open, on a database that nobody has used.
    pub async fn open() -> Self {
        let scene = Self::closed().await;
        scene.start(vec![]).await.expect("nothing is in the way");
        scene
    }

    /// The next process.
    pub fn again(&self) -> Self {
        Self::over(self.world.clone(), self.records.database.clone(), Settings::default())
    }

    pub fn parts(&self, file_meters: Vec<MeterDraft>) -> Parts {
        let event_log = EventLogId { id: "the world's".to_string(), take_over: false };
        Parts { records: self.records.clone(), event_log, namespace: "default".to_string(), file_meters }
    }

    pub async fn start(&self, file_meters: Vec<MeterDraft>) -> Result<(), startup::StartupError> {
        startup::start(&self.parts(file_meters), async || Ok(())).await.map(drop)
    }

    /// PostgreSQL is gone from here on.
    pub fn cut_off(&self) {
        let nowhere = "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=1";
        self.records.database.attach(nowhere.parse().expect("a config")).expect("nothing is connected yet");
    }

    /// Everything in the audit of the namespace, oldest first.
    pub async fn audit(&self, namespace: &str) -> Vec<AuditEntry> {
        let query = AuditQuery { namespace: namespace.to_string(), limit: 1_000, ..AuditQuery::default() };
        let mut entries = self.records.audit.list(query).await.expect("the audit").entries;
        entries.reverse();
        entries
    }

    pub async fn count(&self, table: &str) -> i64 {
        tests::count(&self.records.database, table).await
    }

    /// Lets the clock go on by a second.
    pub fn tick(&self) {
        self.world.with(|state| state.now += 1_000_000_000);
    }
}

pub fn caller() -> Caller {
    caller_of("default")
}

pub fn caller_of(namespace: &str) -> Caller {
    Caller {
        namespace: namespace.to_string(),
        request_id: "r-1".to_string(),
        actor: "api".to_string(),
        idempotency: None,
    }
}

/// With an idempotency key, the same request every time.
pub fn keyed(key: &str) -> Caller {
    Caller { idempotency: Some(IdempotencyKey { key: key.to_string(), request_hash: 7 }), ..caller() }
}

pub fn draft(slug: &str) -> MeterDraft {
    MeterDraft {
        slug: slug.to_string(),
        name: None,
        description: None,
        aggregation: Aggregation::Sum,
        event_type: "job".to_string(),
        event_from: None,
        value_property: Some("$.seconds".to_string()),
        group_by: BTreeMap::from([("region".to_string(), "$.region".to_string())]),
        metadata: None,
    }
}

/// An answer that says which meter, under which name.
pub fn show(stored: &StoredMeter) -> Kept {
    Kept { status: 201, body: format!("{} {}", stored.meter.id, stored.meter.name) }
}

pub fn nothing() -> Kept {
    Kept { status: 204, body: String::new() }
}
