//! `/api/v1/debug`: how many events came in today, and the compiled graph of the line with each stage's snapshot.

use crate::domain::time::Instant;
use crate::http::openapi::problems::V1Problems;
use crate::http::problem::Problem;
use crate::http::{DoorState, freshness, json};
use crate::ports::line::{LineSnapshot, TrackersSnapshot};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::fmt::Write;

const DAY_NS: i64 = 86_400_000_000_000;
/// What stands above the counts. No `# EOF`, as clients know it.
const HEAD: &str = "# HELP openmeter_events Number of ingested events\n# TYPE openmeter_events counter\n\
    # UNIT openmeter_events events\n";

/// Events that count and happened today (UTC) or later, by subject.
#[utoipa::path(get, path = "/api/v1/debug/metrics", operation_id = "getDebugMetrics", tag = "Debug",
    responses((status = 200, body = String, content_type = "text/plain"), V1Problems))]
pub async fn metrics(request: HttpRequest, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let seen = freshness::wait(&request, &state).await?;
    let now = state.clock.now().nanos();
    let midnight = Instant::from_nanos(now.saturating_sub(now.rem_euclid(DAY_NS)));
    let counts = state.usage.event_counts(&state.namespace, midnight).await?;
    let mut response = HttpResponse::Ok();
    seen.mark(&mut response);
    Ok(response.insert_header((CONTENT_TYPE, "text/plain")).body(text(&counts)))
}

/// A counter's values are written as floats.
fn text(counts: &[(String, u64)]) -> String {
    let mut text = HEAD.to_string();
    for (subject, events) in counts {
        let subject = subject.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        writeln!(text, "openmeter_events_total{{subject=\"{subject}\"}} {events}.0").expect("a text takes any text");
    }
    text
}

/// All actors: those of the line, stage by stage, and the trackers.
#[derive(Serialize)]
struct Actors {
    #[serde(flatten)]
    line: LineSnapshot,
    trackers: TrackersSnapshot,
}

/// The line and the trackers, looked at.
#[utoipa::path(get, path = "/api/v1/debug/actors", operation_id = "getActors", tag = "weir",
    responses((status = 200, body = Object), V1Problems))]
pub async fn actors(state: Data<DoorState>) -> HttpResponse {
    json(HttpResponse::Ok(), &Actors { line: state.line.snapshot(), trackers: state.trackers.snapshot() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_open_metrics() {
        assert_eq!(text(&[]), HEAD);
        let counts = [("acme".to_string(), 3), ("a\"b\\c\nd".to_string(), 12_345_678_901_234_567_890)];
        let lines = "openmeter_events_total{subject=\"acme\"} 3.0\n\
            openmeter_events_total{subject=\"a\\\"b\\\\c\\nd\"} 12345678901234567890.0\n";
        assert_eq!(text(&counts), format!("{HEAD}{lines}"));
    }
}
