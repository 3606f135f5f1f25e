//! Telemetry: structured logs, and the text of `/metrics`. Every metric is named and worded here, and nowhere else;
//! its figures come from the snapshots that the rooms keep.

use super::settings::{LogFormat, Logs};
use crate::domain::position::Frontier;
use crate::http::observe::HttpStats;
use crate::ports::line::{LineSnapshot, LineView, StageSnapshot, Trackers, TrackersSnapshot};
use crate::ports::stats::{BUCKETS_US, HistogramSnapshot};
use crate::ports::{EventLog, IdIndex, UsageStore};
use crate::services::records::Records;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::Error;
use std::sync::Arc;

/// Starts logging to standard error. A second call (tests start several weirs) changes nothing.
pub fn start_logs(logs: &Logs) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&logs.filter)
        .map_err(|error| format!("logs.filter: {:?} is not a filter: {error}", logs.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means only that logs were started before.
    let _ = match logs.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Everything whose figures are shown.
pub struct Observed {
    pub log: Arc<dyn EventLog>,
    pub index: Arc<dyn IdIndex>,
    pub store: Arc<dyn UsageStore>,
    pub line: Arc<dyn LineView>,
    pub trackers: Arc<dyn Trackers>,
    pub http: Arc<HttpStats>,
    pub records: Arc<Records>,
}

/// The text of `/metrics`, read off afresh at each scrape.
pub struct Metrics(Registry);

impl Metrics {
    pub fn of(observed: Observed) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(observed));
        Self(registry)
    }
}

impl crate::http::MetricsText for Metrics {
    fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0).expect("writing to a string");
        text
    }
}

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observed")
    }
}

impl Collector for Observed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        page.log(&self.log.snapshot())?;
        page.index(&self.index.snapshot())?;
        page.store(&self.store.snapshot())?;
        let line = self.line.snapshot();
        page.line(&line, self.line.health().is_none())?;
        page.stages(&line.stages)?;
        page.trackers(&self.trackers.snapshot())?;
        page.http(&self.http.snapshot())?;
        page.records(&self.records)
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// One scrape being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn records(&mut self, records: &Records) -> Result<(), Error> {
        let database = records.database.snapshot();
        let count = |number: usize| number as u64;
        self.gauge(
            "weir_records_open",
            "1 once the business records are open",
            u64::from(records.gate.check().is_ok()),
        )?;
        self.gauge("weir_database_connections", "connections to PostgreSQL", count(database.connections))?;
        let in_use = count(database.connections_in_use);
        self.gauge("weir_database_connections_in_use", "of these, in use", in_use)?;
        self.gauge("weir_database_connections_max", "most connections held at once", count(database.connections_max))?;
        self.gauge("weir_database_waiting", "requests that wait for a connection", count(database.waiting))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.gauges(name, help, std::iter::once((Vec::new(), value)))
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'l>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            match labels.is_empty() {
                true => metric.encode_gauge(&value)?,
                false => metric.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.counters(name, help, std::iter::once((Vec::new(), value)))
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'l>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            match labels.is_empty() {
                true => metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                false => metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok(())
    }

    /// Microseconds on their way to seconds: telemetry, not usage.
    fn seconds<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'l>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, us) in values {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&(us as f64 / 1e6), None)?;
        }
        Ok(())
    }

    fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'l>, &'l HistogramSnapshot)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, snapshot) in values {
            let bounds = BUCKETS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(snapshot.counts.iter().copied()).collect();
            let (sum, count) = (snapshot.sum_us as f64 / 1e6, snapshot.counts.iter().sum());
            match labels.is_empty() {
                true => metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?,
                false => metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?,
            }
        }
        Ok(())
    }

    fn frontier(&mut self, name: &str, help: &str, frontier: &Frontier) -> Result<(), Error> {
        let partitions: Vec<(String, u64)> =
            frontier.iter().map(|(partition, next)| (partition.to_string(), next)).collect();
        let labelled = partitions.iter().map(|(partition, next)| (vec![("partition", partition.as_str())], *next));
        self.gauges(name, help, labelled)
    }

    fn log(&mut self, log: &crate::ports::event_log::LogSnapshot) -> Result<(), Error> {
        self.frontier("weir_log_start", "Oldest offset kept in the event log", &log.start)?;
        self.frontier("weir_log_end", "Durable end of the event log", &log.end)?;
        self.gauge("weir_log_segments", "Segment files of the event log", log.segments)?;
        self.gauge("weir_log_bytes", "Bytes of the event log on disk", log.bytes)?;
        self.gauge("weir_log_queued_appends", "Appends waiting for the next sync", log.queued_appends)?;
        self.counter("weir_log_appended_records", "Records made durable", log.appended_events)?;
        self.counter("weir_log_appended_bytes", "Bytes made durable", log.appended_bytes)?;
        self.counter("weir_log_refused_appends", "Appends refused before they began", log.refused_appends)?;
        self.counter("weir_log_failed_syncs", "Syncs that failed", log.failed_syncs)?;
        self.counter(
            "weir_log_deleted_segments",
            "Segments deleted after their events were proved to be in blocks",
            log.deleted_segments,
        )?;
        self.gauge("weir_log_torn_bytes_cut", "Bytes cut off as a torn tail at the last start", log.torn_bytes_cut)?;
        self.histograms("weir_log_sync_seconds", "Time of one sync", std::iter::once((Vec::new(), &log.sync_seconds)))
    }

    fn index(&mut self, index: &crate::ports::id_index::IndexSnapshot) -> Result<(), Error> {
        self.frontier("weir_ids_durable", "Frontier below which claimed ids survive a crash", &index.durable)?;
        self.gauge("weir_ids_hot", "Ids in the hot table", index.hot_ids)?;
        self.gauge("weir_ids_sealed", "Ids in sealed runs", index.sealed_ids)?;
        self.gauge("weir_ids_runs", "Sealed runs of ids", index.runs)?;
        self.gauge("weir_ids_memory_bytes", "Memory held by the id index", index.memory_bytes)?;
        self.gauge("weir_ids_disk_bytes", "Disk held by the id index", index.disk_bytes)?;
        self.counter("weir_ids_expired", "Ids dropped because they left the dedupe window", index.expired_ids)?;
        self.counter("weir_ids_expired_runs", "Runs dropped because they left the dedupe window", index.expired_runs)?;
        self.counter("weir_ids_seals", "Hot tables sealed into runs", index.seals)?;
        self.counter("weir_ids_merges", "Merges of runs", index.merges)?;
        self.counter("weir_ids_lookups", "Ids looked up", index.lookups)?;
        self.counter("weir_ids_filters_asked", "Filters asked by lookups", index.filters_asked)?;
        self.counter("weir_ids_blocks_read", "Blocks read by lookups", index.blocks_read)
    }

    fn store(&mut self, store: &crate::ports::usage_store::StoreSnapshot) -> Result<(), Error> {
        self.frontier("weir_store_applied", "Frontier that queries see", &store.applied)?;
        self.frontier("weir_store_durable", "Frontier from which the line reads on after a crash", &store.durable)?;
        self.gauge("weir_store_runs", "Rollup runs on disk", store.runs)?;
        self.gauge("weir_store_block_files", "Files of event blocks on disk", store.block_files)?;
        self.gauge("weir_store_memory_bytes", "Memory held by rows and events not sealed yet", store.memory_bytes)?;
        self.gauge("weir_store_disk_bytes", "Disk held by runs and blocks", store.disk_bytes)?;
        self.gauge(
            "weir_store_unfinished_files_dropped",
            "Files of seals and merges that the last end left unfinished",
            store.unfinished_files_dropped,
        )?;
        self.gauge("weir_merge_backlog", "Seals and merges waiting", store.merge_backlog)?;
        self.counter("weir_store_events", "Events applied that count", store.events)?;
        self.counter("weir_store_duplicates", "Events applied that were sent before", store.duplicates)?;
        self.counter("weir_store_conflicts", "Events under the id of another event", store.conflicts)?;
        self.counter("weir_store_voided", "Events that counted and were voided", store.voided)?;
        self.counter("weir_store_seals", "Memory tables sealed", store.seals)?;
        self.counter("weir_store_merges", "Merges of runs and of block files", store.merges)?;
        self.counter("weir_store_hour_rows", "Hour rows written", store.hour_rows)?;
        self.counter("weir_store_day_rows", "Day rows written", store.day_rows)?;
        self.counter(
            "weir_store_dropped_minute_runs",
            "Minute rows of a run dropped as too old",
            store.dropped_minute_runs,
        )?;
        self.counter("weir_store_blocks_read", "Event blocks read", store.blocks_read)?;
        self.counter("weir_store_blocks_removed", "Files of event blocks removed by retention", store.blocks_removed)?;
        self.counter("weir_merge_bytes_in", "Bytes read by merges", store.merge_bytes_in)?;
        self.counter("weir_merge_bytes_out", "Bytes written by merges", store.merge_bytes_out)?;
        let jobs = || {
            store
                .jobs
                .iter()
                .map(|job| vec![("meter", job.slug.as_str()), ("version", job.version.as_str()), ("kind", job.kind)])
        };
        self.gauges(
            "weir_meter_job_done",
            "Events that a backfill has read, rows that a removal has done with",
            jobs().zip(store.jobs.iter().map(|job| job.done)),
        )?;
        self.gauges(
            "weir_meter_job_size",
            "Events that a backfill has to read in all, rows that a removal has to look at",
            jobs().zip(store.jobs.iter().map(|job| job.total)),
        )
    }

    fn line(&mut self, line: &LineSnapshot, healthy: bool) -> Result<(), Error> {
        self.gauge("weir_line_healthy", "1 when the line makes progress, 0 when it is stuck", u64::from(healthy))?;
        self.gauge("weir_backlog_events", "Records that are durable but not applied", line.backlog_events)?;
        self.gauge("weir_freshness_milliseconds", "Age of the oldest record that is not applied", line.freshness_ms)?;
        self.gauge("weir_line_in_flight_events", "Records between the log and the store", line.in_flight_events)?;
        self.gauge("weir_line_generation", "Generation of the batches on the line", line.generation)?;
        self.counter("weir_line_rewinds", "Rewinds of the line", line.rewinds)?;
        self.counter("weir_line_restarts", "Restarts of the whole line", line.line_restarts)?;
        self.counter("weir_line_quarantined_events", "Events found to make a stage panic", line.quarantined)
    }

    fn stages(&mut self, stages: &[StageSnapshot]) -> Result<(), Error> {
        let each = |figure: fn(&StageSnapshot) -> u64| {
            stages.iter().map(move |s| (vec![("stage", s.name.as_str())], figure(s)))
        };
        self.counters("weir_stage_messages", "Messages taken by a stage", each(|stage| stage.messages))?;
        self.counters("weir_stage_batches", "Batches handled by a stage", each(|stage| stage.batches))?;
        self.counters("weir_stage_events", "Events handled by a stage", each(|stage| stage.events))?;
        self.counters("weir_stage_restarts", "Restarts of a stage", each(|stage| stage.restarts))?;
        self.gauges("weir_stage_queue_depth", "Batches waiting before a stage", each(|stage| stage.queue_depth))?;
        self.seconds("weir_stage_busy_seconds", "Time a stage worked", each(|stage| stage.busy_us))?;
        self.seconds(
            "weir_stage_blocked_seconds",
            "Time a stage waited for room further down",
            each(|stage| stage.blocked_us),
        )?;
        let rejections = stages.iter().flat_map(|stage| {
            let labels = |reason| vec![("stage", stage.name.as_str()), ("reason", reason)];
            stage.rejections.iter().map(move |(reason, events)| (labels(reason.as_str()), *events))
        });
        self.counters("weir_stage_rejections", "Events that a stage did not count, by reason", rejections)?;
        let latencies = stages.iter().map(|stage| (vec![("stage", stage.name.as_str())], &stage.handler_seconds));
        self.histograms("weir_stage_handler_seconds", "Time a stage took for one batch", latencies)
    }

    fn trackers(&mut self, trackers: &TrackersSnapshot) -> Result<(), Error> {
        self.gauge("weir_trackers_live", "Customers whose balances are in memory", trackers.live)?;
        self.gauge("weir_trackers_loading", "Trackers that read records and usage", trackers.loading)?;
        self.gauge("weir_trackers_queue_depth", "Messages waiting for trackers", trackers.queued)?;
        self.frontier("weir_trackers_routed", "Frontier of what trackers were given", &trackers.routed)?;
        self.counter("weir_trackers_woken", "Trackers started because somebody asked", trackers.woken)?;
        self.counter("weir_trackers_rebuilt", "Of these, in place of one that was dropped", trackers.rebuilt)?;
        self.counter("weir_trackers_idle_stopped", "Trackers that nobody asked any more", trackers.idle_stopped)?;
        self.counter("weir_trackers_evicted", "Trackers that made room for others", trackers.evicted)?;
        self.counter("weir_trackers_forgotten", "Trackers dropped because of a write", trackers.forgotten)?;
        self.counter("weir_trackers_crashed", "Trackers that panicked", trackers.crashed)?;
        self.counter("weir_trackers_gaps", "Stretches of the log that trackers missed", trackers.gaps)?;
        self.counter("weir_trackers_deltas", "Readings given to trackers", trackers.deltas)?;
        self.counter("weir_checks_from_memory", "Checks that a tracker answered", trackers.answered)?;
        self.counter("weir_checks_computed", "Checks that no tracker could answer", trackers.passed_on)?;
        let took = std::iter::once((Vec::new(), &trackers.check_seconds));
        self.histograms("weir_check_seconds", "Time of a check that a tracker answered", took)?;
        let balances = || std::iter::once(vec![("kind", "balance")]);
        self.counters("weir_audited", "What was computed anew and compared", balances().zip([trackers.audited]))?;
        self.counters("weir_drift", "Of these, what differed: must stay 0", balances().zip([trackers.drifted]))
    }

    fn http(&mut self, http: &crate::http::observe::HttpSnapshot) -> Result<(), Error> {
        const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let answers = http.routes.iter().flat_map(|route| {
            let labels = |class| vec![("method", route.method), ("route", route.route), ("class", class)];
            CLASSES
                .into_iter()
                .zip(route.by_class)
                .filter(|(_, count)| *count > 0)
                .map(move |(class, count)| (labels(class), count))
        });
        self.counters("weir_http_answers", "Answers by route and status class", answers)?;
        let latencies =
            http.routes.iter().map(|route| (vec![("method", route.method), ("route", route.route)], &route.seconds));
        self.histograms("weir_http_seconds", "Time from a request's head to its answer", latencies)?;
        self.counter("weir_http_accepted_events", "Events acknowledged", http.accepted_events)?;
        self.counter("weir_http_accepted_bytes", "Bytes of records acknowledged", http.accepted_bytes)
    }
}
