//! What tests over a real server share: a database of their own each.

pub mod proxy;

use super::sql;
use super::{Client, Database, Settings};
use crate::adapters::postgres::testing;
use crate::domain::metering::Aggregation;
use crate::domain::metering::meter::{Meter, MeterDraft};
use crate::domain::time::Instant;
use std::collections::BTreeMap;
use ulid::Ulid;

/// Settings that lead to a new, empty database.
pub fn settings() -> Settings {
    Settings { url: Some(testing::database().as_str().into()), ..Settings::default() }
}

/// Attached, and nothing else.
pub fn attached(settings: &Settings) -> Database {
    let database = Database::new(settings);
    database.attach(settings.endpoint().unwrap().unwrap()).unwrap();
    database
}

/// A new database with the newest schema.
pub async fn fresh() -> Database {
    let database = attached(&settings());
    database.migrate().await.unwrap();
    database
}

/// How many rows a table has.
pub async fn count(database: &Database, table: &str) -> i64 {
    one(database, &format!("SELECT count(*) FROM {table}")).await
}

/// The number that a query answers with.
pub async fn one(database: &Database, query: &str) -> i64 {
    let client: Client = database.client().await.unwrap();
    sql::row(&client, query, &[]).await.unwrap().unwrap().get(0)
}

pub fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// A live meter; `n` makes its ids.
pub fn meter(namespace: &str, slug: &str, n: u128) -> Meter {
    let draft = MeterDraft {
        slug: slug.to_string(),
        name: Some("Größe €".to_string()),
        description: None,
        aggregation: Aggregation::Sum,
        event_type: "job".to_string(),
        event_from: Some(at("2025-03-01T10:00:00.123456789Z")),
        value_property: Some("$.seconds".to_string()),
        group_by: BTreeMap::from([("region".to_string(), "$.region".to_string())]),
        metadata: Some(BTreeMap::from([("amount".to_string(), "1.50".to_string())])),
    };
    draft.check(namespace, Ulid::from(n), Ulid::from(n << 64), at("2025-03-01T10:00:00.123456Z")).unwrap()
}
