//! What the door counts: answers per route and status class, and how long they took.
//!
//! Routes are known beforehand, so counting takes no lock. What matches no route is counted under `unmatched`; a
//! client cannot make this grow.

use super::contract::{Dialect, contract};
use crate::ports::stats::{Counter, Histogram, HistogramSnapshot};
use std::collections::HashMap;
use std::time::Duration;

/// Routes that are in no document: they are asked by machines that watch, not by clients.
const WATCHED: [(&str, &str); 5] = [
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/line"),
    ("GET", "/health/records"),
    ("GET", "/metrics"),
];

/// Every route: method and pattern, in order.
pub fn routes() -> Vec<(&'static str, &'static str)> {
    let documented = [Dialect::V1, Dialect::V3].into_iter().flat_map(|dialect| contract(dialect).routes());
    let mut routes: Vec<_> = documented.chain(WATCHED).collect();
    routes.sort_by_key(|(method, path)| (*path, *method));
    routes
}

const UNMATCHED: &str = "unmatched";

/// Counters of one route and method.
#[derive(Debug, Default)]
struct RouteStats {
    /// Answers by the first digit of their status, 1 to 5.
    by_class: [Counter; 5],
    took: Histogram,
}

/// The door's counters. One for the process; handed to the door and to whoever renders the metrics.
#[derive(Debug)]
pub struct HttpStats {
    names: Vec<(&'static str, &'static str)>,
    stats: Vec<RouteStats>,
    index: HashMap<&'static str, Vec<(&'static str, usize)>>,
    events: Counter,
    event_bytes: Counter,
}

/// One route and method as of one moment.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RouteSnapshot {
    pub method: &'static str,
    pub route: &'static str,
    /// Answers with status 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 5],
    pub seconds: HistogramSnapshot,
}

/// Everything the door has counted.
#[derive(Debug, Clone, serde::Serialize)]
pub struct HttpSnapshot {
    pub routes: Vec<RouteSnapshot>,
    /// Events acknowledged, and the bytes of their records.
    pub accepted_events: u64,
    pub accepted_bytes: u64,
}

impl Default for HttpStats {
    fn default() -> Self {
        let mut names = Vec::new();
        let mut index: HashMap<&'static str, Vec<(&'static str, usize)>> = HashMap::new();
        for (method, route) in routes().into_iter().chain([("ANY", UNMATCHED)]) {
            index.entry(route).or_default().push((method, names.len()));
            names.push((method, route));
        }
        // Methods a route does not answer are counted too: their 405s under `other`.
        let mut known: Vec<&'static str> = index.keys().copied().collect();
        known.sort_unstable();
        for route in known {
            index.entry(route).or_default().push(("other", names.len()));
            names.push(("other", route));
        }
        let stats = names.iter().map(|_| RouteStats::default()).collect();
        Self { names, stats, index, events: Counter::default(), event_bytes: Counter::default() }
    }
}

impl HttpStats {
    /// Counts one answer. `route` is the pattern that matched.
    pub fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let known = route.and_then(|route| self.index.get(route)).unwrap_or(&self.index[UNMATCHED]);
        let found = known.iter().find(|(name, _)| *name == method).or(known.last());
        let (_, at) = found.expect("every route has at least the method `other`");
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.stats[*at].by_class[class].inc();
        self.stats[*at].took.observe(took);
    }

    /// Counts acknowledged events.
    pub fn accepted(&self, events: u64, bytes: u64) {
        self.events.add(events);
        self.event_bytes.add(bytes);
    }

    /// Routes that have answered at least once.
    pub fn snapshot(&self) -> HttpSnapshot {
        let routes = self.names.iter().zip(&self.stats).map(|((method, route), stats)| RouteSnapshot {
            method,
            route,
            by_class: std::array::from_fn(|class| stats.by_class[class].get()),
            seconds: stats.took.snapshot(),
        });
        HttpSnapshot {
            routes: routes.filter(|route| route.by_class.iter().any(|count| *count > 0)).collect(),
            accepted_events: self.events.get(),
            accepted_bytes: self.event_bytes.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_method_and_class() {
        let stats = HttpStats::default();
        let took = Duration::from_micros(120);
        stats.answered("POST", Some("/api/v1/events"), 204, took);
        stats.answered("POST", Some("/api/v1/events"), 503, took);
        stats.answered("PATCH", Some("/api/v1/events"), 405, took);
        stats.answered("GET", Some("/api/v1/event"), 404, took);
        stats.answered("GET", None, 404, took);
        let shown: Vec<_> = stats.snapshot().routes.iter().map(|r| (r.method, r.route, r.by_class)).collect();
        assert_eq!(
            shown,
            [
                ("POST", "/api/v1/events", [0, 1, 0, 0, 1]),
                ("other", "/api/v1/events", [0, 0, 0, 1, 0]),
                ("other", "unmatched", [0, 0, 0, 2, 0]),
            ]
        );
    }
}
