//! From the body of an ingest request to records for the log, in one pass and without owning an event in between.
//!
//! The whole body is one JSON value, or nothing of it is taken: what follows the first value is an error, not silently
//! lost. The envelope is checked here, once and for all; `data` is kept as the bytes that came. A batch is refused
//! whole, and every bad event in it is named.

mod attributes;
pub mod base64;
mod envelope;
mod faults;
mod take;
#[cfg(test)]
mod tests;
mod uri;

pub use faults::{Code, Fault, Faults};
pub use take::{Terms, take};

use super::problem::Problem;
use super::settings::HttpSettings;
use crate::ports::event_log::Append;
use actix_web::http::StatusCode;
use envelope::{BatchVisitor, EventSeed};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny};

/// What a media type promises about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/cloudevents+json`: one event.
    One,
    /// `application/cloudevents-batch+json`: an array of events, which may be empty.
    Batch,
    /// `application/json`: either, and not empty.
    Either,
}

/// Which attributes an event must and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// v1: all of CloudEvents', `data_base64` and extensions too.
    Open,
    /// v3: those of its published schema and no others. A missing `specversion` is taken for this one, if any.
    Closed { specversion: Option<&'static str> },
}

impl Attributes {
    fn specversion(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Closed { specversion } => specversion,
        }
    }
}

/// What an event may be, and bounds on what is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub attributes: Attributes,
    pub batch_events_max: usize,
    pub attribute_bytes_max: usize,
    pub extensions_max: usize,
    pub json_depth_max: usize,
    pub faults_listed_max: usize,
}

impl From<&HttpSettings> for Limits {
    fn from(settings: &HttpSettings) -> Self {
        Self {
            attributes: Attributes::Open,
            batch_events_max: settings.batch_events_max,
            attribute_bytes_max: settings.attribute_bytes_max,
            extensions_max: settings.extensions_max,
            json_depth_max: settings.json_depth_max,
            faults_listed_max: settings.faults_listed_max,
        }
    }
}

/// Why a body is refused. Ordered: the first that applies is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("request body has an error: value is required but missing")]
    Empty,
    #[error("request body has an error: the bytes at offset {at} are not UTF-8")]
    NotUtf8 { at: usize },
    #[error("request entity too large error: the batch has more than {events_max} events")]
    TooManyEvents { events_max: usize },
    #[error("request body has an error: broken JSON at line {line} column {column}: {reason}")]
    BrokenJson { line: usize, column: usize, reason: String },
    #[error("invalid event: no events found")]
    NoEvents,
    #[error("{} faults", .0.total)]
    BadEvents(Faults),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadEvents(faults) => faults.into(),
            Refusal::TooManyEvents { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, refusal.to_string()),
            refusal => Problem::bad_request(refusal.to_string()),
        }
    }
}

/// What is carried through one body.
struct Work<'a> {
    namespace: &'a str,
    limits: Limits,
    append: Append,
    faults: Faults,
    events: usize,
    too_many: bool,
}

impl Work<'_> {
    fn fault(&mut self, field: &str, code: Code, message: impl Into<String>) {
        let index = Some(self.events);
        self.faults.add(self.limits.faults_listed_max, index, field, code, message.into());
    }

    fn body_fault(&mut self, message: &str) {
        self.faults.add(self.limits.faults_listed_max, None, "", Code::WrongType, message.to_string());
    }
}

/// Room for what a record adds to an event's own bytes, so that the buffer is not grown on the way.
const RECORD_BYTES_EXTRA: usize = 64;

/// Reads the body of one ingest request.
pub fn parse(body: &[u8], form: Form, namespace: &str, limits: Limits) -> Result<Append, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
    let first = text.trim_start_matches([' ', '\t', '\r', '\n']).as_bytes().first();
    let mut work = Work {
        namespace,
        limits,
        append: Append { records: Vec::with_capacity(body.len() + RECORD_BYTES_EXTRA), lengths: Vec::new() },
        faults: Faults::new(first == Some(&b'[')),
        events: 0,
        too_many: false,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = match (form, first) {
        (_, None) => return Err(Refusal::Empty),
        (Form::Batch | Form::Either, Some(b'[')) => (&mut json).deserialize_seq(BatchVisitor(&mut work)),
        (Form::One | Form::Either, Some(b'{')) => EventSeed(&mut work).deserialize(&mut json),
        (form, Some(_)) => {
            work.body_fault(match form {
                Form::One => "must be one event, a JSON object",
                Form::Batch => "must be a JSON array of events",
                Form::Either => "must be an event or an array of events",
            });
            (&mut json).deserialize_ignored_any(IgnoredAny).map(|_| ())
        }
    };
    if work.too_many {
        return Err(Refusal::TooManyEvents { events_max: limits.batch_events_max });
    }
    read.and_then(|()| json.end()).map_err(broken_json)?;
    if !work.faults.is_empty() {
        return Err(Refusal::BadEvents(work.faults));
    }
    if form == Form::Either && work.append.lengths.is_empty() {
        return Err(Refusal::NoEvents);
    }
    Ok(work.append)
}

fn broken_json(error: serde_json::Error) -> Refusal {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text).to_string();
    Refusal::BrokenJson { line: error.line(), column: error.column(), reason }
}
