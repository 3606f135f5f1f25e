//! Settings: defaults, then `weir.toml`, then `WEIR_…` variables, then options. One tree; every name in it can be set
//! in all three places. Every mistake in it is reported with where it stands.

use crate::actors::registry;
use crate::adapters::embedded;
use crate::adapters::postgres::PrivateSettings;
use crate::http;
use crate::services::{balances, meters};
use crate::store;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Everything that can be set. Each room's own settings are declared in that room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Data directory; created when missing.
    pub data: PathBuf,
    /// Where to listen. Loopback unless told otherwise.
    pub listen: String,
    /// The namespace that the API serves.
    pub namespace: String,
    /// Meters to create at start: the `meters:` list of an OpenMeter YAML configuration.
    pub meters: Option<PathBuf>,
    pub logs: Logs,
    pub http: http::Settings,
    pub embedded: embedded::Settings,
    /// Where the business records are.
    pub database: store::Settings,
    /// The PostgreSQL that weir starts itself, unless `database.url` names another.
    pub postgres: PrivateSettings,
    pub metering: meters::Settings,
    pub balances: balances::Settings,
    pub trackers: registry::Settings,
    pub shutdown: Shutdown,
    /// For tests of weir itself; empty in every real installation.
    pub testing: Testing,
}

/// Where structured logs go: standard error, one line each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// What is logged, as tracing's filter: `info`, `weir=debug`, …
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long an orderly stop may take before it is given up; nothing is lost then either.
    pub drain_max_ms: u64,
}

/// Faults injected on purpose.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Testing {
    /// Events whose id starts with this make `poison_stage` panic.
    pub poison_id_prefix: Option<String>,
    pub poison_stage: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from(".weir"),
            listen: "127.0.0.1:8888".to_string(),
            namespace: "default".to_string(),
            meters: None,
            logs: Logs::default(),
            http: http::Settings::default(),
            embedded: embedded::Settings::default(),
            database: store::Settings::default(),
            postgres: PrivateSettings::default(),
            metering: meters::Settings::default(),
            balances: balances::Settings::default(),
            trackers: registry::Settings::default(),
            shutdown: Shutdown::default(),
            testing: Testing::default(),
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { filter: "info".to_string(), format: LogFormat::Text }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_max_ms: 30_000 }
    }
}

/// Settings that cannot be used; the text names each mistake.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

/// Variables that are not settings but say where settings, topology or the server are.
const NOT_SETTINGS: [&str; 4] = ["WEIR_CONFIG", "WEIR_PIPELINE", "WEIR_URL", "WEIR_LOG"];

impl Settings {
    /// Reads `file` (when given), then the `WEIR_…` variables in `variables` over it. `WEIR_HTTP__BODY_BYTES_MAX=1000`
    /// sets `http.body_bytes_max`. `WEIR_LOG` is short for `WEIR_LOGS__FILTER`.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Self, BadSettings> {
        let text = file.map(std::fs::read_to_string).transpose();
        let named = |path: &Path| path.display().to_string();
        let text =
            text.map_err(|error| BadSettings(format!("cannot read {}: {error}", named(file.expect("it was read")))))?;
        let (text, name) = (text.as_deref().unwrap_or(""), file.map_or_else(|| "settings".to_string(), named));
        // Read once as it stands, so that a mistake in the file is reported with its line and column.
        toml::from_str::<Settings>(text).map_err(|error| BadSettings(format!("{name}: {error}")))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|error| BadSettings(format!("{name}: {error}")))?;
        let mut variables: Vec<(String, String)> = variables.filter(|(key, _)| key.starts_with("WEIR_")).collect();
        variables.sort();
        for (key, value) in variables {
            if key == "WEIR_LOG" {
                set(&mut table, "WEIR_LOG", "logs__filter", &value)?;
            } else if !NOT_SETTINGS.contains(&key.as_str()) && !key.starts_with("WEIR_TEST_") {
                set(&mut table, &key, &key["WEIR_".len()..].to_ascii_lowercase(), &value)?;
            }
        }
        let settings: Settings =
            table.try_into().map_err(|error| BadSettings(format!("{name} with WEIR_ variables: {error}")))?;
        settings.validate()?;
        Ok(settings)
    }

    fn validate(&self) -> Result<(), BadSettings> {
        let mut mistakes = Vec::new();
        if self.namespace.is_empty() || self.namespace.len() > 64 {
            mistakes.push(format!("namespace: must have 1 to 64 bytes, not {}", self.namespace.len()));
        }
        if !(1..=3_600_000).contains(&self.shutdown.drain_max_ms) {
            mistakes
                .push(format!("shutdown.drain_max_ms: must lie in 1 to 3,600,000, not {}", self.shutdown.drain_max_ms));
        }
        if self.testing.poison_id_prefix.is_some() != self.testing.poison_stage.is_some() {
            mistakes.push("testing: poison_id_prefix and poison_stage go together".to_string());
        }
        mistakes.extend(self.http.validate().into_iter().map(|mistake| format!("http.{mistake}")));
        mistakes.extend(self.embedded.validate().into_iter().map(|mistake| format!("embedded.{mistake}")));
        mistakes.extend(self.database.validate().into_iter().map(|mistake| format!("database.{mistake}")));
        mistakes.extend(self.postgres.validate().into_iter().map(|mistake| format!("postgres.{mistake}")));
        if mistakes.is_empty() { Ok(()) } else { Err(BadSettings(mistakes.join("\n"))) }
    }
}

/// Puts a variable's value at its place: read as TOML where that makes sense (numbers, booleans, lists), else as text.
fn set(table: &mut toml::Table, variable: &str, path: &str, value: &str) -> Result<(), BadSettings> {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let parsed = parsed.unwrap_or_else(|| toml::Value::String(value.to_string()));
    let (parents, name) = path.rsplit_once("__").map_or(("", path), |(parents, name)| (parents, name));
    let mut at = table;
    for parent in parents.split("__").filter(|parent| !parent.is_empty()) {
        let entry = at.entry(parent).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry
            .as_table_mut()
            .ok_or_else(|| BadSettings(format!("{variable}: {parent} is not a table of settings")))?;
    }
    at.insert(name.to_string(), parsed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Settings, BadSettings> {
        Settings::load(None, variables.iter().map(|(key, value)| (key.to_string(), value.to_string())))
    }

    #[test]
    fn every_setting_has_a_variable() {
        let settings =
            with(&[("WEIR_LISTEN", "127.0.0.1:1"), ("WEIR_SHUTDOWN__DRAIN_MAX_MS", "7"), ("WEIR_LOG", "debug")])
                .unwrap();
        assert_eq!((settings.listen.as_str(), settings.shutdown.drain_max_ms), ("127.0.0.1:1", 7));
        assert_eq!(settings.logs.filter, "debug");
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let mistake = with(&[("WEIR_LISTENN", "127.0.0.1:1")]).unwrap_err().to_string();
        assert!(mistake.contains("listenn"), "{mistake}");
        let mistake = with(&[("WEIR_NAMESPACE", "''")]).unwrap_err().to_string();
        assert_eq!(mistake, "namespace: must have 1 to 64 bytes, not 0");
    }

    #[test]
    fn a_mistake_in_the_file_has_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weir.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\n\n[shutdown]\ndrain_max = 3\n").unwrap();
        let mistake = Settings::load(Some(&file), std::iter::empty()).unwrap_err().to_string();
        assert!(mistake.contains("line 4, column 1") && mistake.contains("drain_max"), "{mistake}");
    }
}
