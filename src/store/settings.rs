//! Where PostgreSQL is, and how long and how much of it is used.

use super::sql::SYSTEM;
use crate::domain::fault::Fault;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// `[database]` of `weir.toml`. Every limit has its unit in its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A PostgreSQL of one's own; absent: the private instance.
    pub url: Option<Url>,
    /// Certificates (PEM) to trust besides the machine's own.
    pub tls_root_certificate: Option<PathBuf>,
    /// Take records over that go with another event log, whose data directory is gone for good.
    pub take_over: bool,
    /// Most connections held at once.
    pub pool_connections_max: usize,
    /// How long a new connection may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long the server may work on one statement, waiting for locks included, in milliseconds.
    pub statement_timeout_ms: u64,
    /// How long a request waits for a free connection, in milliseconds.
    pub acquire_timeout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: None,
            tls_root_certificate: None,
            take_over: false,
            pool_connections_max: 10,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 10_000,
            acquire_timeout_ms: 5_000,
        }
    }
}

/// `postgres://user:password@host:5432/database?sslmode=require`, or the same as `host=… user=…`. Holds a password, so
/// no form of it is ever printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

impl Url {
    /// What it says. The parser's own words are not passed on: they may quote a badly written password.
    fn read(&self) -> Result<tokio_postgres::Config, Fault> {
        self.0.parse().map_err(|_| {
            let text = "database.url cannot be read; it is written \
                 postgres://user:password@host:5432/database?sslmode=require, with %40 for an @ in the password (and \
                 so on), and sslmode is disable, prefer or require";
            Fault::give_up(SYSTEM, text)
        })
    }
}

impl Settings {
    /// Where the server of `url` is; `None`: the private instance is meant. A URL that cannot be read is a fault.
    pub fn endpoint(&self) -> Result<Option<tokio_postgres::Config>, Fault> {
        self.url.as_ref().map(Url::read).transpose()
    }

    /// Every setting that cannot work, by its name within this table.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut within = |name: &str, value: u64, least: u64, most: u64| {
            if value < least || value > most {
                faults.push(format!("{name} = {value}: must be {least} to {most}"));
            }
        };
        // One connection for a write and one for the publisher.
        within("pool_connections_max", self.pool_connections_max as u64, 2, 1_000);
        within("connect_timeout_ms", self.connect_timeout_ms, 10, 60_000);
        within("statement_timeout_ms", self.statement_timeout_ms, 10, 60_000);
        within("acquire_timeout_ms", self.acquire_timeout_ms, 10, 60_000);
        // Its text begins with `database.url`.
        faults.extend(self.endpoint().err().map(|fault| fault.message.replacen("database.", "", 1)));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_wrong_setting_is_named() {
        assert!(Settings::default().validate().is_empty());
        let wrong = Settings { pool_connections_max: 1, url: Some("host=".into()), ..Settings::default() };
        let faults = wrong.validate();
        assert_eq!(faults[0], "pool_connections_max = 1: must be 2 to 1000");
        let strange = Settings { url: Some("postgres://h/db?sslmode=maybe".into()), ..Settings::default() };
        assert!(strange.validate()[0].starts_with("url cannot be read"), "{:?}", strange.validate());
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in
            ["postgres://weir:s3cret@db.example/weir", "postgres://weir:s3cret@[/", "postgres://weir:x?s3cret@h/d"]
        {
            let settings = Settings { url: Some(url.into()), ..Settings::default() };
            let shown = format!("{settings:?} {:?} {:?}", settings.endpoint(), settings.validate());
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn a_socket_directory_is_a_host() {
        let settings = Settings { url: Some("postgres://weir@%2Fvar%2Frun%2Fpg/weir".into()), ..Settings::default() };
        let config = settings.endpoint().unwrap().unwrap();
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix("/var/run/pg".into())]);
    }
}
