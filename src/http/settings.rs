//! The door's limits and times: everything a client could use to make weir large or slow has a bound here.

use serde::{Deserialize, Serialize};

/// `[http]` of `weir.toml`. Every limit has its unit in its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Threads that answer requests; 0: one per core.
    pub workers: usize,
    /// Connections held at once, per worker; further ones wait in the system's queue.
    pub connections_max: usize,
    /// How long an idle connection is kept, in seconds.
    pub keep_alive_s: u64,
    /// How long a client may take to send a request's head, in milliseconds.
    pub head_timeout_ms: u64,
    /// How long a client may take to send a request's body, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long requests may go on after an orderly stop has begun, in seconds.
    pub shutdown_timeout_s: u64,
    /// Largest sum of header names and values, in bytes.
    pub header_bytes_max: usize,
    /// Largest body, decompressed, in bytes.
    pub body_bytes_max: usize,
    /// All bodies in memory at once, as sent, decompressed and as records, in bytes.
    pub bodies_bytes_max: usize,
    /// Largest body of every route but ingest, in bytes.
    pub small_body_bytes_max: usize,
    /// Most events in one request.
    pub batch_events_max: usize,
    /// Longest id, source, type, subject or other envelope attribute, in bytes of UTF-8.
    pub attribute_bytes_max: usize,
    /// Most extension attributes on one event.
    pub extensions_max: usize,
    /// Deepest nesting of objects and arrays in `data`.
    pub json_depth_max: usize,
    /// Most faults listed in one answer; the rest are counted.
    pub faults_listed_max: usize,
    /// Longest query string, in bytes.
    pub query_bytes_max: usize,
    /// Most parameters in a query string.
    pub query_parameters_max: usize,
    /// Deepest nesting of `$and` and `$or` in a filter.
    pub filter_depth_max: usize,
    /// Most reads with a client id whose progress is remembered.
    pub progress_reads_max: usize,
    /// How long the progress of an ended read is remembered, in seconds.
    pub progress_kept_s: u64,
    /// How long a read waits until what was accepted before it is applied, in milliseconds.
    pub read_wait_max_ms: u64,
    /// What a client is told to wait after a 503 that has no better advice, in seconds.
    pub retry_after_s: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            workers: 0,
            connections_max: 10_000,
            keep_alive_s: 75,
            head_timeout_ms: 10_000,
            body_timeout_ms: 60_000,
            shutdown_timeout_s: 30,
            header_bytes_max: 32 << 10,
            body_bytes_max: 32 << 20,
            bodies_bytes_max: 256 << 20,
            small_body_bytes_max: 1 << 20,
            batch_events_max: 100_000,
            attribute_bytes_max: 8_192,
            extensions_max: 64,
            json_depth_max: 128,
            faults_listed_max: 100,
            query_bytes_max: 64 << 10,
            query_parameters_max: 1_000,
            filter_depth_max: 4,
            progress_reads_max: 10_000,
            progress_kept_s: 300,
            read_wait_max_ms: 1_000,
            retry_after_s: 1,
        }
    }
}

/// Longest envelope attribute that the log's record format holds, in bytes.
const ATTRIBUTE_BYTES_CAP: usize = crate::domain::record::ATTRIBUTE_BYTES_CAP;
/// Largest body that can be configured, in bytes: a record's lengths are 32 bits wide.
const BODY_BYTES_CAP: usize = 1 << 30;

impl HttpSettings {
    /// Every setting that cannot work, by its name within this table.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut within = |name: &str, value: u128, least: u128, most: u128| {
            if value < least || value > most {
                faults.push(format!("{name} = {value}: must be {least} to {most}"));
            }
        };
        within("workers", self.workers as u128, 0, 1_024);
        within("connections_max", self.connections_max as u128, 1, 1_000_000);
        within("keep_alive_s", self.keep_alive_s.into(), 0, 3_600);
        within("head_timeout_ms", self.head_timeout_ms.into(), 100, 600_000);
        within("body_timeout_ms", self.body_timeout_ms.into(), 100, 600_000);
        within("shutdown_timeout_s", self.shutdown_timeout_s.into(), 0, 3_600);
        within("header_bytes_max", self.header_bytes_max as u128, 1_024, 128 << 10);
        within("body_bytes_max", self.body_bytes_max as u128, 1_024, BODY_BYTES_CAP as u128);
        // One body of the largest size must fit: as sent, decompressed, and as records.
        let bodies_least = 3 * self.body_bytes_max as u128;
        within("bodies_bytes_max", self.bodies_bytes_max as u128, bodies_least, 1 << 40);
        within("small_body_bytes_max", self.small_body_bytes_max as u128, 1_024, BODY_BYTES_CAP as u128);
        within("batch_events_max", self.batch_events_max as u128, 1, 10_000_000);
        within("attribute_bytes_max", self.attribute_bytes_max as u128, 16, ATTRIBUTE_BYTES_CAP as u128);
        within("extensions_max", self.extensions_max as u128, 0, 1_000);
        within("json_depth_max", self.json_depth_max as u128, 1, 10_000);
        within("faults_listed_max", self.faults_listed_max as u128, 1, 10_000);
        within("query_bytes_max", self.query_bytes_max as u128, 256, 1 << 20);
        within("query_parameters_max", self.query_parameters_max as u128, 1, 100_000);
        within("filter_depth_max", self.filter_depth_max as u128, 1, 32);
        within("progress_reads_max", self.progress_reads_max as u128, 1, 1_000_000);
        within("progress_kept_s", self.progress_kept_s.into(), 1, 86_400);
        within("read_wait_max_ms", self.read_wait_max_ms.into(), 0, 60_000);
        within("retry_after_s", self.retry_after_s.into(), 1, 3_600);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_wrong_setting_is_named() {
        assert!(HttpSettings::default().validate().is_empty());
        let wrong = HttpSettings { attribute_bytes_max: 70_000, batch_events_max: 0, ..HttpSettings::default() };
        let faults = wrong.validate();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].starts_with("batch_events_max = 0"), "{faults:?}");
    }
}
