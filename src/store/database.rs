//! The way to PostgreSQL: a bounded pool of connections that may come to life later than weir itself.
//!
//! A connection is asked for a sign of life before it is handed out, so that after a restart of the server the next
//! request simply gets a new one. Everything is bounded: connecting, waiting for a connection, each statement (by the
//! server), a transaction left idle (by the server), and a server that says nothing at all.

use super::settings::Settings;
use super::{migrate, sql, tls};
use crate::domain::fault::Fault;
use arc_swap::ArcSwapOption;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, IsolationLevel, NoTls};

/// A connection, taken from the pool until it is dropped.
pub type Client = deadpool_postgres::Client;
/// A transaction on it; dropped without a commit, it is rolled back.
pub type Transaction<'a> = deadpool_postgres::Transaction<'a>;

/// How long a transaction may lie idle before the server ends it, in milliseconds: a process that was stopped in the
/// middle of one must not hold its locks for ever.
const IDLE_TRANSACTION_MAX_MS: u64 = 60_000;
/// How long a connection may be unused before the machine asks whether the other side is there, in seconds.
const KEEPALIVE_IDLE_S: u64 = 30;
/// How long sent bytes may stay unconfirmed by the other machine, in milliseconds.
const UNCONFIRMED_MAX_MS: u64 = 20_000;

/// PostgreSQL, as the rest of weir holds it. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    settings: Settings,
    pool: ArcSwapOption<Pool>,
}

/// What health, metrics and the actors page show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseSnapshot {
    /// Whether it is known where the server is.
    pub attached: bool,
    pub connections_max: usize,
    pub connections: usize,
    pub connections_in_use: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

impl Database {
    /// Not attached: until then every request is told to retry.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Inner { settings: settings.clone(), pool: ArcSwapOption::empty() }))
    }

    /// From now on connections go there. Nothing is connected yet. Err: certificates that cannot be used.
    pub fn attach(&self, config: Config) -> Result<(), Fault> {
        let settings = &self.0.settings;
        let config = bounded(config, settings);
        // Every connection is probed before it is used again.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let manager = if wants_tls(&config) {
            let tls = tls::connector(settings.tls_root_certificate.as_deref())?;
            Manager::from_config(config, tls, recycling)
        } else {
            Manager::from_config(config, NoTls, recycling)
        };
        let connect = Duration::from_millis(settings.connect_timeout_ms);
        let timeouts = Timeouts {
            wait: Some(Duration::from_millis(settings.acquire_timeout_ms)),
            create: Some(connect),
            recycle: Some(connect),
        };
        let pool = Pool::builder(manager)
            .max_size(settings.pool_connections_max)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("timeouts have a runtime");
        if let Some(before) = self.0.pool.swap(Some(Arc::new(pool))) {
            before.close();
        }
        Ok(())
    }

    /// Brings the schema up to what this weir needs: forward only, one process at a time. A database that a newer weir
    /// has changed is refused by name.
    pub async fn migrate(&self) -> Result<(), Fault> {
        migrate::latest(self.client().await?).await
    }

    /// A connection that has just shown that it lives. Err: not attached, not reachable or all in use, to be retried;
    /// or refused by the server for good.
    pub async fn client(&self) -> Result<Client, Fault> {
        let Some(pool) = self.0.pool.load_full() else {
            return Err(Fault::retry(sql::SYSTEM, "PostgreSQL is not there yet; retry in a moment"));
        };
        pool.get().await.map_err(sql::pool_fault)
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), Fault> {
        let client = self.client().await?;
        sql::answer(client.batch_execute("")).await
    }

    pub fn snapshot(&self) -> DatabaseSnapshot {
        let connections_max = self.0.settings.pool_connections_max;
        let Some(pool) = self.0.pool.load_full() else {
            return DatabaseSnapshot { connections_max, ..DatabaseSnapshot::default() };
        };
        let status = pool.status();
        DatabaseSnapshot {
            attached: true,
            connections_max,
            connections: status.size,
            connections_in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }
}

/// Begins a transaction that sees, statement by statement, what others have committed.
pub use sql::{begin, commit};

/// Begins a transaction that only reads, and sees everything as of its first statement.
pub async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, Fault> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    sql::answer(snapshot.start()).await
}

/// The same endpoint with every bound set. What the URL says itself stands.
fn bounded(mut config: Config, settings: &Settings) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_millis(settings.connect_timeout_ms));
    }
    if config.get_application_name().is_none() {
        config.application_name("weir");
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_millis(UNCONFIRMED_MAX_MS));
    }
    config.keepalives_idle(Duration::from_secs(KEEPALIVE_IDLE_S));
    let bounds = format!(
        "-c statement_timeout={} -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MAX_MS}",
        settings.statement_timeout_ms
    );
    let options = config.get_options().map_or_else(|| bounds.clone(), |given| format!("{bounds} {given}"));
    config.options(options);
    config
}

/// PostgreSQL has no TLS on sockets of the same machine.
fn wants_tls(config: &Config) -> bool {
    let all_local =
        config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    config.get_ssl_mode() != SslMode::Disable && !all_local
}

#[cfg(test)]
mod tests;
