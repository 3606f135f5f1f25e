//! What can be set about the private instance.

use serde::Deserialize;
use std::path::PathBuf;

/// `[postgres]` of `weir.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivateSettings {
    /// The folder that holds `postgres` and `initdb`. Absent: `PATH` and the distribution's own folders are searched.
    pub bin_dir: Option<PathBuf>,
    /// Connections that the server takes; read at its next start.
    pub max_connections: u32,
}

impl Default for PrivateSettings {
    fn default() -> Self {
        Self { bin_dir: None, max_connections: 40 }
    }
}

/// The least number of connections that may be set: PostgreSQL keeps three for its administrator.
const CONNECTIONS_MIN: u32 = 5;
/// The largest: each connection is a process.
const CONNECTIONS_CAP: u32 = 1_000;

impl PrivateSettings {
    /// Everything that is wrong, each as `field: reason`.
    pub fn validate(&self) -> Vec<String> {
        let allowed = CONNECTIONS_MIN..=CONNECTIONS_CAP;
        if allowed.contains(&self.max_connections) {
            return Vec::new();
        }
        vec![format!("max_connections: must lie in 5 to 1,000, not {}", self.max_connections)]
    }
}
